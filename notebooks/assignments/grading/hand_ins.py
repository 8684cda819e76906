"""What was handed in, made whole: a hand-in becomes the problem set's own notebook with the student's answers in it.

A copied, shuffled, deleted or renamed cell, missing marks, another kernel, a file that was cut off: what can be told is
repaired, and said. What cannot be read is not graded, and said, too; it is never 0 points.
"""

import ast
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from grading.answers import Cell

SOLUTION = re.compile(r"^ *### (?:BEGIN|END) SOLUTION\n?", re.M)
STUB = re.compile(r"( *)### BEGIN SOLUTION.*?### END SOLUTION", re.S)


class NotGradable(ValueError):
    """Nothing can be made of this file; the message says why."""


class HandIn(NamedTuple):
    """A hand-in that can be graded.

    notebook: the problem set's cells, with the student's answers and scratch cells. cells: the code to run, in order.
    repairs: what had to be repaired, a sentence each. missing: answer cells that are not there.
    """

    notebook: NotebookNode
    cells: list[Cell]
    repairs: list[str]
    missing: list[str]


def marks(cell: NotebookNode) -> dict:
    found = cell.get("metadata", {}).get("nbgrader", {})
    return found if isinstance(found, dict) and isinstance(found.get("grade_id", ""), str) else {}


def is_test(cell: NotebookNode) -> bool:
    return bool(marks(cell).get("locked"))


def is_answer(cell: NotebookNode) -> bool:
    return bool(marks(cell).get("solution"))


def released(source: str) -> str:
    """An answer cell as students get it."""
    return STUB.sub(r"\1# YOUR CODE HERE\n\1raise NotImplementedError()", source)


def read(file: Path) -> tuple[NotebookNode, list[str]]:
    """A notebook, and what had to be repaired to read it. Raises NotGradable."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise NotGradable(f"the file cannot be read: {error.strerror}") from None
    if len(raw) > 50 * 2**20:
        raise NotGradable(f"the file has {len(raw) / 2**20:.0f} MB; a notebook of this problem set has less than one")
    text = raw.decode("utf-8-sig", errors="replace")
    repairs = []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        cells = list(_whole_cells(text))
        if not cells:
            raise NotGradable("the file is no notebook: it is not JSON, and no cell can be found in it") from None
        found = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        repairs.append(f"the file is damaged or cut off: {len(cells)} cells could be read")
    try:
        if found.get("nbformat", 4) < 4:
            found = nbformat.convert(nbformat.from_dict(found), 4)
        cells = [_cell(cell) for cell in found["cells"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise NotGradable("the file is JSON, but no notebook: it has no list of cells") from None
    return nbformat.from_dict({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), repairs


def _cell(cell: dict) -> dict:
    source, metadata = cell.get("source", ""), cell.get("metadata", {})
    source = source if isinstance(source, str) else "".join(map(str, source))
    return {
        "cell_type": "code" if cell.get("cell_type") == "code" else "markdown",
        "source": source.encode("utf-8", "replace").decode(),  # half of a character cannot be written to a file
        "metadata": metadata if isinstance(metadata, dict) else {},
    }


def _whole_cells(text: str) -> Iterator[dict]:
    """The cells that stand before the place where a file was cut off."""
    decoder, start = json.JSONDecoder(), text.find('"cells"')
    place = text.find("[", start) + 1 if start >= 0 else 0
    while place and (begins := text.find("{", place)) >= 0:
        try:
            cell, place = decoder.raw_decode(text, begins)
        except (ValueError, RecursionError):
            return
        if isinstance(cell, dict) and "cell_type" in cell:
            yield cell


def defined(source: str) -> set[str]:
    """The names of functions that a cell defines at its top level."""
    try:
        return {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    except SyntaxError:
        return set(re.findall(r"^def (\w+)", source, re.M))


def made_whole(source: NotebookNode, theirs: NotebookNode, repairs: list[str]) -> HandIn:
    """The problem set's notebook with the answers of a hand-in. Raises NotGradable if it is of another problem set."""
    repairs, missing = list(repairs), []
    used: set[int] = set()
    answers: dict[str, int | None] = {}
    asked = {marks(cell)["grade_id"]: cell for cell in source.cells if is_answer(cell)}
    for name, cell in asked.items():
        answers[name] = _find(name, cell, source, theirs, used, repairs)
        if answers[name] is None:
            missing.append(name)
            repairs.append(f"there is no answer cell {name!r}")
    if not any(place is not None for place in answers.values()):
        raise NotGradable("it has none of the cells of this problem set")
    order = [place for place in answers.values() if place is not None]
    if order != sorted(order):
        repairs.append("its cells were in another order")
    known = {cell.source.strip() for cell in source.cells} | {released(cell.source).strip() for cell in source.cells}
    tests = {marks(cell)["grade_id"] for cell in source.cells if is_test(cell)}
    scratch = [
        (i, cell)
        for i, cell in enumerate(theirs.cells)
        if i not in used
        and cell.cell_type == "code"
        and cell.source.strip() not in known
        and marks(cell).get("grade_id") not in tests
        and "import checks" not in cell.source
    ]
    notebook, cells = nbformat.v4.new_notebook(metadata=deepcopy(source.metadata)), []
    waiting = list(scratch)
    for cell in deepcopy(source.cells):
        if is_answer(cell):
            place = answers[marks(cell)["grade_id"]]
            cell.source = "" if place is None else theirs.cells[place].source
            while waiting and place is not None and waiting[0][0] < place:
                _add_scratch(notebook, cells, *waiting.pop(0))
        notebook.cells.append(cell)
        if cell.cell_type == "code" and not is_test(cell):
            cells.append(Cell(marks(cell).get("grade_id", f"given {len(cells)}"), cell.source, own=False))
    for entry in waiting:
        _add_scratch(notebook, cells, *entry)
    return HandIn(notebook, cells, repairs, missing)


def _add_scratch(notebook: NotebookNode, cells: list[Cell], place: int, cell: NotebookNode) -> None:
    notebook.cells.append(nbformat.v4.new_code_cell(cell.source))
    cells.append(Cell(f"own {place}", cell.source, own=True))


def _find(
    name: str, cell: NotebookNode, source: NotebookNode, theirs: NotebookNode, used: set[int], repairs: list[str]
) -> int | None:
    """Where an answer is: by its mark, by the functions that it defines, or (a text) by the cell that it follows."""
    stub = released(cell.source).strip()
    marked = [i for i, other in enumerate(theirs.cells) if marks(other).get("grade_id") == name and i not in used]
    if len(marked) > 1:
        repairs.append(f"there are {len(marked)} cells {name!r}: the last one with an answer counts")
    if not marked:
        wanted = defined(SOLUTION.sub("", cell.source))
        marked = [
            i
            for i, other in enumerate(theirs.cells)
            if i not in used
            and other.cell_type == cell.cell_type
            and not marks(other)
            and (wanted & defined(other.source) if wanted else _follows(i, cell, source, theirs))
        ]
        if marked:
            repairs.append(f"the cell {name!r} had lost its mark")
    if not marked:
        return None
    written = [i for i in marked if theirs.cells[i].source.strip() not in ("", stub)]
    place = (written or marked)[-1]
    used.update({place} if written else marked)
    return place


def _follows(place: int, cell: NotebookNode, source: NotebookNode, theirs: NotebookNode) -> bool:
    """Whether a cell stands after the same text as an answer without functions does."""
    before = source.cells[source.cells.index(cell) - 1].source.strip()[:80]
    return place > 0 and theirs.cells[place - 1].source.strip()[:80] == before

"""A hand-in -> points and a sentence for each part.

A part is right or wrong as a whole. Its test (in `parts/`) is a function of the student's answers and of a random
generator; what it asserts is said to the student.
"""

import json
import os
import secrets
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import numpy as np
from nbformat import NotebookNode

from grading.answers import COURSE, Answers, Cell
from grading.hand_ins import HandIn, is_answer, is_test, made_whole, marks, read


class Part(NamedTuple):
    """One part's outcome. `said`: what the student reads; "" if all is well."""

    points: float
    most: float
    said: str
    seed: int


class Graded(NamedTuple):
    """A graded hand-in: its parts by the name of their test cell, what was repaired, and the notebook to hand back."""

    parts: dict[str, Part]
    repairs: list[str]
    notebook: NotebookNode


def source_of(name: str) -> NotebookNode:
    return nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4)


def grade(name: str, file: Path, context: Any) -> Graded:
    """Grade one hand-in of problem set `name`. Raises NotGradable, with the reason."""
    tests = import_module(f"grading.parts.{name}")
    theirs, repairs = read(file)
    whole = made_whole(source_of(name), theirs, repairs)
    # First without scratch work, which may shadow a builtin; then, for what fails, with it: it may hold a helper.
    tries = [[cell for cell in whole.cells if not cell.own]]
    if len(tries[0]) < len(whole.cells):
        tries.append(whole.cells)
    helpers = [Cell("helpers", getattr(tests, "HELPERS", ""), own=False)]
    running = [Answers(context, [*cells, *helpers], library=tests.LIBRARY, seconds=tests.SECONDS) for cells in tries]
    try:
        parts = {}
        for cell in whole.notebook.cells:
            if is_test(cell):
                grade_id = marks(cell)["grade_id"]
                parts[grade_id] = _part(tests.PARTS[grade_id], float(marks(cell)["points"]), running, whole)
        _show(whole.notebook, parts, running)
    finally:
        for answers in running:
            answers.close()
    return Graded(parts, whole.repairs, whole.notebook)


def _part(test: Any, most: float, running: list[Answers], whole: HandIn) -> Part:
    seed, said = int(os.environ.get("CHECKS_SEED") or secrets.randbits(32)), ""
    answer = getattr(test, "answer", test.__name__)  # the answer cell that it judges
    if answer in whole.missing:
        return Part(0, most, "The cell for this answer is missing.", seed)
    for answers in running:
        try:
            test(answers, np.random.default_rng(seed))
        except AssertionError as wrong:
            said = said or _sentence(answers, answer, str(wrong))
        except Exception as error:  # a number where two tables were asked for, say
            wrong = (
                f"What {answer} returns does not have the form that was asked for ({type(error).__name__}: {error})."
            )
            said = said or _sentence(answers, answer, wrong[:500])
        else:
            return Part(most, most, "", seed)
    return Part(0, most, said, seed)


def _sentence(answers: Answers, name: str, wrong: str) -> str:
    """What went wrong; if the cell itself failed, that comes first."""
    ran = answers.ran.get(name)
    return f"The cell of this answer stopped: {ran.error}" if ran and ran.error else wrong


def _show(notebook: NotebookNode, parts: dict[str, Part], running: list[Answers]) -> None:
    """Write what was printed and drawn under the cells, and the outcome of each part under its test."""
    answers = running[-1]
    answers._start()
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], number
        if is_test(cell):
            part = parts[marks(cell)["grade_id"]]
            if part.said:
                said = f"{part.said} (Seed of the random examples: {part.seed}.)"
                cell.outputs = [nbformat.v4.new_output("error", ename="Not yet", evalue=said, traceback=[said])]
            else:
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"All {part.most:g} points.\n")]
        elif (ran := answers.ran.get(marks(cell).get("grade_id", ""))) is not None:
            if ran.printed:
                cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=ran.printed))
            for picture in ran.pictures:
                cell.outputs.append(nbformat.v4.new_output("display_data", {"image/png": picture}))
            if ran.error and is_answer(cell):
                error = nbformat.v4.new_output("error", ename="Error", evalue=ran.error, traceback=[ran.error])
                cell.outputs.append(error)


def as_json(graded: Graded) -> str:
    parts = {name: part._asdict() for name, part in graded.parts.items()}
    return json.dumps({"parts": parts, "repairs": graded.repairs}, indent=1) + "\n"

"""The course as its readers meet it: every notebook is in the book, whole, run from top to bottom, and of one form."""

import ast
import inspect
import json
import re
import runpy
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import ddpm_dp

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FAULT = runpy.run_path(str(ROOT / ".ci" / "outputs.py"))["fault"]
each = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def cells(file: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == kind]


def text(cell: dict) -> str:
    return "".join(cell["source"])


@pytest.fixture(scope="module")
def book() -> dict:
    """The names that docs/conf.py defines; it needs nothing but the standard library and the package."""
    return runpy.run_path(str(ROOT / "docs" / "conf.py"))


def test_the_book_has_every_notebook_once_in_course_order(book):
    assert book["NOTEBOOKS"] == NOTEBOOKS and NOTEBOOKS
    assert len({file.name[:2] for file in NOTEBOOKS}) == len(NOTEBOOKS), "two notebooks have the same number"
    assert re.findall(r"notebooks/(\w+\.ipynb)", book["timetable"]()) == [file.name for file in NOTEBOOKS]
    contents = re.search(r"```{toctree}\n(.*?)```", (ROOT / "docs" / "index.md").read_text(), re.S)[1].split()
    assert contents.count("/notebooks/*") == 1 and ":glob:" in contents and "glossary" in contents
    assert not [line for line in contents if re.match(r"/notebooks/\w", line)], "the glob has it already"


@each
def test_notebook_has_the_form_of_the_course(file):
    prose = [text(cell) for cell in cells(file, "markdown")]
    number = int(file.name[:2])
    assert re.match(rf"# {number}\. \S", prose[0]), f"{prose[0][:40]!r}: expected '# {number}. Title'"
    headings = re.findall(r"^## (.+)$", "\n".join(prose), re.M)
    assert headings[-2:] == ["Exercises", "Summary"], headings
    assert file.stat().st_size < 1_000_000


@each
def test_notebook_was_run_from_top_to_bottom(file):
    assert FAULT(file) is None
    outputs = [output for cell in cells(file, "code") for output in cell["outputs"]]
    pages = "".join(part for output in outputs for part in output.get("data", {}).get("text/html", []))
    assert (
        "<img" in pages
        or "data-ddpm-explorer" in pages
        or any("image/png" in output.get("data", {}) for output in outputs)
    ), "no picture"


@each
def test_notebook_says_how_to_install_what_is_missing(file, monkeypatch):
    guard = ast.parse(text(cells(file, "code")[0])).body[:1]
    monkeypatch.setitem(sys.modules, "ddpm_dp", None)  # what an import finds where it is not installed
    with pytest.raises(ImportError, match="run one line, then restart the kernel") as caught:
        exec(compile(ast.Module(guard, []), file.name, "exec"), {})
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    assert "In a clone: %pip install -c ../constraints.txt -e .. On Colab: %pip install" in str(caught.value)
    assert str(caught.value).endswith(f"'ddpm-dp[notebooks] @ git+{address}'")


@each
def test_links_lead_somewhere(file):
    prose = "\n".join(text(cell) for cell in cells(file, "markdown"))
    links = [
        link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not link.startswith(("http", "attachment:", "#"))
    ]
    assert not [link for link in links if not (file.parent / link.split("#")[0]).exists()]


def test_the_picture_of_a_widget_stays_in_the_book(book):
    def shown(model_id: str) -> dict:
        return {"output_type": "display_data", "data": {book["WIDGETS"]: {"model_id": model_id}}}

    picture = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo="}}
    state = {
        "bar": {"state": {"value": 3}},
        "box": {"state": {"children": ["IPY_MODEL_bar", "IPY_MODEL_out"]}},
        "out": {"state": {"outputs": [picture]}},
    }
    notebook = {
        "metadata": {"widgets": {"application/vnd.jupyter.widget-state+json": {"state": state}}},
        "cells": [
            {"cell_type": "code", "metadata": {}, "source": "", "outputs": [shown("bar"), picture, shown("box")]},
            {"cell_type": "markdown", "source": "**Finding.** At $t \\le 3$ it is [dark](a.md).\n\nAnd more."},
        ],
    }
    cell = book["on_paper"](notebook)["cells"][0]
    assert cell["outputs"] == [picture, picture]
    assert cell["metadata"]["mystnb"]["image"]["alt"] == "At t <= 3 it is dark."
    del notebook["cells"][1]
    with pytest.raises(ValueError, match="No finding follows a picture"):
        book["on_paper"](notebook)


@each
def test_every_picture_has_words_of_its_author(file, book):
    """For those who cannot see it: the finding that follows."""
    notebook = book["on_paper"](json.loads(file.read_text()))
    for cell in notebook["cells"]:
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            words = cell["metadata"]["mystnb"]["image"]["alt"]
            assert len(words.split()) > 8 and words.rstrip(")")[-1] in ".?:;" and not set("$`\\*") & set(words), words


def test_an_explorer_is_its_page_in_the_book(book):
    left = {"text/html": ['<p data-ddpm-explorer="view=play&amp;K=8">', "live elsewhere</p>"]}
    output = {"output_type": "display_data", "data": {book["WIDGETS"]: {"model_id": "x"}, **left}}
    notebook = {"metadata": {}, "cells": [{"cell_type": "code", "metadata": {}, "outputs": [output]}]}
    (shown,) = book["on_paper"](notebook)["cells"][0]["outputs"]
    assert '<iframe class="explorer" src="../explorer.html#view=play&amp;K=8" title="' in shown["data"]["text/html"]


@each
def test_hints_are_read_as_markdown(file):
    """Text that touches an HTML tag is HTML to Jupyter, and shows its backticks: a blank line parts them."""
    prose = "\n".join(text(cell) for cell in cells(file, "markdown"))
    assert prose.count("</summary>") == len(re.findall(r"</summary>\n\n", prose)) >= 2
    assert prose.count("</details>") == len(re.findall(r"\n\n *</details>", prose))


def resolve(name: str) -> object:
    """What `ddpm_dp.x.y` or `Class.attribute` stands for; a public class is found in whichever room it lives."""
    first, *rest = name.split(".")
    if first == "ddpm_dp":
        value = ddpm_dp
    else:
        rooms = [import_module(f"ddpm_dp.{room}") for room in ddpm_dp._HOME]
        value = next(vars(room)[first] for room in rooms if inspect.isclass(vars(room).get(first)))
    for part in rest:
        if part in getattr(value, "__annotations__", {}):  # a field without a default
            return value.__annotations__[part]
        value = getattr(value, part)
    return value


def test_glossary_names_what_exists():
    rows = [line.split("|") for line in (ROOT / "docs" / "glossary.md").read_text().splitlines() if line[:1] == "|"]
    assert all(len(row) == 6 for row in rows), "four columns; write a bar in a formula as \\mid"
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row[2])]
    assert len(names) == len(set(names)) > 40
    for name in names:
        assert re.fullmatch(r"ddpm_dp(\.\w+)+|[A-Z]\w+\.\w+", name), f"{name} is not a name of the code"
        assert resolve(name) is not None, name
    for wrong in ("ddpm_dp.no_such_name", "NoiseSchedule.gamma", "NoSuchClass.T"):
        with pytest.raises((AttributeError, StopIteration)):
            resolve(wrong)

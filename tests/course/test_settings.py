"""Change a setting, and every sentence stays true: each notebook runs under other settings, and its solutions run, too.

`settings/<notebook>.toml` lists what a reader may reasonably set. `make nightly` runs all of it, and the settings that
the notebook is stored with; `make test` the first entry of quick notebooks (`every_time = true`).
"""

import ast
import json
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ddpm_dp.variances import FAMILIES
from tests.course.claims import contradictions
from tests.course.notebooks import FILES, ROOT, said, settings_cell, solutions, source

each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def settings(file: Path) -> dict[str, object]:
    """NAME -> what the notebook is stored with."""
    body = ast.parse(source(settings_cell(file))).body
    return {line.targets[0].id: ast.literal_eval(line.value) for line in body}


def listed(file: Path) -> dict:
    return tomllib.loads((Path(__file__).parent / "settings" / f"{file.stem}.toml").read_text())


def tried(file: Path) -> list[dict[str, object]]:
    """What is listed; and each family that is not, by itself: a new one has nothing to write here."""
    entries, stored = listed(file)["setting"], settings(file)
    named = {each.get("VARIANCE", stored.get("VARIANCE")) for each in [{}, *entries]}
    return [*entries, *({"VARIANCE": name} for name in FAMILIES if "VARIANCE" in stored and name not in named)]


def grid() -> list:
    cases = []
    for file in FILES:
        try:
            entries, every_time = tried(file), listed(file).get("every_time", False)
        except FileNotFoundError:
            continue  # test_what_is_tried names it
        for i, changed in enumerate([*entries, {}]):
            name = ", ".join(f"{key}={value}" for key, value in changed.items()) or "as stored"
            marks = [pytest.mark.slow, *([] if every_time and i == 0 else [pytest.mark.nightly])]
            cases.append(pytest.param(file, changed, id=f"{file.stem}: {name}", marks=marks))
    return cases


@each
def test_what_is_tried(file):
    stored, entries = settings(file), listed(file)["setting"]
    used = [{**stored, **changed} for changed in entries]
    for changed in entries:
        assert set(changed) <= set(stored), f"{file.stem} has no setting {set(changed) - set(stored)}"
        assert any(stored[name] != value for name, value in changed.items()), f"{changed} changes nothing"
    for name in stored:
        assert len({repr(each[name]) for each in [stored, *used]}) > 1, f"no other {name} is tried"
    if "VARIANCE" in stored:
        assert {changed.get("VARIANCE", stored["VARIANCE"]) for changed in [{}, *tried(file)]} == set(FAMILIES)
    if "T" in stored:
        assert {50, 1000} <= {each["T"] for each in [stored, *used]}


def changed_to(code: str, changed: dict[str, object]) -> str:
    lines = []
    for line in ast.parse(code).body:
        name = line.targets[0].id
        lines.append(f"{name} = {changed.get(name, ast.literal_eval(line.value))!r}")
    return "\n".join(lines)


@pytest.mark.parametrize("file, changed", grid())
def test_it_runs_and_says_nothing_wrong(file, changed, monkeypatch):
    notebook = nbformat.read(file, as_version=4)
    for cell in notebook.cells:
        if "settings" in cell.metadata.get("tags", []):
            cell.source = changed_to(cell.source, changed)
    notebook.cells += [nbformat.v4.new_code_cell(code) for code in solutions(file)]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(file.parent)}}).execute()
    wrong = [text for cell in json.loads(nbformat.writes(notebook))["cells"] for text in contradictions(said(cell))]
    assert not wrong

"""The problem sets as a lecturer and a class meet them: nbgrader releases, collects and grades a class that we know.

In the class are the instructor, somebody who hands in nothing, somebody who solves everything in another way, and
students whose mistakes come from a bank (`tests/assignments/`). Each must get the right points in every part.

Parts are graded one by one, so a student of ours makes as many of the mistakes as lie in different parts: that saves
minutes. With ONE_MISTAKE_EACH=1 in the environment every mistake has a student of its own.
"""

import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from tests.assignments import Mistake
from tests.conftest import nightly_but

ROOT = Path(__file__).parents[1]
COURSE = ROOT / "notebooks" / "assignments"
PROBLEM_SETS = ("ps1", "ps2", "ps3", "ps4")
each = pytest.mark.parametrize("name", PROBLEM_SETS)


def source_of(name: str) -> nbformat.NotebookNode:
    return nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4)


def marks(cell) -> dict:
    return cell.metadata.get("nbgrader", {})


def without_markers(source: str) -> str:
    return re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", source, flags=re.M)


def answers(name: str) -> dict[str, str]:
    """The instructor's answer in each cell that a student fills in."""
    return {cell.id: without_markers(cell.source) for cell in source_of(name).cells if marks(cell).get("solution")}


def hand_in(release: nbformat.NotebookNode, answers: dict[str, str | None], file: Path) -> None:
    """Write the release with its answers filled in, the cells of None deleted, and without a picture at the end."""
    notebook = deepcopy(release)
    if not marks(notebook.cells[-1]):
        notebook.cells.pop()
    for cell in notebook.cells:
        grade_id = marks(cell).get("grade_id")
        if grade_id in answers and answers[grade_id] is not None:
            cell.source = answers[grade_id]
    notebook.cells = [
        cell for cell in notebook.cells if answers.get(marks(cell).get("grade_id", ""), "stays") is not None
    ]
    file.parent.mkdir(parents=True)
    nbformat.write(notebook, file)


def with_mistakes(right: dict[str, str], mistakes: list[Mistake]) -> dict[str, str | None]:
    changed: dict[str, str | None] = dict(right)
    for mistake in mistakes:
        for cell, change in mistake.changes.items():
            if isinstance(change, tuple):
                old, new = change
                assert right[cell].count(old) == 1, f"{mistake.name}: {cell} has {right[cell].count(old)} times {old!r}"
                change = right[cell].replace(old, new)
            changed[cell] = change
    return changed


def in_different_parts(mistakes: list[Mistake]) -> list[list[Mistake]]:
    """The mistakes of each student: of different cells and different tests, so that every loss has one cause."""
    students: list[list[Mistake]] = []
    for mistake in mistakes:
        touched = {*mistake.changes, *mistake.loses}
        for made in students:
            others = {name for other in made for name in (*other.changes, *other.loses)}
            if not touched & others and not os.environ.get("ONE_MISTAKE_EACH"):
                made.append(mistake)
                break
        else:
            students.append([mistake])
    return students


def nbgrader(course: Path, *arguments: str) -> None:
    """Run nbgrader as its users do, untouched by this user's own settings. Fails if it does."""
    own = {"JUPYTER_CONFIG_DIR": str(course / "own"), "IPYTHONDIR": str(course / "own"), "OMP_NUM_THREADS": "1"}
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls alembic by its name
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env={**os.environ, **own, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture
def course(tmp_path) -> Path:
    """A course of our own: the lecturer's has a gradebook and submissions that tests must not touch."""
    generated = shutil.ignore_patterns("release", "submitted", "autograded", "feedback", "*.db", "__pycache__", ".*")
    return Path(shutil.copytree(COURSE, tmp_path / "course", ignore=generated))


def assert_nothing_is_given_away(name: str, release: Path) -> None:
    text = (release / f"{name}.ipynb").read_text()
    assert "SOLUTION" not in text and "HIDDEN" not in text and "fresh()" not in text
    source = source_of(name)
    stubs = sum(cell.source.count("### BEGIN SOLUTION") for cell in source.cells if cell.cell_type == "code")
    assert text.count("raise NotImplementedError()") == stubs > 0
    assert (release / "checks.py").read_text() == (COURSE / "checks.py").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", nightly_but("ps2", PROBLEM_SETS))
def test_everybody_gets_the_points_that_they_deserve(name, course):
    gradebook = pytest.importorskip("nbgrader.api", reason="pip install -e '.[classroom]'").Gradebook
    bank = import_module(f"tests.assignments.{name}")
    assert len(bank.WRONG) >= 8
    right = answers(name)
    tests = {cell.id: marks(cell)["points"] for cell in source_of(name).cells if marks(cell).get("locked")}
    written = {cell.id for cell in source_of(name).cells if marks(cell).get("grade") and cell.id not in tests}
    assert set(bank.SECOND) == set(right) - written

    nbgrader(course, "generate_assignment", name)
    release = nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)
    assert_nothing_is_given_away(name, course / "release" / name)
    class_ = {"instructor": (right, set()), "empty": ({}, set(tests)), "second": ({**right, **bank.SECOND}, set())}
    wrong = in_different_parts(bank.WRONG)
    for number, mistakes in enumerate(wrong):
        assert all(mistake.loses <= set(tests) for mistake in mistakes), f"there are no such tests: {mistakes}"
        class_[f"wrong{number}"] = with_mistakes(right, mistakes), set().union(*(m.loses for m in mistakes))
    for student, (filled_in, _) in class_.items():
        hand_in(release, filled_in, course / "submitted" / student / name / f"{name}.ipynb")

    nbgrader(course, "autograde", name, "--Execute.timeout=60")

    unexpected = []
    with gradebook(f"sqlite:///{course}/gradebook.db") as book:
        for student, (_, loses) in class_.items():
            what = " + ".join(m.name for m in wrong[int(student[5:])]) if student.startswith("wrong") else student
            for grade in book.find_submission_notebook(name, name, student).grades:
                if grade.name in written:  # by hand; a text that nobody touched is 0 without a look
                    assert grade.needs_manual_grade == (student != "empty"), (student, grade.name)
                elif grade.auto_score != (0 if grade.name in loses else tests[grade.name]):
                    unexpected.append(f"{what}: {grade.auto_score} points in {grade.name}")
    assert not unexpected, "\n".join(unexpected)


@pytest.mark.slow
@each
def test_the_instructors_solution_passes_its_tests(name, tmp_path):
    """As one program, hidden tests included: what a kernel runs when the set is graded, but without nbgrader."""
    cells = [cell for cell in source_of(name).cells if cell.cell_type == "code"]
    cells = cells if marks(cells[-1]) else cells[:-1]  # a picture at the end, as in `hand_in`
    (tmp_path / "solution.py").write_text("\n".join(cell.source for cell in cells))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(COURSE), *sys.path]), "MPLBACKEND": "agg"}
    command = [sys.executable, tmp_path / "solution.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@each
def test_the_source_is_kept_without_outputs_and_is_complete(name):
    notebook = source_of(name)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert all(cell.id == marks(cell)["grade_id"] for cell in notebook.cells if marks(cell))
    tests = [cell for cell in notebook.cells if marks(cell).get("locked")]
    for cell in tests:
        assert "### BEGIN HIDDEN TESTS" in cell.source and "import checks" in cell.source, cell.id
        assert "checks.fresh()" in cell.source.split("### BEGIN HIDDEN TESTS")[1], cell.id
    points = sum(marks(cell).get("points", 0) for cell in notebook.cells)
    assert f"| **Points** | {points}, in " in notebook.cells[0].source

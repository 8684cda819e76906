"""The problem sets as a class meets them: instructor, empty hand-in, other right solutions, mistakes from a bank.

Each must get the right points in every part (`tests/assignments/`). Hand-ins are graded directly, without nbgrader; one
test goes the whole way from release to gradebook. Attacks on the grader are in test_abuse.py.

Parts are graded one by one, so a student of ours makes as many of the mistakes as lie in different parts. With
ONE_MISTAKE_EACH=1 in the environment every mistake has a student of its own.
"""

import csv
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from importlib import import_module
from multiprocessing import forkserver
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest

from tests.assignments import COURSE, Mistake
from tests.assignments.ps3 import UNTRAINED

from grading.answers import context  # isort: skip  (tests.assignments says where it is)
from grading.grade import Graded, grade, source_of  # isort: skip
from grading.hand_ins import NotGradable, is_answer, is_test, marks, released  # isort: skip

PROBLEM_SETS = ("ps1", "ps2", "ps3", "ps4")
nightly = [pytest.mark.slow, pytest.mark.nightly]
# Problem set 1 stands for all in `make test`; the others are graded at night.
each = pytest.mark.parametrize("name", PROBLEM_SETS)
first = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=nightly if name != "ps1" else pytest.mark.slow) for name in PROBLEM_SETS]
)


def without_markers(source: str) -> str:
    return re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", source, flags=re.M)


def answers(name: str) -> dict[str, str]:
    """The instructor's answer in each cell that a student fills in. Cells that are read, not run, are left short."""
    right = {marks(c)["grade_id"]: without_markers(c.source) for c in source_of(name).cells if is_answer(c)}
    return right | ({"experiment": "pass"} if "experiment" in right else {})


def bank(name: str):
    return import_module(f"tests.assignments.{name}")


def points(name: str) -> dict[str, float]:
    return {marks(cell)["grade_id"]: float(marks(cell)["points"]) for cell in source_of(name).cells if is_test(cell)}


def hand_in(name: str, filled_in: dict[str, str | None], file: Path) -> Path:
    """Write the release with these answers, the cells of None deleted."""
    notebook = source_of(name)
    for cell in notebook.cells:
        untouched = released(cell.source) if cell.cell_type == "code" or not is_answer(cell) else "YOUR ANSWER HERE"
        cell.source = filled_in.get(marks(cell).get("grade_id", "")) or untouched
    gone = {cell for cell, source in filled_in.items() if source is None}
    notebook.cells = [cell for cell in notebook.cells if marks(cell).get("grade_id") not in gone]
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, file)
    return file


def ways(name: str):
    """The problem set's processes. In one process of tests several sets are graded, each from a server of its own."""
    preload = import_module(f"grading.parts.{name}").PRELOAD
    if getattr(ways, "preload", preload) != preload:
        forkserver._forkserver._stop()
    ways.preload = preload
    return context(preload)


def graded(name: str, filled_in: dict[str, str | None], tmp_path: Path) -> Graded:
    return grade(name, hand_in(name, filled_in, tmp_path / f"{name}.ipynb"), ways(name))


def lost(result: Graded) -> dict[str, str]:
    """The parts without points, and why. A part has all its points or none."""
    assert all(part.points in (0, part.most) for part in result.parts.values())
    return {name: part.said for name, part in result.parts.items() if not part.points}


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


# Points ---------------------------------------------------------------------------------------------------------------


@first
def test_the_instructor_gets_all_and_an_empty_hand_in_nothing(name, tmp_path):
    assert lost(graded(name, answers(name), tmp_path)) == {}
    assert set(lost(graded(name, {}, tmp_path))) == set(points(name))


@first
def test_another_right_solution_gets_all(name, tmp_path):
    assert set(bank(name).SECOND) == {cell.removeprefix("test_") for cell in points(name)} - {"decoder_nats_tail"}
    assert lost(graded(name, answers(name) | bank(name).SECOND, tmp_path)) == {}


@first
def test_every_right_style_gets_all(name, tmp_path):
    assert len(bank(name).STYLES) >= 2
    for style, solution in bank(name).STYLES.items():
        untrained = {"model": UNTRAINED} if name == "ps3" else {}  # how a model is trained is no matter of style
        result = lost(graded(name, answers(name) | solution | untrained, tmp_path))
        assert set(result) == ({"test_model"} if untrained else set()), f"{style}: {result}"


@first
def test_every_mistake_loses_its_part_and_no_other(name, tmp_path):
    right, wrong, unexpected = answers(name), bank(name).WRONG, []
    assert len(wrong) >= 8
    assert {cell for mistake in wrong for cell in mistake.loses} == set(points(name))
    for mistakes in in_different_parts(wrong):
        filled_in, loses = with_mistakes(right, mistakes), set().union(*(m.loses for m in mistakes))
        if name == "ps3" and "model" not in {cell for m in mistakes for cell in m.changes}:
            filled_in, loses = filled_in | {"model": UNTRAINED}, loses | {"test_model"}
        found = lost(graded(name, filled_in, tmp_path))
        if set(found) != loses:
            unexpected.append(f"{' + '.join(m.name for m in mistakes)}: lost {found}, expected {loses}")
    assert not unexpected, "\n".join(unexpected)


@first
def test_what_the_course_and_the_first_edition_answer_is_worth_less_than_half(name, tmp_path):
    result = graded(name, answers(name) | bank(name).PASTED, tmp_path)
    assert set(bank(name).PASTED) <= set(answers(name))
    assert sum(part.points for part in result.parts.values()) < sum(points(name).values()) / 2, result.parts


@pytest.mark.slow
@pytest.mark.nightly
def test_a_model_that_was_not_trained_as_asked_says_why(tmp_path):
    """Of problem set 3, one hand-in of two parts is graded in `make test`: without training, without an experiment."""
    filled_in = answers("ps3") | {"model": UNTRAINED, "measure_all": None, "gain": None, "held_out": None}
    result = lost(graded("ps3", filled_in, tmp_path))
    assert set(result) == {"test_model", "test_measure_all", "test_gain", "test_held_out"}
    assert "no trained" in result["test_model"] and "missing" in result["test_gain"]


# The margin of problem set 3 ------------------------------------------------------------------------------------------


def train(**settings):
    import ddpm_dp

    config = {"T": 100, "width": 64, "depth": 2, "dropout": 0.0, "batch_size": 512, "learning_rate": 1e-2, "ema": 0.99}
    data = ddpm_dp.load_dataset("swiss-roll")
    return ddpm_dp.train(data, ddpm_dp.TrainConfig(**config, **settings), device="cpu", progress=False)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize(
    "steps, seeds, sound", [(500, 4, True), (1000, 3, True), (2, 2, False), (100, 2, False)], ids=str
)
def test_a_sound_model_always_passes_and_an_unsound_one_never(steps, seeds, sound):
    """Each trained model is judged 200 times, with new random numbers."""
    import ddpm_dp

    ps3, data = import_module("grading.parts.ps3"), ddpm_dp.load_dataset("swiss-roll")
    for seed in range(seeds):
        model = train(steps=steps, seed=seed)
        ratios = [ps3.against_linear(model, data, np.random.default_rng([seed, draw])) for draw in range(200)]
        assert all((ratio < ps3.LIMIT) == sound for ratio in ratios), (seed, min(ratios), max(ratios))
        assert abs(np.mean(ratios) - ps3.LIMIT) > 4 * np.std(ratios), (seed, np.mean(ratios), np.std(ratios))


# The whole way --------------------------------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path) -> Path:
    """A course of our own: the lecturer's has a gradebook and submissions that tests must not touch."""
    made = ("release", "submitted", "checked", "graded", "autograded", "feedback", "*.db", "__pycache__", ".*")
    return Path(shutil.copytree(COURSE, tmp_path / "course", ignore=shutil.ignore_patterns(*made)))


def run(course: Path, module: str, *arguments: str) -> str:
    """Run a program as its users do, untouched by this user's own settings. Fails if it does."""
    own = {"JUPYTER_CONFIG_DIR": str(course / "own"), "IPYTHONDIR": str(course / "own"), "OMP_NUM_THREADS": "1"}
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls alembic by its name
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=course,
        env={**os.environ, **own, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def assert_nothing_is_given_away(name: str, release: Path) -> None:
    text = (release / f"{name}.ipynb").read_text()
    source = source_of(name)
    assert "SOLUTION" not in text and "HIDDEN" not in text and "grading" not in {p.name for p in release.rglob("*")}
    assert "A good answer" not in text
    for cell in source.cells:
        for line in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, re.S):
            assert json.dumps(line.strip())[1:-1] not in text, line
    stubs = sum(cell.source.count("### BEGIN SOLUTION") for cell in source.cells if cell.cell_type == "code")
    assert text.count("raise NotImplementedError()") == stubs > 0
    assert (release / "checks.py").read_text() == (COURSE / "checks.py").read_text()


@first
def test_the_release_shows_no_answer(name, course):
    pytest.importorskip("nbgrader.api", reason="pip install -e '.[classroom]'")
    run(course, "nbgrader", "generate_assignment", name)
    assert_nothing_is_given_away(name, course / "release" / name)
    from_nbgrader = nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)
    for theirs, ours in zip(from_nbgrader.cells, source_of(name).cells, strict=True):
        if is_answer(ours) and ours.cell_type == "code":
            assert theirs.source.strip() == released(ours.source).strip()  # as the grader knows an untouched answer


@pytest.mark.slow
@pytest.mark.nightly
def test_from_hand_in_to_gradebook(course):
    gradebook = pytest.importorskip("nbgrader.api", reason="pip install -e '.[classroom]'").Gradebook
    name, most = "ps1", points("ps1")
    written = {marks(c)["grade_id"] for c in source_of(name).cells if marks(c).get("grade") and not is_test(c)}
    run(course, "nbgrader", "generate_assignment", name)
    mistake = next(m for m in bank(name).WRONG if m.name == "no bounds")
    class_ = {"right": answers(name), "empty": {}, "wrong": with_mistakes(answers(name), [mistake])}
    for student, filled_in in class_.items():
        hand_in(name, filled_in, course / "submitted" / student / name / f"{name}.ipynb")
    lost_file = course / "submitted" / "none" / name / f"{name}.ipynb"
    lost_file.parent.mkdir(parents=True)
    lost_file.write_text("no notebook")

    said = run(course, "grading", name, "-j", "1")

    assert "none" in said and "not gradable" in said and "3 graded" in said
    expected = {"right": set(), "empty": set(most), "wrong": mistake.loses}
    with gradebook(f"sqlite:///{course}/gradebook.db") as book:
        for student, loses in expected.items():
            for one in book.find_submission_notebook(name, name, student).grades:
                if one.name in written:  # by hand; a text that nobody touched is 0 without a look
                    assert one.needs_manual_grade == (student != "empty"), (student, one.name)
                else:
                    assert one.auto_score == (0 if one.name in loses else most[one.name]), (student, one.name)
    rows = {
        row["student"]: row for row in csv.DictReader((course / "graded" / f"{name}.csv").open(encoding="utf-8-sig"))
    }
    by_tests = {student: [row[part] for part in most] for student, row in rows.items()}
    assert set(by_tests["none"]) == {""} and set(map(float, by_tests["empty"])) == {0}
    assert sum(map(float, by_tests["wrong"])) == sum(most.values()) - most["test_best_rho"]


# Sources --------------------------------------------------------------------------------------------------------------


@each
def test_the_source_is_kept_without_outputs_and_is_complete(name):
    notebook = source_of(name)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert all(cell.id == marks(cell)["grade_id"] for cell in notebook.cells if marks(cell))
    parts = import_module(f"grading.parts.{name}").PARTS
    assert set(parts) == set(points(name))
    code = {marks(cell).get("grade_id") for cell in notebook.cells if is_answer(cell)}
    assert {getattr(test, "answer", test.__name__) for test in parts.values()} <= code
    total = sum(marks(cell).get("points", 0) for cell in notebook.cells)
    assert f"| **Points** | {total}, in " in notebook.cells[0].source


@each
def test_the_lecturers_table_has_its_points(name):
    by_tests = sum(points(name).values())
    by_hand = sum(marks(cell).get("points", 0) for cell in source_of(name).cells) - by_tests
    row = rf"^\| `{name}` \| .+ \| {by_tests:g} \| {by_hand:g} \|$"
    assert re.search(row, (COURSE / "README.md").read_text(), re.M)


@first
def test_the_reference_answers_pass_every_visible_test_in_one_kernel(name, tmp_path):
    notebook = deepcopy(source_of(name))
    for cell in notebook.cells:
        cell.source = without_markers(cell.source)
    shutil.copy(COURSE / "checks.py", tmp_path)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=None, startup_timeout=600, resources=resources).execute()
    said = " ".join(o.get("text", "") for cell in notebook.cells for o in cell.get("outputs", []))
    assert len(re.findall(r"The visible tests? of .* pass", said)) == len(points(name))


@pytest.mark.parametrize("name, other", list(itertools.permutations(PROBLEM_SETS, 2)))
def test_another_problem_set_is_not_graded(name, other, tmp_path):
    with pytest.raises(NotGradable, match="none of the cells of this problem set"):
        grade(name, hand_in(other, answers(other), tmp_path / f"{name}.ipynb"), None)

"""nbgrader's gradebook: it gets what was graded, and gives back what the lecturer added by hand.

nbgrader runs inside this process: its import, some 5 seconds of CPU, is paid once, what goes wrong with one hand-in
stops no other, and its log stays out of the table. (Per hand-in, `nbgrader autograde` costs about the same:
benchmarks/classroom.py.)
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.api import NbGraderAPI
from tqdm import tqdm
from traitlets.config.loader import PyFileConfigLoader

from grading.hand_ins import is_answer, marks


class Row(NamedTuple):
    """A student's line. points: of every part, by tests and by hand; None where nobody has looked yet.

    late: hours after the due date; None if the course has no due date or the hand-in no time.
    """

    points: dict[str, float | None]
    late: float | None


def api_of(course: Path) -> NbGraderAPI:
    """nbgrader with the course's own settings; it says nothing but errors."""
    programs = Path(sys.executable).parent  # nbgrader calls alembic by its name
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    api = NbGraderAPI(config=PyFileConfigLoader("nbgrader_config.py", str(course)).load_config())
    api.coursedir.root = str(course)
    api.log.setLevel("CRITICAL")  # what goes wrong is in the results of its methods
    return api


def _book(api: NbGraderAPI) -> Gradebook:
    return Gradebook(api.coursedir.db_url, api.coursedir.course_id)


def _worked(result: dict[str, Any]) -> str:
    """Why a call of nbgrader's failed, in a line; "" if it did not."""
    return "" if result["success"] else (result.get("log") or result["error"]).strip().splitlines()[-1]


def generate(api: NbGraderAPI, name: str) -> None:
    """Make release/name/, and tell the gradebook of it. Raises RuntimeError with nbgrader's words."""
    if why := _worked(api.generate_assignment(name, force=True)):
        raise RuntimeError(f"nbgrader does not release {name}: {why}")


def prepare(api: NbGraderAPI, name: str, source: nbformat.NotebookNode) -> None:
    """Tell the gradebook of a problem set, unless it knows it as it is."""
    graded = [marks(cell) for cell in source.cells if marks(cell).get("grade")]
    try:
        with _book(api) as book:
            known = {cell.name: cell.max_score for cell in book.find_notebook(name, name).grade_cells}
    except MissingEntry:
        known = {}
    if known != {mark["grade_id"]: float(mark["points"]) for mark in graded}:
        generate(api, name)


def fill(course: Path, name: str, source: nbformat.NotebookNode, students: list[str]) -> dict[str, str]:
    """Have nbgrader read checked/STUDENT/name/ of these students; returns what failed, by student.

    Points given by hand stay. They ask for another look only where the answer is another one now.
    """
    api, failed = api_of(course), {}
    prepare(api, name, source)
    for student in tqdm(students, f"gradebook {name}", unit="hand-in", disable=not students):
        before, file = _by_hand(api, name, student), course / "autograded" / student / name / f"{name}.ipynb"
        old = _answers(file)
        shutil.rmtree(file.parent, ignore_errors=True)
        if why := _worked(api.autograde(name, student)):
            failed[student] = f"nbgrader did not take it: {why}"
            continue
        same = {answer for answer, text in _answers(file).items() if old.get(answer) == text}
        if before & same:
            with _book(api) as book:
                for grade in book.find_submission_notebook(name, name, student).grades:
                    if grade.name in before & same:
                        grade.needs_manual_grade = False
                book.db.commit()
    return failed


def _answers(file: Path) -> dict[str, str]:
    """The answers in a graded notebook that a lecturer reads."""
    if not file.is_file():
        return {}
    cells = nbformat.read(file, as_version=4).cells
    return {marks(cell)["grade_id"]: cell.source for cell in cells if is_answer(cell) and marks(cell).get("grade")}


def _by_hand(api: NbGraderAPI, name: str, student: str) -> set[str]:
    """The parts that have points by hand, and need no other look."""
    try:
        with _book(api) as book:
            grades = book.find_submission_notebook(name, name, student).grades
            return {grade.name for grade in grades if grade.manual_score is not None and not grade.needs_manual_grade}
    except MissingEntry:
        return set()


def forget(course: Path, name: str, students: list[str]) -> None:
    """Take hand-ins out of the gradebook: what was handed in now cannot be graded."""
    api = api_of(course)
    for student in students:
        shutil.rmtree(course / "autograded" / student / name, ignore_errors=True)
        with _book(api) as book:
            try:
                book.remove_submission(name, student)
            except MissingEntry:
                pass


def read(course: Path, name: str) -> dict[str, Row]:
    """Every student's points as the gradebook has them, those by hand with them."""
    rows = {}
    with _book(api_of(course)) as book:
        for submission in book.assignment_submissions(name):
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            timed = submission.timestamp is not None and submission.duedate is not None
            rows[submission.student.id] = Row(
                {grade.name: None if grade.needs_manual_grade else grade.score for grade in grades},
                submission.total_seconds_late / 3600 if timed else None,
            )
    return rows

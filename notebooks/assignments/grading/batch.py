"""A whole class: collect, grade side by side, hand to nbgrader, and say what became of every hand-in.

    python -m grading ps1 --archive submissions.zip

reads a Canvas or Moodle archive (without one, what is in submitted/), grades, fills nbgrader's gradebook, prints a
table and writes graded/ps1.csv with the points of every part. A hand-in is graded again when it, its problem set or the
tests changed. Called again after grading by hand, it writes the points that were given there.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import nbformat
from tqdm import tqdm

from grading.answers import COURSE, context
from grading.archives import collect, marked_late
from grading.grade import as_json, grade, source_of
from grading.gradebook import Row, fill, forget, read
from grading.hand_ins import NotGradable, is_answer, is_test, marks


class Outcome(NamedTuple):
    """What became of one hand-in: its points, or why there are none. `fresh`: it was graded just now."""

    student: str
    points: dict[str, float] | None
    repairs: list[str]
    why_not: str
    fresh: bool = False


def find(folder: Path, name: str) -> Path:
    """The notebook in a student's folder: by its name, or the only one there. Raises NotGradable."""
    if (file := folder / f"{name}.ipynb").is_file():
        return file
    others = sorted(
        file for file in folder.rglob("*") if file.suffix.lower() == ".ipynb" and ".ipynb_checkpoints" not in file.parts
    )
    if len(others) == 1:
        return others[0]
    raise NotGradable(f"there is no {name}.ipynb" + (f", but {len(others)} other notebooks" if others else ""))


def fingerprint(name: str, file: Path) -> str:
    """Of all that points depend on: the hand-in, the problem set, its tests."""
    ours = (f"source/{name}/{name}.ipynb", f"grading/parts/{name}.py", "checks.py")
    needed = (file, *(COURSE / each for each in ours))
    return hashlib.sha256(b"".join(hashlib.sha256(each.read_bytes()).digest() for each in needed)).hexdigest()


def grade_one(course: Path, student: str, name: str, ways, again: bool) -> Outcome:
    """Grade, and write graded/STUDENT/name.json and checked/STUDENT/name/, which nbgrader reads."""
    folder, result = course / "submitted" / student / name, course / "graded" / student / f"{name}.json"
    checked = course / "checked" / student / name
    try:
        file = find(folder, name)
        known = fingerprint(name, file)
        if not again and result.is_file() and (before := json.loads(result.read_text())).get("sha256") == known:
            fresh = _stamp(folder, checked)
            return Outcome(student, {k: p["points"] for k, p in before["parts"].items()}, before["repairs"], "", fresh)
        graded = grade(name, file, ways)
        repairs = [*graded.repairs, *([f"it was called {file.name}"] if file.name != f"{name}.ipynb" else [])]
        result.unlink(missing_ok=True)  # last written, first taken away: while it is there, checked/ is whole
        checked.mkdir(parents=True, exist_ok=True)
        nbformat.write(harmless(graded.notebook), checked / f"{name}.ipynb")
        _stamp(folder, checked)
        said = {**json.loads(as_json(graded)), "repairs": repairs, "sha256": known}
        _write(result, json.dumps(said, indent=1) + "\n")
    except NotGradable as why:
        shutil.rmtree(checked, ignore_errors=True)
        result.unlink(missing_ok=True)
        return Outcome(student, None, [], str(why))
    except Exception as error:  # a fault of ours must not stop the others
        return Outcome(student, None, [], f"the grader failed: {type(error).__name__}: {error}")
    return Outcome(student, {key: part.points for key, part in graded.parts.items()}, repairs, "", True)


def harmless(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook in which no answer's text runs in a browser; the formgrader shows texts as they are.

    A tag is one only where a letter follows `<` at once, a link where `(` or `:` follows `]`: a space between makes a
    text of it, and leaves a formula as it was. Links to the web stay.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and is_answer(cell):
            cell.source = re.sub(r"<(?=[A-Za-z/!?])", "< ", cell.source)
            cell.source = re.sub(r"\](?=[(:](?!https?://))", "] ", cell.source)
    return notebook


def _stamp(folder: Path, checked: Path) -> bool:
    """Pass on the time of the hand-in, if there is one; returns whether it is new."""
    stamp, passed = folder / "timestamp.txt", checked / "timestamp.txt"
    if not stamp.is_file() or (passed.is_file() and passed.read_bytes() == stamp.read_bytes()):
        return False
    shutil.copy(stamp, passed)
    return True


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".part")
    temporary.write_text(text, encoding="utf-8", newline="")
    temporary.replace(file)


def grade_class(
    course: Path, name: str, students: list[str], processes: int, again: Collection[str] = ()
) -> list[Outcome]:
    """Grade students side by side, with a progress bar; one outcome each. Those in `again` also if nothing changed."""
    ways = context(import_module(f"grading.parts.{name}").PRELOAD)
    with ThreadPoolExecutor(processes) as pool:
        work = [pool.submit(grade_one, course, student, name, ways, student in again) for student in students]
        try:
            for _ in tqdm(as_completed(work), f"grading {name}", len(work), unit="hand-in"):
                pass
        except KeyboardInterrupt:  # what is graded stays; the next call goes on from there
            pool.shutdown(cancel_futures=True)
            raise
    return [job.result() for job in work]


def into_the_gradebook(course: Path, name: str, outcomes: list[Outcome]) -> list[Outcome]:
    """Have nbgrader read what is new, and forget what cannot be graded; the outcomes, with what failed there."""
    graded = [one for one in outcomes if one.points is not None]
    new = [one.student for one in graded if one.fresh or not (course / "autograded" / one.student / name).is_dir()]
    failed = fill(course, name, source_of(name), new)
    gone = [
        one.student for one in outcomes if one.points is None and not (course / "checked" / one.student / name).is_dir()
    ]
    forget(course, name, gone)
    return [one._replace(repairs=[*one.repairs, *filter(None, [failed.get(one.student)])]) for one in outcomes]


def write_csv(course: Path, name: str, outcomes: list[Outcome], rows: dict[str, Row]) -> Path:
    """A line for each hand-in: the platform's number, points of every part and their sum, hours late, remarks.

    Empty is not 0: the hand-in could not be graded, or the part waits for the lecturer, and then the sum does, too.
    """
    graded = [cell for cell in source_of(name).cells if marks(cell).get("grade")]
    parts = [marks(cell)["grade_id"] for cell in sorted(graded, key=lambda cell: not is_test(cell))]
    lines = [["student", "number", *parts, f"sum of {points_of(name):g}", "hours late", "remarks"]]
    for one in outcomes:
        row = rows.get(one.student) if one.points is not None else None
        points = [row.points.get(part) if row else None for part in parts]
        total = None if None in points else sum(points)
        late = None if row is None or row.late is None else round(row.late, 2)
        number = re.search(r"-(\d+)$", one.student)
        remarks = "; ".join(remarks_on(course, name, one))
        lines.append([one.student, number and number[1], *points, total, late, remarks])
    file = course / "graded" / f"{name}.csv"
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    _write(file, "\ufeff" + text.getvalue())  # the mark by which Excel knows UTF-8
    return file


def points_of(name: str) -> float:
    return sum(float(marks(cell).get("points", 0)) for cell in source_of(name).cells if marks(cell).get("grade"))


def remarks_on(course: Path, name: str, one: Outcome) -> list[str]:
    late = marked_late(course / "submitted" / one.student / name)
    why = [f"not gradable: {one.why_not}"] if one.why_not else []
    return [*why, *(["the platform says LATE"] if late else []), *one.repairs]


def table(course: Path, name: str, outcomes: list[Outcome], rows: dict[str, Row]) -> str:
    """A line for each hand-in, and how many there are of each kind."""
    lines, waiting = [], 0
    for one in outcomes:
        row = rows.get(one.student)
        if one.points is None or row is None:
            said = ["no points"]
        else:
            blank = sum(points is None for points in row.points.values())
            waiting += blank
            said = [f"{sum(filter(None, row.points.values())):g} of {points_of(name):g}"]
            said += [f"{blank} by hand to come"] if blank else []
            said += [f"{row.late:.1f} hours late"] if row.late else []
        lines.append(f"{one.student:30} {'; '.join([*said, *remarks_on(course, name, one)])}")
    graded = [one for one in outcomes if one.points is not None]
    repaired = sum(bool(one.repairs) for one in graded)
    lines.append(f"{len(graded)} graded, {repaired} of them repaired, {len(outcomes) - len(graded)} not gradable.")
    if waiting:
        lines.append(f"{waiting} answers wait for you (README.md, by hand); then call this again.")
    return "\n".join(lines)


def main() -> None:
    names = sorted(p.name for p in (COURSE / "source").iterdir() if p.is_dir())
    parser = argparse.ArgumentParser(prog="python -m grading", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=names)
    parser.add_argument("--archive", type=Path, help="a zip from Canvas or Moodle, unpacked to submitted/ first")
    parser.add_argument("-j", "--processes", type=int, default=os.cpu_count() or 1, help="default: all CPU cores")
    parser.add_argument("--again", nargs="*", metavar="STUDENT", help="grade these also if nothing changed; none: all")
    options = parser.parse_args()
    name, submitted = options.name, COURSE / "submitted"
    if options.archive:
        try:
            for sentence in collect(options.archive, name, submitted).left:
                print(f"left in the archive: {sentence}")
        except ValueError as error:
            sys.exit(str(error))
    everybody = sorted(p.parent.name for p in submitted.glob(f"*/{name}"))
    if not everybody:
        sys.exit(f"There is nothing in submitted/*/{name}/; put hand-ins there, or give --archive.")
    again = everybody if options.again == [] else options.again or ()
    if unknown := set(again) - set(everybody):
        sys.exit(f"There is no submitted/{min(unknown)}/{name}/; the students there are {', '.join(everybody)}.")
    outcomes = grade_class(COURSE, name, everybody, options.processes, again)
    outcomes = into_the_gradebook(COURSE, name, outcomes)
    rows = read(COURSE, name)
    print(table(COURSE, name, outcomes, rows))
    print(f"Points of every part: {write_csv(COURSE, name, outcomes, rows)}")

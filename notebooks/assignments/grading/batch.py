"""A whole class: collect, grade side by side, hand to nbgrader, and say what became of every hand-in.

    python -m grading ps1 --archive submissions.zip

reads a Canvas or Moodle archive (without one, what is in submitted/), grades, fills nbgrader's gradebook, prints a
table and writes graded/ps1.csv with the points of every part. A hand-in that did not change is not graded again.
"""

import argparse
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import nbformat
from tqdm import tqdm

from grading.answers import COURSE, context
from grading.grade import as_json, grade, source_of
from grading.hand_ins import NotGradable, is_test, marks

MOODLE = re.compile(r"(?P<name>[^/]+?)_(?P<number>\d+)_assignsubmission_file(?:_|/|_/)(?P<file>[^/]+)$")
CANVAS = re.compile(r"(?P<name>[^_/]+)_(?:LATE_)?(?P<number>\d+)_\d+_(?P<file>[^/]+)$")


class Outcome(NamedTuple):
    """What became of one hand-in: its points, or why there are none."""

    student: str
    points: dict[str, float] | None
    repairs: list[str]
    why_not: str


def collect(archive: Path, name: str, submitted: Path) -> list[str]:
    """Unpack a learning platform's archive to submitted/STUDENT/name/name.ipynb; returns what was left where it is.

    Of several notebooks of one student the newest counts. Student names become letters, digits and dashes, with the
    platform's number, so that two students of one name stay two. Raises ValueError if it is no archive.
    """
    if not zipfile.is_zipfile(archive):
        raise ValueError(
            f"{archive} is no zip file; expected the archive that Canvas or Moodle gives for an assignment."
        )
    left, newest = [], {}
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = PurePosixPath(entry.filename.replace("\\", "/"))
            match = MOODLE.search(str(path)) or CANVAS.search(str(path))
            if entry.is_dir():
                continue
            if match is None or not match["file"].lower().endswith(".ipynb"):
                left.append(entry.filename)
                continue
            student = re.sub(r"\W+", "-", f"{match['name']}-{match['number']}").strip("-")
            if student not in newest or newest[student].date_time <= entry.date_time:
                newest[student] = entry
        for student, entry in newest.items():
            folder = submitted / student / name
            folder.mkdir(parents=True, exist_ok=True)
            if entry.file_size > 50 * 2**20:
                left.append(entry.filename)
                continue
            (folder / f"{name}.ipynb").write_bytes(packed.read(entry))
            when = datetime(*entry.date_time, tzinfo=UTC)
            (folder / "timestamp.txt").write_text(when.strftime("%Y-%m-%d %H:%M:%S UTC"))
    return left


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


def grade_one(course: Path, student: str, name: str, ways, again: bool) -> Outcome:
    """Grade, and write graded/STUDENT/name.json and checked/STUDENT/name/, which nbgrader reads."""
    folder, result = course / "submitted" / student / name, course / "graded" / student / f"{name}.json"
    checked = course / "checked" / student / name
    try:
        file = find(folder, name)
        known = hashlib.sha256(file.read_bytes()).hexdigest()
        if not again and result.is_file() and (before := json.loads(result.read_text())).get("sha256") == known:
            return Outcome(student, {k: p["points"] for k, p in before["parts"].items()}, before["repairs"], "")
        graded = grade(name, file, ways)
        repairs = [*graded.repairs, *([f"it was called {file.name}"] if file.name != f"{name}.ipynb" else [])]
        checked.mkdir(parents=True, exist_ok=True)
        nbformat.write(graded.notebook, checked / f"{name}.ipynb")
        if (stamp := folder / "timestamp.txt").is_file():
            shutil.copy(stamp, checked)
        result.parent.mkdir(parents=True, exist_ok=True)
        said = {**json.loads(as_json(graded)), "repairs": repairs, "sha256": known}
        temporary = result.with_suffix(".part")
        temporary.write_text(json.dumps(said, indent=1) + "\n")
        temporary.replace(result)
    except NotGradable as why:
        shutil.rmtree(checked, ignore_errors=True)
        result.unlink(missing_ok=True)
        return Outcome(student, None, [], str(why))
    except Exception as error:  # a fault of ours must not stop the others
        return Outcome(student, None, [], f"the grader failed: {type(error).__name__}: {error}")
    return Outcome(student, {key: part.points for key, part in graded.parts.items()}, repairs, "")


def grade_class(course: Path, name: str, students: list[str], processes: int, again: bool = False) -> list[Outcome]:
    """Grade students side by side, with a progress bar; one outcome each, in the order of their names."""
    ways = context(import_module(f"grading.parts.{name}").PRELOAD)
    with ThreadPoolExecutor(processes) as pool:
        work = [pool.submit(grade_one, course, student, name, ways, again) for student in students]
        for job in tqdm(work, f"grading {name}", unit="hand-in"):
            job.result()
    return [job.result() for job in work]


def write_csv(course: Path, name: str, outcomes: list[Outcome]) -> Path:
    """A line for each hand-in: points of every part, their sum, remarks. Not graded: no points, which is not 0."""
    tests = [marks(cell)["grade_id"] for cell in source_of(name).cells if is_test(cell)]
    file = course / "graded" / f"{name}.csv"
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["student", *tests, "sum by tests", "remarks"])
        for one in outcomes:
            points = ["" for _ in tests] if one.points is None else [one.points[test] for test in tests]
            total = "" if one.points is None else sum(points)
            table.writerow([one.student, *points, total, "; ".join([one.why_not] * bool(one.why_not) + one.repairs)])
    return file


def into_the_gradebook(course: Path, name: str) -> None:
    """Have nbgrader read what was graded. Raises CalledProcessError, with nbgrader's words printed, if it does not."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls alembic by its name
    command = [sys.executable, "-m", "nbgrader", "autograde", name, "--force", "--log-level=WARN"]
    subprocess.run(command, cwd=course, env={**os.environ, "PATH": path}, check=True)


def table(outcomes: list[Outcome], most: float) -> str:
    lines = []
    for one in outcomes:
        if one.points is None:
            lines.append(f"{one.student:30} not gradable: {one.why_not}")
        else:
            repaired = f"  repaired: {'; '.join(one.repairs)}" if one.repairs else ""
            lines.append(f"{one.student:30} {sum(one.points.values()):g} of {most:g}{repaired}")
    graded = [one for one in outcomes if one.points is not None]
    repaired = sum(bool(one.repairs) for one in graded)
    lines.append(f"{len(graded)} graded, {repaired} of them repaired, {len(outcomes) - len(graded)} not gradable.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m grading", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=sorted(p.name for p in (COURSE / "source").iterdir() if p.is_dir()))
    parser.add_argument("students", nargs="*", help="folders in submitted/; default: all")
    parser.add_argument("--archive", type=Path, help="a zip from Canvas or Moodle, unpacked to submitted/ first")
    parser.add_argument("-j", "--processes", type=int, default=os.cpu_count() or 1, help="default: all CPU cores")
    parser.add_argument("--again", action="store_true", help="grade also what did not change")
    options = parser.parse_args()
    submitted = COURSE / "submitted"
    if options.archive:
        for file in collect(options.archive, options.name, submitted):
            print(f"left in the archive: {file}")
    students = options.students or sorted(p.parent.name for p in submitted.glob(f"*/{options.name}"))
    if not students:
        sys.exit(f"There is nothing in submitted/*/{options.name}/; put hand-ins there, or give --archive.")
    outcomes = grade_class(COURSE, options.name, students, options.processes, options.again)
    if any(one.points is not None for one in outcomes):
        into_the_gradebook(COURSE, options.name)
    most = sum(float(marks(cell)["points"]) for cell in source_of(options.name).cells if is_test(cell))
    print(table(outcomes, most))
    print(f"Points of every part: {write_csv(COURSE, options.name, outcomes)}")

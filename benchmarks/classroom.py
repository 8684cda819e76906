"""What grading a class costs: CPU seconds of a hand-in of each set, and of nbgrader's part in two ways.

    python benchmarks/classroom.py [--hand-ins 12]

Hand-ins are the sources' own answers. Every way runs as a process of its own, with one hand-in and with `--hand-ins`:
the difference is what one more costs, the rest is what is paid once. Seconds of CPU are counted, of all processes that
took part, so that a loaded machine tells the same. A class of 120 on 2 cores takes half of (once + 120 x each) where
work is shared between them; nbgrader's part is not shared, and counts in full.
"""

import argparse
import ctypes
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
SOLUTION = re.compile(r"^ *### (?:BEGIN|END) SOLUTION\n?", re.M)
GRADE = """
if __name__ == "__main__":
    from pathlib import Path
    from grading.batch import grade_class
    outcomes = grade_class(Path.cwd(), {name!r}, {students!r}, 2, {students!r})
    assert all(one.points and min(one.points.values()) > 0 for one in outcomes), outcomes
"""
FILL = """
from pathlib import Path
from grading.gradebook import fill, read
from grading.grade import source_of
assert not fill(Path.cwd(), {name!r}, source_of({name!r}), {students!r}) and len(read(Path.cwd(), {name!r})) > 0
"""
BY_NBGRADER = "import sys; sys.argv[1:] = ['autograde', {name!r}, '--force', '--log-level=ERROR', {only!r}]; " + (
    "import warnings; warnings.simplefilter('ignore'); from nbgrader.apps.nbgraderapp import main; main()"
)
FEEDBACK = BY_NBGRADER.replace("autograde", "generate_feedback")


def cpu(course: Path, program: str) -> float:
    """CPU seconds of a program and all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=course,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    while True:  # the server that starts students' processes outlives the program for a moment
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hand-ins", type=int, default=12)
    parser.add_argument("names", nargs="*", default=["ps1", "ps2", "ps3", "ps4"])
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # Linux: what outlives its parent becomes ours, so that it is counted
    print("set   way                                        once  each   120 on 2 cores")
    with tempfile.TemporaryDirectory() as folder:
        made = shutil.ignore_patterns(
            "release", "submitted", "checked", "graded", "autograded", "feedback", "*.db", ".*"
        )
        course = Path(shutil.copytree(ROOT / "notebooks" / "assignments", Path(folder) / "course", ignore=made))
        students = [f"s{number:02}" for number in range(options.hand_ins)]
        for name in options.names:
            notebook = nbformat.read(course / "source" / name / f"{name}.ipynb", as_version=4)
            for cell in notebook.cells:
                cell.source = SOLUTION.sub("", cell.source)
            for student in students:
                (course / "submitted" / student / name).mkdir(parents=True)
                nbformat.write(notebook, course / "submitted" / student / name / f"{name}.ipynb")
            cpu(course, GRADE.format(name=name, students=students[:1]))
            cpu(course, FILL.format(name=name, students=students[:1]))  # which makes the gradebook
            ways = [("python -m grading: students' code", GRADE, 2), ("python -m grading: gradebook", FILL, 1)]
            ways += [
                ("nbgrader autograde --force instead", BY_NBGRADER, 1),
                ("nbgrader generate_feedback", FEEDBACK, 1),
            ]
            for way, program, cores in ways:
                few, all_ = (
                    cpu(course, program.format(name=name, students=these, only=f"--CourseDirectory.student_id={only}"))
                    for these, only in ((students[:1], students[0]), (students, "*"))
                )
                each = (all_ - few) / (len(students) - 1)
                minutes = (few - each + 120 * each) / cores / 60
                print(f"{name:5} {way:40} {few - each:6.1f} {each:5.2f}   {minutes:5.1f} minutes", flush=True)


if __name__ == "__main__":
    main()

"""Generate the student version of every problem set and zip it, with what a student needs: `make assignments`."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from grading.gradebook import api_of, generate

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def line_of(notebook: Path) -> str:
    """A problem set's line in the students' README, from its first cell."""
    text = nbformat.read(notebook, as_version=4).cells[0].source
    title = re.search(r"^# Problem set \d+\. (.+)$", text, re.M)
    rows = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", text, re.M))
    return f"| `{notebook.stem}/` | {title[1]} | {rows['Time']} | {rows['Points']} | {rows['You need']} |"


def release(file: Path, course: Path = HERE) -> Path:
    """Write the zip.

    ps1/ and so on, each with checks.py beside its notebook; course/, all notebooks of the course, since those that a
    problem set asks for lead to others; docs/, the pages that these lead to; the package as a wheel, with the data that
    notebooks read; pinned versions; README.md.

    Raises RuntimeError if nbgrader does not release a problem set, or without checks.py.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ddpm_dp_assignments"
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)]
        subprocess.run(wheel, check=True)
        (package,) = out.glob("*.whl")
        api = api_of(course)
        for source in sorted((course / "source").iterdir()):
            generate(api, source.name)
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(course / "release" / source.name, out / source.name, ignore=ignored)
            if not (out / source.name / "checks.py").is_file():
                raise RuntimeError(f"{source.name} is without checks.py: see put_checks_beside in nbgrader_config.py")
        (out / "course").mkdir()
        for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
            text = notebook.read_text(encoding="utf-8")
            text = re.sub(r"-e ('?)\.\.", rf"\1../{package.name}", text)  # how to install what is missing
            (out / "course" / notebook.name).write_text(text, encoding="utf-8")
        (out / "docs").mkdir()
        for page in (ROOT / "docs").glob("*.md"):
            shutil.copy(page, out / "docs")
        lines = "\n".join(map(line_of, sorted((course / "source").glob("*/*.ipynb"))))
        students = (course / "STUDENTS.md").read_text(encoding="utf-8")
        students = students.replace("PROBLEM-SETS", lines).replace("WHEEL", package.name)
        (out / "README.md").write_text(students, encoding="utf-8")
        shutil.copy(ROOT / "constraints.txt", out)
        file.parent.mkdir(parents=True, exist_ok=True)
        packed = Path(shutil.make_archive(str(file.with_name(file.stem + ".part")), "zip", folder))
        return packed.replace(file.with_suffix(".zip"))


if __name__ == "__main__":
    print(release(Path(sys.argv[1]).resolve()))

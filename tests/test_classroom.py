"""The lecturer's page, followed to the letter: hand out, collect, grade, by hand, points and feedback out.

In a copy of the course folder, with a class of eight that hands in through Canvas and Moodle.
"""

import csv
import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.conftest import nightly_but

pytest.importorskip("nbgrader", reason="pip install -e '.[classroom]'")

ROOT = Path(__file__).parents[1]
COURSE = ROOT / "notebooks" / "assignments"
PAGE = (COURSE / "README.md").read_text()
TOLD = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.S | re.M) for line in block.splitlines()]
MADE = "release submitted checked graded autograded feedback *.db __pycache__ .*"
SOLUTION = re.compile(r"^ *### (?:BEGIN|END) SOLUTION\n?", re.M)
RUNS = "document.title = 'mine'"
SCRIPT = f"""<script>{RUNS}</script>, <IMG src=x onerror="{RUNS}">, $a<b <img src=x onerror="{RUNS}">$, <!-- -->

<details open ontoggle="{RUNS}"><summary>More</summary></details> [one](java&#115;cript:alert) [two][2] [web](https://a.b)

- <svg/onload="{RUNS}">

[2]: javascript:alert"""


def at(course: Path) -> dict[str, str]:
    """The environment of a lecturer who activated it, without settings of this machine's user."""
    own = {f"JUPYTER_{name}_DIR": str(course / f".{name.lower()}") for name in ("CONFIG", "RUNTIME")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **own, "PATH": path, "IPYTHONDIR": str(course / ".ipython"), "OMP_NUM_THREADS": "1"}


def told(course: Path, begins: str) -> str:
    """Run the one command of the page that begins so; returns what it printed. No warning may be there."""
    (command,) = [line for line in TOLD if line == begins or (begins.endswith(" ") and line.startswith(begins))]
    done = subprocess.run(command, shell=True, cwd=course, env=at(course), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Warning" not in done.stderr and "WARNING" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course of our own: the lecturer's has a gradebook and hand-ins that tests must not touch."""
    folder = tmp_path_factory.mktemp("classroom") / "course"
    return Path(shutil.copytree(COURSE, folder, ignore=shutil.ignore_patterns(*MADE.split())))


@pytest.fixture(scope="module")
def handed_out(course) -> Path:
    """The zip of `make assignments`, unpacked in a folder of its own."""
    where = [str(course.parent / "a.zip"), str(course)]
    release = f"from pathlib import Path; from release import release; release(*map(Path, {where}))"
    subprocess.run([sys.executable, "-c", release], cwd=COURSE, env=at(course), check=True, capture_output=True)
    with zipfile.ZipFile(course.parent / "a.zip") as packed:
        packed.extractall(course.parent / "student")
    return course.parent / "student" / "ddpm_dp_assignments"


def solved(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """A released notebook with the answers of the source in it."""
    source = nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4)
    answers = {
        c.metadata.nbgrader.grade_id: c.source for c in source.cells if c.metadata.get("nbgrader", {}).get("solution")
    }
    for cell in notebook.cells:
        if (grade_id := cell.metadata.get("nbgrader", {}).get("grade_id")) in answers:
            cell.source = SOLUTION.sub("", answers[grade_id])
    return notebook


# What is handed out ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_zip_holds_all_that_a_student_needs(handed_out):
    (wheel,) = handed_out.glob("ddpm_dp-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    assert {"ddpm_dp/solver/kernels.py", "ddpm_dp/data/digits/train.npz", "ddpm_dp/data/digits/test.npz"} <= names
    assert not [name for name in names if "assignments" in name]

    readme = (handed_out / "README.md").read_text()
    assert readme.count(wheel.name) >= 2 and "WHEEL" not in readme and (handed_out / "constraints.txt").is_file()
    here = {file.relative_to(handed_out).as_posix() for file in handed_out.rglob("*") if file.is_file()}
    for source in sorted((COURSE / "source").iterdir()):
        name = source.name
        assert {f"{name}/{name}.ipynb", f"{name}/checks.py"} == {path for path in here if path.startswith(f"{name}/")}
        assert (handed_out / name / "checks.py").read_bytes() == (COURSE / "checks.py").read_bytes()
        first = nbformat.read(source / f"{name}.ipynb", as_version=4).cells[0].source
        title, points = (
            re.search(p, first, re.M)[1] for p in (r"^# Problem set \d+\. (.+)$", r"\*\*Points\*\* \| (.+) \|")
        )
        assert title in readme and points in readme
    assert {f"course/{file.name}" for file in (ROOT / "notebooks").glob("*.ipynb")} <= here
    for notebook in handed_out.glob("course/*.ipynb"):
        text = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
        assert "-e .." not in text and "-e '.." not in text
        for link in re.findall(r"\]\((?!https?:)([\w./-]+\.\w+)(?:#[\w-]*)?\)", text):
            assert (notebook.parent / link).is_file(), f"{notebook.name} leads to {link}"
    assert not [path for path in here if re.search(r"grading|gradebook|nbgrader|source|\.db", path)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ps1", "ps2", "ps3", "ps4"])
def test_a_released_notebook_holds_no_answer(handed_out, name):
    text = (handed_out / name / f"{name}.ipynb").read_text()
    source = nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4)
    answers = [cell for cell in source.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    given = "\n".join(cell.source for cell in source.cells if cell not in answers)
    released = "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
    assert "SOLUTION" not in text and "HIDDEN" not in text
    for cell in answers:
        for answer in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, re.S):
            lines = [
                line.strip() for line in answer.splitlines() if len(line.strip()) > 20 and line.strip() not in given
            ]
            assert not [line for line in lines if line in released]
    tests = [line.strip() for line in (COURSE / "grading" / "parts" / f"{name}.py").read_text().splitlines()]
    # What an answer must look like, both tests say in the same words.
    assert not [
        line for line in tests if len(line) > 50 and line in released and not line.startswith(("assert ", '"', 'f"'))
    ]


def run_without_library(file: Path, notebook: nbformat.NotebookNode) -> None:
    """Run a notebook beside its checks.py where the package, PyTorch and matplotlib's windows are not installed."""
    missing = "import sys\nsys.modules |= dict.fromkeys(['ddpm_dp', 'torch', 'numba', 'sklearn'])"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(missing))
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(file.parent)}})
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""})


@pytest.mark.slow
@pytest.mark.parametrize("name", nightly_but("ps1", ["ps1", "ps2", "ps4"]))
def test_visible_tests_run_with_numpy_and_scipy_alone(handed_out, name):
    """They pass for right answers; and before anything is written, the first says so in words."""
    file = handed_out / name / f"{name}.ipynb"
    run_without_library(file, solved(nbformat.read(file, as_version=4), name))
    with pytest.raises(CellExecutionError, match="NotImplementedError"):
        run_without_library(file, nbformat.read(file, as_version=4))


def test_nothing_in_the_repository_is_a_symlink():
    """A clone on Windows makes text files of them."""
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not in a clone")
    assert not [line for line in listed.stdout.splitlines() if line.startswith("120000")]


# A class --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graded(course, handed_out) -> tuple[Path, str]:
    """The course after two archives were graded, and the table that was printed last."""
    blank = (handed_out / "ps1" / "ps1.ipynb").read_text()

    def with_answers(**changes: str) -> str:
        notebook = solved(nbformat.reads(blank, as_version=4), "ps1")
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = changes.get(grade_id, cell.source)
        return nbformat.writes(notebook)

    right = with_answers(why_a_sum=f"My argument.\n\n{SCRIPT}")
    wrong = with_answers(bits_per_dim="def bits_per_dim(nats, shape):\n    return nats")
    canvas = {
        "doejane_101_9001_ps1.ipynb": right,
        "garcíamaría_102_9002_ps1-1.ipynb": wrong,
        "lateleo_LATE_103_9003_ps1.ipynb": right,
        "emptyeve_104_9004_ps1.ipynb": blank,
    }
    moodle = {
        "Dan Müller_201_assignsubmission_file/ps1.ipynb": right[: right.index("def step_price")],
        "Rita Rubbish_202_assignsubmission_file/ps1.ipynb": "I could not export it",
        "Paul Pdf_203_assignsubmission_file/ps1.pdf": "%PDF",
        "王小明_204_assignsubmission_file/answers/ps1.ipynb": right,
    }
    told(course, "nbgrader db assignment add ps1 ")
    (grade,) = [line for line in TOLD if line.startswith("python -m grading ps1 -j 2 --archive ")]
    for hand_ins in (canvas, moodle):
        with zipfile.ZipFile(course / grade.split()[-1], "w") as packed:
            for path, text in hand_ins.items():
                packed.writestr(path, text)
        if hand_ins is moodle:  # nbgrader's own exchange writes such times, and a lecturer may
            stamp = course / "submitted" / "doejane-101" / "ps1" / "timestamp.txt"
            stamp.write_text("2026-12-01 09:30 UTC\n")
        printed = told(course, grade)
    return course, printed


def lines_of(course: Path) -> dict[str, dict[str, str]]:
    with (course / "graded" / "ps1.csv").open(encoding="utf-8-sig", newline="") as file:
        return {line["student"]: line for line in csv.DictReader(file)}


@pytest.mark.slow
def test_the_table_says_what_became_of_everybody(graded):
    course, printed = graded
    said = dict(re.findall(r"^(\S+-\d+) +(.*)$", printed, re.M))
    assert said["doejane-101"] == "34 of 40; 1 by hand to come; 9.5 hours late"
    assert said["garcíamaría-102"] == "32 of 40; 1 by hand to come"
    assert said["lateleo-103"] == "34 of 40; 1 by hand to come; the platform says LATE"
    assert said["emptyeve-104"] == "0 of 40"
    assert "the file is damaged or cut off" in said["Dan-Müller-201"] and " of 40" in said["Dan-Müller-201"]
    assert said["Rita-Rubbish-202"].startswith("no points; not gradable: the file is no notebook")
    assert said["Paul-Pdf-203"] == "no points; not gradable: there is no ps1.ipynb"
    assert said["王小明-204"] == "34 of 40; 1 by hand to come"
    assert "6 graded, 1 of them repaired, 2 not gradable." in printed
    assert "left in the archive: Paul Pdf_203_assignsubmission_file/ps1.pdf: not a notebook" in printed


@pytest.mark.slow
def test_gradebook_json_and_csv_agree(graded):
    from nbgrader.api import Gradebook

    course, _ = graded
    lines = lines_of(course)
    with Gradebook(f"sqlite:///{course}/gradebook.db", "ddpm_dp") as book:
        submissions = {submission.student.id: submission for submission in book.assignment_submissions("ps1")}
        assert set(submissions) == {file.parts[-2] for file in (course / "graded").glob("*/ps1.json")}
        for student, submission in submissions.items():
            parts = json.loads((course / "graded" / student / "ps1.json").read_text())["parts"]
            grades = {grade.name: grade for grade in submission.notebooks[0].grades}
            assert {name: grade.auto_score for name, grade in grades.items() if name in parts} == {
                name: part["points"] for name, part in parts.items()
            }
            assert {name: float(lines[student][name]) for name in parts} == {
                name: part["points"] for name, part in parts.items()
            }
            assert [name for name in grades if name not in parts] == ["why_a_sum"]
    assert lines["emptyeve-104"]["why_a_sum"] == "0.0" and lines["emptyeve-104"]["sum of 40"] == "0.0"
    assert lines["doejane-101"]["number"] == "101" and lines["doejane-101"]["hours late"] == "9.52"
    for student, line in lines.items():
        waits = student != "emptyeve-104"
        assert (line["sum of 40"] == "") == waits and (line["why_a_sum"] == "") == waits, student
    for student in ("Rita-Rubbish-202", "Paul-Pdf-203"):
        assert not any(lines[student][part] for part in lines[student] if part not in ("student", "number", "remarks"))


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.nightly
def test_the_formgrader_shows_the_class_and_takes_points(graded, chromium):
    """In a browser, with the page's command; a script in an answer does not run there. The points reach the CSV."""
    course, _ = graded
    (command,) = [line for line in TOLD if line.startswith("jupyter server ")]
    options = "--no-browser --port=0 --allow-root --IdentityProvider.token="
    log = (course / "log").open("w")
    server = subprocess.Popen([*command.split(), *options.split()], cwd=course, env=at(course), stdout=log, stderr=log)
    try:
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        page.goto(address(course, server))
        page.get_by_role("link", name="Manual Grading").click()
        for link in ("/gradebook/ps1", "/gradebook/ps1/ps1"):
            page.locator(f"tbody a[href$='{link}']").click()
        page.get_by_text("Submission #6").wait_for()
        page.get_by_role("button", name="Show All Names").click()
        students = {file.parts[-2] for file in (course / "graded").glob("*/ps1.json")}
        assert set(page.locator("tbody a.name-shown").all_inner_texts()) == students
        page.get_by_role("link", name="王小明-204").click()
        score = page.locator("input#why_a_sum")
        score.wait_for()
        page.wait_for_load_state("networkidle")
        assert page.title() != "mine" and page.locator("[onerror], [ontoggle], [onload], a[href^=java]").count() == 0
        score.fill("5.5")
        with page.expect_response(lambda response: response.request.method == "PUT" and "/api/grade/" in response.url):
            score.press("Tab")
    finally:
        server.terminate()
        server.wait(20)
        log.close()
    told(course, "python -m grading ps1")
    sums = [line["sum of 40"] for line in lines_of(course).values()]
    assert sorted(sums) == [*[""] * (len(sums) - 2), "0.0", "39.5"]


def address(course: Path, server: subprocess.Popen) -> str:
    for _ in range(600):
        for file in (course / ".runtime").glob("jpserver-*.json"):
            return json.loads(file.read_text())["url"]
        assert server.poll() is None, (course / "log").read_text()
        time.sleep(0.1)
    raise AssertionError("the server did not start within a minute: " + (course / "log").read_text())


@pytest.mark.slow
@pytest.mark.nightly
def test_points_by_hand_reach_the_csv_and_stay(graded):
    from nbgrader.api import Gradebook

    course, _ = graded
    with Gradebook(f"sqlite:///{course}/gradebook.db", "ddpm_dp") as book:  # as the formgrader does: see above
        grade = book.find_grade("why_a_sum", "ps1", "ps1", "doejane-101")
        grade.manual_score, grade.needs_manual_grade = 4.5, False
        book.db.commit()
    told(course, "python -m grading ps1")
    line = lines_of(course)["doejane-101"]
    assert (line["why_a_sum"], line["sum of 40"]) == ("4.5", "38.5")

    def again() -> dict[str, str]:
        command = [sys.executable, "-m", "grading", "ps1", "--again", "doejane-101"]
        subprocess.run(command, cwd=course, env=at(course), check=True, capture_output=True)
        assert len(lines_of(course)) == 8  # the others' lines stay
        return lines_of(course)["doejane-101"]

    assert again()["sum of 40"] == "38.5"
    file = course / "submitted" / "doejane-101" / "ps1" / "ps1.ipynb"
    file.write_text(file.read_text().replace("My argument.", "Another argument."))
    assert again()["sum of 40"] == ""


@pytest.mark.slow
def test_feedback_tells_what_was_wrong_and_no_answer(graded):
    course, _ = graded
    told(course, "nbgrader generate_feedback ps1")
    pages = {file.parts[-3]: file.read_text() for file in (course / "feedback").glob("*/ps1/ps1.html")}
    assert set(pages) == {file.parts[-2] for file in (course / "graded").glob("*/ps1.json")}
    read = {student: html.unescape(re.sub(r"<[^>]*>", "", page)) for student, page in pages.items()}
    parts = json.loads((course / "graded" / "garcíamaría-102" / "ps1.json").read_text())["parts"]
    (said,) = [part["said"] for part in parts.values() if part["said"]]
    assert said.startswith("bits_per_dim") and said in read["garcíamaría-102"]
    page = pages["王小明-204"]
    assert "My argument." in page and 'href="https://a.b"' in page and RUNS in page
    assert not re.search(r"<[^<>]*document\.title|href=\W*java|<script>document", page)
    source = nbformat.read(COURSE / "source" / "ps1" / "ps1.ipynb", as_version=4)
    answers = [line for cell in source.cells for line in re.findall(r"BEGIN SOLUTION\n(.*?)### END", cell.source, re.S)]
    given = "\n".join(re.sub(r"### BEGIN SOLUTION.*?### END", "", cell.source, flags=re.S) for cell in source.cells)
    secrets = "\n".join([*answers, (COURSE / "grading" / "parts" / "ps1.py").read_text()]).splitlines()
    for line in map(str.strip, secrets):
        if len(line) > 30 and line not in given:
            assert line not in read["emptyeve-104"], line

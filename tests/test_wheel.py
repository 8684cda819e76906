"""What is published: the wheel, as `pip install` finds it, and the source archive."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from email import message_from_bytes
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ddpm_dp

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

FEW_LINES = """
import ddpm_dp
stats  = ddpm_dp.DenoisingStatistics.load(ddpm_dp.shipped("digits/train.npz"))
images = ddpm_dp.sample(ddpm_dp.load("digits"), [0, 30, 1000], n=4, variance="analytic", statistics=stats)
assert images.shape == (4, 1, 8, 8), images.shape
"""


def test_the_wheel_asks_for_all_that_the_package_imports():
    """By name: in its own dependencies, in an extra's, or in theirs."""
    trees = (ast.parse(file.read_text()) for file in (ROOT / "ddpm_dp").rglob("*.py"))
    nodes = [node for tree in trees for node in ast.walk(tree)]
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    modules = {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names) - {"ddpm_dp"}
    asked, waiting = set(), {canonicalize_name(Requirement(each).name) for each in requires("ddpm-dp")}
    while waiting:
        asked.add(name := waiting.pop())
        wanted = map(Requirement, requires(name) or [])
        needed = (each for each in wanted if not each.marker or each.marker.evaluate({"extra": ""}))
        waiting |= {canonicalize_name(each.name) for each in needed} - asked
    owners = packages_distributions()
    assert "torch" in modules and "numba" in modules
    for module in modules:
        assert {canonicalize_name(owner) for owner in owners.get(module, [module])} & asked, module


CLEAN = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder with both, made as `make dist` makes them: the wheel from the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=CLEAN)
    return folder


@pytest.fixture(scope="module")
def wheel(published) -> Path:
    (file,) = published.glob("*.whl")
    return file


def kept(*folders: str) -> set[str]:
    """The clone's files, but those that git ignores."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    files = subprocess.check_output(listed, cwd=ROOT, text=True).split("\0")
    return {file for file in files if file and (ROOT / file).is_file()}


def run_in(folder: Path, python: str | Path, code: str, **environment: str) -> None:
    """Run the code in that folder, with the package that is installed there, and not the clone's."""
    code += "\nprint(ddpm_dp.__file__)"
    run = {"check": True, "capture_output": True, "text": True, "cwd": folder, "env": CLEAN | environment}
    printed = subprocess.run([python, "-c", code], **run).stdout
    assert str(folder) in printed and str(ROOT) not in printed


def first_lines() -> str:
    """The README's lines of Python that make a path."""
    return re.search(r"```python\n(import ddpm_dp\n.*?ddpm_dp\.solve.*?)```", (ROOT / "README.md").read_text(), re.S)[1]


@pytest.mark.slow
def test_the_wheel_has_the_files_of_the_package_its_data_and_no_more(wheel, tmp_path):
    """Unpacked alone, it has what the clone has, and finds it; what it imports is this environment's."""
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        there = {name for name in archive.namelist() if ".dist-info/" not in name}
    clone = {file if file.startswith("ddpm_dp/") else f"ddpm_dp/{file}": file for file in kept("ddpm_dp", "data")}
    assert there == set(clone) and "ddpm_dp/py.typed" in there
    for name, file in clone.items():
        assert (tmp_path / name).read_bytes() == (ROOT / file).read_bytes(), file
    run_in(tmp_path, sys.executable, FEW_LINES, PYTHONPATH=str(tmp_path))


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel):
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        said = message_from_bytes(archive.read(name))
        licences = [
            archive.read(f"{Path(name).parent.as_posix()}/licenses/{file}") for file in PROJECT["license-files"]
        ]
    assert said["Version"] == ddpm_dp.__version__ and said["Requires-Python"] == PROJECT["requires-python"]
    assert licences == [(ROOT / file).read_bytes() for file in PROJECT["license-files"]]
    asked = {Requirement(line) for line in said.get_all("Requires-Dist") if "extra ==" not in line}
    assert asked == {Requirement(line) for line in PROJECT["dependencies"]}


@pytest.mark.slow
def test_the_source_archive_is_the_clone(published):
    (file,) = published.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        there = {name.partition("/")[2] for name in archive.getnames()}
    assert there == kept() | {"PKG-INFO"}


@pytest.mark.slow
def test_an_index_would_take_both(published):
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *published.iterdir()], check=True)


@pytest.mark.nightly  # installs torch, and compiles the search anew
def test_the_wheel_works_in_an_empty_environment(wheel, tmp_path):
    """The README's first lines, on some images; the command; no dependency that another one contradicts."""
    run = {"check": True, "capture_output": True, "env": CLEAN}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], **run)
    programs = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [programs / "python", "-m", "pip"]
    install = [*pip, "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*install, "torch"], **run)  # first, and pinned: see the Makefile
    subprocess.run([*install, wheel], **run)
    subprocess.run([*pip, "check"], **run)
    lines, some = re.subn(r"(load_dataset\(.+\)\.train)$", r"\1[:20]", first_lines(), flags=re.M)
    version = "from importlib.metadata import version; assert version('ddpm-dp') == ddpm_dp.__version__"
    run_in(tmp_path, programs / "python", f"{lines}\nassert samples.shape[1:] == images.shape[1:]\n{version}")
    assert some == 1 and "solve" in subprocess.run([programs / "ddpm-dp", "--help"], text=True, **run).stdout

"""The wheel, as `pip install` finds it."""

import ast
import os
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

SIX_LINES = """
import ddpm_dp
images = ddpm_dp.load_dataset("digits").train[:20]
model  = ddpm_dp.load("digits")
stats  = ddpm_dp.measure(model, images)
costs  = ddpm_dp.step_costs(stats, variance="analytic")
best   = ddpm_dp.solve(costs, budgets=256)
path   = best.path(32)
images = ddpm_dp.sample(model, path, n=4)
assert images.shape == (4, 1, 8, 8) and len(path) == 33, (images.shape, path)
"""

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
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=CLEAN)
    (file,) = folder.glob("*.whl")
    return file


def run_in(folder: Path, python: str | Path, code: str, **environment: str) -> None:
    """Run the code in that folder, with the package that is installed there, and not the clone's."""
    code += "\nprint(ddpm_dp.__file__)"
    run = {"check": True, "capture_output": True, "text": True, "cwd": folder, "env": CLEAN | environment}
    printed = subprocess.run([python, "-c", code], **run).stdout
    assert str(folder) in printed and str(ROOT) not in printed


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package(wheel, tmp_path):
    """Unpacked alone, it has what the clone has, and finds it; what it imports is this environment's."""
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    for folder in ("ddpm_dp", "data"):
        listed = subprocess.check_output(["git", "ls-files", "-z", folder], cwd=ROOT, text=True)
        for file in filter(None, listed.split("\0")):
            there = tmp_path / "ddpm_dp" / Path(file).relative_to("ddpm_dp" if folder == "ddpm_dp" else ".")
            assert there.read_bytes() == (ROOT / file).read_bytes(), file
    run_in(tmp_path, sys.executable, FEW_LINES, PYTHONPATH=str(tmp_path))


@pytest.mark.nightly  # installs torch, and compiles the search anew
def test_the_wheel_works_in_an_empty_environment(wheel, tmp_path):
    run = {"check": True, "capture_output": True, "env": CLEAN}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], **run)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*pip, "torch"], **run)  # first, and pinned: see the Makefile
    subprocess.run([*pip, wheel], **run)
    run_in(tmp_path, python, SIX_LINES)

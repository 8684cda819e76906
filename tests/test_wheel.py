"""The wheel, as `pip install` finds it."""

import ast
import os
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

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
assert "clone" not in ddpm_dp.__file__
print(ddpm_dp.__file__)
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


@pytest.mark.slow  # installs torch
def test_wheel_works_without_the_clone(tmp_path):
    """Build the wheel, install it alone in an empty environment, and run the six lines somewhere else."""
    run = {"check": True, "capture_output": True, "text": True, "cwd": tmp_path}
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT], **run, env=clean)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], **run)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*pip, "torch"], **run, env=clean)  # first, and pinned: see the Makefile
    subprocess.run([*pip, wheel], **run, env=clean)
    printed = subprocess.run([python, "-c", SIX_LINES], **run, env=clean).stdout
    assert str(tmp_path) in printed and str(ROOT) not in printed

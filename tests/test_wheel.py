"""The wheel, as `pip install` finds it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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

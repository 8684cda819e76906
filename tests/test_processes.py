"""Several processes: the same numbers as one, and a job that dies can go on. Launched for real, on CPUs (gloo)."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ddpm_dp import DenoisingStatistics, TrainConfig, load, load_dataset, train
from ddpm_dp.cli import main

pytestmark = pytest.mark.slow  # processes that import torch first

ONE = [sys.executable]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
# --multi_gpu is what makes it start several; without a GPU they work on the CPU. (--cpu would start one, whatever it is
# told.)
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port=0", "--mixed_precision=no"]
ACCELERATE += ["--dynamo_backend=no", "--num_machines=1", "--multi_gpu", "--num_processes"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tiny model with a second output, so that all that `measure` sums up is there."""
    folder = tmp_path_factory.mktemp("processes")
    config = TrainConfig(T=40, steps=5, width=16, depth=1, loss="hybrid")
    train(load_dataset("digits"), config, device="cpu", progress=False).save(folder / "model.safetensors")
    assert main(measuring(folder, "one.npz")) == 0
    return folder


def measuring(folder: Path, out: str, batch_size: int = 50) -> list[str]:
    words = f"measure {{model}} digits --images 301 --batch-size {batch_size} --device cpu --out {{out}}"
    return [word.format(model=folder / "model.safetensors", out=folder / out) for word in words.split()]


def launch(*command, **environment) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | environment
    return subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, timeout=240)


def assert_same(a: Path, b: Path, tolerance: float) -> None:
    a, b = DenoisingStatistics.load(a), DenoisingStatistics.load(b)
    assert (a.model_id, a.data_id, a.n) == (b.model_id, b.data_id, b.n)
    pairs = [(getattr(a, name), getattr(b, name)) for name in ("counts", "squared_error", "prior", "fitted_m")]
    for name in ("all", "v", "bounds"):
        parts = ("nats", "of_group", "fitted", "training")
        pairs += [(getattr(a.curves[name], part), getattr(b.curves[name], part)) for part in parts]
    pairs += [(getattr(a.cells["v"], part), getattr(b.cells["v"], part)) for part in ("mass", "error", "low", "high")]
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=0)


@pytest.mark.parametrize(
    ("launcher", "n", "batch_size"), [(ACCELERATE, 2, 50), pytest.param(TORCHRUN, 3, 160, marks=pytest.mark.nightly)]
)
def test_statistics_do_not_depend_on_the_number_of_processes(folder, launcher, n, batch_size):
    """To the order in which float64 numbers are added, for the same batches; where those are too few, it is said.

    (Other batches would round otherwise: a matrix product in float32 takes another kernel.)
    """
    assert main(measuring(folder, f"one_{batch_size}.npz", batch_size)) == 0
    done = launch(*launcher, n, "-m", "ddpm_dp", *measuring(folder, f"{n}.npz", batch_size))
    assert done.returncode == 0, done.stderr
    assert ("1 of 3 processes have nothing to do" in done.stdout) == (n == 3)
    assert done.stdout.count("Wrote") == 1  # together, not each for itself
    assert_same(folder / f"one_{batch_size}.npz", folder / f"{n}.npz", 1e-12)  # 301 images x 64 pixels: sqrt(2e4) ulps
    assert not (folder / f"{n}.npz.checkpoint").exists()


# One process is killed when it comes to timestep 23; every row is saved at once: there is something to go on from.
DYING = """
import os, signal
from ddpm_dp import cli
from ddpm_dp.measuring import loop
from ddpm_dp.measuring.survey import Survey
loop.measure.__wrapped__.__kwdefaults__["save_every"] = 0
at = Survey.at
def dying(self, t):
    if self.processes.rank == {rank} and t == 23:
        os.kill(os.getpid(), signal.SIGKILL)
    return at(self, t)
Survey.at = dying
raise SystemExit(cli.main({arguments}))
"""


@pytest.mark.parametrize(("launcher", "rank"), [(ONE, 0), pytest.param([*TORCHRUN, 2], 1, marks=pytest.mark.nightly)])
def test_a_killed_job_ends_with_an_error_and_goes_on_to_the_same_numbers(folder, launcher, rank, capfd):
    out = f"killed{rank}.npz"
    script = folder / "dying.py"
    script.write_text(DYING.format(rank=rank, arguments=measuring(folder, out)))
    died = launch(*launcher, script)
    assert died.returncode != 0 and not (folder / out).exists()
    assert rank == 0 or "Signal 9" in died.stderr
    with np.load(folder / f"{out}.checkpoint") as rows:
        assert 20 <= len(rows["cells.all.error_of_group"]) <= 22  # the timesteps before 23
    assert main(measuring(folder, out)) == 0
    assert " 22/40 " in capfd.readouterr().err.replace("21/40", "22/40")  # the bar begins there
    assert_same(folder / "one.npz", folder / out, 0 if rank == 0 else 1e-12)
    assert not (folder / f"{out}.checkpoint").exists()


@pytest.mark.nightly
def test_training_does_not_depend_on_the_number_of_processes(tmp_path):
    words = "train digits --T 40 --steps 12 --width 16 --depth 1 --dropout 0 --loss vlb --batch-size 12 --device cpu"
    assert main([*words.split(), "--out", str(tmp_path / "one.safetensors")]) == 0
    done = launch(*ACCELERATE, 2, "-m", "ddpm_dp", *words.split(), "--out", tmp_path / "two.safetensors")
    assert done.returncode == 0, done.stderr
    one, two = (load(tmp_path / f"{name}.safetensors", "cpu").network for name in ("one", "two"))
    untrained = train(load_dataset("digits"), TrainConfig(T=40, steps=1, width=16, depth=1, dropout=0.0, loss="vlb"))

    def distance(other) -> float:
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        return max((a - b).abs().max().item() for a, b in pairs)

    # Adam divides by |gradient|: rounding in a tiny one moves a weight by as much as a step can. Twelve warm-up steps
    # add up to 1.6e-3; a handful of weights that go another way for one of them stay below a tenth of that.
    assert distance(two) < 1e-4 < distance(untrained.network)


def test_processes_that_cannot_share_a_batch_are_refused(tmp_path):
    words = f"train digits --steps 2 --batch-size 5 --device cpu --out {tmp_path / 'm.safetensors'}"
    done = launch(*TORCHRUN, 2, "-m", "ddpm_dp", *words.split())
    assert done.returncode != 0 and "batch_size = 5 cannot be shared evenly by 2 processes" in done.stderr


@pytest.mark.nightly
def test_in_a_notebook(folder):
    """`notebook_launcher` is for GPUs; on CPUs Accelerate's own stand-in for it is `debug_launcher`."""
    code = (
        "from accelerate import debug_launcher; from ddpm_dp.cli import main\n"
        f"debug_launcher(main, ({measuring(folder, 'notebook.npz')},), num_processes=2)"
    )
    done = launch(*ONE, "-c", code)
    assert done.returncode == 0, done.stderr
    assert_same(folder / "one.npz", folder / "notebook.npz", 1e-12)

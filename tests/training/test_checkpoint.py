import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from ddpm_dp import TrainConfig, load, load_dataset, measure, step_costs, train
from tests.conftest import interrupt_training
from tests.training.small import TINY, weights


@pytest.mark.parametrize("stop", [20, 37])
def test_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path, monkeypatch, stop):
    data = load_dataset("swiss-roll")
    whole = train(data, TINY, device="cpu", progress=False)
    file = tmp_path / "run.checkpoint"
    interrupt_training(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        train(data, TINY, checkpoint=file, save_every=10, device="cpu", progress=False)
    monkeypatch.undo()
    resumed = train(data, TINY, checkpoint=file, device="cpu", progress=False)
    assert torch.equal(weights(resumed), weights(whole)) and resumed.id == whole.id


KILLED = """
from ddpm_dp import TrainConfig, load_dataset, train
import torch
torch.set_num_threads(1)
train(load_dataset("swiss-roll"), TrainConfig(T=50, steps=800, width=16, depth=1, batch_size=32), checkpoint={file!r},
      save_every=20, device="cpu")
"""


@pytest.mark.slow
def test_training_survives_kill_9(tmp_path):
    file = tmp_path / "run.checkpoint"
    process = subprocess.Popen([sys.executable, "-c", KILLED.format(file=str(file))], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    data, config = load_dataset("swiss-roll"), TrainConfig(T=50, steps=800, width=16, depth=1, batch_size=32)
    assert torch.equal(
        weights(train(data, config, checkpoint=file, device="cpu", progress=False)),
        weights(train(data, config, device="cpu", progress=False)),
    )


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    file = tmp_path / "run.checkpoint"
    data = load_dataset("swiss-roll")
    train(data, TINY, checkpoint=file, device="cpu", progress=False)
    with pytest.raises(ValueError, match="not a checkpoint of this run"):
        train(data, replace(TINY, seed=1), checkpoint=file, device="cpu", progress=False)
    with pytest.raises(ValueError, match="not a checkpoint of this run"):
        train(load_dataset("two-moons"), TINY, checkpoint=file, device="cpu", progress=False)


def test_a_checkpoint_loads_as_the_model_at_its_last_save(tmp_path):
    data, file = load_dataset("swiss-roll"), tmp_path / "run.checkpoint"
    whole = train(data, TINY, checkpoint=file, device="cpu", progress=False)
    model = load(file, device="cpu")
    assert torch.equal(weights(model), weights(whole)) and model.about["step"] == TINY.steps


@pytest.mark.parametrize("loss", ["hybrid", "vlb", "predicted"])
def test_training_with_a_second_output_learns_and_resumes(tmp_path, loss, monkeypatch):
    data = load_dataset("two-moons")
    config = TrainConfig(T=50, steps=300, width=32, depth=1, loss=loss)
    whole = train(data, config, device="cpu", progress=False)
    file = tmp_path / "run.checkpoint"
    interrupt_training(monkeypatch, 170)
    with pytest.raises(KeyboardInterrupt):
        train(data, config, checkpoint=file, save_every=50, device="cpu", progress=False)
    monkeypatch.undo()
    assert train(data, config, checkpoint=file, device="cpu", progress=False).id == whole.id

    variance = "predicted" if loss == "predicted" else "learned"
    prices = {}
    for name, model in (
        ("trained", whole),
        ("not", train(data, replace(config, steps=1), device="cpu", progress=False)),
    ):
        statistics = measure(model, data.test[:300], progress=False)
        prices[name] = step_costs(statistics, variance).of(range(51)).total
        assert whole.second in statistics.cells
    assert prices["trained"] < prices["not"] - 1

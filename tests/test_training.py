import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from ddpm_dp import TrainConfig, load, load_dataset, measure, sample, train
from ddpm_dp.models import Architecture, Model
from ddpm_dp.networks import Attention
from ddpm_dp.training import losses

from .conftest import interrupt_training

TINY = TrainConfig(T=50, steps=60, width=16, depth=1, batch_size=32)


def weights(model):
    return torch.cat([w.flatten() for w in model.network.state_dict().values()])


@pytest.mark.parametrize(
    ("network", "shape"),
    [("mlp", (2,)), ("mlp", (1, 8, 8)), ("unet", (3, 16, 16)), ("unet", (1, 28, 28)), ("unet", (3, 64, 64))],
)
@pytest.mark.parametrize(("levels", "second"), [(None, None), (17, "v")])
def test_networks_keep_the_shape_and_broadcast_time(network, shape, levels, second):
    net = Architecture(network, shape, levels, 8, 1, 0.0, second).build()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(3, *shape)
    each, shared = net(x, torch.full((3,), 0.5)), net(x, torch.tensor([0.5]))
    assert each.shape == (3, shape[0] * (2 if second else 1), *shape[1:]) and torch.allclose(each, shared, atol=1e-5)
    assert not torch.allclose(each, net(x, torch.tensor([0.9])), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("side", "sizes"), [(28, [7]), (64, [16, 8])])
def test_where_a_unet_attends(side, sizes):
    """At the lowest resolution; from 64x64 on, at 16x16 too."""
    net = Architecture("unet", (1, side, side), 256, 8, 1, 0.0).build()
    seen = []
    for layer in net.modules():
        if isinstance(layer, Attention):
            layer.register_forward_hook(lambda layer, x, y: seen.append(y.shape[-1]))
    net(torch.zeros(1, 1, side, side), torch.ones(1))
    assert sorted(set(seen), reverse=True) == sizes


def test_unet_refuses_sides_it_cannot_halve_twice():
    with pytest.raises(ValueError, match="divisible by 4"):
        Architecture("unet", (1, 30, 30), None, 8, 1, 0.0).build()
    with pytest.raises(ValueError, match="divisible by 8"):
        Architecture("unet", (1, 68, 68), None, 8, 1, 0.0).build()
    with pytest.raises(ValueError, match="mlp, unet"):
        Architecture("transformer", (1, 8, 8), None, 8, 1, 0.0).build()


def test_simple_loss_is_the_squared_error_of_the_noise():
    architecture, noise = Architecture("mlp", (2,), None, 8, 1, 0.0), TINY.noise()
    network = architecture.build()  # which starts by predicting 0
    x_0, eps, t = torch.randn(4, 2), torch.randn(4, 2), torch.tensor([1, 10, 30, 50])
    each = losses(Model(architecture, network, noise), network, "simple", x_0, t, eps)
    torch.testing.assert_close(each, (eps**2).mean(1))

    def knows(x_t, time):
        at = (time * 50).round().long()
        alpha, sigma = (torch.tensor(v, dtype=torch.float32)[at][:, None] for v in (noise.alpha, noise.sigma))
        return (x_t - alpha * x_0) / sigma

    assert losses(Model(architecture, network, noise), knows, "simple", x_0, t, eps).max() < 1e-6


def test_training_learns_and_leaves_the_callers_random_numbers_alone():
    data = load_dataset("two-moons")
    config = TrainConfig(T=50, steps=400, width=64, depth=2)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    model = train(data, config, device="cpu", progress=False)
    assert torch.equal(torch.rand(1), expected)
    untrained = train(data, replace(config, steps=1), device="cpu", progress=False)
    held_out = data.test[:500]
    better, worse = (measure(m, held_out, progress=False).m for m in (model, untrained))
    assert better[10:40].mean() < 0.5 * worse[10:40].mean()
    x = sample(model, range(51), 500, progress=False)
    assert abs(x.mean().item() - data.train.mean()) < 0.1 and abs(x.std().item() - data.train.std()) < 0.1


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
train(load_dataset("swiss-roll"), TrainConfig(T=50, steps=3000, width=16, depth=1, batch_size=32), checkpoint={file!r},
      save_every=20, device="cpu")
"""


def test_training_survives_kill_9(tmp_path):
    file = tmp_path / "run.checkpoint"
    process = subprocess.Popen([sys.executable, "-c", KILLED.format(file=str(file))], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    data, config = load_dataset("swiss-roll"), TrainConfig(T=50, steps=3000, width=16, depth=1, batch_size=32)
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


def test_a_loss_that_is_not_finite_stops_with_the_step(tmp_path, monkeypatch):
    calls = iter(range(1000))

    def breaks(*arguments):
        return losses(*arguments) * (np.nan if next(calls) == 23 else 1)

    monkeypatch.setattr("ddpm_dp.training.losses", breaks)
    with pytest.raises(FloatingPointError, match="step 23"):
        train(load_dataset("swiss-roll"), TINY, device="cpu", progress=False)


def test_model_file(tmp_path):
    model = train(load_dataset("digits"), replace(TINY, steps=2), device="cpu", progress=False)
    file = model.save(tmp_path / "model.safetensors")
    again = load(file, "cpu")
    assert again.id == model.id and again.levels == 17 and again.about == model.about
    assert np.array_equal(again.noise.abar, model.noise.abar)
    rounded = load(model.save(tmp_path / "half.safetensors", half=True), "cpu")
    torch.testing.assert_close(weights(rounded), weights(model), rtol=1e-3, atol=1e-6)
    assert rounded.id != model.id and weights(rounded).dtype == torch.float32
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * file.stat().st_size
    whole = file.read_bytes()
    for part in (0, 5, 100, len(whole) - 1):
        file.write_bytes(whole[:part])
        with pytest.raises(ValueError, match="not a whole"):
            load(file)
    with pytest.raises(FileNotFoundError, match="these ship"):
        load("no-such-model")


@pytest.mark.parametrize("wrong", [{"schedule": "sigmoid"}, {"T": 1}, {"network": "gan"}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        train(load_dataset("digits"), replace(TINY, **wrong), progress=False)


def test_training_begins_with_the_weights_of_another_model():
    """All of them where the second output means the same; all but that output where it does not."""
    data = load_dataset("swiss-roll")
    hybrid = train(data, replace(TINY, loss="hybrid"), device="cpu", progress=False)
    frozen = replace(TINY, learning_rate=1e-30, steps=1)
    x_t, t = torch.randn(5, 2), torch.full((5,), 20)
    for loss, second in (("vlb", "v"), ("predicted", "u"), ("simple", None)):
        begun = train(data, replace(frozen, loss=loss), start=hybrid, device="cpu", progress=False)
        torch.testing.assert_close(begun(x_t, t).x0, hybrid(x_t, t).x0)
        assert begun.second == second and begun.about["start"]["id"] == hybrid.id
        assert begun.about["start"]["config"]["steps"] == TINY.steps
        if loss == "vlb":
            torch.testing.assert_close(begun(x_t, t).v, hybrid(x_t, t).v)
        if loss == "predicted":  # u = sigma_t^2 exp(0)
            torch.testing.assert_close(begun(x_t, t).u, torch.full((5, 2), begun.noise.sigma2[20]).float())
    with pytest.raises(ValueError, match="start has .*expected the network"):
        train(data, replace(TINY, width=32), start=hybrid, device="cpu", progress=False)


def test_a_checkpoint_loads_as_the_model_at_its_last_save(tmp_path):
    data, file = load_dataset("swiss-roll"), tmp_path / "run.checkpoint"
    whole = train(data, TINY, checkpoint=file, device="cpu", progress=False)
    model = load(file, device="cpu")
    assert torch.equal(weights(model), weights(whole)) and model.about["step"] == TINY.steps

from dataclasses import replace

import numpy as np
import pytest
import torch

from ddpm_dp import TrainConfig, load_dataset, measure, sample, train
from ddpm_dp.training.losses import Loss
from tests.training.small import TINY


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


def test_a_loss_that_is_not_finite_stops_with_the_step(monkeypatch):
    calls, loss = iter(range(1000)), Loss.__call__

    def breaks(*arguments):
        return loss(*arguments) * (np.nan if next(calls) == 23 else 1)

    monkeypatch.setattr(Loss, "__call__", breaks)
    with pytest.raises(FloatingPointError, match="step 23"):
        train(load_dataset("swiss-roll"), TINY, device="cpu", progress=False)


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

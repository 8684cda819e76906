import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from ddpm_dp import NoiseSchedule, load_dataset
from ddpm_dp.gaussians import discretised_log_likelihood
from ddpm_dp.models.architectures import Architecture
from ddpm_dp.models.trained import Model
from ddpm_dp.training.bound import bound_term
from ddpm_dp.training.losses import LAMBDA, LOSSES, Loss
from tests.training.small import TINY


def test_a_loss_that_is_half_written_is_refused_when_it_is_defined():
    with pytest.raises(TypeError, match="lacks words, source, output, of"):

        class Half(Loss):
            name = "half"


def test_simple_loss_is_the_squared_error_of_the_noise():
    architecture, noise = Architecture("mlp", (2,), None, 8, 1, 0.0), TINY.noise()
    network = architecture.build()  # which starts by predicting 0
    x_0, eps, t = torch.randn(4, 2), torch.randn(4, 2), torch.tensor([1, 10, 30, 50])
    each = LOSSES["simple"](Model(architecture, network, noise), network, x_0, t, eps)
    torch.testing.assert_close(each, (eps**2).mean(1))

    def knows(x_t, time):
        at = (time * 50).round().long()
        alpha, sigma = (torch.tensor(v, dtype=torch.float32)[at][:, None] for v in (noise.alpha, noise.sigma))
        return (x_t - alpha * x_0) / sigma

    assert LOSSES["simple"](Model(architecture, network, noise), knows, x_0, t, eps).max() < 1e-6


@pytest.mark.parametrize("t", [2, 3, 60, 100])
def test_bound_term_is_the_kl_of_torch_distributions(t):
    noise, rng = NoiseSchedule.cosine(100), torch.Generator().manual_seed(t)
    x_0, eps, eps_hat = (torch.randn(3, 4, generator=rng, dtype=torch.float64) for _ in range(3))
    v = torch.rand(3, 4, generator=rng, dtype=torch.float64)
    x_t = noise.alpha[t] * x_0 + noise.sigma[t] * eps
    xhat_0 = (x_t - noise.sigma[t] * eps_hat) / noise.alpha[t]
    q = noise.posterior(t, t - 1)
    large = 1 - noise.abar[t] / noise.abar[t - 1]
    reverse = torch.exp(v * np.log(large) + (1 - v) * np.log(q.variance))
    kl = kl_divergence(
        Independent(Normal(q.x0 * x_0 + q.xt * x_t, math.sqrt(q.variance)), 1),
        Independent(Normal(q.x0 * xhat_0 + q.xt * x_t, reverse.sqrt()), 1),
    )
    term = bound_term(noise, x_0, torch.full((3,), t), eps - eps_hat, v, None)
    torch.testing.assert_close(term.double(), kl / 4, rtol=1e-4, atol=1e-7)


def test_bound_term_at_the_first_timestep_is_the_decoder():
    noise, levels = NoiseSchedule.cosine(100), 17
    rng = torch.Generator().manual_seed(0)
    x_0 = (2 * torch.randint(0, 17, (3, 4), generator=rng) / 16 - 1).double()
    residual, v = (torch.rand(3, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    spread = torch.exp(v * np.log(noise.sigma2[1]) + (1 - v) * np.log(noise.posterior(2, 1).variance))
    mean = x_0 + noise.sigma[1] / noise.alpha[1] * residual
    expected = -discretised_log_likelihood(x_0, mean, spread, levels).mean(1)
    term = bound_term(noise, x_0, torch.ones(3, dtype=torch.long), residual, v, levels)
    torch.testing.assert_close(term, expected)


def tiny(kind: str) -> tuple[Model, torch.nn.Module]:
    architecture = Architecture("mlp", (1, 8, 8), 17, 16, 1, 0.0, LOSSES[kind].output)
    torch.manual_seed(0)
    network = architecture.build()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return Model(architecture, network, NoiseSchedule.cosine(50)), network


@pytest.mark.parametrize("kind", ["hybrid", "predicted"])
def test_the_second_loss_sends_no_gradient_to_the_mean(kind):
    model, network = tiny(kind)
    x_0 = torch.from_numpy(load_dataset("digits").train[:8])
    t, eps = torch.arange(1, 9), torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    LOSSES[kind](model, network, x_0, t, eps).sum().backward()
    rows = network.last.weight.grad.clone()
    network.zero_grad()
    eps_hat = model.outputs(network, sum_of(model, x_0, t, eps), t)[0]
    ((eps - eps_hat) ** 2).flatten(1).mean(1).sum().backward()
    torch.testing.assert_close(rows[:64], network.last.weight.grad[:64])
    assert rows[64:].abs().max() > 0


def sum_of(model, x_0, t, eps):
    alpha, sigma = (
        torch.tensor(v, dtype=torch.float32)[t].view(-1, 1, 1, 1) for v in (model.noise.alpha, model.noise.sigma)
    )
    return alpha * x_0 + sigma * eps


def test_vlb_does_train_the_mean():
    model, network = tiny("vlb")
    x_0 = torch.from_numpy(load_dataset("digits").train[:8])
    eps = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    LOSSES["vlb"](model, network, x_0, torch.arange(1, 9), eps).sum().backward()
    assert network.last.weight.grad[:64].abs().max() > 0


def test_predicted_loss_is_least_at_the_mean_squared_error():
    """1/2 [log u + e^2 / u], averaged, has its minimum where u is the average of e^2."""
    e2 = torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grid = torch.linspace(0.1, 1.0, 901, dtype=torch.float64)[:, None]
    best = grid[(0.5 * (grid.log() + e2 / grid)).mean(1).argmin()]
    assert best.item() == pytest.approx(e2.mean().item(), abs=1e-3)
    model, network = tiny("predicted")
    x_0, t = torch.zeros(2, 1, 8, 8), torch.tensor([5, 40])
    eps = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    eps_hat, u = model.outputs(network, sum_of(model, x_0, t, eps), t)
    ratio = torch.tensor(model.noise.sigma / model.noise.alpha, dtype=torch.float32)[t].view(-1, 1, 1, 1)
    e2 = (ratio * (eps - eps_hat)).clamp(-2, 2) ** 2
    expected = ((eps - eps_hat) ** 2 + LAMBDA * 0.5 * (u.log() + e2 / u)).flatten(1).mean(1)
    torch.testing.assert_close(LOSSES["predicted"](model, network, x_0, t, eps), expected)

"""The reverse variances that need a second output of the network: `learned` (v) and `predicted` (u)."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from ddpm_dp import (
    DenoisingStatistics,
    MixtureDenoiser,
    NoiseSchedule,
    Prediction,
    TrainConfig,
    load_dataset,
    measure,
    negative_elbo,
    sample,
    solve,
    step_costs,
    train,
)
from ddpm_dp.bins import learned_averages, predicted_averages
from ddpm_dp.gaussians import discretised_log_likelihood
from ddpm_dp.models import Architecture, Model
from ddpm_dp.training import LAMBDA, Timesteps, bound_term, losses
from ddpm_dp.variances import log_rho, step_nats

from .conftest import draw, interrupt_training


class TwoHeaded(MixtureDenoiser):
    """The exact denoiser with a second output that depends on x_t and on the coordinate, right or not."""

    def __init__(self, second: str):
        super().__init__(NoiseSchedule.cosine(100), [[0.5, -0.2], [-0.4, 0.3]], std=0.15, weights=[0.3, 0.7])
        self.second = second

    def __call__(self, x_t, t):
        x0 = super().__call__(x_t, t).x0
        if self.second == "v":
            return Prediction(x0, v=torch.sigmoid(2 * x_t - 0.5))
        noise, t = self.noise, t[0].item()
        spread = self.std**2 * noise.sigma2[t] / (noise.abar[t] * self.std**2 + noise.sigma2[t])
        return Prediction(x0, u=spread * torch.exp(0.3 * x_t))


@pytest.fixture(scope="module", params=["learned", "predicted"])
def case(request):
    denoiser = TwoHeaded({"learned": "v", "predicted": "u"}[request.param])
    points = draw(denoiser, 2000, seed=1)
    return request.param, denoiser, points, measure(denoiser, points, progress=False)


@pytest.mark.parametrize("path", [[0, 1, 100], [0, 2, 30, 31, 100], list(range(0, 101, 5))])
def test_price_is_the_elbo_simulated_directly(case, path):
    variance, denoiser, points, statistics = case
    direct = negative_elbo(denoiser, points, path, variance=variance, seed=3).sum(1)
    price = step_costs(statistics, variance).of(path)
    error = math.hypot(price.standard_error, direct.std() / math.sqrt(len(direct)))
    assert abs(direct.mean() - price.total) < 3 * error
    # The errors agree too: that of the histogram's price takes the second outputs of all groups to be alike.
    assert price.standard_error == pytest.approx(direct.std() / math.sqrt(len(direct)), rel=0.7)


def test_histogram_error_is_within_its_bound(case):
    """Every L(t, s) of a table against the sum over coordinates, image by image, on the very same draws."""
    variance, denoiser, points, _ = case
    few = points[:20]
    statistics = measure(denoiser, few, progress=False)
    costs, noise = step_costs(statistics, variance), denoiser.noise
    eps = np.stack([np.random.Generator(np.random.Philox(key=[0, i])).standard_normal(2) for i in range(20)])
    L = costs.table()
    for t in (2, 10, 50, 100):
        x_t = torch.from_numpy(noise.alpha[t] * few + noise.sigma[t] * eps)
        prediction = denoiser(x_t, torch.tensor([t]))
        second, e2 = prediction.second(variance), (torch.from_numpy(few) - prediction.x0) ** 2
        y = second if variance == "learned" else second.log()
        width = ((y.max() - y.min()) / 255).item()
        for s in range(1, t):
            delta, ratio = noise.snr[s] - noise.snr[t], np.log(noise.sigma2[t] / noise.sigma2[s])
            rate = second * ratio if variance == "learned" else torch.log1p(second * delta)
            direct = (0.5 * (rate + (1 + delta * e2) * torch.exp(-rate) - 1)).sum(1).mean().item()
            # max |f''| of f(y) = log rho + (1 + delta e^2) / rho - 1: ratio^2 (1 + delta e^2) for y = v; for y = log u,
            # where log rho and 1 / rho have second derivatives of at most 1/4 and 1/8, ... (1/4 + (1 + delta e^2) / 8)
            gain = 1 + delta * e2
            curvature = ratio**2 * gain if variance == "learned" else 0.25 + gain / 8
            bound = (0.5 * curvature * width**2 / 8).sum(1).mean().item()
            assert abs(L[t, s] - direct) <= bound + 1e-9 * abs(direct)
            assert bound < 0.01 * abs(direct) + 1e-3


def test_decoder_is_that_of_its_convention(case):
    variance, denoiser, points, statistics = case
    noise, t = denoiser.noise, 7
    smallest = noise.posterior(2, 1).variance
    eps = np.stack([np.random.Generator(np.random.Philox(key=[0, i])).standard_normal(2) for i in range(len(points))])
    x_0 = torch.from_numpy(points)
    prediction = denoiser(noise.alpha[t] * x_0 + noise.sigma[t] * torch.from_numpy(eps), torch.tensor([t]))
    if variance == "learned":
        spread = torch.exp(prediction.v * np.log(noise.sigma2[t]) + (1 - prediction.v) * np.log(smallest))
    else:
        spread = prediction.u
    nats = -Normal(prediction.x0, spread.sqrt()).log_prob(x_0).sum(1).mean().item()
    assert statistics.mean(statistics.decoder[variance])[0][t] == pytest.approx(nats, rel=1e-9)


def test_constant_v_gives_back_the_two_bounds(mixture, points):
    class Constant(MixtureDenoiser):
        second, value = "v", 0.0

        def __call__(self, x_t, t):
            return Prediction(super().__call__(x_t, t).x0, v=torch.full_like(x_t, self.value))

    constant = Constant(mixture.noise, mixture.means.numpy(), mixture.std, mixture.log_weights.exp().numpy())
    for constant.value, bound in ((0.0, "posterior"), (1.0, "beta")):
        statistics = measure(constant, points[:50], progress=False)
        learned, fixed = (step_costs(statistics, name).table() for name in ("learned", bound))
        np.testing.assert_allclose(learned[2:, 1:], fixed[2:, 1:], rtol=1e-9)


def test_file_keeps_the_second_output(case, tmp_path):
    variance, _, _, statistics = case
    again = DenoisingStatistics.load(statistics.save(tmp_path / "stats.npz"))
    price, kept = (step_costs(s, variance).of([0, 5, 40, 100]).total for s in (statistics, again))
    assert kept == pytest.approx(price, rel=1e-5)  # its histograms are kept in float32
    assert (
        solve(step_costs(again, variance)).path(5).tolist() == solve(step_costs(statistics, variance)).path(5).tolist()
    )


@pytest.mark.parametrize("variance", ["learned", "predicted"])
def test_averages_over_bins_are_those_of_step_nats(variance):
    """The compiled loops against the one formula, bin by bin, from the shortest steps to the longest."""
    rng = np.random.default_rng(0)
    x = np.concatenate([[0.0], 10.0 ** np.arange(-12, 7 if variance == "predicted" else 2)])
    mass, error = rng.dirichlet(np.ones(256)), rng.random(256)
    centres = np.linspace(0.02, 0.9, 256) if variance == "learned" else np.exp(np.linspace(-12, 1, 256))
    averages = learned_averages if variance == "learned" else predicted_averages
    log_rho, shrink, weighted = averages(centres, mass, error, x)
    each = np.outer(x, centres) if variance == "learned" else np.log1p(np.outer(x, centres))
    np.testing.assert_allclose((log_rho + shrink) / 2, step_nats(each, 0.0) @ mass, rtol=1e-12, atol=1e-14)  # 256 sums
    slope = (step_nats(each, 1.0) - step_nats(each, 0.0)) @ error
    np.testing.assert_allclose(weighted / 2, slope, rtol=1e-12)


def test_a_denoiser_without_the_output_is_refused(mixture, statistics):
    for variance in ("learned", "predicted"):
        with pytest.raises(ValueError, match="second output"):
            step_costs(statistics, variance)
        with pytest.raises(ValueError, match="needs a denoiser with an output"):
            sample(mixture, [0, 50, 100], 1, variance=variance, progress=False)


def test_step_nats_is_the_same_for_arrays_and_tensors():
    rate, gain = np.linspace(0, 3, 7), np.linspace(0.1, 2, 7)
    expected = 0.5 * (rate + (1 + gain) * np.exp(-rate) - 1)
    np.testing.assert_allclose(step_nats(rate, gain), expected, rtol=1e-12)
    torch.testing.assert_close(step_nats(torch.tensor(rate), torch.tensor(gain), torch.expm1), torch.tensor(expected))


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
    second = {"simple": None, "hybrid": "v", "vlb": "v", "predicted": "u"}[kind]
    architecture = Architecture("mlp", (1, 8, 8), 17, 16, 1, 0.0, second)
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
    losses(model, network, kind, x_0, t, eps).sum().backward()
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
    losses(model, network, "vlb", x_0, torch.arange(1, 9), eps).sum().backward()
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
    torch.testing.assert_close(losses(model, network, "predicted", x_0, t, eps), expected)


def test_importance_sampling_is_unbiased_and_looks_where_losses_are_large():
    T, n = 250, 200_000
    torch.manual_seed(0)
    timesteps = Timesteps(T, importance=True, device="cpu")
    losses = torch.exp(-torch.arange(T + 1) / 40.0)
    for _ in range(200):
        t, _ = timesteps.draw(256)
        timesteps.update(t, losses[t])
    t, weights = timesteps.draw(n)
    assert t.min() == 1 and t.max() == T
    estimate, error = (weights * losses[t]).mean(), (weights * losses[t]).std() / math.sqrt(n)
    assert abs(estimate - losses[1:].mean()) < 4 * error
    uniform = losses[torch.randint(1, T + 1, (n,))].std() / math.sqrt(n)
    assert error < 0.3 * uniform  # the point of it


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
        assert statistics.second.variance == variance
    assert prices["trained"] < prices["not"] - 1


def test_log_rho_of_a_tensor_and_of_an_array():
    noise, u = NoiseSchedule.cosine(10), np.array([0.1, 2.0])
    for variance in ("learned", "predicted"):
        from_array = log_rho(noise, variance, 7, 3, np.zeros(0), u)
        np.testing.assert_allclose(log_rho(noise, variance, 7, 3, np.zeros(0), torch.tensor(u)).numpy(), from_array)

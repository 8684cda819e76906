"""The prices L(t, s) against calculations that share no code with them."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from ddpm_dp import (
    DenoisingStatistics,
    MixtureDenoiser,
    NoiseSchedule,
    bits_per_dim,
    measure,
    negative_elbo,
    solve,
    step_costs,
    weighted_costs,
)
from ddpm_dp.statistics import Cells
from ddpm_dp.strides import even, log_snr, quadratic
from ddpm_dp.variances import SCALAR
from tests.conftest import draw

# Their rho and their forms stand here once more; what every family owes is in variances/conformance.py.
WRITTEN_OUT = ("posterior", "beta", "analytic")


def exact_statistics(noise: NoiseSchedule, d: int, std: float) -> DenoisingStatistics:
    """Moments of N(0, std^2 I) in closed form: m_t = std^2 sigma^2 / (alpha^2 std^2 + sigma^2); nothing is sampled."""
    m = std**2 * noise.sigma2 / (noise.abar * std**2 + noise.sigma2)
    spread = noise.abar[-1] * std**2 + noise.sigma2[-1]
    prior = d / 2 * (spread - 1 - np.log(noise.sigma2[-1]))
    return DenoisingStatistics(
        noise=noise,
        shape=(d,),
        levels=None,
        counts=np.array([1]),
        cells={"all": Cells.one(m[None], np.array([1]), fitted_m=m)},
        prior=np.array([prior]),
        model_id="exact",
        data_id="exact",
        fitted_on="exact",
        seed=0,
        measured=np.arange(1, noise.T + 1),
    )


@pytest.mark.parametrize("std", [0.1, 0.5, 2.0])
def test_analytic_variance_makes_every_path_exact_for_a_gaussian(std):
    """A Gaussian's reverse process is Gaussian: the ELBO of any path is E log p(x_0) = -d/2 [log(2 pi std^2) + 1]."""
    d, noise = 3, NoiseSchedule.cosine(200)
    costs = step_costs(exact_statistics(noise, d, std), "analytic")
    exact = d / 2 * (math.log(2 * math.pi * std**2) + 1)
    gap_of_prior = (
        d / 2 * (noise.abar[-1] * (std**2 - 1) - np.log1p(noise.abar[-1] * (std**2 - 1)))
    )  # x_T is not N(0, I)
    rng = np.random.default_rng(0)
    paths = [[0, 200], even(noise, 7), quadratic(noise, 20), np.arange(201)]
    paths += [np.unique([0, *rng.choice(np.arange(1, 200), 5), 200]) for _ in range(10)]
    for path in paths:
        assert costs.of(path).total == pytest.approx(exact + gap_of_prior, abs=1e-6)


@pytest.mark.parametrize("variance", WRITTEN_OUT)
@pytest.mark.parametrize(("t", "s"), [(2, 1), (40, 7), (90, 89), (100, 1)])
def test_step_price_is_the_kl_of_torch_distributions(mixture, points, statistics, variance, t, s):
    """E KL(q(x_s | x_t, x_0) || p(x_s | x_t)), both written out here, averaged over the data and one draw of x_t."""
    abar = mixture.noise.abar
    x_0 = torch.from_numpy(points)
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    x_t = math.sqrt(abar[t]) * x_0 + math.sqrt(1 - abar[t]) * eps
    xhat_0 = mixture(x_t, torch.tensor([t])).x0
    keep = abar[t] / abar[s]
    c0 = math.sqrt(abar[s]) * (1 - keep) / (1 - abar[t])
    ct = math.sqrt(keep) * (1 - abar[s]) / (1 - abar[t])
    small = (1 - keep) * (1 - abar[s]) / (1 - abar[t])
    large = 1 - keep
    gap = abar[s] / (1 - abar[s]) - abar[t] / (1 - abar[t])
    reverse = {"posterior": small, "beta": large, "analytic": small * (1 + gap * statistics.m[t])}[variance]
    q = Independent(Normal(c0 * x_0 + ct * x_t, math.sqrt(small)), 1)
    p = Independent(Normal(c0 * xhat_0 + ct * x_t, math.sqrt(reverse)), 1)
    kl = kl_divergence(q, p).numpy()
    costs = step_costs(statistics, variance)
    # Price of the step alone, with the error of both estimates: they share the images, not the noise.
    groups = costs.between.of_groups(np.array([t]), np.array([s]))
    price, error = (float(x[0]) for x in statistics.mean(groups))
    assert abs(price - kl.mean()) < 4 * math.hypot(error, kl.std() / math.sqrt(len(kl)))
    assert costs.table()[t, s] == pytest.approx(price, rel=1e-9)


@pytest.mark.parametrize("variance", SCALAR)
@pytest.mark.parametrize(
    "stride", [lambda noise: even(noise, 5), lambda noise: quadratic(noise, 20), lambda noise: log_snr(noise, 100)]
)
def test_sum_of_prices_is_the_elbo_simulated_directly(mixture, points, statistics, variance, stride):
    path = stride(mixture.noise)
    direct = negative_elbo(mixture, points, path, variance=variance, statistics=statistics, seed=11)
    price = step_costs(statistics, variance).of(path)
    # Same images, other noise: the difference image by image is what fluctuates, at most as the two errors together.
    error = math.hypot(price.standard_error, direct.sum(1).std() / math.sqrt(len(direct)))
    assert abs(direct.sum(1).mean() - price.total) < 3 * error
    assert direct[:, 0].mean() == pytest.approx(price.prior, rel=1e-9)


@pytest.mark.parametrize("variance", SCALAR)
def test_negative_elbo_bounds_and_approaches_the_exact_likelihood(mixture, points, statistics, variance):
    nll = -mixture.log_likelihood(torch.from_numpy(points)).mean().item()
    costs = step_costs(statistics, variance)
    best = solve(costs)
    gaps = {K: best.nats(K) - nll for K in (1, 2, 4, 8, 16, 32, 64)}
    errors = {K: costs.of(best.path(K)).standard_error for K in gaps}
    assert all(gap > -4 * errors[K] for K, gap in gaps.items()), gaps
    in_order = list(gaps.values())
    assert in_order == sorted(in_order, reverse=True) and gaps[64] < 0.1 * gaps[2], gaps


def test_full_path_is_the_textbook_ddpm_bound(mixture, statistics):
    """Ho et al. 2020, eq. 12: the t-th term is beta_t^2 / (2 sigma_t^2 alpha_t (1 - abar_t)) E ||eps - eps_hat||^2.

    Their alpha_t = 1 - beta_t, their sigma_t^2 = beta~_t (the `posterior` choice), and eps - eps_hat =
    alpha_t / sigma_t (xhat_0 - x_0) in this package's letters.
    """
    noise = mixture.noise
    beta = 1 - noise.abar[1:] / noise.abar[:-1]
    tilde = beta * (1 - noise.abar[:-1]) / (1 - noise.abar[1:])
    eps_error = noise.abar / np.where(noise.sigma2 > 0, noise.sigma2, 1) * statistics.m * statistics.d
    weight = beta[1:] ** 2 / (2 * tilde[1:] * (1 - beta[1:]) * (1 - noise.abar[2:]))
    terms = step_costs(statistics, "posterior").of(np.arange(noise.T + 1)).steps
    np.testing.assert_allclose(terms[1:], weight * eps_error[2:], rtol=1e-9)


def test_held_out_analytic_price_keeps_the_training_variance(mixture, statistics):
    held_out = measure(mixture, draw(mixture, 500, seed=2), fitted=statistics, progress=False)
    t, s = 60, 20
    delta = mixture.noise.snr[s] - mixture.noise.snr[t]
    rho = 1 + delta * statistics.m[t]
    expected = held_out.d / 2 * (math.log(rho) + (1 + delta * held_out.m[t]) / rho - 1)
    assert step_costs(held_out, "analytic").table()[t, s] == pytest.approx(expected, rel=1e-9)
    assert expected > held_out.d / 2 * math.log1p(delta * held_out.m[t])  # refitting on held-out data would flatter
    assert not np.allclose(held_out.m, statistics.m)
    # the decoder too: density with the training m_t as variance
    decoder = held_out.d / 2 * (np.log(2 * np.pi * statistics.m[t]) + held_out.m[t] / statistics.m[t])
    assert step_costs(held_out, "analytic").table()[t, 0] == pytest.approx(decoder, rel=1e-9)


def test_the_prior_and_the_decoder_count_and_the_whole_bound_is_the_textbooks():
    """The full sum term by term in the letters of Ho et al., where x_T is not yet noise and the prior matters."""
    noise = NoiseSchedule(np.linspace(1, 0.1, 11) ** 1.5)
    gaussian = MixtureDenoiser(noise, np.zeros((1, 2)), std=0.5)
    x_0 = draw(gaussian, 50, seed=4)  # 50 images in 32 groups: groups of one and of two
    stats = measure(gaussian, x_0, seed=3, progress=False)
    eps = np.stack([np.random.Generator(np.random.Philox(key=[3, i])).standard_normal(2) for i in range(50)])
    beta = np.concatenate([[0], 1 - noise.abar[1:] / noise.abar[:-1]])
    nats = np.zeros(50)
    for t in range(1, 11):
        x_t = noise.alpha[t] * x_0 + noise.sigma[t] * eps
        xhat_0 = x_t * noise.alpha[t] * 0.25 / (noise.abar[t] * 0.25 + noise.sigma2[t])
        if t == 1:
            spread = beta[2] * noise.sigma2[1] / noise.sigma2[2]  # beta~_2
            nats += (np.log(2 * np.pi * spread) / 2 + (x_0 - xhat_0) ** 2 / (2 * spread)).sum(1)
        else:
            tilde = beta[t] * noise.sigma2[t - 1] / noise.sigma2[t]
            c0 = noise.alpha[t - 1] * beta[t] / noise.sigma2[t]
            nats += c0**2 * ((x_0 - xhat_0) ** 2).sum(1) / (2 * tilde)
    end = noise.sigma2[10]
    nats += 0.5 * (end + noise.abar[10] * x_0**2 - 1 - np.log(end)).sum(1)
    costs = step_costs(stats, "posterior", "fixed")
    assert costs.of(range(11)).total == pytest.approx(nats.mean(), rel=1e-9)
    assert solve(costs).nats(10) == pytest.approx(nats.mean(), rel=1e-9) and costs.prior > 0.005
    assert stats.seed == 3 and stats.fitted_m[5] == pytest.approx(stats.m[5], rel=1e-12)


def test_weighted_bounds(statistics):
    T, d, m, snr = statistics.T, statistics.d, statistics.m, statistics.noise.snr
    path = np.array([0, 3, 40, T])
    mse = weighted_costs(statistics, -np.arange(T + 1))
    assert mse.of(path).total == pytest.approx(3 * d * m[3] + 37 * d * m[40] + (T - 40) * d * m[T], rel=1e-12)
    # W = snr / 2 is the ELBO with `posterior` variance (its infinite first step set aside)
    W = np.minimum(snr, 2 * snr[1]) / 2
    table, posterior = weighted_costs(statistics, W).table(), step_costs(statistics, "posterior").table()
    np.testing.assert_allclose(table[2:, 1:], posterior[2:, 1:], rtol=1e-9)
    for wrong in (np.arange(T + 1), -np.arange(T), np.full(T + 1, np.nan)):
        with pytest.raises(ValueError, match="W has shape"):
            weighted_costs(statistics, wrong)


def test_table_and_path_agree(statistics):
    for variance in SCALAR:
        costs = step_costs(statistics, variance)
        L, path = costs.table(), np.array([0, 2, 30, 31, 100])
        np.testing.assert_allclose(costs.of(path).steps, L[path[1:], path[:-1]], rtol=1e-12)
        assert np.isinf(L[np.triu_indices(101)]).all() and np.isfinite(L[np.tril_indices(101, -1)]).all()


@pytest.mark.parametrize("variance", [*WRITTEN_OUT, "mse"])
def test_costs_without_a_table_are_the_same_costs(statistics, variance):
    W = -np.arange(statistics.T + 1)
    costs = weighted_costs(statistics, W) if variance == "mse" else step_costs(statistics, variance)
    form, table = costs.structure(), costs.table()
    np.testing.assert_allclose(form.table(), table, rtol=1e-9, atol=1e-12)
    quick, slow = solve(costs), solve(costs, method="dense")
    assert (quick.method, slow.method) == ("envelope", "dense")
    np.testing.assert_allclose(quick.values[1:], slow.values[1:], rtol=1e-11)
    for K in (1, 7, 50, 100):
        price = costs.of(quick.path(K))
        assert price.total == pytest.approx(slow.nats(K), rel=1e-11)
        assert len(price.steps) == K


def test_held_out_analytic_costs_have_no_such_form(mixture, statistics):
    held_out = step_costs(measure(mixture, draw(mixture, 64, seed=9), fitted=statistics, progress=False), "analytic")
    assert held_out.structure() is None
    frontier = solve(held_out, 20)
    assert frontier.method != "envelope" and frontier.nats(9) == pytest.approx(held_out.of(frontier.path(9)).total)


def test_bits_per_dim_of_a_fair_byte():
    assert bits_per_dim(3 * 8 * math.log(2), 3) == pytest.approx(8)


def test_unknown_variance_is_refused(statistics):
    with pytest.raises(ValueError, match="posterior, beta, analytic"):
        step_costs(statistics, "large")


def test_standard_error_is_that_of_repeated_measurements():
    """The reported error of a path's price against the spread over 60 independent data sets and noise seeds."""
    mixture = MixtureDenoiser(NoiseSchedule.cosine(6), [[-0.7, 0.3], [0.5, -0.4]], std=0.2)
    path = [0, 1, 2, 4, 6]
    prices = []
    for i in range(60):
        stats = measure(mixture, draw(mixture, 128, seed=100 + i), seed=i, progress=False)
        prices.append(step_costs(stats, "posterior").of(path))
    spread = np.std([p.total for p in prices], ddof=1)
    assert np.mean([p.standard_error for p in prices]) == pytest.approx(
        spread, rel=0.3
    )  # 60 values know a spread to 1 / sqrt(118)


def test_a_finite_data_set_of_grey_levels(statistics):
    """The exact posterior mean of a few 'images' makes no error at t = 1, where noise is far below a grey level."""
    images = np.array([[-1.0, 0.0], [1.0, 0.5], [0.0, -0.5]])
    denoiser = MixtureDenoiser(NoiseSchedule.cosine(100), images, std=0, levels=5)
    stats = measure(denoiser, images, progress=False)
    assert stats.m[1] < 1e-12 and step_costs(stats, "analytic").table()[1, 0] == pytest.approx(0, abs=1e-9)
    # Knowing which of three images it is costs log 3 nats: no path can do better on average.
    best = solve(step_costs(stats, "analytic"))
    assert math.log(3) - 0.5 < best.nats(100)


def test_difference_of_two_paths_has_the_error_of_paired_images(statistics):
    costs = step_costs(statistics, "posterior")
    near, far = [0, 3, 30, 100], [0, 3, 31, 100]
    nats, error = costs.difference(far, near)
    assert nats == pytest.approx(costs.of(far).total - costs.of(near).total)
    assert 0 < error < 0.1 * costs.of(near).standard_error  # nearly the same path: nearly all of the spread cancels
    first = costs.of([0, 3, 100]).standard_error
    assert costs.difference([0, 3, 100], [0, 3, 100]) == (0, 0) and first > 0

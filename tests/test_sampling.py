import numpy as np
import pytest
import torch

from ddpm_dp import MixtureDenoiser, NoiseSchedule, ddim, measure, sample
from ddpm_dp.strides import even
from tests.conftest import draw


def fixed_noise(n, K, d, seed=0):
    """The draws of one run, and a `randn` that hands them out in order."""
    draws = torch.randn((K, n, d), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    remaining = iter(draws)
    return draws, lambda shape: next(remaining)


def test_all_steps_with_posterior_variance_is_algorithm_2_of_ho_et_al(mixture):
    """x_{t-1} = (x_t - beta_t / sqrt(1 - abar_t) eps_hat) / sqrt(alpha_t) + sqrt(beta~_t) z, and z = 0 at t = 1."""
    T, abar = mixture.noise.T, torch.tensor(mixture.noise.abar)
    draws, randn = fixed_noise(5, T, 2)
    x, expected = draws[0], {}
    for i, t in enumerate(range(T, 0, -1), start=1):
        beta = 1 - abar[t] / abar[t - 1]
        eps_hat = (x - abar[t].sqrt() * mixture(x, torch.tensor([t])).x0) / (1 - abar[t]).sqrt()
        x = (x - beta / (1 - abar[t]).sqrt() * eps_hat) / (1 - beta).sqrt()
        if t > 1:
            x = x + (beta * (1 - abar[t - 1]) / (1 - abar[t])).sqrt() * draws[i]
        expected[t - 1] = x
    seen = {}
    result = sample(
        mixture, range(T + 1), 5, randn=randn, callback=lambda s, x, x0: seen.update({s: x}), progress=False
    )
    assert list(seen) == list(range(T - 1, -1, -1))
    for s in seen:
        torch.testing.assert_close(seen[s], expected[s], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(result, expected[0], rtol=1e-7, atol=1e-9)


def test_ddim_is_equation_12_of_song_et_al(mixture):
    abar, path = mixture.noise.abar, [0, 10, 37, 100]
    draws, randn = fixed_noise(5, 1, 2)
    x = draws[0]
    for t, s in ((100, 37), (37, 10), (10, 0)):
        x0 = mixture(x, torch.tensor([t])).x0
        eps_hat = (x - abar[t] ** 0.5 * x0) / (1 - abar[t]) ** 0.5
        x = abar[s] ** 0.5 * x0 + (1 - abar[s]) ** 0.5 * eps_hat
    torch.testing.assert_close(ddim(mixture, path, 5, randn=randn, progress=False), x)


@pytest.mark.parametrize("variance", ["posterior", "beta", "analytic"])
def test_variance_of_a_step_is_rho_times_the_posterior_variance(mixture, statistics, variance):
    noise, path = mixture.noise, [0, 30, 100]
    states = {}
    for z in (0.0, 1.0):
        draws = iter([torch.ones(1, 2), torch.full((1, 2), z)])
        arguments = {"variance": variance, "statistics": statistics, "randn": lambda _, d=draws: next(d)}
        sample(mixture, path, 1, **arguments, callback=lambda s, x, x0, z=z: states.update({(z, s): x}), progress=False)
    spread = (states[1.0, 30] - states[0.0, 30]) ** 2
    small = noise.posterior(100, 30).variance
    rho = {
        "posterior": 1,
        "beta": noise.sigma2[100] / noise.sigma2[30],
        "analytic": 1 + (noise.snr[30] - noise.snr[100]) * statistics.m[100],
    }[variance]
    np.testing.assert_allclose(spread, rho * small, rtol=1e-9)


def test_samples_of_a_gaussian_have_its_moments():
    gaussian = MixtureDenoiser(NoiseSchedule.cosine(200), np.full((1, 2), 0.3), std=0.5)
    stats = measure(gaussian, draw(gaussian, 2000, seed=0), progress=False)
    n = 20_000
    x = sample(gaussian, even(gaussian.noise, 50), n, variance="analytic", statistics=stats, progress=False).numpy()
    assert x.mean() == pytest.approx(0.3, abs=4 * 0.5 / np.sqrt(2 * n))
    # the last step returns xhat_0 without its noise: the variance lacks the m_t of the path's first timestep
    lacking = stats.m[even(gaussian.noise, 50)[1]]
    assert x.var() == pytest.approx(0.25 - lacking, rel=4 * np.sqrt(2 / (2 * n)))  # 4 standard errors of a variance


def test_seed_decides(mixture):
    first, again, other = (sample(mixture, [0, 50, 100], 3, seed=s, progress=False) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_what_is_missing_or_foreign_is_refused(mixture, statistics):
    with pytest.raises(ValueError, match="without what it fits"):
        sample(mixture, [0, 100], 1, variance="analytic")
    with pytest.raises(ValueError, match="from 0 to 50"):
        sample(mixture, [0, 50], 1)
    with pytest.raises(ValueError, match="not known"):
        sample(mixture, [0, 100], 1, variance="small")
    other = MixtureDenoiser(mixture.noise, [[0.0, 0.0]], std=1.0)
    with pytest.raises(ValueError, match="measure this model"):
        sample(other, [0, 100], 1, variance="analytic", statistics=statistics)

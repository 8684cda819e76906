"""published/align_your_steps.py against a closed form, the ELBO's own prices, and the paper's way to minimise."""

import itertools

import numpy as np
import pytest
import torch

from ddpm_dp import MixtureDenoiser, NoiseSchedule, solve
from ddpm_dp.published import PUBLISHED
from ddpm_dp.published.align_your_steps import candidates, distances, klub

D, VARIANCE, T = 3, 0.25, 300


def gaussian(T=T):
    return MixtureDenoiser(NoiseSchedule.cosine(T), np.zeros((1, D)), std=VARIANCE**0.5)


def data(denoiser, n, seed=0):
    return denoiser.images(VARIANCE**0.5 * np.random.default_rng(seed).standard_normal((n, D)))


def exact_klub(noise, grid):
    """For data N(0, v I) the squared error is d m, m = v / (1 + v snr), and guesses along a walk are a martingale: the
    mean squared distance of two is d (m_t - m_tau). Its integral over snr is elementary."""
    snr = noise.snr[grid]
    error = VARIANCE / (1 + VARIANCE * snr)
    L = np.full((len(grid),) * 2, np.inf)
    for i, j in itertools.combinations(range(len(grid)), 2):
        followed = np.log((1 + VARIANCE * snr[i]) / (1 + VARIANCE * snr[j]))
        L[j, i] = D / 2 * ((snr[i] - snr[j]) * error[j] - followed)
    return L


def test_distances_of_guesses_are_differences_of_errors():
    """Each of n d numbers (a - b)^2 has a standard deviation of sqrt(2) times its mean, as they are Gaussian. Five
    standard errors; all pairs share their walks."""
    denoiser, n = gaussian(), 20_000
    grid = np.array([1, 5, 40, 120, 200, 300])
    found = distances(denoiser, data(denoiser, n), grid, seed=1)
    m = VARIANCE / (1 + VARIANCE * denoiser.noise.snr[grid])
    expected = D * abs(m[:, None] - m)
    np.testing.assert_allclose(found, expected, rtol=5 * (2 / (n * D)) ** 0.5, atol=1e-9)


def test_klub_is_the_integral():
    """From exact distances, the integral's rule is all that errs. In u = 1 / snr it takes m = v u / (u + v) as linear
    between neighbours: wrong by at most the largest second derivative, 2 v^2 / (u + v)^3, times the width in u
    squared, over 8; that times the width in snr is summed."""
    noise = NoiseSchedule.cosine(T)
    grid = candidates(noise, 4)
    snr = noise.snr[grid]
    m, u = VARIANCE / (1 + VARIANCE * snr), 1 / snr
    found, expected = klub(noise, grid, D * abs(m[:, None] - m)), exact_klub(noise, grid)
    bend = 2 * VARIANCE**2 / (u[:-1] + VARIANCE) ** 3 * np.diff(u) ** 2 / 8 * (1 / u[:-1] - 1 / u[1:])
    steps = np.tri(len(grid), k=-1) > 0
    assert (np.isfinite(found) == steps).all() and (np.isfinite(expected) == steps).all()
    assert (abs(found[steps] - expected[steps]) <= D / 2 * bend.sum() + 1e-9 * expected[steps]).all()
    assert D / 2 * bend.sum() < 0.05 * expected[-1, 0]  # so that the comparison says something


def test_for_an_ideal_denoiser_it_is_the_elbo():
    """L(t, s) of `posterior` is d/2 delta m_t, and KLUB is that less an integral over the step, whose sum does not
    depend on the path: so both prefer the same path, if the last step is priced as one to t = 1."""
    noise = NoiseSchedule.cosine(T)
    grid = candidates(noise, 8)
    snr = noise.snr[grid]
    m = VARIANCE / (1 + VARIANCE * snr)
    elbo = np.where(np.tri(len(grid), k=-1) > 0, D / 2 * (snr - snr[:, None]) * m[:, None], np.inf)
    mine, theirs = solve(exact_klub(noise, grid), 8), solve(elbo, 8)
    for K in range(1, 9):
        assert mine.path(K).tolist() == theirs.path(K).tolist()


def test_no_worse_than_the_papers_coordinate_descent():
    """One t_i after the other moves to the best place between its neighbours, from even steps, until none moves."""
    denoiser = gaussian()
    grid = candidates(denoiser.noise, 6)
    L = klub(denoiser.noise, grid, distances(denoiser, data(denoiser, 200), grid, seed=2))
    best = solve(L, 6)
    for K in range(2, 7):
        path, before = np.linspace(0, len(grid) - 1, K + 1).astype(int), None
        while before != path.tolist():
            before = path.tolist()
            for i in range(1, K):
                inner = np.arange(path[i - 1] + 1, path[i + 1])
                path[i] = inner[np.argmin(L[inner, path[i - 1]] + L[path[i + 1], inner])]
        assert best.nats(K) <= L[path[1:], path[:-1]].sum() * (1 + 1e-12)


def test_paths_of_a_tiny_model_are_the_best_of_all():
    """T = 9: the grid is all timesteps, and every path is tried on exact prices. 4,000 images of 3 numbers know a price
    to sqrt(2 / 12,000), 1.3%: the chosen path may be more expensive by twice two such errors."""
    denoiser = gaussian(9)
    exact = exact_klub(denoiser.noise, np.arange(1, 10))
    paths = PUBLISHED["align-your-steps"].paths(denoiser, data(denoiser, 4000), [1, 2, 3, 4], progress=False)

    def price(path):
        ends = np.array([1, *path[1:]]) - 1
        return exact[ends[1:], ends[:-1]].sum()

    for K, path in paths.items():
        every = [[0, *inner, 9] for inner in itertools.combinations(range(2, 9), K - 1)]
        assert price(path) <= min(map(price, every)) * 1.05
    again = PUBLISHED["align-your-steps"].paths(denoiser, data(denoiser, 4000), [4], progress=False)
    assert again[4].tolist() == paths[4].tolist()


@pytest.mark.parametrize("schedule", [NoiseSchedule.linear(1000), NoiseSchedule.cosine(4000)])
def test_candidates_rise_from_1_to_T(schedule):
    grid = candidates(schedule, 40)
    assert grid[0] == 1 and grid[-1] == schedule.T and (np.diff(grid) > 0).all() and len(grid) == 161


def test_the_walk_is_the_forward_process():
    """What the denoiser is shown at t has variance alpha_t^2 v + sigma_t^2: five standard errors of n d numbers."""
    denoiser, n, seen = gaussian(), 20_000, {}
    at = denoiser.at
    denoiser.at = lambda x, t: (seen.setdefault(t, []).append(x), at(x, t))[1]
    distances(denoiser, data(denoiser, n), np.array([1, 100, 300]), seed=0)
    for t, parts in seen.items():
        expected = denoiser.noise.abar[t] * VARIANCE + denoiser.noise.sigma2[t]
        assert torch.cat(parts).var().item() == pytest.approx(expected, rel=5 * (2 / (n * D)) ** 0.5)

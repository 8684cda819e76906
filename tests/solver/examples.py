"""Costs to solve, the right answers by brute force, and how close an answer must come.

Tolerance: values agree to a relative 1e-11, taken of the largest number that a method adds up (the decoder column and,
for `beta`, b). Each of K layers rounds to half an eps of it, so 4,000 of them to at most 4.4e-13; the rest is margin.
"""

from itertools import combinations

import numpy as np
import pytest

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.solver import AffineCosts, LogAffineCosts
from ddpm_dp.variances.curves import rate_form

RTOL = 1e-11


def cosine_abar(T):
    f = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.concatenate([[1.0], np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], 0.999))])


def snr_of(abar):
    with np.errstate(divide="ignore"):
        return abar / (1 - abar)


def smooth_m(abar):
    """Mean squared error of the exact posterior mean, a third of the coordinates N(0, 0.3), the rest N(0, 0.01)."""
    snr = snr_of(abar)[1:]
    return np.concatenate([[0.0], 0.3 / (1 + 0.3 * snr) / 3 + 0.01 / (1 + 0.01 * snr) * 2 / 3])


def posterior(abar, m, d, first):
    g = d / 2 * snr_of(abar)
    g[0] = 0
    return AffineCosts(first=first, a=-g * m, b=np.zeros_like(g), g=g, h=m)


def beta(abar, m, d, first):
    """d/2 [log rho + (1 + delta m_t) / rho - 1] with rho = sigma_t^2 / sigma_s^2, delta = 1/sigma_s^2 - 1/sigma_t^2."""
    variance = 1 - abar
    variance[0] = 1
    h = (1 - m / variance) / variance
    a = d / 2 * (np.log(variance) - 1 + m / variance)
    return AffineCosts(first=first, a=a, b=-d / 2 * np.log(variance), g=d / 2 * variance, h=h)


def analytic(abar, m, d, first):
    return LogAffineCosts(first=first, g=snr_of(abar), m=m, scale=d / 2)


def curves(abar, m, d, first, error=(1, 1, 1)):
    """Three cells, with rates of 0.1, 1 and 2 times m, and `error` times the squared errors that those expect."""
    rates, mass = np.outer(m, [0.1, 1, 2]), np.tile([0.25, 0.5, 0.25], (len(m), 1))
    return rate_form(NoiseSchedule(abar), d, rates, mass, mass * rates * np.array(error))(np.asarray(first))


def crooked(abar, m, d, first):
    """Curves of held-out errors so small that L(t, s) is not concave in snr_s, and so large that others are."""
    return curves(abar, m, d, first, error=(0.01, 0.3, 1.5))


GOOD = np.where(np.tri(4, k=-1, dtype=bool), 1.0, np.inf)
STRUCTURES = [posterior, beta, analytic]


def realistic(structure, T, noise=0.0, d=12288):
    abar = cosine_abar(T)
    m = smooth_m(abar) * np.exp(noise * np.random.default_rng(0).standard_normal(T + 1))
    first = d * (1 + np.log1p(snr_of(abar)[1] * m) / 2)
    return structure(abar, m, d, first)


def against_monge(T, seed, ulps=7.0):
    """A table whose every quadrangle breaks the Monge inequality by so many ulps of its four entries: the test for two
    neighbouring rows allows 8, and over T rows and columns they add up to some T^2 times as much.

    L(t, s) = 1 + e (t s + T b_s), where b_s, a random order, decides between steps whose t s says otherwise.
    """
    t, s = np.ogrid[: T + 1, : T + 1]
    b = np.random.default_rng(seed).permutation(T + 1)
    e = ulps * 4 * np.finfo(float).eps
    return np.where(s < t, 1 + e * (t * s + T * b / 2), np.inf)


def brute_force(L):
    """Least cost of every budget, by looking at every path."""
    T = len(L) - 1
    best = np.full(T + 1, np.inf)
    for K in range(1, T + 1):
        for inner in combinations(range(1, T), K - 1):
            path = np.array([0, *inner, T])
            best[K] = min(best[K], L[path[1:], path[:-1]].sum())
    return best


def assert_same(values, expected, costs):
    b = getattr(costs, "b", np.zeros(2))
    first = costs.of_steps(np.arange(1, costs.T + 1), 0)
    size = abs(first[np.isfinite(first)]).max(initial=0.0) + abs(b[1:]).max()
    size += np.finfo(float).tiny / RTOL  # below the smallest normal number, relative accuracy ends
    np.testing.assert_allclose(values, expected, rtol=RTOL, atol=RTOL * size)


def assert_paths(costs, frontier):
    """Every path is one, has its K steps, and costs what the frontier says."""
    for K in frontier.budgets:
        if frontier.nats(K) == np.inf:
            with pytest.raises(ValueError, match="No path"):
                frontier.path(K)
            continue
        path = frontier.path(K)
        assert len(path) == K + 1 and path[0] == 0 and path[-1] == costs.T and (np.diff(path) > 0).all()
        price = costs.prior + costs.of_steps(path[1:], path[:-1]).sum()
        assert_same(frontier.nats(K), price, costs)

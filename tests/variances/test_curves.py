"""variances/curves.py against the sums over cells that it stands for.

Tolerance: 1e-9 of the step, which the docstring of curves.py promises.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_dp import NoiseSchedule
from ddpm_dp.solver import CurveCosts, solve
from ddpm_dp.variances.curves import exponent_form, rate_form
from tests.solver.examples import assert_paths, assert_same

T = 40
RTOL = 1e-9
D = 7


def schedule(steepness):
    """From an SNR of 1e7 or so down to almost nothing: as long a range as any T has."""
    return NoiseSchedule(
        1 / (1 + np.exp(np.linspace(-steepness, 0.8 * steepness, T + 1))) / (1 / (1 + np.exp(-steepness)))
    )


def exact(noise, t, s, log_rho, mass, error):
    """d/2 sum_b [p_b (log rho_b + 1 / rho_b - 1) + delta e_b / rho_b] for pairs (t, s); log_rho(t, delta) is (n, B).

    The bracket is x + exp(-x) - 1, which cancels for small x: there its series, whose 10th term is 1e-26 of the first.
    """
    delta = (noise.snr[s] - noise.snr[t])[:, None]
    log = log_rho(t, delta)
    series = sum((-log) ** n / math.factorial(n) for n in range(2, 12))
    rise = np.where(log < 0.02, series, log + np.expm1(-log))
    return D / 2 * (mass[t] * rise + delta * error[t] * np.exp(-log)).sum(1)


PAIRS = np.array([(t, s) for t in range(2, T + 1) for s in range(1, t)]).T


@st.composite
def cells(draw):
    """Rates over 22 decades, masses of which some are 0, and errors near what was fitted, far from it, or 0."""
    bins = draw(st.integers(1, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    rates = 10 ** random.uniform(draw(st.sampled_from([-20, -3])), draw(st.sampled_from([-2, 0, 2])), (T + 1, bins))
    rates[random.random(rates.shape) < draw(st.sampled_from([0, 0.3, 1]))] = 0
    mass = random.random((T + 1, bins)) * (random.random((T + 1, bins)) < draw(st.sampled_from([0.5, 1])))
    mass[:, 0] += 1e-3
    mass /= mass.sum(1, keepdims=True)
    error = mass * rates * np.exp(draw(st.sampled_from([0, 0.1, 5])) * random.standard_normal(rates.shape))
    if draw(st.booleans()):
        error += 1e-3 * random.random(rates.shape)  # also where the rate or the mass is 0
    return rates, mass, error


@settings(max_examples=60, deadline=None)
@given(cells=cells(), steepness=st.sampled_from([1.0, 9.0, 16.0]))
def test_rates_equal_the_sum_over_cells(cells, steepness):
    rates, mass, error = cells
    noise = schedule(steepness)
    t, s = PAIRS
    expected = exact(noise, t, s, lambda t, delta: np.log1p(delta * rates[t]), mass, error)
    costs = rate_form(noise, D, rates, mass, error)(np.zeros(T + 1))
    np.testing.assert_allclose(costs.of_steps(t, s), expected, rtol=RTOL, atol=np.finfo(float).tiny)


@settings(max_examples=60, deadline=None)
@given(
    cells=cells(),
    steepness=st.sampled_from([1.0, 9.0, 16.0]),
    low=st.sampled_from([0.0, 1e-6, 0.3]),
    width=st.sampled_from([0.0, 1e-6, 0.7]),
)
def test_exponents_equal_the_sum_over_cells(cells, steepness, low, width):
    _, mass, error = cells
    noise, bins = schedule(steepness), cells[1].shape[1]
    t, s = PAIRS
    v = np.linspace(low, low + width * (bins > 1), bins)

    def log_rho(t, delta):
        return v * np.log1p(delta * noise.sigma2[t, None])

    expected = exact(noise, t, s, log_rho, mass, error)
    ends = np.full(T + 1, v[0]), np.full(T + 1, v[-1])
    costs = exponent_form(noise, D, *ends, mass, error)(np.zeros(T + 1))
    np.testing.assert_allclose(costs.of_steps(t, s), expected, rtol=RTOL, atol=np.finfo(float).tiny)


@pytest.mark.parametrize("errors", [0.0, 1.0])
def test_no_single_cell_is_worse_than_the_promise(errors):
    """All that a curve adds up, with positive weights: 1 / rho and B / (E - 1) of one cell, whatever its k or v."""
    noise = NoiseSchedule.cosine(4000)
    t, s = np.full(1999, 2000), np.arange(1, 2000)
    k = np.concatenate([np.logspace(-8, 0, 41), [0.02, 0.2, 0.5, 0.9, 0.99]])
    # A second cell of no mass and almost no error sets c, so that the first has any k.
    for each in k:
        rates = np.tile([each, 1.0], (4001, 1))
        mass = np.tile([1.0, 0.0], (4001, 1))
        error = np.tile([errors, 1e-300], (4001, 1))
        costs = rate_form(noise, D, rates, mass, error)(np.zeros(4001))
        expected = exact(noise, t, s, lambda t, delta, rates=rates: np.log1p(delta * rates[t]), mass, error)
        np.testing.assert_allclose(costs.of_steps(t, s), expected, rtol=RTOL)
    for v in np.linspace(0, 1, 21)[errors == 0 :]:  # v = 0 without an error costs nothing
        ends = np.full(4001, v), np.full(4001, v)
        mass, error = np.ones((4001, 1)), np.full((4001, 1), errors)
        costs = exponent_form(noise, D, *ends, mass, error)(np.zeros(4001))
        expected = exact(noise, t, s, lambda t, delta, v=v: v * np.log1p(delta * noise.sigma2[t, None]), mass, error)
        np.testing.assert_allclose(costs.of_steps(t, s), expected, rtol=RTOL)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    bins=st.sampled_from([12, 13, 14, 40, 300]),
    width=st.sampled_from([0.0, 1e-9, 0.33, 0.34, 2.0, 20.0]),
    alone=st.booleans(),
    steepness=st.sampled_from([1.0, 9.0, 16.0]),
)
def test_many_rates_that_are_close_equal_the_sum_over_cells(seed, bins, width, alone, steepness):
    """Those that differ by less than a factor 1.4 = exp(0.336) are gathered: in order or not, among empty ones and
    zeros; and one alone, wherever it lies among empty ones, which is the worst that can be asked of a place."""
    random, noise = np.random.default_rng(seed), schedule(steepness)
    rates = 10 ** random.uniform(-6, 1, (T + 1, 1)) * np.exp(width * np.linspace(0, 1, bins))
    if seed % 3 == 0:
        rates = random.permuted(rates, axis=1)
        rates[:, random.integers(bins)] = 0
    mass = random.random((T + 1, bins)) * (random.random((T + 1, bins)) < random.choice([0.5, 1]))
    if alone:
        mass = np.full_like(mass, 1e-300) + np.eye(bins)[random.integers(bins, size=T + 1)]
    mass[:, 0] += 1e-300
    error = mass * rates * np.exp(random.choice([0, 0.1, 5]) * random.standard_normal(rates.shape))
    expected = exact(noise, *PAIRS, lambda t, delta: np.log1p(delta * rates[t]), mass, error)
    costs = rate_form(noise, D, rates, mass, error)(np.zeros(T + 1))
    np.testing.assert_allclose(costs.of_steps(*PAIRS), expected, rtol=RTOL, atol=1e-290)


def test_one_cell_is_analytic():
    noise = NoiseSchedule.cosine(300)
    m = np.linspace(0.001, 0.3, 301)[:, None]
    first = np.linspace(3, 9, 301)
    costs = rate_form(noise, D, m, np.ones_like(m), m)(first)
    t, s = np.tril_indices(301, -1)
    t, s = t[s > 0], s[s > 0]
    expected = D / 2 * np.log1p((noise.snr[s] - noise.snr[t]) * m[t, 0])
    np.testing.assert_allclose(costs.of_steps(t, s), expected, rtol=RTOL)
    np.testing.assert_array_equal(costs.of_steps(np.arange(1, 301), 0), first[1:])


def test_constant_v_is_posterior_or_beta():
    noise = NoiseSchedule.cosine(300)
    m, ones = np.linspace(0.001, 0.3, 301), np.ones(301)
    t, s = np.tril_indices(301, -1)
    t, s = t[s > 0], s[s > 0]
    delta = noise.snr[s] - noise.snr[t]
    posterior = exponent_form(noise, D, 0 * ones, 0 * ones, ones[:, None], m[:, None])(ones)
    np.testing.assert_allclose(posterior.of_steps(t, s), D / 2 * delta * m[t], rtol=RTOL)
    beta = exponent_form(noise, D, ones, ones, ones[:, None], m[:, None])(ones)
    log = np.log1p(delta * noise.sigma2[t])
    np.testing.assert_allclose(
        beta.of_steps(t, s), D / 2 * (log + np.expm1(-log) + delta * m[t] * np.exp(-log)), rtol=RTOL
    )


def test_a_denoiser_without_error_costs_nothing_and_can_be_searched():
    noise, none = NoiseSchedule.cosine(20), np.zeros((21, 2))
    costs = rate_form(noise, D, none, np.full((21, 2), 0.5), none)(np.ones(21))
    np.testing.assert_array_equal(solve(costs).values[1:], 1.0)


def test_refuses_rates_beyond_what_can_be_searched():
    noise, m = NoiseSchedule.cosine(20), np.full((21, 1), 0.1)
    m[7] = 1e150
    with pytest.raises(ValueError, match=r"The largest rate of t = 7 is 1e\+150"):
        rate_form(noise, D, m, np.ones_like(m), m)


def test_the_search_runs_on_curves():
    """As on their table, written out by the exact sum."""
    noise, random = NoiseSchedule.cosine(60), np.random.default_rng(0)
    rates, mass = 0.2 * random.random((61, 5)), random.dirichlet(np.ones(5), 61)
    error = mass * rates * np.exp(0.1 * random.standard_normal((61, 5)))
    costs = rate_form(noise, D, rates, mass, error)(np.linspace(9, 90, 61))
    L = np.full((61, 61), np.inf)
    L[1:, 0] = costs.first[1:]
    t, s = np.array([(t, s) for t in range(2, 61) for s in range(1, t)]).T
    L[t, s] = exact(noise, t, s, lambda t, delta: np.log1p(delta * rates[t]), mass, error)
    frontier = solve(costs)
    # Each step is known to RTOL, so the sum of any path is, and so the least of them.
    np.testing.assert_allclose(frontier.values, solve(L).values, rtol=RTOL)
    assert_paths(costs, frontier)
    assert_same(frontier.values, solve(costs, method="dense").values, costs)


@settings(max_examples=40, deadline=None)
@given(cells=cells(), rates=st.booleans())
def test_bends_bound_the_second_derivative(cells, rates):
    """Chords: L at the middle of two places is above their mean less bend / 8 times the squared distance.

    Tolerance: what the promised 1e-9 of each of the three prices does.
    """
    u, mass, error = cells
    noise = schedule(9.0)
    ends = np.zeros(T + 1), np.ones(T + 1)
    form = rate_form(noise, D, u, mass, error) if rates else exponent_form(noise, D, *ends, mass, error)
    costs = form(np.zeros(T + 1))
    for t in (3, 10, T):
        many = np.linspace(0, costs.c[t] * (costs.g[1] - costs.g[t]), 201)
        far, near = np.array([(i, j) for i in range(201) for j in range(i)]).T
        at = np.concatenate([many[far], many[near], (many[far] + many[near]) / 2])
        # The same curve in a chain whose s lie at those x.
        order = np.argsort(-at, kind="stable")
        n = len(at)
        g = np.concatenate([[0], at[order], [0.0]])
        c = np.concatenate([np.zeros(n + 1), [1.0]])
        start = np.concatenate([np.zeros(n + 2, int), [costs.start[t + 1] - costs.start[t]]])
        rows = slice(costs.start[t], costs.start[t + 1])
        one = CurveCosts(np.zeros(n + 2), g, c, start, costs.panels[rows], costs.bend[rows])
        prices = np.empty(n)
        prices[order] = one.of_steps(n + 1, np.arange(1, n + 1))
        L_far, L_near, L_middle = prices.reshape(3, -1)
        panel = np.minimum(np.log(1 + many[near]) / np.log(4), len(one.bend) - 1).astype(int)
        below = one.bend[panel] / 8 * (many[far] - many[near]) ** 2
        assert (L_middle + below >= (L_far + L_near) / 2 - 2 * RTOL * (L_far + L_near + L_middle)).all()


def test_what_was_fitted_is_concave_and_does_not_bend():
    rates, random = np.logspace(-3, 0, 5) * np.ones((T + 1, 1)), np.random.default_rng(0)
    mass = random.dirichlet(np.ones(5), T + 1)
    assert not rate_form(schedule(9.0), D, rates, mass, mass * rates)(np.zeros(T + 1)).bend.any()

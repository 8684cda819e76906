"""The search against brute force, its methods against each other, and what it refuses."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddpm_dp import memory
from ddpm_dp.solver import (
    AffineCosts,
    CurveCosts,
    Frontier,
    LogAffineCosts,
    TableCosts,
    certify,
    kernels,
    methods,
    solve,
)
from tests.solver.examples import (
    GOOD,
    RTOL,
    STRUCTURES,
    against_monge,
    analytic,
    assert_paths,
    assert_same,
    beta,
    brute_force,
    cosine_abar,
    crooked,
    curves,
    posterior,
    realistic,
    smooth_m,
)

# Property tests ------------------------------------------------------------------------------------------------------

few_T = st.shared(st.integers(1, 8), key="T")


def lists_of(elements):
    return few_T.flatmap(lambda T: st.lists(elements, min_size=T + 1, max_size=T + 1))


# Zero, tiny, huge, and few enough values that neighbours are often equal; noisy or, once sorted, monotone.
errors = st.one_of(st.sampled_from([0.0, 1e-300, 1e-12, 0.5, 1.0, 1e8, 1e30]), st.floats(1e-6, 10.0))
many_m = st.one_of(lists_of(errors), lists_of(errors).map(sorted))
log_snr_steps = lists_of(st.sampled_from([0.0, 1e-9, 0.1, 1.0, 4.0]))
first_steps = lists_of(st.one_of(st.just(np.inf), st.floats(-10, 1e5), st.sampled_from([0.0, 1e-6, 1e8])))


@pytest.mark.parametrize("structure", STRUCTURES)
@settings(max_examples=150, deadline=None)
@given(m=many_m, log_snr=log_snr_steps, first=first_steps, d=st.sampled_from([1, 2, 64, 12288]))
@example(m=[0] + [1e100] * 5, log_snr=[1.0] * 6, first=[0, 0, 1e8, 1e5, 0, 1e8], d=1)  # beyond exp
@example(m=[0] * 7 + [1e30], log_snr=[0] * 6 + [1e-9, 0], first=[np.inf] * 4 + [1, 0, np.inf, np.inf], d=1)  # 1e25 + 1
@example(m=[0.0] * 5, log_snr=[0.0] * 5, first=[np.inf] * 5, d=2)
def test_all_methods_equal_brute_force(structure, m, log_snr, first, d):
    abar = 1 / (1 + np.exp(np.cumsum(log_snr) - 10))
    costs = structure(abar, np.array(m), d, np.array(first))
    L = costs.table()
    expected = brute_force(L)
    for method in ("envelope", "dense", "auto"):
        frontier = solve(costs, method=method)
        assert_same(frontier.values, expected, costs)
        assert_paths(costs, frontier)
    frontier = solve(L)  # a bare table: divide or dense, as it turns out
    assert_same(frontier.values, expected, costs)
    assert_paths(TableCosts(L), frontier)


@pytest.mark.parametrize("structure", STRUCTURES)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), T=st.integers(9, 90), d=st.sampled_from([1, 12288]))
def test_all_methods_agree_on_longer_chains(structure, seed, T, d):
    random = np.random.default_rng(seed)
    abar = 1 / (1 + np.exp(np.cumsum(random.choice([0, 0.01, 0.2, 1], T + 1)) - 9))
    m = smooth_m(abar) * np.exp(random.choice([0, 0.1, 3, 30]) * random.standard_normal(T + 1))
    m[random.random(T + 1) < random.choice([0, 0.3])] = 0
    costs = structure(abar, m, d, d * np.exp(random.choice([0, 1, 3]) * random.standard_normal(T + 1)))
    dense = solve(costs, method="dense")
    for frontier in (dense, solve(costs), solve(costs.table())):
        assert_same(frontier.values, dense.values, costs)
        assert_paths(costs, frontier)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), T=st.integers(1, 8))
def test_tables_equal_brute_force(data, T):
    cost = st.one_of(st.just(np.inf), st.floats(-100, 100), st.integers(0, 3).map(float))
    L = np.full((T + 1, T + 1), np.inf)
    L[np.tril_indices(T + 1, -1)] = data.draw(st.lists(cost, min_size=T * (T + 1) // 2, max_size=T * (T + 1) // 2))
    frontier = solve(L)
    np.testing.assert_allclose(frontier.values, brute_force(L), rtol=RTOL, atol=1e-12)
    assert_paths(TableCosts(L), frontier)


@settings(max_examples=100, deadline=None)
@given(
    g=lists_of(st.floats(-5, 5)).map(sorted),
    h=lists_of(st.floats(-5, 5)).map(sorted),
    first=lists_of(st.one_of(st.just(np.inf), st.floats(-10, 10))),
)
def test_divide_and_conquer_equals_brute_force_on_monge_tables(g, h, first):
    """L = (g_s - g_t) h_t is Monge where g falls and h rises."""
    g, h = np.array(g[::-1]), np.array(h)
    costs = AffineCosts(first=first, a=-g * h, b=np.zeros_like(g), g=g, h=h)
    frontier = solve(costs, method="divide")
    assert frontier.method == "divide"
    np.testing.assert_allclose(frontier.values, brute_force(costs.table()), rtol=RTOL, atol=1e-12)
    assert_paths(costs, frontier)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    T=st.integers(3, 9),
    where=st.sampled_from(["first rows", "one place", "everywhere"]),
    infinite=st.booleans(),
    first=st.lists(st.one_of(st.just(np.inf), st.floats(-10, 10)), min_size=10, max_size=10),
)
def test_divide_and_conquer_equals_brute_force_where_first_rows_are_not_monge(seed, T, where, infinite, first):
    """The kernel itself: `solve` would take "dense" where many rows are rough."""
    random = np.random.default_rng(seed)
    g, h = np.sort(random.normal(size=T + 1))[::-1], np.sort(random.normal(size=T + 1))
    L = np.where(np.tri(T + 1, k=-1, dtype=bool), h[:, None] * (g - g[:, None]), np.inf)
    L[1:, 0] = first[1 : T + 1]
    rows = {"first rows": T // 2 + 1, "one place": random.integers(2, T + 1), "everywhere": T + 1}[where]
    wrong = random.normal(size=L.shape) * (1 if where != "one place" else np.eye(T + 1)[random.integers(1, T)])
    inner = np.tri(T + 1, k=-1, dtype=bool) & (np.arange(T + 1) > 0)
    inner &= (np.arange(T + 1)[:, None] < rows) if where != "one place" else (np.arange(T + 1)[:, None] == rows)
    L[inner] += np.where(infinite & (random.random(L.shape) < 0.3), np.inf, wrong)[inner]
    costs = TableCosts(L)
    assert costs.last_rough <= (rows if where == "one place" else T)
    values, parents = np.full(T + 1, np.inf), np.empty((T + 1, T + 1), np.uint16)
    values[1] = L[T, 0]
    methods.DIVIDE.fill(costs, T, parents, values)
    np.testing.assert_allclose(values, brute_force(L), rtol=RTOL, atol=1e-12)
    assert_paths(costs, Frontier(values, parents, "divide"))


@pytest.mark.parametrize("structure", [curves, crooked])
@settings(max_examples=100, deadline=None)
@given(m=many_m, log_snr=lists_of(st.sampled_from([0.01, 0.1, 1.0, 4.0])), first=first_steps)
@example(m=[0.0] * 5, log_snr=[0.1] * 5, first=[np.inf] * 5)
def test_curves_equal_brute_force(structure, m, log_snr, first):
    abar = np.concatenate([[1], 1 / (1 + np.exp(np.cumsum(log_snr) - 10))[: len(m) - 1]])
    if len(abar) < 3:  # no schedule
        return
    costs = structure(abar, np.minimum(m, 1e8), 64, np.array(first))
    expected = brute_force(costs.table())
    for method in ("prune", "dense", "auto"):
        frontier = solve(costs, method=method)
        assert_same(frontier.values, expected, costs)
        assert_paths(costs, frontier)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), T=st.integers(20, 120), ulps=st.sampled_from([0.5, 3.0, 7.0]))
@example(seed=0, T=100, ulps=7.0)
def test_what_the_monge_test_lets_through_is_accounted_for(seed, T, ulps):
    """Divide and conquer itself, on tables that `solve` would not give it, and "auto". Tolerance: a value of k steps is
    some k, rounded in k additions of it, so known to k eps of itself. What the test lets through is T^2 eps."""
    costs = TableCosts(against_monge(T, seed, ulps))
    assert costs.last_rough == 0
    dense = solve(costs, method="dense")
    values, parents = np.full(T + 1, np.inf), np.empty((T + 1, T + 1), np.uint16)
    values[1] = costs.L[T, 0]
    methods.DIVIDE.fill(costs, T, parents, values)
    for found in (values, solve(costs).values):
        assert (abs(found[1:] - dense.values[1:]) <= np.arange(1, T + 1) * np.finfo(float).eps * dense.values[1:]).all()
    assert_paths(costs, Frontier(values, parents, "divide"))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), T=st.integers(3, 24), rough=st.integers(0, 3))
def test_doubts_bound_every_rectangle(data, T, rough):
    """All rectangles, in exact arithmetic, against the bound from those of rows that are powers of 2 apart."""
    number = st.one_of(st.floats(-1, 1), st.sampled_from([0.0, 1e-17, 1.0, -1e16, 1e16]))
    L = np.full((T + 1, T + 1), np.inf)
    L[np.tril_indices(T + 1, -1)] = data.draw(st.lists(number, min_size=T * (T + 1) // 2, max_size=T * (T + 1) // 2))
    doubt, _ = kernels.doubts(L, rough)
    exact = [[Fraction(x) if x < np.inf else None for x in row] for row in L.tolist()]
    for t, later in combinations(range(rough + 1, T + 1), 2):
        for s, right in combinations(range(1, t), 2):
            assert exact[t][s] + exact[later][right] - exact[t][right] - exact[later][s] <= Fraction(doubt[s])


# Larger cases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.01, 3.0])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_envelope_equals_dense_at_every_budget(structure, noise):
    costs = realistic(structure, 700, noise)
    envelope, dense = solve(costs, method="envelope"), solve(costs, method="dense")
    assert_same(envelope.values, dense.values, costs)
    for frontier in (envelope, dense):
        assert_paths(costs, frontier)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_4000_timesteps_lose_no_precision_at_12288_dimensions(structure):
    """d/2 exp(2C/d) on a long chain whose decoder costs nothing: even 1e-3 nats keep their digits."""
    costs = realistic(structure, 4000)
    costs = type(costs)(**{**vars(costs), "first": np.where(np.arange(4001) > 1, costs.first, 0.0)})
    envelope = solve(costs)
    assert envelope.method == "envelope"
    for K in (1000, 3000, 4000):
        path = envelope.path(K)
        price = np.sort(costs.of_steps(path[1:], path[:-1])).sum()
        assert abs(envelope.nats(K) - price) <= RTOL * price
    assert_same(envelope.values[:201], solve(costs, 200, method="dense").values, costs)


@pytest.mark.parametrize("noise", [0.0, 0.01, 3.0])
@pytest.mark.parametrize("structure", [curves, crooked])
def test_prune_equals_dense_at_every_budget(structure, noise):
    """Several sizes of blocks, and the places before, between and beyond them."""
    costs = realistic(structure, 700, noise)
    prune, dense = solve(costs, method="prune"), solve(costs, method="dense")
    assert_same(prune.values, dense.values, costs)
    for frontier in (prune, dense):
        assert_paths(costs, frontier)


@pytest.mark.parametrize("T", [2, 15, 16, 17, 31, 32, 33, 34, 35, 63, 64, 65, 66, 129])
def test_prune_at_the_seams_of_its_blocks(T):
    """And where one group of t ends, and with a decoder that only some timesteps have, so that blocks begin, end or are
    empty of finite places."""
    random = np.random.default_rng(T)
    costs = realistic(curves, T, noise=0.3)
    costs = replace(costs, first=np.where(random.random(T + 1) < 0.2, costs.first, np.inf))
    prune, dense = solve(costs, method="prune"), solve(costs, method="dense")
    assert_same(prune.values, dense.values, costs)
    assert_paths(costs, prune)


@pytest.mark.parametrize("structure", [curves, crooked])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), T=st.integers(9, 150), d=st.sampled_from([1, 12288]))
def test_prune_equals_dense_on_longer_chains(structure, seed, T, d):
    """Rates that jump from t to t, so that t which are searched together lie on different panels and want different s;
    some that are 0; several decoders that are not there, or so cheap that all want them."""
    random = np.random.default_rng(seed)
    abar = np.concatenate([[1], 1 / (1 + np.exp(np.cumsum(random.choice([1e-6, 0.01, 0.2, 1], T)) - 9))])
    m = smooth_m(abar) * np.exp(random.choice([0, 0.1, 3, 10]) * random.standard_normal(T + 1))
    m[random.random(T + 1) < random.choice([0, 0.3])] = 0
    first = d * np.exp(random.choice([0, 1, 3]) * random.standard_normal(T + 1))
    first[random.random(T + 1) < random.choice([0, 0.5, 0.95])] = np.inf
    costs = structure(abar, np.minimum(m, 1e8), d, first)
    prune, dense = solve(costs, method="prune"), solve(costs, method="dense")
    assert_same(prune.values, dense.values, costs)
    assert_paths(costs, prune)


def test_prune_believes_the_bends():
    """L = 4 x^2 / (3 + x), whose second derivative is at most 8/3. Over 32 .. 64 a line of decoder prices makes L + C
    lower inside than at both ends, and s = 1 costs less than those: who is told that L is concave passes over them."""
    T = 128
    g = 3 * (T - np.arange(T + 1.0)) / (T - 1)
    first = np.where((np.arange(T + 1) > 40) & (np.arange(T + 1) < 56), -2.495 * g, np.inf)
    first[1] = -1.77 - 6
    counts = np.where(np.arange(T + 1) < T, np.arange(T + 1) > 1, 2)
    panels = np.zeros((counts.sum(), 16))
    panels[:-2, 0] = 1e3  # of t < T; of T the first panel is as above, and the second, from x = 3 on, is not used
    panels[-2, 1] = 1
    panels[-1, 0] = 2
    start = np.concatenate([[0], np.cumsum(counts)])
    c = np.where(np.arange(T + 1) < T, 0.5, 1.0)
    costs = CurveCosts(first, g, c, start, panels, np.full(len(panels), 8 / 3))
    expected = solve(costs, 2, method="dense")
    assert 40 < expected.path(2)[1] < 56
    assert_same(solve(costs, 2, method="prune").values, expected.values, costs)
    assert solve(replace(costs, bend=0 * costs.bend), 2, method="prune").path(2)[1] == 1


def test_curves_are_searched_without_a_table_where_it_would_be_large(monkeypatch):
    costs = realistic(curves, 700)
    assert solve(costs, 10).method in ("divide", "dense")
    monkeypatch.setattr(methods, "available_memory", lambda: 8.0 * 701**2)
    assert solve(costs, 10).method == "prune"
    monkeypatch.undo()
    assert solve(realistic(curves, 20_000), 2).method == "prune"


def test_a_table_that_is_not_monge_in_its_first_rows_only():
    L = realistic(posterior, 300).table()
    L[60, 3:50] *= 1.1
    frontier, costs = solve(L), TableCosts(L)
    assert costs.last_rough == 60 and frontier.method == "divide"
    assert_same(frontier.values, solve(L, method="dense").values, costs)
    assert_paths(costs, frontier)
    L[80, 3:50] *= 1.1
    assert solve(L).method == "dense"


@pytest.mark.nightly
def test_4000_timesteps_that_are_slightly_against_monge():
    """Where 8 ulps a quadrangle would add up to more than 1e-11 of the answer."""
    L = against_monge(4000, seed=0)
    assert TableCosts(L).last_rough == 0
    expected = solve(L, 64, method="dense")
    np.testing.assert_allclose(solve(L, 64).values[1:], expected.values[1:], rtol=RTOL)
    values, parents = np.full(65, np.inf), np.empty((65, 4001), np.uint16)
    values[1] = L[4000, 0]
    kernels.divide_layers(L, 0, np.zeros(4001), 64, parents, values)  # who believes the test alone
    assert abs(values[1:] / expected.values[1:] - 1).max() > RTOL


def test_smooth_tables_still_take_the_fast_way():
    """What rounding explains does not make a table rough."""
    for structure in (posterior, beta, curves):
        assert solve(realistic(structure, 700).table()).method == "divide"


def test_queries_that_jump_across_the_hull():
    """m that alternates sends every query to the other end of the hull, further than the kernels walk."""
    abar = cosine_abar(600)
    m = smooth_m(abar)
    m[::2] *= 1e-9
    for structure in STRUCTURES:
        costs = structure(abar, m, 3072, np.full(601, 10.0))
        assert_same(solve(costs).values, solve(costs, method="dense").values, costs)


@pytest.mark.parametrize("T", [15, 16, 17, 63, 64, 65, 66, 130, 150])
def test_dense_at_the_seams_of_its_blocks(T):
    L = np.where(np.tri(T + 1, k=-1, dtype=bool), np.random.default_rng(T).random((T + 1, T + 1)), np.inf)
    best = np.where(np.arange(T + 1) == 0, 0.0, np.inf)
    frontier = solve(L, method="dense")
    for K in range(1, T + 1):
        best = (L + best).min(axis=1)  # Algorithm 1, as printed
        assert frontier.nats(K) == best[T]
        assert len(set(frontier.path(K))) == K + 1


def test_smooth_posterior_table_is_monge_and_noisy_is_not():
    assert solve(realistic(posterior, 300).table()).method == "divide"
    assert solve(realistic(posterior, 300, noise=0.1).table()).method == "dense"
    with pytest.raises(ValueError, match="fails the Monge test at t = "):
        solve(realistic(posterior, 300, noise=0.1), method="divide")


def test_fewer_budgets_are_the_first_of_all_budgets():
    costs = realistic(analytic, 200, noise=0.1)
    everything = solve(costs)
    for K in (1, 2, 37):
        frontier = solve(costs, K)
        assert frontier.budgets.tolist() == list(range(1, K + 1))
        np.testing.assert_array_equal(frontier.values, everything.values[: K + 1])
        np.testing.assert_array_equal(frontier.path(K), everything.path(K))


def test_g_that_is_not_monotone_is_searched_densely():
    g, h = np.array([0, 1.0, 3.0, 2.0, 5.0]), np.ones(5)
    costs = AffineCosts(first=np.arange(5.0), a=np.zeros(5), b=np.zeros(5), g=g, h=h)
    assert solve(costs).method in ("divide", "dense")
    np.testing.assert_allclose(solve(costs).values, brute_force(costs.table()), rtol=RTOL)
    with pytest.raises(ValueError, match="not monotone"):
        solve(costs, method="envelope")


def test_objects_with_the_cost_interface():
    class Plain:
        T, prior = 50, 7.0

        def table(self):
            return realistic(posterior, 50).table()

    class Structured(Plain):
        def structure(self):
            return realistic(posterior, 50)

    class Unstructured(Plain):
        def structure(self):
            return None

    bare = solve(Plain().table())
    assert solve(Structured()).method == "envelope"
    for costs in (Plain(), Structured(), Unstructured()):
        np.testing.assert_allclose(solve(costs).values, bare.values + 7.0, rtol=RTOL)  # the prior is paid once


def test_one_timestep():
    for costs in (np.array([[np.inf, np.inf], [2.0, np.inf]]), LogAffineCosts([0, 2.0], [0, 1.0], [0, 1.0], 0.5, 0.0)):
        frontier = solve(costs)
        assert frontier.path(1).tolist() == [0, 1] and frontier.nats(1) == 2.0
        assert certify(costs, frontier, 1).is_optimal


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [0, -1, 4, True, np.True_, 2.0, "three", None])
def test_refuses_budgets(K):
    with pytest.raises(ValueError, match="budgets = .* steps on a path to T = 3; expected a whole number from 1 to 3"):
        solve(GOOD, K)
    with pytest.raises(ValueError, match="K = .* solved for up to 3; expected a whole number from 1 to 3"):
        solve(GOOD).path(K)
    with pytest.raises(ValueError, match="K = .* expected a whole number from 1 to 3"):
        solve(GOOD).nats(K)


def test_a_budget_that_was_not_solved():
    """What counts is how far the frontier was solved, not T."""
    with pytest.raises(ValueError, match="K = 3 steps, of a frontier that was solved for up to 2; .* from 1 to 2"):
        solve(GOOD, 2).path(3)


def test_refuses_methods():
    with pytest.raises(
        ValueError, match="method = 'fast' is not known; expected one of auto, envelope, prune, divide, dense"
    ):
        solve(GOOD, method="fast")
    with pytest.raises(ValueError, match="use method='auto'"):
        solve(GOOD, method="envelope")


def test_refuses_what_does_not_fit_into_memory(monkeypatch):
    costs = realistic(posterior, 2000)
    monkeypatch.setattr(memory, "available_memory", lambda device=None: 2**20)
    with pytest.raises(ValueError, match="T = 2000 with K = 2000 takes 0.00755 GiB and 0.000977 GiB are available"):
        solve(costs)
    with pytest.raises(ValueError, match="A table of T = 2000 takes 0.0298 GiB"):
        solve(costs, 10, method="dense")
    assert solve(costs, 10).T == 2000


def test_the_search_needs_neither_torch_nor_numba_to_be_imported():
    program = "import sys, ddpm_dp.solver; sys.exit(bool({'torch', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0

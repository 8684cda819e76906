"""A first step that depends on the second: found exactly, against brute force, and proved."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_dp.solver import AffineCosts, AttachedCosts, TableCosts, certify, solve

T = 7
numbers = st.lists(st.floats(0, 10), min_size=(T + 1) ** 2, max_size=(T + 1) ** 2)


def table(values) -> np.ndarray:
    L = np.array(values).reshape(T + 1, T + 1)
    L[np.triu_indices(T + 1)] = np.inf
    return L


def cost(path, L, D) -> float:
    """nats of a path, added up step by step."""
    steps = [L[t, s] for s, t in zip(path[:-1], path[1:], strict=True)]
    return sum(steps[1:], D[path[2], path[1]] if len(path) > 2 else steps[0])


@settings(deadline=None)  # the first call compiles
@given(numbers, numbers, st.sets(st.tuples(st.integers(2, T), st.integers(1, T - 1)), max_size=12), st.floats(-5, 5))
def test_every_budget_is_the_best_of_all_paths(values, pairs, closed, prior):
    """Terms of size 10, seven at most."""
    L, D = table(values), table(pairs)
    for t, s in closed:  # such a first step does not exist
        D[t, s] = np.inf
    costs = AttachedCosts(TableCosts(L, prior), lambda t, s: D[t, s])
    found = solve(costs)
    for K in range(1, T + 1):
        paths = [[0, *between, T] for between in combinations(range(1, T), K - 1)]
        best = min(cost(path, L, D) for path in paths) + prior
        assert found.nats(K) == pytest.approx(best, abs=1e-11) or found.nats(K) == best == np.inf
        if best < np.inf:
            path = found.path(K).tolist()
            assert len(path) == K + 1 and cost(path, L, D) + prior == pytest.approx(best, abs=1e-11)
            proof = certify(costs, found, K)
            assert proof.lower_bound <= best + 1e-9 and (proof.is_optimal or not proof.convex)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 5), min_size=T, max_size=T), numbers)
def test_costs_in_a_form_stay_in_it(m, pairs):
    """`AffineCosts` are searched as such from the third layer on, to the same values as their table."""
    g = np.r_[0, np.linspace(5, 1, T)]
    h, D = np.r_[0, m], table(pairs)
    form = AffineCosts(np.r_[np.inf, m], a=-g * h, b=np.zeros(T + 1), g=g, h=h)
    one = solve(AttachedCosts(form, lambda t, s: D[t, s]))
    other = solve(AttachedCosts(TableCosts(form.table()), lambda t, s: D[t, s]))
    assert one.method == "envelope"
    np.testing.assert_allclose(one.values, other.values, rtol=1e-11)


def test_a_wrong_answer_is_not_certified():
    rng = np.random.default_rng(0)
    L, D = table(rng.random((T + 1) ** 2)), table(rng.random((T + 1) ** 2))
    costs = AttachedCosts(TableCosts(L), lambda t, s: D[t, s])
    found = solve(costs)
    second = found.path(3)[2]
    assert second > 2, "the example has a choice of t_1"
    found.parents[2, second] = 1 if found.path(3)[1] != 1 else 2
    assert not certify(costs, found, 3).is_optimal


def test_short_chains():
    L = np.array([[np.inf, np.inf], [3.0, np.inf]])
    assert solve(AttachedCosts(TableCosts(L), lambda t, s: 0.0 * t)).values.tolist() == [np.inf, 3.0]
    assert solve(AttachedCosts(TableCosts(table(np.ones(64))), lambda t, s: 0.0 * t), 1).nats(1) == 1

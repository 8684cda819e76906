"""published/dm_nonuniform.py: the solver's weights by quadrature, the bound step by step, what the optimiser gains."""

import warnings

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import lagrange
from scipy.optimize import LinearConstraint, minimize

from ddpm_dp import NoiseSchedule
from ddpm_dp.published.dm_nonuniform import bound, levels, weights


@pytest.mark.parametrize("m", [1, 2, 3])
def test_weights_are_integrals(m):
    """quad promises 1e-10; moments lose some eps / h^2 to cancellation, and h is a tenth or more."""
    rng = np.random.default_rng(m)
    for _ in range(20):
        nodes = rng.uniform(-4, 5) + np.cumsum(rng.uniform(0.1, 2, m + 1))
        for j in range(m):
            # in coordinates that begin at the first node, where scipy's polynomial is well conditioned
            basis = lagrange(nodes[:-1] - nodes[0], np.eye(m)[j])
            expected, _ = quad(
                lambda v, basis=basis, nodes=nodes: np.exp(v) * basis(v - nodes[0]), nodes[-2], nodes[-1]
            )
            assert weights(nodes[:-1], nodes[-1])[j] == pytest.approx(expected, rel=1e-9)


def sigma2_over_alpha(value):
    alpha2 = np.exp(2 * value) / (1 + np.exp(2 * value))
    return (1 - alpha2) / np.sqrt(alpha2)


def step_by_step(lambdas):
    """For each step its order and weights, in a table of steps and nodes."""
    K = len(lambdas) - 1
    table = np.zeros((K, K))
    for i in range(K):
        m = min(i + 1, 3, K - i)
        for j in range(m):
            node = i - m + 1 + j
            basis = lagrange(lambdas[i - m + 1 : i + 1] - lambdas[i], np.eye(m)[j])
            table[i, node], _ = quad(
                lambda v, basis=basis, i=i: np.exp(v) * basis(v - lambdas[i]), lambdas[i], lambdas[i + 1]
            )
            table[i, node] *= sigma2_over_alpha(lambdas[node])
    apart = [i for i in range(K) if i < 3 or i == K - 1]
    together = [i for i in range(K) if i not in apart]
    return np.linalg.norm(table[apart], axis=1).sum() + abs(table[together].sum(0)).sum()


@pytest.mark.parametrize("K", [1, 2, 3, 4, 5, 9])
def test_bound_step_by_step(K):
    rng = np.random.default_rng(K)
    rows = np.cumsum(rng.uniform(0.2, 1, (2, K + 1)), axis=1) - 4
    assert bound(rows) == pytest.approx([step_by_step(row) for row in rows], rel=1e-8)


@pytest.mark.parametrize("K", [2, 4, 6])
def test_no_worse_than_the_official_optimiser(K):
    """trust-constr with its defaults, from the same start, but for 1e-6 of the bound, where both stop."""
    noise = NoiseSchedule.cosine(4000)
    found = levels(noise, K)
    start = np.linspace(found[0], found[-1], K + 1)

    def value(inner):
        return bound(np.concatenate([start[:1], inner, start[-1:]])[None])[0]

    rows = np.diff(np.eye(K + 1), axis=0)
    rising = LinearConstraint(rows[:, 1:-1], -rows[:, [0, -1]] @ start[[0, -1]], np.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it stood still
        theirs = minimize(value, start[1:-1], method="trust-constr", constraints=[rising])
    assert value(found[1:-1]) <= theirs.fun * (1 + 1e-6)


@pytest.mark.parametrize("K", [2, 4, 7])
def test_levels_are_better_than_even_ones_and_a_local_minimum(K):
    """No lambda can gain by a step of a hundredth of the range to either side; 1e-4 is the optimiser's to leave."""
    noise = NoiseSchedule.cosine(1000)
    found = levels(noise, K)
    even = np.linspace(found[0], found[-1], K + 1)
    best = bound(found[None])[0]
    assert (np.diff(found) > 0).all() and best <= bound(even[None])[0]
    assert found[0] == pytest.approx(-np.log(80)) and found[-1] == pytest.approx(np.log(noise.snr[1]) / 2)
    move = (found[-1] - found[0]) / 100
    for i in range(1, K):
        for sign in (-1, 1):
            other = found.copy()
            other[i] += sign * move
            if (np.diff(other) > 0).all():
                assert bound(other[None])[0] >= best * (1 - 1e-4)

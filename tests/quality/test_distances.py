"""Distances against brute force and closed forms, what the estimate takes off, and what is refused."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import torch

from ddpm_dp import quality
from ddpm_dp.quality import METRICS, frechet_distance, frechet_estimate, wasserstein2


def covariance(f, rank, seed):
    a = np.random.default_rng(seed).standard_normal((f, rank))
    return a @ a.T / rank


def error_of(cov):
    """How well a covariance is known: making it and `eigh` each round by about f eps of its norm; here twice that."""
    return 4 * len(cov) * np.finfo(float).eps * np.linalg.norm(cov, 2)


def test_frechet_distance_of_equals_is_zero():
    """What is left is rounding: f singular values, each known as well as the covariance, count twice."""
    for rank in (3, 8, 50):
        mu, cov = np.arange(8.0), covariance(8, rank, seed=rank)
        rounding = 2 * 8 * error_of(cov)
        assert frechet_distance(mu, cov, mu, cov) == pytest.approx(0, abs=rounding)
        assert frechet_distance(mu, cov, mu + 0.5, cov) == pytest.approx(8 * 0.25, abs=rounding)  # a translation


def test_frechet_distance_in_one_dimension():
    assert frechet_distance([1.0], [[4.0]], [3.0], [[0.25]]) == pytest.approx((1 - 3) ** 2 + (2 - 0.5) ** 2)


@pytest.mark.parametrize("seed", range(20))
def test_frechet_distance_of_commuting_covariances(seed):
    """cov1 and cov2 share their axes: ||mu1 - mu2||^2 + sum_i (s_i - r_i)^2 of the deviations s, r along them.

    Tolerance: an error E of cov1 moves its root A by E / 0.5 at most, as in the axes of cov1 each entry is divided by
    the sum of two deviations, of which one is 0.5 or more (where both are 0, `_root` leaves 0); Tr |A B| moves by that
    times ||B||, in Frobenius norms.
    """
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    s, r = rng.uniform(0.5, 3, (2, 6))
    s[0] = r[1] = 0  # a direction without any spread
    cov1, cov2 = axes * s**2 @ axes.T, axes * r**2 @ axes.T
    found = frechet_distance(np.zeros(6), cov1, np.ones(6), cov2)
    rounding = 2 * (error_of(cov1) * np.linalg.norm(r) + error_of(cov2) * np.linalg.norm(s)) / 0.5
    assert found == pytest.approx(6 + np.sum((s - r) ** 2), abs=rounding)


@pytest.mark.parametrize("seed", range(3))
def test_frechet_distance_agrees_with_the_usual_formula(seed):
    """scipy's general matrix square root of cov1 cov2, as FID is usually computed; and it is symmetric.

    Tolerance: eps times f, times the condition of the product, at most 10^4 here, is 2e-11; the rest is margin.
    """
    mu1, mu2 = np.random.default_rng(seed).standard_normal((2, 10))
    cov1, cov2 = covariance(10, 30, seed + 10), covariance(10, 30, seed + 20)
    usual = np.sum((mu1 - mu2) ** 2) + np.trace(cov1 + cov2 - 2 * scipy.linalg.sqrtm(cov1 @ cov2).real)
    assert frechet_distance(mu1, cov1, mu2, cov2) == pytest.approx(usual, rel=1e-9)
    assert frechet_distance(mu2, cov2, mu1, cov1) == pytest.approx(usual, rel=1e-9)


def test_what_is_no_gaussian_is_refused():
    good = np.eye(2)
    for bad in ([[1, 1], [0, 1]], [[1, 2], [2, 1]], [[1, np.nan], [np.nan, 1]], np.eye(3)):
        with pytest.raises(ValueError, match="symmetric|eigenvalue|shapes"):
            frechet_distance([0, 0], good, [0, 0], bad)
    with pytest.raises(ValueError, match="mean"):
        frechet_distance([0, np.inf], good, [0, 0], good)


def test_estimate_without_the_bias_and_its_standard_error():
    """Over 40 draws of 200 samples: `value` is far too high, `limit` right on average, its error bar the spread."""
    rng = np.random.default_rng(0)
    f, shift = 10, 0.3
    real = rng.standard_normal((50_000, f))
    truth = shift**2
    found = [frechet_estimate(rng.standard_normal((200, f)) + shift * np.eye(f)[0], real) for _ in range(40)]
    limit = np.array([each.limit for each in found])
    assert np.mean([each.value for each in found]) > truth + 0.1
    assert limit.mean() == pytest.approx(truth, abs=4 * limit.std() / np.sqrt(40))
    # The spread of 40 draws is itself known to 1 / sqrt(80) = 11%; 0.4 is more than three of those.
    claimed = np.sqrt(np.mean([each.standard_error**2 for each in found]))
    assert claimed == pytest.approx(limit.std(ddof=1), rel=0.4)
    assert {each.n for each in found} == {200}


def test_too_few_samples_are_refused():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((50, 8))
    assert frechet_estimate(real[:10], real).n == 10  # 9 = 8 + 1 are left without one
    for samples, other in ((real[:9], real), (real, real[:8])):
        with pytest.raises(ValueError, match="9 or more"):
            frechet_estimate(samples, other)
    with pytest.raises(ValueError, match="same features"):
        frechet_estimate(real, real[:, :7])


def test_wasserstein_is_the_best_of_all_pairings():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 6, 2))
    pairings = (a - b[list(order)] for order in itertools.permutations(range(6)))
    brute = min(np.sqrt(np.mean(np.sum(each**2, axis=1))) for each in pairings)
    assert wasserstein2(a, b) == pytest.approx(brute, rel=1e-14)  # sums of twelve squares: about 4 eps each
    assert wasserstein2(a, a[::-1]) == 0
    assert wasserstein2(a, torch.from_numpy(a + [3, 4])) == pytest.approx(5)  # a translation
    x, y = a[:, :1], b[:, :1]  # on a line, the sorted points are the pairs
    assert wasserstein2(x, y) == pytest.approx(np.sqrt(np.mean((np.sort(x, 0) - np.sort(y, 0)) ** 2)))
    for wrong in (b[:5], b[:, :1], np.full((6, 2), np.nan), np.zeros((0, 2)), b[0]):
        with pytest.raises(ValueError, match="equally many|expected"):
            wasserstein2(a, wrong)


def test_metrics_by_name():
    rng = np.random.default_rng(0)
    samples, real = rng.standard_normal((2, 40, 3))
    assert METRICS["wasserstein2"].distance(samples, real) == wasserstein2(samples, real)
    assert METRICS["frechet"].distance(samples, real) == pytest.approx(frechet_estimate(samples, real).value)
    with pytest.raises(ValueError, match="metric = 'fid' is not known; expected one of wasserstein2, frechet"):
        METRICS.named("fid")
    with pytest.raises(ValueError, match="a covariance needs 2 or more"):
        METRICS["frechet"].distance(samples, real[:1])


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_is_a_distance(metric):
    """0 where the points are the same, in any order; more the further one set is moved; its words say in what unit.

    Tolerance: sums of some hundred numbers of size 1 to 10 that cancel are known to a few thousand eps.
    """
    samples, other = np.random.default_rng(0).standard_normal((2, 40, 3))
    moved = [metric.distance(samples, samples[::-1] + [by, 0, 0]) for by in (0, 1, 2, 5)]
    assert moved[0] == pytest.approx(0, abs=1e-12) and moved == sorted(moved) and moved[1] > 0.1
    assert 0 <= metric.distance(samples, other) < moved[-1]
    assert " in " in metric.words and metric.source
    with pytest.raises(ValueError, match="expected"):
        metric.distance(samples, other[:, :2])


def test_distances_need_no_torch():
    program = "import sys, ddpm_dp.quality; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'load_clasifier'"):
        quality.load_clasifier  # noqa: B018

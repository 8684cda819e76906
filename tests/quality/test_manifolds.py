"""Precision and recall against brute force, in cases with known answers, and the blocks' error."""

import numpy as np
import pytest

from ddpm_dp.quality import precision_recall, precision_recall_estimate


def brute_force(samples, real, k=3):
    def radius(points, i):
        return sorted(np.linalg.norm(points[i] - other) for j, other in enumerate(points) if j != i)[k - 1]

    def inside(point, points, radii):
        return any(np.linalg.norm(point - each) <= r for each, r in zip(points, radii, strict=True))

    of_samples, of_real = ([radius(points, i) for i in range(len(points))] for points in (samples, real))
    return (
        np.mean([inside(x, real, of_real) for x in samples]),
        np.mean([inside(y, samples, of_samples) for y in real]),
    )


@pytest.mark.parametrize("seed", range(5))
def test_against_brute_force(seed):
    """Equal but where a distance equals a radius to the last digit, which has no chance among random points."""
    rng = np.random.default_rng(seed)
    samples, real = rng.standard_normal((40, 3)) * 0.8 + 0.5, rng.standard_normal((60, 3))
    assert precision_recall(samples, real) == pytest.approx(brute_force(samples, real), abs=1e-12)


def test_one_mode_of_two_is_precise_and_recalls_half():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((400, 2)) * 0.1
    real[::2] += 100
    one = real[1::2] + 1e-9  # each within its neighbours' reach
    assert precision_recall(one, real) == (1.0, 0.5)
    assert precision_recall(real, one) == (0.5, 1.0)  # every second sample is off, and nothing real is missed


def test_blocks_and_their_error():
    rng = np.random.default_rng(1)
    samples, real = rng.standard_normal((310, 2)) * 1.5, rng.standard_normal((200, 2))
    estimate = precision_recall_estimate(samples, real, block=100)
    each = np.array([precision_recall(samples[i : i + 100], real) for i in (0, 100, 200)])
    assert (estimate.precision, estimate.recall) == pytest.approx(each.mean(0), abs=1e-15)
    errors = each.std(0, ddof=1) / 3**0.5
    assert (estimate.precision_error, estimate.recall_error) == pytest.approx(errors, abs=1e-15)


def test_refusals():
    points = np.zeros((10, 2))
    with pytest.raises(ValueError, match="3 samples and 10 real points were given"):
        precision_recall(points[:3], points)
    with pytest.raises(ValueError, match="in blocks of 6"):
        precision_recall_estimate(points, points, block=6)
    with pytest.raises(ValueError, match="expected the same features"):
        precision_recall(points, points[:, :1])
    with pytest.raises(ValueError, match="finite"):
        precision_recall(points * np.nan, points)

"""datasets/toys.py: points against the closed forms of what they are drawn from."""

import numpy as np
import pytest

from ddpm_dp import load_dataset
from ddpm_dp.datasets import GRID_MEANS, GRID_STD
from ddpm_dp.datasets.toys import TOYS


@pytest.mark.parametrize("name", [toy.name for toy in TOYS])
def test_toys_are_points_in_the_square_and_the_same_each_time(name):
    toy, again = load_dataset(name), load_dataset(name)
    assert (toy.train.shape, toy.test.shape, toy.shape, toy.levels) == ((10_000, 2), (2_000, 2), (2,), None)
    for part in (toy.train, toy.test):
        assert part.dtype == np.float32 and np.abs(part).max() < 1
    np.testing.assert_array_equal(toy.train, again.train)
    np.testing.assert_array_equal(toy.test, again.test)
    assert not set(map(bytes, toy.train)) & set(map(bytes, toy.test))


def swiss_roll_moments():
    """(t cos t, t sin t) + 0.5 noise for t uniform on [1.5 pi, 4.5 pi], over 17.5."""

    def mean(primitive):
        return (primitive(4.5 * np.pi) - primitive(1.5 * np.pi)) / (3 * np.pi)

    x, y = mean(lambda t: np.cos(t) + t * np.sin(t)), mean(lambda t: np.sin(t) - t * np.cos(t))
    half = mean(lambda t: t**3 / 6)
    wave = mean(lambda t: (t**2 / 4 - 1 / 8) * np.sin(2 * t) + t / 4 * np.cos(2 * t))
    xy = mean(lambda t: t / 4 * np.sin(2 * t) - (t**2 / 4 - 1 / 8) * np.cos(2 * t))
    return np.array([x, y]) / 17.5, np.array([half + wave + 0.25, half - wave + 0.25, xy]) / 17.5**2


def two_moons_moments():
    """Both arcs, (cos a, sin a) and (1 - cos a, 1/2 - sin a) with 0.1 noise, have equal moments about the centre."""
    return np.zeros(2), np.array([0.75 + 0.01, 0.5625 - 1 / np.pi + 0.01, 0.125 - 1 / np.pi]) / 2.2**2


def gaussian_grid_moments():
    return np.zeros(2), np.array([0.32 + 0.03**2, 0.32 + 0.03**2, 0])


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(
    "name, moments",
    [
        ("swiss-roll", swiss_roll_moments()),
        ("two-moons", two_moons_moments()),
        ("gaussian-grid", gaussian_grid_moments()),
    ],
)
def test_toys_have_the_moments_of_their_closed_forms(name, moments, part):
    x, y = getattr(load_dataset(name), part).astype(np.float64).T
    measured = np.array([x, y, x * x, y * y, x * y])
    error = measured.mean(1) - np.concatenate(moments)
    assert (np.abs(error) < 4 * measured.std(1) / np.sqrt(len(x))).all()


def test_the_noise_of_the_curves_is_what_it_says():
    t, a = np.linspace(1.5, 4.5, 3000) * np.pi, np.linspace(0, np.pi, 1000)
    roll = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    moons = np.concatenate([[np.cos(a), np.sin(a)], [1 - np.cos(a), 0.5 - np.sin(a)]], axis=1).T
    for points, curve, noise in (
        (load_dataset("swiss-roll").test * 17.5, roll, 0.5),
        (load_dataset("two-moons").test * 2.2 + [0.5, 0.25], moons, 0.1),
    ):
        squares = ((points[:, None] - curve) ** 2).sum(-1).min(1)
        # 4 standard errors of a mean of 2,000 squares, and 3 % for what lies beyond the ends of a curve
        assert squares.mean() == pytest.approx(noise**2, rel=4 * np.sqrt(2 / 2000) + 0.03)


def test_the_gaussian_grid_is_the_mixture_that_it_says():
    points = load_dataset("gaussian-grid").train.astype(np.float64)
    distance = np.linalg.norm(points[:, None] - GRID_MEANS, axis=-1)
    counts = np.bincount(distance.argmin(1), minlength=25)
    assert ((counts - 400) ** 2 / 400).sum() < 52  # chi-squared, 24 degrees of freedom: 99.9 %
    squares = (distance.min(1) / GRID_STD) ** 2  # chi-squared, 2 degrees of freedom: mean 2, variance 4
    assert abs(squares.mean() - 2) < 4 * 2 / 100
    assert abs(squares.var() - 4) < 4 * np.sqrt(128) / 100  # fourth central moment 144, less 4^2

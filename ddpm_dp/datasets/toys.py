"""2-D toys: points (n, 2), continuous. Without noise a curve has no density, and its likelihood no bound."""

from collections.abc import Callable
from functools import partial

import numpy as np

from ddpm_dp.datasets.base import Dataset, Source

# The gaussian-grid toy is the mixture of N(mean, GRID_STD^2 I) over these 25 means, with equal weights. It is sampled
# as it is, neither clipped nor rejected, so that its exact denoiser holds: the edge of [-1, 1] lies 6.7 standard
# deviations beyond the outer means, and the chance that any of the 12,000 points falls outside is below 1e-6.
GRID_MEANS = np.array([(x, y) for x in (-0.8, -0.4, 0.0, 0.4, 0.8) for y in (-0.8, -0.4, 0.0, 0.4, 0.8)])
GRID_STD = 0.03


def _swiss_roll(n: int, seed: int) -> np.ndarray:
    from sklearn.datasets import make_swiss_roll

    roll, _ = make_swiss_roll(n, noise=0.5, random_state=seed)
    return roll[:, [0, 2]] / 17.5  # t (cos t, sin t), t in [1.5 pi, 4.5 pi]: 1 is 6.7 deviations beyond its end


def _two_moons(n: int, seed: int) -> np.ndarray:
    from sklearn.datasets import make_moons

    moons, _ = make_moons(n, noise=0.1, random_state=seed)
    return (moons - [0.5, 0.25]) / 2.2  # x in [-1, 2], y in [-0.5, 1]: 1 is 7 deviations beyond the tips


def _gaussian_grid(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return GRID_MEANS[rng.integers(len(GRID_MEANS), size=n)] + GRID_STD * rng.standard_normal((n, 2))


def _toy(name: str, words: str, draw: Callable[[int, int], np.ndarray]) -> Source:
    return Source(name, f"{words}, 10,000 + 2,000 points (2,), continuous", partial(_read, name, draw))


def _read(name: str, draw: Callable[[int, int], np.ndarray]) -> Dataset:
    # Two draws, not one that is cut in two: the test points are independent of the training points.
    train, test = draw(10_000, 0), draw(2_000, 1)
    return Dataset(name, train.astype(np.float32), test.astype(np.float32), None)


TOYS = [
    _toy(
        "swiss-roll", "sklearn.datasets.make_swiss_roll with Gaussian noise, seen from its side, rescaled", _swiss_roll
    ),
    _toy("two-moons", "sklearn.datasets.make_moons with Gaussian noise, rescaled", _two_moons),
    _toy("gaussian-grid", "the mixture of 25 Gaussians, of means GRID_MEANS and deviation GRID_STD", _gaussian_grid),
]

"""published/gits.py: the costs one by one, the dynamic programming by trying all, and a model whose curve is a line."""

import itertools

import numpy as np
import pytest
import torch

from ddpm_dp import MixtureDenoiser, NoiseSchedule
from ddpm_dp.published.gits import AT_ONCE, cheapest, costs, deviation
from ddpm_dp.strides import karras

NOISE = NoiseSchedule.cosine(300)


def test_deviation_is_what_is_left_of_a_projection():
    """From the two legs of a right-angled triangle; d numbers of size 1, a few roundings each."""
    rng = np.random.default_rng(0)
    start, end, points = (torch.from_numpy(rng.standard_normal(shape)) for shape in ((4, 5), (4, 5), (4, 3, 5)))
    found = deviation(points, start, end)
    for walk, point in itertools.product(range(4), range(3)):
        away, line = points[walk, point] - start[walk], end[walk] - start[walk]
        along = (away @ line) / line.norm()
        assert found[walk, point].item() == pytest.approx((away @ away - along**2).sqrt().item(), rel=1e-9)


def test_costs_one_by_one():
    """The same teacher with an ODE step written out in x_bar, and each long step for itself."""
    means = np.array([[0.5, -0.2], [-0.4, 0.3]])
    denoiser, grid = MixtureDenoiser(NOISE, means, std=0.1), np.array([1, 20, 90, 200, 300])
    n = AT_ONCE + 3  # a whole batch of walks and a part of one
    found = costs(denoiser, grid, n, seed=5)
    sigma = NOISE.sigma[grid] / NOISE.alpha[grid]
    rng = torch.Generator().manual_seed(5)
    draws = [torch.randn((size, 2), generator=rng, dtype=torch.float64) for size in (AT_ONCE, 3)]
    x = torch.cat(draws) / float(NOISE.alpha[300])

    def slope(x, i):
        return (x - denoiser.at(x * float(NOISE.alpha[grid[i]]), int(grid[i])).x0) / sigma[i]

    teacher = {4: x}
    for i in range(4, 0, -1):
        teacher[i - 1] = teacher[i] + (sigma[i - 1] - sigma[i]) * slope(teacher[i], i)

    def off(point):
        away, line = (point - teacher[4]).numpy(), (teacher[0] - teacher[4]).numpy()
        along = (away * line).sum(1) / np.linalg.norm(line, axis=1)
        return np.sqrt(np.maximum((away**2).sum(1) - along**2, 0)).mean()

    for i, j in itertools.product(range(5), range(5)):
        if j < i:
            reached = teacher[i] + (sigma[j] - sigma[i]) * slope(teacher[i], i)
            # x_bar is of size sigma at T, 2e4: its square is known to some 1e-7, and so is a root taken of a difference
            assert found[i, j] == pytest.approx(off(reached) - off(teacher[j]), abs=1e-3)
        else:
            assert found[i, j] == np.inf


@pytest.mark.parametrize("gamma", [1.0, 1.15])
def test_cheapest_of_all(gamma):
    rng = np.random.default_rng(3)
    for _ in range(20):
        cost = np.where(np.tri(8, k=-1) > 0, rng.standard_normal((8, 8)), np.inf)

        def price(path, cost=cost):
            steps = list(itertools.pairwise(path))[::-1]  # from the noisiest on
            return sum(gamma**k * cost[high, low] for k, (low, high) in enumerate(steps))

        for K, path in cheapest(cost, 7, gamma).items():
            every = [[0, *inner, 7] for inner in itertools.combinations(range(1, 7), K - 1)]
            assert len(path) == K + 1
            assert price(path) == pytest.approx(min(map(price, every)), abs=1e-12)


def test_one_point_of_data_has_a_straight_curve():
    """All guesses are that point: every walk is a straight line, and no step leaves it. Rounding: of points of size
    sigma = 80 / alpha and coordinates rounded to 2^-52 of that, some 1e-10 after a projection."""
    denoiser = MixtureDenoiser(NOISE, np.array([[0.3, -0.6]]), std=0)
    found = costs(denoiser, karras(NOISE, 20)[1:], 10, seed=0)
    assert abs(found[np.isfinite(found)]).max() < 1e-8

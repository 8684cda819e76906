"""What ships: prices of `spectral` against direct simulation, by the networks and of the data that were measured."""

import math

import numpy as np
import pytest

from ddpm_dp import Measured, load, load_dataset, negative_elbo, shipped, step_costs
from ddpm_dp.datasets.fashion import FASHION_DEBIAN, FASHION_TEST
from ddpm_dp.models.trained import shipped_models

# Tiny ImageNet's images do not ship; nor do Fashion-MNIST's, but they are found where they are installed. Most models
# are of those: every night.
FASHION = pytest.mark.skipif(not (FASHION_DEBIAN / FASHION_TEST[0]).is_file(), reason="needs dataset-fashion-mnist")
WITH_DATA = [
    pytest.param(name, marks=[pytest.mark.nightly, FASHION] if name.startswith("fashion-mnist") else ())
    for name in shipped_models()
    if not name.startswith("tiny-imagenet-64")
]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_DATA)
def test_prices_are_the_simulation_of_what_ships(name):
    """Each step of a path, on held-out images: within 4.5 standard errors of both, of which some 40 are asked here."""
    model = load(name, "cpu")
    images = load_dataset(model.about["dataset"]).test[:48]
    both = Measured.load(shipped(f"{name}/train.npz"), shipped(f"{name}/test.npz"))
    T = model.noise.T
    costs = step_costs(both.judge, "spectral")
    first = next(t for t in range(2, T) if both.judge.mean(costs.first)[0][t] > 0)  # below, the digits cost nothing
    path = np.array([0, first, T // 30, T // 5, T // 2, T])
    direct = negative_elbo(model, images, path, variance="spectral", statistics=both.train, seed=5)
    steps = [costs.prior_of_group, costs.first[:, first], *costs.between.of_groups(path[2:], path[1:-1]).T]
    price, error = both.judge.mean(np.column_stack(steps))
    spread = direct.std(0, ddof=1) / math.sqrt(len(images))
    assert (np.abs(direct.mean(0) - price) < 4.5 * np.hypot(error, spread)).all()

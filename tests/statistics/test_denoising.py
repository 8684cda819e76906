"""What statistics are made of, and parts of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ddpm_dp import measure, solve, step_costs
from ddpm_dp.statistics import Cells, DecoderPrices


def test_nan_in_statistics_is_refused(statistics):
    broken, fitted = statistics.squared_error.copy(), statistics.fitted_m
    broken[0, 3] = np.nan
    with pytest.raises(ValueError, match="NaN at t = 3"):
        Cells.one(broken, statistics.counts, fitted)
    with pytest.raises(ValueError, match="not negative"):
        Cells.one(statistics.squared_error, statistics.counts, -fitted)
    few = Cells.one(statistics.squared_error[:5], statistics.counts[:5], fitted)
    with pytest.raises(ValueError, match="groups x"):
        replace(statistics, cells={"all": few})
    with pytest.raises(ValueError, match="lack the cell 'all'"):
        replace(statistics, cells={})
    with pytest.raises(ValueError, match="groups x"):
        replace(statistics, decoders={"fixed": DecoderPrices("fixed", statistics.squared_error[:, 1:])})
    with pytest.raises(ValueError, match="decoder 'fixed' is NaN at t = 3"):
        DecoderPrices("fixed", broken)


def test_statistics_of_some_groups_are_those_of_their_images(mixture, points):
    """Groups take images in turn: image i, whose noise has the key (seed, i), is in group i mod 32."""
    some = measure(mixture, points[:320], progress=False).of_groups(np.array([3, 7]))
    chosen = [i for i in range(320) if i % 32 in (3, 7)]
    eps = np.stack([np.random.Generator(np.random.Philox(key=[0, i])).standard_normal(2) for i in chosen])
    x_0, noise = points[chosen], mixture.noise
    xhat_0 = mixture.at(torch.from_numpy(noise.alpha[50] * x_0 + noise.sigma[50] * eps), 50).x0.numpy()
    assert some.n == 20 and some.m[50] == pytest.approx(((x_0 - xhat_0) ** 2).mean(), rel=1e-12)
    np.testing.assert_allclose(some.fitted_m, some.m, rtol=1e-12)
    assert solve(step_costs(some, "analytic"), 4).method == "envelope"  # as fitted to these images

"""Timesteps that are measured, and those that are filled in."""

import numpy as np
import pytest

from ddpm_dp.statistics.filling import grid


@pytest.mark.parametrize("n", [4, 10, 100])
def test_a_grid_of_timesteps_has_both_ends(n):
    t = grid(100, n)
    assert t[0] == 1 and t[-1] == 100 and len(t) <= n and (np.diff(t) > 0).all()

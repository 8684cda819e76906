"""pretrained/functions.py: any function that predicts the noise."""

import numpy as np
import pytest
import torch

from ddpm_dp import NoiseSchedule, from_eps, measure


def test_any_function_of_x_and_t(mixture, points):
    """The exact denoiser, disguised as a function that gives eps, has the same errors and prices."""
    noise = mixture.noise

    def eps(x_t, t):
        alpha, sigma = (torch.from_numpy(a)[t][:, None] for a in (noise.alpha, noise.sigma))
        return (x_t - alpha * mixture(x_t.double(), t).x0) / sigma

    disguised = from_eps(eps, noise, (2,), levels=None, clip=None, id="the mixture")
    same = measure(disguised, points[:100], progress=False)
    exact = measure(mixture, points[:100], progress=False)
    np.testing.assert_allclose(same.m, exact.m, rtol=1e-3, atol=1e-6)  # x_t is float32 there
    assert disguised.id != from_eps(eps, noise, (2,), id="another").id
    with pytest.raises(ValueError, match="give it an id"):
        from_eps(eps, noise, (2,))
    with pytest.raises(ValueError, match="cannot be moved"):
        disguised.to("cpu")
    with pytest.raises(ValueError, match="terminal SNR of 0"):
        from_eps(eps, NoiseSchedule(np.array([1.0, 0.5, 0.0])), (2,), id="x")

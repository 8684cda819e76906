"""A small exact model with any second output."""

import numpy as np
import torch

from ddpm_dp import MixtureDenoiser, NoiseSchedule, Prediction


class TwoHeaded(MixtureDenoiser):
    """The exact denoiser with a second output (None: without) that depends on x_t and the coordinate, right or not."""

    def __init__(self, second: str | None, shape: tuple[int, ...] = (2,)):
        means = np.stack([np.resize(pattern, shape) for pattern in ([0.5, -0.2], [-0.4, 0.3])])
        super().__init__(NoiseSchedule.cosine(100), means, std=0.15, weights=[0.3, 0.7])
        self.second = second

    def __call__(self, x_t, t):
        x0 = super().__call__(x_t, t).x0
        if self.second is None:
            return Prediction(x0)
        if self.second == "v":
            return Prediction(x0, v=torch.sigmoid(2 * x_t - 0.5))
        noise, t = self.noise, t[0].item()
        spread = self.std**2 * noise.sigma2[t] / (noise.abar[t] * self.std**2 + noise.sigma2[t])
        return Prediction(x0, u=spread * torch.exp(0.3 * x_t))

"""A mixture whose component is the label: all that a class-conditional model should say is known."""

import numpy as np
import torch

from ddpm_dp import MixtureDenoiser, NoiseSchedule, Prediction

MEANS = np.array([[0.5, -0.2], [-0.4, 0.3], [0.1, 0.6]])


class Labelled(MixtureDenoiser):
    """E[x_0 | x_t, component] = mu + alpha std^2 / (alpha^2 std^2 + sigma^2) (x_t - alpha mu), with guidance w:
    (1 + w) times that, less w times the mixture's own E[x_0 | x_t]."""

    def __init__(self, guidance: float = 0.0):
        super().__init__(NoiseSchedule.cosine(50), MEANS, std=0.2)
        self.n_classes, self.guidance = len(MEANS), guidance
        self.id += str(guidance)

    def __call__(self, x_t, t, labels):
        alpha, sigma2 = (torch.from_numpy(a)[t][:, None] for a in (self.noise.alpha, self.noise.sigma2))
        mu = self.means[labels]
        x0 = mu + alpha * self.std**2 / (alpha**2 * self.std**2 + sigma2) * (x_t - alpha * mu)
        return Prediction((1 + self.guidance) * x0 - self.guidance * super().__call__(x_t, t).x0)


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """n points and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(MEANS), n)
    return MEANS[labels] + 0.2 * rng.standard_normal((n, 2)), labels

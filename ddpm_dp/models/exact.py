"""Denoisers that are exact, because what they denoise is a known mixture: oracles for tests and lessons."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ddpm_dp.files import fingerprint
from ddpm_dp.gaussians import normal_log_likelihood
from ddpm_dp.models.denoiser import Denoiser, Prediction
from ddpm_dp.noise import NoiseSchedule


class MixtureDenoiser(Denoiser):
    """The exact posterior mean E[x_0 | x_t] when x_0 comes from a mixture of spherical Gaussians: no training needed.

    x_0 ~ sum_k w_k N(mu_k, std^2 I). With one component it is a Gaussian; with std = 0 it is the finite data set mu.
    Given component k, x_0 | x_t is Gaussian with

        mean mu_k + alpha std^2 / (alpha^2 std^2 + sigma^2) (x_t - alpha mu_k),
        variance std^2 sigma^2 / (alpha^2 std^2 + sigma^2),

    and k itself has the softmax weights of log w_k + log N(x_t; alpha mu_k, (alpha^2 std^2 + sigma^2) I). In float64.

    Args:
        means: (k, *shape).
        std: of every component, the same in all coordinates.
        weights: (k,), positive; equal if None.
        levels: grey levels, if the means lie on them (a finite data set of images).

    >>> noise = NoiseSchedule.cosine(100)
    >>> gaussian = MixtureDenoiser(noise, means=np.zeros((1, 2)), std=0.5)
    >>> gaussian(torch.ones(1, 2, dtype=torch.float64), torch.tensor([50])).x0.shape
    torch.Size([1, 2])
    """

    def __init__(
        self,
        noise: NoiseSchedule,
        means: ArrayLike,
        std: float,
        weights: ArrayLike | None = None,
        levels: int | None = None,
    ):
        means = np.asarray(means, dtype=np.float64)
        weights = np.full(len(means), 1 / len(means)) if weights is None else np.asarray(weights, dtype=np.float64)
        if means.ndim < 2 or weights.shape != means.shape[:1] or not (weights > 0).all() or not 0 <= std < np.inf:
            raise ValueError(
                f"means has shape {means.shape}, weights {weights.shape}, std = {std}; expected (k, *shape), k positive"
                " weights and a std of 0 or more."
            )
        self.noise, self.levels, self.std = noise, levels, float(std)
        self.shape = means.shape[1:]
        self.dtype = torch.float64
        self.means = torch.from_numpy(means.reshape(len(means), -1))
        self.log_weights = torch.from_numpy(np.log(weights / weights.sum()))
        grey = [] if levels is None else [np.array(levels)]
        self.id = fingerprint(noise.abar, means, weights, np.asarray(self.std), *grey)

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        x = x_t.flatten(1)
        alpha, sigma2 = self._at(self.noise.alpha, t), self._at(self.noise.sigma2, t)
        spread = alpha**2 * self.std**2 + sigma2
        # log w_k + log N(x_t; alpha mu_k, spread I), without what all components share
        logits = self.log_weights + (alpha * x @ self.means.T - alpha**2 * (self.means**2).sum(1) / 2) / spread
        mean = torch.softmax(logits, dim=1) @ self.means
        shrink = alpha * self.std**2 / spread
        return Prediction(x0=(mean + shrink * (x - alpha * mean)).view_as(x_t))

    def log_likelihood(self, x_0: Tensor) -> Tensor:
        """Exact log p(x_0) of the mixture, in nats, (batch,). Raises ValueError if std = 0: there is no density."""
        if self.std == 0:
            raise ValueError("A finite data set (std = 0) has no density; give the components a std above 0.")
        components = normal_log_likelihood(
            x_0.flatten(1)[:, None], self.means, torch.tensor(self.std, dtype=torch.float64) ** 2
        )
        return torch.logsumexp(self.log_weights + components.sum(2), dim=1)

    @staticmethod
    def _at(values: np.ndarray, t: Tensor) -> Tensor:
        return torch.from_numpy(values)[t][:, None]

"""The denoiser: given x_t and t, an estimate of x_0. What it is made of does not matter to the rest of the package."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_dp.files import fingerprint
from ddpm_dp.gaussians import normal_log_likelihood
from ddpm_dp.noise import NoiseSchedule


class Prediction(NamedTuple):
    """What a denoiser returns: `x0` is xhat_0(x_t), of x_t's shape; so are v and u, where there is such an output."""

    x0: Tensor
    v: Tensor | None = None  # in [0, 1]: where the reverse variance lies between its two bounds (`learned`)
    u: Tensor | None = None  # above 0: predicted squared error of x0 (`predicted`)

    def second(self, variance: str) -> Tensor | None:
        """v or u, whichever the reverse variance (or decoder) of that name needs; None if it needs neither.

        Raises ValueError if the denoiser has no such output.
        """
        needed = {"learned": "v", "predicted": "u"}.get(variance)
        value = needed and getattr(self, needed)
        if needed and value is None:
            raise ValueError(f"variance = {variance!r} needs a denoiser with an output {needed}; this one has none.")
        return value


class Denoiser:
    """A model of data of one `shape`, with `levels` grey levels (None: continuous), under a noise schedule.

    A subclass sets these attributes and defines `__call__(x_t, t) -> Prediction`, where x_t is (batch, *shape), on
    `device` and in `dtype`, and t a (batch,) tensor of timesteps 1..T. `id` is a name that changes when its answers do.
    """

    noise: NoiseSchedule
    shape: tuple[int, ...]
    id: str
    levels: int | None = None
    device = torch.device("cpu")
    dtype = torch.float32
    second: str | None = None  # "v" or "u" if its predictions have that output

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        raise NotImplementedError

    def at(self, x_t: Tensor, t: int) -> Prediction:
        """The answer for a batch that is all at timestep t. Raises ValueError if it has not x_t's shape."""
        prediction = self(x_t, torch.tensor([t], device=x_t.device).expand(len(x_t)))
        for name, output in prediction._asdict().items():
            if output is not None and output.shape != x_t.shape:
                raise ValueError(
                    f"The denoiser answered x_t of shape {tuple(x_t.shape)} with {name} of shape "
                    f"{tuple(output.shape)}; expected the same shape."
                )
        return prediction

    def images(self, images) -> Tensor:
        """Check images (array or tensor, (n, *shape)) and move them to this denoiser's device, in its dtype.

        Raises ValueError if the shape is another, if there are none, if a value is not finite or, where the data have
        grey levels, does not lie on the grid of `levels` values from -1 to 1.
        """
        given = torch.as_tensor(images).detach().to("cpu", torch.float64)
        if given.shape[1:] != self.shape or not len(given):
            raise ValueError(
                f"Images of shape {tuple(given.shape)} were given; expected (n, *{self.shape}) with n >= 1."
            )
        if not torch.isfinite(given).all():
            raise ValueError("Some image values are NaN or infinite; remove those images.")
        if self.levels is not None:
            level = (given + 1) * (self.levels - 1) / 2
            off = torch.abs(level - level.round().clamp(0, self.levels - 1)).max().item()
            if off > 1e-3:
                raise ValueError(
                    f"Image values from {given.min():.4g} to {given.max():.4g} do not lie on {self.levels} grey levels "
                    "in [-1, 1]; scale grey level v = 0, 1, ... as 2 v / (levels - 1) - 1."
                )
        return given.to(self.dtype).to(self.device)


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

    def __init__(self, noise: NoiseSchedule, means, std: float, weights=None, levels: int | None = None):
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
        self.id = fingerprint(noise.abar, means, weights, np.float64(std))

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

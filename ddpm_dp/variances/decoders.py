"""The decoder p(x_0 | x_t), a path's last step: Gaussian around xhat_0, in pixels, and how wide.

The paper leaves the width unsaid for t > 1. These conventions give back the published full chain's at t = 1. Each is
written into the statistics file, in words and as data, beside the prices that were measured with it: a bits/dim means
nothing without it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.registry import Registry, Whole

# A variance of exactly 0 (a denoiser that makes no error) would divide by 0. Far below any grey level's width, it is 0.
SMALLEST = 1e-20


class Decoder(Whole, abstract=True):
    """A convention for the variance of p(x_0 | x_t).

    Attributes:
        name: by which statistics know its prices.
        words: the variance, as it stands beside every reported bits/dim.
        output: the second output that it reads, or None.
        fitted: whether it needs m_t as fitted on training images.
        convention: the same as data: change it whenever prices change, and files with the old one are refused.
    """

    name: str
    words: str
    output: str | None = None
    fitted: bool = False
    convention: dict[str, Any]

    @abstractmethod
    def variance(self, noise: NoiseSchedule, t: int, m: Any = None, seen: Any = None) -> Any:
        """The variance at timestep t, in [-1, 1]'s units squared; `m` is m_t as fitted on training images, `seen` the
        second output (array or tensor)."""


class Fixed(Decoder):
    """sigma_t^2, and at t = 1 the posterior variance of the step from 2 to 1."""

    name = "fixed"
    words = "variance sigma_t^2 (at t = 1: beta~_{2|1})"
    convention = {"variance": "sigma_t^2", "at t = 1": "beta~_{2|1}", "fitted": False}

    def variance(self, noise: NoiseSchedule, t: int, m: Any = None, seen: Any = None) -> float:
        return smallest_posterior(noise) if t == 1 else float(noise.sigma2[t])


class MeanError(Decoder):
    """m_t: the best single number for a density (for a discretised likelihood another one is better)."""

    name = "analytic"
    words = "variance m_t as fitted on training images"
    fitted = True
    convention = {"variance": "m_t", "at least": SMALLEST, "fitted": True}

    def variance(self, noise: NoiseSchedule, t: int, m: Any = None, seen: Any = None) -> Any:
        return m.clip(SMALLEST)


class BetweenBounds(Decoder):
    """(sigma_t^2)^v (beta~_{2|1})^(1 - v), as `learned` has between its bounds."""

    name = "learned"
    words = "variance between beta~_{2|1} and sigma_t^2, as the network's v says"
    output = "v"
    convention = {"variance": "(sigma_t^2)^v (beta~_{2|1})^(1 - v)", "fitted": False}

    def variance(self, noise: NoiseSchedule, t: int, m: Any = None, seen: Any = None) -> Any:
        smallest = smallest_posterior(noise)
        return smallest * (float(noise.sigma2[t]) / smallest) ** seen


class PredictedError(Decoder):
    """u, the error that the network predicts."""

    name = "predicted"
    words = "variance u, the network's prediction of its own squared error"
    output = "u"
    convention = {"variance": "u", "at least": SMALLEST, "fitted": False}

    def variance(self, noise: NoiseSchedule, t: int, m: Any = None, seen: Any = None) -> Any:
        return seen.clip(SMALLEST)


def smallest_posterior(noise: NoiseSchedule) -> float:
    """beta~_{2|1}, the smallest posterior variance of the whole chain."""
    return float(noise.posterior(2, 1).variance)


DECODERS: Registry[Decoder] = Registry("decoder", [Fixed(), MeanError(), BetweenBounds(), PredictedError()])

"""The forward process: how much signal and how much noise x_t holds, for every timestep t.

q(x_t | x_0) = N(alpha_t x_0, sigma_t^2 I),  alpha_t^2 = abar_t,  sigma_t^2 = 1 - abar_t,  t = 0..T,  abar_0 = 1.

Nothing else in the package computes an alpha. Everything here is float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ddpm_dp.checks import whole
from ddpm_dp.memory import refuse_beyond_memory
from ddpm_dp.registry import Registry

Timesteps = int | np.integer | np.ndarray  # one, or an array of them


class Posterior(NamedTuple):
    """Coefficients of q(x_s | x_t, x_0) = N(x0 * x_0 + xt * x_t, variance I); Ho et al. 2020, eq. 6-7, any s < t."""

    x0: np.ndarray
    xt: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """A variance-preserving noise schedule, given by abar_0..abar_T (Ho et al.'s alpha-bar).

    `abar` has T + 1 entries, starts at exactly 1 and falls strictly, so index t is timestep t. An abar_T of 0 (zero
    terminal SNR) is allowed.

    Raises ValueError if `abar` is not such an array, or if T < 2.

    >>> noise = NoiseSchedule.cosine(1000)
    >>> noise.T, float(noise.abar[0])
    (1000, 1.0)
    """

    abar: np.ndarray

    def __post_init__(self) -> None:
        abar = np.array(self.abar, dtype=np.float64)
        if abar.ndim != 1 or len(abar) < 3:
            raise ValueError(
                f"abar has shape {abar.shape}; expected abar_0..abar_T in one dimension with T >= 2: "
                "with a single timestep there is no path to choose."
            )
        if not (np.isfinite(abar).all() and abar[0] == 1 and (np.diff(abar) < 0).all() and abar[-1] >= 0):
            raise ValueError("abar must start at 1, fall at every timestep and stay at 0 or above; check the betas.")
        abar.setflags(write=False)
        object.__setattr__(self, "abar", abar)

    @classmethod
    def from_betas(cls, betas: ArrayLike) -> "NoiseSchedule":
        """abar_t = prod_{i <= t} (1 - beta_i), from beta_1..beta_T (T numbers in (0, 1])."""
        betas = np.asarray(betas, dtype=np.float64)
        if betas.ndim != 1 or not ((betas > 0) & (betas <= 1)).all():
            raise ValueError("betas must be T numbers in (0, 1], beta_1 first.")
        return cls(np.concatenate([[1.0], np.cumprod(1 - betas)]))

    @classmethod
    def linear(cls, T: int = 1000) -> "NoiseSchedule":
        """Ho et al.'s betas, 1e-4 to 0.02 at T = 1,000; for another T scaled by 1000 / T (Nichol & Dhariwal 2021)."""
        return cls.from_betas(np.linspace(1e-4, 0.02, _timesteps(T, 21)) * 1000 / T)

    @classmethod
    def cosine(cls, T: int = 1000) -> "NoiseSchedule":
        """abar_t = f(t) / f(0), f(t) = cos^2((t/T + 0.008) / 1.008 * pi/2), betas at most 0.999 (Nichol & Dhariwal)."""
        f = np.cos((np.arange(_timesteps(T, 2) + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
        return cls.from_betas(np.minimum(1 - f[1:] / f[:-1], 0.999))

    @property
    def T(self) -> int:
        return len(self.abar) - 1

    @cached_property
    def alpha(self) -> np.ndarray:
        return np.sqrt(self.abar)

    @cached_property
    def sigma2(self) -> np.ndarray:
        """sigma_t^2 = 1 - abar_t, the variance of the noise in x_t; sigma_0^2 = 0."""
        return 1 - self.abar

    @cached_property
    def sigma(self) -> np.ndarray:
        return np.sqrt(self.sigma2)

    @cached_property
    def snr(self) -> np.ndarray:
        """snr_t = abar_t / (1 - abar_t), falling in t; snr_0 is infinite."""
        with np.errstate(divide="ignore"):
            return self.abar / self.sigma2

    def posterior(self, t: Timesteps, s: Timesteps) -> Posterior:
        """Coefficients of q(x_s | x_t, x_0) for any jump 0 <= s < t; t and s are integers or integer arrays.

        With beta_{t|s} = 1 - abar_t / abar_s, the variance is beta~_{t|s} = beta_{t|s} sigma_s^2 / sigma_t^2.
        """
        keep = self.abar[t] / self.abar[s]  # how much of x_s's signal power survives in x_t
        share = self.sigma2[s] / self.sigma2[t]
        return Posterior(
            x0=self.alpha[s] * (1 - keep) / self.sigma2[t], xt=np.sqrt(keep) * share, variance=(1 - keep) * share
        )


def _timesteps(T: object, least: int) -> int:
    """T, if it is a number of timesteps whose schedule fits into memory: eight arrays at once while it is made."""
    T = whole(T, "T", least, what="timesteps")
    refuse_beyond_memory(64 * T, f"A schedule of T = {T:,}", "lower T")
    return T


@dataclass(frozen=True)
class Schedule:
    """A noise schedule as it is asked for: by name, for any T."""

    name: str
    words: str
    make: Callable[[int], NoiseSchedule]


SCHEDULES = Registry(
    "schedule",
    [
        Schedule("linear", "Ho et al.'s, betas that rise evenly", NoiseSchedule.linear),
        Schedule("cosine", "Nichol & Dhariwal's, which keeps signal for longer", NoiseSchedule.cosine),
    ],
)

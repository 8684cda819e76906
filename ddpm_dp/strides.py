"""Handcrafted paths, chosen without looking at the model: what the optimal path is compared with."""

import numpy as np
from numpy.typing import ArrayLike

from ddpm_dp.checks import whole
from ddpm_dp.noise import NoiseSchedule

# EDM's noisiest level, sigma_t / alpha_t. Cosine schedules end a thousand times higher, where nothing is left to see.
SIGMA_MAX = 80.0


def even(noise: NoiseSchedule, K: int) -> np.ndarray:
    """t_i = T i / K, rounded: equal steps (Nichol & Dhariwal 2021; Song et al. 2021, "linear")."""
    return _distinct(np.linspace(0, noise.T, whole(K, "K", most=noise.T, what="steps") + 1), noise.T)


def quadratic(noise: NoiseSchedule, K: int) -> np.ndarray:
    """t_i = T (i / K)^2, rounded: short steps near the data (Song et al. 2021)."""
    return _distinct(noise.T * np.linspace(0, 1, whole(K, "K", most=noise.T, what="steps") + 1) ** 2, noise.T)


def log_snr(noise: NoiseSchedule, K: int) -> np.ndarray:
    """t_1 = 1, then equal steps in log snr, to the nearest timestep (Lu et al. 2022, "logSNR"). K = 1 is [0, T]."""
    if whole(K, "K", most=noise.T, what="steps") == 1:
        return np.array([0, noise.T])
    falling = _log_snr(noise)
    return nearest(noise, np.linspace(falling[0], falling[-1], K))


def karras(noise: NoiseSchedule, K: int) -> np.ndarray:
    """t_1 = 1, then equal steps in sigma^(1/7), sigma = sigma_t / alpha_t, to the nearest timestep (EDM). K = 1 is
    [0, T].

        sigma_i = (sigma_1^(1/7) + (i - 1) / (K - 1) (sigma_K^(1/7) - sigma_1^(1/7)))^7    (Karras et al. 2022, eq. 5)

    sigma_K = min(80, sigma_T / alpha_T), as in EDM, and T itself stands for it, where every path starts.
    """
    if whole(K, "K", most=noise.T, what="steps") == 1:
        return np.array([0, noise.T])
    low, high = (np.exp(-level / 2) for level in ends(noise))
    return nearest(noise, -14 * np.log(np.linspace(low ** (1 / 7), high ** (1 / 7), K)))


STRIDES = {"even": even, "quadratic": quadratic, "log-snr": log_snr, "karras": karras}


def ends(noise: NoiseSchedule) -> tuple[float, float]:
    """log snr of the two levels between which others place theirs: that of t = 1, and that of EDM's sigma = 80, or of T
    where the schedule ends before it."""
    falling = _log_snr(noise)
    return float(falling[0]), float(min(falling[0], max(falling[-1], -2 * np.log(SIGMA_MAX))))


def nearest(noise: NoiseSchedule, log_snr: ArrayLike) -> np.ndarray:
    """The path [0, t_1, ..., t_K = T] of K distinct timesteps nearest to K falling numbers of log snr; T in any case
    stands for the last.

    >>> noise = NoiseSchedule.cosine(100)
    >>> nearest(noise, np.log(noise.snr[[20, 60, 90]])).tolist()
    [0, 20, 60, 100]
    """
    t = np.interp(-np.asarray(log_snr), -_log_snr(noise), np.arange(1, noise.T + 1))
    return _distinct(np.concatenate([[0], t[:-1], [noise.T]]), noise.T)


def _log_snr(noise: NoiseSchedule) -> np.ndarray:
    """log snr_t for t = 1..T; a terminal SNR of 0 has no logarithm."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(noise.snr[1:]), -700)


def _distinct(t: np.ndarray, T: int) -> np.ndarray:
    """Round to whole timesteps and part those that coincide, so that K steps stay K."""
    index = np.arange(len(t))
    path = np.maximum.accumulate(np.round(t).astype(np.int64) - index) + index  # push later ones up ...
    return np.minimum(path, T - index[::-1])  # ... but leave room below T for those that follow

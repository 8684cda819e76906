"""Handcrafted paths, chosen without looking at the model: what the optimal path is compared with."""

import numpy as np

from ddpm_dp.checks import whole
from ddpm_dp.noise import NoiseSchedule


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
    with np.errstate(divide="ignore"):
        falling = np.maximum(np.log(noise.snr[1:]), -700)  # a terminal SNR of 0 has no logarithm
    t = np.interp(-np.linspace(falling[0], falling[-1], K), -falling, np.arange(1, noise.T + 1))
    return _distinct(np.concatenate([[0], t]), noise.T)


STRIDES = {"even": even, "quadratic": quadratic, "log-snr": log_snr}


def _distinct(t: np.ndarray, T: int) -> np.ndarray:
    """Round to whole timesteps and part those that coincide, so that K steps stay K."""
    index = np.arange(len(t))
    path = np.maximum.accumulate(np.round(t).astype(np.int64) - index) + index  # push later ones up ...
    return np.minimum(path, T - index[::-1])  # ... but leave room below T for those that follow

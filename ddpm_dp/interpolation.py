"""Fewer network evaluations for the same path: measure some timesteps, interpolate the others.

With the same noise draws at every t, m_t is a smooth function of t, and so are the decoder's prices: they are known
everywhere from a few of them. `benchmarks/timesteps.py` measures what is lost (benchmarks/results/timesteps.txt): paths
chosen from a tenth of the timesteps cost at most 0.001 bits/dim more than those chosen from all, for K = 8 to 256 and
every scalar variance, on digits (T = 1,000) and Fashion-MNIST (T = 4,000); for `learned` there at most 0.0014.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator


def grid(T: int, n: int) -> np.ndarray:
    """About n timesteps from 1 to T, t_i = 1 + (T - 1) (i / (n - 1))^1.5 rounded: denser near 0, where prices bend.

    Raises ValueError unless 4 <= n <= T (or n = T).
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not min(4, T) <= n <= T:
        raise ValueError(f"timesteps = {n!r}; expected a whole number from {min(4, T)} to T = {T}.")
    if n == T:
        return np.arange(1, T + 1)
    return np.unique(np.round(1 + (T - 1) * np.linspace(0, 1, n) ** 1.5).astype(np.int64))


def errors(known: np.ndarray, measured: np.ndarray, T: int) -> np.ndarray:
    """(G, n) squared errors at the `measured` timesteps -> (G, T + 1): monotone cubics (PCHIP) of log m in t."""
    logarithm = np.log(np.maximum(known, np.finfo(float).tiny))
    filled = np.zeros((len(known), T + 1))
    if len(measured) < T:
        filled[:, 1:] = np.exp(PchipInterpolator(measured, logarithm, axis=1)(np.arange(1, T + 1)))
    filled[:, measured] = known  # as measured, to the last digit
    return filled


def prices(known: np.ndarray, measured: np.ndarray, T: int) -> np.ndarray:
    """(G, n) nats of the decoder at the `measured` timesteps -> (G, T + 1): monotone cubics (PCHIP) in t."""
    filled = np.full((len(known), T + 1), np.inf)
    if len(measured) < T:
        filled[:, 1:] = PchipInterpolator(measured, known, axis=1)(np.arange(1, T + 1))
    filled[:, measured] = known
    return filled


def histograms(known: dict[str, np.ndarray], measured: np.ndarray, m: np.ndarray) -> dict[str, np.ndarray]:
    """n rows of a `SecondOutput`'s arrays -> T + 1: linear between measured neighbours; errors are scaled to m."""
    bins = {name: np.zeros((len(m), *rows.shape[1:])) for name, rows in known.items()}
    for name, rows in known.items():
        bins[name][measured] = rows
    if len(measured) == len(m) - 1:
        return bins
    t = np.arange(1, len(m))
    right = np.clip(np.searchsorted(measured, t), 1, len(measured) - 1)
    before, after = measured[right - 1], measured[right]
    share = (t - before) / (after - before)

    def linear(rows: np.ndarray) -> np.ndarray:
        weight = share.reshape(-1, *[1] * (rows.ndim - 1))
        return np.concatenate([rows[:1], (1 - weight) * rows[before] + weight * rows[after]])

    mean = np.maximum(bins["error"].sum(1, keepdims=True), np.finfo(float).tiny)
    return {name: linear(bins[name]) for name in ("low", "high", "mass")} | {
        "error": linear(bins["error"] / mean) * m[:, None]
    }

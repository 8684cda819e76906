"""Fewer network evaluations for the same path: measure some timesteps, interpolate the others.

With the same noise draws at every t, m_t is a smooth function of t, and so are most decoders' prices: they are known
everywhere from a few of them. `benchmarks/timesteps.py` measures what is lost (benchmarks/results/timesteps.txt): on
digits, T = 1,000, paths chosen from a tenth of the timesteps cost at most 0.002 bits/dim more than those chosen from
all, for K = 8 to 256, every family and the decoder `analytic`. Under `fitted` it is up to 0.012 there: with no second
output to tell pixels apart by, its price leaps by some 0.003 from one timestep to the next, as a few pixels change
their kind, and a search over all timesteps finds those that are lucky.
"""

from collections.abc import Callable

import numpy as np

from ddpm_dp.checks import whole


def grid(T: int, n: int) -> np.ndarray:
    """n timesteps from 1 to T (or one more): most of them near 0, where prices bend.

    They are t_i = 1 + (T - 1) (i / (m - 1))^3, rounded, for the m that leaves n different ones.

    Raises ValueError unless 4 <= n <= T (or n = T).

    >>> grid(1000, 12).tolist()
    [1, 2, 7, 21, 49, 95, 163, 258, 385, 548, 752, 1000]
    """
    if whole(n, "timesteps", min(4, T), T) == T:
        return np.arange(1, T + 1)
    m, found = n, np.empty(0)
    while len(found) < n:
        m += n - len(found) if len(found) else 0
        found = np.unique(np.round(1 + (T - 1) * np.linspace(0, 1, m) ** 3).astype(np.int64))
    return found


def errors(known: np.ndarray, measured: np.ndarray, T: int) -> np.ndarray:
    """(G, n) squared errors at the `measured` timesteps -> (G, T + 1): monotone cubics (PCHIP) of log m in log t."""
    logarithm = np.log(np.maximum(known, np.finfo(float).tiny))
    filled = np.zeros((len(known), T + 1))
    if len(measured) < T:
        filled[:, 1:] = np.exp(_cubics(measured, logarithm)(np.log(np.arange(1, T + 1))))
    filled[:, measured] = known  # as measured, to the last digit
    return filled


def prices(known: np.ndarray, measured: np.ndarray, T: int) -> np.ndarray:
    """(G, n) nats of the decoder at the `measured` timesteps -> (G, T + 1): monotone cubics (PCHIP) in log t."""
    filled = np.full((len(known), T + 1), np.inf)
    if len(measured) < T:
        filled[:, 1:] = _cubics(measured, known)(np.log(np.arange(1, T + 1)))
    filled[:, measured] = known
    return filled


def linear(known: np.ndarray, measured: np.ndarray, T: int) -> np.ndarray:
    """n rows at the `measured` timesteps -> T + 1: linear in log t between measured neighbours; row 0 is 0."""
    rows = np.zeros((T + 1, *known.shape[1:]))
    rows[measured] = known
    if len(measured) == T:
        return rows
    t = np.arange(1, T + 1)
    right = np.clip(np.searchsorted(measured, t), 1, len(measured) - 1)
    before, after = measured[right - 1], measured[right]
    weight = (np.log(t / before) / np.log(after / before)).reshape(-1, *[1] * (rows.ndim - 1))
    return np.concatenate([rows[:1], (1 - weight) * rows[before] + weight * rows[after]])


def shares(known: np.ndarray, measured: np.ndarray, m: np.ndarray) -> np.ndarray:
    """n rows of cells' squared errors, (n, B), each row's sum an m_t -> (T + 1, B): shares of m, linear in log t."""
    T = len(m) - 1
    if len(measured) == T:
        return linear(known, measured, T)  # as measured, to the last digit
    mean = np.maximum(known.astype(np.float64).sum(1, keepdims=True), np.finfo(float).tiny)
    return linear(known / mean, measured, T) * m[:, None]


def nearest(known: np.ndarray, measured: np.ndarray, T: int) -> np.ndarray:
    """n rows at the `measured` timesteps -> T + 1: each the nearest measured one (row 0: the first)."""
    middle = (measured[1:] + measured[:-1]) / 2
    return known[np.searchsorted(middle, np.arange(T + 1))]


def _cubics(measured: np.ndarray, known: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from scipy.interpolate import PchipInterpolator  # here: importing scipy takes time that names need not

    return PchipInterpolator(np.log(measured), known, axis=1)

"""Fewer network evaluations for the same path: measure some timesteps, interpolate the others.

With the same noise draws at every t, m_t is a smooth function of t, and so are most decoders' prices: they are known
everywhere from a few of them. `benchmarks/timesteps.py` measures what is lost (benchmarks/results/timesteps.txt): on
digits, T = 1,000, paths chosen from a tenth of the timesteps cost at most 0.002 bits/dim more than those chosen from
all, for K = 8 to 256, every family and the decoder `analytic`. Under `fitted` it is up to 0.012 there: with no second
output to tell pixels apart by, its price leaps by some 0.003 from one timestep to the next, as a few pixels change
their kind, and a search over all timesteps finds those that are lucky.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_dp.checks import whole
from ddpm_dp.statistics.rows import rows_of


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
        log_t = np.log(np.arange(1, T + 1))
        for group, of_group in zip(filled, logarithm, strict=True):  # one after the other: T may be a million
            group[1:] = np.exp(_cubics(measured, of_group[None])(log_t)[0])
    filled[:, measured] = known  # as measured, to the last digit
    return filled


def prices(known: np.ndarray, measured: np.ndarray, T: int) -> np.ndarray:
    """(G, n) nats of the decoder at the `measured` timesteps -> (G, T + 1): monotone cubics (PCHIP) in log t."""
    filled = np.full((len(known), T + 1), np.inf)
    if len(measured) < T:
        filled[:, 1:] = _cubics(measured, known)(np.log(np.arange(1, T + 1)))
    filled[:, measured] = known
    return filled


def cubic(known: np.ndarray, measured: np.ndarray, T: int, axis: int = 0) -> Any:
    """n rows at the `measured` timesteps -> T + 1, along `axis`: monotone cubics (PCHIP) in log t; row 0 is 0."""
    if len(measured) == T:
        return linear(known, measured, T, axis)  # as measured, to the last digit
    known = np.moveaxis(known.astype(np.float64), axis, 0)
    curve = _cubics(measured, known, axis=0)
    make = _make(known, measured, lambda t, right: curve(np.log(t)))
    return _along(axis, known, T, make, measured)


def linear(known: np.ndarray, measured: np.ndarray, T: int, axis: int = 0) -> Any:
    """n rows at the `measured` timesteps -> T + 1, along `axis`: linear in log t between neighbours; row 0 is 0."""
    known = np.moveaxis(known.astype(np.float64), axis, 0)
    return _along(axis, known, T, _make_linear(known, measured), measured)


def shares(known: np.ndarray, measured: np.ndarray, m: np.ndarray) -> Any:
    """n rows of cells' squared errors, each row's sum an m_t -> T + 1: shares of m, linear in log t.

    known, (n, B) or (G, n, B), with m, (T + 1,) or (G, T + 1): the result is (T + 1, B) or (G, T + 1, B).
    """
    T, axis = m.shape[-1] - 1, known.ndim - 2
    if len(measured) == T:
        return linear(known, measured, T, axis)  # as measured, to the last digit
    known = np.moveaxis(known.astype(np.float64), axis, 0)
    share = _make_linear(known / np.maximum(known.sum(-1, keepdims=True), np.finfo(float).tiny), measured)
    return _along(axis, known, T, lambda t: share(t) * m.T[t][..., None], measured)


def nearest(known: np.ndarray, measured: np.ndarray, T: int) -> Any:
    """n rows at the `measured` timesteps -> T + 1: each the nearest measured one (row 0: the first)."""
    middle = (measured[1:] + measured[:-1]) / 2
    return _along(0, known, T, lambda t: known[np.searchsorted(middle, t)], measured)


Make = Callable[[np.ndarray], np.ndarray]  # (n,) timesteps -> (n, ...) rows


def _make(known: np.ndarray, measured: np.ndarray, between: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Make:
    """Rows as measured where they are, 0 at t = 0, and elsewhere between(t, right), where t < measured[right]."""

    def make(t: np.ndarray) -> np.ndarray:
        right = np.searchsorted(measured, t).clip(max=len(measured) - 1)
        rows = known[right]
        unknown = (measured[right] != t) & (t > 0)
        if unknown.any():
            rows[unknown] = between(t[unknown], right[unknown])
        rows[t == 0] = 0
        return rows

    return make


def _make_linear(known: np.ndarray, measured: np.ndarray) -> Make:
    def between(t: np.ndarray, right: np.ndarray) -> np.ndarray:
        before, after = measured[right - 1], measured[right]
        weight = (np.log(t / before) / np.log(after / before)).reshape(-1, *[1] * (known.ndim - 1))
        return (1 - weight) * known[right - 1] + weight * known[right]

    return _make(known, measured, between)


def _along(axis: int, known: np.ndarray, T: int, make: Make, measured: np.ndarray) -> Any:
    """The rows of `make`, T's axis not first but at `axis`; all else as in `known`, where it is first."""
    shape = list(known.shape[1:])
    shape.insert(axis, T + 1)
    return rows_of(tuple(shape), make, measured, axis)


def _cubics(measured: np.ndarray, known: np.ndarray, axis: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    from scipy.interpolate import PchipInterpolator  # here: importing scipy takes time that names need not

    return PchipInterpolator(np.log(measured), known, axis=axis)

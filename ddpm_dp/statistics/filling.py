"""Fewer network evaluations for the same path: measure some timesteps, interpolate the others.

With the same noise draws at every t, m_t is a smooth function of t, and so are most decoders' prices: they are known
everywhere from a few of them. `benchmarks/timesteps.py` measures what is lost (benchmarks/results/timesteps.txt): on
digits, T = 1,000, paths chosen from a tenth of the timesteps cost at most 0.002 bits/dim more than those chosen from
all, for K = 8 to 256, every family and the decoder `analytic`. Under `fitted` it is up to 0.012 there: with no second
output to tell pixels apart by, its price leaps by some 0.003 from one timestep to the next, as a few pixels change
their kind, and a search over all timesteps finds those that are lucky.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

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


class Rows:
    """A (T + 1, ...) or (G, T + 1, ...) array that is made where somebody asks for it: a histogram of T = 10^6 is 2 GB.

    `rows[t]` (or `rows[:, t]`) is what an array would give, for a timestep, several, or a slice. numpy's functions, and
    other indices, take all of it at once.

    make: (n,) timesteps -> an array with n in the place of T + 1, which is `axis`. measured: the timesteps that are
    known without it.
    """

    def __init__(
        self, shape: tuple[int, ...], make: Callable[[np.ndarray], np.ndarray], measured: np.ndarray, axis: int
    ):
        self.shape, self.ndim, self.make, self.measured, self.axis = shape, len(shape), make, measured, axis

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        before, keys = (slice(None),) * self.axis, key if isinstance(key, tuple) else (key,)
        if len(keys) == 2 and keys[0] is ...:  # the last axis, which is not T's
            return Rows(self.shape[:-1], lambda t: self.make(t)[key], self.measured, self.axis)
        if keys[:-1] != before:
            return np.asarray(self)[key]
        t = np.arange(self.shape[self.axis])[keys[-1]]
        made = self.make(np.atleast_1d(t).ravel())
        return made.reshape(*self.shape[: self.axis], *np.shape(t), *self.shape[self.axis + 1 :])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.make(np.arange(self.shape[self.axis])), dtype)


AT_ONCE = 2**25  # numbers, 256 MiB; what is larger becomes `Rows`


def rows_of(
    shape: tuple[int, ...], make: Callable[[np.ndarray], np.ndarray], measured: np.ndarray, axis: int = 0
) -> Any:
    """An array if it is small, else `Rows`, which most can use as if it were one."""
    made = Rows(shape, make, measured, axis)
    return np.asarray(made) if math.prod(shape) <= AT_ONCE else made


def known_rows(values: Any) -> np.ndarray:
    """All of an array; of `Rows` what was measured: in between nothing is NaN or negative where that is not."""
    if not isinstance(values, Rows):
        return values
    return values[(slice(None),) * values.axis + (values.measured,)]


def in_groups(each: Sequence[Any]) -> Any:
    """(T + 1, ...) of each group of images -> (G, T + 1, ...)."""
    measured = getattr(each[0], "measured", np.arange(len(each[0])))
    return rows_of((len(each), *each[0].shape), lambda t: np.stack([one[t] for one in each]), measured, axis=1)


def cubic(known: np.ndarray, measured: np.ndarray, T: int) -> Any:
    """n rows at the `measured` timesteps -> T + 1: monotone cubics (PCHIP) in log t; row 0 is 0."""
    known = known.astype(np.float64)
    curve = _cubics(measured, known, axis=0) if len(measured) < T else None

    def make(t: np.ndarray) -> np.ndarray:
        place = np.searchsorted(measured, t).clip(0, len(measured) - 1)
        rows = known[place]
        between = (measured[place] != t) & (t > 0)
        if curve is not None and between.any():
            rows[between] = curve(np.log(t[between]))
        rows[t == 0] = 0
        return rows

    return rows_of((T + 1, *known.shape[1:]), make, measured)


def linear(known: np.ndarray, measured: np.ndarray, T: int) -> Any:
    """n rows at the `measured` timesteps -> T + 1: linear in log t between measured neighbours; row 0 is 0."""
    known = known.astype(np.float64)

    def make(t: np.ndarray) -> np.ndarray:
        place = np.searchsorted(measured, t).clip(0, len(measured) - 1)
        rows = known[place]
        between = np.flatnonzero((measured[place] != t) & (t > 0))
        if len(between):
            right = place[between].clip(1)
            before, after = measured[right - 1], measured[right]
            weight = np.log(t[between] / before) / np.log(after / before)
            weight = weight.reshape(-1, *[1] * (known.ndim - 1))
            rows[between] = (1 - weight) * known[right - 1] + weight * known[right]
        rows[t == 0] = 0
        return rows

    return rows_of((T + 1, *known.shape[1:]), make, measured)


def shares(known: np.ndarray, measured: np.ndarray, m: np.ndarray) -> Any:
    """n rows of cells' squared errors, (n, B), each row's sum an m_t -> (T + 1, B): shares of m, linear in log t."""
    T = len(m) - 1
    if len(measured) == T:
        return linear(known, measured, T)  # as measured, to the last digit
    mean = np.maximum(known.astype(np.float64).sum(1, keepdims=True), np.finfo(float).tiny)
    share = linear(known / mean, measured, T)
    return rows_of(share.shape, lambda t: share[t] * m[t, None], measured)


def nearest(known: np.ndarray, measured: np.ndarray, T: int) -> Any:
    """n rows at the `measured` timesteps -> T + 1: each the nearest measured one (row 0: the first)."""
    middle = (measured[1:] + measured[:-1]) / 2
    return rows_of((T + 1, *known.shape[1:]), lambda t: known[np.searchsorted(middle, t)], measured)


def _cubics(measured: np.ndarray, known: np.ndarray, axis: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    from scipy.interpolate import PchipInterpolator  # here: importing scipy takes time that names need not

    return PchipInterpolator(np.log(measured), known, axis=axis)

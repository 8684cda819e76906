"""What can be searched: the price L(t, s) of every step, as a form of T numbers each, as curves, or as a bare table."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class AffineCosts:
    r"""Costs L(t, s) = a[t] + b[s] + g[s] h[t] for 0 < s < t, and L(t, 0) = first[t].

    The `posterior` and `beta` reverse variances and every weighted bound have this form (e.g. `posterior`: b = 0,
    g = d/2 snr, h = m, a = -g h).

    first, a, b, g, h: float64 arrays of shape (T + 1,), nats; index t is timestep t, entry 0 is ignored.
        first may hold inf (no decoder there), the others are finite.
    prior: what every path pays besides, nats.

    Raises ValueError for other shapes, NaN, -inf.

    >>> costs = AffineCosts(first=[0, 3, 4], a=[0, 0, 1], b=[0, 0, 0], g=[0, 2, 1], h=[0, 1, 1])
    >>> costs.of_steps(2, np.array([0, 1])).tolist()
    [4.0, 3.0]
    """

    first: NDArray[np.float64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    g: NDArray[np.float64]
    h: NDArray[np.float64]
    prior: float = 0.0

    def __post_init__(self) -> None:
        _float_arrays(self, "first", "a", "b", "g", "h")

    @property
    def T(self) -> int:
        return len(self.first) - 1

    def of_steps(self, t: ArrayLike, s: ArrayLike) -> NDArray[np.float64]:
        """L(t, s) in nats for integer arrays t, s (broadcast together); inf where s >= t.

        Computed as (g[s] - g[t]) h[t] + (b[s] - b[t]) + L(t, t): a + g h would cancel two large numbers at small t.
        """
        t, s = _end_points(self, t, s)
        a, b, g, h = self.a, self.b, self.g, self.h
        with np.errstate(invalid="ignore"):  # entries 0, which the first step replaces
            later = (g[s] - g[t]) * h[t] + (b[s] - b[t]) + (a[t] + b[t] + g[t] * h[t])
        return np.where(s >= t, np.inf, np.where(s == 0, self.first[t], later))

    def table(self) -> NDArray[np.float64]:
        """L[t, s], shape (T + 1, T + 1), inf where s >= t."""
        return _table(self)


@dataclass(frozen=True, eq=False)
class LogAffineCosts:
    r"""Costs L(t, s) = scale log(1 + (g[s] - g[t]) m[t]) for 0 < s < t, and L(t, 0) = first[t].

    The `analytic` reverse variance has this form, with scale = d/2, g = snr and m the mean squared error.

    first, g, m: float64 arrays of shape (T + 1,); index t is timestep t, entry 0 is ignored. first in nats, may hold
        inf; g does not increase; m >= 0.
    scale: positive, nats. prior: what every path pays besides, nats.

    Raises ValueError for other shapes, NaN, -inf, an increasing g, a negative m, and ranges that float64 cannot hold:
    (g[1] - g[T]) max(m) must stay below 1e150, and the finite entries of first within 1e9 scale of each other.

    >>> costs = LogAffineCosts(first=[0, 3, 4], g=[0, 3, 1], m=[0, 1, 1], scale=2.0)
    >>> costs.of_steps(2, np.array([0, 1])).round(4).tolist()
    [4.0, 2.1972]
    """

    first: NDArray[np.float64]
    g: NDArray[np.float64]
    m: NDArray[np.float64]
    scale: float
    prior: float = 0.0

    def __post_init__(self) -> None:
        _float_arrays(self, "first", "g", "m")
        if not 0 < self.scale < np.inf:
            raise ValueError(f"scale is {self.scale}, expected a positive number: half the number of dimensions.")
        _never_rising(self.g)
        if self.m[1:].min() < 0:
            t = 1 + int(np.argmin(self.m[1:]))
            raise ValueError(f"m[{t}] is {self.m[t]}, expected m >= 0: give mean squared errors.")
        most = self.first[1:].max(initial=-np.inf, where=self.first[1:] < np.inf)
        if (self.g[1] - self.g[-1]) * self.m[1:].max() > 1e150 or most - self.first[1:].min() > 1e9 * self.scale:
            raise ValueError("g, m or first span more than float64 can search, see the docstring: drop such timesteps.")

    @property
    def T(self) -> int:
        return len(self.first) - 1

    def of_steps(self, t: ArrayLike, s: ArrayLike) -> NDArray[np.float64]:
        """L(t, s) in nats for integer arrays t, s (broadcast together); inf where s >= t."""
        t, s = _end_points(self, t, s)
        with np.errstate(invalid="ignore", divide="ignore"):  # entries 0, which the first step replaces, and s >= t
            later = self.scale * np.log1p((self.g[s] - self.g[t]) * self.m[t])
        return np.where(s >= t, np.inf, np.where(s == 0, self.first[t], later))

    def table(self) -> NDArray[np.float64]:
        """L[t, s], shape (T + 1, T + 1), inf where s >= t."""
        return _table(self)


@dataclass(frozen=True, eq=False)
class CurveCosts:
    r"""Costs L(t, s) = x P_t(x) with x = c[t] (g[s] - g[t]) for 0 < s < t, and L(t, 0) = first[t].

    Every reverse variance has this form, with g = snr and cells of any number (`ddpm_dp/variances/curves.py`). P_t is
    piecewise: where E = 1 + x is from 4^p to 4^(p+1),

        P_t = a_0 + w (a_1 + a_2 xi + ... + a_15 xi^14),    w = 4 (E - 4^p) / (E + 2 4^p),    xi = w - 1,

    a polynomial in xi, which runs from -1 to 1; a_0 stands apart so that a price near x = 0 keeps all its digits.

    first, g, c: float64 arrays of shape (T + 1,); index t is timestep t, entry 0 is ignored. first in nats, may hold
        inf; g does not increase; c >= 0.
    start: (T + 2,) integers; the panels of timestep t, p = 0, 1, ..., are rows start[t] to start[t + 1] - 1 of
    panels: (N, 16) nats, a_0 to a_15. They must reach the largest E of t, at s = 1.
    bend: (N,) how much L(t, .) may bend up from that panel on: an upper bound of d^2 L / dx^2, 0 where it is concave,
        for a curve that is within 1e-9 of this one. It lets `solve` pass over most steps (see `kernels`).
    prior: what every path pays besides, nats.

    Raises ValueError for other shapes, NaN, -inf, an increasing g, a negative c, panels that do not reach, a
    bend that is negative or rises along the panels of a t.

    >>> line = [[5.0] + 15 * [0.0]]
    >>> costs = CurveCosts(first=[0, 3, 4], g=[0, 3, 1], c=[0, 0, 1], start=[0, 0, 0, 1], panels=line, bend=[0])
    >>> costs.of_steps(2, np.array([0, 1])).tolist()
    [4.0, 10.0]
    """

    first: NDArray[np.float64]
    g: NDArray[np.float64]
    c: NDArray[np.float64]
    start: NDArray[np.int64]
    panels: NDArray[np.float64]
    bend: NDArray[np.float64]
    prior: float = 0.0

    def __post_init__(self) -> None:
        _float_arrays(self, "first", "g", "c")
        _never_rising(self.g)
        if self.c[1:].min() < 0:
            t = 1 + int(np.argmin(self.c[1:]))
            raise ValueError(f"c[{t}] is {self.c[t]}, expected c >= 0: give the largest rate.")
        start, panels = np.asarray(self.start), np.ascontiguousarray(self.panels, dtype=np.float64)
        if panels.ndim != 2 or panels.shape[1] != 16:
            raise ValueError(f"panels has shape {panels.shape}, expected (N, 16): give a_0 to a_15 a row.")
        if start.shape != (self.T + 2,) or start.dtype.kind not in "iu":
            raise ValueError(f"start has shape {start.shape}, expected T + 2 = {self.T + 2} integers: one more than g.")
        start = start.astype(np.int64)
        if start[0] != 0 or start[-1] != len(panels) or (np.diff(start) < 0).any():
            raise ValueError(f"start must rise from 0 to {len(panels)}, the number of panels: count those of each t.")
        if not np.isfinite(panels).all():
            t = int(np.searchsorted(start, np.argwhere(~np.isfinite(panels))[0, 0], side="right")) - 1
            raise ValueError(f"A panel of t = {t} is not finite: repair the statistics it was made from.")
        if np.diff(start).max() > 250:
            t = int(np.argmax(np.diff(start)))
            raise ValueError(
                f"t = {t} has {np.diff(start)[t]} panels, expected at most 250: E up to 4^250 is in range."
            )
        bend = np.ascontiguousarray(self.bend, dtype=np.float64)
        if bend.shape != (len(panels),) or not ((bend >= 0) & (bend < np.inf)).all():
            raise ValueError(
                f"bend must be {len(panels)} finite numbers, one a panel, none negative: 0 for a concave L."
            )
        rises = np.diff(bend, prepend=np.inf) > 0
        rises[start[:-1][np.diff(start) > 0]] = False  # the first panels of a t
        if rises.any():
            t = int(np.searchsorted(start, np.argmax(rises), side="right")) - 1
            raise ValueError(f"bend rises along the panels of t = {t}: bound what is beyond a panel, too.")
        # A billionth of a panel beyond its end is still on its curve.
        short = np.log(4) * np.diff(start)[2:] < np.log1p(self.c[2:] * (self.g[1] - self.g[2:])) - 1e-9
        if short.any():
            t = 2 + int(np.argmax(short))
            raise ValueError(f"The panels of t = {t} end before s = 1: give more, each reaches 4 times as far in E.")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "panels", panels)
        object.__setattr__(self, "bend", bend)

    @property
    def T(self) -> int:
        return len(self.first) - 1

    def of_steps(self, t: ArrayLike, s: ArrayLike) -> NDArray[np.float64]:
        """L(t, s) in nats for integer arrays t, s (broadcast together); inf where s >= t."""
        from ddpm_dp.solver import kernels  # here: importing numba takes time that importing the solver need not

        t, s = _end_points(self, t, s)
        curves = self.first, self.g, self.c, self.start, self.panels
        # Copies, as numba tells apart arrays that may be written; of one type, as it compiles anew for each.
        return kernels.curve_steps(t.astype(np.int64).ravel(), s.astype(np.int64).ravel(), *curves).reshape(t.shape)

    def table(self) -> NDArray[np.float64]:
        """L[t, s], shape (T + 1, T + 1), inf where s >= t."""
        from ddpm_dp.solver import kernels

        L = np.empty((self.T + 1, self.T + 1))  # numpy asks for large pages, compiled code would not
        kernels.curve_table(self.first, self.g, self.c, self.start, self.panels, L)
        return L


@dataclass(frozen=True, eq=False)
class TableCosts:
    """Costs from a bare table L[t, s] in nats, shape (T + 1, T + 1), inf where s >= t and wherever no step may go.

    Raises ValueError for another shape, NaN, -inf, or a number where s >= t.

    >>> TableCosts([[np.inf, np.inf], [2.0, np.inf]]).of_steps(1, 0).item()
    2.0
    """

    L: NDArray[np.float64]
    prior: float = 0.0

    @classmethod
    def of(cls, costs: "FormCosts") -> "TableCosts":
        """The table of costs in a form. Its numbers were checked there; four passes over it would cost what it cost."""
        table = object.__new__(cls)
        object.__setattr__(table, "L", costs.table())
        object.__setattr__(table, "prior", costs.prior)
        return table

    def __post_init__(self) -> None:
        L = np.ascontiguousarray(self.L, dtype=np.float64)
        if L.ndim != 2 or L.shape[0] != L.shape[1] or len(L) < 2:
            raise ValueError(f"The table has shape {L.shape}, expected (T + 1, T + 1), T >= 1: give all L[t, s].")
        if not (L > -np.inf).all():  # nan too
            t, s = (int(i) for i in np.argwhere(~(L > -np.inf))[0])
            raise ValueError(f"L[{t}, {s}] is {L[t, s]}, expected a number or inf: repair the table.")
        if np.triu(L < np.inf).any():
            t, s = (int(i) for i in np.argwhere(np.triu(L < np.inf))[0])
            raise ValueError(f"L[{t}, {s}] is {L[t, s]}, expected inf where s >= t: index it [t, s], from t down to s.")
        if not np.isfinite(self.prior):
            raise ValueError(f"prior is {self.prior}, expected a finite number: give 0 for none.")
        object.__setattr__(self, "L", L)

    @property
    def T(self) -> int:
        return len(self.L) - 1

    @cached_property
    def last_rough(self) -> int:
        """The last t whose row fails the Monge test together with the next; 0 if none. One pass over the table."""
        from ddpm_dp.solver import kernels

        return kernels.last_rough(self.L)

    @cached_property
    def doubts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(T + 1,) by how much rectangles of the rows beyond `last_rough` may fail to be Monge, by their left column;
        and how much of that rounding explains. Some passes over the table."""
        from ddpm_dp.solver import kernels

        return kernels.doubts(self.L, self.last_rough)

    def of_steps(self, t: ArrayLike, s: ArrayLike) -> NDArray[np.float64]:
        """L[t, s] for integer arrays t, s (broadcast together)."""
        return self.L[_end_points(self, t, s)]

    def table(self) -> NDArray[np.float64]:
        """L itself."""
        return self.L


FormCosts = AffineCosts | LogAffineCosts | CurveCosts
Costs = FormCosts | TableCosts


def _never_rising(g: NDArray[np.float64]) -> None:
    rises = np.diff(g[1:]) > 0
    if rises.any():
        t = 1 + int(np.argmax(rises))
        raise ValueError(f"g rises from {g[t]} at t = {t} to {g[t + 1]}, expected none: sort t by SNR.")


def _float_arrays(costs: "FormCosts", *names: str) -> None:
    """Check the arrays over t of a frozen cost and store them as float64."""
    shape = np.shape(costs.first)
    if len(shape) != 1 or shape[0] < 2:
        raise ValueError(f"first has shape {shape}, expected (T + 1,) with T >= 1: index t is timestep t.")
    for name in names:
        x = np.ascontiguousarray(getattr(costs, name), dtype=np.float64)
        if x.shape != shape:
            raise ValueError(f"{name} has shape {x.shape}, expected {shape} like first: give T + 1 entries each.")
        bad = np.isnan(x[1:]) | (x[1:] == -np.inf) if name == "first" else ~np.isfinite(x[1:])
        if bad.any():
            t = 1 + int(np.argmax(bad))
            expected = "a number or inf" if name == "first" else "a finite number"
            raise ValueError(f"{name}[{t}] is {x[t]}, expected {expected}: repair the statistics it was made from.")
        object.__setattr__(costs, name, x)
    if not np.isfinite(costs.prior):
        raise ValueError(f"prior is {costs.prior}, expected a finite number: give 0 for none.")


def _end_points(costs: "Costs", t: ArrayLike, s: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Timesteps as two integer arrays of one shape, each in 0 .. T."""
    t, s = np.broadcast_arrays(t, s)
    for name, x in (("t", t), ("s", s)):
        if x.size and (x.dtype.kind not in "iu" or x.min() < 0 or x.max() > costs.T):
            raise ValueError(f"{name} holds {x.dtype} in {x.min()} .. {x.max()}, expected integers in 0 .. {costs.T}.")
    return t, s


def _table(costs: "AffineCosts | LogAffineCosts") -> NDArray[np.float64]:
    """L[t, s], row by row from `of_steps`."""
    L = np.full((costs.T + 1, costs.T + 1), np.inf)
    for t in range(1, costs.T + 1):
        L[t, :t] = costs.of_steps(t, np.arange(t))
    return L

r"""Exact search for the best path of every budget. Knows numbers, not diffusion.

A path 0 = t_0 < t_1 < ... < t_K = T costs prior + sum_i L(t_i, t_{i-1}). The cheapest with K steps follows from

    C[k, t] = min over s < t of C[k-1, s] + L(t, s),    C[0, 0] = 0,  C[0, t > 0] = inf,

Algorithm 1 of Watson, Ho, Norouzi, Chan 2021, "Learning to Efficiently Sample from Diffusion Probabilistic Models"
(arXiv 2106.03802): O(T^2) numbers of input, O(T^2) work per layer k. `solve` needs less wherever the costs allow it:

    method      costs                                              input     work per layer
    envelope    `AffineCosts` with monotone g, `LogAffineCosts`    O(T)      O(T log T)
    divide      a table that passes the adjacent Monge test        O(T^2)    O(T log T)
    dense       any table                                          O(T^2)    O(T^2)

All three are exact: they return the same values to a relative 1e-11 (rounding; equal costs may tie between paths).
The Monge test allows each of its O(T^2) quadrangles a few ulps, as a computed table needs; "dense" trusts nothing.
"""

from dataclasses import dataclass, replace

import numpy as np


def _float_arrays(costs, *names):
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
            raise ValueError(f"{name}[{t}] is {x[t]}, expected {expected}: mend the statistics it was made from.")
        object.__setattr__(costs, name, x)
    if not np.isfinite(costs.prior):
        raise ValueError(f"prior is {costs.prior}, expected a finite number: give 0 for none.")


def _end_points(costs, t, s):
    """Timesteps as two integer arrays of one shape, each in 0 .. T."""
    t, s = np.broadcast_arrays(t, s)
    for name, x in (("t", t), ("s", s)):
        if x.size and (x.dtype.kind not in "iu" or x.min() < 0 or x.max() > costs.T):
            raise ValueError(f"{name} holds {x.dtype} in {x.min()} .. {x.max()}, expected integers in 0 .. {costs.T}.")
    return t, s


def _table(costs):
    """L[t, s], row by row from `of_steps`."""
    L = np.full((costs.T + 1, costs.T + 1), np.inf)
    for t in range(1, costs.T + 1):
        L[t, :t] = costs.of_steps(t, np.arange(t))
    return L


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

    first: np.ndarray
    a: np.ndarray
    b: np.ndarray
    g: np.ndarray
    h: np.ndarray
    prior: float = 0.0

    def __post_init__(self):
        _float_arrays(self, "first", "a", "b", "g", "h")

    @property
    def T(self):
        return len(self.first) - 1

    def of_steps(self, t, s):
        """L(t, s) in nats for integer arrays t, s (broadcast together); inf where s >= t.

        Computed as (g[s] - g[t]) h[t] + (b[s] - b[t]) + L(t, t): a + g h would cancel two large numbers at small t.
        """
        t, s = _end_points(self, t, s)
        a, b, g, h = self.a, self.b, self.g, self.h
        with np.errstate(invalid="ignore"):  # entries 0, which the first step replaces
            later = (g[s] - g[t]) * h[t] + (b[s] - b[t]) + (a[t] + b[t] + g[t] * h[t])
        return np.where(s >= t, np.inf, np.where(s == 0, self.first[t], later))

    def table(self):
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

    first: np.ndarray
    g: np.ndarray
    m: np.ndarray
    scale: float
    prior: float = 0.0

    def __post_init__(self):
        _float_arrays(self, "first", "g", "m")
        if not 0 < self.scale < np.inf:
            raise ValueError(f"scale is {self.scale}, expected a positive number: half the number of dimensions.")
        rises = np.diff(self.g[1:]) > 0
        if rises.any():
            t = 1 + int(np.argmax(rises))
            raise ValueError(f"g rises from {self.g[t]} at t = {t} to {self.g[t + 1]}, expected none: sort t by SNR.")
        if self.m[1:].min() < 0:
            t = 1 + int(np.argmin(self.m[1:]))
            raise ValueError(f"m[{t}] is {self.m[t]}, expected m >= 0: give mean squared errors.")
        dearest = self.first[1:].max(initial=-np.inf, where=self.first[1:] < np.inf)
        if (self.g[1] - self.g[-1]) * self.m[1:].max() > 1e150 or dearest - self.first[1:].min() > 1e9 * self.scale:
            raise ValueError("g, m or first span more than float64 can search, see the docstring: drop such timesteps.")

    @property
    def T(self):
        return len(self.first) - 1

    def of_steps(self, t, s):
        """L(t, s) in nats for integer arrays t, s (broadcast together); inf where s >= t."""
        t, s = _end_points(self, t, s)
        with np.errstate(invalid="ignore", divide="ignore"):  # entries 0, which the first step replaces, and s >= t
            later = self.scale * np.log1p((self.g[s] - self.g[t]) * self.m[t])
        return np.where(s >= t, np.inf, np.where(s == 0, self.first[t], later))

    def table(self):
        """L[t, s], shape (T + 1, T + 1), inf where s >= t."""
        return _table(self)


@dataclass(frozen=True, eq=False)
class TableCosts:
    """Costs from a bare table L[t, s] in nats, shape (T + 1, T + 1), inf where s >= t and wherever no step may go.

    Raises ValueError for another shape, NaN, -inf, or a number where s >= t.

    >>> TableCosts([[np.inf, np.inf], [2.0, np.inf]]).of_steps(1, 0).item()
    2.0
    """

    L: np.ndarray
    prior: float = 0.0

    def __post_init__(self):
        L = np.ascontiguousarray(self.L, dtype=np.float64)
        if L.ndim != 2 or L.shape[0] != L.shape[1] or len(L) < 2:
            raise ValueError(f"The table has shape {L.shape}, expected (T + 1, T + 1), T >= 1: give all L[t, s].")
        if not (L > -np.inf).all():  # nan too
            t, s = (int(i) for i in np.argwhere(~(L > -np.inf))[0])
            raise ValueError(f"L[{t}, {s}] is {L[t, s]}, expected a number or inf: mend the table.")
        if np.triu(L < np.inf).any():
            t, s = (int(i) for i in np.argwhere(np.triu(L < np.inf))[0])
            raise ValueError(f"L[{t}, {s}] is {L[t, s]}, expected inf where s >= t: index it [t, s], from t down to s.")
        if not np.isfinite(self.prior):
            raise ValueError(f"prior is {self.prior}, expected a finite number: give 0 for none.")
        object.__setattr__(self, "L", L)

    @property
    def T(self):
        return len(self.L) - 1

    def of_steps(self, t, s):
        """L[t, s] for integer arrays t, s (broadcast together)."""
        return self.L[_end_points(self, t, s)]

    def table(self):
        """L itself."""
        return self.L


def _priced(costs):
    """Whatever `solve` accepts, as one of the three costs above."""
    if isinstance(costs, (AffineCosts, LogAffineCosts, TableCosts)):
        return costs
    if not hasattr(costs, "table"):
        return TableCosts(costs)
    structure = costs.structure() if hasattr(costs, "structure") else None
    if structure is not None:
        return replace(structure, prior=costs.prior)
    return _tabulated(costs)


def _tabulated(costs):
    if isinstance(costs, TableCosts):
        return costs
    _refuse_beyond_memory(8 * (costs.T + 1) ** 2, f"A table of T = {costs.T}")
    return TableCosts(costs.table(), costs.prior)


def available_memory():
    """Bytes that can be allocated without swapping (Linux); inf where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return np.inf


def _refuse_beyond_memory(needed, what):
    free = available_memory()
    if needed > free:
        raise ValueError(
            f"{what} takes {needed / 2**30:.3g} GiB and {free / 2**30:.3g} GiB are available: "
            "use fewer timesteps or a smaller budget."
        )


def _budget(K, most):
    if isinstance(K, (bool, np.bool_)) or not isinstance(K, (int, np.integer)) or not 1 <= K <= most:
        raise ValueError(f"The budget is {K!r}, expected an integer in 1 .. {most}: a path has 1 to T steps.")
    return int(K)


@dataclass(frozen=True, eq=False)
class Frontier:
    """The optimum of every budget 1 .. K, as `solve` returns it.

    values: shape (K + 1,), nats, prior included; values[k] is the least cost of a path of exactly k steps, inf where
        no such path is finite; values[0] = inf.
    parents: shape (K + 1, T + 1); parents[k, t] is the t_{k-1} of a best path to t in k steps (rows 0, 1 are not used,
        and row K may hold t = T only).
    method: what found it, "envelope", "divide" or "dense".
    """

    values: np.ndarray
    parents: np.ndarray
    method: str

    @property
    def T(self):
        return self.parents.shape[1] - 1

    @property
    def budgets(self):
        """1, 2, ..., K."""
        return np.arange(1, len(self.values))

    def nats(self, K):
        """The least cost of K steps, prior included; inf if no path of K steps is finite. ValueError: K not solved."""
        return float(self.values[_budget(K, len(self.values) - 1)])

    def path(self, K):
        """A best path of K steps, an ascending array of K + 1 integers [0, t_1, ..., T].

        Raises ValueError if K was not solved or if no path of K steps has a finite cost.
        """
        if self.nats(K) == np.inf:
            raise ValueError(f"No path of {K} steps has a finite cost: choose a K where values[K] is finite.")
        # Algorithm 2 of the paper as printed starts this walk at t = K; it must start at t = T and take K steps.
        path = np.zeros(K + 1, dtype=np.int64)
        path[K] = self.T
        for k in range(K, 1, -1):
            path[k - 1] = self.parents[k, path[k]]
        return path


def solve(costs, budgets="all", method="auto"):
    r"""The cheapest path of every budget, exactly.

    C[k, t] = min over s < t of C[k-1, s] + L(t, s); the value of budget K is prior + C[K, T].
    (Watson et al. 2021, arXiv 2106.03802, Algorithms 1 and 2.)

    costs: a table L[t, s] in nats, shape (T + 1, T + 1), inf where s >= t; or `AffineCosts`, `LogAffineCosts`,
        `TableCosts`; or any object with `T`, `prior`, `table()` and, if it has one of these forms, `structure()`.
    budgets: K, to solve 1 .. K, or "all" for K = T. A single budget needs all layers below it: no cheaper way.
    method: "auto" takes the first that applies of "envelope", "divide", "dense" (see the module); a name forces it.

    Memory: at most 50 T bytes for the layer at work, whatever K, and K T integers for the walk back, of 2 bytes up to
    T = 65,535 and of 4 above. So 0.2 + 32 MB for T = K = 4,000, and 50 + 128 MB for T = 10^6, K = 32. "divide"
    and "dense" read the table besides, 8 T^2 bytes (128 MB at T = 4,000), and "dense" keeps 64 layers, 512 T bytes.

    Returns a `Frontier`. Raises ValueError for budgets outside 1 .. T, NaN or -inf costs, a wrong shape, a
    method that the costs do not allow, and what does not fit into memory.

    >>> L = np.full((4, 4), np.inf)
    >>> L[1:, 0], L[2:, 1], L[3, 2] = [1, 2, 9], [2, 5], 1
    >>> frontier = solve(L)
    >>> frontier.values[1:].tolist(), frontier.path(2).tolist()
    ([9.0, 3.0, 4.0], [0, 2, 3])
    """
    if method not in ("auto", "envelope", "divide", "dense"):
        raise ValueError(f"method is {method!r}, expected 'auto', 'envelope', 'divide' or 'dense'.")
    costs = _priced(costs)
    K = costs.T if isinstance(budgets, str) and budgets == "all" else _budget(budgets, costs.T)
    direction = _direction_of_g(costs)
    if method == "envelope" and direction is None:
        raise ValueError("The costs are a table or have a g that is not monotone: use method='auto' for them.")
    if method == "auto" and direction is not None:
        method = "envelope"
    if method != "envelope":
        costs = _tabulated(costs)

    integers = np.dtype(np.uint16 if costs.T < 2**16 else np.uint32)  # not uint8: every type is compiled anew
    _refuse_beyond_memory((K + 1) * (costs.T + 1) * integers.itemsize + 50 * costs.T, f"T = {costs.T} with K = {K}")
    parents = np.empty((K + 1, costs.T + 1), dtype=integers)  # pages that no layer writes are never taken
    values = np.full(K + 1, np.inf)

    from ddpm_dp import kernels  # here, so that importing the solver does not wait for numba

    if method in ("auto", "divide"):
        t, s = kernels.monge_violation(costs.L)
        if t > 0 and method == "divide":
            raise ValueError(f"The table fails the Monge test at t = {t}, s = {s}: use method='auto' for it.")
        method = "dense" if t > 0 else "divide"

    # Layer 1 has no choice: C[1, t] = L(t, 0). The kernels start from it.
    values[1] = costs.of_steps(costs.T, 0)
    if K > 1:
        if method == "dense":
            kernels.dense_layers(costs.L, K, parents, values)
        elif method == "divide":
            kernels.divide_layers(costs.L, K, parents, values)
        elif isinstance(costs, AffineCosts):
            kernels.affine_layers(costs.first, costs.a, costs.b, costs.g, costs.h, direction, K, parents, values)
        elif np.isfinite(costs.first[1:]).any():
            cheapest = costs.first[1:].min()
            kernels.log_affine_layers(costs.first, cheapest, costs.g, costs.m, float(costs.scale), K, parents, values)
    return Frontier(values + costs.prior, parents, method)


def _direction_of_g(costs):
    """1.0 if g never rises over t = 1 .. T, -1.0 if it never falls, None if neither or if the costs have no g."""
    if isinstance(costs, TableCosts):
        return None
    steps = np.diff(costs.g[1:])
    if (steps <= 0).all():
        return 1.0
    return -1.0 if (steps >= 0).all() else None


@dataclass(frozen=True)
class Certificate:
    """What `certify` found out about budget K; nats, prior included.

    value: the cost of frontier.path(K), added up again, step by step.
    lower_bound: no path of K steps costs less, whatever the frontier says.
    multiplier: the price per step that gave the bound.
    convex: the frontier is convex at K; where it is not, no multiplier closes the gap.
    is_optimal: the frontier's number is the cost of its path, and the bound meets it, to a relative 1e-9.
    """

    K: int
    value: float
    lower_bound: float
    multiplier: float
    convex: bool
    is_optimal: bool

    @property
    def gap(self):
        """At most this much, in nats, could a better path save."""
        return self.value - self.lower_bound


def certify(costs, frontier, K):
    r"""Check that frontier.path(K) is optimal, by Lagrangian duality, without the solver's code or its layers.

    For every multiplier, a path of K steps costs at least

        min over all paths, of any number of steps, of (cost + multiplier * steps)  -  multiplier * K,

    since the path itself takes part in the minimum. One pass, F[t] = min over s < t of F[s] + L(t, s) + multiplier,
    finds that minimum whatever K is. If the optima V are convex in the budget at K, the bound is tight for every
    multiplier between the saving of the next step, V(K) - V(K+1), and that of the last, V(K-1) - V(K). The multiplier
    comes from the frontier under test, but a wrong one only weakens the bound: it never certifies a wrong answer.
    Where V is not convex at K, no multiplier reaches V(K): the bound is then the lower convex hull of V at K, and `gap`
    what remains unproven. (So too if the frontier ends before a budget that would bend the hull.)

    costs, frontier: as given to and returned by `solve`. Work O(T^2) in plain numpy, one row of L at a time, so memory
    O(T) for costs with a structure: 0.2 s at T = 4,000 (`make bench`).
    Raises ValueError as `Frontier.path` does, and if costs and frontier differ in T.

    >>> L = np.full((4, 4), np.inf)
    >>> L[1:, 0], L[2:, 1], L[3, 2] = [1, 2, 9], [2, 5], 1
    >>> certify(L, solve(L), 2).is_optimal
    True
    """
    costs = _priced(costs)
    if costs.T != frontier.T:
        raise ValueError(f"The costs have T = {costs.T}, the frontier {frontier.T}: give the costs that were solved.")
    path = frontier.path(K)
    value = costs.prior + float(costs.of_steps(path[1:], path[:-1]).sum())

    V = frontier.values
    hull: list[int] = []  # the budgets on the lower convex hull of V
    for k in np.flatnonzero(V < np.inf).tolist():
        while len(hull) > 1:
            i, j = hull[-2:]
            if (V[j] - V[i]) / (j - i) < (V[k] - V[j]) / (k - j):
                break
            hull.pop()
        hull.append(k)
    i, j = max([k for k in hull if k < K], default=K), min([k for k in hull if k > K], default=K)
    if i < j:
        multiplier = (V[i] - V[j]) / (j - i)
    else:  # no other budget to compare: all that further steps of cost >= 0 can ever save
        multiplier = value - costs.prior - costs.of_steps(np.arange(1, costs.T + 1), 0).min()
    chord = V[i] - multiplier * (K - i)

    F = np.zeros(costs.T + 1)
    for t in range(1, costs.T + 1):
        F[t] = np.min(F[:t] + costs.of_steps(t, np.arange(t))) + multiplier
    lower_bound = costs.prior + F[costs.T] - multiplier * K

    rounding = 1e-9 * max(abs(value), abs(multiplier * K))
    return Certificate(
        K=int(K),
        value=value,
        lower_bound=float(lower_bound),
        multiplier=float(multiplier),
        convex=bool(V[K] - chord <= rounding),
        is_optimal=bool(abs(value - frontier.nats(K)) <= rounding and value - lower_bound <= rounding),
    )

"""The search: the best path of every budget 1 .. K, and the frontier of their costs."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_dp.checks import whole
from ddpm_dp.memory import refuse_beyond_memory
from ddpm_dp.solver.attached import AttachedCosts
from ddpm_dp.solver.methods import METHODS
from ddpm_dp.solver.searchable import FEWER, Searchable, as_costs, as_table


@dataclass(frozen=True, eq=False)
class Frontier:
    """The optimum of every budget 1 .. K, as `solve` returns it.

    values: shape (K + 1,), nats, prior included; values[k] is the least cost of a path of exactly k steps, inf where
        no such path is finite; values[0] = inf.
    parents: shape (K + 1, T + 1); parents[k, t] is the t_{k-1} of a best path to t in k steps (rows 0, 1 are not used,
        and row K may hold t = T only).
    method: what found it, a name in `METHODS` but "auto".
    """

    values: NDArray[np.float64]
    parents: NDArray[np.unsignedinteger]
    method: str

    @property
    def T(self) -> int:
        return self.parents.shape[1] - 1

    @property
    def budgets(self) -> NDArray[np.int64]:
        """1, 2, ..., K."""
        return np.arange(1, len(self.values))

    def nats(self, K: int) -> float:
        """The least cost of K steps, prior included; inf if no path of K steps is finite. ValueError: K not solved."""
        most = len(self.values) - 1
        K = whole(K, "K", most=most, what=f"steps, of a frontier that was solved for up to {most}")
        return float(self.values[K])

    def path(self, K: int) -> NDArray[np.int64]:
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


def solve(costs: Searchable, budgets: int | Literal["all"] = "all", method: str = "auto") -> Frontier:
    r"""The cheapest path of every budget, exactly.

    C[k, t] = min over s < t of C[k-1, s] + L(t, s); the value of budget K is prior + C[K, T].
    (Watson et al. 2021, arXiv 2106.03802, Algorithms 1 and 2.)

    costs: a table L[t, s] in nats, shape (T + 1, T + 1), inf where s >= t; or `AffineCosts`, `LogAffineCosts`,
        `CurveCosts`, `TableCosts`, `AttachedCosts`; or any object with `T`, `prior`, `table()` and, if it has one of
        these forms, `structure()`.
    budgets: K, to solve 1 .. K, or "all" for K = T. A single budget needs all layers below it: no cheaper way.
    method: "auto" takes the one of the others that applies with the least work (see `METHODS`); a name forces it.

    Memory: at most 50 T bytes for the layer at work, whatever K, and K T integers for the walk back, of 2 bytes up to
    T = 65,535 and of 4 above. So 0.2 + 32 MB for T = K = 4,000, and 50 + 128 MB for T = 10^6, K = 32. "divide"
    and "dense" read the table besides, 8 T^2 bytes (128 MB at T = 4,000), and "dense" keeps 64 layers, 512 T bytes.
    "prune" reads the curves instead, up to some 1,500 T bytes.

    Returns a `Frontier`. Raises ValueError for budgets outside 1 .. T, NaN or -inf costs, a wrong shape, a
    method that the costs do not allow, and what does not fit into memory.

    >>> L = np.full((4, 4), np.inf)
    >>> L[1:, 0], L[2:, 1], L[3, 2] = [1, 2, 9], [2, 5], 1
    >>> frontier = solve(L)
    >>> frontier.values[1:].tolist(), frontier.path(2).tolist()
    ([9.0, 3.0, 4.0], [0, 2, 3])
    """
    choice = METHODS.named(method)
    costs = as_costs(costs)
    T = costs.T
    everything = isinstance(budgets, str) and budgets == "all"
    K = T if everything else whole(budgets, "budgets", most=T, what=f"steps on a path to T = {T}")
    integers = np.dtype(np.uint16 if T < 2**16 else np.uint32)  # not uint8: every type is compiled anew
    refuse_beyond_memory((K + 1) * (T + 1) * integers.itemsize + 50 * T, f"T = {T} with K = {K}", FEWER)
    if isinstance(costs, AttachedCosts):
        return _solve_attached(costs, K, method)

    for chosen in choice.methods(costs, K):
        if chosen.reads_table:
            costs = as_table(costs)
        if not (refusal := chosen.refusal(costs)):
            break
    else:
        raise ValueError(refusal)

    parents = np.empty((K + 1, T + 1), dtype=integers)  # pages that no layer writes are never taken
    values = np.full(K + 1, np.inf)
    # Layer 1 has no choice: C[1, t] = L(t, 0). The kernels start from it.
    values[1] = costs.of_steps(T, 0)
    if K > 1:
        chosen.fill(costs, K, parents, values)
    return Frontier(values + costs.prior, parents, chosen.name)


def _solve_attached(costs: AttachedCosts, K: int, method: str) -> Frontier:
    """The second layer first, and the others as if it were the first."""
    alone = costs.prior + float(costs.costs.of_steps(costs.T, 0))
    if K == 1 or costs.T == 1:
        return replace(solve(costs.costs, 1, method), values=np.array([np.inf, alone]))
    best, second = costs.second_layer()
    rest = solve(costs.from_second(best), K - 1, method)
    parents = np.empty((K + 1, costs.T + 1), dtype=rest.parents.dtype)
    parents[2], parents[3:] = second, rest.parents[2:]
    return Frontier(np.concatenate([[np.inf, alone], rest.values[1:]]), parents, rest.method)

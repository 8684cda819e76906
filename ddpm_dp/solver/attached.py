r"""A first step whose price depends on the second: the search stays exact, as only its second layer sees that.

A path 0, t_1, t_2, ..., T pays D(t_1 | t_2) for its first step in place of L(t_1, 0). Then

    C[2, t] = min over 0 < s < t of D(s | t) + L(t, s),      C[k, t] = min over s < t of C[k-1, s] + L(t, s), k > 2:

from the third layer on nothing is new, so C[2] takes the place of the first layer, and any method does the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ddpm_dp.solver.costs import Costs, TableCosts


@dataclass(frozen=True)
class AttachedCosts:
    """Costs with a first step that depends on the second.

    costs: L(t, s) for 0 < s < t; its L(t, 0) is what a path of one step pays.
    pairs: (t, s) -> nats D(s | t), for arrays of one length; inf where there is no such first step.

    >>> costs = TableCosts([[np.inf] * 3, [5.0, np.inf, np.inf], [9.0, 1.0, np.inf]])
    >>> attached = AttachedCosts(costs, lambda t, s: 10.0 * t + s)
    >>> second, parents = attached.second_layer()
    >>> float(second[2]), int(parents[2])  # D(1 | 2) + L(2, 1)
    (22.0, 1)
    """

    costs: Costs
    pairs: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]

    @property
    def T(self) -> int:
        return self.costs.T

    @property
    def prior(self) -> float:
        return self.costs.prior

    def second_layer(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(T + 1,) C[2, t], and the t_1 of the path that costs so; every pair is looked at, one t at a time."""
        from tqdm.auto import tqdm

        best, parents = np.full(self.T + 1, np.inf), np.zeros(self.T + 1, dtype=np.int64)
        for t in tqdm(range(2, self.T + 1), "second layer", unit="timestep", delay=2, leave=False):
            s = np.arange(1, t)
            nats = self.pairs(np.full(t - 1, t), s) + self.costs.of_steps(t, s)
            parents[t] = 1 + np.argmin(nats)
            best[t] = nats[parents[t] - 1]
        return best, parents

    def of_path(self, path: NDArray[np.int64]) -> NDArray[np.float64]:
        """(K,) nats of each step."""
        steps = self.costs.of_steps(path[1:], path[:-1])
        if len(path) > 2:
            steps[0] = self.pairs(path[2:3], path[1:2])[0]
        return steps

    def from_second(self, best: NDArray[np.float64]) -> Costs:
        """Costs of paths that leave out t_1: their first step pays C[2]."""
        if isinstance(self.costs, TableCosts):
            L = self.costs.L.copy()
            L[1:, 0] = best[1:]
            return TableCosts(L, self.prior)
        return replace(self.costs, first=best)

"""What can be searched: costs as they are given, and as the methods read them."""

from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddpm_dp.memory import refuse_beyond_memory
from ddpm_dp.solver.attached import AttachedCosts
from ddpm_dp.solver.costs import Costs, FormCosts, TableCosts


@runtime_checkable
class Tabled(Protocol):
    """Any object that can write its table L[t, s], of shape (T + 1, T + 1); `prior` is nats that every path pays."""

    @property
    def T(self) -> int: ...

    @property
    def prior(self) -> float: ...

    def table(self) -> NDArray[np.float64]: ...


@runtime_checkable
class Structured(Tabled, Protocol):
    """One that may do without: `structure()` is the same costs in a form of T numbers or T curves, or with a first step
    that depends on the second, or None."""

    def structure(self) -> FormCosts | AttachedCosts | None: ...


FEWER = "use fewer timesteps or a smaller budget"  # where memory is too small

Searchable = ArrayLike | Costs | AttachedCosts | Tabled


def as_costs(costs: Searchable) -> Costs | AttachedCosts:
    """Whatever `solve` accepts, as one of the five costs."""
    if isinstance(costs, Costs | AttachedCosts):
        return costs
    if not isinstance(costs, Tabled):
        return TableCosts(np.asarray(costs))
    structure = costs.structure() if isinstance(costs, Structured) else None
    if isinstance(structure, AttachedCosts):
        return replace(structure, costs=replace(structure.costs, prior=costs.prior))
    if structure is not None:
        return replace(structure, prior=costs.prior)
    return as_table(costs)


def as_table(costs: Tabled) -> TableCosts:
    """Costs as a bare table. Raises ValueError if that does not fit into memory."""
    if isinstance(costs, TableCosts):
        return costs
    refuse_beyond_memory(8 * (costs.T + 1) ** 2, f"A table of T = {costs.T}", FEWER)
    return TableCosts.of(costs) if isinstance(costs, FormCosts) else TableCosts(costs.table(), costs.prior)

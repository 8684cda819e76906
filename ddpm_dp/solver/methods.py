"""The ways to fill the layers: which costs each is for, and what runs. All are exact; they differ in work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_dp.registry import Registry
from ddpm_dp.solver.costs import AffineCosts, Costs, LogAffineCosts, TableCosts

# numba, which `kernels` compiles with, is imported where it is first needed: importing the solver does not wait for it.


@dataclass(frozen=True)
class Method:
    """One way to fill the layers 2 .. K.

    reads_table: whether it reads the costs as a `TableCosts`, else in a form of T numbers each.
    refusal: costs -> the sentence that says why it is not for them, "" if it is.
    fill: (costs, K, parents, values) -> None; see `kernels` for the two arrays.
    """

    name: str
    words: str
    reads_table: bool
    refusal: Callable[[Any], str]  # Any: one of the three costs, and which one depends on the method
    fill: Callable[[Any, int, NDArray[np.unsignedinteger], NDArray[np.float64]], None]


def _no_form(costs: Costs) -> str:
    if isinstance(costs, TableCosts) or not (_never_rises(costs.g) or _never_rises(-costs.g)):
        return "The costs are a table or have a g that is not monotone: use method='auto' for them."
    return ""


def _never_rises(g: NDArray[np.float64]) -> bool:
    return bool((np.diff(g[1:]) <= 0).all())


def _fill_from_form(
    costs: AffineCosts | LogAffineCosts, K: int, parents: NDArray[np.unsignedinteger], values: NDArray[np.float64]
) -> None:
    from ddpm_dp.solver import kernels

    first = costs.first
    if isinstance(costs, AffineCosts):
        sign = 1.0 if _never_rises(costs.g) else -1.0
        kernels.affine_layers(first, costs.a, costs.b, costs.g, costs.h, sign, K, parents, values)
    elif np.isfinite(first[1:]).any():
        kernels.log_affine_layers(first, first[1:].min(), costs.g, costs.m, float(costs.scale), K, parents, values)


def _not_monge(costs: TableCosts) -> str:
    from ddpm_dp.solver import kernels

    t, s = kernels.monge_violation(costs.L)
    return f"The table fails the Monge test at t = {t}, s = {s}: use method='auto' for it." if t > 0 else ""


def _fill_monge(costs: TableCosts, K: int, parents: NDArray[np.unsignedinteger], values: NDArray[np.float64]) -> None:
    from ddpm_dp.solver import kernels

    kernels.divide_layers(costs.L, K, parents, values)


def _fill_any(costs: TableCosts, K: int, parents: NDArray[np.unsignedinteger], values: NDArray[np.float64]) -> None:
    from ddpm_dp.solver import kernels

    kernels.dense_layers(costs.L, K, parents, values)


# In the order in which "auto" tries them: the least work first.
_ALL = (
    Method("envelope", "the lower envelope of lines, for costs in a form", False, _no_form, _fill_from_form),
    Method("divide", "divide and conquer, for a table that passes the Monge test", True, _not_monge, _fill_monge),
    Method("dense", "every step of every layer, for any table", True, lambda costs: "", _fill_any),
)


@dataclass(frozen=True)
class Choice:
    """What a user may ask for: the methods to try, in this order."""

    name: str
    words: str
    methods: tuple[Method, ...]


METHODS = Registry(
    "method",
    [
        Choice("auto", "the first of the others that the costs allow", _ALL),
        *(Choice(method.name, method.words, (method,)) for method in _ALL),
    ],
)

"""The ways to fill the layers: which costs each is for, and what runs. All are exact; they differ in work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_dp.memory import available_memory
from ddpm_dp.registry import Registry
from ddpm_dp.solver.costs import AffineCosts, Costs, CurveCosts, LogAffineCosts, TableCosts

# numba, which `kernels` compiles with, is imported where it is first needed: importing the solver does not wait for it.


@dataclass(frozen=True)
class Method:
    """One way to fill the layers 2 .. K.

    reads_table: whether it reads the costs as a `TableCosts`, else in a form.
    refusal: costs -> the sentence that says why it is not for them, "" if it is.
    fill: (costs, K, parents, values) -> None; see `kernels` for the two arrays.
    """

    name: str
    words: str
    reads_table: bool
    refusal: Callable[[Any], str]  # Any: one of the four costs, and which one depends on the method
    fill: Callable[[Any, int, NDArray[np.unsignedinteger], NDArray[np.float64]], None]


def _no_form(costs: Costs) -> str:
    if isinstance(costs, TableCosts | CurveCosts) or not (_never_rises(costs.g) or _never_rises(-costs.g)):
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


def _too_rough(costs: TableCosts) -> str:
    # Rows before that are searched one by one, at a tenth of the speed of "dense".
    if 4 * costs.last_rough > costs.T:
        return f"The table fails the Monge test at t = {costs.last_rough}: use method='auto' for it."
    # The answer would be right, but slow: many s could be best.
    doubt, explained = costs.doubts
    if not (doubt <= explained).all():
        return "The table fails the Monge test over several rows, by more than rounding: use method='auto' for it."
    return ""


def _fill_monge(costs: TableCosts, K: int, parents: NDArray[np.unsignedinteger], values: NDArray[np.float64]) -> None:
    from ddpm_dp.solver import kernels

    kernels.divide_layers(costs.L, costs.last_rough, costs.doubts[0], K, parents, values)


def _no_curves(costs: Costs) -> str:
    return "" if isinstance(costs, CurveCosts) else "The costs are no curves: use method='auto' for them."


def _fill_from_curves(
    costs: CurveCosts, K: int, parents: NDArray[np.unsignedinteger], values: NDArray[np.float64]
) -> None:
    from ddpm_dp.solver import kernels

    curves = costs.first, costs.g, costs.c, costs.start, costs.panels
    kernels.prune_layers(*curves, costs.bend, K, parents, values)


def _fill_any(costs: TableCosts, K: int, parents: NDArray[np.unsignedinteger], values: NDArray[np.float64]) -> None:
    from ddpm_dp.solver import kernels

    kernels.dense_layers(costs.L, K, parents, values)


ENVELOPE = Method("envelope", "the lower envelope of lines, for costs in a form", False, _no_form, _fill_from_form)
PRUNE = Method("prune", "branch and bound without a table, for curves", False, _no_curves, _fill_from_curves)
DIVIDE = Method(
    "divide",
    "divide and conquer, for a table that passes the Monge test, but at small t",
    True,
    _too_rough,
    _fill_monge,
)
DENSE = Method("dense", "every step of every layer, for any table", True, lambda costs: "", _fill_any)


@dataclass(frozen=True)
class Choice:
    """What a user may ask for: (costs, K) -> the methods to try, in this order, the least work first."""

    name: str
    words: str
    methods: Callable[[Costs, int], tuple[Method, ...]]


def _by_work(costs: Costs, K: int) -> tuple[Method, ...]:
    if isinstance(costs, CurveCosts):
        # Nanoseconds for each t (`make bench`): 1,000 a layer; with a table 5 for each s, and 0.045 a layer.
        longer = costs.T * (5 + 0.045 * K) > 1000 * K
        if longer or 8 * (costs.T + 1) ** 2 > available_memory() / 4:
            return (PRUNE,)
    return ENVELOPE, DIVIDE, DENSE


def _always(method: Method) -> Choice:
    return Choice(method.name, method.words, lambda costs, K: (method,))


METHODS = Registry(
    "method",
    [
        Choice("auto", "the one of the others that the costs allow with the least work", _by_work),
        *map(_always, (ENVELOPE, PRUNE, DIVIDE, DENSE)),
    ],
)

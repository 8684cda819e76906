"""Paths compared on held-out images, in bits/dim with standard errors: the table and the curves that are reported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.statistics import DenoisingStatistics, Measured, as_measured
from ddpm_dp.variances import DECODERS, FAMILIES

BUDGETS = (4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Comparison:
    """Held-out bits/dim: `bits[name][i]` and `errors[name][i]` for the path `name` at `budgets[i]` steps.

    They are inf, and "-" in print, where the decoder cannot end the path. `doubt` is that of `Measured`.
    """

    variance: str
    decoder: str
    n: int
    budgets: tuple[int, ...]
    bits: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    doubt: str = ""

    def __str__(self) -> str:
        lines = [
            f"Held-out bits/dim (standard error) over {self.n} images; reverse variance: {self.variance};",
            f"decoder p(x_0 | x_t): {self.decoder}.",
            "",
            "     K" + "".join(f"{name:>18}" for name in self.bits),
        ]
        for i, K in enumerate(self.budgets):
            numbers = ((self.bits[name][i], self.errors[name][i]) for name in self.bits)
            cells = (f"{bits:.3f} ({error:.3f})" if np.isfinite(bits) else "-" for bits, error in numbers)
            lines.append(f"{K:6d}" + "".join(f"{cell:>18}" for cell in cells))
        return "\n".join([*lines, *(["", self.doubt] if self.doubt else [])])


def decoder_in_words(statistics: DenoisingStatistics, variance: str, decoder: str) -> str:
    """The decoder's convention, which every reported bits/dim states."""
    family = FAMILIES.named(variance).reading(statistics.second)
    return DECODERS.named(decoder).in_words(family, statistics.levels)


def compare(
    measured: Measured[Any],
    paths: Mapping[str, Mapping[int, np.ndarray]],
    variance: str,
    decoder: str = "fitted",
) -> Comparison:
    """Price paths on held-out statistics.

    Args:
        measured: where the paths were chosen, and the held-out statistics that price them.
        paths: for each name, a path for each budget K; every name must have the same budgets.
        variance, decoder: the reverse variance and the decoder that price them.

    Raises ValueError if nothing was held out, if the names have different budgets, or if a path has another number of
    steps than its budget or is none of this model's.

    >>> from ddpm_dp import STRIDES, shipped
    >>> both = Measured.load(shipped("digits/train.npz"), shipped("digits/test.npz"))
    >>> table = compare(both, {"even": {K: STRIDES["even"](both.train.noise, K) for K in (4, 8)}}, "analytic")
    >>> table.budgets, table.n
    ((4, 8), 360)
    """
    held_out = as_measured(measured).judge
    budgets = tuple(sorted(next(iter(paths.values()))))
    for name, by_budget in paths.items():
        if tuple(sorted(by_budget)) != budgets:
            raise ValueError(
                f"{name} has paths for K = {sorted(by_budget)}; expected {list(budgets)}, as the first has."
            )
        for K, path in by_budget.items():
            if len(path) != K + 1:
                raise ValueError(
                    f"{name} lists a path of {len(path) - 1} steps under K = {K}; expected K + 1 timesteps."
                )
    costs = step_costs(held_out, variance, decoder)
    prices = {name: [costs.of(by_budget[K]) for K in budgets] for name, by_budget in paths.items()}

    def in_bits(nats: list[float]) -> np.ndarray:
        return bits_per_dim(np.array(nats), held_out.d)

    return Comparison(
        variance=variance,
        decoder=decoder_in_words(held_out, variance, decoder),
        n=held_out.n,
        budgets=budgets,
        bits={name: in_bits([p.total for p in row]) for name, row in prices.items()},
        errors={name: in_bits([p.standard_error for p in row]) for name, row in prices.items()},
        doubt=measured.doubt,
    )

"""Paths compared on held-out images, in bits/dim with standard errors: the table and the curves that are reported."""

from dataclasses import dataclass

import numpy as np

from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.statistics import DenoisingStatistics
from ddpm_dp.variances import DECODERS, decoder_of

BUDGETS = (4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Comparison:
    """Held-out bits/dim: `bits[name][i]` and `errors[name][i]` for the path `name` at `budgets[i]` steps."""

    variance: str
    decoder: str
    n: int
    budgets: tuple[int, ...]
    bits: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]

    def __str__(self) -> str:
        lines = [
            f"Held-out bits/dim (standard error) over {self.n} images; reverse variance: {self.variance};",
            f"decoder p(x_0 | x_t): {self.decoder}.",
            "",
            "     K" + "".join(f"{name:>18}" for name in self.bits),
        ]
        for i, K in enumerate(self.budgets):
            cells = (f"{self.bits[name][i]:.3f} ({self.errors[name][i]:.3f})" for name in self.bits)
            lines.append(f"{K:6d}" + "".join(f"{cell:>18}" for cell in cells))
        return "\n".join(lines)


def compare(held_out: DenoisingStatistics, paths: dict[str, dict[int, np.ndarray]], variance: str) -> Comparison:
    """Price paths on held-out statistics.

    Args:
        held_out: measured on held-out images with `fitted=` the training statistics.
        paths: for each name, a path for each budget K; every name must have the same budgets.
        variance: the reverse variance that prices them.

    Raises ValueError if the names have different budgets, if a path has another number of steps than its budget or is
    none of this model's, or if `analytic` would be priced with an m_t fitted to these very images: that flatters.

    >>> compare(test, {"even": {K: even(test.noise, K) for K in (4, 8)}}, "analytic")  # doctest: +SKIP
    """
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
    if variance == "analytic" and held_out.fitted_on == held_out.data_id:
        raise ValueError(
            "The analytic variance was fitted to these very images; measure held-out images with the training "
            "statistics (fitted=, or --fitted)."
        )
    costs = step_costs(held_out, variance)
    prices = {name: [costs.of(by_budget[K]) for K in budgets] for name, by_budget in paths.items()}
    kind = decoder_of(variance)
    grid = "density of continuous data" if held_out.levels is None else f"discretised to {held_out.levels} grey levels"
    return Comparison(
        variance=variance,
        decoder=f"Gaussian, {grid}, {DECODERS[kind]}",
        n=held_out.n,
        budgets=budgets,
        bits={name: bits_per_dim(np.array([p.total for p in row]), held_out.d) for name, row in prices.items()},
        errors={
            name: bits_per_dim(np.array([p.standard_error for p in row]), held_out.d) for name, row in prices.items()
        },
    )

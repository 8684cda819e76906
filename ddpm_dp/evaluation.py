"""Paths compared on held-out images, in bits/dim with standard errors: the table and the curves that are reported."""

from dataclasses import dataclass

import numpy as np

from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.paths import PathFile
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


def decoder_in_words(statistics: DenoisingStatistics, variance: str) -> str:
    """The decoder's convention, which every reported bits/dim states."""
    levels = statistics.levels
    grid = "density of continuous data" if levels is None else f"discretised to {levels} grey levels"
    return f"Gaussian, {grid}, {DECODERS[decoder_of(variance)]}"


def path_file(
    train: DenoisingStatistics,
    paths: dict[int, np.ndarray],
    variance: str,
    objective: str = "ELBO",
    held_out: DenoisingStatistics | None = None,
) -> PathFile:
    """Paths chosen on training statistics, with bits/dim and provenance: a file to publish beside the model.

    Args:
        train: the statistics that the paths were chosen on.
        paths: a path [0, t_1, ..., T] for each budget K.
        variance: the reverse variance that prices them.
        objective: what they minimise, in words.
        held_out: measured on other images with `fitted=train`; None: the file has no held-out bits/dim.

    Raises ValueError for paths that are none of this model's, and `held_out` statistics that `compare` would refuse.

    >>> path_file(train, {32: best.path(32)}, "analytic", held_out=test).save("paths.json")  # doctest: +SKIP
    """
    costs = step_costs(train, variance)
    known = {}
    if held_out is not None:
        held_out.require_model(train.model_id, "the training statistics'")
        if held_out.data_id == train.data_id:
            raise ValueError(
                "The held-out statistics are of the very images that the paths were chosen on; measure others "
                "(--split test)."
            )
        if held_out.fitted_on != train.data_id:
            raise ValueError(
                "The held-out statistics have their analytic variance from other images than the paths were chosen on; "
                "measure them again with these training statistics (fitted=, or --fitted)."
            )
        table = compare(held_out, {"": paths}, variance)
        numbers = zip(table.bits[""], table.errors[""], strict=True)
        known = {K: (float(bits), float(error)) for K, (bits, error) in zip(table.budgets, numbers, strict=True)}
    return PathFile(
        paths={K: np.asarray(path) for K, path in paths.items()},
        T=train.T,
        variance=variance,
        objective=objective,
        decoder=decoder_in_words(train, variance),
        model_id=train.model_id,
        data_id=train.data_id,
        bits_per_dim={K: float(bits_per_dim(costs.of(path).total, train.d)) for K, path in paths.items()},
        held_out=known,
    )


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
    return Comparison(
        variance=variance,
        decoder=decoder_in_words(held_out, variance),
        n=held_out.n,
        budgets=budgets,
        bits={name: bits_per_dim(np.array([p.total for p in row]), held_out.d) for name, row in prices.items()},
        errors={
            name: bits_per_dim(np.array([p.standard_error for p in row]), held_out.d) for name, row in prices.items()
        },
    )

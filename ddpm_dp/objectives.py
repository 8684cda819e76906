"""What a search minimises: the negative ELBO itself, or another decomposable objective, by name."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ddpm_dp.costs import StepCosts, step_costs, weighted_costs
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.registry import Registry
from ddpm_dp.statistics import DenoisingStatistics


@dataclass(frozen=True)
class Objective:
    """One objective.

    Attributes:
        name: what users write, `objective="..."`.
        title: as it stands in menus and files.
        words: what it is, in a line.
        W: the primitive of its weight, (T + 1,) numbers that never rise (see `weighted_costs`); None for the ELBO,
            whose price depends on the reverse variance.
        unit: of `StepCosts.of(path).total` per dimension.
    """

    name: str
    title: str
    words: str
    unit: str
    W: Callable[[NoiseSchedule], np.ndarray] | None = None

    def costs(self, statistics: DenoisingStatistics, variance: str, decoder: str = "fitted") -> StepCosts:
        """The price of every step, on the measured images; only the ELBO looks at the variance and the decoder."""
        if self.W is None:
            return step_costs(statistics, variance, decoder)
        return weighted_costs(statistics, self.W(statistics.noise))


OBJECTIVES = Registry(
    "objective",
    [
        Objective("elbo", "ELBO", "the negative ELBO, under the reverse variance", "nats"),
        Objective(
            "mse",
            "MSE reweighting",
            "the paper's reweighting, (t - s) E ||x_0 - xhat_0||^2 for a step (Watson et al. 2021)",
            "weighted squared error",
            W=lambda noise: -np.arange(noise.T + 1.0),
        ),
    ],
)

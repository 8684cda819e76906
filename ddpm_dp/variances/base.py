"""What a family of reverse variances owes to the rest of the package; nothing falls through.

p(x_s | x_t) is Gaussian. Its mean is that of q(x_s | x_t, x_0) with the model's xhat_0 for x_0; its covariance is rho
times the posterior variance beta~_{t|s}, with one rho for each coefficient of the image in an orthonormal basis
(`bases.py`; pixels, for most). A family says what rho is. Whoever prices a step, samples it or measures it asks here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.registry import Whole
from ddpm_dp.solver import AffineCosts, LogAffineCosts
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances.bases import PIXELS, Basis
from ddpm_dp.variances.decoders import Decoder

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_dp.models.denoiser import Prediction

Form = Callable[[np.ndarray], AffineCosts | LogAffineCosts]  # from the decoder's prices (T + 1,) to all prices


def step_nats(log_rho: Any, delta_e2: Any, expm1: Callable[[Any], Any] = np.expm1) -> Any:
    """L(t, s) of one coordinate, 1/2 [log rho + (1 + delta e^2) / rho - 1], before the average over x_0 and x_t.

    Every price in this package is this line. `delta_e2` is (snr_s - snr_t) e^2 with e = x_0 - xhat_0; for tensors give
    torch's expm1. Written with expm1 because rho is close to 1 in short steps.

    >>> float(step_nats(0.0, 3.0))  # rho = 1: half of what the error costs
    1.5
    """
    shrink = expm1(-log_rho)  # 1 / rho - 1
    return 0.5 * (log_rho + shrink + delta_e2 * (1 + shrink))


@dataclass(frozen=True)
class StepPrices:
    """Nats L(t, s) for 0 < s < t, t and s (n,) integers: of all images (n,), and of each group of images (G, n).

    `mean` also takes one t for many s, as the rows of a table do.
    """

    mean: Callable[[np.ndarray, np.ndarray], np.ndarray]
    of_groups: Callable[[np.ndarray, np.ndarray], np.ndarray]


class ReverseVariance(Whole, abstract=True):
    """A family of reverse variances. To add one, write a subclass in a file of its own and name it in `FAMILIES`.

    A subclass sets all attributes and defines all abstract methods; what it lacks is told when it is defined (`Whole`).

    Attributes:
        name: what users write, `variance="..."`.
        words: rho in a formula, or in a few words.
        source: who proposed it.
        output: the second output of the network that it reads, a name in `OUTPUTS`, or None.
        cells: which `Cells` of the statistics price it: "all" has one cell, m_t; those of an output have its name.
        fitted: whether rho needs numbers that were fitted on training images (the `fitted` of those cells).
        decoder: the decoder p(x_0 | x_t) that goes with it.
    """

    name: str
    words: str
    source: str
    output: str | None
    cells: str
    fitted: bool
    decoder: Decoder

    def __init_subclass__(cls, abstract: bool = False, **rest: Any):
        super().__init_subclass__(abstract, **rest)
        if not abstract and cls.output is not None:
            OUTPUTS.named(cls.output)

    def see(self, prediction: Prediction) -> Tensor | None:
        """What rho depends on and the sampler knows at x_t: the second output, where there is one.

        Raises ValueError if the denoiser has no such output.
        """
        return prediction.second(self.output)

    def basis(self, shape: tuple[int, ...]) -> Basis:
        """The orthonormal basis in which the covariance is diagonal, for images of that shape."""
        return PIXELS

    @abstractmethod
    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        """log rho for steps t -> s, 0 < s < t (integers, or arrays that broadcast).

        `cells` are those of the training statistics, for a fitted family; `seen` is what `see` gives (tensor or array).
        """

    @abstractmethod
    def prices(self, statistics: DenoisingStatistics) -> StepPrices:
        """The price of every step on the measured images."""

    @abstractmethod
    def form(self, statistics: DenoisingStatistics) -> Form | None:
        """The same prices as T numbers each instead of a table, for `solve`; None if they have no such form."""

    def why_not(self, statistics: DenoisingStatistics) -> str | None:
        """What these statistics lack for this family to be priced, as the end of a sentence; None if nothing."""
        if self.cells not in statistics.cells:
            second = "a network with a second output; the measured one has no such"
            return second if self.output else f"the cells {self.cells!r}, which were not measured"
        if self.decoder.name not in statistics.decoders:
            return f"the price of the decoder {self.decoder.name!r}, which was not measured"
        cells, basis = statistics.cells[self.cells], self.basis(statistics.shape).name
        if self.fitted and cells.fitted is None:
            return f"cells {self.cells!r} that were fitted on training images"
        return None if cells.basis == basis else f"cells in the basis {basis!r}; these are in {cells.basis!r}"

    def serves(self, statistics: DenoisingStatistics) -> bool:
        """Whether all that it needs was measured."""
        return self.why_not(statistics) is None

    def fitted_cells(self, statistics: DenoisingStatistics | None, model_id: str) -> Cells | None:
        """What `log_rho` needs of training statistics of the model of that fingerprint; None if it needs nothing.

        Raises ValueError if they are missing where needed, lack what is needed, or are of another model.
        """
        if statistics is not None:
            statistics.require_model(model_id, "the model")
        if not self.fitted:
            return None
        if statistics is None:
            raise ValueError(
                f"variance={self.name!r} was asked for without what it fits to training data (m_t, for one); give "
                "statistics=, measured on those."
            )
        if lack := self.why_not(statistics):
            raise ValueError(f"variance = {self.name!r} needs {lack}.")
        return statistics.cells[self.cells]


class OneNumber(ReverseVariance, abstract=True):
    """A family whose rho is the same for all coordinates: m_t is all that its price needs.

    L(t, s) = d/2 [log rho + (1 + delta m_t) / rho - 1]
    """

    output = None
    cells = "all"

    def nats(self, noise: NoiseSchedule, d: int, t: Any, s: Any, m: Any, cells: Cells | None) -> Any:
        """L(t, s) of images of d dimensions whose mean squared error at t is m."""
        delta = noise.snr[s] - noise.snr[t]
        return d * step_nats(self.log_rho(noise, t, s, cells), delta * m)

    def prices(self, statistics: DenoisingStatistics) -> StepPrices:
        noise, d, cells = statistics.noise, statistics.d, statistics.cells[self.cells]
        return StepPrices(
            mean=lambda t, s: self.nats(noise, d, t, s, statistics.m[t], cells),
            of_groups=lambda t, s: self.nats(noise, d, t, s, statistics.squared_error[:, t], cells),
        )


class PerBin(ReverseVariance, abstract=True):
    """A family whose rho follows a second output: `step_nats`, averaged over the bins of its histogram."""

    fitted = False

    @abstractmethod
    def averages(
        self, noise: NoiseSchedule, t: int, s: np.ndarray, centres: np.ndarray, mass: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """For each step t -> s the averages of log rho, of 1 / rho - 1, and of e^2 / rho (`bins.py`).

        `centres` are the bins' v or u, `mass` and `error` those of the cells at t, (B,) each.
        """

    def prices(self, statistics: DenoisingStatistics) -> StepPrices:
        noise, cells = statistics.noise, statistics.cells[self.cells]

        def nats(t: np.ndarray, s: np.ndarray, m: np.ndarray) -> np.ndarray:
            t, s = np.broadcast_arrays(t, s)
            still, slope = np.empty(t.shape), np.empty(t.shape)  # step_nats is linear in e^2: still + slope e^2
            for now in np.unique(t):
                at = t == now
                bins = cells.centres(now), cells.mass[now], cells.error[now]
                log_rho, shrink, error = self.averages(noise, now, s[at], *bins)
                still[at] = (log_rho + shrink) / 2
                slope[at] = (noise.snr[s[at]] - noise.snr[now]) * error / 2
            # A group of images has m instead of m_t: its errors are scaled, its second outputs are those of all images.
            return statistics.d * (still + slope * m / np.maximum(statistics.m[t], np.finfo(float).tiny))

        return StepPrices(
            mean=lambda t, s: nats(t, s, statistics.m[t]),
            of_groups=lambda t, s: nats(t, s, statistics.squared_error[:, t]),
        )

    def form(self, statistics: DenoisingStatistics) -> None:
        return None

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
from ddpm_dp.solver.costs import FormCosts
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances.bases import PIXELS, Basis
from ddpm_dp.variances.curves import rate_form

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_dp.models.denoiser import Prediction

Form = Callable[[np.ndarray], FormCosts]  # from the decoder's prices (T + 1,) to all prices


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
    """

    name: str
    words: str
    source: str
    output: str | None
    cells: str
    fitted: bool

    def __init_subclass__(cls, abstract: bool = False, **rest: Any):
        super().__init_subclass__(abstract, **rest)
        if not abstract and cls.output is not None:
            OUTPUTS.named(cls.output)

    def reading(self, output: str | None) -> ReverseVariance:
        """The family as it reads a network with that second output: itself, unless it can read more than one kind."""
        return self

    def see(self, prediction: Prediction) -> Tensor | None:
        """What rho depends on and the sampler knows at x_t: the second output, where there is one.

        Raises ValueError if the denoiser has no such output.
        """
        return prediction.second(self.output)

    def basis(self, shape: tuple[int, ...], t: int, cells: Cells | None) -> Basis:
        """The orthonormal basis in which the covariance of a step from t is diagonal, for images of that shape.

        `cells` as in `log_rho`.
        """
        return PIXELS

    @abstractmethod
    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        """log rho for steps t -> s, 0 < s < t (integers, or arrays that broadcast).

        `cells` are those of the training statistics, for a fitted family; `seen` is what `see` gives (tensor or array).
        The answer has the shape of an image's coefficients in the basis, or broadcasts to it.
        """

    @abstractmethod
    def prices(self, statistics: DenoisingStatistics) -> StepPrices:
        """The price of every step on the measured images."""

    @abstractmethod
    def form(self, statistics: DenoisingStatistics) -> Form | None:
        """The same prices for `solve`, as T numbers each or as curves, in place of a table; None if there is neither.

        Curves are good for 1e-9 of a step (`curves.py`).
        """

    def why_not(self, statistics: DenoisingStatistics) -> str | None:
        """What these statistics lack for this family to be priced, as the end of a sentence; None if nothing."""
        if self.cells not in statistics.cells:
            second = "a network with a second output; the measured one has no such"
            return (
                second if self.output else f"the cells {self.cells!r}, which were not measured, or not by this version"
            )
        cells = statistics.cells[self.cells]
        if self.fitted and cells.fitted is None:
            return (
                f"cells {self.cells!r} that were fitted on training images, which the file of held-out statistics does "
                "not hold; read both with Measured.load(train, held_out), or give --fitted"
            )
        basis = self.basis(statistics.shape, statistics.T, cells).name
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


class PerCell(ReverseVariance, abstract=True):
    """A family whose rho differs between cells: `step_nats`, averaged over them.

    L(t, s) = d/2 sum_b p_b [log rho_b + 1 / rho_b - 1] + delta e_b / rho_b

    with the mass p_b and the squared error e_b of each cell (`Cells`): linear in both, so each group of images has its
    own price.
    """

    @abstractmethod
    def log_rho_of_cells(self, noise: NoiseSchedule, t: np.ndarray, s: np.ndarray, cells: Cells) -> np.ndarray:
        """(n, B) log rho of each cell, for n steps t -> s."""

    def prices(self, statistics: DenoisingStatistics) -> StepPrices:
        noise, d, cells = statistics.noise, statistics.d, statistics.cells[self.cells]

        def nats(t: np.ndarray, s: np.ndarray, mass: np.ndarray, error: np.ndarray) -> np.ndarray:
            log_rho, delta = self.log_rho_of_cells(noise, t, s, cells), (noise.snr[s] - noise.snr[t])[:, None]
            still = step_nats(log_rho, 0.0)  # linear in e^2: what it costs without any error, and what an error adds
            return d * (mass * still + delta * error * (step_nats(log_rho, 1.0) - still)).sum(-1)

        def of_groups(t: np.ndarray, s: np.ndarray) -> np.ndarray:
            some = np.array_split(np.arange(len(t)), len(t) // 50 + 1)  # all at once would be G n B numbers, often
            parts = [nats(t[i], s[i], *cells.by_group(t[i], statistics.counts, statistics.squared_error)) for i in some]
            return np.concatenate(parts, axis=1)

        return StepPrices(mean=lambda t, s: nats(t, s, cells.mass[t], cells.error[t]), of_groups=of_groups)


class FittedCells(PerCell, abstract=True):
    """rho = 1 + delta m_b in cell b, with its mean squared error m_b as fitted on training images.

    On those images L(t, s) = d/2 sum_b p_b log(1 + delta m_b). The logarithm is concave, so splitting a cell never
    raises that price, and m_b is the best number for a cell: `analytic` is the same with one cell.
    """

    fitted = True

    @abstractmethod
    def rates(self, t: int, cells: Cells, seen: Any) -> Any:
        """The m_b of the cell that each coefficient is in, from what the sampler sees at x_t."""

    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        assert cells is not None, "fitted_cells gives a fitted family its cells"
        return (self.rates(t, cells, seen) * (noise.snr[s] - noise.snr[t])).log1p()

    def log_rho_of_cells(self, noise: NoiseSchedule, t: np.ndarray, s: np.ndarray, cells: Cells) -> np.ndarray:
        assert cells.fitted is not None, "why_not has asked for it"
        return np.log1p((noise.snr[s] - noise.snr[t])[:, None] * cells.fitted[t])

    def form(self, statistics: DenoisingStatistics) -> Form:
        cells = statistics.cells[self.cells]
        assert cells.fitted is not None, "why_not has asked for it"
        return rate_form(statistics.noise, statistics.d, cells.fitted, cells.mass, cells.error)

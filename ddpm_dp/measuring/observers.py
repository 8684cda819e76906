"""Observers: each looks at the denoiser's answers at one timestep, and fills one kind of cells or prices.

A timestep is looked at twice: what the second look needs to know of all images (their m_t, the range of a second
output) is known after the first. In between, and at the end, processes add up what they saw.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from ddpm_dp.gaussians import decoder_log_likelihood
from ddpm_dp.models.denoiser import Denoiser, Prediction
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.processes import Processes
from ddpm_dp.registry import Whole
from ddpm_dp.statistics import ALL, DenoisingStatistics
from ddpm_dp.variances import FAMILIES, ReverseVariance
from ddpm_dp.variances.decoders import Decoder

BINS = 256  # of a second output's histogram: see `Cells` for what so many bins are good for


@dataclass(frozen=True)
class Seen:
    """A batch of images and the denoiser's answers for it, in float64, kept only as long as somebody looks."""

    images: Tensor
    prediction: Prediction
    group: Tensor  # of each image

    @cached_property
    def x_0(self) -> Tensor:
        return double(self.images)

    @cached_property
    def xhat_0(self) -> Tensor:
        return double(self.prediction.x0)

    def second(self, output: str | None) -> Tensor | None:
        """The second output of that name; None for None."""
        second = self.prediction.second(output)
        return None if second is None else double(second)


@dataclass
class Setting:
    """What all observers of one pass share.

    Attributes:
        noise, levels, d: of the model and its images.
        counts: (G,) images in each group, in all processes together.
        home: the device on which sums in float64 are kept.
        processes: those that share the pass.
        fitted: the training images' statistics; None where these are they.
        fitted_m: (T + 1,) the training images' m_t; where these are they, each entry is set by `MeanError`.
    """

    noise: NoiseSchedule
    levels: int | None
    d: int
    counts: np.ndarray
    home: torch.device
    processes: Processes
    fitted: DenoisingStatistics | None

    def __post_init__(self) -> None:
        known = np.zeros(self.noise.T + 1) if self.fitted is None else self.fitted.fitted_m
        self.fitted_m = torch.from_numpy(known.copy()).to(self.home)
        self.images_of_group = torch.from_numpy(self.counts).double().to(self.home)

    def zeros(self) -> Tensor:
        """(G,) sums, one for each group."""
        return torch.zeros(len(self.counts), dtype=torch.float64, device=self.home)

    def mean(self, total: Tensor) -> Tensor:
        """(G,) sums over this process's images -> means over the images of each group, in all processes."""
        return self.processes.total(total) / self.images_of_group


class Observer(Whole, abstract=True):
    """What is remembered of one timestep: `begin` forgets the last one, `row` gives what was seen, by name."""

    def __init__(self, setting: Setting):
        self.setting = setting

    @abstractmethod
    def begin(self, t: int) -> None:
        """A timestep begins."""

    @abstractmethod
    def look(self, seen: Seen) -> None:
        """The first look at a batch."""

    @abstractmethod
    def agree(self) -> None:
        """All processes have looked at all batches once."""

    @abstractmethod
    def look_again(self, seen: Seen) -> None:
        """The second look at a batch."""

    @abstractmethod
    def row(self) -> dict[str, Tensor]:
        """What is known of this timestep, over all processes, still on the device."""


class CellObserver(Observer, abstract=True):
    """One that fills cells; its row's names begin with `cells.NAME.`.

    Attributes:
        output, basis: what the `Cells` of its rows say of themselves.
    """

    output: str | None = None
    basis: str = "pixels"


class MeanError(CellObserver):
    """m_t of each group of images: one cell."""

    def begin(self, t: int) -> None:
        self.t, self.total = t, self.setting.zeros()

    def look(self, seen: Seen) -> None:
        self.total.index_add_(0, seen.group, ((seen.x_0 - seen.xhat_0) ** 2).flatten(1).mean(1))

    def agree(self) -> None:
        self.total = self.setting.processes.total(self.total)
        if self.setting.fitted is None:
            # All images at one t before the next t, so that m_t is known when its decoder is priced.
            self.setting.fitted_m[self.t] = self.total.sum() / self.setting.counts.sum()

    def look_again(self, seen: Seen) -> None:
        pass  # nothing more to see

    def row(self) -> dict[str, Tensor]:
        return {f"cells.{ALL}.error_of_group": self.total / self.setting.images_of_group}


class Histogram(CellObserver):
    """The joint distribution of a second output and the squared error, over all coordinates of all images."""

    def __init__(self, setting: Setting, output: str):
        super().__init__(setting)
        self.output = output

    def _place(self, seen: Seen) -> Tensor:
        second = seen.prediction.second(self.output)
        assert self.output and second is not None, "a name asks for an output, and is refused where there is none"
        return double(OUTPUTS[self.output].place(second)).flatten()

    def begin(self, t: int) -> None:
        home = self.setting.home
        self.reach = torch.full((2,), -math.inf, dtype=torch.float64, device=home)  # max of -y and of y
        self.bins = torch.zeros((2, BINS), dtype=torch.float64, device=home)

    def look(self, seen: Seen) -> None:
        y = self._place(seen)
        self.reach = torch.maximum(self.reach, torch.stack([-y.min(), y.max()]))

    def agree(self) -> None:
        ends = self.setting.processes.largest(self.reach) * torch.tensor([-1.0, 1.0], device=self.setting.home)
        self.low, self.high = ends

    def look_again(self, seen: Seen) -> None:
        self.bins += histogram(self._place(seen), ((seen.x_0 - seen.xhat_0) ** 2).flatten(), self.low, self.high)

    def row(self) -> dict[str, Tensor]:
        mass, error = self.setting.processes.total(self.bins) / (self.setting.counts.sum() * self.setting.d)
        rows = {"low": self.low, "high": self.high, "mass": mass, "error": error}
        return {f"cells.{self.output}.{name}": values for name, values in rows.items()}


class DecoderPrice(Observer):
    """What one decoder costs, -log p(x_0 | x_t), in each group of images."""

    def __init__(self, setting: Setting, decoder: Decoder):
        super().__init__(setting)
        self.decoder = decoder

    def begin(self, t: int) -> None:
        self.t, self.total = t, self.setting.zeros()

    def look(self, seen: Seen) -> None:
        pass  # m_t must be known first

    def agree(self) -> None:
        pass

    def look_again(self, seen: Seen) -> None:
        setting = self.setting
        variance = self.decoder.variance(
            setting.noise, self.t, setting.fitted_m[self.t], seen.second(self.decoder.output)
        )
        variance = torch.as_tensor(variance, dtype=torch.float64, device=setting.home)
        nats = -decoder_log_likelihood(seen.x_0, seen.xhat_0, variance, setting.levels)
        self.total.index_add_(0, seen.group, nats)

    def row(self) -> dict[str, Tensor]:
        return {f"decoder.{self.decoder.name}": self.setting.mean(self.total)}


# Who fills which cells, by their names; a new kind of cells has its line here.
OBSERVERS: dict[str, Callable[[Setting], CellObserver]] = {
    ALL: MeanError,
    **{output: partial(Histogram, output=output) for output in OUTPUTS},
}


def observed_families(denoiser: Denoiser) -> list[ReverseVariance]:
    """The families that this denoiser's answers can feed."""
    return [family for family in FAMILIES.values() if family.output in (None, denoiser.second)]


def cell_observers(families: list[ReverseVariance], setting: Setting) -> dict[str, CellObserver]:
    """Who fills the cells that price these families, by the cells' names; m_t comes first, as others ask for it."""
    return {name: OBSERVERS[name](setting) for name in dict.fromkeys([ALL, *(family.cells for family in families)])}


def histogram(y: Tensor, e2: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(2, BINS) sums of 1 and e^2 of coordinates y (n,) in bins from low to high, as `Cells` describes them."""
    place = ((y - low) / (high - low).clamp(min=1e-12) * (BINS - 1)).nan_to_num()  # `take` refuses NaN
    left = place.long().clamp(0, BINS - 2)
    share = place - left
    empty = torch.zeros(BINS, dtype=y.dtype, device=y.device)
    return torch.stack(
        [
            empty.index_add(0, left, (1 - share) * weight).index_add_(0, left + 1, share * weight)
            for weight in (torch.ones_like(e2), e2)
        ]
    )


def double(tensor: Tensor) -> Tensor:
    """float64, on the CPU where the device (Apple's MPS) has none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()

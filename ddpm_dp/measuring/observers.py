"""Observers: each looks at the denoiser's answers at one timestep, and fills one kind of cells or prices.

A timestep is looked at twice: what the second look needs to know of all images (their m_t, the range of a second
output) is known after the first. In between, and at the end, processes add up what they saw.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_dp.measuring.fitting import ScoreFit, evidence, in_cells
from ddpm_dp.models.denoiser import Denoiser, Prediction
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.processes import Processes
from ddpm_dp.registry import Whole
from ddpm_dp.statistics import ALL, DenoisingStatistics
from ddpm_dp.variances import FAMILIES, ReverseVariance
from ddpm_dp.variances.bases import AxisBlocks, BlockDct, axes_of, images_last, planes
from ddpm_dp.variances.scores import BINS, Guess, Score, Weights
from ddpm_dp.variances.spectral import Spectral

FORM = 3  # of all rows, the decoder's too: a checkpoint of another form does not go on with this version
PLACES = 256  # bins of a second output's histogram: see `Cells` for what so many are good for
FEW = 256_000  # coefficients of training images that the weights of a score are fitted to: 4,000 blocks of 8x8 pixels
# So many blocks, or their kind is not tried (the smallest always is): the logarithm of a mean of n squares has the
# variance 2 / n, and with 64 a constant is known to 0.18, less than the width of a cell.
LEAST = 64
PARTS = 4  # into which the cells of a group are taken together: with 8, standard errors are up to 2% larger


@dataclass(frozen=True)
class Seen:
    """A batch of images and the denoiser's answers for it, in float64 but for `guess`; kept while somebody looks."""

    images: Tensor
    prediction: Prediction
    group: Tensor  # of each image
    number: Tensor  # of each image, among all

    @cached_property
    def x_0(self) -> Tensor:
        return double(self.images)

    @cached_property
    def xhat_0(self) -> Tensor:
        return double(self.prediction.x0)

    @cached_property
    def error(self) -> Tensor:
        """x_0 - xhat_0."""
        return self.x_0 - self.xhat_0

    @cached_property
    def guess(self) -> Guess:
        """xhat_0 as scores look at it, in the network's own precision."""
        return Guess(self.prediction.x0)

    def second(self, output: str | None) -> Tensor | None:
        """The second output of that name; None for None."""
        second = self.prediction.second(output)
        return None if second is None else double(second)


@dataclass
class Setting:
    """What all observers of one pass share.

    Attributes:
        noise, levels, shape: of the model and its images.
        counts: (G,) images in each group, in all processes together.
        home: the device on which sums in float64 are kept.
        processes: those that share the pass.
        fitted: the training images' statistics; None where these are they.
        fitted_m: (T + 1,) the training images' m_t; where these are they, each entry is set by `MeanError`.
    """

    noise: NoiseSchedule
    levels: int | None
    shape: tuple[int, ...]
    counts: np.ndarray
    home: torch.device
    processes: Processes
    fitted: DenoisingStatistics | None

    def __post_init__(self) -> None:
        known = np.zeros(self.noise.T + 1) if self.fitted is None else self.fitted.fitted_m
        self.fitted_m = torch.from_numpy(known.copy()).to(self.home)
        self.images_of_group = torch.from_numpy(self.counts).double().to(self.home)

    @property
    def d(self) -> int:
        """Dimensions of one image."""
        return math.prod(self.shape)

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
    """One that fills cells; its row's names begin with `cells.NAME.`, for one NAME or several.

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
        self.total.index_add_(0, seen.group, (seen.error**2).flatten(1).mean(1))

    def agree(self) -> None:
        self.total = self.setting.processes.total(self.total)
        if self.setting.fitted is None:
            # All images at one t before the next t: others look a second time, and m_t is known by then.
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
        return OUTPUTS[self.output].place(second).flatten()

    def begin(self, t: int) -> None:
        home = self.setting.home
        self.reach = torch.full((2,), -math.inf, dtype=torch.float64, device=home)  # max of -y and of y
        self.bins = torch.zeros((2, PLACES), dtype=torch.float64, device=home)

    def look(self, seen: Seen) -> None:
        y = self._place(seen)
        self.reach = torch.maximum(self.reach, double(torch.stack([-y.min(), y.max()])))

    def agree(self) -> None:
        ends = self.setting.processes.largest(self.reach) * torch.tensor([-1.0, 1.0], device=self.setting.home)
        self.low, self.high = ends

    def look_again(self, seen: Seen) -> None:
        self.bins += histogram(double(self._place(seen)), (seen.error**2).flatten(), self.low, self.high)

    def row(self) -> dict[str, Tensor]:
        mass, error = self.setting.processes.total(self.bins) / (self.setting.counts.sum() * self.setting.d)
        rows = {"low": self.low, "high": self.high, "mass": mass, "error": error}
        return {f"cells.{self.output}.{name}": values for name, values in rows.items()}


class Sorted(NamedTuple):
    """Coefficients of some colour axes, sorted by a score: those of several families where these sort alike."""

    score: Score
    weights: Weights
    names: list[str]


class Scored(CellObserver):
    """The errors of coefficients in cells by their scores, in the blocks that suit each timestep best.

    On training images the weights of the scores are fitted in the first look, for each kind of blocks, to whole groups
    of images with `FEW` coefficients or more (never with more than twice as many). The kind is kept under which those
    images are cheapest by least squares, for brightness and for colours apart; then weights by likelihood are tried for
    it. On held-out images all that is the training images'.

    One observer serves all families of that kind: what two of them have in common is fitted and sorted once.
    """

    basis = AxisBlocks.name

    def __init__(self, setting: Setting):
        super().__init__(setting)
        fitted, shape = setting.fitted, setting.shape
        families = [family for family in FAMILIES.values() if isinstance(family, Spectral)]
        known = [family for family in families if fitted is None or family.cells in fitted.cells]
        self.scores: dict[tuple[int, tuple[int, int]], Score] = {}
        coefficients = setting.counts.sum() * setting.d
        self.few = math.ceil(len(setting.counts) * min(1, FEW / coefficients))  # so many groups
        # Image i is in group i % G: where one group is more than enough, so many images of it are.
        self.first = math.ceil(2 * FEW / (self.few * setting.d)) * len(setting.counts)
        number = np.arange(setting.counts.sum())
        chosen = ((number % len(setting.counts) < self.few) & (number < self.first)).sum()
        _, height, width = planes(shape)

        def tried(blocks: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
            smallest, *larger = blocks
            return [smallest, *(each for each in larger if chosen * height * width >= LEAST * math.prod(each))]

        self.candidates = {family.cells: [tried(blocks) for blocks in family.candidates(shape)] for family in known}

    def begin(self, t: int) -> None:
        zeros = partial(torch.zeros, dtype=torch.float64, device=self.setting.home)
        self.t, self.kept = t, [torch.zeros((2, 0, *self.setting.shape), device=self.setting.home)]
        self.sums = {name: zeros((2, len(self.setting.counts) * BINS)) for name in self.candidates}

    def look(self, seen: Seen) -> None:
        if self.setting.fitted is not None:
            return
        chosen = (seen.group < self.few) & (seen.number < self.first)
        if chosen.any():
            self.kept.append(torch.stack([seen.images[chosen], seen.prediction.x0[chosen]]).to(self.setting.home))

    def agree(self) -> None:
        fitted = self.setting.fitted
        if fitted is None:
            self.maps = self._cheapest()
        else:
            known = {name: fitted.cells[name].maps.items() for name in self.sums}
            self.maps = {name: {part: torch.as_tensor(rows[self.t]) for part, rows in known[name]} for name in known}
        self.weights = {name: Weights.of(maps) for name, maps in self.maps.items()}
        self.sorted: list[Sorted] = []
        for name, maps in self.maps.items():
            for axis, block in enumerate(AxisBlocks.of(self.setting.shape, maps["block"]).block_of_axes):
                score = self._score(axis, block)
                weights = score.own(self.weights[name])
                alike = [each for each in self.sorted if each.score is score and each.weights.equal(weights)]
                if alike:
                    alike[0].names.append(name)
                else:
                    self.sorted.append(Sorted(score, weights, [name]))

    def _score(self, axis: int, block: tuple[int, int]) -> Score:
        """The same for all who ask for the same."""
        if (axis, block) not in self.scores:
            shape = self.setting.shape
            self.scores[axis, block] = Score(BlockDct(shape, block), axes_of(shape)[axis])
        return self.scores[axis, block]

    def _cheapest(self) -> dict[str, dict[str, Tensor]]:
        """For each name the blocks, and the weights, under which the images that are kept are cheapest: as maps."""
        x_0, xhat_0 = torch.cat(self.kept, 1)
        self.kept.clear()
        guess, error, m = Guess(xhat_0), images_last(x_0 - xhat_0), self.setting.fitted_m[self.t]

        @cache
        def fit(axis: int, block: tuple[int, int]) -> ScoreFit:
            score = self._score(axis, block)
            return ScoreFit(score, *evidence(score, guess, error), m, self.setting.processes)

        best = {}
        for name, candidates in self.candidates.items():
            sides = tuple(min(each, key=lambda block: fit(axis, block).price) for axis, each in enumerate(candidates))
            parts = [fit(axis, block).weights for axis, block in enumerate(sides)]
            # One size, whatever is chosen.
            largest = [max(self._score(0, block).sizes[i] for each in candidates for block in each) for i in range(3)]
            padded = [part.padded(*largest) for part in parts]
            weights = Weights(*(torch.cat(part) for part in zip(*padded, strict=True)))
            best[name] = {"block": torch.tensor(sides).flatten(), **weights.packed()}
        return best

    def look_again(self, seen: Seen) -> None:
        home = self.setting.home
        error = images_last(seen.images - seen.prediction.x0)
        for score, weights, names in self.sorted:
            cells = score.place(score.of(seen.guess, weights)).to(home) + seen.group * BINS
            sums = in_cells(cells, score.energies(error).to(home), len(self.setting.counts) * BINS)
            for name in names:
                self.sums[name] += sums

    def row(self) -> dict[str, Tensor]:
        setting, rows = self.setting, dict[str, Tensor]()
        for name, of_cells in self.sums.items():
            sums = setting.processes.total(of_cells).view(2, -1, BINS)
            mass, error = sums.sum(1) / (setting.counts.sum() * setting.d)
            of_group = sums.unflatten(2, (PARTS, -1)).sum(3) / (setting.images_of_group * setting.d)[:, None]
            row = {
                "mass": mass,
                "error": error,
                "mass_of_group": of_group[0],
                "error_of_group": of_group[1],
                **{f"map.{part}": values for part, values in self.maps[name].items()},
            }
            rows |= {f"cells.{name}.{part}": values for part, values in row.items()}
        return rows


# Who fills which cells, by their names; a new kind of cells has its line here.
OBSERVERS: dict[str, Callable[[Setting], CellObserver]] = {
    ALL: MeanError,
    **{output: partial(Histogram, output=output) for output in OUTPUTS},
    **{family.cells: Scored for family in FAMILIES.values() if isinstance(family, Spectral)},
}


def observed_families(denoiser: Denoiser) -> list[ReverseVariance]:
    """The families that this denoiser's answers can feed."""
    families = (family.reading(denoiser.second) for family in FAMILIES.values())
    return [family for family in families if family.output in (None, denoiser.second)]


def cell_observers(families: list[ReverseVariance], setting: Setting) -> dict[str, CellObserver]:
    """Who fills the cells that price these families, by the cells' names; m_t comes first, as others ask for it.

    One observer may fill those of several names.

    Cells that training statistics of an earlier edition have not cannot be sorted in the same way: they are left out.
    """
    names = dict.fromkeys([ALL, *(family.cells for family in families)])
    known = [name for name in names if setting.fitted is None or name in setting.fitted.cells]
    made = {kind: kind(setting) for kind in dict.fromkeys(OBSERVERS[name] for name in known)}
    return {name: made[OBSERVERS[name]] for name in known}


def histogram(y: Tensor, e2: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(2, PLACES) sums of 1 and e^2 of coordinates y (n,) in bins from low to high, as `Cells` describes them."""
    # In place: these are many numbers, and new memory costs more than the arithmetic.
    place = (y - low).div_((high - low).clamp(min=1e-12)).mul_(PLACES - 1).nan_to_num_()  # bins refuse NaN
    left = place.long().clamp_(0, PLACES - 2)
    share = place.sub_(left)
    sums = []
    for weight in (torch.ones_like(low), e2):
        right = share * weight
        here, next_ = (torch.bincount(left, part, PLACES) for part in (weight - right, right))
        sums.append(here + next_.roll(1))
    return torch.stack(sums)


def double(tensor: Tensor) -> Tensor:
    """float64, on the CPU where the device (Apple's MPS) has none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()

"""The score of a coefficient: a guess at the size of its error, from xhat_0 alone. It sorts coefficients into cells.

Let e be the error of a coefficient of frequency (i, j) and colour axis c in a block of an image (`bases.BlockDct`; a
block may be a single pixel). The guess at log e^2 is linear in features that the sampler knows at x_t, logarithms of

    own          the energy (the square) of xhat_0's coefficient
    around       the mean energy of that frequency in the 3x3 blocks around
    beside       the mean energy of the 3x3 frequencies around, in this block
    contrast     of xhat_0 in this block, the mean absolute difference between neighbouring pixels, over all channels
    room         how far xhat_0 is from the ends of [-1, 1] in this block

and in the squares of the first three.

Each frequency and axis has its own constant; each band of frequencies and axis has its own slopes. Both are fitted to
training images by maximum likelihood, errors being Gaussian. Where xhat_0 is busy, its errors are large, though less
and less so (the squares); a flat background at the end of the range is nearly certain. Nothing but xhat_0 is asked for:
so any pretrained DDPM has a score.

What sorts need not be right: the score only says which coefficients are alike. How large their errors are is measured
in each of BINS cells, evenly spaced in score - log m_t.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ddpm_dp.variances.bases import AxisBlocks, BlockDct, images_last, mixes_colours

if TYPE_CHECKING:
    from torch import Tensor

BINS = 40
LOW, HIGH = -7.0, 3.0  # of score - log m_t; the first and the last cell are open to the outside
FEATURES = 8
# Added before a logarithm: energy in [-1, 1]'s units squared, contrast in its units, room as 1 - x^2.
SMALLEST_ENERGY, SMALLEST_CONTRAST, SMALLEST_ROOM = 1e-7, 1e-4, 1e-3
# Weights are multiples of these: bins are a quarter wide, and such numbers take less room in a file. (A held-out
# coefficient of Tiny ImageNet at delta m_t = 1: constants twice as fine save nothing, slopes half as fine cost 0.0002.)
FINEST = 1 / 16, 1 / 128  # constants, slopes
MOST = 2**15 - 1  # so many of them


class Weights(NamedTuple):
    """What is fitted: the numbers of a score.

    Attributes:
        constants: (channels, block height, block width), or larger: what is beyond is not looked at.
        slopes: (channels, bands, FEATURES), or more bands; fewer features in files of an earlier version: 0 for others.

    A score finds those of its `axes` among all channels.
    """

    constants: Tensor
    slopes: Tensor

    @classmethod
    def of(cls, maps: Mapping[str, Any]) -> Weights:
        """From the maps of one timestep, where they have the same names.

        Raises ValueError if they are those of another version.
        """
        import torch

        if missing := {*cls._fields} - {*maps}:
            raise ValueError(
                f"What was fitted lacks {' and '.join(sorted(missing))}: an earlier version sorted in another way. "
                "Measure again."
            )
        if (given := maps["slopes"].shape[-1]) > FEATURES:
            raise ValueError(f"What was fitted has {given} slopes, this version {FEATURES}: update ddpm_dp.")
        parts = zip(cls._fields, FINEST, strict=True)
        return cls(*(_unpacked(torch.as_tensor(maps[name]), step) for name, step in parts))

    def packed(self) -> dict[str, Tensor]:
        """The maps that `of` reads: whole numbers of steps of FINEST; what is not a number sorts nothing, as 0 does."""
        import torch

        parts = zip(self._fields, self, FINEST, strict=True)
        return {
            name: (each / step).nan_to_num(0).round().clamp(-MOST, MOST).to(torch.int16) for name, each, step in parts
        }

    def rounded(self) -> Weights:
        """As they are kept: any weights sort, so these are rounded before they do."""
        return self.of(self.packed())

    def padded(self, height: int, width: int, bands: int) -> Weights:
        """With zeros for frequencies and bands that its blocks do not have."""
        from torch.nn.functional import pad

        (_, down, across), own_bands = self.constants.shape, self.slopes.shape[1]
        constants = pad(self.constants, (0, width - across, 0, height - down))
        return Weights(constants, pad(self.slopes, (0, 0, 0, bands - own_bands)))

    def equal(self, other: Weights) -> bool:
        """Whether all numbers are the same."""
        return all(a.equal(b) for a, b in zip(self, other, strict=True))


def _unpacked(values: Tensor, step: float) -> Tensor:
    """Earlier files have the numbers themselves."""
    return values if values.is_floating_point() else values.float() * step


@dataclass(frozen=True, eq=False)
class Guess:
    """xhat_0 as scores look at it: what several of them ask for is computed once.

    Args:
        xhat_0: (n, *shape).
    """

    xhat_0: Tensor

    @cached_property
    def images(self) -> Tensor:
        """(channels, height, width, n)."""
        return images_last(self.xhat_0)

    @cached_property
    def contrast(self) -> Tensor:
        """(1, height, width, n) mean absolute difference to the neighbours, over four sides and all channels."""
        import torch

        total = torch.zeros_like(self.images[0])
        for axis in (0, 1):
            differences = self.images.diff(dim=1 + axis).abs().mean(0)
            n = differences.shape[axis]
            total.narrow(axis, 1, n).add_(differences)
            total.narrow(axis, 0, n).add_(differences)
        return (total / 4)[None]

    @cached_property
    def room(self) -> Tensor:
        """(channels, height, width, n) how far xhat_0 is from -1 and 1; the mean of all channels where they mix."""
        room = 1 - self.images.clamp(-1, 1) ** 2
        return room.mean(0, keepdim=True) if mixes_colours(tuple(self.xhat_0.shape[1:])) else room


@dataclass(frozen=True, eq=False)
class Score:
    """Scores of coefficients in one basis.

    Args:
        basis: the blocks, and what a band is.
        axes: which channels of the coefficients are looked at.
    """

    basis: BlockDct
    axes: slice = field(default_factory=lambda: slice(None))

    @property
    def channels(self) -> int:
        """How many channels are looked at."""
        return len(range(self.basis.planes[0])[self.axes])

    @cached_property
    def bands(self) -> int:
        """How many bands there are."""
        return int(self.basis.bands.max()) + 1

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Height and width of a block, and how many bands there are."""
        return (*self.basis.block, self.bands)

    @property
    def layout(self) -> tuple[int, int, int, int, int]:
        """(channels, blocks down, block height, blocks across, block width): images follow, innermost.

        Neighbours of a coefficient are then far from each other in memory, but whole rows of images are taken at once.
        """
        (down, across), (height, width) = self.basis.blocks, self.basis.block
        return self.channels, down, height, across, width

    def by_frequency(self, values: Tensor) -> Tensor:
        """(*layout, n) -> (channels, block height, block width, blocks down, blocks across, n)."""
        return values.permute(0, 2, 4, 1, 3, 5)

    def energies(self, images: Tensor) -> Tensor:
        """(*layout, n) squares of the coefficients of images (channels, height, width, n)."""
        return self.basis.turned(images, self.axes).square().view(*self.layout, images.shape[-1])

    def features(self, guess: Guess) -> Iterator[Tensor]:
        """FEATURES tensors that broadcast to (*layout, n), one after the other: what was used can be forgotten."""

        def square(feature: Tensor) -> Tensor:
            return feature * (feature / 10)  # of the size of the others: one rounding suits all

        energies = self.energies(guess.images)
        own = (energies + SMALLEST_ENERGY).log_()
        yield own
        yield square(own)
        around = _smooth(_smooth(energies, 1), 3).add_(SMALLEST_ENERGY).log_()
        yield around
        alone = self.basis.block == (1, 1)
        beside = own if alone else _smooth(_smooth(energies, 2), 4).add_(SMALLEST_ENERGY).log_()
        yield beside
        yield self._of_blocks(guess.contrast, SMALLEST_CONTRAST)
        yield self._of_blocks(guess.room if len(guess.room) == 1 else guess.room[self.axes], SMALLEST_ROOM)
        # Those that came later stand last: weights of an earlier version have no slopes for them.
        yield square(around)
        yield square(beside)

    def _of_blocks(self, images: Tensor, smallest: float) -> Tensor:
        """The logarithm of each block's mean: (channels, blocks down, 1, blocks across, 1, n)."""
        _, down, height, across, width = self.layout
        blocks = images.view(len(images), down, height, across, width, -1)
        for axis in (4, 2):  # one, then the other: both at once takes twice as long; to take no mean is the fastest
            blocks = blocks if blocks.shape[axis] == 1 else blocks.mean(axis, keepdim=True)
        return (blocks + smallest).log_()

    def own(self, weights: Weights) -> Weights:
        """Those of its axes, frequencies and bands alone, of weights for all."""
        height, width, bands = self.sizes
        return Weights(weights.constants[self.axes, :height, :width], weights.slopes[self.axes, :bands])

    def of(self, guess: Guess, weights: Weights) -> Tensor:
        """score - log m_t, (*layout, n), under weights of its `own`."""
        constants, slopes = (each.to(guess.xhat_0) for each in weights)

        def spread(values: Tensor) -> Tensor:
            """(channels, block height, block width), each where its frequency stands in a block."""
            return values[:, None, :, None, :, None]

        _, down, _, across, _ = self.layout
        score = spread(constants).repeat(1, down, 1, across, 1, len(guess.xhat_0))
        for slope, feature in zip(slopes[:, self.basis.bands].unbind(-1), self.features(guess), strict=False):
            score.addcmul_(feature, spread(slope))
        return score

    def cells(self, guess: Guess, weights: Weights) -> Tensor:
        """The cell of each coefficient, (n, channels, height, width)."""
        cells = self.place(self.of(guess, self.own(weights)))
        return cells.flatten(3, 4).flatten(1, 2).movedim(-1, 0)

    def place(self, score: Tensor) -> Tensor:
        """The cell of each score - log m_t, integers 0 .. BINS - 1."""
        return ((score - LOW) * (BINS / (HIGH - LOW))).nan_to_num_().clamp_(0, BINS - 1).long()


def cells_in(basis: AxisBlocks, xhat_0: Tensor, weights: Weights) -> Tensor:
    """The cell of each coefficient, (n, *shape): each axis by the score of its own blocks."""
    import torch

    guess = Guess(xhat_0)
    cells = [Score(part, axes).cells(guess, weights) for part, axes in basis.parts]
    return torch.cat(cells, 1).reshape(xhat_0.shape)


def _smooth(values: Tensor, dim: int) -> Tensor:
    """The mean of each value and its two neighbours along one axis, the ends repeated."""
    n = values.shape[dim]
    if n == 1:
        return values.clone()
    third = values / 3
    total = third.clone()
    for here, neighbour in ((0, 0), (n - 1, n - 1)):
        total.narrow(dim, here, 1).add_(third.narrow(dim, neighbour, 1))
    total.narrow(dim, 1, n - 1).add_(third.narrow(dim, 0, n - 1))
    total.narrow(dim, 0, n - 1).add_(third.narrow(dim, 1, n - 1))
    return total

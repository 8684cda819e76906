"""The score of a coefficient: a guess at the size of its error, from xhat_0 alone. It sorts coefficients into cells.

Let e be the error of a coefficient of frequency (i, j) and colour axis c in a block of an image (`bases.BlockDct`; a
block may be a single pixel). The guess at log e^2 is linear in features that the sampler knows at x_t, logarithms of

    own          the energy (the square) of xhat_0's coefficient, and the square of this logarithm
    around       the mean energy of that frequency in the 3x3 blocks around
    beside       the mean energy of the 3x3 frequencies around, in this block
    contrast     of xhat_0 in this block, the mean absolute difference between neighbouring pixels, over all channels
    room         how far xhat_0 is from the ends of [-1, 1] in this block.

Each frequency and axis has its own constant; each band of frequencies and axis has its own slopes. Both are fitted to
training images by maximum likelihood, errors being Gaussian. Where xhat_0 is busy, its errors are large, though less
and less so (the square); a flat background at the end of the range is nearly certain. Nothing but xhat_0 is asked for:
so any pretrained DDPM has a score.

What sorts need not be right: the score only says which coefficients are alike. How large their errors are is measured
in each of BINS cells, evenly spaced in score - log m_t.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ddpm_dp.variances.bases import AxisBlocks, BlockDct, mixes_colours

if TYPE_CHECKING:
    from torch import Tensor

BINS = 40
LOW, HIGH = -7.0, 3.0  # of score - log m_t; the first and the last cell are open to the outside
FEATURES = 6
# Added before a logarithm: energy in [-1, 1]'s units squared, contrast in its units, room as 1 - x^2.
SMALLEST_ENERGY, SMALLEST_CONTRAST, SMALLEST_ROOM = 1e-7, 1e-4, 1e-3
FINEST = 256  # weights are multiples of 1 / FINEST: bins are a quarter wide, and such numbers take less room in a file


class Weights(NamedTuple):
    """What is fitted: the numbers of a score.

    Attributes:
        constants: (channels, block height, block width), or larger: what is beyond is not looked at.
        slopes: (channels, bands, FEATURES), or more bands. A score finds those of its `axes` among all channels.
    """

    constants: Tensor
    slopes: Tensor

    @classmethod
    def of(cls, maps: Mapping[str, Any]) -> Weights:
        """From the maps of one timestep, where they have the same names.

        Raises ValueError if they are those of an earlier version.
        """
        import torch

        if missing := {*cls._fields} - {*maps}:
            raise ValueError(
                f"What was fitted lacks {' and '.join(sorted(missing))}: an earlier version sorted in another way. "
                "Measure again."
            )
        return cls(*(torch.as_tensor(maps[name]) for name in cls._fields))

    def padded(self, height: int, width: int, bands: int) -> Weights:
        """With zeros for frequencies and bands that its blocks do not have."""
        from torch.nn.functional import pad

        (_, down, across), own_bands = self.constants.shape, self.slopes.shape[1]
        constants = pad(self.constants, (0, width - across, 0, height - down))
        return Weights(constants, pad(self.slopes, (0, 0, 0, bands - own_bands)))

    def rounded(self) -> Weights:
        """As they are kept: any weights sort, so these are rounded before they do."""
        return Weights(*((each * FINEST).round().float() / FINEST for each in self))


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

    def by_frequency(self, values: Tensor) -> Tensor:
        """(n, channels, height, width), or what broadcasts to it -> (channels, frequencies, n x blocks)."""
        whole = values.expand(-1, self.channels, -1, -1)
        return self.basis.split(whole).permute(1, 3, 5, 0, 2, 4).flatten(3).flatten(1, 2)

    def energies(self, images: Tensor) -> Tensor:
        """(n, channels, height, width) squares of the coefficients."""
        return self.basis.coefficients(images).reshape(-1, *self.basis.planes)[:, self.axes].square()

    def features(self, xhat_0: Tensor) -> list[Tensor]:
        """FEATURES tensors that broadcast to (n, channels, height, width), each coefficient's where it stands."""
        images, energies = xhat_0.reshape(-1, *self.basis.planes), self.energies(xhat_0)
        blocks = self.basis.split(energies)  # (n, channels, blocks down, block height, blocks across, block width)
        around, beside = (_smooth(_smooth(blocks, first), second) for first, second in ((2, 4), (3, 5)))
        own, around, beside = ((x.reshape(energies.shape) + SMALLEST_ENERGY).log() for x in (blocks, around, beside))
        room = 1 - images.clamp(-1, 1) ** 2
        room = room.mean(1, keepdim=True) if mixes_colours(self.basis.shape) else room[:, self.axes]
        contrast = self._of_blocks(_contrast(images), SMALLEST_CONTRAST)
        # A tenth of the square: of the size of the others, so that one rounding suits all.
        return [own, own**2 / 10, around, beside, contrast, self._of_blocks(room, SMALLEST_ROOM)]

    def _of_blocks(self, images: Tensor, smallest: float) -> Tensor:
        """The logarithm of each block's mean, at all its pixels."""
        height, width = self.basis.block
        # One axis, then the other: both at once takes twice as long.
        means = images.unflatten(3, (-1, width)).mean(4).unflatten(2, (-1, height)).mean(3)
        return (means + smallest).log().repeat_interleave(height, 2).repeat_interleave(width, 3)

    def of(self, features: list[Tensor], weights: Weights) -> Tensor:
        """score - log m_t, (n, channels, height, width)."""
        height, width = self.basis.block
        constants, slopes = (each[self.axes].to(features[0]) for each in weights)
        slopes = slopes[:, self.basis.bands]  # (channels, block height, block width, FEATURES)
        score = constants[:, :height, :width].tile(1, *self.basis.blocks)
        for feature, slope in zip(features, slopes.unbind(-1), strict=True):
            score = score + feature * slope.tile(1, *self.basis.blocks)
        return score

    def cells(self, xhat_0: Tensor, weights: Weights) -> Tensor:
        """The cell of each coefficient, (n, channels, height, width)."""
        return self.place(self.of(self.features(xhat_0), weights))

    def place(self, score: Tensor) -> Tensor:
        """The cell of each score - log m_t, integers 0 .. BINS - 1."""
        return ((score - LOW) * (BINS / (HIGH - LOW))).nan_to_num().clamp(0, BINS - 1).long()


def cells_in(basis: AxisBlocks, xhat_0: Tensor, weights: Weights) -> Tensor:
    """The cell of each coefficient, (n, *shape): each axis by the score of its own blocks."""
    import torch

    cells = [Score(part, axes).cells(xhat_0, weights) for part, axes in basis.parts]
    return torch.cat(cells, 1).reshape(xhat_0.shape)


def _smooth(values: Tensor, dim: int) -> Tensor:
    """The mean of each value and its two neighbours along one axis, the ends repeated."""
    import torch

    n = values.shape[dim]
    if n == 1:
        return values
    wide = torch.cat([values.narrow(dim, 0, 1), values, values.narrow(dim, n - 1, 1)], dim)
    return (wide.narrow(dim, 0, n) + values + wide.narrow(dim, 2, n)) / 3


def _contrast(images: Tensor) -> Tensor:
    """(n, 1, height, width) mean absolute difference to the neighbours, over four sides and all channels."""
    from torch.nn.functional import pad

    down, across = (images.diff(dim=dim).abs().mean(1, keepdim=True) for dim in (2, 3))
    above, below = (pad(down, (0, 0, *ends)) for ends in ((1, 0), (0, 1)))
    left, right = (pad(across, ends) for ends in ((1, 0), (0, 1)))
    return (above + below + left + right) / 4

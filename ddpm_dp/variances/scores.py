"""The score of a coefficient: a guess at the size of its error, from xhat_0 alone. It sorts coefficients into cells.

Let e be the error of a coefficient of frequency band f and colour axis c in a block of an image (`bases.BlockDct`; a
block may be a single pixel). The guess at log e^2 is linear in four features that the sampler knows at x_t,

    log(energy of xhat_0 in that band of that block), and its square,   log(contrast of xhat_0 in that block),
    log(room: how far xhat_0 is from the ends of [-1, 1] in that block),

with five numbers for each band and colour axis, fitted by least squares on training images. Where xhat_0 is busy, its
errors are large, though less and less so (the square); a flat background at the end of the range is nearly certain.
Nothing but xhat_0 is asked for: so any pretrained DDPM has a score.

What sorts need not be right: the score only says which coefficients are alike. How large their errors are is measured
in each of BINS cells, evenly spaced in score - log m_t.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ddpm_dp.variances.bases import BlockDct

if TYPE_CHECKING:
    from torch import Tensor

BINS = 40
LOW, HIGH = -7.0, 3.0  # of score - log m_t; the first and the last cell are open to the outside
FEATURES = 5  # with the constant
# Added before a logarithm: energy in [-1, 1]'s units squared, contrast in its units, room as 1 - x^2.
SMALLEST_ENERGY, SMALLEST_CONTRAST, SMALLEST_ROOM = 1e-7, 1e-4, 1e-3
FLOOR = 1e-2  # of a band's mean energy, added to what is fitted: the logarithm of an error of 0 is not asked for
RIDGE = 1e-4  # of the number of blocks: features that never change (the contrast of a point) get no weight


@dataclass(frozen=True)
class Score:
    """Scores of images in one basis.

    Args:
        basis: the blocks, and what a band is.
    """

    basis: BlockDct

    @cached_property
    def bands(self) -> int:
        """How many bands there are."""
        return int(self.basis.bands.max()) + 1

    @cached_property
    def sizes(self) -> np.ndarray:
        """(bands,) how many frequencies are in each band."""
        return np.bincount(self.basis.bands.ravel())

    @cached_property
    def share(self) -> np.ndarray:
        """(block height x block width, bands) the share that a frequency has in the mean of its band."""
        members = self.basis.bands.ravel()[:, None] == np.arange(self.bands)
        return members / np.maximum(members.sum(0), 1)

    def energies(self, coefficients: Tensor) -> Tensor:
        """(n, channels, blocks down, blocks across, bands) mean square of each band of each block."""
        import torch

        squares = self.basis.split(coefficients**2).transpose(3, 4).flatten(-2)
        # Points are their own bands; a product with the number 1 takes as long as all else here.
        return squares if len(self.share) == 1 else squares @ torch.from_numpy(self.share).to(squares)

    def _features(self, xhat_0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log energy of each band, log contrast, log room: (n, channels, blocks down, blocks across, bands or 1)."""

        def mean_of_blocks(images: Tensor) -> Tensor:
            height, width = self.basis.block
            parts = images.unflatten(3, (-1, width)).unflatten(2, (-1, height))
            # One axis, then the other: both at once takes twice as long.
            return parts.mean(3).mean(4).expand(-1, self.basis.planes[0], -1, -1)[..., None]

        images = xhat_0.reshape(len(xhat_0), *self.basis.planes)
        own = (self.energies(self.basis.coefficients(xhat_0)) + SMALLEST_ENERGY).log()
        contrast = (mean_of_blocks(_contrast(images)) + SMALLEST_CONTRAST).log()
        room = (mean_of_blocks(1 - images.clamp(-1, 1) ** 2) + SMALLEST_ROOM).log()
        return own, contrast, room

    def features(self, xhat_0: Tensor) -> Tensor:
        """(n, channels, blocks down, blocks across, bands, FEATURES)."""
        import torch

        own, *of_block = self._features(xhat_0)
        # A tenth of the square: of the size of the others, so that 16 bits hold all weights alike.
        return torch.stack([torch.ones_like(own), own, own**2 / 10, *(each.expand_as(own) for each in of_block)], -1)

    def of(self, features: Tensor, weights: Tensor) -> Tensor:
        """score - log m_t, (n, channels, blocks down, blocks across, bands); `weights` (channels, bands, FEATURES)."""
        return (features * weights[:, None, None, : self.bands]).sum(-1)

    def places(self, xhat_0: Tensor, weights: Tensor) -> Tensor:
        """The cell of each band, as `place(of(features(xhat_0), weights))`, without writing out all features."""
        own, contrast, room = self._features(xhat_0)
        constant, once, square, of_contrast, of_room = weights.to(own)[:, None, None, : self.bands].unbind(-1)
        return self.place((square / 10 * own + once) * own + (contrast * of_contrast + room * of_room + constant))

    def place(self, score: Tensor) -> Tensor:
        """The cell of each band, 0 .. BINS - 1, from its score - log m_t."""
        return ((score - LOW) * (BINS / (HIGH - LOW))).nan_to_num().clamp(0, BINS - 1).long()

    def cells(self, xhat_0: Tensor, weights: Tensor) -> Tensor:
        """The cell of each coefficient, (n, *shape)."""
        return self.spread(self.places(xhat_0, weights))

    def spread(self, place: Tensor) -> Tensor:
        """What is given for each band, for each of its coefficients, (n, *shape)."""
        import torch

        band = torch.from_numpy(self.basis.bands).to(place.device)
        cells = place[..., band]  # (n, channels, down, across, block height, block width)
        return cells.transpose(3, 4).reshape(len(place), *self.basis.shape)


def _contrast(images: Tensor) -> Tensor:
    """(n, 1, height, width) mean absolute difference to the neighbours, over four sides and all channels."""
    from torch.nn.functional import pad

    down, across = (images.diff(dim=dim).abs().mean(1, keepdim=True) for dim in (2, 3))
    above, below = (pad(down, (0, 0, *ends)) for ends in ((1, 0), (0, 1)))
    left, right = (pad(across, ends) for ends in ((1, 0), (0, 1)))
    return (above + below + left + right) / 4

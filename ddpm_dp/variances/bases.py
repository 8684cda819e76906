"""Orthonormal bases of an image: where the covariance of a reverse step is diagonal."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ddpm_dp.registry import Whole

if TYPE_CHECKING:
    from torch import Tensor

# Brightness, red against green, and blue against both: natural colours vary along these nearly independently.
COLOURS = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])


class Basis(Whole, abstract=True):
    """An orthonormal map Phi of images (n, *shape), and its inverse Phi^T; both keep the shape.

    White noise stays white under Phi, and squared lengths stay what they are: so a step's price is the same sum, over
    coefficients in place of pixels.
    """

    name: str

    @abstractmethod
    def coefficients(self, images: Tensor) -> Tensor:
        """Phi x for each image."""

    @abstractmethod
    def images(self, coefficients: Tensor) -> Tensor:
        """Phi^T c for each image's coefficients."""


class Pixels(Basis):
    """The identity: each coefficient is a pixel's colour."""

    name = "pixels"

    def coefficients(self, images: Tensor) -> Tensor:
        return images

    def images(self, coefficients: Tensor) -> Tensor:
        return coefficients


PIXELS = Pixels()


@dataclass(frozen=True)
class BlockDct(Basis):
    """The discrete cosine transform (DCT-II, orthonormal) of each block of an image, after a rotation of its colours.

    The coefficient of frequencies (i, j) of a block stands where pixel (i, j) of that block stood, and the colour axes
    where the channels did: so coefficients keep the shape of the image. Three channels are rotated (`COLOURS`), any
    other number stays as it is; blocks of one pixel leave pixels as they are.

    Args:
        shape: of one image: (channels, height, width), (height, width), or (d,), which has no neighbours: d channels of
            one pixel.
        block: the block's height and width, divisors of the image's.

    Raises ValueError if the block does not divide the image.

    >>> import torch
    >>> flat = BlockDct((1, 8, 8), (4, 4)).coefficients(torch.ones(1, 1, 8, 8))
    >>> flat[0, 0, 0].tolist()  # the mean of each block, times its side, and no other frequency
    [4.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0]
    """

    shape: tuple[int, ...]
    block: tuple[int, int]
    name = "block DCT"

    def __post_init__(self) -> None:
        _, height, width = self.planes
        if height % self.block[0] or width % self.block[1]:
            raise ValueError(f"Blocks of {self.block} do not divide images of shape {self.shape}; give divisors.")

    @property
    def planes(self) -> tuple[int, int, int]:
        """The shape as (channels, height, width)."""
        return planes(self.shape)

    @property
    def blocks(self) -> tuple[int, int]:
        """How many blocks an image has, down and across."""
        _, height, width = self.planes
        return height // self.block[0], width // self.block[1]

    @cached_property
    def bands(self) -> np.ndarray:
        """(block height, block width) which band a frequency (i, j) is in: hypot(i, j), rounded.

        In a block that is not square the frequencies of the shorter side count for more, as cycles per pixel do.
        """
        side = max(self.block)
        i, j = (np.arange(n) * side / n for n in self.block)
        return np.hypot(i[:, None], j).round().astype(np.int64)

    def coefficients(self, images: Tensor, axes: slice = slice(None)) -> Tensor:
        """Phi x for each image; of some channels of the coefficients alone, if asked: that is less work."""
        return self._of(images, axes, inverse=False)

    def images(self, coefficients: Tensor, axes: slice = slice(None)) -> Tensor:
        """Phi^T c for each image's coefficients; those of all but some channels are 0, and not given."""
        return self._of(coefficients, axes, inverse=True)

    def _of(self, images: Tensor, axes: slice, inverse: bool) -> Tensor:
        turned = self.turned(images_last(images), axes, inverse).movedim(-1, 0)
        return turned if mixes_colours(self.shape) else turned.reshape(images.shape)

    def turned(self, images: Tensor, axes: slice = slice(None), inverse: bool = False) -> Tensor:
        """As `coefficients` or, if `inverse`, as `images`; from and to (channels, height, width, n).

        With images innermost, whole rows of them are multiplied at once, however small the blocks are.
        """
        import torch

        def like(matrix: np.ndarray) -> Tensor:
            return torch.from_numpy(matrix.T if inverse else matrix).to(images)

        _, height, width, n = images.shape
        down, across = self.block
        if mixes_colours(self.shape):
            images = (like(COLOURS[axes]) @ images.flatten(1)).unflatten(1, (height, width, n))
        rows, shape = len(images) * height, images.shape
        if down > 1:
            images = like(dct(down)) @ images.reshape(rows // down, down, width * n)
        if across > 1:
            images = like(dct(across)) @ images.reshape(rows * (width // across), across, n)
        return images.reshape(shape)


@dataclass(frozen=True)
class AxisBlocks(Basis):
    """Block DCTs with blocks of one size for brightness, and of another for the two other colour axes.

    Colours vary more slowly than brightness does; JPEG halves their resolution. Images without a rotation of colours
    have one size for all channels.

    Args:
        shape: of one image.
        block_of_axes: height and width for each of `axes_of(shape)`.

    Raises ValueError if a block does not divide the image (when it is used).

    >>> import torch
    >>> basis = AxisBlocks((3, 16, 16), ((8, 8), (16, 16)))
    >>> white = basis.coefficients(torch.ones(1, 3, 16, 16))[0]
    >>> [round(c.item(), 2) for c in white[0, 0, ::8]]  # each block's mean brightness: sqrt(3) times its side
    [13.86, 13.86]
    """

    shape: tuple[int, ...]
    block_of_axes: tuple[tuple[int, int], ...]
    name = "block DCT"

    @classmethod
    def of(cls, shape: tuple[int, ...], sides: np.ndarray | Tensor) -> AxisBlocks:
        """From the sides of all blocks in a row, as files keep them: height, width, height, width."""
        return cls(shape, tuple((int(height), int(width)) for height, width in sides.reshape(-1, 2)))

    @property
    def parts(self) -> list[tuple[BlockDct, slice]]:
        """What is turned in which blocks: channels of the coefficients; all at once where blocks are alike."""
        if len({*self.block_of_axes}) == 1:
            return [(BlockDct(self.shape, self.block_of_axes[0]), slice(None))]
        return [
            (BlockDct(self.shape, block), axes)
            for block, axes in zip(self.block_of_axes, axes_of(self.shape), strict=True)
        ]

    def coefficients(self, images: Tensor) -> Tensor:
        import torch

        return torch.cat([part.coefficients(images, axes) for part, axes in self.parts], 1)

    def images(self, coefficients: Tensor) -> Tensor:
        import torch

        parts = [part.images(coefficients[:, axes], axes) for part, axes in self.parts]
        return torch.stack(parts).sum(0)


def axes_of(shape: tuple[int, ...]) -> list[slice]:
    """Channels of the coefficients that have blocks in common: brightness and colours, or all."""
    return [slice(0, 1), slice(1, None)] if mixes_colours(shape) else [slice(None)]


def mixes_colours(shape: tuple[int, ...]) -> bool:
    """Whether images of that shape have their colours rotated: channel 0 of the coefficients is then brightness."""
    return len(shape) == 3 and shape[0] == len(COLOURS)


def images_last(images: Tensor) -> Tensor:
    """(n, *shape) -> (channels, height, width, n), in that order in memory."""
    rows = images.flatten(1).t().contiguous()  # of a matrix: three times as fast as of more axes
    return rows.view(*planes(tuple(images.shape[1:])), len(images))


def planes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A shape as (channels, height, width): images as they are, anything else a row of pixels without neighbours."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (1, shape[0], shape[1]) if len(shape) == 2 else (prod(shape), 1, 1)


@cache
def dct(n: int) -> np.ndarray:
    """(n, n) the orthonormal DCT-II as a matrix: row k has the values of cos(pi k (2 i + 1) / (2 n)), scaled."""
    k, i = np.arange(n)[:, None], np.arange(n)
    matrix = np.sqrt(2 / n) * np.cos(np.pi * k * (2 * i + 1) / (2 * n))
    matrix[0] /= np.sqrt(2)
    return matrix


def blocks_for(shape: tuple[int, ...], sides: tuple[int, ...]) -> list[tuple[int, int]]:
    """For each of `sides` the block nearest to it that divides images of that shape: its largest divisors up to it.

    >>> blocks_for((3, 64, 64), (1, 4, 8)), blocks_for((1, 28, 28), (1, 4, 8)), blocks_for((2,), (1, 4, 8))
    ([(1, 1), (4, 4), (8, 8)], [(1, 1), (4, 4), (7, 7)], [(1, 1)])
    """
    _, height, width = planes(shape)

    def divisor(n: int, most: int) -> int:
        return next(side for side in range(most, 0, -1) if n % side == 0)

    return list(dict.fromkeys((divisor(height, side), divisor(width, side)) for side in sides))

"""Orthonormal bases of an image: where the covariance of a reverse step is diagonal."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from ddpm_dp.registry import Whole

if TYPE_CHECKING:
    from torch import Tensor


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

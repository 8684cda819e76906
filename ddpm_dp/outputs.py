"""Second outputs: what a network may say about its own error, beside xhat_0, one number for each coordinate.

Nobody else knows what the letters mean. A network answers a bare number y; `read` turns it into the output, and `place`
into the scale on which its histogram has evenly spaced bins (`statistics/cells.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from ddpm_dp.registry import Registry, Whole

if TYPE_CHECKING:
    from torch import Tensor


class SecondOutput(Whole, abstract=True):
    """One kind of second output; its name is also that of the attribute of `Prediction` that holds it."""

    name: str
    words: str

    @abstractmethod
    def read(self, y: Tensor, sigma2: Tensor) -> Tensor:
        """The output, from our own networks' bare number y and sigma_t^2 (broadcast)."""

    @abstractmethod
    def place(self, output: Tensor) -> Tensor:
        """Where an output lies on the scale of the histogram."""

    @abstractmethod
    def at_place(self, place: np.ndarray) -> np.ndarray:
        """The output that lies there: the inverse of `place`."""


class BetweenBounds(SecondOutput):
    """v: the variance is (sigma_t^2 / sigma_s^2)^v beta~_{t|s}, between the two bounds of Ho et al. 2020.

    v = sigmoid(y), on a scale of v itself (Nichol & Dhariwal 2021, eq. 15).
    """

    name = "v"
    words = "v in [0, 1]: where the variance lies between its two bounds"

    def read(self, y: Tensor, sigma2: Tensor) -> Tensor:
        return y.sigmoid()

    def place(self, output: Tensor) -> Tensor:
        return output

    def at_place(self, place: np.ndarray) -> np.ndarray:
        return place


class SquaredError(SecondOutput):
    """u: a prediction of the network's own squared error, after Bao et al. 2022, "Extended-Analytic-DPM".

    u = sigma_t^2 exp(y), on a scale of log u: sigma_t^2 = 1 / (1 + snr_t) is what the error would be if x_0 were white
    noise. y is cut to [-20, 5], so that u is never 0 or infinite in float32.
    """

    name = "u"
    words = "u above 0: the network's prediction of its own squared error"

    def read(self, y: Tensor, sigma2: Tensor) -> Tensor:
        return sigma2 * y.clamp(-20, 5).exp()

    def place(self, output: Tensor) -> Tensor:
        return output.log()

    def at_place(self, place: np.ndarray) -> np.ndarray:
        return np.exp(place)


OUTPUTS: Registry[SecondOutput] = Registry("second output", [BetweenBounds(), SquaredError()])

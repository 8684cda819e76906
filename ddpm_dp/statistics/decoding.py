"""What a pass remembers of the decoder p(x_0 | x_t): its price under named conventions, and as a curve."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ddpm_dp.statistics import filling


@dataclass(frozen=True, eq=False)
class DecoderPrices:
    """The price of the decoder at every timestep, and the convention that it was measured with.

    Attributes:
        name: of the decoder, as `variances/decoders.py` has it.
        words: the convention in words, as it stands beside a bits/dim.
        convention: the same as data, by which a later version knows whether these prices are still its own.
        nats: (G, T + 1) nats per image, -log p(x_0 | x_t), for each group of images; column 0 is inf.

    Raises ValueError if a price is NaN.
    """

    name: str
    words: str
    convention: Mapping[str, Any]
    nats: np.ndarray

    def __post_init__(self) -> None:
        if np.isnan(self.nats).any():
            t = np.argwhere(np.isnan(self.nats))[0][-1]
            raise ValueError(
                f"The price of the decoder {self.name!r} is NaN at t = {t}: the model's output was not finite there; "
                "it cannot be priced."
            )


@dataclass(frozen=True, eq=False)
class DecoderCurve:
    """The price of the decoder against its variance, from which any convention is priced afterwards.

    Attributes:
        cells: the name of the `Cells` whose classes the curve tells apart ("all": one class).
        variances: (T + 1, V) the grid of variances at every timestep.
        nats: (G, T + 1, C, V) nats per image that the coordinates of each of C classes cost at each variance.

    Raises ValueError if shapes disagree or a price is NaN.
    """

    cells: str
    variances: np.ndarray
    nats: np.ndarray

    def __post_init__(self) -> None:
        if self.nats.ndim != 4 or self.nats.shape[1::2] != self.variances.shape or np.isnan(self.nats[:, 1:]).any():
            raise ValueError(
                f"A decoder's curve has nats of shape {self.nats.shape} over variances of shape "
                f"{self.variances.shape}; expected (G, T + 1, C, V) numbers over (T + 1, V)."
            )

    @classmethod
    def from_rows(
        cls, cells: str, variances: np.ndarray, nats: np.ndarray, measured: np.ndarray, T: int
    ) -> "DecoderCurve":
        """The curve of (n, V) variances and (G, n, C, V) nats at the measured timesteps, with the others filled."""
        flat = nats.swapaxes(0, 1).reshape(len(measured), -1).T  # every price as a function of t alone
        filled = filling.prices(flat, measured, T).T.reshape(T + 1, len(nats), *nats.shape[2:]).swapaxes(0, 1)
        return cls(cells, filling.linear(variances, measured, T), filled)

    def at_timesteps(self, measured: np.ndarray) -> "DecoderCurve":
        """The curve as if only those timesteps had been measured."""
        T = len(self.variances) - 1
        return self.from_rows(self.cells, self.variances[measured], self.nats[:, measured], measured, T)

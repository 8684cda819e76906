"""`calibrated`: a network's second output says which coordinates are alike, and training images how wide they are."""

from __future__ import annotations

from typing import Any

from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.statistics import Cells
from ddpm_dp.variances.base import FittedCells, ReverseVariance


class Calibrated(FittedCells):
    """rho = 1 + delta m_b: the second output (v or u) sorts coordinates into bins, each with its own error m_b.

    Nothing is trained anew, and what is wrong with the output's scale does no harm: only its order counts. Between the
    centres of two bins the error is linear.
    """

    name = "calibrated"
    words = "rho = 1 + (snr_s - snr_t) m_b, fitted in bins of the network's v or u"
    source = "this project, after Bao et al. 2022"
    output: str | None = "v"
    cells = "v"

    def reading(self, output: str | None) -> ReverseVariance:
        return next((each for each in (BY_V, BY_U) if each.output == output), self)

    def rates(self, t: int, cells: Cells, seen: Any) -> Any:
        import torch

        assert cells.output and cells.fitted is not None and cells.low is not None and cells.high is not None
        fitted, low, high = torch.from_numpy(cells.fitted[t]).to(seen), float(cells.low[t]), float(cells.high[t])
        last = len(fitted) - 1
        place = ((OUTPUTS[cells.output].place(seen) - low) / max(high - low, 1e-12) * last).clamp(0, last)
        left = place.long().clamp(max=last - 1)
        return torch.lerp(fitted[left], fitted[left + 1], place - left)


class _ByU(Calibrated):
    output = "u"
    cells = "u"


BY_V, BY_U = Calibrated(), _ByU()

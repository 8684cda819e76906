"""`local` and `spectral`: the covariance of a reverse step, fitted in the same pass, for any pretrained DDPM."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances.base import FittedCells, ReverseVariance
from ddpm_dp.variances.bases import BlockDct
from ddpm_dp.variances.decoders import DECODERS, SMALLEST, Decoder
from ddpm_dp.variances.scores import Score

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_dp.models.denoiser import Prediction


class Spectral(FittedCells):
    """rho = 1 + delta m_b, with coefficients of a block DCT sorted into cells by their scores (`scores.py`).

    Errors of neighbouring pixels are alike, and those of low frequencies large: in frequencies the covariance is nearly
    diagonal. Blocks are one pixel or up to `sides` pixels wide, at each timestep the kind that gives training images
    the lower price: large where much noise is left, single pixels where only details are missing.

    The decoder of continuous data has the same covariance, Phi^T diag(m_b) Phi: it needs no measurement of its own,

        L(t, 0) = d/2 sum_b [p_b log(2 pi m_b) + e_b / m_b]                        (e_b as measured, m_b as fitted)

    and a Gaussian whose covariance is diagonal in the basis then has its exact likelihood on every path. A likelihood
    of grey levels falls into factors for pixels alone: there it is `decoder`, as for other families.
    """

    name = "spectral"
    words = "rho = 1 + (snr_s - snr_t) m_b, fitted in cells of a block DCT"
    source = "this project, after Bao et al. 2022"
    output = None
    cells = "spectral"
    decoder: Decoder = DECODERS["analytic"]
    sides: tuple[int, ...] = (1, 4, 8)

    def reading(self, output: str | None) -> ReverseVariance:
        """With the decoder of v where the network has one: it tells certain pixels from others, as no number can."""
        learned, chosen = DECODERS["learned"], copy(self)
        if output and output == learned.output:
            chosen.decoder = learned
        return chosen

    def see(self, prediction: Prediction) -> Tensor:
        return prediction.x0

    def basis(self, shape: tuple[int, ...], t: int, cells: Cells | None) -> BlockDct:
        assert cells is not None, "fitted_cells gives a fitted family its cells"
        height, width = cells.maps["block"][t].tolist()
        return BlockDct(shape, (height, width))

    def first(self, statistics: DenoisingStatistics) -> np.ndarray:
        if statistics.levels is not None:
            return super().first(statistics)
        cells, nats = statistics.cells[self.cells], np.full((len(statistics.counts), statistics.T + 1), np.inf)
        assert cells.fitted is not None, "why_not has asked for it"
        for t in range(1, statistics.T + 1):
            mass, error = (
                each[:, 0] for each in cells.by_group(np.array([t]), statistics.counts, statistics.squared_error)
            )
            m = cells.fitted[t].clip(SMALLEST)
            nats[:, t] = statistics.d / 2 * (mass * np.log(2 * np.pi * m) + error / m).sum(-1)
        return nats

    def decoder_words(self, levels: int | None) -> str:
        if levels is not None:
            return super().decoder_words(levels)
        return "Gaussian, density of continuous data, variance m_b in each cell as fitted on training images"

    def decode(
        self, noise: NoiseSchedule, t: int, x_0: Tensor, answer: Prediction, levels: int | None, m: Any, cells: Any
    ) -> Tensor:
        if levels is not None:
            return super().decode(noise, t, x_0, answer, levels, m, cells)
        from ddpm_dp.gaussians import decoder_log_likelihood

        basis, rates = self.basis(tuple(x_0.shape[1:]), t, cells), self.rates(t, cells, self.see(answer))
        means = basis.coefficients(answer.x0)
        return -decoder_log_likelihood(basis.coefficients(x_0), means, rates.clip(SMALLEST), None)

    def rates(self, t: int, cells: Cells, seen: Any) -> Any:
        import torch

        assert cells.fitted is not None, "why_not has asked for it"
        score, weights = Score(self.basis(tuple(seen.shape[1:]), t, cells)), torch.from_numpy(cells.maps["weights"][t])
        cell = score.cell(score.of(score.features(seen), weights.to(seen)))
        return torch.from_numpy(cells.fitted[t]).to(seen)[cell]


class Local(Spectral):
    """rho = 1 + delta m_b, with pixels sorted into cells by their scores: `spectral` with blocks of one pixel.

    A diagonal covariance, as `predicted` has, without training a network for it.
    """

    name = "local"
    words = "rho = 1 + (snr_s - snr_t) m_b, fitted in cells of pixels that xhat_0 shows to be alike"
    cells = "local"
    sides = (1,)

"""`local` and `spectral`: the covariance of a reverse step, fitted in the same pass, for any pretrained DDPM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddpm_dp.statistics import Cells
from ddpm_dp.variances.base import FittedCells
from ddpm_dp.variances.bases import AxisBlocks, axes_of, blocks_for
from ddpm_dp.variances.scores import Weights, cells_in

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_dp.models.denoiser import Prediction


class Spectral(FittedCells):
    """rho = 1 + delta m_b, with coefficients of a block DCT sorted into cells by their scores (`scores.py`).

    Errors of neighbouring pixels are alike, and those of low frequencies large: in frequencies the covariance is nearly
    diagonal. Blocks are about as wide as one of `sides`, at each timestep the kind that gives training images
    the lower price: large where much noise is left, single pixels where only details are missing. Brightness and
    colours choose apart: colours vary more slowly.
    """

    name = "spectral"
    words = "rho = 1 + (snr_s - snr_t) m_b, fitted in cells of a block DCT"
    source = "this project, after Bao et al. 2022"
    output = None
    cells = "spectral"
    sides: tuple[int, ...] = (1, 4, 8, 16, 32)

    def candidates(self, shape: tuple[int, ...]) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each of `axes_of(shape)` the blocks that it chooses from."""
        return (tuple(blocks_for(shape, self.sides)),) * len(axes_of(shape))

    def see(self, prediction: Prediction) -> Tensor:
        return prediction.x0

    def basis(self, shape: tuple[int, ...], t: int, cells: Cells | None) -> AxisBlocks:
        assert cells is not None, "fitted_cells gives a fitted family its cells"
        return AxisBlocks.of(shape, cells.maps["block"][t])

    def rates(self, t: int, cells: Cells, seen: Any) -> Any:
        import torch

        assert cells.fitted is not None, "why_not has asked for it"
        weights = Weights.of({name: rows[t] for name, rows in cells.maps.items()})
        where = cells_in(self.basis(tuple(seen.shape[1:]), t, cells), seen, weights)
        return torch.from_numpy(cells.fitted[t]).to(seen)[where]


class Local(Spectral):
    """rho = 1 + delta m_b, with pixels sorted into cells by their scores: `spectral` with blocks of one pixel.

    A diagonal covariance, as `predicted` has, without training a network for it.
    """

    name = "local"
    words = "rho = 1 + (snr_s - snr_t) m_b, fitted in cells of pixels that xhat_0 shows to be alike"
    cells = "local"
    sides = (1,)

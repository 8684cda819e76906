"""`predicted`: the best number for each coordinate, as far as the network knows its own error."""

from typing import Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances.base import Form, PerCell
from ddpm_dp.variances.curves import rate_form


class Predicted(PerCell):
    """rho = 1 + (snr_s - snr_t) u, with u > 0 a second output, trained to be E[e^2 | x_t]."""

    name = "predicted"
    words = "rho = 1 + (snr_s - snr_t) u"
    source = "after Bao et al. 2022, Extended-Analytic-DPM"
    output = "u"
    cells = "u"
    fitted = False

    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        rate = seen * (noise.snr[s] - noise.snr[t])
        return rate.log1p() if hasattr(rate, "log1p") else np.log1p(rate)  # a tensor brings its own

    def log_rho_of_cells(self, noise: NoiseSchedule, t: np.ndarray, s: np.ndarray, cells: Cells) -> np.ndarray:
        return self.log_rho(noise, t[:, None], s[:, None], seen=cells.centres(t))

    def form(self, statistics: DenoisingStatistics) -> Form:
        cells = statistics.cells[self.cells]
        rates = cells.centres(np.arange(statistics.T + 1))
        return rate_form(statistics.noise, statistics.d, rates, cells.mass, cells.error)

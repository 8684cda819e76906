"""`learned`: between the two bounds, coordinate by coordinate, as the network's v says."""

from typing import Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances.base import Form, PerCell
from ddpm_dp.variances.curves import exponent_form


class Learned(PerCell):
    """rho = (sigma_t^2 / sigma_s^2)^v, with v in [0, 1] a second output that the bound trained."""

    name = "learned"
    words = "rho = (sigma_t^2 / sigma_s^2)^v"
    source = "Nichol & Dhariwal 2021"
    output = "v"
    cells = "v"
    fitted = False

    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        return seen * np.log(noise.sigma2[t] / noise.sigma2[s])

    def log_rho_of_cells(self, noise: NoiseSchedule, t: np.ndarray, s: np.ndarray, cells: Cells) -> np.ndarray:
        return self.log_rho(noise, t[:, None], s[:, None], seen=cells.centres(t))

    def form(self, statistics: DenoisingStatistics) -> Form:
        cells = statistics.cells[self.cells]
        assert cells.low is not None and cells.high is not None, "they are bins of v"
        return exponent_form(statistics.noise, statistics.d, cells.low, cells.high, cells.mass, cells.error)

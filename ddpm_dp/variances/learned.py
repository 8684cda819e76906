"""`learned`: between the two bounds, coordinate by coordinate, as the network's v says."""

from typing import Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.statistics import Cells
from ddpm_dp.variances.base import PerBin
from ddpm_dp.variances.decoders import DECODERS


class Learned(PerBin):
    """rho = (sigma_t^2 / sigma_s^2)^v, with v in [0, 1] a second output that the bound trained."""

    name = "learned"
    words = "rho = (sigma_t^2 / sigma_s^2)^v"
    source = "Nichol & Dhariwal 2021"
    output = "v"
    cells = "v"
    decoder = DECODERS["learned"]

    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        return seen * np.log(noise.sigma2[t] / noise.sigma2[s])

    def averages(
        self, noise: NoiseSchedule, t: int, s: np.ndarray, centres: np.ndarray, mass: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        from ddpm_dp.variances.bins import learned_averages  # here: importing numba takes time that names need not

        return learned_averages(centres, mass, error, np.log(noise.sigma2[t] / noise.sigma2[s]))

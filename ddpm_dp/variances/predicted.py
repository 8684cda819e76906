"""`predicted`: the best number for each coordinate, as far as the network knows its own error."""

from typing import Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.statistics import Cells
from ddpm_dp.variances.base import PerBin
from ddpm_dp.variances.decoders import DECODERS


class Predicted(PerBin):
    """rho = 1 + (snr_s - snr_t) u, with u > 0 a second output, trained to be E[e^2 | x_t]."""

    name = "predicted"
    words = "rho = 1 + (snr_s - snr_t) u"
    source = "after Bao et al. 2022, Extended-Analytic-DPM"
    output = "u"
    cells = "u"
    decoder = DECODERS["predicted"]

    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        rate = seen * (noise.snr[s] - noise.snr[t])
        return rate.log1p() if hasattr(rate, "log1p") else np.log1p(rate)  # a tensor brings its own

    def averages(
        self, noise: NoiseSchedule, t: int, s: np.ndarray, centres: np.ndarray, mass: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        from ddpm_dp.variances.bins import predicted_averages  # here: importing numba takes time that names need not

        return predicted_averages(centres, mass, error, noise.snr[s] - noise.snr[t])

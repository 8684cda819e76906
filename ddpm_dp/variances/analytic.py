"""`analytic`: the best single number for all coordinates."""

from typing import Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.solver import LogAffineCosts
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances.base import Form, OneNumber


class Analytic(OneNumber):
    """rho = 1 + (snr_s - snr_t) m_t, with m_t fitted on training images.

    On those images L(t, s) = d/2 log(1 + (snr_s - snr_t) m_t), the logarithm of a line in snr_s for each t. On others
    the step costs a little more.
    """

    name = "analytic"
    words = "rho = 1 + (snr_s - snr_t) m_t"
    source = "Bao et al. 2022, Analytic-DPM"
    fitted = True

    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        assert cells is not None and cells.fitted is not None, "fitted_cells gives a fitted family its cells"
        return np.log1p((noise.snr[s] - noise.snr[t]) * cells.fitted[t, 0])

    def form(self, statistics: DenoisingStatistics) -> Form | None:
        d, m, snr = statistics.d, statistics.m, statistics.noise.snr.copy()
        snr[0] = 0  # never used: s = 0 is the decoder's
        if not np.allclose(m, statistics.fitted_m, rtol=1e-12, atol=0):
            return None
        return lambda first: LogAffineCosts(first, g=snr, m=m, scale=d / 2)

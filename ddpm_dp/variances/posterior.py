"""`posterior`: the variance of q(x_s | x_t, x_0) itself."""

from typing import Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.solver import AffineCosts
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances.base import Form, OneNumber


class Posterior(OneNumber):
    """rho = 1, right if x_0 were a single point.  L(t, s) = d/2 (snr_s - snr_t) m_t: a line in snr_s for each t."""

    name = "posterior"
    words = "rho = 1"
    source = 'Ho et al. 2020, "small"'
    fitted = False

    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        return np.zeros(np.broadcast_shapes(np.shape(t), np.shape(s)))

    def form(self, statistics: DenoisingStatistics) -> Form:
        m, g = statistics.m, statistics.d / 2 * statistics.noise.snr
        g[0] = 0  # never used: s = 0 is the decoder's
        return lambda first: AffineCosts(first, a=-g * m, b=np.zeros_like(g), g=g, h=m)

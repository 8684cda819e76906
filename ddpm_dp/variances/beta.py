"""`beta`: the variance of q(x_t | x_s), going up."""

from typing import Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.solver import AffineCosts
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances.base import Form, OneNumber


class Beta(OneNumber):
    """rho = sigma_t^2 / sigma_s^2, right if x_0 were white noise.

    From snr_s sigma_s^2 = 1 - sigma_s^2 and snr_t = 1 / sigma_t^2 - 1, with r = m_t / sigma_t^2, a line in sigma_s^2
    for each t: L(t, s) = d/2 [log sigma_t^2 - log sigma_s^2 - 1 + r + sigma_s^2 (1 - r) / sigma_t^2].
    """

    name = "beta"
    words = "rho = sigma_t^2 / sigma_s^2"
    source = 'Ho et al. 2020, "large"'
    fitted = False

    def log_rho(self, noise: NoiseSchedule, t: Any, s: Any, cells: Cells | None = None, seen: Any = None) -> Any:
        return np.log(noise.sigma2[t] / noise.sigma2[s])

    def form(self, statistics: DenoisingStatistics) -> Form:
        d, m, sigma2 = statistics.d, statistics.m, statistics.noise.sigma2.copy()
        sigma2[0] = 1  # never used: s = 0 is the decoder's
        a = d / 2 * (np.log(sigma2) - 1 + m / sigma2)
        b = -d / 2 * np.log(sigma2)
        return lambda first: AffineCosts(first, a=a, b=b, g=d / 2 * sigma2, h=(1 - m / sigma2) / sigma2)

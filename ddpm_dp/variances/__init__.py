"""The reverse variance: p(x_s | x_t) is Gaussian, and a family says how wide, and what a step of that width costs.

| name        | rho(t, s), s > 0          | source                          |
|-------------|---------------------------|---------------------------------|
| `posterior` | 1                         | Ho et al. 2020, "small"         |
| `beta`      | sigma_t^2 / sigma_s^2     | Ho et al. 2020, "large"         |
| `analytic`  | 1 + (snr_s - snr_t) m_t   | Bao et al. 2022, Analytic-DPM   |
| `learned`   | (sigma_t^2 / sigma_s^2)^v | Nichol & Dhariwal 2021          |
| `predicted` | 1 + (snr_s - snr_t) u     | after Bao et al. 2022, Extended |
| `calibrated`| 1 + (snr_s - snr_t) m_b   | this project                    |
| `local`     | 1 + (snr_s - snr_t) m_b   | this project                    |
| `spectral`  | 1 + (snr_s - snr_t) m_b   | this project                    |

m_t is the model's mean squared error per dimension at timestep t, fitted on training data. v in [0, 1] and u > 0 are
second outputs of a network, one number per coordinate: v as trained by the bound, u a prediction of its squared error.
m_b is the mean squared error of cell b, fitted as m_t is: cells are bins of v or u (`calibrated`), or of a score that
xhat_0 has, for pixels (`local`) or for the coefficients of a block DCT (`spectral`).

The last step, s = 0, is the decoder's, and is the same for all families: see `decoders.py`.
"""

from ddpm_dp.registry import Registry
from ddpm_dp.statistics import DenoisingStatistics
from ddpm_dp.variances.analytic import Analytic
from ddpm_dp.variances.base import OneNumber, ReverseVariance, StepPrices, step_nats
from ddpm_dp.variances.beta import Beta
from ddpm_dp.variances.calibrated import BY_V
from ddpm_dp.variances.decoders import DECODERS
from ddpm_dp.variances.learned import Learned
from ddpm_dp.variances.posterior import Posterior
from ddpm_dp.variances.predicted import Predicted
from ddpm_dp.variances.spectral import Local, Spectral

# In the order of menus and tables.
FAMILIES: Registry[ReverseVariance] = Registry(
    "variance",
    [
        Posterior(),
        Beta(),
        Analytic(),
        Learned(),
        Predicted(),
        BY_V,
        Local(),
        Spectral(),
    ],
)

# Priced from m_t alone, whatever the network.
SCALAR = tuple(name for name, family in FAMILIES.items() if isinstance(family, OneNumber))

__all__ = ["DECODERS", "FAMILIES", "SCALAR", "ReverseVariance", "StepPrices", "served", "step_nats"]


def served(*statistics: DenoisingStatistics) -> tuple[str, ...]:
    """The families that all of these statistics can price."""
    return tuple(
        name
        for name, family in FAMILIES.items()
        if all(family.reading(each.second).serves(each) for each in statistics)
    )

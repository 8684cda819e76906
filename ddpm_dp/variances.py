"""The reverse variance: p(x_s | x_t) is Gaussian, and this says how wide, and what a step of that width costs.

Its mean is that of q(x_s | x_t, x_0) with the model's xhat_0 in place of x_0; its variance is rho times the posterior
variance beta~_{t|s}. Whoever prices a step, samples it or measures it reads rho and the decoder's variance here.

| name        | rho(t, s), s > 0          | decoder's variance, s = 0              | source                          |
|-------------|---------------------------|----------------------------------------|---------------------------------|
| `posterior` | 1                         | beta~_{2|1} at t = 1, sigma_t^2 beyond | Ho et al. 2020, "small"         |
| `beta`      | sigma_t^2 / sigma_s^2     | the same                               | Ho et al. 2020, "large"         |
| `learned`   | (sigma_t^2 / sigma_s^2)^v | (sigma_t^2)^v (beta~_{2|1})^(1 - v)    | Nichol & Dhariwal 2021          |
| `analytic`  | 1 + (snr_s - snr_t) m_t   | m_t                                    | Bao et al. 2022, Analytic-DPM   |
| `predicted` | 1 + (snr_s - snr_t) u     | u                                      | after Bao et al. 2022, Extended |

m_t is the model's mean squared error per dimension at timestep t, fitted on training data. v in [0, 1] and u > 0 are
second outputs of a network, one number per coordinate: v as trained by the bound, u a prediction of its squared error.
"""

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.statistics import DenoisingStatistics

# For each reverse variance its decoder: `posterior` and `beta` share one.
DECODER_OF = {
    "posterior": "fixed",
    "beta": "fixed",
    "analytic": "analytic",
    "learned": "learned",
    "predicted": "predicted",
}
VARIANCES = tuple(DECODER_OF)
SCALAR = ("posterior", "beta", "analytic")  # priced from m_t alone, whatever the network

# The decoder's convention in words: a bits/dim means nothing without it.
DECODERS = {
    "fixed": "variance sigma_t^2 (at t = 1: beta~_{2|1})",
    "analytic": "variance m_t as fitted on training images",
    "learned": "variance between beta~_{2|1} and sigma_t^2, as the network's v says",
    "predicted": "variance u, the network's prediction of its own squared error",
}

# A variance of exactly 0 (a denoiser that makes no error) would divide by 0. Far below any grey level's width, it is 0.
SMALLEST = 1e-20


def decoder_of(variance: str) -> str:
    """Which decoder goes with a reverse variance.

    Raises ValueError for an unknown name; every function that takes a variance asks here.
    """
    if variance not in DECODER_OF:
        raise ValueError(f"variance = {variance!r} is not known; expected one of {', '.join(VARIANCES)}.")
    return DECODER_OF[variance]


def fitted_m_of(variance: str, statistics: DenoisingStatistics | None, model_id: str) -> np.ndarray:
    """The m_t that `analytic` needs, from the statistics of the model of that fingerprint; empty where none are needed.

    Raises ValueError if they are missing where needed, or of another model.
    """
    if statistics is not None:
        statistics.require_model(model_id, "the model")
        return statistics.fitted_m
    if decoder_of(variance) == "analytic":
        raise ValueError(
            "variance='analytic' was asked for without its m_t; give statistics=, measured on training data."
        )
    return np.zeros(0)


def log_rho(noise: NoiseSchedule, variance: str, t, s, fitted_m: np.ndarray, second=None):
    """log rho for steps t -> s, 0 < s < t (integers, or arrays that broadcast).

    `fitted_m` has T + 1 entries; `second` is v or u where the variance needs one (array or tensor), broadcast too.
    """
    decoder_of(variance)
    ratio = np.log(noise.sigma2[t] / noise.sigma2[s])
    delta = noise.snr[s] - noise.snr[t]
    if variance == "posterior":
        return np.zeros(np.shape(ratio))
    if variance == "beta":
        return ratio
    if variance == "learned":
        return second * ratio
    if variance == "predicted":
        rate = second * delta
        return rate.log1p() if hasattr(rate, "log1p") else np.log1p(rate)  # a tensor brings its own
    return np.log1p(delta * fitted_m[t])


def step_nats(log_rho, delta_e2, expm1=np.expm1):
    """L(t, s) of one coordinate, 1/2 [log rho + (1 + delta e^2) / rho - 1], before the average over x_0 and x_t.

    Every price in this package is this line. `delta_e2` is (snr_s - snr_t) e^2 with e = x_0 - xhat_0; for tensors give
    torch's expm1. Written with expm1 because rho is close to 1 in short steps.
    """
    shrink = expm1(-log_rho)  # 1 / rho - 1
    return 0.5 * (log_rho + shrink + delta_e2 * (1 + shrink))


def decoder_variance(noise: NoiseSchedule, decoder: str, t: int, fitted_m: np.ndarray, second=None):
    """Variance of the decoder p(x_0 | x_t); `second` is v or u where the decoder needs one. Arrays, or tensors.

    The paper leaves it unsaid for t > 1; this convention gives back the published full chain's at t = 1.
    """
    smallest = float(noise.posterior(2, 1).variance)
    if decoder == "fixed":
        return smallest if t == 1 else float(noise.sigma2[t])
    if decoder == "learned":
        return smallest * (float(noise.sigma2[t]) / smallest) ** second
    if decoder == "predicted":
        return second.clip(SMALLEST)
    return fitted_m[t].clip(SMALLEST)

"""What a step's price needs to know of rho when it differs between coordinates: three averages over histogram bins.

For the bins of a second output's `Cells` (mass p_b, error e_b) and each x of a row of the table, both functions return

    sum_b p_b log rho_b,    sum_b p_b (1 / rho_b - 1),    sum_b e_b / rho_b.

A table of T = 4,000 has 8 million entries of 256 bins each: hence the compiled loops.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True)
def learned_averages(v: Floats, mass: Floats, error: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    """rho = exp(v x), with x = log(sigma_t^2 / sigma_s^2).

    The centres v_b are evenly spaced, so 1 / rho_b = exp(-v_0 x) q^b: a polynomial in q = exp(-h x), by Horner's rule.
    """
    bins = len(v)
    h = (v[-1] - v[0]) / (bins - 1)
    mean, total = (mass * v).sum(), mass.sum()
    log_rho, shrink, weighted = np.empty(len(x)), np.empty(len(x)), np.empty(len(x))
    for i in range(len(x)):
        q = math.exp(-h * x[i])
        p, e = 0.0, 0.0
        for b in range(bins - 1, -1, -1):
            p = p * q + mass[b]
            e = e * q + error[b]
        first = math.exp(-v[0] * x[i])
        log_rho[i] = mean * x[i]
        shrink[i] = first * p - total
        weighted[i] = first * e
    return log_rho, shrink, weighted


@njit(cache=True, nogil=True)
def predicted_averages(u: Floats, mass: Floats, error: Floats, delta: Floats) -> tuple[Floats, Floats, Floats]:
    """rho = 1 + delta u, with delta = snr_s - snr_t."""
    log_rho, shrink, weighted = np.empty(len(delta)), np.empty(len(delta)), np.empty(len(delta))
    for i in range(len(delta)):
        log, less, e = 0.0, 0.0, 0.0
        for b in range(len(u)):
            rate = delta[i] * u[b]
            rho = 1.0 + rate
            log += mass[b] * (math.log(rho) if rate > 0.1 else math.log1p(rate))  # log1p takes twice as long
            less += mass[b] * rate / rho
            e += error[b] / rho
        log_rho[i], shrink[i], weighted[i] = log, -less, e
    return log_rho, shrink, weighted

"""The price L(t, s) of every possible step of a path, in nats, from the statistics of one pass.

For a path 0 = t_0 < t_1 < ... < t_K = T the negative ELBO is (Watson et al. 2021, section 3)

    KL(q(x_T | x_0) || N(0, I))  +  sum_i L(t_i, t_{i-1}),

and L(t, s) depends on nothing but the two ends of its step. With delta = snr_s - snr_t and the reverse variance rho
times the posterior's (`variances.py`),

    L(t, s) = d/2 [log rho + (1 + delta m_t) / rho - 1]   for 0 < s < t,      L(t, 0) = -E log p(x_0 | x_t).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from tqdm.auto import tqdm

from ddpm_dp.bins import learned_averages, predicted_averages
from ddpm_dp.paths import as_path
from ddpm_dp.solver import AffineCosts, LogAffineCosts
from ddpm_dp.statistics import DenoisingStatistics, SecondOutput
from ddpm_dp.variances import decoder_of, log_rho, step_nats


def bits_per_dim(nats, d: int):
    """nats of one image -> bits per dimension, nats / (d ln 2)."""
    return nats / (d * np.log(2))


@dataclass(frozen=True, eq=False)
class PathPrice:
    """What a path costs, in nats per image.

    `prior` is the price at x_T, `steps` (K,) that of each step, `steps[0]` the decoder's L(t_1, 0). `total` is their
    sum, the negative ELBO, and `standard_error` its standard error over images.
    """

    prior: float
    steps: np.ndarray
    total: float
    standard_error: float


@dataclass(frozen=True, eq=False)
class StepCosts:
    """L(t, s) for all 0 <= s < t <= T; made by `step_costs` or `weighted_costs`.

    Attributes:
        statistics: what the prices come from.
        first: (G, T + 1) nats L(t, 0), for each group of images.
        prior_of_group: (G,) nats that every path pays.
        between: (t, s, m) -> nats, L(t, s) for 0 < s < t, given the mean squared error m at t.
        form: builds, from (first, prior), the same costs as T numbers each instead of a table; None if there is no
            such form. It is what lets `solve` do without the table.
    """

    statistics: DenoisingStatistics
    first: np.ndarray
    prior_of_group: np.ndarray
    between: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    form: Callable[[np.ndarray], AffineCosts | LogAffineCosts] | None = None

    @property
    def T(self) -> int:
        return self.statistics.T

    @cached_property
    def prior(self) -> float:
        """Nats that every path pays, whatever its steps."""
        return float(self.statistics.mean(self.prior_of_group)[0])

    def structure(self) -> AffineCosts | LogAffineCosts | None:
        """These costs in the form that `solve` searches without a table, where they have one."""
        return self.form and self.form(self.statistics.mean(self.first)[0])

    def of(self, path) -> PathPrice:
        """Price a path [0, t_1, ..., T]. Raises ValueError if it is not one (see `as_path`)."""
        steps = self._steps(path)
        total, error = self.statistics.mean(steps.sum(1) + self.prior_of_group)
        return PathPrice(self.prior, self.statistics.mean(steps)[0], float(total), float(error))

    def difference(self, path, other) -> tuple[float, float]:
        """How many nats `path` costs more than `other`, and the standard error of that over images.

        The images are the same, so most of their spread cancels: this error is smaller than either price's own.
        """
        nats, error = self.statistics.mean(self._steps(path).sum(1) - self._steps(other).sum(1))
        return float(nats), float(error)

    def _steps(self, path) -> np.ndarray:
        """(G, K) nats of a path's steps for each group of images."""
        path = as_path(path, self.T)
        s, t = path[1:-1], path[2:]
        between = self.between(t, s, self.statistics.squared_error[:, t])
        return np.concatenate([self.first[:, path[1:2]], between], axis=1)

    def table(self) -> np.ndarray:
        """L as a (T + 1, T + 1) array, `L[t, s]`, inf where s >= t (the paper's table)."""
        L = np.full((self.T + 1, self.T + 1), np.inf)
        L[1:, 0] = self.statistics.mean(self.first)[0][1:]
        for t in tqdm(range(2, self.T + 1), "pricing", unit="timestep", delay=2):
            s = np.arange(1, t)
            L[t, 1:t] = self.between(np.array(t), s, self.statistics.m[t])
        return L


def step_costs(statistics: DenoisingStatistics, variance: str = "analytic") -> StepCosts:
    """Price every step under a reverse variance: one of `ddpm_dp.variances.VARIANCES`.

    With `analytic`, rho = 1 + delta m_t of the data it was fitted to. There L(t, s) = d/2 log(1 + delta m_t); on other
    data the step costs a little more, and that honest price is what `.of(path)` gives. `learned` and `predicted`
    average over the measured joint distribution of the network's second output and its error (`SecondOutput`).

    Raises ValueError for an unknown variance, or one that needs a second output that the measured network has not.

    >>> costs = step_costs(stats, variance="analytic")  # doctest: +SKIP
    >>> costs.of([0, 10, 100, 1000]).total  # doctest: +SKIP
    """
    decoder = decoder_of(variance)
    if decoder not in statistics.decoder:
        raise ValueError(f"variance = {variance!r} needs a network with a second output; the measured one has no such.")
    second = statistics.second if variance in ("learned", "predicted") else None
    between = _from_moments(statistics, variance) if second is None else _from_histograms(statistics, second)
    return StepCosts(statistics, statistics.decoder[decoder], statistics.prior, between, _form(statistics, variance))


def _from_moments(statistics: DenoisingStatistics, variance: str):
    """L(t, s) where rho is the same for all coordinates: m_t is all it needs."""

    def between(t, s, m):
        delta = statistics.noise.snr[s] - statistics.noise.snr[t]
        return statistics.d * step_nats(log_rho(statistics.noise, variance, t, s, statistics.fitted_m), delta * m)

    return between


def _from_histograms(statistics: DenoisingStatistics, second: SecondOutput):
    """L(t, s) where rho differs from coordinate to coordinate: `step_nats`, averaged over the bins of v or u."""
    noise = statistics.noise

    def between(t, s, m):
        t, s = np.broadcast_arrays(t, s)
        still, slope = np.empty(t.shape), np.empty(t.shape)  # step_nats is linear in e^2: still + slope e^2
        for now in np.unique(t):
            at = t == now
            bins = second.centres(now), second.mass[now], second.error[now]
            delta = noise.snr[s[at]] - noise.snr[now]
            if second.variance == "learned":
                log_rho, shrink, error = learned_averages(*bins, np.log(noise.sigma2[now] / noise.sigma2[s[at]]))
            else:
                log_rho, shrink, error = predicted_averages(*bins, delta)
            still[at] = (log_rho + shrink) / 2
            slope[at] = delta * error / 2
        # A group of images has m instead of m_t: its errors are scaled, its second outputs are those of all images.
        return statistics.d * (still + slope * m / np.maximum(statistics.m[t], np.finfo(float).tiny))

    return between


def _form(statistics: DenoisingStatistics, variance: str):
    """The structure of the scalar variances: affine in one function of s for each t, or the logarithm of that.

    posterior  d/2 (snr_s - snr_t) m_t
    beta       d/2 [log sigma_t^2 - log sigma_s^2 - 1 + m_t / sigma_t^2 + sigma_s^2 (1 - m_t / sigma_t^2) / sigma_t^2],
               from rho = sigma_t^2 / sigma_s^2, snr_s sigma_s^2 = 1 - sigma_s^2 and snr_t = 1 / sigma_t^2 - 1
    analytic   d/2 log(1 + (snr_s - snr_t) m_t), on the images that m_t was fitted to
    """
    noise, d, m = statistics.noise, statistics.d, statistics.m
    snr, sigma2 = noise.snr.copy(), noise.sigma2.copy()
    snr[0], sigma2[0] = 0, 1  # never used: s = 0 is the decoder's
    if variance == "posterior":
        g = d / 2 * snr
        return lambda first: AffineCosts(first, a=-g * m, b=np.zeros_like(g), g=g, h=m)
    if variance == "beta":
        a = d / 2 * (np.log(sigma2) - 1 + m / sigma2)
        b = -d / 2 * np.log(sigma2)
        return lambda first: AffineCosts(first, a=a, b=b, g=d / 2 * sigma2, h=(1 - m / sigma2) / sigma2)
    if variance == "analytic" and np.allclose(m, statistics.fitted_m, rtol=1e-12, atol=0):
        return lambda first: LogAffineCosts(first, g=snr, m=m, scale=d / 2)
    return None


def weighted_costs(statistics: DenoisingStatistics, W) -> StepCosts:
    """A weighted bound, L_w(t, s) = (W(s) - W(t)) d m_t for 0 <= s < t: decomposable, so the same search serves it.

    `W`, the primitive of the weight, is an array of T + 1 finite numbers that never rises. W = snr / 2 would be the
    ELBO with `posterior` variance; W(t) = -t is the paper's "MSE reweighting", (t - s) E ||x_0 - xhat_0||^2.

    Raises ValueError if W has another length, is not finite, or rises (a negative price).

    >>> mse = weighted_costs(stats, -np.arange(stats.T + 1))  # doctest: +SKIP
    """
    W = np.asarray(W, dtype=np.float64)
    if W.shape != (statistics.T + 1,) or not np.isfinite(W).all() or (np.diff(W) > 0).any():
        raise ValueError(f"W has shape {W.shape}; expected {statistics.T + 1} finite numbers, W(0)..W(T), none rising.")
    d = statistics.d

    def between(t, s, m):
        return (W[s] - W[t]) * d * m

    first = (W[0] - W) * d * statistics.squared_error
    m = statistics.m

    def form(first):
        return AffineCosts(first, a=-d * W * m, b=np.zeros_like(W), g=d * W, h=m)

    return StepCosts(statistics, first, np.zeros(len(statistics.counts)), between, form)

"""The price L(t, s) of every possible step of a path, in nats, from the statistics of one pass.

For a path 0 = t_0 < t_1 < ... < t_K = T the negative ELBO is (Watson et al. 2021, section 3)

    KL(q(x_T | x_0) || N(0, I))  +  sum_i L(t_i, t_{i-1}),

and L(t, s) depends on nothing but the two ends of its step. With delta = snr_s - snr_t and the reverse variance rho
times the posterior's (`variances/`),

    L(t, s) = d/2 [log rho + (1 + delta m_t) / rho - 1]   for 0 < s < t,      L(t, 0) = -E log p(x_0 | x_t).

L(t_1, 0) is the decoder's (`variances/decoders.py`). One convention attaches it to the path's second step: it then
depends on t_2, too, and the search still finds the optimum (`solver/attached.py`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ddpm_dp.paths import as_path
from ddpm_dp.solver import AffineCosts, AttachedCosts, TableCosts
from ddpm_dp.solver.costs import FormCosts
from ddpm_dp.statistics import DenoisingStatistics
from ddpm_dp.variances import FAMILIES
from ddpm_dp.variances.base import Form, StepPrices
from ddpm_dp.variances.decoders import DECODERS, NONE


def bits_per_dim(nats: Any, d: int) -> Any:
    """nats of one image (a number or an array) -> bits per dimension, nats / (d ln 2).

    >>> round(float(bits_per_dim(64 * np.log(2), d=64)), 12)
    1.0
    """
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
        between: nats L(t, s) for 0 < s < t, of all images and of each group.
        decoder: its name in `DECODERS`.
        attached: nats L(t_1, 0) as functions of (t_2, t_1), for a decoder that depends on the second step. `first` is
            then what a path of one step pays.
        form: builds, from the mean of `first`, the same costs as T numbers each or as curves instead of a table; None
            if there is no such form. It is what lets `solve` do without the sums behind each price.
    """

    statistics: DenoisingStatistics
    first: np.ndarray
    prior_of_group: np.ndarray
    between: StepPrices
    form: Form | None = None
    decoder: str = "fitted"
    attached: StepPrices | None = None

    @property
    def T(self) -> int:
        return self.statistics.T

    @cached_property
    def prior(self) -> float:
        """Nats that every path pays, whatever its steps."""
        return float(self.statistics.mean(self.prior_of_group)[0])

    def structure(self) -> FormCosts | AttachedCosts | None:
        """These costs in the form that `solve` searches without a table, where they have one."""
        form = None if self.form is None else self.form(self.statistics.mean(self.first)[0])
        if self.attached is None:
            return form
        return AttachedCosts(TableCosts(self._table()) if form is None else form, self.attached.mean)

    def of(self, path: ArrayLike) -> PathPrice:
        """Price a path [0, t_1, ..., T]. Raises ValueError if it is not one (see `as_path`)."""
        steps = self._steps(path)
        total, error = self.statistics.mean(steps.sum(1) + self.prior_of_group)
        return PathPrice(self.prior, self.statistics.mean(steps)[0], float(total), float(error))

    def difference(self, path: ArrayLike, other: ArrayLike) -> tuple[float, float]:
        """How many nats `path` costs more than `other`, and the standard error of that over images.

        The images are the same, so most of their spread cancels: this error is smaller than either price's own.
        """
        nats, error = self.statistics.mean(self._steps(path).sum(1) - self._steps(other).sum(1))
        return float(nats), float(error)

    def _steps(self, path: ArrayLike) -> np.ndarray:
        """(G, K) nats of a path's steps for each group of images."""
        path = as_path(path, self.T)
        between = self.between.of_groups(path[2:], path[1:-1])
        first = self.first[:, path[1:2]]
        if self.attached is not None and len(path) > 2:
            first = self.attached.of_groups(path[2:3], path[1:2])
        return np.concatenate([first, between], axis=1)

    def table(self) -> np.ndarray:
        """L as a (T + 1, T + 1) array, `L[t, s]`, inf where s >= t (the paper's table), each price by its own sum.

        That takes a minute or two for a family with cells at T = 4,000; `structure().table()`, which reads curves, has
        the same prices to 1e-9 of each in about a second.

        Raises ValueError where the first price depends on the second step: no table can hold that.
        """
        if self.attached is not None:
            raise ValueError(
                f"decoder = {self.decoder!r} prices the first step by the second, which a table L[t, s] cannot hold; "
                "give the costs themselves to `solve`, or ask for another decoder."
            )
        return self._table()

    def _table(self) -> np.ndarray:
        from tqdm.auto import tqdm

        L = np.full((self.T + 1, self.T + 1), np.inf)
        L[1:, 0] = self.statistics.mean(self.first)[0][1:]
        for t in tqdm(range(2, self.T + 1), "pricing", unit="timestep", delay=2):
            s = np.arange(1, t)
            L[t, 1:t] = self.between.mean(np.full(t - 1, t), s)
        return L


def step_costs(statistics: DenoisingStatistics, variance: str = "analytic", decoder: str = "fitted") -> StepCosts:
    """Price every step under a reverse variance, one of `FAMILIES`, and a decoder, one of `DECODERS` (both are in
    `ddpm_dp.variances`).

    With `analytic`, rho = 1 + delta m_t of the data it was fitted to. There L(t, s) = d/2 log(1 + delta m_t); on other
    data the step costs a little more, and that honest price is what `.of(path)` gives. Families whose rho differs
    between coordinates average over the measured cells (`Cells`).

    Raises ValueError for an unknown variance or decoder, a variance that needs a second output that the measured
    network has not, and statistics that lack what the decoder needs.

    >>> import ddpm_dp
    >>> stats = DenoisingStatistics.load(ddpm_dp.shipped("digits/train.npz"))
    >>> price = step_costs(stats, variance="analytic").of([0, 10, 100, 1000])
    >>> len(price.steps), bool(price.total > price.prior)
    (3, True)
    """
    family, last = FAMILIES.named(variance).reading(statistics.second), DECODERS.named(decoder)
    if lack := family.why_not(statistics):
        raise ValueError(f"variance = {variance!r} needs {lack}.")
    if lack := last.why_not(family, statistics):
        raise ValueError(f"decoder = {decoder!r} needs {lack}.")
    prices = last.prices(family, statistics)
    t = np.arange(1, statistics.T + 1)
    first = np.full((len(statistics.counts), statistics.T + 1), np.inf)
    for some in np.array_split(t, len(t) // 2**14 + 1):  # of a million timesteps not all curves fit at once
        first[:, some] = prices.of_groups(np.full(len(some), NONE), some)
    return StepCosts(
        statistics,
        first,
        statistics.prior,
        family.prices(statistics),
        family.form(statistics),
        decoder,
        prices if last.attached else None,
    )


def weighted_costs(statistics: DenoisingStatistics, W: ArrayLike) -> StepCosts:
    """A weighted bound, L_w(t, s) = (W(s) - W(t)) d m_t for 0 <= s < t: decomposable, so the same search serves it.

    `W`, the primitive of the weight, is an array of T + 1 finite numbers that never rises. W = snr / 2 would be the
    ELBO with `posterior` variance; W(t) = -t is the paper's "MSE reweighting", (t - s) E ||x_0 - xhat_0||^2.

    Raises ValueError if W has another length, is not finite, or rises (a negative price).

    >>> import ddpm_dp
    >>> stats = DenoisingStatistics.load(ddpm_dp.shipped("digits/train.npz"))
    >>> mse = weighted_costs(stats, [-t for t in range(stats.T + 1)])
    >>> mse.prior
    0.0
    """
    W = np.asarray(W, dtype=np.float64)
    if W.shape != (statistics.T + 1,) or not np.isfinite(W).all() or (np.diff(W) > 0).any():
        raise ValueError(f"W has shape {W.shape}; expected {statistics.T + 1} finite numbers, W(0)..W(T), none rising.")
    d, m = statistics.d, statistics.m
    between = StepPrices(
        mean=lambda t, s: (W[s] - W[t]) * d * m[t],
        of_groups=lambda t, s: (W[s] - W[t]) * d * statistics.squared_error[:, t],
    )

    def form(first: np.ndarray) -> AffineCosts:
        return AffineCosts(first, a=-d * W * m, b=np.zeros_like(W), g=d * W, h=m)

    first = (W[0] - W) * d * statistics.squared_error
    return StepCosts(statistics, first, np.zeros(len(statistics.counts)), between, form)

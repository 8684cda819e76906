"""The decoder p(x_0 | x_t), a path's last step: Gaussian around xhat_0, in pixels, and how wide.

The paper leaves the width unsaid for t > 1, others do it in several ways, and at few steps a bits/dim hangs on it. So
each way has a name here, and none of them needs the network again: the price was measured as a curve over the variance
(`statistics/decoding.py`). For continuous data it is a formula,

    L(t, 0) = d/2 sum_b [p_b log(2 pi m_b) + e_b / m_b]     (shares p_b and errors e_b as measured, variances m_b)

All agree with the published full chain's at t = 1 in one thing: they are Gaussian, and discretised to grey levels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.registry import Registry, Whole
from ddpm_dp.statistics import ALL, Cells, DecoderCurve, DenoisingStatistics
from ddpm_dp.variances.base import FittedCells, ReverseVariance, StepPrices
from ddpm_dp.variances.fields import ALIKE, BOUNDS, FIELDS, Field, between
from ddpm_dp.variances.learned import Learned
from ddpm_dp.variances.spectral import Local, Spectral

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_dp.models.denoiser import Prediction

# A variance of exactly 0 (a denoiser that makes no error) would divide by 0.
SMALLEST = 1e-20
Price = Callable[[np.ndarray, np.ndarray], np.ndarray]
NONE = 0  # the timestep after t_1 on a path of one step: there is none


class LastStep(NamedTuple):
    """The step t -> 0 that a decoder makes, and what it may know of it.

    noise: the schedule. t, after: t_1 of the path, and t_2, or NONE. levels: grey levels of the images, None: they are
    continuous. statistics: those of training images, for a fitted decoder.
    """

    noise: NoiseSchedule
    t: int
    after: int
    levels: int | None
    statistics: DenoisingStatistics | None


class Decoder(Whole, abstract=True):
    """A convention for the variance of p(x_0 | x_t).

    Attributes:
        name: what users write, `decoder="..."`.
        words: the variance, as it stands beside every reported bits/dim.
        source: whose convention it is.
        attached: whether the price depends on the path's second step, t_2 -> t_1, too.
        fitted: whether it needs numbers that were fitted on training images.
    """

    name: str
    words: str
    source: str
    attached: bool = False
    fitted: bool = False

    def in_words(self, family: ReverseVariance, levels: int | None) -> str:
        """The whole decoder, for images of so many grey levels: it stands beside every bits/dim."""
        grid = "density of continuous data" if levels is None else f"discretised to {levels} grey levels"
        return f"Gaussian, {grid}, {self.variance_in_words(family, levels)}"

    def variance_in_words(self, family: ReverseVariance, levels: int | None) -> str:
        """The variance alone: `words`, unless they hang on the family or the data."""
        return self.words

    @abstractmethod
    def why_not(self, family: ReverseVariance, statistics: DenoisingStatistics) -> str | None:
        """What these statistics lack for this decoder to be priced, as the end of a sentence; None if nothing."""

    @abstractmethod
    def prices(self, family: ReverseVariance, statistics: DenoisingStatistics) -> StepPrices:
        """Nats L(t_1, 0) on the measured images, as functions of (t_2, t_1); t_2 = NONE on a path of one step.

        Where `attached` is false, t_2 does not matter. inf where there is no such decoder.
        """

    @abstractmethod
    def decode(self, family: ReverseVariance, step: LastStep, x_0: Tensor, answer: Prediction) -> Tensor:
        """(n,) nats -log p(x_0 | x_t) of each image: `prices` has their mean, but for the noise in x_t.

        x_0 (n, *shape) and the denoiser's answer at x_t are float64, on the CPU.
        """


class OneVariance(Decoder, abstract=True):
    """A decoder whose variance is one number at each timestep, or one for the lower bound of v's field."""

    @abstractmethod
    def log_variance(self, noise: NoiseSchedule, t: np.ndarray, after: np.ndarray, m: np.ndarray | None) -> np.ndarray:
        """(n,) log variances, with m (T + 1,) as fitted on training images; NaN where there is no such decoder."""

    def field(self, family: ReverseVariance) -> Field:
        """What the number is for."""
        return ALIKE

    def why_not(self, family: ReverseVariance, statistics: DenoisingStatistics) -> str | None:
        field = self.field(family)
        if statistics.levels is None:
            lacks = field.output is not None and field.output not in statistics.cells
            return f"a network with a second output {field.output}" if lacks else None
        return None if field.name in statistics.curves or self.name in statistics.decoders else NOT_MEASURED

    def prices(self, family: ReverseVariance, statistics: DenoisingStatistics) -> StepPrices:
        noise, field = statistics.noise, self.field(family)
        if statistics.levels is None:
            if field.output is None:
                priced = _density(statistics, statistics.cells[ALL], lambda t, log_variance: log_variance)
            else:
                cells = statistics.cells[field.output]
                priced = _density(
                    statistics, cells, lambda t, lower: between(noise, t[:, None], lower, cells.centres(t))
                )
        elif field.name in statistics.curves:
            priced = _curve(statistics, statistics.curves[field.name])
        else:  # measured with this very variance, by an earlier version
            nats = statistics.decoders[self.name].nats
            mean = statistics.mean(nats)[0]
            priced = StepPrices(mean=lambda t, _: mean[t], of_groups=lambda t, _: nats[:, t])

        def where_there(price: Price) -> Price:
            def nats(after: np.ndarray, t: np.ndarray) -> np.ndarray:
                after, t = np.broadcast_arrays(after, t)
                asked = self.log_variance(noise, t, after, statistics.fitted_m)
                there = np.isfinite(asked)
                return np.where(there, price(t, np.where(there, asked, 0.0)[:, None]), np.inf)

            return nats

        return StepPrices(mean=where_there(priced.mean), of_groups=where_there(priced.of_groups))

    def decode(self, family: ReverseVariance, step: LastStep, x_0: Tensor, answer: Prediction) -> Tensor:
        m = None if step.statistics is None else step.statistics.fitted_m
        asked = self.log_variance(step.noise, np.array([step.t]), np.array([step.after]), m)
        if not np.isfinite(asked[0]):
            raise ValueError(
                f"decoder = {self.name!r} decodes from t = 1 alone; this path's first step ends at {step.t}."
            )
        log_variance = self.field(family).log_variance(step.noise, step.t, answer, {}, asked)
        return _pixels(x_0, answer, log_variance.exp(), step.levels)


class MeanError(OneVariance):
    """m_t: the best single number for a density. For a discretised likelihood another one is better."""

    name = "analytic"
    words = "variance m_t as fitted on training images"
    source = "the optimum for a density, as Bao et al. 2022 have for other steps"
    fitted = True

    def log_variance(self, noise: NoiseSchedule, t: np.ndarray, after: np.ndarray, m: np.ndarray | None) -> np.ndarray:
        assert m is not None, "a fitted decoder has been given what was fitted"
        return np.log(m[t].clip(SMALLEST))


class Fixed(OneVariance):
    """sigma_t^2, and at t = 1 the posterior variance of the step from 2 to 1."""

    name = "fixed"
    words = "variance sigma_t^2 (at t = 1: beta~_{2|1})"
    source = "Ho et al. 2020 at t = 1; beyond, the largest that a step may have"

    def log_variance(self, noise: NoiseSchedule, t: np.ndarray, after: np.ndarray, m: np.ndarray | None) -> np.ndarray:
        return np.log(np.where(t == 1, smallest_posterior(noise), noise.sigma2[t]))


class Published(OneVariance):
    """As improved-diffusion's evaluator has it: the step t_2 -> t_1 lends its posterior variance, beta~_{t_2|t_1}.

    Under `learned` that is the lower bound, and v says how far above it, up to sigma_{t_1}^2. A path of one step has no
    t_2; its variance is sigma_T^2, to which beta~ tends as t_2 leaves t_1 behind.
    """

    name = "published"
    words = "variance beta~_{t_2|t_1} of the path's own second step (`learned`: from there up to sigma^2, as v says)"
    source = "Nichol & Dhariwal 2021, improved-diffusion's evaluator"
    attached = True

    def variance_in_words(self, family: ReverseVariance, levels: int | None) -> str:
        lower = "beta~_{t_2|t_1} of the path's own second step"
        return f"variance between {lower} and sigma^2, as v says" if self._reads_v(family) else f"variance {lower}"

    def field(self, family: ReverseVariance) -> Field:
        return BOUNDS if self._reads_v(family) else ALIKE

    def _reads_v(self, family: ReverseVariance) -> bool:
        return isinstance(family, Learned)

    def log_variance(self, noise: NoiseSchedule, t: np.ndarray, after: np.ndarray, m: np.ndarray | None) -> np.ndarray:
        following = np.where(after == NONE, t, after)
        beta = np.where(after == NONE, noise.sigma2[t], noise.posterior(following, t).variance)
        return np.log(beta.clip(SMALLEST))


class Bao(OneVariance):
    """As Analytic-DPM's tables have it: every path begins 0, 1, and decodes with beta~_{2|1}."""

    name = "bao"
    words = "variance beta~_{2|1}, at t_1 = 1, where all paths end"
    source = "Bao et al. 2022, Analytic-DPM's tables"

    def log_variance(self, noise: NoiseSchedule, t: np.ndarray, after: np.ndarray, m: np.ndarray | None) -> np.ndarray:
        return np.where(t == 1, np.log(smallest_posterior(noise)), np.nan)


class Fitted(Decoder):
    """The variance that is best for training images.

    Grey levels: at each timestep one number for each class of the field (`fields.py`) that makes training images
    cheapest, found on the curves that were measured. The field is the same for all families of a model. No other
    decoder here is cheaper on those images.

    Continuous data: m_t; for `local` and `spectral` that of their own cells, in their own basis, Phi^T diag(m_b) Phi. A
    Gaussian whose covariance is diagonal in the basis then has its exact likelihood on every path.
    """

    name = "fitted"
    words = "variance fitted on training images, one number for each kind of pixels"
    source = "this project"
    fitted = True

    def variance_in_words(self, family: ReverseVariance, levels: int | None) -> str:
        if levels is not None:
            return self.words
        cells = "m_b in each cell" if family.cells in DENSITIES else "m_t"
        return f"variance {cells} as fitted on training data"

    def why_not(self, family: ReverseVariance, statistics: DenoisingStatistics) -> str | None:
        if statistics.levels is None:
            return NOT_FITTED if statistics.cells[_of_density(family)].fitted is None else None
        curves = _known(statistics)
        if not curves:
            return NOT_MEASURED
        return OTHERWISE_FITTED if any(curve.fitted is None for curve in curves.values()) else None

    def prices(self, family: ReverseVariance, statistics: DenoisingStatistics) -> StepPrices:
        if statistics.levels is None:
            cells = statistics.cells[_of_density(family)]
            log_variance, priced = self._of_cells(cells), _density(statistics, cells, lambda t, own: own)
            parts = [(np.zeros(statistics.T + 1, dtype=int), log_variance, priced)]
        else:
            chosen = self._chosen(statistics)
            parts = [(chosen, _fit(curve), _curve(statistics, curve)) for curve in _known(statistics).values()]

        def of_chosen(which: Callable[[StepPrices], Price]) -> Price:
            def nats(_: np.ndarray, t: np.ndarray) -> np.ndarray:
                each = [
                    np.where(chosen[t] == i, which(priced)(t, fitted[t]), 0.0)
                    for i, (chosen, fitted, priced) in enumerate(parts)
                    if (chosen[t] == i).any()
                ]
                return np.sum(each, axis=0)

            return nats

        return StepPrices(of_chosen(lambda each: each.mean), of_chosen(lambda each: each.of_groups))

    def decode(self, family: ReverseVariance, step: LastStep, x_0: Tensor, answer: Prediction) -> Tensor:
        noise, t, _, levels, statistics = step
        assert statistics is not None, "a fitted decoder has been given what was fitted"
        if levels is None:
            return self._density_of(family, t, x_0, answer, statistics)
        curve = [*_known(statistics).values()][self._chosen(statistics)[t]]
        maps = {name: rows[t] for name, rows in curve.maps.items()}
        asked = FIELDS[curve.name].log_variance(noise, t, answer, maps, _fit(curve)[t])
        return _pixels(x_0, answer, asked.exp(), levels)

    def _of_cells(self, cells: Cells) -> np.ndarray:
        """(T + 1, B) log variances of continuous data."""
        assert cells.fitted is not None, "why_not has asked for it"
        return np.log(cells.fitted.clip(SMALLEST))

    def _chosen(self, statistics: DenoisingStatistics) -> np.ndarray:
        """(T + 1,) which curve each timestep takes: the one that is cheapest on training images."""
        return np.argmin([np.asarray(curve.training) for curve in _known(statistics).values()], axis=0)

    def _density_of(
        self, family: ReverseVariance, t: int, x_0: Tensor, answer: Prediction, statistics: DenoisingStatistics
    ) -> Tensor:
        import torch

        own = DENSITIES.get(family.cells)
        if own is None:
            return _pixels(x_0, answer, torch.tensor(statistics.fitted_m[t].clip(SMALLEST)), None)
        cells = statistics.cells[own.cells]
        basis, rates = own.basis(tuple(x_0.shape[1:]), t, cells), own.rates(t, cells, own.see(answer))
        turned = answer._replace(x0=basis.coefficients(answer.x0))
        return _pixels(basis.coefficients(x_0), turned, rates.clip(SMALLEST), None)


NOT_MEASURED = (
    "the decoder's curve, which was not measured; measure again with this version, or ask for another decoder"
)
NOT_FITTED = (
    "a decoder that was fitted on training images, which these statistics do not hold; read both with "
    "Measured.load(train, held_out), or give --fitted"
)

OTHERWISE_FITTED = (
    "a decoder that was fitted on training images, which the training statistics did not have when these were "
    "measured; measure these again with the training statistics of this version (fitted=, or --fitted)"
)

# Families whose cells are the density of continuous data, by the names of those cells.
DENSITIES: dict[str, FittedCells] = {each.cells: each for each in (Local(), Spectral())}


def smallest_posterior(noise: NoiseSchedule) -> float:
    """beta~_{2|1}, the smallest posterior variance of the whole chain."""
    return float(noise.posterior(2, 1).variance)


def _of_density(family: ReverseVariance) -> str:
    """The cells of the density of continuous data."""
    return family.cells if family.cells in DENSITIES else ALL


def _known(statistics: DenoisingStatistics) -> dict[str, DecoderCurve]:
    """The curves of fields that this version knows."""
    return {name: curve for name, curve in statistics.curves.items() if name in FIELDS}


def _fit(curve: DecoderCurve) -> np.ndarray:
    """(T + 1, C) what was fitted."""
    assert curve.fitted is not None, "why_not has asked for it"
    return curve.fitted


def _curve(statistics: DenoisingStatistics, curve: DecoderCurve) -> StepPrices:
    """A curve's prices, as functions of n timesteps and (n, C) log variances."""
    return StepPrices(curve.mean, lambda t, log_variance: curve.by_group(t, log_variance, statistics.counts))


def _density(statistics: DenoisingStatistics, cells: Cells, of_cells: Callable[..., np.ndarray]) -> StepPrices:
    """The same for continuous data; `of_cells` makes (n, B) log variances of what is asked for."""
    half, log_2pi = statistics.d / 2, np.log(2 * np.pi)

    def nats(t: np.ndarray, asked: np.ndarray, mass: np.ndarray, error: np.ndarray) -> np.ndarray:
        log_variance = of_cells(t, asked)
        return half * (mass * (log_2pi + log_variance) + error * np.exp(-log_variance)).sum(-1)

    def of_groups(t: np.ndarray, asked: np.ndarray) -> np.ndarray:
        some = np.array_split(np.arange(len(t)), -(-len(t) // 100))  # all at once would be G (T + 1) B numbers
        parts = [nats(t[i], asked[i], *cells.by_group(t[i], statistics.counts, statistics.squared_error)) for i in some]
        return np.concatenate(parts, axis=1)

    return StepPrices(mean=lambda t, asked: nats(t, asked, cells.mass[t], cells.error[t]), of_groups=of_groups)


def _pixels(x_0: Tensor, answer: Prediction, variance: Any, levels: int | None) -> Tensor:
    """(n,) nats of images under a Gaussian around xhat_0."""
    from ddpm_dp.gaussians import decoder_log_likelihood

    return -decoder_log_likelihood(x_0, answer.x0, variance, levels)


# In the order of menus and tables; the first is the default.
DECODERS: Registry[Decoder] = Registry("decoder", [Fitted(), MeanError(), Fixed(), Published(), Bao()])

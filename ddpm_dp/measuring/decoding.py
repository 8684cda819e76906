"""The decoder's curve, from a histogram of errors: no pixel is priced twenty times over.

What a grey level costs under a Gaussian depends on the error r = x_0 - xhat_0 and on the variance alone, but for levels
at the ends of [-1, 1], whose bins are open to the outside. So each error is shared out linearly between two of some
2,600 places, those at the ends apart, and each place is priced at each variance once for the whole pass. Beyond two
grey levels places lie 1.5% apart (beyond 4, twice that): there a price is too high by 1e-4 of itself at most. Below
there are 150 to a level: too high by 6e-5 nats where the standard deviation is half a level, on average over errors.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ddpm_dp.gaussians import discretised_log_likelihood
from ddpm_dp.measuring.observers import CellObserver, Histogram, Observer, Scored, Seen, Setting
from ddpm_dp.statistics.decoding import APART, STEP, DecoderCurve
from ddpm_dp.variances.decoders import smallest_posterior
from ddpm_dp.variances.fields import ALIKE, BINS_OF, BOUNDS, LOCAL, Field, Maps

FINE = 256  # bins of v for the curve between bounds: exact to 3e-5 nats a pixel where the bounds are e^10 apart
PARTS = 4  # of a step: the prices' own grid of log variances
AROUND = 4  # nodes of a class's curve to both sides of what is best: a factor of 5 in the variance
EVEN, BEYOND, FAR = 150, 0.015, 0.03  # places to a grey level, up to two; beyond, and beyond 4, how far in log apart
FURTHEST = 1000.0  # an error beyond all that can be priced: images lie in [-1, 1]
LARGEST = 1e4  # and a variance
# Coordinates, like all others, that each class is given beside its own when it is fitted: else one pixel that is far
# off in 360 held-out digits, of a class whose training images had none, can cost all of them 0.02 bits/dim. With 100
# those digits cost 0.006 less than with 10 (t = 180 to 299), and 512 images of Fashion-MNIST 0.0007 more.
PRIOR = 100
OF_GROUP, BELOW_MEAN = 6, 2  # nodes of the groups' prices, and how many of them lie below m_t


@dataclass
class Prices:
    """What each place of an error costs at each variance, for images of so many grey levels.

    Attributes:
        place: (P,) errors: up to two grey levels evenly, beyond them geometrically, up to FURTHEST.
        start: the log variance of the first column.
        nats: (P + 2 P - 1, J) prices: errors |r| of levels between the ends, then -r .. r of those at an end, turned so
            that outside is positive.
    """

    levels: int
    place: Tensor
    start: float
    nats: Tensor

    @classmethod
    def of(cls, levels: int, start: float, columns: int, device: torch.device) -> "Prices":
        width = 2 / (levels - 1)
        even = torch.arange(2 * EVEN, dtype=torch.float64) * (width / EVEN)
        beyond = 2 * width * torch.exp(torch.arange(0, math.log(4 / (2 * width)), BEYOND, dtype=torch.float64))
        far = 4 * torch.exp(torch.arange(0, math.log(FURTHEST / 4) + FAR, FAR, dtype=torch.float64))
        place = torch.cat([even, beyond, far])
        variance = torch.exp(start + STEP / PARTS * torch.arange(columns, dtype=torch.float64))
        at_end = torch.cat([-place.flip(0)[:-1], place])
        inner, outer = torch.zeros(1, 1, dtype=torch.float64), -torch.ones(1, 1, dtype=torch.float64)
        inside = discretised_log_likelihood(inner, inner - place[:, None], variance, levels)
        outside = discretised_log_likelihood(outer, outer - at_end[:, None], variance, levels)
        return cls(levels, place.to(device), start, -torch.cat([inside, outside]).to(device))

    def find(self, x_0: Tensor, xhat_0: Tensor) -> tuple[Tensor, Tensor]:
        """The place to the left of each pixel's error, and the share of the one to the right: two flat tensors.

        The share of an error beyond FURTHEST is NaN, and so is every price that it is part of.
        """
        r, half, last = (x_0 - xhat_0).flatten(), 1 / (self.levels - 1), len(self.place) - 1
        x = x_0.flatten()
        low, high = x < -1 + half, x > 1 - half
        end, r = low | high, torch.where(high, -r, r)
        size = r.abs()
        size = torch.where(size <= FURTHEST, size, math.nan)
        left = self._left(size.nan_to_num(0)).clamp(0, last - 1)
        share = (size - self.place[left]) / (self.place[left + 1] - self.place[left])
        # On the mirrored side the places run the other way.
        mirrored = end & (r < 0)
        left = torch.where(mirrored, last - 1 - left, left + torch.where(end, last, 0))
        return left + torch.where(end, last + 1, 0), torch.where(mirrored, 1 - share, share)

    def _left(self, size: Tensor) -> Tensor:
        """The place to the left of errors of that size, by the formulas of `of`: a search takes three times as long.

        Where rounding takes the neighbour of a size that lies on a place, its share is 0 or 1 but for rounding.
        """
        width = 2 / (self.levels - 1)
        beyond = 2 * EVEN  # the first place of each part, and where it lies
        far = beyond + math.ceil(math.log(4 / (2 * width)) / BEYOND)
        log = size.clamp(min=2 * width).log()
        outer = torch.where(size < 4, beyond + (log - math.log(2 * width)) / BEYOND, far + (log - math.log(4)) / FAR)
        return torch.where(size < 2 * width, size * (EVEN / width), outer).long()


class DecoderCurves(Observer):
    """The curves of all fields that this network's answers can feed.

    One histogram by group and class serves the field with classes and, added up, the one without; where there is v, a
    finer one in v serves the curve between bounds.
    """

    def __init__(self, setting: Setting, cells: dict[str, CellObserver]):
        super().__init__(setting)
        assert setting.levels is not None, "continuous data need no curve: their density is a formula"
        noise = setting.noise
        # At the first variance half of the distance between levels is 32 standard deviations or more.
        least = min((1 / (32 * (setting.levels - 1))) ** 2, smallest_posterior(noise) / 2)
        self.nodes = math.ceil((math.log(LARGEST) - math.log(least)) / STEP) + 1
        columns = (self.nodes - 1) * PARTS + 1
        self.prices = Prices.of(setting.levels, math.log(least), columns, setting.home)
        self.field, self.sorter = _field(cells)
        self.fine = FINE if self.field.output == BOUNDS.output else 0

    def begin(self, t: int) -> None:
        self.t = t
        self.shape = len(self.setting.counts), self.field.classes, len(self.prices.nats)
        self.bins = torch.zeros(math.prod(self.shape), dtype=torch.float64, device=self.setting.home)
        self.bins_of_v = torch.zeros(self.fine * self.shape[2], dtype=torch.float64, device=self.setting.home)

    def look(self, seen: Seen) -> None:
        pass  # the classes must be known first

    def agree(self) -> None:
        self.maps = self._maps()

    def look_again(self, seen: Seen) -> None:
        left, share = self.prices.find(seen.x_0, seen.xhat_0)
        kind = self.field.class_of(seen.prediction, self.maps).to(left.device).expand(seen.x_0.shape).flatten(1)
        rest, place = 1 - share, (seen.group[:, None] * self.shape[1] + kind).flatten()
        _share_out(self.bins, place.mul_(self.shape[2]).add_(left), rest, share)
        if self.fine:
            v = seen.second(BOUNDS.output)
            assert v is not None, "there is a finer histogram only where there is v"
            low, high = self._ends
            place = (v.flatten() - low).mul_(self.fine / max(high - low, 1e-12)).long().clamp_(0, self.fine - 1)
            _share_out(self.bins_of_v, place.mul_(self.shape[2]).add_(left), rest, share)

    def row(self) -> dict[str, Tensor]:
        setting, columns = self.setting, self.prices.nats
        bins = setting.processes.total(self.bins).view(self.shape) / setting.images_of_group[:, None, None]
        weights = setting.images_of_group / setting.images_of_group.sum()
        total = torch.tensordot(weights, bins, 1)  # (C, P)
        mean, m = total @ columns, float(setting.fitted_m[self.t])
        if not torch.isfinite(mean).all():
            raise not_finite(self.t)
        whole, steps = torch.arange(self.nodes, device=mean.device) * PARTS, torch.arange(OF_GROUP, device=mean.device)

        low = math.log(max(m, 1e-300)) - BELOW_MEAN * APART
        of_group = bins.sum(1) @ self._at(self._column(low + APART * steps))
        rows = self._rows("all", whole[None], mean.sum(0)[None, whole], low, of_group)
        if self.fine:
            fine = setting.processes.total(self.bins_of_v).view(self.fine, -1) / setting.counts.sum() @ columns
            nats = _interpolated(fine, self._between(self.fine, self._ends, whole)).sum(0)[None]
            low = math.log(float(setting.noise.sigma2[self.t])) - (OF_GROUP - 1) * APART
            ends = float(self.maps["low"]), float(self.maps["high"])
            place = self._between(self.shape[1], ends, self._column(low + APART * steps))
            rows |= self._rows("bounds", whole[None], nats, low, torch.einsum("gcp,pcw->gw", bins, self._at(place)))
        if self.field.classes > 1:
            name, fit = f"curve.{self.field.name}", self._fit(mean)
            place = self._around(fit)
            rows |= self._rows(self.field.name, place, mean.gather(1, place), 0.0, None, fit)
            best = rows.get(f"{name}.fitted", rows[f"{name}.low"] + AROUND * STEP)
            of_group = torch.einsum("gcp,pc->g", bins, self._at(self._column(best)))
            rows[f"{name}.of_group"] = of_group.clamp(min=0)[:, None]
            for part, value in self.maps.items():
                rows[f"{name}.map.{part}"] = torch.as_tensor(value, dtype=torch.float64)
        return rows

    def _rows(
        self,
        name: str,
        place: Tensor,
        nats: Tensor,
        group_low: float,
        of_group: Tensor | None,
        fit: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """A curve of nats (C, V) at columns (C, V) of the prices, and what is best for training images.

        `fit`: (C,) the columns where several classes are best; one is searched for here.
        """
        setting, nats = self.setting, nats.clamp(min=0)
        low = self.prices.start + STEP / PARTS * place[:, 0].double()
        rows = {"low": low, "nats": nats, "group_low": torch.tensor(group_low, dtype=torch.float64)}
        if of_group is not None:
            rows["of_group"] = of_group.clamp(min=0)
        if setting.fitted is None:
            one, nothing = np.zeros((1, 1, 1)), np.zeros(1)
            curve = DecoderCurve(name, low[None].cpu().numpy(), nats[None].cpu().numpy(), one, nothing)
            fitted, training = curve.best(np.array([0]))
            if fit is not None:
                fitted = (self.prices.start + STEP / PARTS * fit.double())[None].cpu().numpy()
                training = curve.mean(np.array([0]), fitted)
            rows |= {"fitted": torch.from_numpy(fitted[0]), "training": torch.from_numpy(training)[0]}
        elif name in setting.fitted.curves:
            known = setting.fitted.curves[name]
            if known.fitted is not None and known.training is not None:
                fitted, training = known.fitted[self.t], known.training[self.t]
                rows |= {"fitted": torch.from_numpy(fitted), "training": torch.tensor(training)}
        return {f"curve.{name}.{part}": values for part, values in rows.items()}

    def _column(self, log_variance: Tensor) -> Tensor:
        """Where log variances lie among the columns of the prices."""
        last = (self.nodes - 1) * PARTS
        return ((log_variance - self.prices.start) / STEP * PARTS).clamp(0, last).to(self.prices.nats)

    def _maps(self) -> Maps:
        """How to find a pixel's class: as on the training images."""
        fitted, name = self.setting.fitted, self.field.name
        if isinstance(self.sorter, Histogram):
            if fitted is not None and name in fitted.curves:
                return {part: rows[self.t] for part, rows in fitted.curves[name].maps.items()}
            return {"low": float(self.sorter.low), "high": float(self.sorter.high)}
        if isinstance(self.sorter, Scored):
            return self.sorter.weights[name]._asdict()
        return {}

    def _fit(self, mean: Tensor) -> Tensor:
        """(C,) the columns, between their own too, at which each class costs training images least, from nats (C, J).

        On training images that is the least of parabolas through three columns, with PRIOR coordinates added.
        """
        known = None if self.setting.fitted is None else self.setting.fitted.curves.get(self.field.name)
        if known is not None:  # in the middle of the nodes, but for the parabola's part of a column
            return self._column(torch.from_numpy(known.low[self.t]).to(mean) + AROUND * STEP)
        goal = mean + PRIOR / (self.setting.counts.sum() * self.setting.d) * mean.sum(0)
        middle = goal.argmin(1, keepdim=True).clamp(1, mean.shape[1] - 2)
        left, least, right = (goal.gather(1, middle + i)[:, 0] for i in (-1, 0, 1))
        bend = (left - 2 * least + right).clamp(min=1e-300)
        return middle[:, 0] + ((left - right) / (2 * bend)).clamp(-0.5, 0.5)

    def _around(self, fit: Tensor) -> Tensor:
        """(C, 2 AROUND + 1) the columns that are the nodes of each class: evenly around what is best."""
        reach, last = AROUND * PARTS, (self.nodes - 1) * PARTS
        return fit.round().long()[:, None].clamp(reach, last - reach) + torch.arange(-reach, reach + 1, PARTS).to(
            fit.device
        )

    @property
    def _ends(self) -> tuple[float, float]:
        """The least and the largest v of these images at this timestep."""
        assert isinstance(self.sorter, Histogram), "v has a histogram"
        return float(self.sorter.low), float(self.sorter.high)

    def _between(self, bins: int, ends: tuple[float, float], columns: Tensor) -> Tensor:
        """(B, n) where bins of v, evenly between its ends, lie among the columns for n lower bounds, each bin by its
        centre."""
        low, high = ends
        v = low + (high - low) * (torch.arange(bins, dtype=torch.float64, device=columns.device) + 0.5) / bins
        upper = self._column(torch.tensor(math.log(float(self.setting.noise.sigma2[self.t]))))
        place = (1 - v)[:, None] * columns + v[:, None] * upper
        return place.clamp(0, (self.nodes - 1) * PARTS)

    def _at(self, place: Tensor) -> Tensor:
        """(P, ...) the prices of all places of an error at columns between their own."""
        flat = place.flatten().expand(len(self.prices.nats), -1)
        return _interpolated(self.prices.nats, flat).unflatten(1, place.shape)


def not_finite(t: int) -> ValueError:
    """What is raised where no price can be had."""
    return ValueError(
        f"The model's output is not finite at t = {t}, or its xhat_0 misses images in [-1, 1] by more than "
        f"{FURTHEST:,.0f}; such a model cannot be priced."
    )


def _field(cells: dict[str, CellObserver]) -> tuple[Field, CellObserver | None]:
    """The field whose classes suit these cells: bins of a second output, else of a score; and who sorts into them."""
    for name, field in (*BINS_OF.items(), (LOCAL.name, LOCAL)):
        if name in cells:
            return field, cells[name]
    return ALIKE, None


def _share_out(bins: Tensor, left: Tensor, rest: Tensor, share: Tensor) -> None:
    """Add the rest at `left`, the share one place to the right; `left` is overwritten."""
    bins.index_add_(0, left, rest).index_add_(0, left.add_(1), share)


def _interpolated(values: Tensor, place: Tensor) -> Tensor:
    """(..., n) values (..., J), known at the places 0 .. J - 1, at n other places: cubics through four neighbours."""
    left = place.long().clamp(1, values.shape[-1] - 3)
    x = place - left
    weights = (
        -x * (x - 1) * (x - 2) / 6,
        (x + 1) * (x - 1) * (x - 2) / 2,
        -(x + 1) * x * (x - 2) / 2,
        (x + 1) * x * (x - 1) / 6,
    )
    return sum((weight * values.gather(-1, left + i) for i, weight in enumerate(weights, -1)), torch.zeros_like(x))

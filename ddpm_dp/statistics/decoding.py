"""What a pass remembers of the decoder p(x_0 | x_t): its price as a curve over its variance.

The likelihood of grey levels has no closed form in the variance, so its price is measured on a grid of them, evenly
spaced in log variance. Between the nodes log nats is a cubic spline: see `STEP` for what is lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ddpm_dp.statistics import filling
from ddpm_dp.statistics.groups import mean_of_groups
from ddpm_dp.statistics.rows import RowsOnDemand, known_rows

# Of log variance, from one node to the next. Where a Gaussian meets bins of grey, log nats bends over a few units: with
# this step no decoder's price is wrong by 1e-4 bits/dim, or of itself (tests/variances/test_decoders.py).
STEP = 0.4
APART = 1.3  # the same of the nodes at which groups of images are priced: they are for standard errors
SMALLEST = 1e-9  # nats of an image, below which a price is 0


@dataclass(frozen=True, eq=False)
class DecoderPrices:
    """(G, T + 1) nats of one decoder, from a file that an earlier version wrote; `name` as `variances/decoders.py` has.

    Raises ValueError if a price is NaN.
    """

    name: str
    nats: np.ndarray

    def __post_init__(self) -> None:
        if np.isnan(self.nats).any():
            t = np.argwhere(np.isnan(self.nats))[0][-1]
            raise ValueError(
                f"The price of the decoder {self.name!r} is NaN at t = {t}: the model's output was not finite there; "
                "it cannot be priced."
            )


@dataclass(frozen=True, eq=False)
class DecoderCurve:
    """The price of the decoder against its variance, where that is one number for each of C classes of coordinates.

    Attributes:
        name: which coordinates are alike: a name in `FIELDS` (`variances/fields.py`).
        low: (T + 1, C) log variance at the first node of each class; the others follow in steps of `STEP`.
        nats: (T + 1, C, V) nats per image that the coordinates of a class cost at each node. One class has nodes for
            any variance; of several, each has some around what was fitted.
        of_group: (G, T + 1, W) nats in each group of images, of all classes together: of one class at W variances, in
            steps of `APART` from `group_low` on; of several at W = 1, where each has what was fitted. In between and
            elsewhere a group's share follows from these.
        group_low: (T + 1,) log variance at the first of the W nodes.
        fitted: (T + 1, C) log variance that is best for training images; None where that is not known.
        training: (T + 1,) nats that this costs those images; by it, one curve is chosen at each timestep.
        maps: how to find a coordinate's class again, (T + 1, ...) arrays by name.

    Raises ValueError if shapes disagree, there are fewer than four nodes, a number is not finite or a price negative.
    """

    name: str
    low: np.ndarray
    nats: np.ndarray
    of_group: np.ndarray
    group_low: np.ndarray
    fitted: np.ndarray | None = None
    training: np.ndarray | None = None
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        entries, classes, nodes = self.nats.shape if self.nats.ndim == 3 else (0, 0, 0)
        expected = {
            "low": (entries, classes),
            "of_group": (entries, self.of_group.shape[-1]),
            "group_low": (entries,),
            "fitted": (entries, classes),
            "training": (entries,),
        }
        for name, shape in expected.items():
            values = getattr(self, name)
            if values is not None and (not nodes or values.shape[-len(shape) :] != shape):
                raise ValueError(
                    f"The decoder's curve {self.name!r} has {name} of shape {values.shape} beside nats of shape "
                    f"{self.nats.shape}; expected {shape}."
                )
        if nodes < 4:
            raise ValueError(f"The decoder's curve {self.name!r} has {nodes} nodes; expected 4 or more.")
        for name in ("low", "nats", "group_low", "fitted", "training"):
            self._require_finite(name, known_rows(getattr(self, name)))
        nats, of_group = known_rows(self.nats), known_rows(self.of_group)
        self._require_finite("of_group", np.moveaxis(of_group, 1, 0))
        if not (nats >= 0).all() or not (of_group >= 0).all():
            raise ValueError(f"The decoder's curve {self.name!r} has a negative price; measure again.")

    def _require_finite(self, name: str, values: np.ndarray | None) -> None:
        """Raise ValueError unless (T + 1, ...) values are finite, where there are any."""
        if values is not None and not np.isfinite(values).all():
            t = int(np.argwhere(~np.isfinite(values))[0][0])
            raise ValueError(
                f"The decoder's curve {self.name!r} has {name} that are not finite at t = {t}: the model's output was "
                "not finite there, or the file was changed; measure again."
            )

    def mean(self, t: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
        """(n,) nats at n timesteps t, of all images, for (n, C) or (n, 1) log variances.

        Below the first node, where all bins but xhat_0's own are many standard deviations away, they grow as
        1 / variance.
        """
        place = (log_variance - self.low[t]) / STEP
        return (self._of_classes(t, place) * np.exp(STEP * (-place).clip(0))).sum(-1)

    def by_group(self, t: np.ndarray, log_variance: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """(G, n) the same in each group of images, of `counts` images; their mean is `mean`."""
        parts = self.of_group[:, t]
        mean = mean_of_groups(parts, counts)[0]
        share = np.divide(parts, mean, where=mean > 0, out=np.ones(parts.shape))
        return self.mean(t, log_variance) * self._between(share, t, log_variance)

    def best(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, C) the log variances at n timesteps t that are best for these images, and (n,) what they cost.

        A one-dimensional search: the least of each spline, which lies beside its least node.
        """
        place = _Spline(np.log(self.nats[t] + SMALLEST)).least()
        return self.low[t] + STEP * place, self._of_classes(t, place).sum(-1)

    def fitted_anew(self) -> "DecoderCurve":
        """This curve with what is best for its own images as what was fitted."""
        fitted, training = self.best(np.arange(len(self.low)))
        return replace(self, fitted=fitted, training=training)

    def fitted_to(self, other: "DecoderCurve") -> "DecoderCurve":
        """This curve with what was fitted for `other`."""
        return replace(self, fitted=other.fitted, training=other.training)

    def same_fit(self, other: "DecoderCurve", measured: np.ndarray) -> bool:
        """Whether the same was fitted at measured timesteps, as far as a file's float32 tells, or nothing is known."""
        pairs = [(self.fitted, other.fitted), *((rows, other.maps.get(name)) for name, rows in self.maps.items())]
        return self.nats.shape == other.nats.shape and all(
            one is None or two is None or np.allclose(one[measured], two[measured], rtol=1e-5, atol=1e-5)
            for one, two in pairs
        )

    def of_groups(self, groups: np.ndarray, counts: np.ndarray) -> "DecoderCurve":
        """The curve of some groups of images alone, of `counts` images in each of all groups; what was fitted stays.

        Groups are not told apart by class: of several classes all cost what they cost all images, but for one factor.
        """
        kept = self.of_group[groups]
        before, after = mean_of_groups(self.of_group, counts)[0], mean_of_groups(kept, counts[groups])[0]
        ratio = np.divide(after, before, where=before > 0, out=np.ones_like(before))[None]
        t, at_nodes = np.arange(len(self.low)), self.low[..., None] + STEP * np.arange(self.nats.shape[-1])
        times = [self._between(ratio, t, each)[0] for each in np.moveaxis(at_nodes, 2, 0)]
        return replace(self, of_group=kept, nats=self.nats * np.stack(times, axis=-1)[:, None])

    def of_training_groups(self, groups: np.ndarray, counts: np.ndarray) -> "DecoderCurve":
        """The same where these are training images: one number is fitted anew; of several, what they cost is known."""
        part = self.of_groups(groups, counts)
        if part.fitted is None or part.nats.shape[1] == 1:
            return part.fitted_anew()
        return replace(part, training=part.mean(np.arange(len(part.low)), part.fitted))

    def rows(self, measured: np.ndarray) -> dict[str, np.ndarray]:
        """What is kept in a file, by name, at the measured timesteps."""
        assert self.fitted is not None and self.training is not None or self.fitted is self.training is None
        rows = {"low": self.low, "nats": self.nats, "group_low": self.group_low}
        kept = {part: values[measured] for part, values in rows.items()} | {"of_group": self.of_group[:, measured]}
        if self.fitted is not None and self.training is not None:
            kept |= {"fitted": self.fitted[measured], "training": self.training[measured]}
        return kept | {f"map.{name}": values[measured] for name, values in self.maps.items()}

    @classmethod
    def from_rows(cls, name: str, rows: Mapping[str, np.ndarray], measured: np.ndarray, T: int) -> "DecoderCurve":
        """The curve of `rows`, as the method of that name gives them, with unmeasured timesteps filled.

        Raises KeyError if a row is missing.
        """
        made = cls(
            name,
            low=filling.linear(rows["low"], measured, T),
            nats=filling.cubic(rows["nats"], measured, T),
            of_group=filling.cubic(rows["of_group"], measured, T, axis=1),
            group_low=filling.linear(rows["group_low"], measured, T),
            maps={
                part.removeprefix("map."): filling.nearest(values, measured, T)
                for part, values in rows.items()
                if part.startswith("map.")
            },
        )
        fitted, training = rows.get("fitted"), rows.get("training")
        if fitted is None or training is None:
            return made
        return replace(
            made,
            fitted=filling.linear(fitted, measured, T),
            training=filling.cubic(training, measured, T),
        )

    def at_timesteps(self, measured: np.ndarray) -> "DecoderCurve":
        """The curve as if only those timesteps had been measured."""
        return self.from_rows(self.name, self.rows(measured), measured, len(self.nats) - 1)

    def _between(self, known: np.ndarray, t: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
        """(G, n) shares, known at the W nodes of n timesteps, (G, n, W), at other variances; where W = 1 at any.

        Where a share leaps, as that of a price of 1e-4 nats can, the spline swings: to 0 at most.
        """
        if known.shape[-1] == 1:
            return known[..., 0]
        place = ((log_variance - self.group_low[t][:, None]) / APART).clip(0, known.shape[-1] - 1)
        rows = np.arange(len(t))
        return np.stack([_Spline(each[:, None])(rows, place)[:, 0] for each in known]).clip(0)

    @cached_property
    def _splines(self) -> "_Spline":
        """Of log nats, at every timestep."""
        return _Spline(np.log(self.nats + SMALLEST))

    def _of_classes(self, t: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(n, C) nats of each class at places counted in nodes; those of the first and last node beyond them."""
        place = place.clip(0, self.nats.shape[-1] - 1)
        values: Any = self.nats
        if isinstance(values, RowsOnDemand):  # of a million timesteps not all splines fit at once
            log_nats = _Spline(np.log(values[t] + SMALLEST))(np.arange(len(t)), place)
        else:
            log_nats = self._splines(t, place)
        nats = np.exp(log_nats) - SMALLEST
        return np.where(nats < SMALLEST, 0, nats)


class _Spline:
    """Cubic splines through (N, C, V) values at the places 0 .. V - 1."""

    def __init__(self, values: np.ndarray):
        from scipy.interpolate import CubicSpline  # here: importing scipy takes time that names need not

        self.values = values
        # (V - 1, N, C, 4): the four numbers of one cubic side by side
        self.coefficients = np.ascontiguousarray(
            np.moveaxis(CubicSpline(np.arange(values.shape[-1]), values, axis=-1).c, 0, -1)
        )

    def __call__(self, rows: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(n, C) values, of n rows 0 .. N - 1, at (n, C) places; where there is one class of values, at any number."""
        left = place.astype(int).clip(0, self.values.shape[-1] - 2)
        column = np.minimum(np.arange(place.shape[1]), self.values.shape[1] - 1)
        a, b, c, d = np.moveaxis(self.coefficients[left, rows[:, None], column], -1, 0)
        x = place - left
        return ((a * x + b) * x + c) * x + d

    def least(self) -> np.ndarray:
        """(N, C) the place of the least value within a step of the least of those that it goes through."""
        rows, columns = np.indices(self.values.shape[:2])
        middle = self.values.argmin(-1)
        best, place = self.values.min(-1), middle.astype(float)
        for left in (middle - 1, middle):
            left = left.clip(0, self.values.shape[-1] - 2)
            a, b, c, d = np.moveaxis(self.coefficients[left, rows, columns], -1, 0)
            root = np.sqrt(np.maximum(b**2 - 3 * a * c, 0))
            # Where 3 a x^2 + 2 b x + c rises through 0; of two ways to write it the one that does not cancel.
            x = np.where(b > 0, -c, root - b) / np.where(b > 0, b + root, np.where(a == 0, 1, 3 * a))
            x = np.clip(np.nan_to_num(x), 0, 1)
            value = ((a * x + b) * x + c) * x + d
            best, place = np.minimum(value, best), np.where(value < best, left + x, place)
        return place

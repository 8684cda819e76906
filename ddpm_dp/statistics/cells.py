"""Cells: what one pass remembers of the errors at each timestep.

Put every coefficient c of the error x_0 - xhat_0 (in pixels, or in another orthonormal basis) of every image into one
of B cells, by where it stands and by what the sampler knows at x_t, never by x_0. How many fell into a cell, and how
large their squares are, is all that the price of a step needs. One cell is m_t; the histogram of a second output is B
of them, and so are the bins of a score (`variances/scores.py`). Neighbouring cells are alike: they lie along a line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.statistics import filling
from ddpm_dp.statistics.groups import mean_of_groups
from ddpm_dp.statistics.rows import known_rows, rows_of

ALL = "all"  # the name of the one cell that holds everything: m_t
MAP = "map."  # how the names of a file's arrays begin that hold `maps`
LEAST = 1e-5  # a cell with less than this share of the coefficients is not known well enough to be fitted by itself


@dataclass(frozen=True, eq=False)
class Cells:
    """Mass and squared error of B cells at every timestep.

    Attributes:
        name: "all" (one cell), that of a second output whose histogram it is, or that of another way to sort.
        mass: (T + 1, B) share of coefficients in each cell; a row sums to 1 (row 0 to 0).
        error: (T + 1, B) mean over all coefficients of the squared error in that cell; a row sums to m_t.
        error_of_group: (G, T + 1, C) the same in each group of images, B / C neighbouring cells taken together; None
            where it is not kept by group: a group's errors are then those of all images, scaled to the group's own m_t.
        mass_of_group: (G, T + 1, C) the shares in each group of images; None: all alike.
        fitted: (T + 1, B) the mean squared error of a coefficient in each cell, as fitted on training images: what a
            fitted reverse variance uses. None where it is not known: in a file of held-out statistics, until
            `Measured` puts it beside the training ones.
        output: the second output of which the cells are bins, a name in `OUTPUTS`; None if they are none.
        low, high: (T + 1,) the first and the last bin's centre, on the scale of `SecondOutput.place`; the others lie
            evenly between. A coordinate between two centres is split linearly between them, so the average of any f
            over the bins is that of f's linear interpolant: wrong by at most h^2 / 8 max |f''|, h the distance of two
            centres.
        basis: the name of the orthonormal basis in which errors were sorted.
        maps: how to find a coefficient's cell again, (T + 1, ...) arrays by name: thresholds, lookups.

    Raises ValueError if shapes disagree, or a number is not finite, or negative where it cannot be.
    """

    name: str
    mass: np.ndarray
    error: np.ndarray
    error_of_group: np.ndarray | None = None
    mass_of_group: np.ndarray | None = None
    fitted: np.ndarray | None = None
    output: str | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    basis: str = "pixels"
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        entries, bins = self.mass.shape
        expected = {
            "error": (entries, bins),
            "fitted": (entries, bins),
            "error_of_group": (entries, self.together),
            "mass_of_group": (entries, self.together),
            "low": (entries,),
            "high": (entries,),
        }
        for name, shape in expected.items():
            values = getattr(self, name)
            if values is not None and values.shape[-len(shape) :] != shape:
                raise ValueError(
                    f"cells {self.name!r}: {name} has shape {values.shape}; expected {shape}, as mass has."
                )
        for name in ("mass", *expected):
            values = getattr(self, name)
            if values is None:
                continue
            values = known_rows(values)
            if np.isnan(values).any():
                t = np.argwhere(np.isnan(values))[0][values.ndim - len(expected.get(name, (0, 0)))]
                raise ValueError(
                    f"cells {self.name!r}: {name} is NaN at t = {t}: the model's output was not finite there; it "
                    "cannot be priced."
                )
            if not np.isfinite(values).all() or (name not in ("low", "high") and (values < 0).any()):
                raise ValueError(
                    f"cells {self.name!r}: {name} must be finite and not negative; check the model's output for "
                    "overflow."
                )
        if not (self.output is None) == (self.low is None) == (self.high is None):
            raise ValueError(f"cells {self.name!r}: bins have an output, low and high, all three; other cells none.")
        for name, values in self.maps.items():
            if len(values) != entries:
                raise ValueError(
                    f"cells {self.name!r}: map {name!r} has {len(values)} rows; expected T + 1 = {entries}."
                )

    @classmethod
    def one(cls, squared_error: np.ndarray, counts: np.ndarray, fitted_m: np.ndarray) -> "Cells":
        """All coordinates in one cell.

        Args:
            squared_error: (G, T + 1) mean of e^2 per dimension in each group of images; column 0 is 0.
            counts: (G,) images in each group.
            fitted_m: (T + 1,) the m_t of the training images.
        """
        mass = np.ones((squared_error.shape[1], 1))
        mass[0] = 0
        mean = mean_of_groups(squared_error, counts)[0]
        return cls(ALL, mass, mean[:, None], error_of_group=squared_error[..., None], fitted=fitted_m[:, None])

    @property
    def together(self) -> int:
        """C, into how many parts the cells of a group are taken together; B where no group's are kept."""
        bins = self.mass.shape[1]
        parts = bins if self.error_of_group is None else self.error_of_group.shape[-1]
        return parts if bins % parts == 0 else bins

    @property
    def own(self) -> np.ndarray:
        """(T + 1, B) the mean squared error of a coefficient in each cell, on these images: error / mass."""
        return _per_coefficient(np.asarray(self.error), np.asarray(self.mass))

    def fit(self, t: np.ndarray) -> np.ndarray:
        """(n, B) `own` at n timesteps, but where a cell has less than LEAST of the mass: there, linear between its
        neighbours."""
        mass, place = self.mass[t], np.arange(self.mass.shape[1])
        fitted, known = _per_coefficient(self.error[t], mass), mass >= LEAST
        for i in np.flatnonzero(~known.all(1) & known.any(1)):
            fitted[i] = np.interp(place, place[known[i]], fitted[i, known[i]])
        return fitted

    def fitted_to(self, other: "Cells") -> "Cells":
        """These cells with the errors of `other`'s images as what was fitted, `other` sorted in the same way.

        Bins of an output may begin and end elsewhere: what was fitted there lies linear between their centres.
        """

        def make(t: np.ndarray) -> np.ndarray:
            fit = other.fit(t)
            if self.output is None or self is other:
                return fit
            places = zip(self._places(t), other._places(t), fit, strict=True)
            return np.stack([np.interp(a, b, row) for a, b, row in places])

        measured = getattr(self.mass, "measured", np.arange(len(self.mass)))
        return replace(self, fitted=rows_of(self.mass.shape, make, measured))

    def _places(self, t: int | np.ndarray) -> np.ndarray:
        """(..., B) where the bins' centres lie on the scale of the output."""
        assert self.low is not None and self.high is not None, "cells that are no bins have no places"
        return np.linspace(self.low[t], self.high[t], self.mass.shape[1], axis=-1)

    def same_way(self, other: "Cells", at: np.ndarray) -> bool:
        """Whether coefficients are sorted as in `other` at those timesteps: by the same maps."""
        return self.maps.keys() == other.maps.keys() and all(
            np.array_equal(rows[at], other.maps[name][at]) for name, rows in self.maps.items()
        )

    def of_groups(self, groups: np.ndarray, counts: np.ndarray) -> "Cells":
        """These cells of some groups of images alone, of `counts` images in each of all groups; what was fitted stays.

        What is not kept by group stays that of all images.
        """
        if self.name == ALL:
            assert self.error_of_group is not None, "m_t is kept by group"
            errors = self.error_of_group[groups]
            return replace(self, error_of_group=errors, error=mean_of_groups(errors, counts[groups])[0])
        if self.error_of_group is None or self.mass_of_group is None:
            return self
        kept: dict[str, Any] = {}
        for name, of_all in (("mass", self.mass), ("error", self.error)):
            parts = getattr(self, f"{name}_of_group")
            kept[f"{name}_of_group"] = parts[groups]
            before, after = mean_of_groups(parts, counts)[0], mean_of_groups(parts[groups], counts[groups])[0]
            kept[name] = of_all * self._times(after, before)
        return replace(self, **kept)

    def by_group(self, t: np.ndarray, counts: np.ndarray, squared_error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(G, n, B) mass and error in each group of images at n timesteps t; their means are `mass` and `error`.

        `counts` (G,) images in each group, `squared_error` (G, T + 1) its m_t. Within the cells that are taken together
        a group is as all images are.
        """
        mass, error = self.mass[t], self.error[t]
        if self.error_of_group is None or self.mass_of_group is None:
            m = np.maximum(error.sum(-1), np.finfo(float).tiny)
            return np.broadcast_to(mass, (len(counts), *mass.shape)), (squared_error[:, t] / m)[..., None] * error
        parts = (self.mass_of_group[:, t], self.error_of_group[:, t])
        of_group = (
            each * self._times(part, mean_of_groups(part, counts)[0])
            for each, part in zip((mass, error), parts, strict=True)
        )
        return next(of_group), next(of_group)

    def _times(self, parts: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """(..., C) parts as multiples of their mean, for each of the B cells; 1 where there is nothing."""
        mean = np.broadcast_to(mean, parts.shape)
        ratio = np.divide(parts, mean, where=mean > 0, out=np.ones(parts.shape))
        return np.repeat(ratio, self.mass.shape[1] // self.together, axis=-1)

    def centres(self, t: int | np.ndarray) -> np.ndarray:
        """(..., B) the values of the second output at the bins' centres, at one timestep or at several."""
        assert self.output, "cells that are no bins have no centres"
        return OUTPUTS[self.output].at_place(self._places(t))

    def rows(self, measured: np.ndarray) -> dict[str, np.ndarray]:
        """What was measured, by name, at the measured timesteps; and of the one cell all rows of what was fitted.

        What was fitted in other cells follows from the training statistics, and is not kept twice.
        """
        by_group = {"error_of_group": self.error_of_group, "mass_of_group": self.mass_of_group}
        kept = {name: values[:, measured] for name, values in by_group.items() if values is not None}
        if self.name == ALL:
            assert self.fitted is not None, "the constructor of the statistics asks for it"
            return kept | {"fitted": self.fitted}
        rows = {"mass": self.mass, "error": self.error, "low": self.low, "high": self.high}
        kept |= {name: values[measured] for name, values in rows.items() if values is not None}
        return kept | {f"{MAP}{name}": values[measured] for name, values in self.maps.items()}

    @classmethod
    def from_rows(
        cls,
        name: str,
        rows: Mapping[str, np.ndarray],
        measured: np.ndarray,
        counts: np.ndarray,
        squared_error: np.ndarray,
        output: str | None = None,
        basis: str = "pixels",
    ) -> "Cells":
        """The cells of `rows`, as the method of that name gives them, with unmeasured timesteps filled.

        `counts` (G,) are the images in each group; `squared_error` (G, T + 1) their mean squared errors at all
        timesteps, to which a group's errors are scaled. Raises KeyError if a row is missing.
        """
        if name == ALL:
            return cls.one(squared_error, counts, rows["fitted"][:, 0])
        T, m = squared_error.shape[1] - 1, counts @ squared_error / counts.sum()
        errors, masses = rows.get("error_of_group"), rows.get("mass_of_group")
        return cls(
            name,
            mass=filling.linear(rows["mass"], measured, T),
            error=filling.shares(rows["error"], measured, m),
            error_of_group=None if errors is None else filling.shares(errors, measured, squared_error),
            mass_of_group=None if masses is None else filling.linear(masses, measured, T, axis=1),
            output=output,
            low=filling.linear(rows["low"], measured, T) if "low" in rows else None,
            high=filling.linear(rows["high"], measured, T) if "high" in rows else None,
            basis=basis,
            maps={
                part.removeprefix(MAP): filling.nearest(values, measured, T)
                for part, values in rows.items()
                if part.startswith(MAP)
            },
        )


def _per_coefficient(error: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """error / mass, 0 where there is no mass."""
    return np.divide(error, mass, where=mass > 0, out=np.zeros_like(error))

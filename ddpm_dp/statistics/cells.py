"""Cells: what one pass remembers of the errors at each timestep.

Put every coefficient c of the error x_0 - xhat_0 (in pixels, or in another orthonormal basis) of every image into one
of B cells, by where it stands and by what the sampler knows at x_t, never by x_0. How many fell into a cell, and how
large their squares are, is all that the price of a step needs. One cell is m_t; the histogram of a second output is B
of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.statistics import filling
from ddpm_dp.statistics.groups import mean_of_groups

ALL = "all"  # the name of the one cell that holds everything: m_t
MAP = "map."  # how the names of a file's arrays begin that hold `maps`


@dataclass(frozen=True, eq=False)
class Cells:
    """Mass and squared error of B cells at every timestep.

    Attributes:
        name: "all" (one cell), that of a second output whose histogram it is, or that of another way to sort.
        mass: (T + 1, B) share of coefficients in each cell; a row sums to 1 (row 0 to 0).
        error: (T + 1, B) mean over all coefficients of the squared error in that cell; a row sums to m_t.
        error_of_group: (G, T + 1, B) the same in each group of images; None where it is not kept by group: a group's
            errors are then those of all images, scaled to the group's own m_t.
        mass_of_group: (G, T + 1, B) the shares in each group of images, where images differ in them; None: all alike.
        fitted: (T + 1, B) the mean squared error per coefficient of a cell, error / mass, as fitted on training images:
            what a fitted reverse variance uses; None where nothing is fitted.
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
            "error_of_group": (entries, bins),
            "mass_of_group": (entries, bins),
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
    def own(self) -> np.ndarray:
        """(T + 1, B) the mean squared error of a coefficient in each cell, on these images: error / mass."""
        return np.divide(self.error, self.mass, where=self.mass > 0, out=np.zeros_like(self.error))

    def fitted_to(self, other: "Cells") -> "Cells":
        """These cells with `other`'s own errors as what was fitted; without change where nothing is."""
        return self if self.fitted is None else replace(self, fitted=other.own)

    def of_groups(self, groups: np.ndarray, counts: np.ndarray) -> "Cells":
        """These cells of some groups of images alone, of `counts` images each; what was fitted stays.

        What is not kept by group stays that of all images.
        """
        if self.error_of_group is None:
            return self
        errors = self.error_of_group[groups]
        some = replace(self, error_of_group=errors, error=mean_of_groups(errors, counts)[0])
        if self.mass_of_group is None:
            return some
        masses = self.mass_of_group[groups]
        return replace(some, mass_of_group=masses, mass=mean_of_groups(masses, counts)[0])

    def centres(self, t: int) -> np.ndarray:
        """(B,) the values of the second output at the bins' centres."""
        assert self.output and self.low is not None and self.high is not None, "cells that are no bins have no centres"
        return OUTPUTS[self.output].at_place(np.linspace(self.low[t], self.high[t], self.mass.shape[1]))

    def rows(self, measured: np.ndarray) -> dict[str, np.ndarray]:
        """What follows from nothing else, by name: rows of the measured timesteps, and all rows of what was fitted."""
        by_group = {"error_of_group": self.error_of_group, "mass_of_group": self.mass_of_group}
        kept = {name: values[:, measured] for name, values in by_group.items() if values is not None}
        if self.fitted is not None:
            kept["fitted"] = self.fitted
        if self.name == ALL:
            return kept
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
        if errors is not None:
            groups = zip(errors, squared_error, strict=True)
            errors = np.stack([filling.shares(each, measured, of_group) for each, of_group in groups])
        return cls(
            name,
            mass=filling.linear(rows["mass"], measured, T),
            error=filling.shares(rows["error"], measured, m) if errors is None else mean_of_groups(errors, counts)[0],
            error_of_group=errors,
            mass_of_group=None if masses is None else np.stack([filling.linear(each, measured, T) for each in masses]),
            fitted=rows.get("fitted"),
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

"""The rule of honest numbers, in one place: paths are chosen on training images and priced on others.

Whatever was fitted (m_t, cells, the decoder) stays the training one. Whoever prints a number takes a `Measured`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from ddpm_dp.statistics.cells import ALL
from ddpm_dp.statistics.denoising import DenoisingStatistics
from ddpm_dp.statistics.images import COMMON, in_common


class Origin(Protocol):
    """Where paths were chosen: training statistics, or a paths file that remembers which they were."""

    @property
    def model_id(self) -> str: ...

    @property
    def data_id(self) -> str: ...


Train = TypeVar("Train", bound=Origin)


@dataclass(frozen=True, eq=False)
class Measured(Generic[Train]):
    """One model, measured on training images, where paths are chosen, and on held-out ones, where they are priced.

    Args:
        train: the training statistics (for `compare`, the paths file of paths chosen on them will do).
        held_out: measured on other images with `fitted=` the training statistics; None where there are none: then only
            what needs none can be done.

    Raises ValueError if they are no such pair; if `train` was fitted on other images than its own; or if `held_out` is
    of another model, of images of which paths were chosen on only one, of images of another kind, or fitted otherwise
    than `train` was.

    >>> import ddpm_dp
    >>> both = Measured.load(ddpm_dp.shipped("digits/train.npz"), ddpm_dp.shipped("digits/test.npz"))
    >>> both.train.n, both.judge.n
    (1437, 360)
    """

    train: Train
    held_out: DenoisingStatistics | None = None

    def __post_init__(self) -> None:
        self._check()
        if isinstance(self.train, DenoisingStatistics) and self.held_out is not None:
            object.__setattr__(self, "held_out", _with_fit(self.train, self.held_out))

    def _check(self) -> None:
        train, held_out = self.train, self.held_out
        if not hasattr(train, "data_id") or not isinstance(held_out, DenoisingStatistics | None):
            raise ValueError("Measured takes the training statistics, and the held-out ones where there are any.")
        if isinstance(train, DenoisingStatistics) and train.fitted_on != train.data_id:
            raise ValueError(
                "The training statistics are held-out ones (their m_t was fitted on other images); give those that "
                "were measured without fitted= (--fitted)."
            )
        if held_out is None:
            return
        held_out.require_model(train.model_id, "what the paths were chosen for")
        if held_out.data_id == train.data_id:
            raise ValueError(
                "The held-out statistics are of the very images that the paths were chosen on; measure others "
                "(--split test)."
            )
        refuse_in_common(self.in_common, held_out.n)
        if held_out.fitted_on != train.data_id:
            raise ValueError(
                "The held-out statistics have their m_t from other images than the paths were chosen on; measure them "
                "again with these training statistics (fitted=, or --fitted)."
            )
        if isinstance(train, DenoisingStatistics) and not _same_fit(train, held_out):
            raise ValueError(
                "The held-out statistics have other fitted numbers than the training ones: a part of one of them was "
                "fitted anew; measure them again with these training statistics (fitted=, or --fitted)."
            )
        if isinstance(train, DenoisingStatistics) and (train.shape, train.levels) != (held_out.shape, held_out.levels):
            raise ValueError(
                f"The training images have shape {train.shape} and {train.levels} grey levels, the held-out ones "
                f"{held_out.shape} and {held_out.levels}; measure images of one kind."
            )

    @property
    def in_common(self) -> int | None:
        """How many held-out images are among those that the paths were chosen on; None if a file does not say.

        A paths file does not list its images: what counts is what was found when the held-out ones were measured.
        """
        if self.held_out is None:
            return None
        if isinstance(self.train, DenoisingStatistics):
            return in_common(self.held_out.images, self.train.images)
        return self.held_out.about.get(COMMON)

    @property
    def doubt(self) -> str:
        """A sentence for the reader of a price, where it is not known that no image is on both sides; else ""."""
        if self.held_out is None or self.in_common is not None:
            return ""
        return (
            "Whether some of these images are among those that the paths were chosen on is unknown: the statistics are "
            "of an earlier version, which did not record its images; measure again to know."
        )

    @staticmethod
    def load(train: str | Path, held_out: str | Path | None = None) -> "Measured[DenoisingStatistics]":
        """Read the statistics files of the two; errors name the files. Raises as `DenoisingStatistics.load`, too."""
        read = DenoisingStatistics.load
        both = read(train), None if held_out is None else read(held_out)
        try:
            return Measured(*both)
        except ValueError as error:
            files = f"{train}" if held_out is None else f"{train} and {held_out}"
            raise ValueError(f"{files}: {error}") from error

    @property
    def judge(self) -> DenoisingStatistics:
        """The held-out statistics. Raises ValueError if there are none."""
        if self.held_out is None:
            raise ValueError("There are no held-out statistics; measure other images with fitted= the training ones.")
        return self.held_out


def refuse_in_common(number: int | None, n: int) -> None:
    """Raise ValueError if some of n images that are to be held out are training images."""
    if number:
        raise ValueError(
            f"{number:,} of the {n:,} held-out images are among those that paths are chosen on and m_t is fitted to; "
            "measure others (--split test)."
        )


def as_measured(given: object) -> "Measured[Any]":
    """What was given, if it is a `Measured`. Raises ValueError otherwise: one set of statistics is not enough."""
    if not isinstance(given, Measured):
        raise ValueError(f"A {type(given).__name__} was given; expected Measured(train, held_out), the two together.")
    return given


def _same_fit(train: DenoisingStatistics, held_out: DenoisingStatistics) -> bool:
    """Whether what was fitted is the same, cell by cell, wherever both have a fit; a file rounds it to float32."""
    pairs = [(train.cells[name], cells) for name, cells in held_out.cells.items() if name in train.cells]
    curves = [(train.curves[name], curve) for name, curve in held_out.curves.items() if name in train.curves]
    return (
        np.array_equal(train.fitted_m, held_out.fitted_m)
        and all(own.same_fit(held, held_out.measured) for own, held in curves)
        and all(
            held.same_way(own, held_out.measured)
            and (held.fitted is None or np.allclose(held.fitted, held.fitted_to(own).fitted, rtol=1e-5, atol=0))  # type: ignore[arg-type]
            for own, held in pairs
            if own.name != ALL
        )
    )


def _with_fit(train: DenoisingStatistics, held_out: DenoisingStatistics) -> DenoisingStatistics:
    """Held-out statistics with what their file leaves to the training one: what was fitted in each of their cells, and
    by which curve each timestep is decoded, also where it was measured there alone."""
    lack = {name: cells for name, cells in held_out.cells.items() if cells.fitted is None and name in train.cells}
    known = {
        name: curve for name, curve in held_out.curves.items() if curve.fitted is not None and name in train.curves
    }
    if not lack and not known:
        return held_out
    return replace(
        held_out,
        cells=dict(held_out.cells) | {name: each.fitted_to(train.cells[name]) for name, each in lack.items()},
        curves=dict(held_out.curves)
        | {name: replace(each, training=train.curves[name].training) for name, each in known.items()},
    )


def require_chosen_on(train: DenoisingStatistics, chosen: Origin) -> None:
    """Raise ValueError unless `chosen` paths come from these statistics: sampling along them takes what was fitted."""
    Measured(train)
    train.require_model(chosen.model_id, "what the paths were chosen for")
    if train.data_id != chosen.data_id:
        raise ValueError(
            "The paths were chosen on other images than these statistics are of; give the statistics that were solved."
        )

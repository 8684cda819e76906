"""What one pass of a denoiser over data leaves behind: all that pricing and searching need, and no network any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ddpm_dp.files import fingerprint
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.statistics import file, filling
from ddpm_dp.statistics.cells import ALL, Cells
from ddpm_dp.statistics.decoding import DecoderCurve, DecoderPrices
from ddpm_dp.statistics.groups import mean_of_groups
from ddpm_dp.statistics.images import COMMON, fingerprints, in_common


@dataclass(frozen=True, eq=False)
class DenoisingStatistics:
    """Denoising errors and decoder costs at every timestep, averaged over images in G groups.

    m_t = E (1/d) ||x_0 - xhat_0(x_t, t)||^2, the mean squared error per dimension, is all that the price of a step
    needs where rho is one number (`costs.py`); where it is not, the errors are sorted into more cells. The decoder's
    price is measured beside it. Groups of images, all timesteps of one image in the same group, give every sum over
    timesteps its standard error, with the correlation between timesteps in it.

    Attributes:
        noise: the noise schedule of the model that was measured.
        shape, levels: of one image, and how many grey levels a coordinate has (None: continuous).
        counts: (G,) images in each group.
        cells: the squared errors, sorted into cells, by their names; "all" has one cell and is always there.
        prior: (G,) nats per image of KL(q(x_T | x_0) || N(0, I)).
        model_id, data_id: fingerprints of the model (with its noise schedule) and of the images.
        fitted_on: data_id of the images that the cells' `fitted` comes from: these, or, for held-out data, the training
            images.
        seed: of the noise draws.
        measured: the timesteps that were measured; values at others are interpolated.
        images: (n,) which images these are: 8 bytes of each, by `images.fingerprints`; None in a file of format 4 or
            before.
        about: what else is known of the measurement, for readers: the data set and its split, the version of the code.
        curves: the decoder's price against its variance, by the names of `variances/fields.py`; none for continuous
            data, whose density is a formula.
        decoders: prices of decoders by name, from files of earlier versions, which had no curves.
        n_classes: of a class-conditional model, which was given each image's own label; None: it takes no labels.

    Raises ValueError if shapes disagree or a number is NaN or negative where it cannot be.
    """

    noise: NoiseSchedule
    shape: tuple[int, ...]
    levels: int | None
    counts: np.ndarray
    cells: Mapping[str, Cells]
    prior: np.ndarray
    model_id: str
    data_id: str
    fitted_on: str
    seed: int
    measured: np.ndarray
    images: np.ndarray | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, DecoderCurve] = field(default_factory=dict)
    decoders: Mapping[str, DecoderPrices] = field(default_factory=dict)
    n_classes: int | None = None

    def __post_init__(self) -> None:
        groups, entries = len(self.counts), self.T + 1
        if self.prior.shape != (groups,) or not (self.counts > 0).all() or np.isnan(self.prior).any():
            raise ValueError(
                f"counts {self.counts.shape} and prior {self.prior.shape} do not fit together; expected G positive "
                "counts and G prices."
            )
        one = self.cells.get(ALL)
        if one is None or one.error_of_group is None or one.fitted is None:
            raise ValueError(f"The statistics lack the cell {ALL!r}, the mean squared error; see Cells.one.")
        tables = {
            f"cells {name!r}": cells.error_of_group[..., 0]
            for name, cells in self.cells.items()
            if cells.error_of_group is not None
        }
        tables |= {f"decoder {name!r}": prices.nats for name, prices in self.decoders.items()}
        tables |= {f"curve {name!r}": curve.of_group[..., 0] for name, curve in self.curves.items()}
        for name, table in tables.items():
            if table.shape != (groups, entries):
                raise ValueError(f"{name} has shape {table.shape}; expected groups x (T + 1) = {(groups, entries)}.")
        for name, cells in self.cells.items():
            if len(cells.mass) != entries:
                raise ValueError(f"cells {name!r} have {len(cells.mass)} timesteps; expected T + 1 = {entries}.")

    @property
    def T(self) -> int:
        return self.noise.T

    @property
    def d(self) -> int:
        """Dimensions of one image (channels x height x width)."""
        return int(np.prod(self.shape))

    @property
    def n(self) -> int:
        """How many images were measured."""
        return int(self.counts.sum())

    @property
    def squared_error(self) -> np.ndarray:
        """(G, T + 1) mean of e^2 per dimension in each group of images; column 0 is 0."""
        error_of_group = self.cells[ALL].error_of_group
        assert error_of_group is not None, "the constructor asks for it"
        return error_of_group[..., 0]

    @cached_property
    def m(self) -> np.ndarray:
        """(T + 1,) m_t over all images."""
        return self.mean(self.squared_error)[0]

    @property
    def fitted_m(self) -> np.ndarray:
        """(T + 1,) the m_t that the `analytic` variance uses: these images' own, or the training images'."""
        fitted = self.cells[ALL].fitted
        assert fitted is not None, "the constructor asks for it"
        return fitted[:, 0]

    @property
    def second(self) -> str | None:
        """The second output of the network that was measured, a name in `OUTPUTS`; None: it has none."""
        return next((cells.output for cells in self.cells.values() if cells.output), None)

    def mean(self, per_group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean over images of a (G, ...) array of group means, and its standard error (inf if there is one group)."""
        return mean_of_groups(per_group, self.counts)

    def _refitted(self, cells: Mapping[str, Cells]) -> dict[str, Cells]:
        """Part of these statistics' cells, fitted to themselves if all were; of held-out ones the fit stays."""
        if self.fitted_on == self.data_id:
            return {name: each.fitted_to(each) for name, each in cells.items()}
        # Bins of an output may have moved: `Measured` puts the fit of the training ones into those that lack it.
        return {n: each if each.output else replace(each, fitted=self.cells[n].fitted) for n, each in cells.items()}

    def of_groups(self, groups: np.ndarray) -> DenoisingStatistics:
        """These statistics as if only some groups of images, given by their numbers 0..G - 1, had been measured.

        What was fitted to all of these images is fitted to those alone. What is not kept by group, such as the
        histograms of second outputs, stays that of all images; so does, nearly, a decoder with several kinds of pixels.

            few = stats.of_groups(np.arange(4))
        """
        counts, own = self.counts[groups], self.fitted_on == self.data_id
        images = self.images
        if images is not None:  # image i is in group i modulo G
            images = images[np.isin(np.arange(len(images)) % len(self.counts), groups)]
        return replace(
            self,
            counts=counts,
            images=images,
            cells=self._refitted({name: cells.of_groups(groups, self.counts) for name, cells in self.cells.items()}),
            decoders={name: replace(prices, nats=prices.nats[groups]) for name, prices in self.decoders.items()},
            curves={
                name: (curve.of_training_groups if own else curve.of_groups)(groups, self.counts)
                for name, curve in self.curves.items()
            },
            prior=self.prior[groups],
        )

    def at_timesteps(self, measured: np.ndarray) -> DenoisingStatistics:
        """These statistics as if only those timesteps (ascending, some of `self.measured`) had been measured.

        What was fitted to these images is fitted anew. Raises ValueError unless both ends of `self.measured` are among
        them: between measured timesteps values can be filled in, beyond they cannot.
        """
        measured = np.asarray(measured)
        if not np.isin(measured, self.measured).all() or (measured[[0, -1]] != self.measured[[0, -1]]).any():
            raise ValueError(
                f"Timesteps from {measured[0]} to {measured[-1]} were asked for; expected some of the measured ones, "
                f"with {self.measured[0]} and {self.measured[-1]} among them."
            )
        error = filling.errors(self.squared_error[:, measured], measured, self.T)
        cells = {
            name: Cells.from_rows(name, each.rows(measured), measured, self.counts, error, each.output, each.basis)
            for name, each in self.cells.items()
        }
        return replace(
            self,
            cells=self._refitted(cells),
            decoders={
                name: replace(prices, nats=filling.prices(prices.nats[:, measured], measured, self.T))
                for name, prices in self.decoders.items()
            },
            curves={name: curve.at_timesteps(measured) for name, curve in self.curves.items()},
            measured=measured,
        )

    def fitted_to(self, other: DenoisingStatistics) -> DenoisingStatistics:
        """These errors with what was fitted (m_t, for one) taken from `other`'s images.

        How many images the two have in common is remembered. Held-out `other` images are fitted to anew; a decoder's
        kind of pixels within a factor of 5 of what was best for training images.
        """
        cells = {name: each.fitted_to(other.cells[name]) for name, each in self.cells.items() if name in other.cells}
        found = {name: other.curves[name] for name in self.curves if name in other.curves}
        if other.fitted_on != other.data_id:
            found = {name: curve.fitted_anew() for name, curve in found.items()}
        curves = {name: self.curves[name].fitted_to(curve) for name, curve in found.items()}
        return replace(
            self,
            cells=dict(self.cells) | cells,
            curves=dict(self.curves) | curves,
            fitted_on=other.data_id,
            about=dict(self.about) | {COMMON: in_common(self.images, other.images)},
        )

    def of_images(self, images: ArrayLike, fitted: DenoisingStatistics | None = None) -> DenoisingStatistics:
        """These statistics, of a file of format 4 or before, with the fingerprints of the images that they are of.

        `fitted`: of held-out statistics, the training ones. Raises ValueError if those are not the images that were
        measured.
        """
        values = np.asarray(images, dtype=np.float32)
        if fingerprint(values) != self.data_id:
            raise ValueError(f"{len(values)} images were given; these statistics are of others.")
        own = fingerprints(values, self.levels)
        common = {} if fitted is None else {COMMON: in_common(own, fitted.images)}
        return replace(self, images=own, about=dict(self.about) | common)

    def require_model(self, model_id: str, what: str) -> None:
        """Raise ValueError unless these statistics were measured with the model of that fingerprint."""
        if self.model_id != model_id:
            raise ValueError(
                f"These statistics are of model {self.model_id[:12]}, {what} is of {model_id[:12]}; "
                "measure this model, or load the one that was measured."
            )

    def save(self, path: str | Path) -> Path:
        """Write an .npz file, whole or not at all (`file.py`)."""
        return file.write(self, path)

    @classmethod
    def load(cls, path: str | Path) -> DenoisingStatistics:
        """Read a file that `save` wrote, of this format or of the one before. Nothing in it can run code (no pickle).

        Raises FileNotFoundError, or ValueError for a file that is truncated, of another kind or of a newer version.

        >>> from ddpm_dp import shipped
        >>> DenoisingStatistics.load(shipped("digits/train.npz")).T
        1000
        """
        fields = file.read(path)
        try:
            return cls(**fields)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

"""What one pass of a denoiser over data leaves behind: a small file that needs no network any more."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ddpm_dp import interpolation
from ddpm_dp.files import write_whole
from ddpm_dp.noise import NoiseSchedule

GROUPS = 32  # images are averaged in at most so many groups; their spread gives a standard error good to 1/8 of itself

FORMAT = 2

PREFIXES = ("decoder.", "second.")  # of the names of arrays that belong together in a file


def mean_of_groups(per_group: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over images of a (G, ...) array of means over `counts` images, and its standard error (inf if G = 1)."""
    weight = counts / counts.sum()
    mean = np.tensordot(weight, per_group, 1)
    G = len(weight)
    if G == 1:
        return mean, np.full_like(mean, np.inf)
    with np.errstate(invalid="ignore"):  # inf - inf in the decoder's unused column 0
        spread = np.tensordot(weight**2, (per_group - mean) ** 2, 1)
    return mean, np.sqrt(spread * G / (G - 1))


@dataclass(frozen=True, eq=False)
class SecondOutput:
    """The joint distribution of a network's second output and its squared error e^2, at every timestep.

    Over all coordinates of all images, y = v or y = log u is put into B bins whose centres lie evenly from `low[t]` to
    `high[t]`; a y between two centres is split linearly between them. The average of any f(y) over the bins is then
    that of f's linear interpolant: wrong by at most h^2 / 8 max |f''|, h the distance of two centres.

    Attributes:
        variance: the reverse variance that it serves, `learned` (y = v) or `predicted` (y = log u).
        low, high: (T + 1,) first and last centre.
        mass: (T + 1, B) share of coordinates in each bin; a row sums to 1 (row 0 to 0).
        error: (T + 1, B) mean over all coordinates of e^2 in that bin; a row sums to m_t.
    """

    variance: str
    low: np.ndarray
    high: np.ndarray
    mass: np.ndarray
    error: np.ndarray

    def centres(self, t: int) -> np.ndarray:
        """(B,) the values of v, or of u, at the bins' centres."""
        y = np.linspace(self.low[t], self.high[t], self.mass.shape[1])
        return y if self.variance == "learned" else np.exp(y)


@dataclass(frozen=True, eq=False)
class DenoisingStatistics:
    """Denoising errors and decoder costs at every timestep, averaged over images in G groups.

    m_t = E (1/d) ||x_0 - xhat_0(x_t, t)||^2, the mean squared error per dimension, is all that the price of a step
    needs (`costs.py`); the decoder's price is measured beside it. Groups of images, all timesteps of one image in the
    same group, give every sum over timesteps its standard error, with the correlation between timesteps in it.

    Attributes:
        noise: the noise schedule of the model that was measured.
        shape, levels: of one image, and how many grey levels a coordinate has (None: continuous).
        counts: (G,) images in each group.
        squared_error: (G, T + 1) mean of e^2 per dimension; column 0 is 0.
        decoder: for each decoder (see `variances.py`), (G, T + 1) nats per image, -log p(x_0 | x_t); column 0 is inf.
        prior: (G,) nats per image of KL(q(x_T | x_0) || N(0, I)).
        fitted_m: (T + 1,) the m_t that the `analytic` variance uses: this file's own, or, for held-out data, that of
            the training statistics.
        model_id, data_id: fingerprints of the model (with its noise schedule) and of the images.
        fitted_on: data_id of the images that fitted_m comes from.
        seed: of the noise draws.
        measured: the timesteps that were measured; values at others are interpolated.
        second: what is known of the network's second output; None if it has none.

    Raises ValueError if shapes disagree or a number is NaN or negative where it cannot be.
    """

    noise: NoiseSchedule
    shape: tuple[int, ...]
    levels: int | None
    counts: np.ndarray
    squared_error: np.ndarray
    decoder: dict[str, np.ndarray]
    prior: np.ndarray
    fitted_m: np.ndarray
    model_id: str
    data_id: str
    fitted_on: str
    seed: int
    measured: np.ndarray
    second: SecondOutput | None = None

    def __post_init__(self):
        groups, entries = len(self.counts), self.T + 1
        if self.prior.shape != (groups,) or self.fitted_m.shape != (entries,) or not (self.counts > 0).all():
            raise ValueError(
                f"counts {self.counts.shape}, prior {self.prior.shape} and fitted_m {self.fitted_m.shape} do not fit "
                f"together; expected G positive counts, G prices and {entries} errors."
            )
        tables = {"squared_error": self.squared_error, **self.decoder}
        for name, table in tables.items():
            if table.shape != (groups, entries):
                raise ValueError(f"{name} has shape {table.shape}; expected groups x (T + 1) = {(groups, entries)}.")
        for name, values in {**tables, "prior": self.prior, "fitted_m": self.fitted_m}.items():
            if np.isnan(values).any():
                where = f" at t = {np.argwhere(np.isnan(values))[0][-1]}" if values.ndim == 2 else ""
                raise ValueError(f"{name} is NaN{where}: the model's output was not finite there; it cannot be priced.")
        for name, values in {"squared_error": self.squared_error, "fitted_m": self.fitted_m}.items():
            if not (np.isfinite(values) & (values >= 0)).all():
                raise ValueError(f"{name} must be finite and not negative; check the model's output for overflow.")

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

    @cached_property
    def m(self) -> np.ndarray:
        """(T + 1,) m_t over all images."""
        return self.mean(self.squared_error)[0]

    def mean(self, per_group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean over images of a (G, ...) array of group means, and its standard error (inf if there is one group)."""
        return mean_of_groups(per_group, self.counts)

    def of_groups(self, groups: np.ndarray) -> "DenoisingStatistics":
        """These statistics as if only some groups of images, given by their numbers 0..G - 1, had been measured.

        What was fitted is fitted to those alone: for training statistics. The histograms of `second` are not kept by
        group, and stay those of all images.

        >>> few = stats.of_groups(np.arange(4))  # doctest: +SKIP
        """
        counts, error = self.counts[groups], self.squared_error[groups]
        return replace(
            self,
            counts=counts,
            squared_error=error,
            decoder={name: nats[groups] for name, nats in self.decoder.items()},
            prior=self.prior[groups],
            fitted_m=counts @ error / counts.sum(),
        )

    def require_model(self, model_id: str, what: str) -> None:
        """Raise ValueError unless these statistics were measured with the model of that fingerprint."""
        if self.model_id != model_id:
            raise ValueError(
                f"These statistics are of model {self.model_id[:12]}, {what} is of {model_id[:12]}; "
                "measure this model, or load the one that was measured."
            )

    def save(self, path: str | Path) -> Path:
        """Write an .npz file, whole or not at all: only measured timesteps; `load` interpolates the others again."""
        arrays = {
            "abar": self.noise.abar,
            "counts": self.counts,
            "squared_error": self.squared_error[:, self.measured],
            "prior": self.prior,
            "fitted_m": self.fitted_m,
            "measured": self.measured,
            **{f"decoder.{name}": table[:, self.measured] for name, table in self.decoder.items()},
        }
        if self.second:
            # float32 holds a share or an error to 7 digits, and halves the largest arrays
            rows = {name: v[self.measured] for name, v in vars(self.second).items() if name != "variance"}
            arrays |= {f"second.{name}": v.astype(np.float32) for name, v in rows.items()}
        header = {
            "format": FORMAT,
            "shape": list(self.shape),
            "levels": self.levels,
            "model_id": self.model_id,
            "data_id": self.data_id,
            "fitted_on": self.fitted_on,
            "seed": self.seed,
            "second": self.second and self.second.variance,
        }

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]

        return write_whole(path, write)

    @classmethod
    def load(cls, path: str | Path) -> "DenoisingStatistics":
        """Read a file that `save` wrote. Nothing in it can run code (no pickle).

        Raises FileNotFoundError, or ValueError for a file that is truncated, of another kind or of a newer version.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"There is no statistics file {path}; make one with ddpm_dp.measure(...).save(path)."
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            header = json.loads(str(arrays.pop("header")))
            version = header.pop("format")
            noise, served = arrays.pop("abar"), header.pop("second")
            decoder, second = (
                {k.removeprefix(p): arrays.pop(k) for k in [*arrays] if k.startswith(p)} for p in PREFIXES
            )
            fields = arrays | header | {"shape": tuple(header["shape"])}
        except Exception as error:  # numpy, zipfile, zlib and json report a damaged file in a dozen ways
            raise ValueError(
                f"{path} is not a whole statistics file ({type(error).__name__}); measure again, or copy it again."
            ) from error
        if version != FORMAT:
            raise ValueError(
                f"{path} has format {version}, this version reads {FORMAT}; update ddpm_dp or measure again."
            )
        try:
            schedule, measured, counts = NoiseSchedule(noise), fields["measured"], fields["counts"]
            T = schedule.T
            for name, table in {"squared_error": fields["squared_error"], **decoder}.items():
                if table.ndim != 2 or table.shape[1] != len(measured):
                    raise ValueError(f"{path}: {name} has shape {table.shape}; expected groups x {len(measured)}.")
            fields["squared_error"] = interpolation.errors(fields["squared_error"], measured, T)
            decoder = {name: interpolation.prices(nats, measured, T) for name, nats in decoder.items()}
            output = None
            if served:
                m = counts @ fields["squared_error"] / counts.sum()
                output = SecondOutput(served, **interpolation.histograms(second, measured, m))
            return cls(noise=schedule, decoder=decoder, second=output, **fields)
        except (TypeError, AttributeError, KeyError, IndexError) as error:
            raise ValueError(f"{path} lacks part of what a statistics file holds; measure again.") from error

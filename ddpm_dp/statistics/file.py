"""The statistics file: an .npz that holds measured timesteps only; reading fills the others again.

Format 3. `header` is JSON: format, shape, levels, model_id, data_id, fitted_on, seed, and for each part what its arrays
do not tell. Arrays, with n measured timesteps:

    abar (T + 1,)   counts (G,)   prior (G,)   measured (n,)
    cells.all.fitted (T + 1, 1)     .error_of_group (G, n, 1)
    cells.NAME.mass, .error (n, B)  .low, .high (n,)  .error_of_group, .mass_of_group (G, n, C)  .map.X (n, ...)
    decoder.NAME (G, n)             curve.NAME.variances (n, V)  .nats (G, n, C, V)

A part that a version does not know is passed over: what is new can be added without a new format. Format 2, of the
first edition, still loads: it had one cell and at most one histogram, and said nothing of the decoders' conventions,
which were those of `FORMAT_2_DECODERS`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpm_dp.files import write_whole
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.statistics import filling
from ddpm_dp.statistics.cells import ALL, Cells
from ddpm_dp.statistics.decoding import DecoderCurve, DecoderPrices

if TYPE_CHECKING:
    from ddpm_dp.statistics.denoising import DenoisingStatistics

FORMAT = 3

# What the decoders of format 2 were: their words, and the convention as data. History, never to be changed.
FORMAT_2_DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "fixed": (
        "variance sigma_t^2 (at t = 1: beta~_{2|1})",
        {"variance": "sigma_t^2", "at t = 1": "beta~_{2|1}", "fitted": False},
    ),
    "analytic": (
        "variance m_t as fitted on training images",
        {"variance": "m_t", "at least": 1e-20, "fitted": True},
    ),
    "learned": (
        "variance between beta~_{2|1} and sigma_t^2, as the network's v says",
        {"variance": "(sigma_t^2)^v (beta~_{2|1})^(1 - v)", "fitted": False},
    ),
    "predicted": (
        "variance u, the network's prediction of its own squared error",
        {"variance": "u", "at least": 1e-20, "fitted": False},
    ),
}
FORMAT_2_SECOND = {"learned": "v", "predicted": "u"}  # the second output whose histogram was kept, by its family


def write(statistics: DenoisingStatistics, path: str | Path) -> Path:
    """Write an .npz file, whole or not at all. Raises OSError if that cannot be done."""
    measured = statistics.measured
    arrays = {
        "abar": statistics.noise.abar,
        "counts": statistics.counts,
        "prior": statistics.prior,
        "measured": measured,
        **{f"decoder.{name}": prices.nats[:, measured] for name, prices in statistics.decoders.items()},
    }
    for name, cells in statistics.cells.items():
        for part, rows in cells.rows(measured).items():
            # float32 holds a share or an error to 7 digits, and halves the largest arrays
            large = name != ALL and rows.dtype == np.float64
            rows = _rounded(rows) if large and part.endswith("_of_group") else rows
            arrays[f"cells.{name}.{part}"] = rows.astype(np.float32) if large else rows
    for name, curve in statistics.curves.items():
        arrays[f"curve.{name}.variances"] = curve.variances[measured]
        arrays[f"curve.{name}.nats"] = curve.nats[:, measured]
    header = {
        "format": FORMAT,
        "shape": list(statistics.shape),
        "levels": statistics.levels,
        "model_id": statistics.model_id,
        "data_id": statistics.data_id,
        "fitted_on": statistics.fitted_on,
        "seed": statistics.seed,
        "cells": {name: {"basis": each.basis, "output": each.output} for name, each in statistics.cells.items()},
        "curves": [*statistics.curves],
        "decoders": {
            name: {"words": prices.words, "convention": dict(prices.convention)}
            for name, prices in statistics.decoders.items()
        },
    }

    def save(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]

    return write_whole(path, save)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Rounded to 11 bits: a group's parts are for standard errors, and zeros at the end of a number take no room.

    A price stays what it is: groups say how it is shared out among them (`Cells.by_group`).
    """
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2**11) / 2**11, exponent)


def read(path: str | Path) -> dict[str, Any]:
    """The fields of the statistics that `write` wrote, or of a file of format 2. Nothing in it can run code.

    Raises FileNotFoundError, or ValueError for a file that is truncated, of another kind or of a newer version.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no statistics file {path}; make one with ddpm_dp.measure(...).save(path).")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(str(arrays.pop("header")))
        version = header["format"]
    except Exception as error:  # numpy, zipfile, zlib and json report a damaged file in a dozen ways
        raise ValueError(
            f"{path} is not a whole statistics file ({type(error).__name__}); measure again, or copy it again."
        ) from error
    if version not in (2, FORMAT):
        raise ValueError(
            f"{path} has format {version}, this version reads 2 and {FORMAT}; update ddpm_dp or measure again."
        )
    try:
        return _fields(*(_of_format_2(header, arrays) if version == 2 else (header, arrays)))
    except (TypeError, AttributeError, KeyError, IndexError) as error:
        raise ValueError(f"{path} lacks part of what a statistics file holds; measure again.") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _fields(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    noise, counts, measured = NoiseSchedule(arrays["abar"]), arrays["counts"], arrays["measured"]
    T, rows = noise.T, {name: _parts(arrays, f"cells.{name}.") for name in header["cells"]}
    by_group = {f"cells {ALL!r}": rows[ALL]["error_of_group"]}
    by_group |= {f"decoder {name!r}": arrays[f"decoder.{name}"] for name in header["decoders"]}
    for name, table in by_group.items():
        if table.shape[:2] != (len(counts), len(measured)):
            raise ValueError(f"{name} has shape {table.shape}; expected groups x {len(measured)}.")
    squared_error = filling.errors(rows[ALL]["error_of_group"][..., 0], measured, T)
    cells = {
        name: Cells.from_rows(name, rows[name], measured, counts, squared_error, about["output"], about["basis"])
        for name, about in header["cells"].items()
    }
    if header["fitted_on"] == header["data_id"]:  # what is fitted to these very images follows from them
        cells = {name: each if name == ALL else each.fitted_to(each) for name, each in cells.items()}
    return {
        "noise": noise,
        "shape": tuple(header["shape"]),
        "levels": header["levels"],
        "counts": counts,
        "cells": cells,
        "decoders": {
            name: DecoderPrices(
                name, about["words"], about["convention"], filling.prices(arrays[f"decoder.{name}"], measured, T)
            )
            for name, about in header["decoders"].items()
        },
        "prior": arrays["prior"],
        "model_id": header["model_id"],
        "data_id": header["data_id"],
        "fitted_on": header["fitted_on"],
        "seed": header["seed"],
        "measured": measured,
        "curves": {
            name: DecoderCurve.from_rows(
                name, arrays[f"curve.{name}.variances"], arrays[f"curve.{name}.nats"], measured, T
            )
            for name in header["curves"]
        },
    }


def _of_format_2(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A file of format 2 under the names of format 3."""
    decoders = [name.removeprefix("decoder.") for name in arrays if name.startswith("decoder.")]
    served = header.pop("second")
    one = {
        f"cells.{ALL}.error_of_group": arrays["squared_error"][..., None],
        f"cells.{ALL}.fitted": arrays["fitted_m"][:, None],
    }
    known: dict[str, Any] = {
        "cells": {ALL: {"basis": "pixels", "output": None}},
        "curves": [],
        "decoders": {
            name: dict(zip(("words", "convention"), FORMAT_2_DECODERS[name], strict=True)) for name in decoders
        },
    }
    second = {}
    if served:
        output = FORMAT_2_SECOND[served]
        known["cells"][output] = {"basis": "pixels", "output": output}
        second = {f"cells.{output}.{part}": rows for part, rows in _parts(arrays, "second.").items()}
    return header | known, arrays | one | second


def _parts(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): rows for name, rows in arrays.items() if name.startswith(prefix)}

"""The statistics file: an .npz that holds measured timesteps only; reading fills the others again.

Format 4. `header` is JSON: format, shape, levels, model_id, data_id, fitted_on, seed, n_classes, and for each part
what its arrays do not tell. Arrays, with n measured timesteps:

    abar (T + 1,)   counts (G,)   prior (G,)   measured (n,)
    cells.all.fitted (T + 1, 1)     .error_of_group (G, n, 1)
    cells.NAME.mass, .error (n, B)  .low, .high (n,)  .error_of_group, .mass_of_group (G, n, C)  .map.X (n, ...)
    curve.NAME.low, .fitted (n, C)  .nats (n, C, V)  .of_group (G, n, W)  .group_low, .training (n,)  .map.X

A part that a version does not know is passed over: what is new can be added without a new format. Formats 2 and 3 still
load. They had no curves, but prices of decoders, `decoder.NAME (G, n)`: those of `EARLIER` mean what they mean now, and
are kept where such statistics are saved again.
Format 2, of the first edition, had one cell and at most one histogram.
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

FORMAT = 4
EARLIER = ("fixed", "analytic")  # decoders of formats 2 and 3 that are decoders still, with the same variance
FORMAT_2_SECOND = {"learned": "v", "predicted": "u"}  # the second output whose histogram was kept, by its family


def write(statistics: DenoisingStatistics, path: str | Path) -> Path:
    """Write an .npz file, whole or not at all. Raises OSError if that cannot be done."""
    measured = statistics.measured
    arrays = {
        "abar": statistics.noise.abar,
        "counts": statistics.counts,
        "prior": statistics.prior,
        "measured": measured,
    }
    for name, cells in statistics.cells.items():
        for part, rows in cells.rows(measured).items():
            large = name != ALL and rows.dtype == np.float64
            arrays[f"cells.{name}.{part}"] = _rounded(rows, part) if large else rows
    for name, curve in statistics.curves.items():
        for part, rows in curve.rows(measured).items():
            arrays[f"curve.{name}.{part}"] = _rounded(rows, part)
    arrays |= {f"decoder.{name}": prices.nats[:, measured] for name, prices in statistics.decoders.items()}
    header = {
        "format": FORMAT,
        "shape": list(statistics.shape),
        "levels": statistics.levels,
        "model_id": statistics.model_id,
        "data_id": statistics.data_id,
        "fitted_on": statistics.fitted_on,
        "seed": statistics.seed,
        "n_classes": statistics.n_classes,
        "cells": {name: {"basis": each.basis, "output": each.output} for name, each in statistics.cells.items()},
        "curves": [*statistics.curves],
    }

    def save(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]

    return write_whole(path, save)


# Bits of a number in the large arrays, by what it is; float32 has 24. Zeros at its end take no room in the file. A
# price is a sum of many that are rounded either way: to 1e-6 of itself for shares and errors, where 18 bits are kept.
# Groups are for standard errors, and say how a price is shared out among them (`by_group`): it stays what it is.
BITS = {"mass": 18, "error": 18, "nats": 17, "error_of_group": 11, "mass_of_group": 11, "of_group": 11}


def _rounded(values: np.ndarray, part: str) -> np.ndarray:
    mantissa, exponent = np.frexp(values)
    scale = 2.0 ** BITS.get(part, 24)
    return np.ldexp(np.round(mantissa * scale) / scale, exponent).astype(np.float32)


def read(path: str | Path) -> dict[str, Any]:
    """The fields of the statistics that `write` wrote, or of a file of format 2 or 3. Nothing in it can run code.

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
    if version not in (2, 3, FORMAT):
        raise ValueError(
            f"{path} has format {version}, this version reads 2 to {FORMAT}; update ddpm_dp or measure again."
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
    decoders = {name: arrays[f"decoder.{name}"] for name in EARLIER if f"decoder.{name}" in arrays}
    by_group |= {f"decoder {name!r}": nats for name, nats in decoders.items()}
    curves = {name: _parts(arrays, f"curve.{name}.") for name in header["curves"]}
    by_group |= {f"curve {name!r}": rows["of_group"] for name, rows in curves.items()}
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
        "prior": arrays["prior"],
        "model_id": header["model_id"],
        "data_id": header["data_id"],
        "fitted_on": header["fitted_on"],
        "seed": header["seed"],
        "n_classes": header.get("n_classes"),  # files from before there were labels do not say
        "measured": measured,
        "curves": {name: DecoderCurve.from_rows(name, rows, measured, T) for name, rows in curves.items()},
        "decoders": {name: DecoderPrices(name, filling.prices(nats, measured, T)) for name, nats in decoders.items()},
    }


def _of_format_2(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A file of format 2 under the names of format 3."""
    served = header.pop("second")
    one = {
        f"cells.{ALL}.error_of_group": arrays["squared_error"][..., None],
        f"cells.{ALL}.fitted": arrays["fitted_m"][:, None],
    }
    known: dict[str, Any] = {
        "cells": {ALL: {"basis": "pixels", "output": None}},
        "curves": [],
    }
    second = {}
    if served:
        output = FORMAT_2_SECOND[served]
        known["cells"][output] = {"basis": "pixels", "output": output}
        second = {f"cells.{output}.{part}": rows for part, rows in _parts(arrays, "second.").items()}
    return header | known, arrays | one | second


def _parts(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): rows for name, rows in arrays.items() if name.startswith(prefix)}

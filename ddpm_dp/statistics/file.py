"""The statistics file: an .npz that holds measured timesteps only; reading fills the others again.

Format 6. `header` is JSON: format, shape, levels, model_id, data_id, fitted_on, seed, n_classes, about, and for each
part what its arrays do not tell. Arrays, with n measured timesteps of N images:

    abar (T + 1,)   counts (G,)   prior (G,)   measured (n,)   images (N,)
    cells.all.fitted (T + 1, 1)     .error_of_group (G, n, 1)
    cells.NAME.mass, .error (n, B)  .low, .high (n,)  .error_of_group, .mass_of_group (G, n, C)  .map.X (n, ...)
    curve.NAME.low, .fitted (n, C)  .nats (n, C, V)  .of_group (G, n, W)  .group_low, .training (n,)  .map.X

Whole numbers of the cells' maps change little from timestep to timestep, so changes are kept: row i less row i - 1, the
first as it is. `numpy.cumsum` along axis 0, in their own type, gives them back.

A part that a version does not know is passed over: what is new can be added without a new format. Formats 2 to 5 still
load. Format 5 kept maps as they are.
Formats 2 to 4 had no seal (`files/seal.py`) and no `images`: which images they are of is not known.
Formats 2 and 3 had no curves, but prices of decoders, `decoder.NAME (G, n)`: those of `EARLIER` mean what they mean
now, and are kept where such statistics are saved again.
Format 2, of the first edition, had one cell and at most one histogram.
Files of before December 2026 sorted by scores of another kind, whose weights are the map `EARLIER_SCORE`: such cells
and classes cannot be found again, and are passed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpm_dp.files import schema
from ddpm_dp.files.arrays import read_arrays, write_arrays
from ddpm_dp.memory import refuse_beyond_memory
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.statistics import filling
from ddpm_dp.statistics import rows as rows_on_demand
from ddpm_dp.statistics.cells import ALL, MAP, Cells
from ddpm_dp.statistics.decoding import DecoderCurve, DecoderPrices

if TYPE_CHECKING:
    from ddpm_dp.statistics.denoising import DenoisingStatistics

FORMAT, SEALED, AS_CHANGES = 6, 5, 6  # now; since when files are sealed, and whole numbers of maps kept as changes
EARLIER = ("fixed", "analytic")  # decoders of formats 2 and 3 that are decoders still, with the same variance
EARLIER_SCORE = f"{MAP}weights"
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
            changes = part.startswith(MAP) and rows.dtype.kind == "i"  # from timestep to timestep: these are small
            whole = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1])) if changes else rows
            arrays[f"cells.{name}.{part}"] = _rounded(rows, part) if large else whole
    for name, curve in statistics.curves.items():
        for part, rows in curve.rows(measured).items():
            arrays[f"curve.{name}.{part}"] = _rounded(rows, part)
    arrays |= {f"decoder.{name}": prices.nats[:, measured] for name, prices in statistics.decoders.items()}
    if statistics.images is not None:
        arrays["images"] = statistics.images
    header = {
        "format": FORMAT,
        "shape": list(statistics.shape),
        "levels": statistics.levels,
        "model_id": statistics.model_id,
        "data_id": statistics.data_id,
        "fitted_on": statistics.fitted_on,
        "seed": statistics.seed,
        "n_classes": statistics.n_classes,
        "about": dict(statistics.about),
        "cells": {name: {"basis": each.basis, "output": each.output} for name, each in statistics.cells.items()},
        "curves": [*statistics.curves],
    }
    return write_arrays(path, header, arrays)


# Bits of a number in the large arrays, by what it is; float32 has 24. Zeros at its end take no room in the file. A
# price is a sum of many that are rounded either way: to 1e-6 of itself for shares and errors, where 18 bits are kept.
# Groups are for standard errors, and say how a price is shared out among them (`by_group`): it stays what it is.
BITS = {"mass": 18, "error": 18, "nats": 17, "error_of_group": 10, "mass_of_group": 10, "of_group": 10}


def _rounded(values: np.ndarray, part: str) -> np.ndarray:
    mantissa, exponent = np.frexp(values)
    scale = 2.0 ** BITS.get(part, 24)
    return np.ldexp(np.round(mantissa * scale) / scale, exponent).astype(np.float32)


def read(path: str | Path) -> dict[str, Any]:
    """The fields of the statistics that `write` wrote, or of a file of an earlier format. Nothing in it can run code.

    Raises FileNotFoundError, ValueError for a file that is truncated, of another kind or of a newer version, or whose
    parts do not fit together, or OSError if it cannot be read.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f"There is no statistics file {path}; make one with `ddpm-dp measure`, or ddpm_dp.measure(...).save(path)."
        )
    try:
        return _fields(*_in_new_words(*read_arrays(path, _expected, lambda header: header["format"] >= SEALED)))
    except _Version as error:
        raise ValueError(
            f"{path} has format {error}, this version reads 2 to {FORMAT}; update ddpm_dp or measure again."
        ) from error
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise ValueError(
            f"{path} is not a whole statistics file ({reason}); measure again, or copy it again."
        ) from error


class _Version(ValueError):
    """Of another version."""


def _expected(header: dict[str, Any], layout: schema.Layout) -> list[str]:
    """The arrays to read. Raises ValueError unless the header and the shapes are those of statistics."""
    version = header.get("format")
    if type(version) is not int or version not in range(2, FORMAT + 1):
        raise _Version(repr(version))
    for name in ("model_id", "data_id", "fitted_on"):
        schema.typed(header, name, str)
    schema.whole_from(header, "seed", 0, 2**64 - 1)
    if schema.typed(header, "levels", int | None) is not None:
        schema.whole_from(header, "levels", 2, 2**32)
    if schema.typed({"n_classes": None} | header, "n_classes", int | None) is not None:
        schema.whole_from(header, "n_classes", 1, 2**32)
    shape = schema.typed(header, "shape", tuple[int, ...])
    if not shape or not all(1 <= length <= 2**31 for length in shape):
        raise ValueError(f"shape = {header['shape']}; expected lengths of 1 or more")
    schema.typed(header if version > 4 else {"about": {}} | header, "about", dict[str, str | int | float | None])
    sizes = schema.Sizes()
    for name, kinds, letter in (
        ("abar", "f", "T + 1"),
        ("counts", "iu", "G"),
        ("prior", "f", "G"),
        ("measured", "i", "n"),
    ):
        sizes.require(layout, name, kinds, letter)
    if not 1 <= sizes.known["n"] < sizes.known["T + 1"] or not sizes.known["G"]:
        raise ValueError(f"{sizes.known['n']} timesteps of {sizes.known['T + 1'] - 1} are measured")
    names = ["abar", "counts", "prior", "measured"]
    if version >= SEALED and "images" in layout:
        sizes.require(layout, "images", "u", "N")
        names.append("images")
    rows = _rows_of_format_2(header, layout, sizes) if version == 2 else _rows(header, layout, sizes)
    # Reading fills unmeasured timesteps, in float64: m_t in each group, and other rows if they are few (rows.py).
    n, entries = sizes.known["n"], sizes.known["T + 1"]
    numbers = sum(min(np.prod(layout[name][1]) / n * entries, rows_on_demand.AT_ONCE) for name in rows)
    refuse_beyond_memory(
        8 * int(numbers + sizes.known["G"] * entries),
        f"Statistics of {entries - 1:,} timesteps, read,",
        "read it where there is more",
    )
    return names + rows


def _rows(header: dict[str, Any], layout: schema.Layout, sizes: schema.Sizes) -> list[str]:
    """The arrays with a row for each measured timestep, of formats 3 and later."""
    known = schema.typed(header, "cells", dict[str, dict[str, str | None]])
    found = []
    for name, about in known.items():
        schema.typed(about, "basis", str)
        if (output := schema.typed(about, "output", str | None)) is not None:
            OUTPUTS.named(output)
        found += _cell(f"cells.{name}.", name == ALL, output, layout, sizes.apart())
    if ALL not in known:
        raise ValueError(f"cells {ALL!r} are missing")
    for name in schema.typed(header, "curves", list[str]):
        own, start = sizes.apart(), f"curve.{name}."
        parts = {"low": "nC", "nats": "nCV", "of_group": "GnW", "group_low": "n"}
        parts |= {part: letters for part, letters in CURVE.items() if start + part in layout}
        for part, letters in parts.items():
            own.require(layout, start + part, "f", *letters)
        found += [start + part for part in parts] + _maps(start, layout, own)
    for name in (f"decoder.{each}" for each in EARLIER if f"decoder.{each}" in layout):
        sizes.require(layout, name, "f", "G", "n")
        found.append(name)
    return found


CURVE = {"fitted": "nC", "training": "n"}  # parts of a curve that held-out statistics may lack
CELLS = {"error_of_group": "GnC", "mass_of_group": "GnC"}


def _cell(start: str, one: bool, output: str | None, layout: schema.Layout, sizes: schema.Sizes) -> list[str]:
    parts = {} if one else {"mass": "nB", "error": "nB"}
    parts |= {"low": "n", "high": "n"} if output else {}
    parts |= {part: letters for part, letters in CELLS.items() if one and "error" in part or start + part in layout}
    for part, letters in parts.items():
        sizes.require(layout, start + part, "f", *letters)
    if one:
        sizes.require(layout, f"{start}fitted", "f", "T + 1", "C")
        if sizes.known["C"] != 1:
            raise ValueError(f"cells {ALL!r} are {sizes.known['C']}; expected one")
        return [*(start + part for part in parts), f"{start}fitted"]
    return [start + part for part in parts] + _maps(start, layout, sizes)


def _maps(start: str, layout: schema.Layout, sizes: schema.Sizes) -> list[str]:
    names = [name for name in layout if name.startswith(f"{start}{MAP}")]
    for name in names:
        sizes.require(layout, name, "fiub", "n", "...")
    return names


def _rows_of_format_2(header: dict[str, Any], layout: schema.Layout, sizes: schema.Sizes) -> list[str]:
    names = ["squared_error", *(name for name in layout if name.startswith("decoder.") or name.startswith("second."))]
    sizes.require(layout, "squared_error", "f", "G", "n")
    sizes.require(layout, "fitted_m", "f", "T + 1")
    if (second := schema.typed(header, "second", str | None)) is not None:
        if second not in FORMAT_2_SECOND:
            raise ValueError(f"second = {second!r} is not known")
        own = sizes.apart()
        for part, letters in {"mass": "nB", "error": "nB", "low": "n", "high": "n"}.items():
            own.require(layout, f"second.{part}", "f", *letters)
    return [*names, "fitted_m"]


def _in_new_words(
    header: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if header["format"] == 2:
        return _of_format_2(header, arrays)
    cells = {name: each for name, each in header["cells"].items() if f"cells.{name}.{EARLIER_SCORE}" not in arrays}
    curves = [name for name in header["curves"] if f"curve.{name}.{EARLIER_SCORE}" not in arrays]
    if header["format"] >= AS_CHANGES:
        maps = {name: rows for name, rows in arrays.items() if f".{MAP}" in name and rows.dtype.kind == "i"}
        # In their own type, in which a change that was too large for it comes round again.
        arrays = arrays | {name: np.cumsum(rows, axis=0, dtype=rows.dtype) for name, rows in maps.items()}
    return header | {"cells": cells, "curves": curves}, arrays


def _fields(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    noise, counts, measured = NoiseSchedule(arrays["abar"]), arrays["counts"], arrays["measured"]
    T, rows = noise.T, {name: _parts(arrays, f"cells.{name}.") for name in header["cells"]}
    decoders = {name: arrays[f"decoder.{name}"] for name in EARLIER if f"decoder.{name}" in arrays}
    curves = {name: _parts(arrays, f"curve.{name}.") for name in header["curves"]}
    if measured[0] != 1 or measured[-1] != T or (np.diff(measured) <= 0).any():
        raise ValueError(f"measured timesteps must ascend from 1 to T = {T}")
    if not (counts > 0).all() or not np.isfinite(arrays["prior"]).all():
        raise ValueError("counts must be positive, and prior finite")
    if "images" in arrays and len(arrays["images"]) != counts.sum():
        raise ValueError(f"images are {len(arrays['images'])}; expected {counts.sum()}, as counts say")
    squared_error = filling.errors(rows[ALL]["error_of_group"][..., 0], measured, T)
    for name, parts in rows.items():
        if name != ALL:
            _require_sums(name, parts, counts, rows[ALL]["error_of_group"][..., 0])
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
        "images": arrays.get("images"),
        "about": header.get("about", {}),
        "curves": {name: DecoderCurve.from_rows(name, rows, measured, T) for name, rows in curves.items()},
        "decoders": {name: DecoderPrices(name, filling.prices(nats, measured, T)) for name, nats in decoders.items()},
    }


def _require_sums(name: str, rows: dict[str, np.ndarray], counts: np.ndarray, errors: np.ndarray) -> None:
    """Raise ValueError unless shares are shares, errors are those of `errors` (G, n), and bins ascend."""
    m = counts @ errors / counts.sum()
    # What a file rounds, to 18 bits each, is known to 4e-6; the rest is for float32 sums of earlier formats.
    if not np.allclose(rows["mass"].sum(1, dtype=float), 1, rtol=1e-3):
        raise ValueError(f"cells {name!r} have a mass that does not sum to 1")
    if not np.allclose(rows["error"].sum(1, dtype=float), m, rtol=1e-2, atol=1e-12):
        raise ValueError(f"cells {name!r} have errors that do not sum to m_t")
    if "low" in rows and (rows["low"] > rows["high"]).any():
        raise ValueError(f"cells {name!r} have bins whose first centre is above the last")


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

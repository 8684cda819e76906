"""Are two statistics the same to the last bit? And files that somebody changed on purpose."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_dp import DenoisingStatistics
from ddpm_dp.files.arrays import write_arrays
from ddpm_dp.statistics import Cells


def same(a: DenoisingStatistics, b: DenoisingStatistics) -> bool:
    """Whether all that both hold is equal; what a file rounds (curves, and cells but the first) is not looked at."""
    told = ("shape", "levels", "model_id", "data_id", "fitted_on", "seed")
    return (
        all(getattr(a, name) == getattr(b, name) for name in told)
        and np.array_equal(a.noise.abar, b.noise.abar)
        and np.array_equal(a.measured, b.measured)
        and np.array_equal(a.prior, b.prior)
        and same_cells(a.cells["all"], b.cells["all"])
        and a.curves.keys() == b.curves.keys()
    )


def same_cells(a: Cells, b: Cells) -> bool:
    names = ("mass", "error", "error_of_group", "mass_of_group", "fitted", "low", "high")
    pairs = [(getattr(a, name), getattr(b, name)) for name in names]
    return (a.name, a.output, a.basis, a.maps.keys()) == (b.name, b.output, b.basis, b.maps.keys()) and all(
        (x is None and y is None) or np.array_equal(x, y)
        for x, y in [*pairs, *((rows, b.maps[name]) for name, rows in a.maps.items())]
    )


def rewritten(file: Path, header: dict[str, Any] | None = None, **arrays: np.ndarray) -> None:
    """Change parts of an .npz file of ours, and seal it again, as somebody who means to deceive would."""
    with np.load(file) as content:
        parts = dict(content)
    known = json.loads(str(parts.pop("header"))) | (header or {})
    write_arrays(file, known, parts | arrays)

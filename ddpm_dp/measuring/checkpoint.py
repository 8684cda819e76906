"""The checkpoint of a measurement: the rows of the timesteps that are done, and what they are rows of."""

from pathlib import Path
from typing import Any

import numpy as np

from ddpm_dp.files import schema
from ddpm_dp.files.arrays import read_arrays, write_arrays

FORMAT = 2  # since files are sealed; earlier ones have no number
Rows = dict[int, dict[str, np.ndarray]]  # timestep -> what is known of it, by name; in the order of measuring


def save(file: str | Path, key: dict[str, Any], rows: Rows) -> None:
    """Write the rows that are done, whole or not at all; `key` is all that must agree for others to go on with them."""
    names = next(iter(rows.values()), {})
    arrays = {name: np.stack([row[name] for row in rows.values()]) for name in names}
    write_arrays(
        file, {"format": FORMAT, "key": key}, {"t": np.array([*rows], dtype=np.int64)} | arrays, compressed=False
    )


def restore(file: Path, key: dict[str, Any], measured: np.ndarray) -> Rows:
    """The rows of a checkpoint. Raises ValueError if it is not whole, or of another measurement."""

    def check(header: dict[str, Any], layout: schema.Layout) -> list[str]:
        schema.whole_from(header, "format", FORMAT, FORMAT)
        schema.typed(header, "key", dict[str, Any])
        sizes = schema.Sizes()
        for name in ("t", *layout):
            sizes.require(layout, name, "i" if name == "t" else "fiub", "n", "...")
        if len(layout["t"][1]) != 1:
            raise ValueError("t is no list of timesteps")
        return [*layout]

    try:
        header, arrays = read_arrays(file, check, lambda header: True)
        known, done = header["key"], arrays.pop("t").tolist()
        differ = [name for name, value in key.items() if known.get(name) != value]
        if not differ and done != measured[: len(done)].tolist():
            raise ValueError("its timesteps are not those that are measured first")
        rows = {t: {name: table[i] for name, table in arrays.items()} for i, t in enumerate(done)}
    except OSError as error:
        raise OSError(f"{file} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise ValueError(
            f"{file} is not the whole checkpoint of a measurement ({error}); delete it to begin anew."
        ) from error
    if differ:
        raise ValueError(
            f"{file} belongs to another measurement, with another {' and another '.join(differ)}. Give the same to go "
            "on, or another file (or delete this one) to begin anew."
        )
    return rows

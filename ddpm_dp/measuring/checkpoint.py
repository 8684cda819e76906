"""The checkpoint of a measurement: the rows of the timesteps that are done, and what they are rows of."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_dp.files import write_whole

Rows = dict[int, dict[str, np.ndarray]]  # timestep -> what is known of it, by name; in the order of measuring


def save(file: str | Path, key: dict[str, Any], rows: Rows) -> None:
    """Write the rows that are done, whole or not at all; `key` is all that must agree for others to go on with them."""
    names = next(iter(rows.values()), {})
    arrays = {name: np.stack([row[name] for row in rows.values()]) for name in names}

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as out:
            np.savez(out, key=json.dumps(key), t=np.array([*rows]), **arrays)  # type: ignore[arg-type]

    write_whole(file, write)


def restore(file: Path, key: dict[str, Any], measured: np.ndarray) -> Rows:
    """The rows of a checkpoint. Raises ValueError if it is not whole, or of another measurement."""
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = dict(content)
        known, done = json.loads(str(arrays.pop("key"))), arrays.pop("t").tolist()
        differ = [name for name, value in key.items() if known.get(name) != value]
        if not differ and done != measured[: len(done)].tolist():
            raise IndexError
        rows = {t: {name: table[i] for name, table in arrays.items()} for i, t in enumerate(done)}
    except Exception as error:  # numpy, zipfile, zlib and json report a damaged file in a dozen ways
        raise ValueError(
            f"{file} is not the whole checkpoint of a measurement ({type(error).__name__}); delete it to begin anew."
        ) from error
    if differ:
        raise ValueError(
            f"{file} belongs to another measurement, with another {' and another '.join(differ)}. Give the same to go "
            "on, or another file (or delete this one) to begin anew."
        )
    return rows

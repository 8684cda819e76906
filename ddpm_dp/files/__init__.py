"""Files: written whole or not at all, read whole or refused, told apart by what they hold; and the shipped ones.

`writing` says which file may be written, `seal` whether it is what was written, `schema` and `arrays` what it may hold.
"""

import hashlib
from pathlib import Path

import numpy as np

from ddpm_dp.files.writing import claimed, finished, require_writable, write_whole

__all__ = ["DATA", "claimed", "fingerprint", "finished", "require_writable", "shipped", "versions", "write_whole"]

# In a clone the shipped files stand beside the package, in an installed wheel inside it.
DATA = next((folder for up in (1, 2) if (folder := Path(__file__).parents[up] / "data").is_dir()), Path("data"))


def shipped(name: str) -> Path:
    """The path of a file that ships with the package, such as "digits/train.npz".

    Raises FileNotFoundError, listing those that do, if there is none of that name.
    """
    if not (DATA / name).is_file():
        there = sorted(str(file.relative_to(DATA)) for file in DATA.rglob("*.*") if file.is_file())
        raise FileNotFoundError(f"No file {name} ships with ddpm_dp; these do: {', '.join(there) or 'none'}.")
    return DATA / name


def fingerprint(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays' shapes and contents, in hexadecimal: tells two models, or two data sets, apart."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Which code makes a file now: the versions of this package and of those that do its arithmetic."""
    return {name: _version(name) for name in ("ddpm-dp", "numpy", "torch")}


def _version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # run from a clone that was never installed
        return "unknown"

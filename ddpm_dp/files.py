"""Files: written whole or not at all, told apart by what they hold, and where the shipped ones are."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

# In a clone the shipped files stand beside the package, in an installed wheel inside it.
DATA = next((folder for up in (0, 1) if (folder := Path(__file__).parents[up] / "data").is_dir()), Path("data"))


def shipped(name: str) -> Path:
    """The path of a file that ships with the package, such as "digits/train.npz".

    Raises FileNotFoundError, listing those that do, if there is none of that name.
    """
    if not (DATA / name).is_file():
        there = sorted(str(file.relative_to(DATA)) for file in DATA.rglob("*.*") if file.is_file())
        raise FileNotFoundError(f"No file {name} ships with ddpm_dp; these do: {', '.join(there) or 'none'}.")
    return DATA / name


def write_whole(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Call `write(temporary)` beside `path`, then rename: a reader sees the old file or the new one, never a part.

    Raises OSError in one sentence when the folder cannot be written or the disk is full; the old file stays as it was.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # else a power cut can leave the new name on empty contents
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private; a result is as readable as any other file
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror or error}); what stood there before is untouched."
        ) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)
    return path


def require_writable(path: str | Path) -> None:
    """Raise OSError if `path` cannot be written: asked before long work whose result goes there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if Path(path).is_dir() or not os.access(Path(path).parent, os.W_OK):
        raise OSError(f"{path} cannot be written; give the name of a file in a folder of yours.")


def fingerprint(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays' shapes and contents, in hexadecimal: tells two models, or two data sets, apart."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

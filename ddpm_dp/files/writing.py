"""Writing: which file may be written, by whom, and whole or not at all."""

import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_whole(path: str | Path, write: Callable[[Path], object], replace: bool = True) -> Path:
    """Call `write(temporary)` beside `path`, then rename: a reader sees the old file or the new one, never a part.

    A symbolic link stays one: what it points to is written. With `replace=False` a file of other contents is kept.

    Raises OSError in one sentence when the folder cannot be written, the disk is full, or `path` is no file (a device,
    a pipe, a folder); FileExistsError for what `replace=False` keeps. The old file then stays as it was.
    """
    path, target = Path(path), target_of(path)
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        # 0o666 less the umask, as any other file: the system subtracts it
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = stat.S_IMODE(temporary.stat().st_mode)
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # else a power cut can leave the new name on empty contents
        if not replace and target.exists() and target.read_bytes() != temporary.read_bytes():
            raise _kept(path)
        temporary.chmod(mode)  # some libraries make a file anew
        os.replace(temporary, target)
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror or error}); what stood there before is untouched."
        ) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)
    return path


def target_of(path: str | Path) -> Path:
    """The file that a write to `path` makes: itself, or what a symbolic link points to.

    Raises OSError if something else than a file is there, or the links lead in a circle.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error.strerror}); give another file.") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no ordinary file (a device, a pipe or a circle of links)"
        raise OSError(f"{path} cannot be written: it is {kind}; give the name of a file in a folder of yours.")
    return target


def require_writable(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Raise OSError if `path` cannot be written, or is one of the `inputs`, by whatever name: asked before long work
    whose result goes there.
    """
    target = target_of(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OSError(f"{path} cannot be written: {target.parent} is no folder; give a file in a folder.") from error
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error.strerror}); give a file in a folder of yours.") from error
    if not os.access(target.parent, os.W_OK):
        raise OSError(f"{path} cannot be written; give the name of a file in a folder of yours.")
    for given in inputs if target.exists() else ():
        if os.path.exists(given) and os.path.samefile(given, target):
            raise OSError(f"{path} is also an input ({given}), which writing would destroy; give another --out.")


@contextmanager
def claimed(path: str | Path, inputs: Iterable[str | Path] = ()) -> Iterator[None]:
    """Hold `path` for this process alone, as long as the block runs; `inputs` as in `require_writable`.

    The lock is the system's, on a file beside `path`, and ends with the process, however that ends. Where a file system
    knows no locks, there is none.

    Raises OSError if `path` cannot be written, is an input, or another process is at it.
    """
    require_writable(path, inputs)
    target = target_of(path)
    beside = target.with_name(f".{target.name}.lock")
    handle = _taken(path, beside)
    try:
        yield
    finally:
        # Still locked: whoever opened this very file sees afterwards that its name is gone (`_taken`).
        if sys.platform != "win32":
            beside.unlink(missing_ok=True)
        os.close(handle)
        if sys.platform == "win32":
            try:
                beside.unlink(missing_ok=True)
            except OSError:  # another process has it open by now: it is theirs to remove
                pass


def _taken(path: str | Path, beside: Path) -> int:
    """An open and locked file of that name."""
    while True:
        try:
            handle = os.open(beside, os.O_CREAT | os.O_RDWR, 0o666)
        except OSError as error:
            raise OSError(f"{path} cannot be written ({error.strerror}); give a file in a folder of yours.") from error
        try:
            _lock(handle)
        except (BlockingIOError, PermissionError) as error:
            os.close(handle)
            raise BlockingIOError(
                f"Another process is writing {path} at this moment; wait until it is done, or give another --out."
            ) from error
        except OSError:  # no locks on this file system
            return handle
        try:
            if os.path.samestat(os.fstat(handle), os.stat(beside)):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # its name was removed between the two: once more


def finished(path: str | Path, overwrite: bool, same: Callable[[], bool]) -> bool:
    """Whether the result that is asked for stands at `path` already, as `same()` says of a file that is there.

    Raises FileExistsError if another file stands there and is not to be overwritten.
    """
    if overwrite or not Path(path).exists():
        return False
    try:
        if same():
            return True
    except (ValueError, OSError):  # another kind of file, or a part of one
        pass
    raise _kept(path)


def _kept(path: str | Path) -> FileExistsError:
    return FileExistsError(
        f"{path} is there already, and is something else than this would write; give another --out, or --overwrite."
    )

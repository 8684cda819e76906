"""Files of a folder or zip, at any depth: each once, and none that would hang or fill the memory."""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

LARGEST = 2**28  # bytes of one file, unpacked: 10,000 x 9,000 pixels without any packing. More is no image, or a bomb


@dataclass
class Found:
    """What is in the folder or zip at `path`.

    files: name from there, with /, and a function that reads it (ValueError if it is larger than LARGEST).
    skipped: what was passed over: why, and names.
    """

    path: Path
    files: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, why: str, name: str) -> None:
        self.skipped.setdefault(why, []).append(name)


def find(path: Path) -> Found:
    """Every file in a folder or zip; a zip inside a folder counts as a subfolder of its name. Nothing hidden.

    Links are followed, after all that is no link; a folder or file is taken where it is met first, and passed over
    where it is met again.

    Raises ValueError if `path` is neither a folder nor a whole zip, if a zip lies beside a folder of its name, and if
    a part of it cannot be read: their number and names.
    """
    found = Found(path)
    if not path.is_dir():
        found.files = dict(_in_zip(path))
        return found
    seen, unreadable = {_identity(os.stat(path))}, list[str]()
    links: list[str] = []
    waiting = [""]  # folders, from `path` on: a list, as folders may be deeper than Python can call itself
    while waiting or links:
        try:
            if waiting:
                folder, children = waiting.pop(), list[str]()
                with os.scandir(os.path.join(path, folder)) as entries:
                    for entry in entries:
                        if not entry.name.startswith("."):
                            name = f"{folder}/{entry.name}".lstrip("/")
                            (links if entry.is_symlink() else children).append(name)
            else:
                children = [links.pop(0)]
        except OSError as error:
            unreadable.append(f"{folder or '.'} ({error.strerror})")
            continue
        for name in sorted(children):
            full = os.path.join(path, name)  # a Path would take apart all its parts each time
            try:
                status = os.stat(full)
            except FileNotFoundError:
                found.skip("links to nothing", name)
                continue
            except OSError as error:
                unreadable.append(f"{name} ({error.strerror})")
                continue
            if _identity(status) in seen:
                found.skip("met again behind links", name)
                continue
            seen.add(_identity(status))
            if stat.S_ISDIR(status.st_mode):
                waiting.append(name)
            elif not stat.S_ISREG(status.st_mode):
                found.skip("neither files nor folders", name)
            elif not os.access(full, os.R_OK):
                unreadable.append(f"{name} (Permission denied)")
            elif name.lower().endswith(".zip"):
                if os.path.isdir(full[:-4]):
                    raise ValueError(
                        f"{full} lies beside a folder of its name; move one away, else images may count twice."
                    )
                found.files.update((f"{name[:-4]}/{inside}", read) for inside, read in _in_zip(Path(full)))
            else:
                found.files[name] = partial(_read_file, full)
        links.sort()
    if unreadable:
        some = ", ".join(sorted(unreadable)[:5]) + (", ..." if len(unreadable) > 5 else "")
        raise ValueError(
            f"{len(unreadable)} parts of {path} cannot be read: {some}; change their rights, or move them away."
        )
    return found


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _in_zip(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The files of a zip, named as if it had been unpacked, whatever system packed it."""
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is neither a folder nor a whole zip file ({error}).") from error
    for info in archive.infolist():
        parts: list[str] = []
        for part in info.filename.replace("\\", "/").split("/"):  # old Windows programs write \
            if part == "..":
                del parts[-1:]
            elif part not in ("", ".") and not part.endswith(":"):  # C:
                parts.append(part)
        if not info.filename.endswith(("/", "\\")) and parts:
            yield "/".join(parts), partial(_read_packed, archive, info)


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return _at_most(file)


def _read_packed(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        return _at_most(file)


def _at_most(file: IO[bytes]) -> bytes:
    """All of a file, of which its header may say what it likes: read until LARGEST."""
    data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"more than {LARGEST // 2**20} MiB")
    return data

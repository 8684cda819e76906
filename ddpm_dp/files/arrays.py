"""Arrays in an .npz file with a JSON header: sealed, without pickles, no larger in memory than the file explains."""

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_dp.files import schema, seal
from ddpm_dp.files.schema import Layout
from ddpm_dp.files.writing import write_whole

# A file that is unpacked grows by a factor of 2 to 3 (benchmarks: what ships), by 1,000 if it holds nothing but zeros.
# What is small may; what is large may grow by GROWTH.
SMALL, GROWTH = 64 << 20, 64
HEADER = 1 << 24  # bytes of JSON


def write_arrays(
    path: str | Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], compressed: bool = True
) -> Path:
    """Write an .npz file, whole or not at all: the same bytes for the same arrays, which the header lists."""
    save = np.savez_compressed if compressed else np.savez

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            save(file, header=np.array(json.dumps({"arrays": sorted(arrays), **header})), **arrays)  # type: ignore[arg-type]
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.comment = seal.OPEN.encode()
        seal.close(temporary)

    return write_whole(path, write)


def read_arrays(
    path: str | Path,
    check: Callable[[dict[str, Any], Layout], list[str]],
    sealed: Callable[[dict[str, Any]], bool],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header of a file and those of its arrays that `check(header, layout)` names, once it has seen what is there.

    `sealed(header)` says whether a file with that header must have a seal: earlier ones have none.

    Raises ValueError if the file is not whole, holds what no array is, or more than its length explains, and whatever
    `check` raises; OSError if it cannot be read. Only then anything large is allocated.
    """
    whole = seal.is_whole(path)
    if whole is False:
        raise ValueError("its checksum is another than when it was written")
    try:
        with zipfile.ZipFile(path) as archive:
            limit = max(SMALL, GROWTH * Path(path).stat().st_size)
            members = _members(archive, limit)
            if "header" not in members:
                raise ValueError("header is missing")
            header = schema.parsed(_text(archive, members.pop("header")))
            layout = {name: _layout(archive, member)[:2] for name, member in members.items()}
            if lack := {*schema.typed({"arrays": []} | header, "arrays", list[str])} - layout.keys():
                raise ValueError(f"{min(lack)} is missing")
            names = check(header, layout)
            if whole is None and sealed(header):
                raise ValueError("its checksum is missing")
            return header, {name: _array(archive, members[name]) for name in names}
    except (ValueError, OSError):
        raise
    except Exception as error:  # numpy, zipfile and zlib report a damaged file in a dozen ways
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _members(archive: zipfile.ZipFile, limit: int) -> dict[str, zipfile.ZipInfo]:
    members = archive.infolist()
    if sum(member.file_size for member in members) > limit:
        raise ValueError(f"it would unpack to more than {limit:,} bytes, which no such file of its length does")
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise ValueError("it is packed otherwise than numpy packs")
    names = [member.filename.removesuffix(".npy") for member in members]
    if len({*names}) < len(names):
        raise ValueError("a part is there twice")
    return dict(zip(names, members, strict=True))


def _text(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    if member.file_size > HEADER:
        raise ValueError(f"its header has {member.file_size:,} bytes; expected {HEADER:,} at most")
    dtype, shape, start = _layout(archive, member)
    if dtype.kind != "U" or shape:
        raise ValueError("its header is no text")
    with archive.open(member) as stream:
        return str(np.frombuffer(stream.read()[start:], dtype)[0])


def _layout(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Type and shape of an array, and where its numbers begin."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise ValueError(f"{member.filename} has version {version} of numpy's format")
        shape, _, dtype = read[version](stream)
        if dtype.hasobject or dtype.kind not in "biufU" or not all(length >= 0 for length in shape):
            raise ValueError(f"{member.filename} has type {dtype} and shape {shape}, which no part has")
        start = stream.tell()
    if start + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(f"{member.filename} is cut short, or longer than its shape {shape} says")
    return dtype, shape, start


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:  # reading to the end checks the zip's own checksum, too
        return np.lib.format.read_array(stream, allow_pickle=False)

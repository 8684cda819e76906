"""Fashion-MNIST: found on this machine or downloaded, and checked."""

import gzip
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np

from ddpm_dp.datasets.base import Dataset, Option, Source, from_levels
from ddpm_dp.files import write_whole

FASHION_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
# SHA-256 of the unpacked contents: Debian packs them anew, so its .gz files differ from the published ones.
FASHION_TRAIN = ("train-images-idx3-ubyte.gz", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888")
FASHION_TEST = ("t10k-images-idx3-ubyte.gz", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b")


def _read(path: Path | None = None) -> Dataset:
    return Dataset("fashion-mnist", _images(*FASHION_TRAIN, path), _images(*FASHION_TEST, path), 256)


def _images(file: str, sha256: str, folder: Path | None) -> np.ndarray:
    """The images of one of the two files, (n, 1, 28, 28); from `folder` if given, else wherever it is found."""
    # Relative, and then neither looked into nor written, where nobody knows the user's home: in a container whose user
    # is just a number, say.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "ddpm_dp" / "fashion-mnist"
    if folder is not None:
        places = [folder]
    else:
        data = os.environ.get("DDPM_DP_DATA")
        places = (
            ([Path(data), Path(data) / "fashion-mnist"] if data else [])
            + [FASHION_DEBIAN]
            + [cache] * cache.is_absolute()
        )
    found = next((place / file for place in places if (place / file).is_file()), None)
    if found is not None:
        unpacked = unpack(found.read_bytes(), sha256, found)
    elif folder is not None:
        raise FileNotFoundError(f"{folder} holds no {file}; give the folder that does, or leave out path.")
    else:
        packed = download(FASHION_URL + file, cache / file)
        unpacked = unpack(packed, sha256, FASHION_URL + file)
        if cache.is_absolute():
            write_whole(cache / file, lambda temporary: temporary.write_bytes(packed))
    # An idx file: four big-endian numbers (a magic number, n, height, width), then the pixels, one byte each.
    _, n, height, width = np.frombuffer(unpacked, ">u4", count=4)
    return from_levels(np.frombuffer(unpacked, np.uint8, offset=16).reshape(n, 1, height, width), 256)


def unpack(packed: bytes, sha256: str, source: Path | str) -> bytes:
    """The contents of one of Fashion-MNIST's .gz files; `sha256` is theirs, `source` where the packed bytes are from.

    Raises ValueError if it is not a whole .gz file, or holds anything else.
    """
    remedy = "delete it or replace it with an intact copy" if isinstance(source, Path) else "try another network"
    try:
        unpacked = gzip.decompress(packed)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{source} is not a whole .gz file ({len(packed):,} bytes: {error}), as Fashion-MNIST's are; {remedy}."
        ) from error
    if (found := hashlib.sha256(unpacked).hexdigest()) != sha256:
        raise ValueError(f"{source} does not hold Fashion-MNIST: SHA-256 {found}, expected {sha256}; {remedy}.")
    return unpacked


def download(url: str, target: Path) -> bytes:
    """The bytes at a URL; `target` is where a user may put the file instead. Raises ConnectionError if it fails."""
    import http.client
    import urllib.request

    from tqdm.auto import tqdm

    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # seconds of silence, not of the whole download
            with tqdm.wrapattr(response, "read", total=response.length, desc=target.name, delay=2) as stream:
                return b"".join(iter(lambda: stream.read(1 << 16), b""))
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(
            f"{url} could not be downloaded ({error}); check the network, or put the file into {target.parent}."
        ) from error


FASHION = Source(
    "fashion-mnist",
    "pictures of clothes, 60,000 + 10,000 images (1, 28, 28), 256 grey levels; Xiao, Rasul, Vollgraf 2017, "
    "arXiv 1708.07747",
    _read,
    {"path": Option("the folder of its two .gz files")},
)

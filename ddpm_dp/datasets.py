"""Data in [-1, 1]: scikit-learn's digits, Fashion-MNIST, a folder or zip of images, and three 2-D toys.

Every split is fixed: the same call gives the same images in the same order, on every machine (toys may differ in the
last bit). Within a split the order is mixed, so the first n images are a fair sample of it.
"""

import gzip
import hashlib
import http.client
import io
import os
import posixpath
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm.auto import tqdm

from ddpm_dp.files import write_whole

NAMES = ("digits", "fashion-mnist", "images", "swiss-roll", "two-moons", "gaussian-grid")

# The gaussian-grid toy is the mixture of N(mean, GRID_STD^2 I) over these 25 means, with equal weights. It is sampled
# as it is, neither clipped nor rejected, so that its exact denoiser holds: the edge of [-1, 1] lies 6.7 standard
# deviations beyond the outer means, and the chance that any of the 12,000 points falls outside is below 1e-6.
GRID_MEANS = np.array([(x, y) for x in (-0.8, -0.4, 0.0, 0.4, 0.8) for y in (-0.8, -0.4, 0.0, 0.4, 0.8)])
GRID_STD = 0.03

FASHION_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
# SHA-256 of the unpacked contents: Debian packs them anew, so its .gz files differ from the published ones.
FASHION_TRAIN = ("train-images-idx3-ubyte.gz", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888")
FASHION_TEST = ("t10k-images-idx3-ubyte.gz", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b")

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its fixed split.

    Attributes:
        name: what `load_dataset` was asked for.
        train, test: float32 in [-1, 1]; (n, channels, height, width) for images, (n, 2) for the 2-D toys.
        levels: how many grey levels a coordinate has; level v is 2 v / (levels - 1) - 1. None: continuous.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    levels: int | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image or point."""
        return self.train.shape[1:]


def load_dataset(name: str, *, path: str | Path | None = None, size: int | None = None) -> Dataset:
    """Load a data set by name.

    | name | train / test | one image | levels | source |
    |---|---|---|---|---|
    | `digits` | 1,437 / 360 | (1, 8, 8) | 17 | `sklearn.datasets.load_digits` (UCI, Alpaydin & Kaynak 1998) |
    | `fashion-mnist` | 60,000 / 10,000 | (1, 28, 28) | 256 | Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747 |
    | `images` | yours | (3, size, size) | 256 | the folder or zip at `path` |
    | `swiss-roll`, `two-moons` | 10,000 / 2,000 | (2,) | None | `sklearn.datasets`, with Gaussian noise, rescaled |
    | `gaussian-grid` | 10,000 / 2,000 | (2,) | None | the mixture of `GRID_MEANS` and `GRID_STD` |

    path: for `images`, required: a folder (with its subfolders) or a zip; see `_images` for its split and its pixels.
        For `fashion-mnist`, optional: the folder with its two .gz files. Without it they are looked for in
        $DDPM_DP_DATA, in Debian's folder and in the user's cache, and otherwise downloaded (29 MiB) to that cache.
    size: for `images`, required: height and width in pixels.

    Raises ValueError for an unknown name, a `path` or `size` that is missing or has no meaning, a file whose contents
    are not what they should be, and fewer than two images; FileNotFoundError if `path` does not exist; ConnectionError
    if a download fails; OSError if the cache cannot be written.

    >>> digits = load_dataset("digits")
    >>> digits.train.shape, digits.test.shape, digits.shape, digits.levels
    ((1437, 1, 8, 8), (360, 1, 8, 8), (1, 8, 8), 17)
    """
    if name not in NAMES:
        raise ValueError(f"There is no data set {name!r}; known are {', '.join(NAMES)}.")
    if path is not None and name not in ("fashion-mnist", "images"):
        raise ValueError(f"{name} is not read from a path; leave out path={str(path)!r}, or ask for 'images'.")
    if size is not None and name != "images":
        raise ValueError(f"{name} has one size only; leave out size={size!r}, or ask for 'images'.")
    if path is not None and not Path(path).exists():
        raise FileNotFoundError(f"There is nothing at {path}; check the path.")

    if name == "digits":
        return _digits()
    if name == "fashion-mnist":
        return Dataset(name, _fashion_images(*FASHION_TRAIN, path), _fashion_images(*FASHION_TEST, path), 256)
    if name == "images":
        return _images(path, size)
    # Two draws, not one that is cut in two: the test points are independent of the training points.
    return Dataset(name, _toy(name, 10_000, seed=0), _toy(name, 2_000, seed=1), None)


def _from_levels(pixels: np.ndarray, levels: int) -> np.ndarray:
    """Grey levels 0..levels-1 -> [-1, 1]: 2 v / (levels - 1) - 1, in float64 and then rounded to float32."""
    return (2 * np.arange(levels) / (levels - 1) - 1).astype(np.float32)[pixels]


def _shuffled(items) -> np.ndarray:
    return np.random.default_rng(0).permutation(items)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    pixels = load_digits().images.astype(np.uint8)[:, None]  # (1797, 1, 8, 8), 0..16
    images = _shuffled(_from_levels(pixels, 17))  # unshuffled, the last 360 are other people's hands
    return Dataset("digits", images[360:], images[:360], 17)


# --- 2-D toys: points (n, 2). Without noise a curve has no density, and its likelihood no bound. ----------------------


def _toy(name: str, n: int, seed: int) -> np.ndarray:
    if name == "gaussian-grid":
        rng = np.random.default_rng(seed)
        points = GRID_MEANS[rng.integers(len(GRID_MEANS), size=n)] + GRID_STD * rng.standard_normal((n, 2))
    elif name == "swiss-roll":
        from sklearn.datasets import make_swiss_roll

        roll, _ = make_swiss_roll(n, noise=0.5, random_state=seed)
        points = roll[:, [0, 2]] / 17.5  # t (cos t, sin t), t in [1.5 pi, 4.5 pi]: 1 is 6.7 deviations beyond its end
    else:
        from sklearn.datasets import make_moons

        moons, _ = make_moons(n, noise=0.1, random_state=seed)
        points = (moons - [0.5, 0.25]) / 2.2  # x in [-1, 2], y in [-0.5, 1]: 1 is 7 deviations beyond the tips
    return points.astype(np.float32)


# --- Fashion-MNIST ----------------------------------------------------------------------------------------------------


def _fashion_images(file: str, sha256: str, folder: str | Path | None) -> np.ndarray:
    """The images of one of the two files, (n, 1, 28, 28); from `folder` if given, else wherever it is found."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddpm_dp" / "fashion-mnist"
    if folder is not None:
        places = [Path(folder)]
    else:
        data = os.environ.get("DDPM_DP_DATA")
        places = ([Path(data), Path(data) / "fashion-mnist"] if data else []) + [FASHION_DEBIAN, cache]
    found = next((place / file for place in places if (place / file).is_file()), None)
    if found is not None:
        unpacked = _unpack(found.read_bytes(), sha256, found)
    elif folder is not None:
        raise FileNotFoundError(f"{folder} holds no {file}; give the folder that does, or leave out path.")
    else:
        packed = _download(FASHION_URL + file, cache / file)
        unpacked = _unpack(packed, sha256, FASHION_URL + file)
        write_whole(cache / file, lambda temporary: temporary.write_bytes(packed))
    # An idx file: four big-endian numbers (a magic number, n, height, width), then the pixels, one byte each.
    _, n, height, width = np.frombuffer(unpacked, ">u4", count=4)
    return _from_levels(np.frombuffer(unpacked, np.uint8, offset=16).reshape(n, 1, height, width), 256)


def _unpack(packed: bytes, sha256: str, source: Path | str) -> bytes:
    """Unpack a .gz file's contents and check them: they are Fashion-MNIST's own or they are refused."""
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


def _download(url: str, target: Path) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # seconds of silence, not of the whole download
            with tqdm.wrapattr(response, "read", total=response.length, desc=target.name, delay=2) as stream:
                return b"".join(iter(lambda: stream.read(1 << 16), b""))
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(
            f"{url} could not be downloaded ({error}); check the network, or put the file into {target.parent}."
        ) from error


# --- A folder or a zip of images --------------------------------------------------------------------------------------


def _images(path: str | Path | None, size: int | None) -> Dataset:
    """Images as RGB of size x size pixels: the largest centred square, resized by averaging over areas.

    Subfolders `train` and `test` (or `val`) are the split, if both are there; nothing else is read then. A zip inside a
    folder counts as a subfolder of its name, so a folder with train.zip and val.zip will do. Otherwise a fifth of all
    images, drawn at random but always the same for the same names, is held out. Hidden files and files that are not
    named like images are passed over.
    """
    if path is None or size is None:
        raise ValueError("images needs path=, a folder or zip of images, and size=, the height and width to give them.")
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise ValueError(f"size = {size!r}; expected a whole number of pixels, 1 or more.")
    files = {name: read for name, read in _files(Path(path)).items() if _is_image(name)}
    if len(files) < 2:
        raise ValueError(f"{path} holds {len(files)} images ({', '.join(IMAGE_SUFFIXES)}); a split needs at least 2.")

    above = posixpath.commonpath(files)  # an archive often wraps everything in one folder of its own name
    split: dict[str, list[str]] = {}
    for name in sorted(files):
        split.setdefault(posixpath.relpath(name, above or ".").split("/")[0], []).append(name)
    train, test = split.get("train"), split.get("test", split.get("val"))
    if not (train and test):
        names = _shuffled(sorted(files))
        held_out = -(-len(names) // 5)
        train, test = names[held_out:].tolist(), names[:held_out].tolist()

    def read(part: str, names: list[str]) -> np.ndarray:
        images = np.empty((len(names), 3, size, size), np.float32)
        for i, name in enumerate(tqdm(_shuffled(names), f"reading {part} images", unit="image", delay=2)):
            images[i] = _from_levels(_decode(files[name], f"{name} in {path}", size), 256)
        return images

    return Dataset("images", read("train", train), read("test", test), 256)


def _files(path: Path) -> dict[str, Callable[[], bytes]]:
    """Every file in a folder or zip, at any depth: its name from there, with /, and a function that reads it."""
    if not path.is_dir():
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is neither a folder nor a whole zip file ({error}).") from error
        return {name: partial(archive.read, name) for name in archive.namelist() if not name.endswith("/")}
    files: dict[str, Callable[[], bytes]] = {}
    for child in path.glob("[!.]*"):
        if child.suffix == ".zip" and child.with_suffix("").is_dir():
            raise ValueError(f"{child} lies beside a folder of its name; move one away, else images may count twice.")
        if child.is_dir() or child.suffix == ".zip":
            files |= {f"{child.name.removesuffix('.zip')}/{name}": read for name, read in _files(child).items()}
        else:
            files[child.name] = child.read_bytes
    return files


def _is_image(name: str) -> bool:
    # macOS puts a hidden ._photo.jpg beside each photo.jpg that it copies or zips: metadata under an image's name.
    parts = PurePosixPath(name).parts
    return name.lower().endswith(IMAGE_SUFFIXES) and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _decode(read: Callable[[], bytes], name: str, size: int) -> np.ndarray:
    """One image file -> uint8 (3, size, size)."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(read()))
        image.load()
    except Exception as error:  # for a broken file PIL and zipfile raise some ten kinds
        raise ValueError(f"{name} cannot be read as an image ({error}); remove or replace it.") from error
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{name} has more than 8 bits a channel (mode {image.mode}); convert it to 8.")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.convert("RGB").crop((left, top, left + side, top + side))
    # BOX, the plain mean, as in ImageNet64x64 (Chrabaszcz et al. 2017); an image of the right size stays as it is.
    return np.asarray(square.resize((size, size), Image.Resampling.BOX)).transpose(2, 0, 1)

"""Your own images: a folder of them, or a zip.

They become RGB of size x size pixels: the largest centred square, resized by averaging over areas.

Subfolders `train` and `test` (or `val`) are the split, if both are there; nothing else is read then. A zip inside a
folder counts as a subfolder of its name, so a folder with train.zip and val.zip will do. Otherwise a fifth of all
images, drawn at random but always the same for the same names, is held out. Hidden files and files that are not
named like images are passed over.

Where every image lies in a subfolder (of `train` and `test`, if there are those), and there are two subfolders or more,
they are classes: 0, 1, ... in the order of their names, character by character ("10" before "2"), which is that of
torchvision's ImageFolder.
"""

import io
import posixpath
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm.auto import tqdm

from ddpm_dp.checks import whole
from ddpm_dp.datasets.base import Dataset, Option, Source, from_levels, shuffled

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def _read(path: Path, size: int) -> Dataset:
    size = whole(size, "size", what="pixels")
    files = {name: read for name, read in _files(path).items() if _is_image(name)}
    if len(files) < 2:
        raise ValueError(f"{path} holds {len(files)} images ({', '.join(IMAGE_SUFFIXES)}); a split needs at least 2.")

    above = posixpath.commonpath(files)  # an archive often wraps everything in one folder of its own name
    split: dict[str, list[str]] = {}
    parts = {name: posixpath.relpath(name, above or ".").split("/") for name in sorted(files)}
    for name, (first, *_) in parts.items():
        split.setdefault(first, []).append(name)
    train, test = split.get("train"), split.get("test", split.get("val"))
    depth = 1 if train and test else 0  # of the folders that may be classes
    if not (train and test):
        names = shuffled(sorted(files))
        held_out = -(-len(names) // 5)
        train, test = names[held_out:].tolist(), names[:held_out].tolist()
    names_of = {"train": shuffled(train).tolist(), "test": shuffled(test).tolist()}

    def read(part: str) -> np.ndarray:
        images = np.empty((len(names_of[part]), 3, size, size), np.float32)
        for i, name in enumerate(tqdm(names_of[part], f"reading {part} images", unit="image", delay=2)):
            images[i] = from_levels(_decode(files[name], f"{name} in {path}", size), 256)
        return images

    data = Dataset("images", read("train"), read("test"), 256)
    folder = {name: parts[name][depth] for names in names_of.values() for name in names}
    classes = sorted(set(folder.values()))
    if len(classes) < 2 or any(len(parts[name]) < depth + 2 for name in folder):  # some stand beside the subfolders
        return data
    number = {name: i for i, name in enumerate(classes)}
    train_labels, test_labels = (np.array([number[folder[name]] for name in names]) for names in names_of.values())
    return replace(data, classes=tuple(classes), train_labels=train_labels, test_labels=test_labels)


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


IMAGES = Source(
    "images",
    "yours, a fifth held out unless they come split, (3, size, size), 256 grey levels",
    _read,
    {
        "path": Option("a folder or zip of images", needed=True),
        "size": Option("the height and width to give them, in pixels", needed=True),
    },
)

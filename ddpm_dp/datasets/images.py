"""Your own images: a folder of them, or a zip.

They become RGB of size x size pixels: turned as their EXIF tag says, transparent ones set on white, of 16
bits the 8 higher ones, the largest centred square, resized by averaging over areas.

Subfolders `train` and `test` (or `val`, `valid`, `validation`), in any case, are the split, if both are there; nothing
else is read then. A zip inside a folder counts as a subfolder of its name, so a folder with train.zip and val.zip will
do. Otherwise a fifth of all images, drawn at random but always the same for the same names, is held out; of files that
are the same byte for byte one is read. Links are followed, but nothing is read twice. Hidden files and files that are
not named like images are passed over. One line says what was read, skipped and converted.

Where every image lies in a subfolder (of `train` and `test`, if there are those), and there are two subfolders or more,
they are classes: 0, 1, ... in the order of their names, character by character ("10" before "2"), which is that of
torchvision's ImageFolder.
"""

import hashlib
import io
import posixpath
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from ddpm_dp.checks import whole
from ddpm_dp.datasets.base import Dataset, Option, Source, from_levels, shuffled
from ddpm_dp.datasets.folders import Found, find
from ddpm_dp.memory import refuse_beyond_memory

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# What a split's folders are called: the training images, then who is held out, the first that is there.
AS_THEY_CAME = "split as they came"
TRAIN, HELD_OUT = ("train", "training"), (("test", "testing"), ("val", "valid", "validation"))


def _read(path: Path, size: int) -> Dataset:
    from tqdm.auto import tqdm

    size = whole(size, "size", what="pixels")
    found = find(path)
    found.files = {name: read for name, read in found.files.items() if _is_image(name)}
    if len(found.files) < 2:
        raise ValueError(
            f"{path} holds {len(found.files)} images ({', '.join(IMAGE_SUFFIXES)}); a split needs at least 2."
        )
    train, test, how = _split(found)
    names_of = {"train": shuffled(train).tolist(), "test": shuffled(test).tolist()}
    refuse_beyond_memory(
        12 * (len(train) + len(test)) * size**2,
        f"{len(train) + len(test):,} images of size = {size}",
        "lower size, or give fewer images",
    )
    converted: Counter[str] = Counter()

    def read(part: str) -> np.ndarray:
        images = np.empty((len(names_of[part]), 3, size, size), np.float32)
        for i, name in enumerate(tqdm(names_of[part], f"reading {part} images", unit="image", delay=2)):
            pixels, done = _decode(_bytes(found, name), f"{name} in {path}", size)
            images[i] = from_levels(pixels, 256)
            converted.update(done)
        return images

    data = Dataset("images", read("train"), read("test"), 256, *_labels(found, names_of, depth=how == AS_THEY_CAME))
    tqdm.write(f"{path}: {len(train):,} + {len(test):,} images, {how}{_told(found.skipped, converted)}.")
    return data


def _labels(
    found: Found, names_of: dict[str, list[str]], depth: int
) -> tuple[tuple[str, ...], np.ndarray | None, np.ndarray | None]:
    """The classes' names, and the label of each training and held-out image: folders `depth` below the top."""
    below = _below(found)
    folder = {name: below[name][depth] for names in names_of.values() for name in names}
    classes = sorted(set(folder.values()))
    if len(classes) < 2 or any(len(below[name]) < depth + 2 for name in folder):  # some stand beside the subfolders
        return (), None, None
    number = {name: i for i, name in enumerate(classes)}
    train, test = (np.array([number[folder[name]] for name in names]) for names in names_of.values())
    return tuple(classes), train, test


def _told(skipped: dict[str, list[str]], converted: Counter[str]) -> str:
    """What was skipped and converted, for the line."""
    parts = [f"{len(names):,} {why} ({_some(names)})" for why, names in skipped.items()]
    text = f"; skipped: {', '.join(parts)}" if parts else ""
    return text + "".join(f"; {count:,} {what}" for what, count in sorted(converted.items()))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _below(found: Found) -> dict[str, list[str]]:
    """Each image's folders and name, from the folder that holds them all: archives often wrap everything in one."""
    above = posixpath.commonpath(found.files)
    return {name: name[len(above) :].lstrip("/").split("/") for name in found.files}


def _split(found: Found) -> tuple[list[str], list[str], str]:
    """Names of training and held-out images, and how they were told apart. What is left out is added to `skipped`."""
    from tqdm.auto import tqdm

    parts: dict[str, list[str]] = {}
    for name, (first, *_) in sorted(_below(found).items()):
        parts.setdefault(first.lower(), []).append(name)

    def of(*called: str) -> list[str]:
        return sorted(name for part in called for name in parts.get(part, []))

    train, test = of(*TRAIN), next((names for called in HELD_OUT if (names := of(*called))), [])
    if train and test:
        if left := sorted(found.files.keys() - {*train, *test}):
            found.skipped["outside of the split's two folders"] = left
        return train, test, AS_THEY_CAME

    once: dict[bytes, str] = {}
    for name in tqdm(sorted(found.files), "looking for copies", unit="image", delay=2):
        once.setdefault(hashlib.sha256(_bytes(found, name)).digest(), name)
    if copies := sorted(found.files.keys() - {*once.values()}):
        found.skipped["copies of others"] = copies
    names = shuffled(sorted(once.values())).tolist()
    if len(names) < 2:
        raise ValueError(f"All {len(found.files)} images are copies of one ({names[0]}); a split needs at least 2.")
    held_out = -(-len(names) // 5)
    return names[held_out:], names[:held_out], "a fifth of them held out"


def _is_image(name: str) -> bool:
    # macOS puts a hidden ._photo.jpg beside each photo.jpg that it copies or zips: metadata under an image's name.
    parts = PurePosixPath(name).parts
    return name.lower().endswith(IMAGE_SUFFIXES) and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _bytes(found: Found, name: str) -> bytes:
    try:
        return found.files[name]()
    except Exception as error:  # for a broken archive zipfile raises several kinds
        raise _broken(f"{name} in {found.path}", error) from error


def _broken(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} cannot be read as an image ({error}); remove or replace it.")


def _decode(packed: bytes, name: str, size: int) -> tuple[np.ndarray, list[str]]:
    """One image file -> uint8 (3, size, size), and what had to be done to it."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    done = []
    try:
        image = Image.open(io.BytesIO(packed))
        if ";16" in str(image.tile) or image.mode.startswith("I"):  # of colours PIL itself keeps the higher bits
            done.append("with 16 bits a channel, of which the higher 8 are kept")
        image.load()
        turned = ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise _broken(name, ValueError("no kind of image that is known")) from error
    except Exception as error:  # for a broken file PIL raises some ten kinds
        raise _broken(name, error) from error
    if image.getexif().get(0x0112, 1) != 1:
        done.append("turned as their EXIF tag says")
    if turned.mode.startswith("I"):
        levels = np.asarray(turned).astype(np.int64)
        if levels.min() < 0 or levels.max() >= 2**16:
            raise ValueError(f"{name} has more than 16 bits a channel (mode {turned.mode}); convert it to 8.")
        turned = Image.fromarray((levels >> 8).astype(np.uint8))
    elif turned.mode.startswith("F"):
        raise ValueError(f"{name} has more than 16 bits a channel (mode {turned.mode}); convert it to 8.")
    if turned.has_transparency_data:
        coloured = turned.convert("RGBA")
        if np.asarray(coloured)[..., 3].min() < 255:
            done.append("with transparency, set on white")
        turned = Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
    side = min(turned.size)
    left, top = (turned.width - side) // 2, (turned.height - side) // 2
    square = turned.convert("RGB").crop((left, top, left + side, top + side))
    # BOX, the plain mean, as in ImageNet64x64 (Chrabaszcz et al. 2017); an image of the right size stays as it is.
    return np.asarray(square.resize((size, size), Image.Resampling.BOX)).transpose(2, 0, 1), done


IMAGES = Source(
    "images",
    "yours, a fifth held out unless they come split, (3, size, size), 256 grey levels",
    _read,
    {
        "path": Option("a folder or zip of images (--data-path on the command line)", needed=True),
        "size": Option("the height and width to give them, in pixels (--size)", needed=True),
    },
)

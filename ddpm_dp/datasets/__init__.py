"""Data in [-1, 1]: scikit-learn's digits, Fashion-MNIST, emoji, a folder or zip of images, and three 2-D toys.

Every split is fixed: the same call gives the same images in the same order, on every machine (toys may differ in the
last bit). Within a split the order is mixed, so the first n images are a fair sample of it.

A new data set is a file with its `Source`, and its line in `DATASETS`.
"""

import os
from pathlib import Path
from typing import Any

from ddpm_dp.datasets.base import Dataset, Source
from ddpm_dp.datasets.digits import DIGITS
from ddpm_dp.datasets.emoji import EMOJI
from ddpm_dp.datasets.fashion import FASHION
from ddpm_dp.datasets.images import IMAGES
from ddpm_dp.datasets.toys import GRID_MEANS, GRID_STD, TOYS
from ddpm_dp.registry import Registry

__all__ = ["DATASETS", "GRID_MEANS", "GRID_STD", "Dataset", "load_dataset"]

# In the order of menus and tables.
DATASETS: Registry[Source] = Registry("data set", [DIGITS, FASHION, EMOJI, IMAGES, *TOYS])


def load_dataset(name: str, *, path: str | Path | None = None, size: int | None = None) -> Dataset:
    """Load a data set by name, one of `DATASETS`: the words of each say what it holds.

    path: for `images`, needed: a folder (with its subfolders) or a zip; `images.py` says how they are split and cut.
        For `fashion-mnist`, optional: the folder with its two .gz files. Without it they are looked for in
        $DDPM_DP_DATA, in Debian's folder and in the user's cache, and otherwise downloaded (29 MiB) to that cache.
    size: for `images`, needed: height and width in pixels.

    Raises ValueError for an unknown name, a `path` or `size` that is missing or has no meaning, a file whose contents
    are not what they should be, and fewer than two images; FileNotFoundError if `path` does not exist; ConnectionError
    if a download fails; OSError if `path` cannot be read, or the cache not written.

    >>> DATASETS["two-moons"].words
    'sklearn.datasets.make_moons with Gaussian noise, rescaled, 10,000 + 2,000 points (2,), continuous'
    >>> digits = load_dataset("digits")
    >>> digits.train.shape, digits.test.shape, digits.shape, digits.levels
    ((1437, 1, 8, 8), (360, 1, 8, 8), (1, 8, 8), 17)
    """
    source = DATASETS.named(name)
    options: dict[str, Any] = {"path": None if path is None else Path(path), "size": size}
    given = {option: value for option, value in options.items() if value is not None}
    for option, value in given.items():
        if option not in source.options:
            others = ", ".join(other.name for other in DATASETS.values() if option in other.options)
            raise ValueError(f"{name} takes no {option}; leave out {option} = {value}, or ask for one of {others}.")
    if path is not None:
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(f"There is nothing at {path}; check the path.") from error
        except OSError as error:
            raise OSError(f"{path} cannot be read ({error.strerror}); check the rights of its folders.") from error
    needed = {option: declared.words for option, declared in source.options.items() if declared.needed}
    if not needed.keys() <= given.keys():
        wanted = ", and ".join(f"{option}=, {words}" for option, words in needed.items())
        raise ValueError(f"{name} needs {wanted}.")
    return source.read(**given)

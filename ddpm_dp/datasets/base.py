"""A data set with its fixed split, and what a source of one has to say of itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its fixed split.

    Attributes:
        name: what `load_dataset` was asked for.
        train, test: float32 in [-1, 1]; (n, channels, height, width) for images, (n, 2) for the 2-D toys.
        levels: how many grey levels a coordinate has; level v is 2 v / (levels - 1) - 1. None: continuous.
        classes: the names of the classes, where there are any.
        train_labels, test_labels: (n,) the class of each image, its place in `classes`; None without classes.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    levels: int | None
    classes: tuple[str, ...] = ()
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image or point."""
        return self.train.shape[1:]


@dataclass(frozen=True)
class Option:
    """An argument of `load_dataset` that a source takes: what it is there, and whether it can be left out."""

    words: str
    needed: bool = False


@dataclass(frozen=True)
class Source:
    """Where a data set comes from: one entry of `DATASETS`.

    Attributes:
        name: what users write.
        words: one line: what, how many (training + test), the shape of one, grey levels, whose.
        read: reads it, called with those of its `options` that were given, by name; `path` is a Path that exists.
        options: which of `path` and `size` it takes. Any other is refused, and one that is needed is asked for.
    """

    name: str
    words: str
    read: Callable[..., Dataset]
    options: Mapping[str, Option] = field(default_factory=dict)


def from_levels(pixels: np.ndarray, levels: int) -> np.ndarray:
    """Grey levels 0..levels-1 -> [-1, 1]: 2 v / (levels - 1) - 1, in float64 and then rounded to float32.

    >>> from_levels(np.array([0, 1, 2]), 3)
    array([-1.,  0.,  1.], dtype=float32)
    """
    return (2 * np.arange(levels) / (levels - 1) - 1).astype(np.float32)[pixels]


def shuffled(items: ArrayLike) -> np.ndarray:
    """The same items in an order that is mixed, and the same each time."""
    return np.random.default_rng(0).permutation(items)

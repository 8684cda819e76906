"""Which images: 8 bytes of each, so that two sets of statistics know what they have in common without the images."""

import hashlib

import numpy as np
from numpy.typing import ArrayLike

COMMON = "images in common with the training statistics"  # what `about` says of held-out statistics


def fingerprints(images: ArrayLike, levels: int | None) -> np.ndarray:
    """(n,) 64 bits of BLAKE2b of each of (n, ...) images: of its grey levels, or of continuous data's float32 values.

    Two different images agree with probability 2^-64: among a million and another million some pair does with 5e-8.

    >>> one, two, again = fingerprints([[-1.0, 1.0], [0.0, 0.0], [-1.0, 1.0]], levels=3)
    >>> bool(one == again), bool(one == two)
    (True, False)
    """
    values = np.asarray(images, dtype=np.float32)
    if levels is None:
        values = (values + np.float32(0)).astype("<f4")  # -0.0 is 0.0
    else:
        values = np.rint((values + 1.0) * ((levels - 1) / 2)).astype("<i4")
    each = (hashlib.blake2b(np.ascontiguousarray(one).data, digest_size=8).digest() for one in values)
    return np.frombuffer(b"".join(each), "<u8").astype(np.uint64)


def in_common(some: np.ndarray | None, others: np.ndarray | None) -> int | None:
    """How many of `some` images are among `others`, by their fingerprints; None if they are not known of both."""
    return None if some is None or others is None else int(np.isin(some, others).sum())

"""Handwritten digits: small enough that a model of them is trained and measured in a minute."""

import numpy as np

from ddpm_dp.datasets.base import Dataset, Source, from_levels, shuffled


def _read() -> Dataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = digits.images.astype(np.uint8)[:, None]  # (1797, 1, 8, 8), 0..16
    images = shuffled(from_levels(pixels, 17))  # unshuffled, the last 360 are other people's hands
    labels = shuffled(digits.target)
    classes = tuple(map(str, digits.target_names))
    return Dataset("digits", images[360:], images[:360], 17, classes, labels[360:], labels[:360])


DIGITS = Source(
    "digits",
    "handwritten digits, 1,437 + 360 images (1, 8, 8), 17 grey levels; "
    "sklearn.datasets.load_digits (UCI, Alpaydin & Kaynak 1998)",
    _read,
)

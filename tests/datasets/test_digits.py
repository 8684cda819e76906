"""datasets/digits.py: the original images, in a split that never changes."""

import hashlib

import numpy as np
from sklearn.datasets import load_digits

from ddpm_dp import load_dataset


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def test_digits_are_the_original_images_each_on_one_side_of_the_split():
    digits = load_dataset("digits")
    assert (digits.train.shape, digits.test.shape) == ((1437, 1, 8, 8), (360, 1, 8, 8))
    assert (digits.name, digits.shape, digits.levels, digits.train.dtype) == ("digits", (1, 8, 8), 17, np.float32)
    original = load_digits().images
    assert len(np.unique(original, axis=0)) == 1797  # no image occurs twice, so equal sets below mean a disjoint split
    both = np.concatenate([digits.train, digits.test])[:, 0]
    np.testing.assert_array_equal(np.unique(both, axis=0), np.unique(original / 8 - 1, axis=0))


def test_each_digit_has_its_own_label():
    digits, original = load_dataset("digits"), load_digits()
    label = {image.tobytes(): target for image, target in zip(original.images / 8 - 1, original.target, strict=True)}
    assert digits.classes == tuple("0123456789")
    for images, labels in ((digits.train, digits.train_labels), (digits.test, digits.test_labels)):
        assert [label[image.astype(float).tobytes()] for image in images[:, 0]] == labels.tolist()


def test_the_split_of_the_digits_never_changes():
    digits = load_dataset("digits")
    assert sha256(digits.train) == "5d70ecbce0ef92db019b0fa9ca0b086c1e26ed66584dd4ac1c1c807452e818d0"
    assert sha256(digits.test) == "0a113226fb93cec893427603ce72bb21006a6b51c52ca0fc058da92c7f056a83"

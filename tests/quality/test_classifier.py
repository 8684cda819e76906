import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ddpm_dp.quality import load_classifier
from ddpm_dp.quality.classifier import CLASSES, FEATURES, Classifier, fit


def test_classifier_learns_and_its_file_is_checked(tmp_path):
    """Ten bright bars at ten heights are learned at once; the file gives back the same features or is refused."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 500)
    images = rng.uniform(-1, -0.5, (500, 1, 28, 28)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label + 4 : 2 * label + 6] = 1
    before = torch.get_rng_state()
    classifier = fit(images[:400], labels[:400], epochs=10)
    assert torch.equal(torch.get_rng_state(), before)
    assert classifier.accuracy(images[400:], labels[400:]) > 0.8
    features = classifier.features(images[:7])
    assert features.shape == (7, FEATURES) and features.dtype == np.float64

    again = load_classifier(classifier.save(tmp_path / "c.safetensors"))
    assert again.about == {"epochs": 10, "seed": 0} and np.array_equal(again.features(images[:7]), features)
    with pytest.raises(ValueError, match=r"\(n, 1, 28, 28\)"):
        again.features(images[:, 0])
    content = bytearray((tmp_path / "c.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(content)
    (tmp_path / "short.safetensors").write_bytes(content[:1000])
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("damaged", "short", "other"):
        with pytest.raises(ValueError, match="again"):
            load_classifier(tmp_path / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError, match="absent"):
        load_classifier(tmp_path / "absent")


def test_the_shipped_classifier():
    shipped = load_classifier()
    assert isinstance(shipped, Classifier) and shipped.about["test accuracy"] > 0.9 and len(CLASSES) == 10
    assert shipped.about["test images"] == 10_000

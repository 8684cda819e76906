import itertools

import numpy as np
import pytest
import scipy.linalg
import torch
from safetensors.torch import save_file

from ddpm_dp.quality import (
    CLASSES,
    FEATURES,
    Classifier,
    fit,
    frechet_distance,
    frechet_estimate,
    load_classifier,
    wasserstein2,
)


def covariance(f, rank, seed):
    a = np.random.default_rng(seed).standard_normal((f, rank))
    return a @ a.T / rank


def test_frechet_distance_of_equals_is_zero():
    for rank in (3, 8, 50):
        mu, cov = np.arange(8.0), covariance(8, rank, seed=rank)
        assert frechet_distance(mu, cov, mu, cov) == pytest.approx(0, abs=1e-12)
        assert frechet_distance(mu, cov, mu + 0.5, cov) == pytest.approx(8 * 0.25, rel=1e-12)  # a translation


def test_frechet_distance_in_one_dimension():
    assert frechet_distance([1.0], [[4.0]], [3.0], [[0.25]]) == pytest.approx((1 - 3) ** 2 + (2 - 0.5) ** 2)


def test_frechet_distance_of_commuting_covariances():
    """cov1 and cov2 share their axes: ||mu1 - mu2||^2 + sum_i (s_i - r_i)^2 of the deviations s, r along them."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    s, r = rng.uniform(0, 3, (2, 6))
    s[0] = r[1] = 0  # a direction without any spread
    found = frechet_distance(np.zeros(6), axes * s**2 @ axes.T, np.ones(6), axes * r**2 @ axes.T)
    assert found == pytest.approx(6 + np.sum((s - r) ** 2), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_frechet_distance_agrees_with_the_usual_formula(seed):
    """scipy's general matrix square root of cov1 cov2, as FID is usually computed; and it is symmetric."""
    mu1, mu2 = np.random.default_rng(seed).standard_normal((2, 10))
    cov1, cov2 = covariance(10, 30, seed + 10), covariance(10, 30, seed + 20)
    usual = np.sum((mu1 - mu2) ** 2) + np.trace(cov1 + cov2 - 2 * scipy.linalg.sqrtm(cov1 @ cov2).real)
    assert frechet_distance(mu1, cov1, mu2, cov2) == pytest.approx(usual, rel=1e-9)
    assert frechet_distance(mu2, cov2, mu1, cov1) == pytest.approx(usual, rel=1e-9)


def test_what_is_no_gaussian_is_refused():
    good = np.eye(2)
    for bad in ([[1, 1], [0, 1]], [[1, 2], [2, 1]], [[1, np.nan], [np.nan, 1]], np.eye(3)):
        with pytest.raises(ValueError, match="symmetric|eigenvalue|shapes"):
            frechet_distance([0, 0], good, [0, 0], bad)
    with pytest.raises(ValueError, match="mean"):
        frechet_distance([0, np.inf], good, [0, 0], good)


def test_estimate_without_the_bias_and_its_standard_error():
    """Over 40 draws of 200 samples: `value` is far too high, `limit` right on average, its error bar the spread."""
    rng = np.random.default_rng(0)
    f, shift = 10, 0.3
    real = rng.standard_normal((50_000, f))
    truth = shift**2
    found = [frechet_estimate(rng.standard_normal((200, f)) + shift * np.eye(f)[0], real) for _ in range(40)]
    limit = np.array([each.limit for each in found])
    assert np.mean([each.value for each in found]) > truth + 0.1
    assert limit.mean() == pytest.approx(truth, abs=4 * limit.std() / np.sqrt(40))
    claimed = np.sqrt(np.mean([each.standard_error**2 for each in found]))
    assert claimed == pytest.approx(limit.std(ddof=1), rel=0.4)
    assert {each.n for each in found} == {200}


def test_too_few_samples_are_refused():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((50, 8))
    assert frechet_estimate(real[:10], real).n == 10  # 9 = 8 + 1 are left without one
    for samples, other in ((real[:9], real), (real, real[:8])):
        with pytest.raises(ValueError, match="9 or more"):
            frechet_estimate(samples, other)
    with pytest.raises(ValueError, match="same features"):
        frechet_estimate(real, real[:, :7])


def test_wasserstein_is_the_best_of_all_pairings():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 6, 2))
    pairings = (a - b[list(order)] for order in itertools.permutations(range(6)))
    brute = min(np.sqrt(np.mean(np.sum(each**2, axis=1))) for each in pairings)
    assert wasserstein2(a, b) == pytest.approx(brute, rel=1e-12)
    assert wasserstein2(a, a[::-1]) == 0
    assert wasserstein2(a, torch.from_numpy(a + [3, 4])) == pytest.approx(5)  # a translation
    x, y = a[:, :1], b[:, :1]  # on a line, the sorted points are the pairs
    assert wasserstein2(x, y) == pytest.approx(np.sqrt(np.mean((np.sort(x, 0) - np.sort(y, 0)) ** 2)))
    for wrong in (b[:5], b[:, :1], np.full((6, 2), np.nan), np.zeros((0, 2)), b[0]):
        with pytest.raises(ValueError, match="equally many|expected"):
            wasserstein2(a, wrong)


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

"""Sample quality, beside bits/dim: distances between a set of samples and a set of real data.

- `wasserstein2`: exact, between point sets of equal size; for the 2-D toys.
- `frechet_estimate` of `Classifier.features`: the Frechet distance in the features of a small Fashion-MNIST classifier,
  not FID. (FID's features are those of Inception-v3, trained on ImageNet.) Compare its values with one another only.

Both are above 0 even for perfect samples, since the sets are finite: always report beside them the floor, which is the
same distance between two independent sets of real data of the same sizes.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ddpm_dp import datasets
from ddpm_dp.files import fingerprint, require_writable, shipped, write_whole

# --- Distances between two point sets, or between their first two moments ---------------------------------------------


def wasserstein2(a, b) -> float:
    """Exact 2-Wasserstein distance between two point sets of equal size n, in the units of the points.

        W_2^2 = min over permutations p of 1/n sum_i ||a_i - b_p(i)||^2

    The best of all pairings, by `scipy.optimize.linear_sum_assignment` (Crouse 2016): O(n^3), about 0.1 s at n = 1,000.
    Two sets of n independent points of one distribution are apart, too: report that floor beside the distance.

    Args:
        a, b: (n, d) arrays or tensors.

    Raises ValueError if the shapes differ or are not (n, d), n >= 1, or a value is not finite.

    >>> wasserstein2([[0.0, 0.0], [1.0, 0.0]], [[1.0, 3.0], [0.0, 3.0]])
    3.0
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    a, b = _points(a), _points(b)
    if a.shape != b.shape:
        raise ValueError(f"The sets have shapes {a.shape} and {b.shape}; expected equally many points, (n, d) each.")
    squared = cdist(a, b, "sqeuclidean")
    return float(np.sqrt(squared[linear_sum_assignment(squared)].mean()))


def frechet_distance(mu1, cov1, mu2, cov2) -> float:
    """Squared Frechet (2-Wasserstein) distance between the Gaussians N(mu1, cov1) and N(mu2, cov2).

        ||mu1 - mu2||^2 + Tr(cov1) + Tr(cov2) - 2 Tr((cov1 cov2)^(1/2))       (Dowson & Landau 1982; Heusel et al. 2017)

    The last trace is the sum of the singular values of A B with A, B the symmetric roots of cov1, cov2: that stays real
    and accurate where `sqrtm(cov1 @ cov2)` turns complex, as it does for covariances without full rank.

    Args:
        mu1, mu2: (f,) means.
        cov1, cov2: (f, f) covariances: symmetric, positive semi-definite.

    Returns it in squared units of the features, as FID is reported; 0 where rounding would make it negative.

    Raises ValueError for shapes that do not fit, values that are not finite, or a matrix that is no covariance.

    >>> frechet_distance([0.0], [[1.0]], [2.0], [[9.0]])  # (0 - 2)^2 + (1 - 3)^2
    8.0
    """
    mu1, mu2, cov1, cov2 = (np.asarray(x, dtype=np.float64) for x in (mu1, mu2, cov1, cov2))
    f = mu1.shape[:1]
    if mu1.ndim != 1 or mu2.shape != f or cov1.shape != f * 2 or cov2.shape != f * 2:
        raise ValueError(
            f"Means of shapes {mu1.shape}, {mu2.shape} and covariances of shapes {cov1.shape}, {cov2.shape} were "
            "given; expected (f,), (f,), (f, f), (f, f)."
        )
    if not (np.isfinite(mu1).all() and np.isfinite(mu2).all()):
        raise ValueError("A mean is NaN or infinite; remove the images whose features are not finite.")
    overlap = np.linalg.svd(_root(cov1) @ _root(cov2), compute_uv=False).sum()
    return max(0.0, float(np.sum((mu1 - mu2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * overlap))


@dataclass(frozen=True)
class FrechetEstimate:
    """What `frechet_estimate` found out.

    n: how many samples.
    value: the distance between the two sets as they are. Too high on average, by about a constant / n.
    limit: the estimate for n -> infinity, without that bias; can fall below 0 by chance.
    standard_error: of `limit` (and, nearly, of `value`), over draws of the samples; the real set is taken as fixed.
    """

    n: int
    value: float
    limit: float
    standard_error: float


GROUPS = 20


def frechet_estimate(samples, real) -> FrechetEstimate:
    """Squared Frechet distance between two sets of features, what is left of it without the bias of n samples, and its
    standard error.

    The distance D_n of n samples is biased, E D_n = D + c / n + O(1 / n^2) (Chong & Forsyth 2020, arXiv 1911.07023), so
    sets of different sizes cannot be compared. Leave out one of G = 20 groups of samples at a time: those D_(g) have
    n (G - 1) / G samples each, and the line through both sizes, drawn to 1 / n = 0, is the jackknife (Quenouille 1956)

        limit = G D_n - (G - 1) mean_g D_(g),      standard error^2 = (G - 1) / G sum_g (D_(g) - mean)^2.

    Args:
        samples: (n, f) features, in any order that is independent of their values.
        real: (m, f) features of real data, which are taken as they are: their own bias of about c / m stays, and
            shows in the floor (`samples` replaced by other real data). Make m several times n.

    Raises ValueError unless both have f + 1 points or more even after one group is left out: fewer cannot fill a
    covariance of f dimensions, and the bias no longer goes like 1 / n.

    >>> rng = np.random.default_rng(0)
    >>> estimate = frechet_estimate(rng.standard_normal((500, 4)), rng.standard_normal((5000, 4)) + [1, 0, 0, 0])
    >>> abs(estimate.limit - 1) < 3 * estimate.standard_error
    True
    """
    samples, real = _points(samples), _points(real)
    n, f = samples.shape
    if real.shape[1] != f:
        raise ValueError(f"The samples have {f} features, the real data {real.shape[1]}; expected the same features.")
    left = n - -(-n // GROUPS)
    if min(left, len(real)) < f + 1:
        raise ValueError(
            f"{n} samples ({left} without one of {GROUPS} groups) and {len(real)} real points were given; a distance "
            f"in {f} features needs {f + 1} or more of each."
        )
    target = _moments(real)

    def distance(chosen: np.ndarray) -> float:
        return frechet_distance(*_moments(samples[chosen]), *target)

    group = np.arange(n) % GROUPS
    value = distance(group >= 0)
    without = np.array([distance(group != g) for g in range(GROUPS)])
    spread = (GROUPS - 1) / GROUPS * np.sum((without - without.mean()) ** 2)
    return FrechetEstimate(n, value, float(GROUPS * value - (GROUPS - 1) * without.mean()), float(np.sqrt(spread)))


def _points(points) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"Points of shape {points.shape} were given; expected (n, d) finite numbers, n >= 1.")
    return points


def _moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return points.mean(0), np.cov(points, rowvar=False).reshape(points.shape[1], -1)


def _root(cov: np.ndarray) -> np.ndarray:
    """The symmetric positive semi-definite square root."""
    size = np.abs(cov).max()
    if not np.isfinite(size) or np.abs(cov - cov.T).max() > 1e-9 * size:
        raise ValueError("A covariance must be finite and symmetric; this one is not.")
    values, vectors = np.linalg.eigh(cov)
    if values[0] < -1e-9 * size * len(cov):
        raise ValueError(f"A covariance has no eigenvalue below 0; this one has {values[0]:.3g}.")
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


# --- The classifier whose features say what a picture shows -----------------------------------------------------------

FORMAT = "1"
FEATURES = 32  # few: a covariance of 32 dimensions is filled by some hundred samples, Inception's 2,048 by thousands
CLASSES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "trainer", "bag", "ankle boot")
# SHA-256 of the unpacked contents, as in `datasets.py`.
LABELS = {
    "train": ("train-labels-idx1-ubyte.gz", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "test": ("t10k-labels-idx1-ubyte.gz", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}


class Classifier(nn.Module):
    """Two convolutions, 32 linear features, ten classes of Fashion-MNIST. `about` says how it was made.

    The features are those before the last ReLU: roughly Gaussian, as the Frechet distance takes them to be.
    """

    def __init__(self, about: dict | None = None):
        super().__init__()
        self.about = about or {}
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, FEATURES)),
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, len(CLASSES)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))

    @torch.no_grad()
    def features(self, images) -> np.ndarray:
        """Images (n, 1, 28, 28) in [-1, 1], array or tensor -> (n, 32) float64. Raises ValueError for other shapes."""
        images = torch.as_tensor(images, dtype=torch.float32).cpu()
        if images.shape[1:] != (1, 28, 28) or not len(images):
            raise ValueError(f"Images of shape {tuple(images.shape)} were given; expected (n, 1, 28, 28), n >= 1.")
        return torch.cat([self.body(batch) for batch in images.split(500)]).double().numpy()

    def accuracy(self, images, labels) -> float:
        """Share of images whose most probable class is their label."""
        logits = self.head(torch.from_numpy(self.features(images)).float())
        return float((logits.argmax(1).numpy() == labels).mean())

    def save(self, path: str | Path) -> Path:
        """Write a .safetensors file, whole or not at all."""
        tensors = {name: weight.detach().cpu().contiguous() for name, weight in self.state_dict().items()}
        metadata = {"ddpm_dp_classifier": FORMAT, "about": json.dumps(self.about), "sha256": _checksum(tensors)}
        return write_whole(path, lambda temporary: save_file(tensors, temporary, metadata))


def load_classifier(path: str | Path | None = None) -> Classifier:
    """The classifier that ships in data/fashion-mnist/features.safetensors, or another one.

    Raises FileNotFoundError if there is none, ValueError if the file is damaged or of another kind.

    >>> load_classifier().about["test accuracy"] > 0.9
    True
    """
    path = shipped("fashion-mnist/features.safetensors") if path is None else Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no classifier file {path}; make one with train_classifier.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole .safetensors file ({error}); copy or train it again.") from error
    if metadata.get("ddpm_dp_classifier") != FORMAT or metadata.get("sha256") != _checksum(tensors):
        raise ValueError(f"{path} is no classifier of this version of ddpm_dp, or damaged; copy or train it again.")
    classifier = Classifier(json.loads(metadata["about"]))
    classifier.load_state_dict(tensors)
    return classifier.eval()


def train_classifier(out: str | Path) -> Classifier:
    """Train the classifier on Fashion-MNIST's 60,000 labelled training images, test it on the 10,000 others, and write
    it to `out`: about four minutes on one CPU core.

    Raises as `load_dataset` does; FileNotFoundError if there are no labels beside the images; OSError if `out` cannot
    be written.
    """
    require_writable(out)
    data = datasets.load_dataset("fashion-mnist")
    labels = {split: _labels(split) for split in LABELS}
    classifier = fit(data.train, labels["train"], epochs=10)
    classifier.about |= {
        "dataset": "fashion-mnist",
        "training images": len(data.train),
        "test images": len(data.test),
        "test accuracy": classifier.accuracy(data.test, labels["test"]),
    }
    classifier.save(out)
    print(f"Wrote {out}: accuracy {classifier.about['test accuracy']:.4f} on {len(data.test):,} test images.")
    return classifier


@torch.random.fork_rng()  # the caller's random numbers go on as if nothing had happened
def fit(images: np.ndarray, labels: np.ndarray, epochs: int, seed: int = 0) -> Classifier:
    """A classifier of images (n, 1, 28, 28) in [-1, 1] by their labels 0..9 (n,): Adam on the cross-entropy."""
    torch.manual_seed(seed)
    classifier = Classifier({"epochs": epochs, "seed": seed})
    x, y = torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
    steps = epochs * -(-len(x) // 100)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=2e-3)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    with tqdm(total=steps, desc="training the classifier", unit="step") as bar:
        for _ in range(epochs):
            for chosen in torch.randperm(len(x)).split(100):
                loss = F.cross_entropy(classifier(x[chosen]), y[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                decay.step()
                bar.update()
    return classifier.eval()


def _labels(split: str) -> np.ndarray:
    """The labels 0..9 of one split (n,), in the order of its images."""
    file, sha256 = LABELS[split]
    place = datasets.FASHION_DEBIAN / file
    packed = place.read_bytes() if place.is_file() else datasets._download(datasets.FASHION_URL + file, place)
    return np.frombuffer(datasets._unpack(packed, sha256, place), np.uint8, offset=8)  # an idx file, as the images are


def _checksum(tensors: dict[str, Tensor]) -> str:
    return fingerprint(*(tensors[name].numpy() for name in sorted(tensors)))

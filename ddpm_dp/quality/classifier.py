"""A small classifier of Fashion-MNIST, whose features say what a picture shows."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ddpm_dp.datasets import fashion, load_dataset
from ddpm_dp.files import require_writable, schema, shipped
from ddpm_dp.models.files import Sealed, save_sealed

FORMAT = 2
FEATURES = 32  # few: a covariance of 32 dimensions is filled by some hundred samples, Inception's 2,048 by thousands
CLASSES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "trainer", "bag", "ankle boot")
# SHA-256 of the unpacked contents, as in `datasets/fashion.py`.
LABELS = {
    "train": ("train-labels-idx1-ubyte.gz", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "test": ("t10k-labels-idx1-ubyte.gz", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}


class Classifier(nn.Module):
    """Two convolutions, 32 linear features, ten classes of Fashion-MNIST. `about` says how it was made.

    The features are those before the last ReLU: roughly Gaussian, as the Frechet distance takes them to be.
    """

    def __init__(self, about: dict[str, Any] | None = None):
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
    def features(self, images: ArrayLike | Tensor) -> NDArray[np.float64]:
        """Images (n, 1, 28, 28) in [-1, 1], array or tensor -> (n, 32) float64. Raises ValueError for other shapes.

        Computed where the classifier is (`.to(device)`), 500 images at a time.
        """
        home = next(self.parameters()).device
        images = torch.as_tensor(images, dtype=torch.float32)
        if images.shape[1:] != (1, 28, 28) or not len(images):
            raise ValueError(f"Images of shape {tuple(images.shape)} were given; expected (n, 1, 28, 28), n >= 1.")
        return torch.cat([self.body(batch.to(home)).cpu() for batch in images.split(500)]).double().numpy()

    def accuracy(self, images: ArrayLike | Tensor, labels: NDArray[np.integer]) -> float:
        """Share of images whose most probable class is their label."""
        logits = self.head(torch.from_numpy(self.features(images)).float().to(next(self.parameters()).device))
        return float((logits.argmax(1).cpu().numpy() == labels).mean())

    def save(self, path: str | Path) -> Path:
        """Write a .safetensors file, whole or not at all."""
        return save_sealed(path, self.state_dict(), "ddpm_dp_classifier", {"format": FORMAT, "about": self.about})


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
        file = Sealed(path, "ddpm_dp_classifier", FORMAT)
        about = file.header.get("about")
        about = schema.parsed(schema.typed({"about": about}, "about", str)) if file.old else about
        classifier = Classifier(schema.typed({"about": about}, "about", dict[str, Any]))
        if file.shapes != {name: tuple(weight.shape) for name, weight in classifier.state_dict().items()}:
            raise ValueError("its tensors are those of another network")
        tensors = file.tensors()
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, SafetensorError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"{path} is not a whole classifier file ({reason}); copy or train it again.") from error
    classifier.load_state_dict(tensors)
    return classifier.eval()


def train_classifier(out: str | Path) -> Classifier:
    """Train the classifier on Fashion-MNIST's 60,000 labelled training images, test it on the 10,000 others, and write
    it to `out`: about four minutes on one CPU core.

    Raises as `load_dataset` does; FileNotFoundError if there are no labels beside the images; OSError if `out` cannot
    be written.
    """
    require_writable(out)
    data = load_dataset("fashion-mnist")
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
def fit(images: NDArray[np.float32], labels: NDArray[np.integer], epochs: int, seed: int = 0) -> Classifier:
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


def _labels(split: str) -> NDArray[np.uint8]:
    """The labels 0..9 of one split (n,), in the order of its images."""
    file, sha256 = LABELS[split]
    place = fashion.FASHION_DEBIAN / file
    packed = place.read_bytes() if place.is_file() else fashion.download(fashion.FASHION_URL + file, place)
    return np.frombuffer(fashion.unpack(packed, sha256, place), np.uint8, offset=8)  # an idx file, as the images are

"""What `quality.py` and `schedules.py` share: a model with its statistics, real images as a classifier sees them, and
images drawn in batches. `python benchmarks/FILE.py` finds this file beside itself.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

import ddpm_dp
from ddpm_dp.costs import StepCosts
from ddpm_dp.quality import frechet_estimate, load_classifier
from ddpm_dp.quality.classifier import Classifier

SEED = 0


@dataclass
class Setting:
    """A Fashion-MNIST model, what was measured of it, and the held-out images: half of them are what samples are
    compared with, and the other half show what perfect samples would score.
    """

    model: ddpm_dp.Model
    measured: ddpm_dp.Measured[Any]
    classifier: Classifier
    real: np.ndarray
    others: np.ndarray

    @classmethod
    def of(cls, folder: Path, device: str | None = None) -> "Setting":
        model = ddpm_dp.load(folder / "model.safetensors", device=device)
        measured = ddpm_dp.Measured.load(folder / "train.npz", folder / "test.npz")
        measured.train.require_model(model.id, str(folder / "train.npz"))
        classifier = load_classifier().to(model.device)
        held_out = classifier.features(ddpm_dp.load_dataset("fashion-mnist").test)
        half = len(held_out) // 2
        return cls(model, measured, classifier, held_out[:half], held_out[half:])

    def about(self) -> dict[str, Any]:
        """What every result says of where it comes from."""
        return {
            "classifier": self.classifier.about,
            "model_id": self.model.id,
            "model": self.model.about,
            "T": self.model.noise.T,
            "held-out images of bits/dim": self.measured.judge.n,
            "real images": len(self.real),
            "seed": SEED,
        }

    def floor(self, n: int) -> dict[str, Any]:
        """What n real images score: Frechet estimates for disjoint blocks of them."""
        blocks = [self.others[i : i + n] for i in range(0, len(self.others) - n + 1, n)] or [self.others]
        each = [frechet_estimate(block, self.real) for block in blocks]
        value, limit = (np.array([getattr(block, name) for block in each]) for name in ("value", "limit"))
        spread = value.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else each[0].standard_error
        return {
            "value": value.mean(),
            "limit": limit.mean(),
            "standard_error": float(spread),
            "blocks": len(each),
            "n": each[0].n,
        }


def in_batches(draw: Callable[[int, int], torch.Tensor], n: int, batch: int) -> torch.Tensor:
    """n images; `draw(size, seed)` makes those of one batch, and batch i has the seed SEED + i on every path."""
    return torch.cat([draw(min(batch, n - begin), SEED + i) for i, begin in enumerate(range(0, n, batch))])


def bits(prices: StepCosts, path: ArrayLike) -> dict[str, float]:
    """bits/dim of a path, and its standard error."""
    price, d = prices.of(path), prices.statistics.d
    return {
        "bits": float(ddpm_dp.bits_per_dim(price.total, d)),
        "bits_error": float(ddpm_dp.bits_per_dim(price.standard_error, d)),
    }


def is_new(row: dict[str, Any] | None, path: ArrayLike, prices: StepCosts | None) -> bool:
    """Whether there is no row, or one of another path or other prices: the model was measured anew.

    Prices that the same network has on another device differ by less than 1e-4 bits/dim. None: a sampler without.
    """
    if row is None or row["path"] != np.asarray(path).tolist():
        return True
    return prices is not None and abs(row["bits"] - bits(prices, path)["bits"]) > 1e-4


def frechet(features: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    return asdict(frechet_estimate(features, real))


def say(row: dict[str, Any], *names: object) -> None:
    tqdm.write(f"{' '.join(map(str, names)):48} {row['value']:.3f}, without bias {row['limit']:.3f}")

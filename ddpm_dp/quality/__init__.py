"""Sample quality, beside bits/dim: distances between a set of samples and a set of real data.

- `wasserstein2`: exact, between point sets of equal size; for the 2-D toys.
- `frechet_estimate` of `Classifier.features`: the Frechet distance in the features of a small Fashion-MNIST classifier,
  not FID. (FID's features are those of Inception-v3, trained on ImageNet.) Compare its values with one another only.
- `precision_recall_estimate` of the same features: whether samples look like data, and whether they cover the data.

Both distances are above 0 even for perfect samples, since the sets are finite, and shares are below 1: always report
beside them the floor, which is the same between two independent sets of real data of the same sizes.

`METRICS` has them by name. Distances need no torch; the classifier's room is loaded when it is first asked for.
"""

from importlib import import_module
from typing import Any

from ddpm_dp.quality.distances import FrechetEstimate, frechet_distance, frechet_estimate, wasserstein2
from ddpm_dp.quality.manifolds import PrecisionRecall, precision_recall, precision_recall_estimate
from ddpm_dp.quality.metrics import METRICS

__all__ = [
    "METRICS",
    "FrechetEstimate",
    "PrecisionRecall",
    "frechet_distance",
    "frechet_estimate",
    "load_classifier",
    "precision_recall",
    "precision_recall_estimate",
    "train_classifier",
    "wasserstein2",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ddpm_dp.quality' has no attribute {name!r}")
    return getattr(import_module("ddpm_dp.quality.classifier"), name)

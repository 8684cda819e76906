"""The metrics by name, for whoever shows a menu or a table of them."""

from collections.abc import Callable
from dataclasses import dataclass

from numpy.typing import ArrayLike

from ddpm_dp.quality.distances import frechet_of_sets, wasserstein2
from ddpm_dp.registry import Registry


@dataclass(frozen=True)
class Metric:
    """A distance between samples and real data.

    Attributes:
        name: what users write.
        words: one line: what it is, and in which unit.
        source: who proposed it.
        distance: takes the two sets, (n, d) and (m, d), in this order; 0 if they are the same.
    """

    name: str
    words: str
    source: str
    distance: Callable[[ArrayLike, ArrayLike], float]


METRICS = Registry(
    "metric",
    [
        Metric(
            "wasserstein2",
            "exact 2-Wasserstein distance between two sets of equally many points, in the units of the points",
            "Crouse 2016, doi:10.1109/TAES.2016.140952",
            wasserstein2,
        ),
        Metric(
            "frechet",
            "Frechet distance between Gaussians fitted to two sets of features, in squared units of the features",
            "Dowson & Landau 1982, doi:10.1016/0047-259X(82)90077-X; Heusel et al. 2017, arXiv 1706.08500",
            frechet_of_sets,
        ),
    ],
)

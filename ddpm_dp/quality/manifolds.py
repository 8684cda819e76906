"""Precision and recall: do samples look like data, and do they cover the data?"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddpm_dp.quality.distances import pair_of_sets

Floats = NDArray[np.float64]
NEIGHBOURS = 3  # Kynkaanniemi et al.'s k


@dataclass(frozen=True, eq=False)
class Manifold:
    """Where points of a set are to be expected: balls around each, as wide as the distance to its third neighbour.

    points: (n, f) float64, n >= 4.
    """

    points: Floats

    @cached_property
    def radii(self) -> Floats:
        """(n,) distance of each point to its third nearest other point."""
        from sklearn.neighbors import NearestNeighbors

        found = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(self.points).kneighbors()
        return np.asarray(found[0][:, -1], dtype=np.float64)


def precision_recall(samples: ArrayLike, real: ArrayLike) -> tuple[float, float]:
    """Improved precision and recall (Kynkaanniemi et al. 2019, arXiv 1904.06991, eq. 1, k = 3).

    precision: the share of samples that lie in the manifold of the real data (`Manifold`).
    recall: the share of real data that lie in the manifold of the samples.

    Both depend on how many points there are of each kind: compare values of equal sizes only.

    Args:
        samples, real: (n, f) and (m, f) features.

    Raises ValueError if the sets have other shapes, fewer than four points or values that are not finite.

    >>> real = np.array([[0.0], [1.0], [2.0], [3.0]])  # radii 3, 2, 2, 3
    >>> precision_recall([[5.0], [5.5], [6.0], [6.5]], real)  # radii 1.5, 1, 1, 1.5: 5, 5.5 and 6 are within 3 of 3
    (0.75, 0.0)
    """
    x, y = pair_of_sets(samples, real)
    if min(len(x), len(y)) <= NEIGHBOURS:
        raise ValueError(
            f"{len(x)} samples and {len(y)} real points were given; expected {NEIGHBOURS + 1} or more of each."
        )
    return _shares(Manifold(x), Manifold(y))


def _shares(samples: Manifold, real: Manifold) -> tuple[float, float]:
    from sklearn.metrics import pairwise_distances

    apart = pairwise_distances(samples.points, real.points)
    return (
        float((apart <= real.radii).any(1).mean()),
        float((apart <= samples.radii[:, None]).any(0).mean()),
    )


@dataclass(frozen=True)
class PrecisionRecall:
    """What `precision_recall_estimate` found out.

    block: how many samples there are in a block: the size that the values belong to.
    precision, recall: means over blocks.
    precision_error, recall_error: their standard errors over draws of the samples; the real set is taken as fixed.
    """

    block: int
    precision: float
    precision_error: float
    recall: float
    recall_error: float


def precision_recall_estimate(samples: ArrayLike, real: ArrayLike, block: int) -> PrecisionRecall:
    """`precision_recall` of disjoint blocks of samples beside one real set: the mean, and its standard error.

    A rest that fills no block is left out. What real data of the same number score is the floor to report beside it.

    Args:
        samples: (n, f) features, in any order that is independent of their values.
        real: (m, f) features.
        block: samples in a block, 4 or more; at least two blocks must fit into n.

    Raises ValueError if they do not, or for other shapes and values that are not finite.

    >>> points = np.random.default_rng(0).standard_normal((400, 2))
    >>> estimate = precision_recall_estimate(points[:200], points[200:], block=100)
    >>> estimate.block, estimate.precision > 0.8
    (100, True)
    """
    x, y = pair_of_sets(samples, real)
    count = len(x) // block
    if block <= NEIGHBOURS or count < 2 or len(y) <= NEIGHBOURS:
        raise ValueError(
            f"{len(x)} samples in blocks of {block}, and {len(y)} real points were given; expected two blocks or more, "
            f"of {NEIGHBOURS + 1} or more, and as many real points."
        )
    manifold = Manifold(y)
    values = np.array([_shares(Manifold(x[i * block : (i + 1) * block]), manifold) for i in range(count)])
    precision, recall = values.mean(0)
    errors = values.std(0, ddof=1) / np.sqrt(count)
    return PrecisionRecall(block, float(precision), float(errors[0]), float(recall), float(errors[1]))

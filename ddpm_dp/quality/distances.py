"""Distances between two point sets, or between their first two moments."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def wasserstein2(a: ArrayLike, b: ArrayLike) -> float:
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

    x, y = _points(a), _points(b)
    if x.shape != y.shape:
        raise ValueError(f"The sets have shapes {x.shape} and {y.shape}; expected equally many points, (n, d) each.")
    squared = cdist(x, y, "sqeuclidean")
    return float(np.sqrt(squared[linear_sum_assignment(squared)].mean()))


def frechet_distance(mu1: ArrayLike, cov1: ArrayLike, mu2: ArrayLike, cov2: ArrayLike) -> float:
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
    m1, m2, c1, c2 = (np.asarray(x, dtype=np.float64) for x in (mu1, mu2, cov1, cov2))
    f = m1.shape[:1]
    if m1.ndim != 1 or m2.shape != f or c1.shape != f * 2 or c2.shape != f * 2:
        raise ValueError(
            f"Means of shapes {m1.shape}, {m2.shape} and covariances of shapes {c1.shape}, {c2.shape} were "
            "given; expected (f,), (f,), (f, f), (f, f)."
        )
    if not (np.isfinite(m1).all() and np.isfinite(m2).all()):
        raise ValueError("A mean is NaN or infinite; remove the images whose features are not finite.")
    overlap = np.linalg.svd(_root(c1) @ _root(c2), compute_uv=False).sum()
    return max(0.0, float(np.sum((m1 - m2) ** 2) + np.trace(c1) + np.trace(c2) - 2 * overlap))


def frechet_of_sets(samples: ArrayLike, real: ArrayLike) -> float:
    """`frechet_distance` between the Gaussians with the means and covariances of two sets of features.

    It is the `value` of `frechet_estimate`, which says how far that is too high, and with which error.

    Args:
        samples, real: (n, f) and (m, f) features.

    Raises ValueError if the sets have other shapes, fewer than two points or values that are not finite.

    >>> frechet_of_sets([[0.0], [2.0]], [[3.0], [5.0]])  # the same spread, means 1 and 4
    9.0
    """
    x, y = pair_of_sets(samples, real)
    if min(len(x), len(y)) < 2:
        raise ValueError(f"{len(x)} samples and {len(y)} real points were given; a covariance needs 2 or more of each.")
    return frechet_distance(*_moments(x), *_moments(y))


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


def frechet_estimate(samples: ArrayLike, real: ArrayLike) -> FrechetEstimate:
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
    x, y = pair_of_sets(samples, real)
    n, f = x.shape
    left = n - -(-n // GROUPS)
    if min(left, len(y)) < f + 1:
        raise ValueError(
            f"{n} samples ({left} without one of {GROUPS} groups) and {len(y)} real points were given; a distance "
            f"in {f} features needs {f + 1} or more of each."
        )
    target = _moments(y)

    def distance(chosen: NDArray[np.bool_]) -> float:
        return frechet_distance(*_moments(x[chosen]), *target)

    group = np.arange(n) % GROUPS
    value = distance(group >= 0)
    without = np.array([distance(group != g) for g in range(GROUPS)])
    spread = (GROUPS - 1) / GROUPS * np.sum((without - without.mean()) ** 2)
    return FrechetEstimate(n, value, float(GROUPS * value - (GROUPS - 1) * without.mean()), float(np.sqrt(spread)))


def _points(points: ArrayLike) -> Floats:
    x = np.asarray(points, dtype=np.float64)
    if x.ndim != 2 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"Points of shape {x.shape} were given; expected (n, d) finite numbers, n >= 1.")
    return x


def pair_of_sets(samples: ArrayLike, real: ArrayLike) -> tuple[Floats, Floats]:
    """Two sets of points with the same features."""
    x, y = _points(samples), _points(real)
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"The samples have {x.shape[1]} features, the real data {y.shape[1]}; expected the same features."
        )
    return x, y


def _moments(points: Floats) -> tuple[Floats, Floats]:
    return points.mean(0), np.cov(points, rowvar=False).reshape(points.shape[1], -1)


def _root(cov: Floats) -> Floats:
    """The symmetric positive semi-definite square root."""
    size = np.abs(cov).max()
    if not np.isfinite(size) or np.abs(cov - cov.T).max() > 1e-9 * size:
        raise ValueError("A covariance must be finite and symmetric; this one is not.")
    values, vectors = np.linalg.eigh(cov)
    if values[0] < -1e-9 * size * len(cov):
        raise ValueError(f"A covariance has no eigenvalue below 0; this one has {values[0]:.3g}.")
    # eigh finds the eigenvalues of cov + E, where ||E|| is at most about f eps ||cov||, and cov itself is known no
    # better; each eigenvalue moves by ||E|| or less (Weyl). Below f eps times the largest a value is thus no different
    # from 0, but its root is: 1e-16 would become 1e-8, and count. numpy's `matrix_rank` draws the same line.
    rounding = len(cov) * np.finfo(np.float64).eps * values[-1]
    return vectors * np.sqrt(np.where(values > rounding, values, 0)) @ vectors.T

"""DM-NonUniform: a bound on the error of a multistep ODE solver, from the noise schedule alone."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import LinearConstraint, minimize
from torch import Tensor
from tqdm.auto import tqdm

from ddpm_dp.models.denoiser import Denoiser
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.published.method import Method, Paths
from ddpm_dp.strides import ends, nearest

DIFFERENCE = 1.5e-8  # of lambda, for slopes: the root of a rounding, as scipy takes it
NARROWEST = 1e-3  # of the gaps between lambdas: with two of them alike there are no weights
ORDER = 3  # of the solver (UniPC-3, DPM-Solver++)


def weights(nodes: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(..., m) integrals of e^lambda l_j(lambda), from the last of m nodes (..., m) to `end` (...); the l_j are the
    Lagrange polynomials of the nodes.

    >>> float(weights(np.array([0.0]), np.array(np.log(3)))[0].round(12))  # of e^lambda itself, from 0 to log 3
    2.0
    """
    m, h, u = nodes.shape[-1], end - nodes[..., -1], nodes - nodes[..., -1:]
    moments = [np.expm1(h)]  # integral from 0 to h of e^v v^k
    for k in range(1, m):
        moments.append(np.exp(h) * h**k - k * moments[-1])
    answer = []
    for j in range(m):
        powers, below = [np.ones_like(h)], np.ones_like(h)  # of v, the product of v - u_o over the other nodes
        for o in range(m):
            if o != j:
                lower, upper = [*powers, 0 * h], [0 * h, *powers]
                powers = [b - u[..., o] * a for a, b in zip(lower, upper, strict=True)]
                below = below * (u[..., j] - u[..., o])
        answer.append(sum(c * moment for c, moment in zip(powers, moments, strict=True)) / below)
    return np.exp(nodes[..., -1:]) * np.stack(answer, -1)


def bound(lambdas: np.ndarray) -> np.ndarray:
    """(n,) the bound for each row of K + 1 rising numbers lambda = log(alpha / sigma), from T to the image, (n, K + 1).

    The solver's i-th step adds sigma_i sum_j w_ij xhat_0(x_j), w_ij = `weights` over its last nodes: up to 3, fewer at
    the first and the last steps. If xhat_0(x_j) is wrong by up to sigma_j^2 / alpha_j, in units that do not matter, the
    result is wrong by up to sum_j |sum_i w_ij| sigma_j^2 / alpha_j (times the last sigma). As in the official code the
    first three steps and the last are not summed with the others: they add the root of the sum of squares of theirs.
    """
    n, K = len(lambdas), lambdas.shape[1] - 1
    step = np.arange(K)
    error = np.sqrt(1 + np.exp(-2 * lambdas)) / (1 + np.exp(2 * lambdas))  # sigma^2 / alpha
    together, apart = np.zeros((n, K)), np.zeros(n)
    order = np.minimum(np.minimum(step + 1, ORDER), K - step)
    for m in range(1, ORDER + 1):
        i = step[order == m]
        used = i[:, None] + np.arange(1 - m, 1)
        parts = weights(lambdas[:, used], lambdas[:, i + 1]) * error[:, used]
        alone = (i < ORDER) | (i == K - 1)
        apart += np.sqrt((parts[:, alone] ** 2).sum(2)).sum(1)
        for j in range(m):  # a step has each node once
            together[:, used[~alone, j]] += parts[:, ~alone, j]
    return apart + np.abs(together).sum(1)


def levels(noise: NoiseSchedule, K: int) -> np.ndarray:
    """The K + 1 rising numbers lambda of least bound, both ends fixed: downhill from even ones, by SLSQP."""
    high, low = ends(noise)
    start = np.linspace(low / 2, high / 2, K + 1)
    if K == 1:
        return start
    gaps = np.diff(np.eye(K + 1), axis=0)  # of all lambdas; the two at the ends are known
    known = gaps[:, [0, -1]] @ start[[0, -1]]
    rising = LinearConstraint(gaps[:, 1:-1], NARROWEST - known, np.inf)

    def whole(inner: np.ndarray) -> np.ndarray:
        return np.pad(inner, [(0, 0), (1, 1)], constant_values=((0, 0), (start[0], start[-1])))

    def value(inner: np.ndarray) -> float:
        return float(bound(whole(inner[None]))[0])

    def slope(inner: np.ndarray) -> np.ndarray:
        return (bound(whole(inner + DIFFERENCE * np.eye(K - 1))) - value(inner)) / DIFFERENCE

    found = minimize(value, start[1:-1], jac=slope, method="SLSQP", constraints=[rising], options={"maxiter": 1000})
    return whole(found.x[None])[0]


def choose(denoiser: Denoiser, images: Tensor, budgets: Sequence[int], seed: int, progress: bool) -> Paths:
    """The timesteps nearest to the optimised lambdas, for each budget. Neither images nor the network are asked.

    What is faithful, to the official code: the bound with data prediction, order 3, the error sigma^2 / alpha, and even
    lambdas to start from, as recommended for pixels. What is not: the largest noise is EDM's sigma = 80, where the
    official code ends a cosine schedule at sigma = 119. The optimiser is SLSQP, where theirs is trust-constr: the bound
    has kinks, on which the latter stops early, at values that depend on rounding (`tests/published`). And the samplers
    that walk the path here are of first order, while the bound is for a multistep solver of third.
    """
    noise, paths = denoiser.noise, {}
    for K in tqdm(budgets, "DM-NonUniform", unit="budget", disable=not progress):
        paths[K] = nearest(noise, 2 * levels(noise, K)[-2::-1])
    return paths


DM_NONUNIFORM = Method(
    "dm-nonuniform",
    "a bound on the error of a third-order ODE solver, from the noise schedule alone",
    "Xue et al. 2024, arXiv 2402.17376",
    choose,
)

"""Align Your Steps: a bound on the KL divergence between the true reverse process and its discretisation."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ddpm_dp.models.denoiser import Denoiser
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.published.method import Method, Paths
from ddpm_dp.solver import solve
from ddpm_dp.strides import ends, nearest

STEPS = 128  # of the grid of candidates, at least: 4 for every step of the path
AT_ONCE = 64  # images whose guesses along the whole grid are kept together


def candidates(noise: NoiseSchedule, budget: int) -> np.ndarray:
    """Timesteps 1 = g_0 < g_1 < ... < g_G = T, evenly in log snr up to sigma = 80, where EDM starts."""
    G = min(noise.T - 1, max(STEPS, 4 * budget))
    return nearest(noise, np.linspace(*ends(noise), G + 1))[1:]


@torch.no_grad()
def distances(denoiser: Denoiser, images: Tensor, grid: np.ndarray, seed: int, progress: bool = False) -> np.ndarray:
    """(G + 1, G + 1) E ||xhat_0(x_t) - xhat_0(x_tau)||^2 for t, tau of the grid, along the forward process.

    x_t and x_tau are of one walk, x_t = sqrt(abar_t / abar_tau) x_tau + noise: independent noise for each image.
    """
    noise, rng = denoiser.noise, torch.Generator().manual_seed(seed)  # on the CPU: the same numbers for every device
    products = np.zeros((len(grid), len(grid)))
    bar = tqdm(total=len(images) * len(grid), desc="Align Your Steps", unit="guess", disable=not progress)
    for x in images.split(AT_ONCE):
        guesses, s, x = [], 0, x.double() if x.device.type != "mps" else x
        for t in grid.tolist():
            eps = torch.randn(x.shape, generator=rng, dtype=torch.float64).to(x)
            keep = float(noise.abar[t] / noise.abar[s])
            x, s = keep**0.5 * x + (1 - keep) ** 0.5 * eps, t
            guesses.append(denoiser.at(x.to(denoiser.dtype), t).x0.to(x).flatten())
            bar.update(len(x))
        flat = torch.stack(guesses)
        products += (flat @ flat.T).cpu().double().numpy() / len(images)
    bar.close()
    own = products.diagonal()
    return np.maximum(own[:, None] + own - 2 * products, 0)


def klub(noise: NoiseSchedule, grid: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """(G + 1, G + 1) nats of a step from g_i to g_j < g_i, inf elsewhere:

        KLUB(t, s) = 1/2 integral from snr_t to snr_s of E ||xhat_0(x_t) - xhat_0(x_tau)||^2 d snr_tau.

    Between neighbours on the grid the integrand is taken as linear in 1 / snr: exact where xhat_0's error goes like
    1 / snr, as it does near the data, where neighbouring timesteps differ most.
    """
    snr = np.maximum(noise.snr[grid], 1e-300)  # so that a terminal SNR of 0 has an inverse
    u, log_ratio, width = 1 / snr, np.log(snr[:-1] / snr[1:]), snr[:-1] - snr[1:]
    near, far = (u[1:] * width - log_ratio) / np.diff(u), (log_ratio - u[:-1] * width) / np.diff(u)
    L = np.full(distance.shape, np.inf)
    for i in range(1, len(grid)):
        pieces = near[:i] * distance[i, :i] + far[:i] * distance[i, 1 : i + 1]
        L[i, :i] = np.cumsum(pieces[::-1])[::-1] / 2
    return L


def choose(denoiser: Denoiser, images: Tensor, budgets: Sequence[int], seed: int, progress: bool) -> Paths:
    """The path of least KLUB on the grid, for each budget.

    The objective is the paper's KLUB, derived here anew: the reverse SDE with xhat_0 held still from a step's start,
    against the same SDE with xhat_0 followed, by Girsanov's theorem. In the paper's sigma(t) = t the integrand is
    E ||D(x_t) - D(x_tau)||^2 / tau^3 d tau, and -2 d tau / tau^3 = d snr. To scale x_t by alpha_t changes nothing.

    What is faithful: the objective, its expectation over training data, the model's own guesses. What is not: the paper
    draws (t, tau) at random, moves one t_i after the other among some candidates, first for 10 steps, then for their
    halves, and stops early. Here all pairs on a fixed grid are estimated in one pass, with the same walks for all, and
    the objective, a sum over steps, is minimised exactly, by the search of this package, without early stopping: it is
    the path that the bound itself prefers.
    """
    grid = candidates(denoiser.noise, max(budgets))
    best = solve(klub(denoiser.noise, grid, distances(denoiser, images, grid, seed, progress)), max(budgets))
    return {K: np.concatenate([[0], grid[best.path(K)[1:]]]) for K in budgets}


ALIGN_YOUR_STEPS = Method(
    "align-your-steps",
    "a bound on the KL divergence from the true reverse process to the discretised one (KLUB), here minimised exactly",
    "Sabour, Fidler, Kreis 2024, arXiv 2404.14507",
    choose,
)

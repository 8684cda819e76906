"""GITS: how far a long step leaves the curve on which many short ones walk, summed by dynamic programming."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ddpm_dp.models.denoiser import Denoiser
from ddpm_dp.published.method import Method, Paths
from ddpm_dp.strides import karras

TEACHER = 60  # steps of the teacher's walk, at least: 2 for every step of the path
WALKS = 256
AT_ONCE = 32  # walks whose points are kept together
GAMMA = 1.15  # what a later step, nearer to the image, counts beside the one before it


def deviation(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Distance of points (n, m, d) from the straight line through start and end, (n, d) each: (n, m).

    >>> deviation(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 0.0]])).item()
    2.0
    """
    line = (end - start) / (end - start).norm(dim=1, keepdim=True)
    away = points - end[:, None]
    return (away - (away * line[:, None]).sum(2, keepdim=True) * line[:, None]).norm(dim=2)


@torch.no_grad()
def costs(denoiser: Denoiser, grid: np.ndarray, walks: int, seed: int, progress: bool = False) -> np.ndarray:
    """(N, N) of a step from grid[i] to grid[j], j < i, inf elsewhere; grid rises from 1 to T.

    In the scale x_bar = x_t / alpha_t, where noise is sigma_bar = sigma_t / alpha_t, a DDIM step is a straight line,
    x_bar_s = x_bar_t + (sigma_bar_s - sigma_bar_t) eps_hat. The teacher takes all N - 1 steps of the grid from
    x_T ~ N(0, I). cost[i, j] is the deviation of the point that one step from the teacher's x_bar_i to the noise of
    grid[j] reaches, less the deviation of the teacher's x_bar_j: both from the line through the teacher's first and
    last points, averaged over walks.
    """
    noise, rng = denoiser.noise, torch.Generator().manual_seed(seed)  # on the CPU: the same numbers for every device
    N = len(grid)
    sigma_bar = np.maximum(noise.snr[grid], 1e-24) ** -0.5  # of a terminal SNR of 0 only the direction counts
    total = np.zeros((N, N))
    bar = tqdm(total=walks * N, desc="GITS", unit="guess", disable=not progress)
    for begin in range(0, walks, AT_ONCE):
        n = min(AT_ONCE, walks - begin)
        x = torch.randn((n, *denoiser.shape), generator=rng, dtype=torch.float64)
        x = x.to(denoiser.device, torch.float32 if denoiser.device.type == "mps" else torch.float64)
        sigma = torch.as_tensor(sigma_bar).to(x)
        points: list[Tensor] = []
        guesses: list[Tensor] = []
        slopes: list[Tensor] = []
        for i in range(N - 1, -1, -1):
            t = int(grid[i])
            x0 = denoiser.at(x.to(denoiser.dtype), t).x0.to(x)
            eps = (x - float(noise.alpha[t]) * x0) / float(noise.sigma[t])
            points.insert(0, (x0 + sigma[i] * eps).flatten(1))
            guesses.insert(0, x0.flatten(1))
            slopes.insert(0, eps.flatten(1))
            s = int(grid[i - 1])
            x = float(noise.alpha[s]) * x0 + float(noise.sigma[s]) * eps
            bar.update(n)
        start, end = points[-1], points[0]
        teacher = deviation(torch.stack(points, 1), start, end).sum(0)
        for i in range(1, N):
            reached = guesses[i][:, None] + sigma[:i, None] * slopes[i][:, None]
            total[i, :i] += (deviation(reached, start, end).sum(0) - teacher[:i]).cpu().double().numpy()
    bar.close()
    return np.where(np.tri(N, k=-1) > 0, total / walks, np.inf)


def cheapest(cost: np.ndarray, most: int, gamma: float) -> dict[int, list[int]]:
    """For every K up to `most`, the indices 0 = i_0 < ... < i_K = N - 1 that minimise, from the noisiest step on,

        cost[i_K, i_{K-1}] + gamma (cost[i_{K-1}, i_{K-2}] + gamma (...)).

    V[k, i] = min over j < i of cost[i, j] + gamma V[k-1, j]: the weights differ from layer to layer, so it is no sum of
    prices of steps, and `solve` does not serve.
    """
    value, parents, answer = cost[:, 0], [np.zeros(len(cost), dtype=np.int64)], {}
    for k in range(1, most + 1):
        if k > 1:
            tried = cost + gamma * value
            parents.append(tried.argmin(1))
            value = tried.min(1)
        path = [len(cost) - 1]
        for layer in parents[::-1]:
            path.append(int(layer[path[-1]]))
        answer[k] = path[::-1]
    return answer


def choose(denoiser: Denoiser, images: Tensor, budgets: Sequence[int], seed: int, progress: bool) -> Paths:
    """The path of least total deviation on the teacher's grid, for each budget. Images are not asked for.

    What is faithful, to the official code's recommended settings: a teacher of 60 steps on EDM's grid (rho = 7, up to
    sigma = 80), 256 walks, the cost "dev", the factor 1.15, and dynamic programming. What is shortened: the teacher's
    solver is DDIM (Euler's method), where theirs is iPNDM by default; beyond 30 steps the teacher takes twice as many.
    """
    most = max(budgets)
    grid = karras(denoiser.noise, min(denoiser.noise.T, max(TEACHER, 2 * most) + 1))[1:]
    found = cheapest(costs(denoiser, grid, WALKS, seed, progress), most, GAMMA)
    return {K: np.concatenate([[0], grid[found[K][1:]]]) for K in budgets}


GITS = Method(
    "gits",
    "how far a step's end lies from the curve of a teacher's walk, compared with the straight line through its ends",
    "Chen et al. 2024, arXiv 2405.11326",
    choose,
)

"""Sampling along any timestep path."""

import math
from collections.abc import Callable
from functools import partial

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from tqdm.auto import tqdm

from ddpm_dp.checks import whole
from ddpm_dp.memory import refuse_beyond_memory
from ddpm_dp.models.denoiser import Denoiser, Prediction
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.paths import as_path
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances import FAMILIES, ReverseVariance

# x_s from (t, s, x_t, what the denoiser answered there, where the standard normal draw comes from).
Step = Callable[[int, int, Tensor, Prediction, Callable[[], Tensor]], Tensor]


def sample(
    denoiser: Denoiser,
    path: ArrayLike,
    n: int,
    *,
    variance: str = "posterior",
    statistics: DenoisingStatistics | None = None,
    labels: ArrayLike | None = None,
    seed: int = 0,
    randn: Callable[[tuple[int, ...]], Tensor] | None = None,
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
    progress: bool = True,
) -> Tensor:
    """Ancestral sampling: x_T ~ N(0, I), then x_s ~ p(x_s | x_t) down the path; the last step returns xhat_0.

    p(x_s | x_t) = N(posterior mean with xhat_0(x_t) for x_0, beta~_{t|s} Phi^T diag(rho) Phi), with rho and the basis
    Phi (pixels, for most) those of the reverse variance. With path 0, 1, ..., T and `posterior` variance this is
    Algorithm 2 of Ho et al. 2020.

    Args:
        denoiser: a model or an exact denoiser.
        path: [0, t_1, ..., T], ascending; K = len(path) - 1 evaluations of the denoiser.
        n: how many samples.
        variance: one of `ddpm_dp.variances.FAMILIES`; a fitted one (`analytic`) needs the training `statistics`.
        labels: for a class-conditional model: the class of each sample, (n,) whole numbers, or one for all.
        seed: the same seed gives the same x_T, and the same noise at the i-th step, on every path and device.
        randn: where the standard normal draws come from, instead of the seed: called with (n, *shape), once for x_T and
            once for every step but the last.
        callback: called after each step with (s, x_s, xhat_0).

    Returns the samples, (n, *shape), on the CPU.

    Raises ValueError for a wrong path or variance, statistics of another model, or labels that do not fit the model.

    >>> import ddpm_dp
    >>> sample(ddpm_dp.load("digits"), [0, 100, 1000], n=4, progress=False).shape
    torch.Size([4, 1, 8, 8])
    """
    family = FAMILIES.named(variance).reading(denoiser.second)
    step = ancestral_step(denoiser.noise, denoiser.shape, family, family.fitted_cells(statistics, denoiser.id))
    return _walk(denoiser, path, n, step, labels, seed, randn, callback, progress)


def ddim(
    denoiser: Denoiser,
    path: ArrayLike,
    n: int,
    *,
    labels: ArrayLike | None = None,
    seed: int = 0,
    randn: Callable[[tuple[int, ...]], Tensor] | None = None,
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
    progress: bool = True,
) -> Tensor:
    """Deterministic DDIM sampling (Song et al. 2021, eq. 12, sigma = 0): x_s = alpha_s xhat_0 + sigma_s eps_hat.

    eps_hat = (x_t - alpha_t xhat_0) / sigma_t. Arguments, result and errors as in `sample`; only x_T is random.
    """
    step = ddim_step(denoiser.noise)
    return _walk(denoiser, path, n, step, labels, seed, randn, callback, progress)


def ancestral_step(noise: NoiseSchedule, shape: tuple[int, ...], family: ReverseVariance, cells: Cells | None) -> Step:
    """A draw from p(x_s | x_t) for images of that shape; xhat_0 at s = 0. `cells` are what a fitted family needs."""

    def step(t: int, s: int, x_t: Tensor, prediction: Prediction, draw: Callable[[], Tensor]) -> Tensor:
        if s == 0:
            return prediction.x0
        q, basis = noise.posterior(t, s), family.basis(shape, t, cells)
        rho = torch.as_tensor(family.log_rho(noise, t, s, cells, family.see(prediction))).exp()
        std = (float(q.variance) * rho).sqrt().to(x_t)
        # White noise is white in any basis; turned, the same draw gives alike images under all reverse variances.
        spread = basis.images(std * basis.coefficients(draw()))
        return float(q.x0) * prediction.x0 + float(q.xt) * x_t + spread

    return step


def ddim_step(noise: NoiseSchedule) -> Step:
    """DDIM's step, which draws nothing; xhat_0 at s = 0, where alpha_0 = 1 and sigma_0 = 0."""

    def step(t: int, s: int, x_t: Tensor, prediction: Prediction, draw: Callable[[], Tensor]) -> Tensor:
        eps_hat = (x_t - float(noise.alpha[t]) * prediction.x0) / float(noise.sigma[t])
        return float(noise.alpha[s]) * prediction.x0 + float(noise.sigma[s]) * eps_hat

    return step


@torch.no_grad()
def _walk(
    denoiser: Denoiser,
    path: ArrayLike,
    n: int,
    step: Step,
    labels: ArrayLike | None,
    seed: int,
    randn: Callable[[tuple[int, ...]], Tensor] | None,
    callback: Callable[[int, Tensor, Tensor], None] | None,
    progress: bool,
) -> Tensor:
    ends = as_path(path, denoiser.noise.T)
    of_samples = denoiser.labels(labels, whole(n, "n", what="samples"))
    # A draw in float64, and x_t, xhat_0 and their mean in float32, at least; the network takes more.
    refuse_beyond_memory(20 * n * math.prod(denoiser.shape), f"n = {n:,} samples", "lower n")
    if randn is None:
        rng = torch.Generator().manual_seed(seed)  # on the CPU, so that every device sees the same numbers
        randn = partial(torch.randn, generator=rng, dtype=torch.float64)

    def draw() -> Tensor:
        return randn((n, *denoiser.shape)).to(denoiser.dtype).to(denoiser.device)

    x = draw()
    steps = list(zip(ends[:0:-1].tolist(), ends[-2::-1].tolist(), strict=True))
    for t, s in tqdm(steps, "sampling", unit="step", disable=not progress, leave=False):
        prediction = denoiser.at(x, t, of_samples)
        x = step(t, s, x, prediction, draw)
        if callback:
            callback(s, x, prediction.x0)
    return x.cpu()

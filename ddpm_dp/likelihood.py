"""The ELBO of a path by direct simulation: slow, and independent of `costs.py`, which it checks."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ddpm_dp.gaussians import normal_kl
from ddpm_dp.models.denoiser import Denoiser, Prediction
from ddpm_dp.paths import as_path
from ddpm_dp.statistics import DenoisingStatistics
from ddpm_dp.variances import FAMILIES
from ddpm_dp.variances.decoders import DECODERS, NONE, LastStep


@torch.no_grad()
def negative_elbo(
    denoiser: Denoiser,
    images: object,
    path: ArrayLike,
    *,
    variance: str = "posterior",
    decoder: str = "fitted",
    statistics: DenoisingStatistics | None = None,
    labels: ArrayLike | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Nats per image of the negative ELBO of a path, one draw of x_t per step and image: (n, K + 1).

    Column 0 is KL(q(x_T | x_0) || N(0, I)), column i the price of step t_i -> t_{i-1}: the KL from q(x_s | x_t, x_0) to
    the sampler's own p(x_s | x_t), both with their means and variances written out, and for s = 0 the decoder.
    Sum over columns for the negative ELBO of each image; average over images for its estimate.

    Arguments and errors as in `sample`; `images` and `labels` as in `measure`, `decoder` as in `step_costs`. A fitted
    variance or decoder needs the training `statistics`.

    >>> import ddpm_dp
    >>> images = ddpm_dp.load_dataset("digits").test[:3]
    >>> negative_elbo(ddpm_dp.load("digits"), images, [0, 10, 100, 1000], decoder="fixed").shape
    (3, 4)
    """
    noise = denoiser.noise
    ends = as_path(path, noise.T)
    family = FAMILIES.named(variance).reading(denoiser.second)
    cells = family.fitted_cells(statistics, denoiser.id)
    if family.output is not None and family.output != denoiser.second:
        raise ValueError(f"variance = {variance!r} needs a denoiser with an output {family.output}; this one has none.")
    last = DECODERS.named(decoder)
    if last.fitted and statistics is None:
        raise ValueError(
            f"decoder={decoder!r} is fitted; give statistics=, measured on training data, or ask for another."
        )
    if statistics is not None and last.fitted and (lack := last.why_not(family, statistics)):
        raise ValueError(f"decoder = {decoder!r} needs {lack}.")
    x_0 = denoiser.images(images)
    of_images = denoiser.labels(labels, len(x_0))
    rng = torch.Generator().manual_seed(seed)

    def tensor(value: float | np.ndarray) -> Tensor:
        return torch.tensor(float(value), dtype=torch.float64)

    exact = x_0.cpu().double()
    T = noise.T
    prior = normal_kl(noise.alpha[T] * exact, tensor(noise.sigma2[T]), tensor(0), tensor(1))
    columns = [prior.flatten(1).sum(1)]
    for t, s in zip(ends[1:].tolist(), ends[:-1].tolist(), strict=True):
        eps = torch.randn(x_0.shape, generator=rng, dtype=torch.float64).to(x_0.dtype).to(x_0.device)
        x_t = noise.alpha[t] * x_0 + noise.sigma[t] * eps
        answer = denoiser.at(x_t, t, of_images)
        answer = Prediction._make(None if each is None else each.cpu().double() for each in answer)
        x_t = x_t.cpu().double()
        if s == 0:
            after = int(ends[2]) if len(ends) > 2 else NONE
            columns.append(last.decode(family, LastStep(noise, t, after, denoiser.levels, statistics), exact, answer))
        else:
            q, basis = noise.posterior(t, s), family.basis(denoiser.shape, t, cells)
            rho = torch.as_tensor(family.log_rho(noise, t, s, cells, family.see(answer))).exp()
            reverse = float(q.variance) * rho
            mean_q = basis.coefficients(q.x0 * exact + q.xt * x_t)
            mean_p = basis.coefficients(q.x0 * answer.x0 + q.xt * x_t)
            columns.append(normal_kl(mean_q, tensor(q.variance), mean_p, reverse).flatten(1).sum(1))
    return torch.stack(columns, dim=1).numpy()

"""The one pass of a denoiser over data that prices every step of every path."""

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ddpm_dp import interpolation
from ddpm_dp.denoisers import Denoiser, Prediction, fingerprint
from ddpm_dp.gaussians import decoder_log_likelihood, normal_kl
from ddpm_dp.interpolation import grid
from ddpm_dp.statistics import GROUPS, DenoisingStatistics, SecondOutput
from ddpm_dp.variances import decoder_variance

BINS = 256  # of a second output's histogram: see `SecondOutput` for what so many bins are good for


@torch.no_grad()
def measure(
    denoiser: Denoiser,
    images,
    *,
    fitted: DenoisingStatistics | None = None,
    timesteps: int | None = None,
    seed: int = 0,
    batch_size: int = 2048,
    progress: bool = True,
) -> DenoisingStatistics:
    """Measure the denoising error m_t and the decoder's price at every timestep t = 1..T: T evaluations per image.

    m_t = E (1/d) ||x_0 - xhat_0(alpha_t x_0 + sigma_t eps, t)||^2. Each image keeps the same noise eps at all t, drawn
    from (seed, number of the image) alone: so m_t varies smoothly with t, and a minimiser has little noise to exploit.

    Args:
        denoiser: a model or an exact denoiser.
        images: (n, *shape), array or tensor, in [-1, 1].
        fitted: for held-out images, the training statistics: the `analytic` variance keeps the m_t fitted there.
            None: m_t is fitted to these very images.
        timesteps: measure at so many of the T timesteps, dense near 0, and interpolate the rest (see `interpolation.py`
            for what that costs: a tenth is enough). None: at all of them.
        batch_size: images per evaluation; changes the memory needed, not the answer.

    Raises ValueError for images that do not fit the denoiser, `fitted` statistics of another model, and a model whose
    output is not finite.

    >>> stats = measure(load("digits"), load_dataset("digits").train)  # doctest: +SKIP
    """
    noise, T = denoiser.noise, denoiser.noise.T
    x_0 = denoiser.images(images)
    n = len(x_0)
    if fitted is not None:
        fitted.require_model(denoiser.id, "the model")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size = {batch_size!r}; expected a whole number, 1 or more.")
    eps = torch.from_numpy(_noise(seed, n, denoiser.shape)).to(x_0.device, x_0.dtype)
    group = np.arange(n) % min(GROUPS, n)
    counts = np.bincount(group)

    def group_means(per_image: Tensor) -> np.ndarray:
        return np.bincount(group, weights=per_image.cpu().numpy()) / counts

    measured = grid(T, T if timesteps is None else timesteps)
    squared_error = np.zeros((len(counts), len(measured)))
    served = {"v": ["learned"], "u": ["predicted"]}.get(denoiser.second, [])
    decoder = {name: np.zeros(squared_error.shape) for name in ("fixed", "analytic", *served)}
    bins: dict[str, list] = {"low": [], "high": [], "mass": [], "error": []}
    fitted_m = np.zeros(T + 1) if fitted is None else fitted.fitted_m
    original = _double(x_0)
    for i, t in enumerate(tqdm(measured, "measuring", unit="timestep", disable=not progress)):
        prediction = _predict(denoiser, x_0, eps, t, batch_size)
        e2 = (original - prediction.x0) ** 2
        if not torch.isfinite(e2).all():
            raise ValueError(f"The model's output is not finite at t = {t}; such a model cannot be priced.")
        squared_error[:, i] = group_means(e2.flatten(1).mean(1))
        if fitted is None:
            # All images at one t before the next t, so that m_t is known when its decoder is priced.
            fitted_m[t] = counts @ squared_error[:, i] / n
        for name, nats in decoder.items():
            variance = torch.as_tensor(
                decoder_variance(noise, name, t, fitted_m, prediction.second(name)), dtype=torch.float64
            )
            nats[:, i] = group_means(-decoder_log_likelihood(original, prediction.x0, variance, denoiser.levels))
        if served:
            y = prediction.v if denoiser.second == "v" else prediction.u.log()
            for name, row in _histogram(y.flatten(), e2.flatten()).items():
                bins[name].append(row)

    filled = interpolation.errors(squared_error, measured, T)
    if fitted is None:
        fitted_m = counts @ filled / n
    second = None
    if served:
        rows = {name: np.array(row) for name, row in bins.items()}
        second = SecondOutput(served[0], **interpolation.histograms(rows, measured, counts @ filled / n))
    prior = (
        normal_kl(noise.alpha[T] * original, torch.tensor(noise.sigma2[T]), torch.tensor(0.0), torch.tensor(1.0))
        .flatten(1)
        .sum(1)
    )
    data_id = fingerprint(original.float().cpu().numpy())
    return DenoisingStatistics(
        noise=noise,
        shape=tuple(denoiser.shape),
        levels=denoiser.levels,
        counts=counts,
        squared_error=filled,
        decoder={name: interpolation.prices(nats, measured, T) for name, nats in decoder.items()},
        prior=group_means(prior),
        fitted_m=fitted_m,
        model_id=denoiser.id,
        data_id=data_id,
        fitted_on=data_id if fitted is None else fitted.fitted_on,
        seed=seed,
        measured=measured,
        second=second,
    )


def _predict(denoiser: Denoiser, x_0: Tensor, eps: Tensor, t: int, batch_size: int) -> Prediction:
    """The denoiser's answer, in float64, for all images at timestep t."""
    alpha, sigma = denoiser.noise.alpha[t], denoiser.noise.sigma[t]
    batches = zip(x_0.split(batch_size), eps.split(batch_size), strict=True)
    parts = [denoiser.at(alpha * x + sigma * e, t) for x, e in batches]
    return Prediction(*(None if part[0] is None else _double(torch.cat(part)) for part in zip(*parts, strict=True)))


def _histogram(y: Tensor, e2: Tensor) -> dict[str, np.ndarray]:
    """Mass and error of y (n,) in BINS bins, as `SecondOutput` describes them."""
    low, high = y.min(), y.max()
    place = (y - low) / (high - low).clamp(min=1e-12) * (BINS - 1)
    left = place.long().clamp(max=BINS - 2)
    share = place - left
    mass, error = (
        torch.bincount(left, (1 - share) * weight, BINS) + torch.bincount(left + 1, share * weight, BINS)
        for weight in (torch.ones_like(e2), e2)
    )
    values = {"low": low, "high": high, "mass": mass / len(y), "error": error / len(y)}
    return {name: value.cpu().numpy() for name, value in values.items()}


def _noise(seed: int, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal eps for images 0..n-1, each from its own stream: the same whatever the batches and the device."""
    return np.stack([np.random.Generator(np.random.Philox(key=[seed, i])).standard_normal(shape) for i in range(n)])


def _double(tensor: Tensor) -> Tensor:
    """float64, on the CPU where the device (Apple's MPS) has none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()

"""Gaussian KL and log-likelihoods, per coordinate, in nats (torch tensors that broadcast)."""

import math

import torch
from torch import Tensor


def normal_kl(mean1: Tensor, variance1: Tensor, mean2: Tensor, variance2: Tensor) -> Tensor:
    """KL(N(mean1, variance1) || N(mean2, variance2)) = 1/2 [log v2/v1 + (v1 + (mean1 - mean2)^2) / v2 - 1]."""
    ratio = variance1 / variance2
    return 0.5 * (-torch.log(ratio) + ratio - 1 + (mean1 - mean2) ** 2 / variance2)


def normal_log_likelihood(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """log N(x; mean, variance), a density: for continuous data."""
    return -0.5 * (torch.log(2 * math.pi * variance) + (x - mean) ** 2 / variance)


def discretised_log_likelihood(x: Tensor, mean: Tensor, variance: Tensor, levels: int) -> Tensor:
    """log of the mass that N(mean, variance) puts on x's bin (Ho et al. 2020, eq. 13).

    x lies on `levels` grey levels in [-1, 1]. The bin of x reaches half a level, 1 / (levels - 1), to both sides; the
    bins of -1 and of +1 are open to the outside, so the masses of all levels sum to 1. The answer is exact however
    far x lies in the tail: common code floors the mass at 1e-12, which flatters a model that is badly wrong.
    """
    half = 1 / (levels - 1)
    scale = torch.rsqrt(2 * variance)
    low = (x - half - mean) * scale
    high = (x + half - mean) * scale
    low = torch.where(x < -1 + half, -math.inf, low)
    high = torch.where(x > 1 - half, math.inf, high)
    # erfc loses nothing in its right tail, so bins on the left of the mean are mirrored to the right.
    mirror = low + high < 0
    low, high = torch.where(mirror, -high, low), torch.where(mirror, -low, high)
    mass = 0.5 * (torch.erfc(low) - torch.erfc(high))
    # Beyond 26 standard deviations or so erfc underflows; there log erfc(a) is taken from its own asymptotic routine.
    smallest = 1e3 * torch.finfo(mass.dtype).tiny
    log_mass = torch.log(mass.clamp(min=smallest))
    far = mass < smallest
    if far.any():
        low, high = low[far] * math.sqrt(2), high[far] * math.sqrt(2)
        log_low, log_high = torch.special.log_ndtr(-low), torch.special.log_ndtr(-high)
        log_mass[far] = log_low + torch.log1p(-torch.exp(log_high - log_low))
    return log_mass


def decoder_log_likelihood(x_0: Tensor, mean: Tensor, variance: Tensor, levels: int | None) -> Tensor:
    """log p(x_0 | x_t) per image, (batch, *shape) -> (batch,): discretised to `levels`, or the density if None."""
    if levels is None:
        values = normal_log_likelihood(x_0, mean, variance)
    else:
        values = discretised_log_likelihood(x_0, mean, variance, levels)
    return values.flatten(1).sum(1)

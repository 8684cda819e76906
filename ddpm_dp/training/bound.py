"""One term of the bound, differentiable: what `vlb` trains, and `hybrid` a little."""

import numpy as np
import torch
from torch import Tensor

from ddpm_dp.gaussians import decoder_log_likelihood
from ddpm_dp.models.trained import at
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.variances import FAMILIES, step_nats
from ddpm_dp.variances.decoders import smallest_posterior
from ddpm_dp.variances.fields import between

LEARNED = FAMILIES["learned"]


def bound_term(noise: NoiseSchedule, x_0: Tensor, t: Tensor, residual: Tensor, v: Tensor, levels: int | None) -> Tensor:
    """L(t, t - 1) of each image in nats per dimension, (batch,), under `learned`; at t = 1 the decoder L(1, 0).

    Args:
        x_0, residual, v: (batch, *shape); residual = eps - eps_hat.
        t: (batch,) timesteps 1..T.
        levels: grey levels of the images; None: continuous.

    >>> x_0, t = torch.zeros(1, 2), torch.tensor([50])  # no error, and v = 0 for the posterior's own variance: free
    >>> float(bound_term(NoiseSchedule.cosine(100), x_0, t, residual=x_0, v=x_0, levels=None))
    0.0
    """
    longer = np.maximum(np.arange(noise.T + 1), 2)  # t = 1 has another formula: any finite number will do there
    ratio = LEARNED.log_rho(noise, longer, longer - 1, seen=1.0)  # at v = 1, and linear in v
    gain = noise.snr[longer - 1] / noise.snr[longer] - 1  # delta e^2 = gain (eps - eps_hat)^2
    terms = step_nats(v * at(ratio, t, x_0), at(gain, t, x_0) * residual**2, torch.expm1).flatten(1).mean(1)
    first = (t == 1).nonzero().squeeze(1)
    if len(first):
        # in float64, on the CPU: a bin far out in the tail has no mass in float32
        x, off, v = (tensor[first].cpu().double() for tensor in (x_0, residual, v))
        xhat_0 = x + float(noise.sigma[1] / noise.alpha[1]) * off
        variance = between(noise, 1, np.log(smallest_posterior(noise)), v).exp()
        nats = -decoder_log_likelihood(x, xhat_0, variance, levels) / x[0].numel()
        terms = terms.index_copy(0, first, nats.to(terms))
    return terms

"""The samplers of other libraries, stated again from their papers: they take noise levels, and know no timesteps."""

import numpy as np
import torch


def in_noise_levels(model):
    """A denoiser of ours as theirs: D(z, sigma), with z = x_t / alpha_t and sigma = sigma_t / alpha_t."""
    levels = model.noise.sigma / model.noise.alpha

    def denoise(z, sigma):
        t = int(np.abs(levels - float(sigma[0])).argmin())
        return model.at(float(model.noise.alpha[t]) * z, t).x0

    return denoise


def sample_euler_ancestral(model, x, sigmas, randn=None, **_):
    """k-diffusion's: an Euler step down to sigma_down, then noise of sigma_up, with sigma_down^2 + sigma_up^2 = s^2."""
    for sigma, s in zip(sigmas[:-1], sigmas[1:], strict=True):
        up = s * (1 - (s / sigma) ** 2) ** 0.5
        down = s * (s / sigma)
        slope = (x - model(x, sigma.expand(len(x)))) / sigma
        x = x + slope * (down - sigma)
        if s > 0:
            x = x + up * (torch.randn_like(x) if randn is None else randn())
    return x


def euler(model, x, sigmas, *_):
    """Karras et al. 2022, Algorithm 2 without churn (S_churn = 0) and without its second-order correction."""
    for sigma, s in zip(sigmas[:-1], sigmas[1:], strict=True):
        x = x + (s - sigma) * (x - model(x, sigma.expand(len(x)))) / sigma
    return x

"""A small diffusers model, with every kind of scheduler that can be read, and what several test files do with it."""

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.schedulers import scheduling_ddpm

from ddpm_dp import from_diffusers
from ddpm_dp.pretrained import scheduler as path_scheduler_module

T = 16
PATH = [0, 3, 4, 7, 12, 16]  # uneven, and its first timestep is not 1

# What a scheduler is made with, and how the same is said in this package.
SCHEDULERS = {
    "epsilon, fixed_small, linear": {},
    "epsilon, fixed_large, cosine": {"variance_type": "fixed_large", "beta_schedule": "squaredcos_cap_v2"},
    "epsilon, learned_range, no clipping": {"variance_type": "learned_range", "clip_sample": False},
    "sample, fixed_small_log, wide clipping": {
        "prediction_type": "sample",
        "variance_type": "fixed_small_log",
        "clip_sample_range": 0.5,
    },
    "v, learned_range, zero terminal SNR": {
        "prediction_type": "v_prediction",
        "variance_type": "learned_range",
        "beta_schedule": "scaled_linear",
        "rescale_betas_zero_snr": True,
    },
    "epsilon, fixed_large, own betas": {
        "variance_type": "fixed_large",
        "trained_betas": np.geomspace(1e-3, 0.3, T).tolist(),
    },
}


def unet(out_channels: int = 1, in_channels: int = 1, num_class_embeds: int | None = None) -> UNet2DModel:
    """A small network with random weights, in float64."""
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=out_channels,
        num_class_embeds=num_class_embeds,
        block_out_channels=(4, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=2,
    )
    return network.double()


def made(name: str):
    """Network, scheduler in float64 (diffusers' is float32: its rounding is not what is tested), denoiser."""
    scheduler = DDPMScheduler(num_train_timesteps=T, **SCHEDULERS[name])
    network = unet(2 if "learned" in name else 1)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    return network, scheduler, from_diffusers(network, scheduler, levels=17)


def from_list(monkeypatch, draws) -> None:
    """Let the steps of DDPMScheduler and PathScheduler take their noise from a list, one draw a step."""
    remaining = iter(draws)
    for module in (scheduling_ddpm, path_scheduler_module):
        monkeypatch.setattr(module, "randn_tensor", lambda shape, **_: next(remaining))

"""Checkpoints of OpenAI's improved-diffusion and guided-diffusion as denoisers."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ddpm_dp.noise import SCHEDULES
from ddpm_dp.pretrained.network import Pretrained
from ddpm_dp.pretrained.weights import Weights, load_weights

FLAGS = ("image_size", "learn_sigma", "predict_xstart", "noise_schedule", "diffusion_steps", "rescale_timesteps")


def from_improved_diffusion(
    network: nn.Module, weights: Weights, flags: Mapping[str, Any], *, levels: int | None = 256
) -> Pretrained:
    """A checkpoint of OpenAI's improved-diffusion or guided-diffusion as a denoiser. Build the UNet with their code.

    Their timestep is ours minus 1, times 1000 / T with rescale_timesteps; xhat_0 is clipped to [-1, 1], their default.

    Args:
        network: their UNet, (x_t, timesteps) -> eps or x_0, and the variance where it is learned. With class_cond it
            takes labels, too, as `y=`: 0..num_classes - 1, which are 1,000 in their code.
        weights: the checkpoint, a .pt file (read with `weights_only=True`) or a state dict; better the averaged one,
            ema_*.pt.
        flags: the options it was trained with, as in their `model_and_diffusion_defaults()`: image_size, learn_sigma,
            predict_xstart, noise_schedule, diffusion_steps, rescale_timesteps, and sigma_small and class_cond if they
            were set. They must all be there: the two repositories' defaults differ.
        levels: grey levels of the training images.

    Raises ValueError for flags that are missing or cannot be priced, weights that do not fit the network, or a file
    that holds more than weights; FileNotFoundError if there is no such file.

    With their code and a checkpoint at hand:

        flags = model_and_diffusion_defaults() | dict(learn_sigma=True, noise_schedule="cosine")
        model = from_improved_diffusion(unet, "ema_0.9999_500000.pt", flags)
    """
    missing = [flag for flag in FLAGS if flag not in flags]
    if missing:
        raise ValueError(f"flags lack {', '.join(missing)}; give all of {', '.join(FLAGS)}, as it was trained with.")
    schedule = SCHEDULES.named(flags["noise_schedule"])
    n_classes = getattr(network, "num_classes", None)
    if bool(flags.get("class_cond")) != (n_classes is not None):
        raise ValueError(
            f"class_cond = {flags.get('class_cond', False)}, but the network's num_classes is {n_classes}; build it "
            "with the flags that it was trained with."
        )
    if flags.get("timestep_respacing"):
        raise ValueError("timestep_respacing is a choice of timesteps, which is what is sought here; leave it empty.")
    load_weights(network, weights)
    noise = schedule.make(flags["diffusion_steps"])
    scale = 1000 / noise.T if flags["rescale_timesteps"] else None
    fixed = "posterior" if flags.get("sigma_small") else "beta"
    return Pretrained(
        network if n_classes is None else lambda x, time, y: network(x, time, y=y),
        noise,
        (getattr(network, "in_channels", 3), *[flags["image_size"]] * 2),
        levels,
        time=lambda t: t - 1 if scale is None else (t - 1).float() * scale,
        settings=f"improved-diffusion {scale}",
        predicts="sample" if flags["predict_xstart"] else "epsilon",
        variance="learned" if flags["learn_sigma"] else fixed,
        module=network,
        n_classes=n_classes,
    )

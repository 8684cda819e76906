"""diffusers' schedulers: which of them are a DDPM's, and a copy of one that walks the chosen path."""

import copy
from fractions import Fraction
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ddpm_dp.paths import as_path, to_diffusers


def path_scheduler(scheduler: Any, path: ArrayLike) -> Any:
    """A copy of a DDPMScheduler or DDIMScheduler that walks this path in any pipeline: `pipeline.scheduler = ...`.

    Then `pipeline(num_inference_steps=K)` takes the path's K steps, and its last step returns xhat_0. DDIMScheduler's
    own arithmetic takes every step to be T // K long; here each is as long as in the path. With clip_sample, DDIM
    equals `ddpm_dp.ddim` where the pipeline is called with use_clipped_model_output=True.

    Raises ValueError if it is not a path to the scheduler's T, for other schedulers, or, when the pipeline is called,
    for another number of steps. Set it on the built pipeline: DDIMPipeline's constructor replaces its scheduler.

    >>> from diffusers import DDPMScheduler
    >>> path_scheduler(DDPMScheduler(num_train_timesteps=10), [0, 3, 10]).timesteps
    tensor([9, 2])

    For a pipeline:

        pipeline.scheduler = path_scheduler(pipeline.scheduler, best.path(32))
        images = pipeline(num_inference_steps=32).images
    """
    base = type(scheduler)
    require_ddpm(base.__name__)
    timesteps = to_diffusers(as_path(path, scheduler.config.num_train_timesteps))
    on_path = copy.deepcopy(scheduler)  # from_config would forget what was given to it without a keyword
    on_path.__class__ = type(f"{base.__name__}OnPath", (_OnPath, base), {})
    on_path.chosen = timesteps
    on_path.set_timesteps()
    return on_path


class _OnPath:
    """What `path_scheduler` puts in front of a scheduler's class."""

    chosen: list[int]
    config: Any
    num_inference_steps: int | Fraction

    def set_timesteps(self, num_inference_steps: Any = None, device: Any = None, timesteps: Any = None) -> None:
        K = len(self.chosen)
        if num_inference_steps not in (None, K) or timesteps not in (None, self.chosen):
            raise ValueError(f"This scheduler walks one path, of {K} steps; call it with num_inference_steps={K}.")
        self.timesteps = torch.tensor(self.chosen, device=device)
        self.num_inference_steps = K
        self.custom_timesteps = True  # DDPMScheduler then looks the next timestep up in the list

    def step(
        self, model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, return_dict: bool = True, **kwargs: Any
    ) -> Any:
        t, T, K = int(timestep), self.config.num_train_timesteps, len(self.chosen)
        following = [*self.chosen[1:], -1][self.chosen.index(t)]
        # DDIMScheduler goes from t to t - T // num_inference_steps; this "number" makes that the path's next timestep.
        self.num_inference_steps = Fraction(T, t - following)
        result = super().step(model_output, t, sample, *args, return_dict=True, **kwargs)  # type: ignore[misc]
        self.num_inference_steps = K
        if following < 0:
            result.prev_sample = result.pred_original_sample  # no noise on the image, whatever the variance type
        return result if return_dict else (result.prev_sample, result.pred_original_sample)


def require_ddpm(scheduler: str) -> None:
    """Raise ValueError, with the reason, for the name of a scheduler's class that is not a DDPM's or DDIM's."""
    if not scheduler.startswith(("DDPMScheduler", "DDIMScheduler")):
        raise ValueError(_why_not(scheduler))


def _why_not(scheduler: str) -> str:
    """Why a scheduler of that class cannot be read, in one sentence."""
    if scheduler == "NoneType":
        return "A UNet was given without its scheduler; give the DDPMScheduler that it was trained with, too."
    if "FlowM" in scheduler:
        return (
            f"A {scheduler} interpolates x_t = (1 - u) x_0 + u eps, which is not variance-preserving, and its network "
            "predicts a velocity: there are no DDPM timesteps to choose from."
        )
    if "EDM" in scheduler or "SdeVe" in scheduler or "Consistency" in scheduler:
        return (
            f"A {scheduler} counts noise levels sigma, not timesteps of a variance-preserving DDPM; write its network "
            "as eps(x_t, t) on a grid of your choice and give that to `from_eps`."
        )
    return (
        f"A {scheduler} is a sampler, and does not say all of how the model was trained; give "
        "DDPMScheduler.from_config(scheduler.config), and check its clip_sample."
    )

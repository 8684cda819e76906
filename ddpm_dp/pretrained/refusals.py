"""Which of diffusers' schedulers are those of a DDPM, and what to do with a model that has another one.

A DDPM is a network that was trained at T timesteps of a variance-preserving schedule, to predict the noise, x_0 or v.
Its own schedulers are read (`scheduler.py`). Another sampler of such a network does not say all that is needed, but its
betas do. All other schedulers are those of another process. Nothing is ever read through `from_config`: it copies what
two classes name alike, leaves out what was not said, and answers with a linear schedule of 1,000 timesteps.
"""

from __future__ import annotations

import inspect
from typing import Any

OWN = ("DDPMScheduler", "DDIMScheduler", "PathScheduler")  # these are read

# diffusers' other samplers of a network that was trained as a DDPM.
SAMPLERS = (
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDPMParallelScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "RePaintScheduler",
    "SASolverScheduler",
    "UnCLIPScheduler",
    "UniPCMultistepScheduler",
)

_FLOW = (
    "interpolates x_u = (1 - u) x_0 + u eps, which is not variance-preserving, and its network predicts a velocity, "
    "which is not read here yet; rescale x_u, write the network as x_0(x_t, t) on a grid of your choice, as "
    "docs/other_models.md shows, and give that to `from_function`"
)
_STAGES = (
    "serves flows that may change their resolution on the way, from stage to stage, as the steps of a DDPM never do"
)
_SIGMAS = (
    "counts noise levels sigma, not timesteps of a variance-preserving DDPM; give a network of NVlabs' EDM to "
    "`from_edm`, or write its network as eps(x_t, t) on a grid of your choice and give that to `from_function`"
)
_DISTILLED = (
    "belongs to a distilled model, whose network jumps along a path instead of predicting the mean of x_0; "
    "give the model that it was distilled from"
)
_CONTINUOUS = (
    "counts a time between 0 and 1, not timesteps; write its network as eps(x_t, t) on a grid of your choice and give "
    "that to `from_function`"
)
_TOKENS = "corrupts tokens, not numbers by Gaussian noise: there is no DDPM in it"
_SHIFTED = "shifts the SNR of its own betas, for the latents of videos: there are no images to price"
_UNKNOWN = (
    "is not known here as the scheduler of a DDPM; give the DDPMScheduler that the model was trained with, or its "
    "network as a function eps(x_t, t) to `from_function`"
)

# The others, by what their process is.
REASONS = {
    _FLOW: (
        "FlowMatchEulerDiscreteScheduler",
        "FlowMatchHeunDiscreteScheduler",
        "LTXEulerAncestralRFScheduler",
        "MiniMaxH3Scheduler",
        "RFD4ProteinaScheduler",
    ),
    _STAGES: ("HeliosScheduler",),
    _SIGMAS: (
        "CosineDPMSolverMultistepScheduler",
        "EDMDPMSolverMultistepScheduler",
        "EDMEulerScheduler",
        "KarrasVeScheduler",
        "ScoreSdeVeScheduler",
    ),
    _DISTILLED: (
        "CMStochasticIterativeScheduler",
        "FlowMapEulerDiscreteScheduler",
        "FlowMatchLCMScheduler",
        "HeliosDMDScheduler",
        "LCMScheduler",
        "PiflowScheduler",
        "SCMScheduler",
        "TCDScheduler",
    ),
    _CONTINUOUS: ("DDPMWuerstchenScheduler", "IPNDMScheduler"),
    _TOKENS: (
        "AmusedScheduler",
        "BlockRefinementScheduler",
        "DiscreteDDIMScheduler",
        "EntropyBoundScheduler",
        "VQDiffusionScheduler",
    ),
    _SHIFTED: ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"),
}
_REASON_OF = {name: reason for reason, names in REASONS.items() for name in names}


def require_known(name: str) -> None:
    """Raise ValueError, in one sentence, for the name of a scheduler's class that is none of a DDPM."""
    if name not in (*OWN, *SAMPLERS):
        raise ValueError(f"{name} {_REASON_OF.get(name, _UNKNOWN)}.")


def require_ddpm(scheduler: Any) -> None:
    """Raise ValueError, in one sentence, unless the scheduler says how a DDPM was trained.

    A `DDPMScheduler.from_config` of another class's settings is refused where it can be seen. It cannot where that
    class was used with nothing but defaults: the result is `DDPMScheduler()`, to the last bit.
    """
    name = type(scheduler).__name__
    if any(base.__name__ in OWN for base in type(scheduler).__mro__):
        if foreign := _of_another_process(scheduler.config):
            raise ValueError(
                f"This {name} was made from the settings of another class ({foreign}), which say nothing of a DDPM's "
                "schedule; give the scheduler that the model was trained with."
            )
        return
    if scheduler is None:
        raise ValueError(
            "A UNet was given without its scheduler; give the DDPMScheduler that it was trained with, too."
        )
    require_known(name)
    raise ValueError(f"{name} {_instead(scheduler)}.")


def _instead(scheduler: Any) -> str:
    """Why a sampler of a DDPM is not enough, and what to give instead."""
    config = scheduler.config
    if config.get("use_flow_sigmas"):
        return f"with use_flow_sigmas=True {_FLOW}"
    if config.get("timestep_type") == "continuous":
        return f"with timestep_type='continuous' {_SIGMAS}"
    said = {
        "prediction_type": config.get("prediction_type", "epsilon"),  # RePaintScheduler has none: the noise it is
        "variance_type": config.get("variance_type") or "fixed_small",
        "clip_sample": config.get("clip_sample", False),
    }
    options = ", ".join(f"{option}={value!r}" for option, value in said.items())
    return (
        "is a sampler, and does not say all of how the model was trained; give "
        f"DDPMScheduler(num_train_timesteps={len(scheduler.betas)}, "
        f"trained_betas=scheduler.betas.tolist(), {options}), with the variance and the clipping as in its training"
    )


def _of_another_process(config: dict[str, Any]) -> str:
    """Settings that only a class of another process has, in words; empty if there are none."""
    import diffusers

    def settings(names: tuple[str, ...]) -> set[str]:
        classes = (getattr(diffusers, name) for name in names if hasattr(diffusers, name))
        return {key for each in classes for key in inspect.signature(each.__init__).parameters}

    ours = settings((*OWN, *SAMPLERS))
    foreign = sorted(key for key in config if key in settings(tuple(_REASON_OF)) - ours)
    if foreign:
        return ", ".join(foreign)
    by_default = set(config.get("_use_default_values", ()))
    schedule = {"beta_schedule", "beta_start", "beta_end"}
    # All that an IPNDMScheduler says: that it has no betas.
    if schedule <= by_default and "trained_betas" not in by_default and config.get("trained_betas", ()) is None:
        return "trained_betas=None and no other betas"
    return ""

"""Choose the K of T timesteps of a trained DDPM that maximise its ELBO, exactly, by dynamic programming.

Watson, Ho, Norouzi, Chan: "Learning to Efficiently Sample from Diffusion Probabilistic Models", arXiv 2106.03802.
"""

import os
from importlib import import_module
from typing import Any

from ddpm_dp.pretrained import SOURCES

# The one place of the version: pyproject.toml reads it here, and tests hold CITATION.cff and CHANGELOG.md against it.
__version__ = "0.2.0.dev0"

# Threads that wait should sleep: spinning, as is OpenMP's habit, they slow small networks many times over on a busy
# machine. OpenMP asks when torch is first imported, so it must be said here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {
    "costs": ("StepCosts", "bits_per_dim", "step_costs", "weighted_costs"),
    "datasets": ("Dataset", "load_dataset"),
    "reporting.compare": ("compare",),
    "reporting.publish": ("path_file", "publish"),
    "files": ("shipped",),
    "likelihood": ("negative_elbo",),
    "measuring.loop": ("measure",),
    "models.denoiser": ("Denoiser", "Prediction"),
    "models.exact": ("MixtureDenoiser",),
    "models.trained": ("Model", "load"),
    "noise": ("NoiseSchedule",),
    "paths": ("PathFile", "as_path", "to_diffusers", "to_improved_diffusion", "to_sigmas"),
    "pretrained.edm": ("edm_noise_levels",),
    "pretrained.functions": ("from_eps",),  # the first name of `from_function`
    "pretrained.scheduler": ("PathScheduler", "path_scheduler"),
    "quality": ("frechet_distance", "wasserstein2"),
    "sampling": ("ddim", "sample"),
    "solver": ("Frontier", "certify", "solve"),
    "statistics": ("DenoisingStatistics", "Measured"),
    "strides": ("STRIDES",),
    "training.config": ("TrainConfig",),
    "training.loop": ("train",),
}
_ROOM_OF = {name: room for room, names in _HOME.items() for name in names}
# Each source's own function, `from_...`.
_ROOM_OF |= {name: f"pretrained.{room}" for room, name in (source.home.split(":") for source in SOURCES.values())}

__all__ = [*_ROOM_OF]

# A saved pipeline says that its scheduler is ["ddpm_dp", "PathScheduler"]; diffusers wants its base class there, too.
_ROOM_OF["SchedulerMixin"] = "pretrained.scheduler"


def __getattr__(name: str) -> Any:
    """Load a name's room when it is first asked for, so that `import ddpm_dp` and the solver need no torch."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'ddpm_dp' has no attribute {name!r}")
    value = getattr(import_module(f"ddpm_dp.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

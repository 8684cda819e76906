"""Models that others trained, as denoisers; and the timesteps chosen for them, in the form their own samplers take.

`SOURCES` lists what can be read, how, and in which form the chosen timesteps go back. The libraries count timesteps
0..T-1: their t is ours minus 1. Listing needs neither torch nor diffusers; each is imported only where it is needed.

A new source is a file with a function that gives a `Pretrained`, and its line in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from ddpm_dp.registry import Registry

if TYPE_CHECKING:
    from ddpm_dp.pretrained.network import Pretrained

__all__ = ["SOURCES", "Source"]


@dataclass(frozen=True)
class Source:
    """One kind of model of other people's.

    Attributes:
        name: one word for it.
        words: what you have.
        home: where the function that reads it stands, "module:function", in this folder.
        call: how it is called.
        back: the form in which the chosen timesteps go back.

    >>> SOURCES["function"].call
    'from_function(function, noise, shape, id="run 7")'
    """

    name: str
    words: str
    home: str
    call: str
    back: str

    @property
    def function(self) -> Callable[..., Pretrained]:
        """The function that reads it; imports torch."""
        module, name = self.home.split(":")
        return getattr(import_module(f"{__name__}.{module}"), name)


SOURCES = Registry(
    "source",
    [
        Source(
            "diffusers",
            "diffusers: a pipeline (folder, hub id or object), or a UNet and its scheduler",
            "pipelines:from_diffusers",
            "from_diffusers(pipeline)",
            "path_scheduler(model, path), for pipelines, DDIM and any family; to_diffusers(path), a list",
        ),
        Source(
            "improved-diffusion",
            "a checkpoint of OpenAI's improved- or guided-diffusion",
            "checkpoints:from_improved_diffusion",
            'from_improved_diffusion(unet, "ema.pt", flags)',
            "to_improved_diffusion(path), a set for use_timesteps",
        ),
        Source(
            "edm",
            "a network of NVlabs' EDM, and its weights",
            "edm:from_edm",
            'from_edm(net, "edm.pt")',
            "the path itself",
        ),
        Source(
            "function",
            "any function that predicts the noise, x_0 or v",
            "functions:from_function",
            'from_function(function, noise, shape, id="run 7")',
            "the path itself; to_sigmas(path, noise), noise levels for k-diffusion's and EDM's samplers",
        ),
    ],
)

"""The denoiser: given x_t and t, an estimate of x_0. What it is made of does not matter to the rest of the package."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.outputs import OUTPUTS


class Prediction(NamedTuple):
    """What a denoiser returns: `x0` is xhat_0(x_t), of x_t's shape; so are v and u, where there is such an output."""

    x0: Tensor
    v: Tensor | None = None  # the second outputs, by their names in `OUTPUTS`, where their meaning stands
    u: Tensor | None = None

    def second(self, output: str | None) -> Tensor | None:
        """The second output of that name; None for None.

        Raises ValueError if there is no output of that name, or this denoiser has not got it.

        >>> Prediction(x0=torch.zeros(2), v=torch.ones(2)).second("v")
        tensor([1., 1.])
        """
        if output is None:
            return None
        value = getattr(self, OUTPUTS.named(output).name)
        if value is None:
            raise ValueError(f"The reverse variance needs a denoiser with an output {output}; this one has none.")
        return value


class Denoiser(ABC):
    """A model of data of one `shape`, with `levels` grey levels (None: continuous), under a noise schedule.

    A subclass sets these attributes and defines `__call__(x_t, t) -> Prediction`, where x_t is (batch, *shape), on
    `device` and in `dtype`, and t a (batch,) tensor of timesteps 1..T. `id` is a name that changes when its answers do.
    """

    noise: NoiseSchedule
    shape: tuple[int, ...]
    id: str
    levels: int | None = None
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    second: str | None = None  # the name in `OUTPUTS` of the second output that its predictions have

    @abstractmethod
    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """xhat_0, and a second output where there is one, for each x_t (batch, *shape) at its timestep t (batch,)."""

    def at(self, x_t: Tensor, t: int) -> Prediction:
        """The answer for a batch that is all at timestep t. Raises ValueError if it has not x_t's shape."""
        prediction = self(x_t, torch.tensor([t], device=x_t.device).expand(len(x_t)))
        for name, output in prediction._asdict().items():
            if output is not None and output.shape != x_t.shape:
                raise ValueError(
                    f"The denoiser answered x_t of shape {tuple(x_t.shape)} with {name} of shape "
                    f"{tuple(output.shape)}; expected the same shape."
                )
        return prediction

    def images(self, images: Any) -> Tensor:
        """Check images (array or tensor, (n, *shape)) and move them to this denoiser's device, in its dtype.

        Raises ValueError if the shape is another, if there are none, if a value is not finite or, where the data have
        grey levels, does not lie on the grid of `levels` values from -1 to 1.
        """
        given = torch.as_tensor(images).detach().to("cpu", torch.float64)
        if given.shape[1:] != self.shape or not len(given):
            raise ValueError(
                f"Images of shape {tuple(given.shape)} were given; expected (n, *{self.shape}) with n >= 1."
            )
        if not torch.isfinite(given).all():
            raise ValueError("Some image values are NaN or infinite; remove those images.")
        if self.levels is not None:
            level = (given + 1) * (self.levels - 1) / 2
            off = torch.abs(level - level.round().clamp(0, self.levels - 1)).max().item()
            if off > 1e-3:
                raise ValueError(
                    f"Image values from {given.min():.4g} to {given.max():.4g} do not lie on {self.levels} grey levels "
                    "in [-1, 1]; scale grey level v = 0, 1, ... as 2 v / (levels - 1) - 1."
                )
        return given.to(self.dtype).to(self.device)

"""The denoiser: given x_t and t, an estimate of x_0. What it is made of does not matter to the rest of the package."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
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

    A class-conditional model, p(x_0 | label), sets `n_classes`, and its call takes a third argument, `labels`: a
    (batch,) tensor of whole numbers 0..n_classes - 1. Its bound is that of images *given* their labels.
    """

    noise: NoiseSchedule
    shape: tuple[int, ...]
    id: str
    levels: int | None = None
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    second: str | None = None  # the name in `OUTPUTS` of the second output that its predictions have
    n_classes: int | None = None  # whose labels it takes; None: it takes none

    @abstractmethod
    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """xhat_0, and a second output where there is one, for each x_t (batch, *shape) at its timestep t (batch,)."""

    def at(self, x_t: Tensor, t: int, labels: Tensor | None = None) -> Prediction:
        """The answer for a batch that is all at timestep t, with labels as `self.labels` gives them.

        Raises ValueError if it has not x_t's shape, or a class-conditional model is asked without labels.
        """
        if labels is None:
            self.labels(None, len(x_t))  # a class-conditional model never answers without
        given = {} if labels is None else {"labels": labels}
        prediction = self(x_t, torch.tensor([t], device=x_t.device).expand(len(x_t)), **given)
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

    def labels(self, labels: Any, n: int) -> Tensor | None:
        """Check the labels of n images, (n,) whole numbers or one for all, and move them to this denoiser's device.

        None stays None where the denoiser takes no labels.

        Raises ValueError if they are missing, not wanted, of another number or not in 0..n_classes - 1.
        """
        if self.n_classes is None:
            if labels is not None:
                raise ValueError("Labels were given to a model that takes none; leave them out.")
            return None
        expected = f"whole numbers from 0 to {self.n_classes - 1}, one for each of {n} images"
        if labels is None:
            raise ValueError(f"This model is class-conditional and was given no labels; give labels=, {expected}.")
        given = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
        if given.dtype.kind not in "iu" or given.shape not in ((), (n,)):
            raise ValueError(f"Labels of shape {given.shape} and type {given.dtype} were given; expected {expected}.")
        if given.min() < 0 or given.max() >= self.n_classes:
            raise ValueError(f"Labels from {given.min()} to {given.max()} were given; expected {expected}.")
        return torch.from_numpy(np.broadcast_to(given, (n,)).astype(np.int64)).to(self.device)

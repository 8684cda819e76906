"""Fields: which pixels of an image get the same variance in the decoder, and what it is.

The likelihood of grey levels falls into factors for pixels alone: so a field tells pixels apart, by what is known at
x_t. The decoder's price was measured for each (`statistics/decoding.py`), and which suits a timestep is found there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.registry import Registry, Whole
from ddpm_dp.variances.bases import BlockDct, axes_of, mixes_colours
from ddpm_dp.variances.scores import BINS, Guess, Score, Weights

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_dp.models.denoiser import Prediction

Maps = Mapping[str, Any]  # how to find a class again, at one timestep


class Field(Whole, abstract=True):
    """One way to tell pixels apart.

    Attributes:
        name: that of the curve in the statistics.
        words: the pixels that are alike.
        classes: how many kinds there are.
        output: the second output that it reads, or None.
    """

    name: str
    words: str
    classes: int
    output: str | None = None

    @abstractmethod
    def class_of(self, answer: Prediction, maps: Maps) -> Tensor:
        """The class of each pixel, integers that broadcast to (n, *shape), from the denoiser's answer at x_t."""

    def log_variance(
        self, noise: NoiseSchedule, t: int, answer: Prediction, maps: Maps, of_class: np.ndarray
    ) -> Tensor:
        """The log variance of each pixel, from (C,) numbers for the classes."""
        import torch

        return torch.as_tensor(of_class, dtype=torch.float64)[self.class_of(answer, maps).cpu()]


class Alike(Field):
    """One number for all pixels."""

    name = "all"
    words = "one number"
    classes = 1

    def class_of(self, answer: Prediction, maps: Maps) -> Tensor:
        import torch

        return torch.zeros((1,) * answer.x0.ndim, dtype=torch.int64, device=answer.x0.device)


class Bins(Field):
    """Bins of a second output, evenly spaced on its scale: `low` and `high` are where the first begins and the last
    ends."""

    name = words = ""  # each output's own
    classes = 12  # on Fashion-MNIST 8 cost 0.001 bits/dim more, 32 gain nothing; each takes room in the file

    def __init__(self, output: str):
        self.name = self.output = output
        self.words = f"one number for each of {self.classes} bins of the network's {output}"

    def class_of(self, answer: Prediction, maps: Maps) -> Tensor:
        second = answer.second(self.output)
        assert self.output and second is not None, "`second` has refused"
        place = OUTPUTS[self.output].place(second)
        low, high = float(maps["low"]), float(maps["high"])
        return ((place - low) * (self.classes / max(high - low, 1e-12))).long().clamp(0, self.classes - 1)


class Local(Field):
    """Pixels with scores alike (`scores.py`), for networks that have xhat_0 alone.

    All colours of a pixel have the score of its brightness.
    """

    name = "local"
    classes = BINS // 2
    words = f"one number for each of {classes} kinds of pixels that xhat_0 shows to be alike"

    def class_of(self, answer: Prediction, maps: Maps) -> Tensor:
        shape = tuple(answer.x0.shape[1:])
        cell = Score(BlockDct(shape, (1, 1)), axes_of(shape)[0]).cells(Guess(answer.x0), Weights.of(maps))
        return (cell if mixes_colours(shape) else cell.reshape(answer.x0.shape)) // (BINS // self.classes)


class Bounds(Field):
    """Between a lower bound and sigma_t^2 as v says, in the logarithm: the number is the lower bound's."""

    name = "bounds"
    words = "between a lower bound and sigma_t^2, as the network's v says"
    classes = 1
    output = "v"

    def class_of(self, answer: Prediction, maps: Maps) -> Tensor:
        return ALIKE.class_of(answer, maps)

    def log_variance(
        self, noise: NoiseSchedule, t: int, answer: Prediction, maps: Maps, of_class: np.ndarray
    ) -> Tensor:
        v = answer.second(self.output)
        assert v is not None, "`second` has refused"
        return between(noise, t, float(of_class[0]), v.cpu().double())


def between(noise: NoiseSchedule, t: Any, log_lower: Any, v: Any) -> Any:
    """The log variance between a lower bound, at v = 0, and sigma_t^2, at v = 1; v may be a tensor."""
    return log_lower + v * (np.log(noise.sigma2[t]) - log_lower)


ALIKE, BOUNDS = Alike(), Bounds()
BINS_OF = {output: Bins(output) for output in OUTPUTS}
LOCAL = Local()

FIELDS: Registry[Field] = Registry("field", [ALIKE, *BINS_OF.values(), LOCAL, BOUNDS])

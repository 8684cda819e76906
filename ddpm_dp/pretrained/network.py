"""A network that others trained, as a denoiser: what its output means, its clipping, its variance, its id."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_dp.files import fingerprint
from ddpm_dp.models.denoiser import Denoiser, Prediction
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.outputs import BetweenBounds
from ddpm_dp.registry import Registry
from ddpm_dp.variances import FAMILIES


@dataclass(frozen=True)
class Target:
    """What a network can be trained to predict: `x0(y, x_t, alpha, sigma)` is xhat_0 from its output y.

    `needs_signal`: whether that divides by alpha, so that there is no xhat_0 where x_t is noise alone.
    """

    name: str
    words: str
    x0: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    needs_signal: bool = False


# By diffusers' names.
XHAT_0 = Registry(
    "prediction_type",
    [
        Target("epsilon", "the noise", lambda y, x_t, alpha, sigma: (x_t - sigma * y) / alpha, needs_signal=True),
        Target("sample", "x_0", lambda y, x_t, alpha, sigma: y),
        Target(
            "v_prediction",
            "v = alpha eps - sigma x_0 (Salimans & Ho 2022)",
            lambda y, x_t, alpha, sigma: alpha * x_t - sigma * y,
        ),
    ],
)


Network = Callable[..., Tensor]  # (x_t, time), or (x_t, time, labels) for a class-conditional model


class Pretrained(Denoiser):
    """A network that others trained: y = network(x_t, time(t)), read as eps, x_0 or v; made by the sources.

    A class-conditional one is asked network(x_t, time(t), labels). With `guidance` w (classifier-free: Ho & Salimans
    2022, arXiv 2207.12598, eq. 6) the network also knows a label `n_classes`, which stands for none, and the model is

        y = (1 + w) network(x_t, time, labels) - w network(x_t, time, none),

    in the first half of the channels, where a variance is learned, which stays that of the labels. (eps, x_0 and v are
    lines in each other, so it is the same formula for all three. What many samplers call the guidance scale is 1 + w.)
    w is part of the model and of its `id`: what is measured, priced and sampled is the *guided* reverse process. It is
    no longer trained for the bound, and its bits/dim are as a rule worse than those of w = 0, however good its pictures
    look.

    A network with a learned variance answers with twice the channels. The second half y2, trained to lie in [-1, 1],
    gives v = (y2 + 1) / 2 (Nichol & Dhariwal 2021, eq. 15), not clipped, as in their code and in diffusers.

    Attributes beside those of `Denoiser`: `variance`, the reverse variance of the model's own sampler ("posterior",
    "beta" or "learned"): price with it what you will sample there; `predicts`, what the network answers, by its name in
    `XHAT_0`; `clip`, to which xhat_0 is clipped, or None; `guidance`, w, or None without.
    """

    def __init__(
        self,
        network: Network,
        noise: NoiseSchedule,
        shape: Sequence[int],
        levels: int | None,
        *,
        time: Callable[[Tensor], Tensor],
        settings: str,  # names, for the id, what the weights do not tell
        predicts: str = "epsilon",
        clip: float | None = 1.0,
        variance: str = "posterior",
        module: nn.Module | None = None,
        device: torch.device | str = "cpu",
        n_classes: int | None = None,
        guidance: float | None = None,
    ):
        self.predicts = predicts
        self.n_classes, self.guidance = n_classes, None if guidance is None else float(guidance)
        if guidance is not None and n_classes is None:
            raise ValueError(f"guidance = {guidance} was given for a model that takes no labels; leave it out.")
        if guidance is not None and not np.isfinite(guidance):
            raise ValueError(f"guidance = {guidance} was given; expected a finite weight, 0 for none.")
        if XHAT_0.named(predicts).needs_signal and noise.abar[-1] == 0:
            others = " or ".join(repr(target.name) for target in XHAT_0.values() if not target.needs_signal)
            raise ValueError(
                f"A model that predicts {predicts} has no xhat_0 at a terminal SNR of 0, where x_T is noise alone; "
                f"expected prediction_type {others}, or a schedule that is not rescaled."
            )
        self.network, self.noise, self.shape, self.levels = network, noise, tuple(shape), levels
        self.time, self.clip, self.variance = time, clip, variance
        family = FAMILIES.named(variance)
        if family.fitted or family.output not in (None, BetweenBounds.name):
            own = ", ".join(
                each.name for each in FAMILIES.values() if not each.fitted and each.output in (None, BetweenBounds.name)
            )
            raise ValueError(f"variance = {variance!r} is no network's own; expected one of {own}.")
        self.second = family.output
        self._module = module and module.eval()
        self._device = torch.device(device)
        conditional = "" if n_classes is None else f" {n_classes} classes, guidance {self.guidance}"
        self._settings = np.array(f"{settings} {predicts} {clip} {self.second}{conditional}")
        first = next(module.parameters(), None) if module else None
        self._input = torch.float32 if first is None else first.dtype  # a 16-bit network is fed 16 bits, no one else
        self.dtype = torch.promote_types(self._input, torch.float32)

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # asked of the network, which may move
        first = next(self._module.parameters(), None) if self._module else None
        return self._device if first is None else first.device

    def to(self, device: torch.device | str) -> "Pretrained":
        """Move the network. Raises ValueError for a plain function, which lives where it lives."""
        if self._module is None:
            raise ValueError("A plain function cannot be moved; give its device to `from_function`.")
        self._module.to(device)
        return self

    @property
    def id(self) -> str:  # type: ignore[override]  # computed, since weights may change
        weights = sorted(self._module.state_dict().items()) if self._module else []
        return fingerprint(self.noise.abar, self._settings, *(w.detach().float().cpu().numpy() for _, w in weights))

    def images(self, images: Any) -> Tensor:
        """As `Denoiser.images`, and refuses values beyond the range to which xhat_0 is clipped."""
        checked = super().images(images)
        if self.clip is not None and checked.abs().max() > self.clip + 1e-3:
            raise ValueError(
                f"Values from {checked.min():.4g} to {checked.max():.4g} were given, but this model clips x_0 to "
                f"[-{self.clip:g}, {self.clip:g}]; scale them as its training images were."
            )
        return checked

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Prediction:
        y, *second = self._ask(x_t, t, labels)
        if self.guidance:
            assert labels is not None and self.n_classes is not None, "guidance asks for classes, `at` for labels"
            none, *_ = self._ask(x_t, t, torch.full_like(labels, self.n_classes))
            y = (1 + self.guidance) * y - self.guidance * none
        alpha, sigma = (
            torch.as_tensor(values, dtype=self.dtype, device=x_t.device)[t].view(-1, *[1] * len(self.shape))
            for values in (self.noise.alpha, self.noise.sigma)
        )
        x0 = XHAT_0[self.predicts].x0(y, x_t, alpha, sigma)
        if self.clip is not None:
            x0 = x0.clamp(-self.clip, self.clip)
        return Prediction(x0, v=(second[0] + 1) / 2 if second else None)

    def _ask(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        """The network's answer y, and its second half where there is one."""
        given = () if labels is None else (labels,)
        y = self.network(x_t.to(self._input), self.time(t), *given).to(self.dtype)
        channels = self.shape[0] * (2 if self.second else 1)
        if y.shape != (len(x_t), channels, *self.shape[1:]):
            raise ValueError(
                f"The network answered x_t of shape {tuple(x_t.shape)} with shape {tuple(y.shape)}; expected "
                f"{channels} channels for a {'learned' if self.second else 'fixed'} variance: check the model's flags."
            )
        return y.split(self.shape[0], dim=1)

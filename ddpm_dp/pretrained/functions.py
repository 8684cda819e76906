"""Any function that predicts the noise, as a denoiser."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.pretrained.network import Pretrained


def from_eps(
    eps: Callable[[Tensor, Tensor], Tensor],
    noise: NoiseSchedule,
    shape: tuple[int, ...],
    *,
    levels: int | None = 256,
    clip: float | None = 1.0,
    id: str | None = None,
    device: torch.device | str = "cpu",
) -> Pretrained:
    """Any function that predicts the noise, as a denoiser: xhat_0 = (x_t - sigma_t eps(x_t, t)) / alpha_t.

    Args:
        eps: (x_t, t) -> eps of x_t's shape, with x_t (batch, *shape) float32 and t (batch,) whole timesteps 1..T.
            Subtract 1 yourself if the network counts from 0.
        noise: the schedule that it was trained with.
        shape: of one image, channels first.
        levels: grey levels; None for continuous data.
        clip: xhat_0 is clipped to [-clip, clip]; None: it is not. As in your sampler.
        id: a name that changes when the answers do. Not needed if `eps` is a torch Module: its weights name it.
        device: where a plain function wants x_t.

    Raises ValueError without an id for a plain function, or for a schedule with a terminal SNR of 0.

    >>> model = from_eps(lambda x_t, t: 0 * x_t, NoiseSchedule.cosine(100), (3, 32, 32), id="sees no noise")
    >>> model.at(torch.zeros(1, 3, 32, 32), 50).x0.shape
    torch.Size([1, 3, 32, 32])
    """
    module = eps if isinstance(eps, nn.Module) else None
    if module is None and not id:
        raise ValueError("A plain function has no weights to tell it apart by; give it an id, such as id='run 7'.")
    settings = f"eps {id or ''}"
    return Pretrained(
        eps, noise, shape, levels, time=lambda t: t, settings=settings, clip=clip, module=module, device=device
    )

"""Any function that predicts the noise, x_0 or v, as a denoiser."""

from collections.abc import Sequence

import torch
from torch import nn

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.pretrained.network import Network, Pretrained


def from_function(
    function: Network,
    noise: NoiseSchedule,
    shape: Sequence[int],
    *,
    predicts: str = "epsilon",
    variance: str = "posterior",
    levels: int | None = 256,
    clip: float | None = 1.0,
    n_classes: int | None = None,
    guidance: float | None = None,
    id: str | None = None,
    device: torch.device | str = "cpu",
) -> Pretrained:
    """Any function as a denoiser; one that predicts the noise: xhat_0 = (x_t - sigma_t eps(x_t, t)) / alpha_t.

    `from_eps` is the same function under its first name.

    Args:
        function: (x_t, t) -> y of x_t's shape, with x_t (batch, *shape) float32 and t (batch,) whole timesteps 1..T.
            Subtract 1 yourself if the network counts from 0. With `n_classes`, (x_t, t, labels) -> y.
        noise: the schedule that it was trained with.
        shape: of one image, channels first.
        predicts: what y is, by its name in `XHAT_0`, which are diffusers': the noise ("epsilon"), x_0 itself ("sample")
            or v = alpha eps - sigma x_0 ("v_prediction").
        variance: of the model's own sampler: `posterior`, `beta` or `learned`. For `learned` y has twice the channels,
            and the second half, y2 in [-1, 1], says where the variance lies between its bounds, v = (y2 + 1) / 2.
        levels: grey levels; None for continuous data.
        clip: xhat_0 is clipped to [-clip, clip]; None: it is not. As in your sampler.
        n_classes: for a class-conditional model, whose labels are 0..n_classes - 1.
        guidance: w of classifier-free guidance, y = (1 + w) y(labels) - w y(none); `function` is then also asked with
            the label n_classes, which stands for none. w is part of the model: see `Pretrained`.
        id: a name that changes when the answers do. Not needed if `function` is a torch Module: its weights name it.
        device: where a plain function wants x_t.

    Raises ValueError without an id for a plain function, for an unknown `predicts` or `variance`, guidance without
    classes, or, where xhat_0 is divided by alpha, for a schedule with a terminal SNR of 0.

    >>> model = from_function(lambda x_t, t: 0 * x_t, NoiseSchedule.cosine(100), (3, 32, 32), id="sees no noise")
    >>> model.at(torch.zeros(1, 3, 32, 32), 50).x0.shape
    torch.Size([1, 3, 32, 32])
    """
    module = function if isinstance(function, nn.Module) else None
    if module is None and not id:
        raise ValueError("A plain function has no weights to tell it apart by; give it an id, such as id='run 7'.")
    return Pretrained(
        function,
        noise,
        shape,
        levels,
        time=lambda t: t,
        settings=f"eps {id or ''}",  # what stood here first: an id in a file stays what it is
        predicts=predicts,
        clip=clip,
        variance=variance,
        module=module,
        device=device,
        n_classes=n_classes,
        guidance=guidance,
    )


from_eps = from_function

"""Networks of NVlabs' EDM (Karras et al. 2022, arXiv 2206.00364) as denoisers, on a grid of their noise levels."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ddpm_dp.checks import whole
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.pretrained.network import Pretrained
from ddpm_dp.pretrained.weights import Weights, load_weights

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7  # their table 1


def edm_noise_levels(T: int = 1000) -> np.ndarray:
    """sigma_1..sigma_T, from 0.002 to 80, evenly spaced in sigma^(1/7): Karras et al. 2022, eq. 5, ascending.

    >>> edm_noise_levels(3).round(3).tolist()
    [0.002, 2.515, 80.0]
    """
    return np.linspace(SIGMA_MIN ** (1 / RHO), SIGMA_MAX ** (1 / RHO), whole(T, "T", 2, what="noise levels")) ** RHO


def from_edm(
    network: nn.Module,
    weights: Weights | None = None,
    *,
    sigmas: ArrayLike | None = None,
    guidance: float | None = None,
    levels: int | None = 256,
) -> Pretrained:
    """A network of NVlabs' EDM as a denoiser: D(x; sigma) ~ E[x_0 | x_0 + sigma eps = x]. Build it with their code.

    A DDPM whose x_t is scaled to keep its variance: x_t = alpha_t (x_0 + sigma_t' eps) with the given noise levels
    sigma_t' as timesteps,

        abar_t = 1 / (1 + sigma_t'^2),     xhat_0 = D(x_t / alpha_t; sigma_t').

    D is c_skip x + c_out F(c_in x; c_noise), which the network computes itself. xhat_0 is predicted directly, so
    nothing is divided by a small alpha_t. (Their other Precond classes add sigma F to x or take it off, and
    multiply F's rounding by sigma.) xhat_0 is not clipped, as in their sampler. Images lie in [-1, 1], as theirs do.

    Args:
        network: their EDMPrecond (or another of their Precond classes): a torch module `net(x, sigma, class_labels)`
            with img_channels, img_resolution and label_dim. Its labels are one-hot here as there; the vector of zeros
            stands for none.
        weights: put into the network first: a .pt file (read with `weights_only=True`) or a state dict. Their .pkl
            files run code when they are read, and are not read here. Where you trust one, convert it once, with their
            repository at hand: `net = pickle.load(f)["ema"]; torch.save(net.state_dict(), "edm.pt")`, and build the
            network as `EDMPrecond(**net.init_kwargs)`.
        sigmas: the noise levels, ascending and above 0; 1,000 of theirs, rho = 7 (`edm_noise_levels`), if None.
        guidance: w of classifier-free guidance, part of the model: see `Pretrained`.
        levels: grey levels of the training images.

    Raises ValueError for anything but such a network, weights that do not fit it, noise levels that do not ascend, or
    guidance of a network without labels.

    With their code and weights at hand:

        model = from_edm(EDMPrecond(img_resolution=32, img_channels=3, label_dim=10, model_type="SongUNet"), "edm.pt")
    """
    if isinstance(network, (str, Path)):
        raise ValueError(
            f"{network} was given as the network; their pickles run code and are not read, so build EDMPrecond, and "
            "give it with its state dict (saved once, by torch.save(net.state_dict(), 'edm.pt')) as weights."
        )
    lacks = [name for name in ("img_channels", "img_resolution", "label_dim") if not hasattr(network, name)]
    if not isinstance(network, nn.Module) or lacks:
        raise ValueError(
            f"A {type(network).__name__} was given; expected a torch module of theirs, with img_channels, "
            "img_resolution and label_dim (give any other network as a function to `from_function`)."
        )
    sigma = np.asarray(edm_noise_levels() if sigmas is None else sigmas, dtype=np.float64)
    if sigma.ndim != 1 or len(sigma) < 2 or not (sigma[0] > 0 and (np.diff(sigma) > 0).all() and sigma[-1] < np.inf):
        raise ValueError(
            f"sigmas of shape {sigma.shape} were given; expected 2 or more noise levels above 0, ascending."
        )
    if weights is not None:
        load_weights(network, weights)
    side, classes = int(network.img_resolution), int(network.label_dim)  # type: ignore[arg-type]  # plain numbers
    of_timestep = torch.from_numpy(np.concatenate([[0.0], sigma]))

    def denoised(x_t: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        sigma = sigma.to(x_t)
        x = x_t * (1 + sigma**2).sqrt().view(-1, *[1] * (x_t.ndim - 1))
        return network(x, sigma, None if labels is None else one_hot(labels, classes + 1)[:, :classes].to(x_t))

    return Pretrained(
        denoised,
        NoiseSchedule(np.concatenate([[1.0], 1 / (1 + sigma**2)])),
        (int(network.img_channels), side, side),  # type: ignore[arg-type]
        levels,
        time=lambda t: of_timestep.to(t.device)[t],
        settings="edm",
        predicts="sample",
        clip=None,
        module=network,
        n_classes=classes or None,
        guidance=guidance,
    )

"""A trained network as a denoiser: from a file, or one of those that ship."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddpm_dp.files import DATA, fingerprint
from ddpm_dp.models.architectures import Architecture
from ddpm_dp.models.denoiser import Denoiser, Prediction
from ddpm_dp.models.files import read_tensors, write_tensors
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.processes import usable_device


class Model(Denoiser):
    """A network that predicts the noise eps in x_t, as a denoiser: xhat_0 = (x_t - sigma_t eps) / alpha_t.

    All data sets lie in [-1, 1], so xhat_0 is clipped to it, as Ho et al. do. That changes m_t (for the better: near
    t = T, 1 / alpha_t blows up the smallest error of eps) and is part of the model from here on.

    A second output is read from the network's bare numbers as `OUTPUTS` says.

    >>> model = load("digits", "cpu")
    >>> model(torch.zeros(1, *model.shape), torch.tensor([model.noise.T])).x0.shape
    torch.Size([1, 1, 8, 8])
    """

    def __init__(
        self,
        architecture: Architecture,
        network: torch.nn.Module,
        noise: NoiseSchedule,
        about: dict[str, Any] | None = None,
    ):
        self.architecture, self.noise = architecture, noise
        self.shape, self.levels, self.second = architecture.shape, architecture.levels, architecture.second
        self.about = about or {}
        self.network = network.eval()
        self.dtype = torch.float32

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # asked of the network, which may move
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> "Model":
        self.network.to(device)
        return self

    @property
    def id(self) -> str:  # type: ignore[override]  # computed, since weights may change
        weights = [w.detach().cpu().numpy() for _, w in sorted(self.network.state_dict().items())]
        return fingerprint(self.noise.abar, *weights)

    def images(self, images: Any) -> Tensor:
        """As `Denoiser.images`, and refuses values outside [-1, 1], to which xhat_0 is clipped."""
        checked = super().images(images)
        if checked.abs().max() > 1 + 1e-3:
            raise ValueError(
                f"Values from {checked.min():.4g} to {checked.max():.4g} were given; scale them to [-1, 1]."
            )
        return checked

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        t = t[:1] if t.stride() == (0,) else t  # all alike: one time embedding will do for the batch
        eps, *second = self.outputs(self.network, x_t, t)
        alpha, sigma = (at(values, t, x_t) for values in (self.noise.alpha, self.noise.sigma))
        x0 = ((x_t - sigma * eps) / alpha).clamp(-1, 1)
        return Prediction(x0, **{str(self.second): value for value in second})

    def outputs(self, network: Callable[[Tensor, Tensor], Tensor], x_t: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        """eps, and the second output where there is one, of a network of this model's architecture (the one in
        training, say)."""
        answer = network(x_t, t / self.noise.T).float()
        if self.second is None:
            return (answer,)
        eps, y = answer.tensor_split(2, 1)
        return eps, OUTPUTS[self.second].read(y, at(self.noise.sigma2, t, x_t))

    def save(self, path: str | Path, half: bool = False) -> Path:
        """Write a .safetensors file, whole or not at all; `half` rounds the weights to 16 bits: half the length.

        A rounded model is another model, if only slightly: measure the one that `load` returns.
        """
        dtype = torch.float16 if half else torch.float32
        weights = {name: weight.to(dtype) for name, weight in self.network.state_dict().items()}
        return write_tensors(path, weights, self.noise, self.architecture, self.about)


def at(values: np.ndarray, t: Tensor, x: Tensor) -> Tensor:
    """values[t] of a float64 array over timesteps, as a float32 column that multiplies x (batch, ...)."""
    return torch.as_tensor(values, dtype=torch.float32, device=t.device)[t].view(-1, *[1] * (x.ndim - 1))


def shipped_models() -> list[str]:
    """The names of the models that ship."""
    return sorted(str(file.parent.relative_to(DATA)) for file in DATA.glob("**/model.safetensors"))


def load(name_or_path: str | Path, device: torch.device | str | None = None) -> Model:
    """Load a trained DDPM: one that ships, by name (`digits`, `fashion-mnist/hybrid`), or a file of `Model.save`.

    The checkpoint of a training that was cut off loads too, as the averaged weights of its last save; the model's
    `about` then tells that "step".
    Nothing in the file can run code. The device is CUDA or MPS where there is one, unless another is given.

    Raises FileNotFoundError if there is no such file or name, ValueError if it is truncated or of another kind.
    """
    path = Path(name_or_path)
    if not path.is_file():
        path = DATA / path / "model.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no model file {name_or_path}, nor a shipped model of that name; "
            f"these ship: {', '.join(shipped_models()) or 'none'}."
        )
    tensors, noise, architecture, about = read_tensors(path)
    if "step" in about:  # a training checkpoint: the model as it stood then, `about` says at which step
        tensors = {name.removeprefix("average."): w for name, w in tensors.items() if name.startswith("average.")}
    network = architecture.build()
    network.load_state_dict(tensors)
    return Model(architecture, network, noise, about).to(usable_device(device))

"""A trained network as a denoiser, and the files it is kept in."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ddpm_dp.denoisers import Denoiser, Prediction
from ddpm_dp.files import DATA, fingerprint, write_whole
from ddpm_dp.networks import NETWORKS
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.processes import usable_device

FORMAT = "1"


@dataclass(frozen=True)
class Architecture:
    """Which network, and its size: what is needed to build it again before its weights are loaded."""

    network: str  # a key of NETWORKS
    shape: tuple[int, ...]
    levels: int | None  # grey levels of the data; None: continuous
    width: int
    depth: int
    dropout: float  # share of hidden units silenced while training; none afterwards
    second: str | None = None  # what a second output means: "v", "u" (see `variances.py`), or None

    def build(self) -> torch.nn.Module:
        if self.network not in NETWORKS:
            raise ValueError(f"network = {self.network!r} is not known; expected one of {', '.join(NETWORKS)}.")
        outputs = 1 if self.second is None else 2
        network = NETWORKS[self.network](self.shape, self.levels, self.width, self.depth, self.dropout, outputs)
        return network.to(memory_format=torch.channels_last)  # faster convolutions


class Model(Denoiser):
    """A network that predicts the noise eps in x_t, as a denoiser: xhat_0 = (x_t - sigma_t eps) / alpha_t.

    All data sets lie in [-1, 1], so xhat_0 is clipped to it, as Ho et al. do. That changes m_t (for the better: near
    t = T, 1 / alpha_t blows up the smallest error of eps) and is part of the model from here on.

    A second output y of the network is read as v = sigmoid(y), or as u = sigma_t^2 exp(y): sigma_t^2 = 1 / (1 + snr_t)
    is what the squared error would be if x_0 were white noise.
    """

    def __init__(
        self,
        architecture: Architecture,
        network: torch.nn.Module,
        noise: NoiseSchedule,
        about: dict | None = None,
    ):
        self.architecture, self.noise = architecture, noise
        self.shape, self.levels, self.second = architecture.shape, architecture.levels, architecture.second
        self.about = about or {}
        self.network = network.eval()
        self.dtype = torch.float32

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def to(self, device) -> "Model":
        self.network.to(device)
        return self

    @property
    def id(self) -> str:
        weights = [w.detach().cpu().numpy() for _, w in sorted(self.network.state_dict().items())]
        return fingerprint(self.noise.abar, *weights)

    def images(self, images) -> Tensor:
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

    def outputs(self, network: torch.nn.Module, x_t: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        """eps, and v or u where there is one, of a network of this model's architecture (the one in training, say)."""
        eps, *second = network(x_t, t / self.noise.T).float().tensor_split(1 if self.second is None else 2, 1)
        if self.second == "v":
            return eps, second[0].sigmoid()
        if self.second == "u":
            return eps, at(self.noise.sigma2, t, x_t) * second[0].clamp(-20, 5).exp()  # never 0 or infinite in float32
        return (eps,)

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


def load(name_or_path: str | Path, device=None) -> Model:
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


def write_tensors(
    path: str | Path,
    tensors: dict[str, Tensor],
    noise: NoiseSchedule,
    architecture: Architecture,
    about: dict,
) -> Path:
    """Write named tensors, and all that is needed to build the model around them (training checkpoints too)."""
    header = {"architecture": asdict(architecture), "about": about}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    tensors["noise.abar"] = torch.from_numpy(noise.abar.copy())
    metadata = {"ddpm_dp": FORMAT, "header": json.dumps(header), "sha256": _checksum(tensors)}

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # a full disk, for one
            raise OSError(str(error)) from error

    return write_whole(path, write)


def _checksum(tensors: dict[str, Tensor]) -> str:
    return fingerprint(*(tensors[name].numpy() for name in sorted(tensors)))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], NoiseSchedule, Architecture, dict]:
    """Read what `write_tensors` wrote. Raises ValueError if the file is truncated, of another kind or newer."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole .safetensors file ({error}); copy or train it again.") from error
    if metadata.get("ddpm_dp") == FORMAT and metadata.get("sha256") != _checksum(tensors):
        raise ValueError(
            f"{path} is damaged: its contents have another checksum than when it was written; copy it again."
        )
    if metadata.get("ddpm_dp") != FORMAT:
        raise ValueError(
            f"{path} was not written by this version of ddpm_dp (format {metadata.get('ddpm_dp')}, expected {FORMAT})."
        )
    header = json.loads(metadata["header"])
    size = header["architecture"]
    architecture = Architecture(**size | {"shape": tuple(size["shape"])})
    noise = NoiseSchedule(np.asarray(tensors.pop("noise.abar")))
    return tensors, noise, architecture, header["about"]

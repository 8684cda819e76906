"""Model files: named tensors in .safetensors, which cannot run code, and what it takes to build the network again."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ddpm_dp.files import fingerprint, write_whole
from ddpm_dp.models.architectures import Architecture
from ddpm_dp.noise import NoiseSchedule

FORMAT = "1"


def checksum(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of tensors on the CPU, taken in the order of their names."""
    return fingerprint(*(tensors[name].numpy() for name in sorted(tensors)))


def write_tensors(
    path: str | Path,
    tensors: dict[str, Tensor],
    noise: NoiseSchedule,
    architecture: Architecture,
    about: dict[str, Any],
) -> Path:
    """Write named tensors, and all that is needed to build the model around them (training checkpoints too)."""
    header = {"architecture": asdict(architecture), "about": about}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    tensors["noise.abar"] = torch.from_numpy(noise.abar.copy())
    metadata = {"ddpm_dp": FORMAT, "header": json.dumps(header), "sha256": checksum(tensors)}

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # a full disk, for one
            raise OSError(str(error)) from error

    return write_whole(path, write)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], NoiseSchedule, Architecture, dict[str, Any]]:
    """Read what `write_tensors` wrote. Raises ValueError if the file is truncated, of another kind or newer."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole .safetensors file ({error}); copy or train it again.") from error
    if metadata.get("ddpm_dp") == FORMAT and metadata.get("sha256") != checksum(tensors):
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

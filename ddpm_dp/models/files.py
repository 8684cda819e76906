"""Model files: named tensors in .safetensors, which cannot run code, and what it takes to build the network again.

Format 2. One entry of metadata, `ddpm_dp`, is JSON: format, architecture, about, seal (`files/seal.py`). It is one
because the library writes several in any order. Tensors: `noise.abar`, and the network's weights by their names; in a
training checkpoint, whose `about` has a "step", each of PARTS of every weight, and `second_moment`.
Format 1 still loads. Its checksum was that of the tensors alone.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ddpm_dp.files import fingerprint, schema, seal, write_whole
from ddpm_dp.models.architectures import Architecture
from ddpm_dp.noise import NoiseSchedule

FORMAT = 2
PARTS = ("average.", "weight.", "exp_avg.", "exp_avg_sq.")  # of a training checkpoint: all shaped as the weights are
FLOATS = ("F16", "F32", "F64")
ABAR, MOMENT = "noise.abar", "second_moment"


def checksum(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of tensors on the CPU, taken in the order of their names: what format 1 was checked by."""
    return fingerprint(*(tensors[name].numpy() for name in sorted(tensors)))


def save_sealed(path: str | Path, tensors: Mapping[str, Tensor], kind: str, header: Mapping[str, Any]) -> Path:
    """Write tensors and a JSON header, whole or not at all: the same bytes for the same tensors and header."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {kind: json.dumps({**header, "seal": seal.OPEN}, allow_nan=False)}

    def write(temporary: Path) -> None:
        try:
            save_file(kept, temporary, metadata)
        except SafetensorError as error:  # a full disk, for one
            raise OSError(str(error)) from error
        seal.close(temporary)

    return write_whole(path, write)


class Sealed:
    """An open .safetensors file: its header, and the types and shapes of its tensors before any is read.

    Raises ValueError if the file is not whole, of another kind or format, or has tensors of other types than `types`;
    OSError if it cannot be read.
    """

    def __init__(self, path: Path, kind: str, format: int, types: tuple[str, ...] = FLOATS):
        whole = seal.is_whole(path)
        if whole is False:
            raise ValueError("its checksum is another than when it was written")
        try:
            self._file = safe_open(path, framework="pt")
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        metadata = self._file.metadata() or {}
        found = metadata.get(kind)
        if found is None:
            raise ValueError(f"it has no {kind} in its header: another program wrote it")
        self.old = found == "1"
        if self.old:
            self.header = metadata | {"format": 1}
        else:
            self.header = schema.parsed(found)
            if whole is None or self.header.get("format") != format:
                raise ValueError(f"its format is {self.header.get('format')!r}; expected 1 to {format}, sealed")
        slices = {name: self._file.get_slice(name) for name in self._file.keys()}
        self.types = {name: each.get_dtype() for name, each in slices.items()}
        self.shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
        if wrong := next((name for name, dtype in self.types.items() if dtype not in types), None):
            raise ValueError(f"{wrong} has type {self.types[wrong]}; expected one of {', '.join(types)}")

    def tensors(self) -> dict[str, Tensor]:
        """All of them. Raises ValueError if an old file's are not those that were written."""
        tensors = {name: self._file.get_tensor(name) for name in self.shapes}
        if self.old and self.header.get("sha256") != checksum(tensors):
            raise ValueError("it is damaged: its contents have another checksum than when it was written")
        return tensors


def write_tensors(
    path: str | Path,
    tensors: dict[str, Tensor],
    noise: NoiseSchedule,
    architecture: Architecture,
    about: dict[str, Any],
) -> Path:
    """Write named tensors, and all that is needed to build the model around them (training checkpoints too)."""
    header = {"format": FORMAT, "architecture": asdict(architecture), "about": about}
    return save_sealed(path, tensors | {ABAR: torch.from_numpy(noise.abar.copy())}, "ddpm_dp", header)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], NoiseSchedule, Architecture, dict[str, Any]]:
    """Read what `write_tensors` wrote, once the tensors' shapes are those of the network that the header tells of.

    Raises ValueError if the file is truncated, changed, of another kind or newer; OSError if it cannot be read.
    """
    try:
        file = Sealed(path, "ddpm_dp", FORMAT)
        header = schema.parsed(schema.typed(file.header, "header", str)) if file.old else file.header
        architecture = schema.record(Architecture, header.get("architecture"), "architecture")
        about = _checked_about(header.get("about"))
        _require_shapes(architecture, "step" in about, file.shapes)
        tensors = file.tensors()
        return tensors, NoiseSchedule(np.asarray(tensors.pop(ABAR))), architecture, about
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, SafetensorError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"{path} is not a whole model file of ddpm_dp ({reason}); copy or train it again.") from error


def _checked_about(about: object) -> dict[str, Any]:
    """What a file tells of its training; of its structure only what readers rely on."""
    if not isinstance(about, dict):
        raise ValueError("about is no object")
    for name, kind in {"dataset": str, "data_id": str, "config": dict[str, str | int | float]}.items():
        if name in about:
            schema.typed(about, name, kind)
    if "start" in about:
        start = schema.typed(about, "start", dict[str, Any])
        schema.typed(start, "id", str)
        _checked_about(start)
    if "step" in about:
        schema.whole_from(about, "step", 0, 2**53)
    return about


def _require_shapes(architecture: Architecture, checkpoint: bool, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless a file has the tensors of that network, each of its shape.

    No network is built for that: depth is less than the number of tensors that the file holds, and a tensor on torch's
    device "meta" has a shape and no contents.
    """
    for name in ("width", "depth"):
        schema.whole_from(vars(architecture), name, 1, len(shapes) if name == "depth" else 2**24)
    if architecture.levels is not None:
        schema.whole_from(vars(architecture), "levels", 2, 2**32)
    if not architecture.shape or not all(1 <= length <= 2**16 for length in architecture.shape):
        raise ValueError(f"shape = {architecture.shape}; expected lengths from 1 to {2**16}")
    if not 0 <= architecture.dropout < 1:
        raise ValueError(f"dropout = {architecture.dropout}; expected a number in [0, 1)")
    with torch.device("meta"):
        weights = {name: tuple(w.shape) for name, w in architecture.build().state_dict().items()}
    expected = {f"{part}{name}": shape for part in (PARTS if checkpoint else ("",)) for name, shape in weights.items()}
    if len(shapes.get(ABAR, ())) != 1:
        raise ValueError(f"{ABAR} is missing, or no list")
    expected[ABAR] = shapes[ABAR]
    if checkpoint:
        expected[MOMENT] = (min(shapes[ABAR][0] - 1, 100),)
    if lack := sorted(expected.keys() - shapes.keys()):
        raise ValueError(f"{lack[0]} is missing")
    if more := sorted(shapes.keys() - expected.keys()):
        raise ValueError(f"{more[0][:40]} belongs to another network")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise ValueError(f"{name} has shape {shapes[name]}; expected {shape}")

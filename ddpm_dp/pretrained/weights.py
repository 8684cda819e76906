"""Weights of other people's networks, read so that nothing in a file can run code."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

Weights = str | Path | Mapping[str, Any]


def load_weights(network: nn.Module, weights: Weights) -> None:
    """Put weights, a .pt file or a state dict, into a network. Raises ValueError if they do not fit, or are no weights
    alone; FileNotFoundError if there is no such file."""
    state = _read(weights) if isinstance(weights, (str, Path)) else weights
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = str(error).strip().split("\n")[-1].strip().rstrip(".")
        raise ValueError(f"The weights do not fit the network; check its flags ({reason[:200]}).") from error


def _read(file: str | Path) -> Mapping[str, Any]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(
            f"{file} is not a whole file of weights alone, and nothing else is read; give a state dict."
        ) from error

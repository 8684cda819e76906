"""Which networks there are, and the size of one. Apart from `networks.py`, so that reading the names needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.registry import Registry

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Network:
    """A kind of network: `class_name` is its class in `networks.py`, imported when one is built."""

    name: str
    words: str
    class_name: str

    def build(self, architecture: Architecture) -> torch.nn.Module:
        """One with random weights. Raises ValueError if it cannot have that shape or size."""
        a, kind = architecture, getattr(import_module("ddpm_dp.models.networks"), self.class_name)
        return kind(a.shape, a.levels, a.width, a.depth, a.dropout, a.outputs)


NETWORKS = Registry(
    "network",
    [
        Network("mlp", "residual multilayer perceptron, for points and tiny images", "MLP"),
        Network("unet", "UNet with attention, from 28x28 on", "UNet"),
    ],
)


@dataclass(frozen=True)
class Architecture:
    """Which network, and its size: what is needed to build it again before its weights are loaded.

    Raises ValueError if `second` is no second output.

    >>> Architecture("mlp", (2,), None, width=32, depth=1, dropout=0.0, second="v").outputs
    2
    """

    network: str  # a name in NETWORKS
    shape: tuple[int, ...]
    levels: int | None  # grey levels of the data; None: continuous
    width: int
    depth: int
    dropout: float  # share of hidden units silenced while training; none afterwards
    second: str | None = None  # a name in `outputs.OUTPUTS`: what a second output means; None: there is none

    def __post_init__(self) -> None:
        if self.second is not None:
            OUTPUTS.named(self.second)

    @property
    def outputs(self) -> int:
        """How many tensors of x_t's shape the network answers: eps, and a second output where there is one."""
        return 1 if self.second is None else 2

    def weights(self) -> float:
        """How many numbers the network is trained to: counted without making it, in time and memory of a small one.

        Raises ValueError as `build` does.

        >>> Architecture("mlp", (2,), None, width=32, depth=10**9, dropout=0.0).weights() > 1e12
        True
        """
        import torch

        def count(depth: int) -> float:
            with torch.device("meta"):  # shapes without numbers
                try:
                    network = NETWORKS.named(self.network).build(replace(self, depth=depth))
                except RuntimeError:  # more than 2^63 of them
                    return math.inf
            return sum(each.numel() for each in network.parameters())

        one = count(1)
        return one if self.depth == 1 or one == math.inf else one + (self.depth - 1) * (count(2) - one)

    def build(self) -> torch.nn.Module:
        """The network, with random weights.

        Raises ValueError if there is no network of that name, or it cannot have that shape or size.
        """
        import torch

        network = NETWORKS.named(self.network).build(self)
        # faster convolutions; torch's own stubs do not know this argument
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

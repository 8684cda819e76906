"""One process, or several that a launcher started: `accelerate launch`, torchrun, Slurm, `notebook_launcher`.

Devices, communication, mixed precision and DDP are Hugging Face Accelerate's; a process that is alone needs none of it.
`docs/many_machines.md` tells how to launch.
"""

import os
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def launched() -> bool:
    """Whether a launcher started this process: all of them say WORLD_SIZE, or `accelerate launch` its precision."""
    return "WORLD_SIZE" in os.environ or "ACCELERATE_MIXED_PRECISION" in os.environ


def usable_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name; None: CUDA or Apple's MPS when there is one, the CPU otherwise.

    Several processes are each given a GPU of their own. Raises ValueError if there is no such device here.
    """
    if launched() and str(name) != "cpu" and torch.cuda.is_available():
        return _accelerate().PartialState().device
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device = {str(name)!r} cannot be used here; expected cpu, or cuda or mps where there is one."
        ) from error


def _accelerate() -> ModuleType:
    try:
        import accelerate
    except ImportError as error:
        raise ImportError(
            "Accelerate, which launched processes need, is not installed here; run: pip install 'ddpm-dp[distributed]'"
        ) from error
    return accelerate


class Processes:
    """All the processes of a job, as seen from one of them, number `rank` of `size`.

    Every method but `prepare` and `autocast` must be called by all of them, in the same order.
    Raises ImportError if a launcher started this process and Accelerate is not installed, ValueError if the processes
    cannot work together.
    """

    def __init__(self, device: torch.device):
        self.rank, self.size, self.device = 0, 1, device
        self._accelerator: Any = None  # alone
        if launched():
            self._accelerator = _accelerate().Accelerator(cpu=device.type == "cpu")
            self.rank, self.size = self._accelerator.process_index, self._accelerator.num_processes
            started = int(os.environ.get("WORLD_SIZE", 1))
            if self.size != started:  # else each would do, and write, the whole job
                raise ValueError(
                    f"A launcher started {started} processes, but on {device.type} Accelerate finds {self.size}; give "
                    "every process a GPU, or all of them device='cpu'."
                )

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes have come here: before what one of them wrote is read by the others."""
        if self._accelerator:
            self._accelerator.wait_for_everyone()

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors."""
        return self._accelerator.reduce(tensor, "sum") if self.size > 1 else tensor

    def largest(self, tensor: Tensor) -> Tensor:
        """The largest of all processes' tensors, entry by entry."""
        return self._accelerator.reduce(tensor, "max") if self.size > 1 else tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """All processes' tensors, one after the other along dimension 0."""
        return self._accelerator.gather(tensor) if self.size > 1 else tensor

    def prepare(self, network: torch.nn.Module) -> torch.nn.Module:
        """The network to call while training: its gradients are then the mean over all processes (DDP)."""
        return self._accelerator.prepare_model(network) if self._accelerator else network

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision for training: as the launcher was told; alone, bf16 on CUDA. (On a CPU it saves nothing.)"""
        if self._accelerator:
            return self._accelerator.autocast()
        return torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda")

"""The whole state of a training in a file, so that a run that was cut off goes on as if nothing had happened."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ddpm_dp.models.files import read_tensors, write_tensors
from ddpm_dp.models.trained import Model
from ddpm_dp.training.timesteps import Timesteps

MOMENTS = ("exp_avg", "exp_avg_sq")  # what AdamW remembers of each weight's gradients; see PARTS in models/files.py


@dataclass(frozen=True)
class State:
    """What changes while training: `model` has the averaged weights, `network` those that gradients change."""

    model: Model
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    timesteps: Timesteps

    def save(self, path: str | Path, step: int) -> None:
        """Write it, whole or not at all, as it is after `step` steps. Raises OSError if it cannot be written."""
        tensors = {"second_moment": self.timesteps.second_moment}
        tensors |= {f"average.{name}": w for name, w in self.model.network.state_dict().items()}
        for name, weight in self.network.named_parameters():
            tensors[f"weight.{name}"] = weight
            for moment in MOMENTS:
                tensors[f"{moment}.{name}"] = self.optimizer.state[weight][moment]
        write_tensors(path, tensors, self.model.noise, self.model.architecture, self.model.about | {"step": step})

    def restore(self, path: Path) -> int:
        """Put the state of a file where it belongs; return how many steps it has behind it.

        Raises ValueError if it is not a checkpoint of this run.
        """
        tensors, _, architecture, about = read_tensors(path)
        step = about.pop("step", None)
        if step is None or (architecture, about) != (self.model.architecture, self.model.about):
            raise ValueError(
                f"{path} is not a checkpoint of this run (another data set, configuration or seed); "
                "give the same settings to go on, or another file to start anew."
            )
        average = self.model.network
        average.load_state_dict({name: tensors[f"average.{name}"] for name in average.state_dict()})
        self.timesteps.second_moment.copy_(tensors["second_moment"])
        with torch.no_grad():
            for name, weight in self.network.named_parameters():
                weight.copy_(tensors[f"weight.{name}"])
                self.optimizer.state[weight] = {"step": torch.tensor(float(step), device=weight.device)} | {
                    moment: tensors[f"{moment}.{name}"].to(weight.device) for moment in MOMENTS
                }
        return step

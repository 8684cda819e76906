"""What to train, in numbers, with a reason beside each. Reading it needs no torch."""

from dataclasses import dataclass

from ddpm_dp.checks import whole
from ddpm_dp.models.architectures import NETWORKS
from ddpm_dp.noise import SCHEDULES, NoiseSchedule
from ddpm_dp.training.losses import LOSSES

# What the numbers are, for the command line.
WORDS = {
    "T": "how many timesteps",
    "width": "units of a layer, or channels of the UNet's first level",
    "depth": "layers, or residual blocks of the UNet at each resolution",
    "dropout": "the share of units left out at each step",
    "steps": "optimiser steps",
    "batch_size": "images in a step",
    "learning_rate": "its peak",
    "weight_decay": "AdamW's",
    "ema": "decay of the weights' moving average, which is what is kept",
    "seed": "of the first weights, the batches and the noise",
}


@dataclass(frozen=True)
class TrainConfig:
    """What to train and for how long. The defaults suit the 8x8 digits: 1 to 4 minutes on two CPU cores.

    Raises ValueError for a name that is not known, or a number that makes no sense.

    >>> TrainConfig(loss="hybrid").noise().T
    1000
    """

    T: int = 1000
    schedule: str = "cosine"  # or "linear"; cosine keeps signal for longer, which small images want (Nichol & Dhariwal)
    network: str = "mlp"  # "unet" from 28x28 on
    width: int = 256
    depth: int = 3
    dropout: float = 0.1  # 1,437 digits are soon learned by heart: held-out bits/dim would rise again without it
    loss: str = "simple"  # "hybrid" and "vlb" train v too, "predicted" and "ocm" train u (see `losses.py`)
    steps: int = 6000  # optimiser steps
    batch_size: int = 128
    learning_rate: float = 2e-3  # peak: warmed up over the first 100 steps, then a cosine down to 0
    weight_decay: float = 0.0
    ema: float = 0.999  # decay of the weights' moving average, which is what is kept
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"T": 2, "steps": 1, "batch_size": 1, "width": 1, "depth": 1, "seed": 0}.items():
            # numpy's integers become plain ones, which JSON can hold: a model's file tells how it was trained
            most = 2**33 if name == "seed" else None  # training makes seeds of 64 bits of it, one for each step
            object.__setattr__(self, name, whole(getattr(self, name), name, least, most))
        if not (0 <= self.dropout < 1 and 0 <= self.ema < 1 and 0 < self.learning_rate < float("inf")):
            raise ValueError(
                f"dropout = {self.dropout}, ema = {self.ema}, learning_rate = {self.learning_rate}; expected the first "
                "two in [0, 1), and a learning rate above 0."
            )
        NETWORKS.named(self.network)
        LOSSES.named(self.loss)
        self.noise()  # a schedule may want more timesteps

    def noise(self) -> NoiseSchedule:
        """The noise schedule of that name with T timesteps."""
        return SCHEDULES.named(self.schedule).make(self.T)

"""What to train, in numbers, with a reason beside each. Apart from `training.py` so that reading it needs no torch."""

from dataclasses import dataclass

from ddpm_dp.noise import NoiseSchedule


@dataclass(frozen=True)
class TrainConfig:
    """What to train and for how long. The defaults suit the 8x8 digits: 1 to 4 minutes on two CPU cores."""

    T: int = 1000
    schedule: str = "cosine"  # or "linear"; cosine keeps signal for longer, which small images want (Nichol & Dhariwal)
    network: str = "mlp"  # "unet" from 28x28 on
    width: int = 256
    depth: int = 3
    dropout: float = 0.1  # 1,437 digits are soon learned by heart: held-out bits/dim would rise again without it
    loss: str = "simple"  # "hybrid" and "vlb" train v too, "predicted" trains u (see `training.py`)
    steps: int = 6000  # optimiser steps
    batch_size: int = 128
    learning_rate: float = 2e-3  # peak: warmed up over the first 100 steps, then a cosine down to 0
    weight_decay: float = 0.0
    ema: float = 0.999  # decay of the weights' moving average, which is what is kept
    seed: int = 0

    def __post_init__(self):
        for name, least in {"steps": 1, "batch_size": 1, "width": 1, "depth": 1, "seed": 0}.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} = {value!r}; expected a whole number, {least} or more.")
        if not (0 <= self.dropout < 1 and 0 <= self.ema < 1 and 0 < self.learning_rate < float("inf")):
            raise ValueError("dropout and ema must lie in [0, 1), and learning_rate must be a number above 0.")

    def noise(self) -> NoiseSchedule:
        makers = {"cosine": NoiseSchedule.cosine, "linear": NoiseSchedule.linear}
        if self.schedule not in makers:
            raise ValueError(f"schedule = {self.schedule!r} is not known; expected one of {', '.join(makers)}.")
        return makers[self.schedule](self.T)

"""A training that takes a second, and how to compare what comes out."""

import torch

from ddpm_dp import TrainConfig

TINY = TrainConfig(T=50, steps=60, width=16, depth=1, batch_size=32)


def weights(model):
    return torch.cat([w.flatten() for w in model.network.state_dict().values()])

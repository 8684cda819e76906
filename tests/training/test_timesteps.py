import math

import torch

from ddpm_dp.training.timesteps import Timesteps


def test_importance_sampling_is_unbiased_and_looks_where_losses_are_large():
    T, n = 250, 200_000
    torch.manual_seed(0)
    timesteps = Timesteps(T, importance=True, device="cpu")
    losses = torch.exp(-torch.arange(T + 1) / 40.0)
    for _ in range(200):
        t, _ = timesteps.draw(256)
        timesteps.update(t, losses[t])
    t, weights = timesteps.draw(n)
    assert t.min() == 1 and t.max() == T
    estimate, error = (weights * losses[t]).mean(), (weights * losses[t]).std() / math.sqrt(n)
    assert abs(estimate - losses[1:].mean()) < 4 * error
    uniform = losses[torch.randint(1, T + 1, (n,))].std() / math.sqrt(n)
    assert error < 0.3 * uniform  # the point of it

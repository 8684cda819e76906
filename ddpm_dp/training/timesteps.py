"""Which timesteps a step of training looks at."""

import torch
from torch import Tensor


class Timesteps:
    """Which timesteps a step of training looks at, and the weight 1 / (T p_t) that keeps the loss unbiased.

    Uniform, or for L_vlb with p_t proportional to sqrt(E L_t^2) (Nichol & Dhariwal 2021, section 3.3): its terms differ
    by orders of magnitude. The second moment is a running mean over 100 equal parts of 1..T: theirs, over the last ten
    losses of every single t, would take a small model's whole training to fill.

    >>> t, weights = Timesteps(1000, importance=False, device="cpu").draw(3)
    >>> weights
    tensor([1., 1., 1.])
    """

    def __init__(self, T: int, importance: bool, device: torch.device | str):
        self.T, self.importance = T, importance
        self.second_moment = torch.ones(min(T, 100), device=device)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """n timesteps and their weights, both (n,)."""
        device = self.second_moment.device
        if not self.importance:
            return torch.randint(1, self.T + 1, (n,), device=device), torch.ones(n, device=device)
        parts = len(self.second_moment)
        p = self.second_moment.sqrt()
        p = 0.99 * p / p.sum() + 0.01 / parts  # never blind to a part
        part = torch.multinomial(p, n, replacement=True)
        t = 1 + ((part + torch.rand(n, device=device)) * self.T / parts).long().clamp(max=self.T - 1)
        return t, 1 / (parts * p[part])

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Take the losses (n,) of timesteps t (n,) into the running second moment."""
        part = (t - 1) * len(self.second_moment) // self.T
        seen = torch.zeros_like(self.second_moment).index_add_(0, part, torch.ones_like(losses))
        total = torch.zeros_like(self.second_moment).index_add_(0, part, losses**2)
        mean = torch.where(seen > 0, total / seen.clamp(min=1), self.second_moment)
        self.second_moment.lerp_(mean, 0.1)

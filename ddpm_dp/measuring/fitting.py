"""Fitting a score (`variances/scores.py`) to errors of training images, and pricing what it sorts."""

import numpy as np
import torch
from torch import Tensor

from ddpm_dp.processes import Processes
from ddpm_dp.variances.scores import BINS, FEATURES, FINEST, Score, Weights

# Of a frequency's mean energy, added to each: of errors of 0 a score of -inf would be the likeliest. (With 0.01 digits
# at 16 steps cost 0.007 bits/dim more; with 0.1 long steps of Tiny ImageNet 0.006 bits.)
FLOOR = 0.03
RIDGE = 1e-4  # features that never change (the contrast of a point) get no slope
ROUNDS = 2  # with 5, a held-out coefficient of Tiny ImageNet costs 0.0002 bits less at delta m_t = 1, 0.002 at 100
TINY = float(np.finfo(np.float64).tiny)


class ScoreFit:
    """The weights under which errors are likeliest, errors being Gaussian with the variance exp(score).

    Their negative log-likelihood is half the sum of score + e^2 / exp(score), convex in the weights. With the best
    constants, log(mean of e^2 / exp(score without constant)), it is half the sum of those. Slopes begin with least
    squares of log e^2 and go on by Fisher's scoring, whose rounds all solve with the same matrix; where a step does not
    help, the next is half as long.

    Args:
        score: what is fitted.
        kept: pairs of features (channels, frequencies, n, FEATURES) and e^2 (channels, frequencies, n), in float64.
        m: m_t of all images, on the device of what is kept.
        processes: those whose errors are fitted together; each may have some, or none.
    """

    def __init__(self, score: Score, kept: list[tuple[Tensor, Tensor]], m: Tensor, processes: Processes):
        self.score, self.processes = score, processes
        self.band = torch.from_numpy(score.basis.bands.ravel()).to(m.device)
        none = torch.zeros((score.channels, len(self.band), 0, FEATURES), dtype=torch.float64, device=m.device)
        self.features = torch.cat([none, *(features for features, _ in kept)], 2)
        self.ratio = torch.cat([none[..., 0], *(energies for _, energies in kept)], 2) / m.clamp(min=TINY)
        self.count = processes.total(torch.tensor(float(self.ratio.shape[2]), dtype=torch.float64, device=m.device))

    def weights(self) -> list[Weights]:
        """Before and after the rounds: those of the likelihood sort better, but where a few errors are far off."""
        centre = self._mean(self.features)
        features = self.features - centre[:, :, None]
        ratio = self.ratio + FLOOR * self._mean(self.ratio)[..., None] + TINY
        gram = self.processes.total(features.mT @ features) / self.count
        matrix = self._of_bands(gram + RIDGE * torch.eye(FEATURES).to(gram))

        def slopes_of(y: Tensor) -> Tensor:
            """(channels, bands, FEATURES) least squares of y, each frequency having a constant of its own."""
            right = self.processes.total((features.mT @ y[..., None])[..., 0]) / self.count
            return torch.linalg.solve(matrix, self._of_bands(right))

        def guessed(slopes: Tensor) -> tuple[Tensor, Tensor]:
            """The best constants (channels, frequencies), and the scores under them."""
            guess = (features @ slopes[:, self.band][..., None])[..., 0]
            constants = self._mean(ratio * (-guess).exp()).log()
            return constants, guess + constants[..., None]

        def kept(slopes: Tensor) -> Weights:
            """Rounded, slopes first: the constants make up for what they lose."""
            rounded = (slopes * FINEST).round() / FINEST
            constants = guessed(rounded)[0] - (rounded[:, self.band] * centre).sum(-1)
            return Weights(constants.unflatten(1, self.score.basis.block), rounded).rounded()

        slopes = slopes_of(ratio.log())
        constants, guess = guessed(slopes)
        found, size = [kept(slopes)], torch.ones_like(slopes[..., :1])
        for _ in range(ROUNDS):
            tried = slopes + size * slopes_of(ratio * (-guess).exp())
            new, new_guess = guessed(tried)
            better = (self._of_bands(new) < self._of_bands(constants))[..., None]
            slopes, size = torch.where(better, tried, slopes), torch.where(better, size, size / 2)
            here = better[:, self.band]
            constants, guess = torch.where(here[..., 0], new, constants), torch.where(here, new_guess, guess)
        return [*found, kept(slopes)]

    def price(self, weights: Weights) -> float:
        """What steps with delta m_t = 1, 10, 100 cost these images, all three together."""
        slopes, constants = (each.to(self.features) for each in (weights.slopes[:, self.band], weights.constants))
        guess = (self.features @ slopes[..., None])[..., 0] + constants.flatten(1)[..., None]
        mass, error = self.processes.total(in_cells(self.score.place(guess), self.ratio, BINS))
        ratio = error / mass.clamp(min=1) / (error.sum() / mass.sum()).clamp(min=TINY)
        return sum((mass * (delta * ratio).log1p()).sum().item() for delta in (1, 10, 100))

    def _mean(self, values: Tensor) -> Tensor:
        """(channels, frequencies, n, ...) -> (channels, frequencies, ...), over all processes."""
        return self.processes.total(values.sum(2)) / self.count

    def _of_bands(self, values: Tensor) -> Tensor:
        """(channels, frequencies, ...) -> (channels, bands, ...), sums."""
        sums = values.new_zeros((len(values), self.score.bands, *values.shape[2:]))
        return sums.index_add_(1, self.band, values)


def in_cells(cells: Tensor, energies: Tensor, count: int) -> Tensor:
    """(2, count) how many coefficients each cell has, and the sum of their squares, in float64."""
    cells, energies = cells.flatten(), energies.flatten()
    mass = torch.bincount(cells, minlength=count).double()  # to count is faster than to add up
    return torch.stack([mass, torch.bincount(cells, energies.double(), count)])

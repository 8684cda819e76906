"""Fitting a score (`variances/scores.py`) to errors of training images, and pricing what it sorts."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ddpm_dp.processes import Processes
from ddpm_dp.variances.scores import BINS, FEATURES, Guess, Score, Weights

# Of a frequency's mean energy, added to each: of errors of 0 a score of -inf would be the likeliest. (With 0.01 digits
# at 16 steps cost 0.007 bits/dim more; with 0.1 long steps of Tiny ImageNet 0.006 bits.)
FLOOR = 0.03
RIDGE = 1e-4  # features that never change (the contrast of a point) get no slope
ROUNDS = 5  # with 2, a held-out coefficient of Tiny ImageNet costs 0.0002 bits more at delta m_t = 1, 0.0005 at 100
NOTHING = 1e-20  # of m_t, added where all errors of a frequency are 0
TINY = float(np.finfo(np.float64).tiny)


class ScoreFit:
    """The weights under which errors are likeliest, errors being Gaussian with the variance exp(score).

    Their negative log-likelihood is half the sum of score + e^2 / exp(score), convex in the weights. With the best
    constants, log(mean of e^2 / exp(score without constant)), it is half the sum of those. Slopes begin with least
    squares of log e^2 and go on by Fisher's scoring, whose rounds all solve with the same matrix; where a step does not
    help, the next is half as long.

    Args:
        score: what is fitted.
        features: (channels, frequencies, FEATURES, n), as `evidence` gives them; they are changed.
        energies: (channels, frequencies, n) e^2.
        m: m_t of all images, in float64, on the device of what is kept.
        processes: those whose errors are fitted together; each may have some, or none.
    """

    def __init__(self, score: Score, features: Tensor, energies: Tensor, m: Tensor, processes: Processes):
        self.score, self.processes = score, processes
        self.band = torch.from_numpy(score.basis.bands.ravel()).to(m.device)
        self.ratio = (energies.double() / m.clamp(min=TINY)).to(features)
        self.count = processes.total(torch.tensor(float(energies.shape[2]), dtype=torch.float64, device=m.device))
        self.centre = self._mean(features)
        self.features = features.sub_(self.centre[..., None].to(features))  # in place: they are many

    @cached_property
    def _floored(self) -> Tensor:
        return self.ratio + (FLOOR * self._mean(self.ratio)[..., None] + NOTHING).to(self.ratio)

    @cached_property
    def _matrix(self) -> Tensor:
        """(channels, bands, FEATURES, FEATURES) what all rounds solve with."""
        gram = self.processes.total((self.features @ self.features.mT).double()) / self.count
        return self._of_bands(gram + RIDGE * torch.eye(FEATURES).to(gram))

    def _slopes_of(self, y: Tensor) -> Tensor:
        """(channels, bands, FEATURES) least squares of y, each frequency having a constant of its own."""
        # This way round: a row times a matrix takes a tenth of the time of a matrix times a column.
        right = self.processes.total((y[:, :, None] @ self.features.mT)[:, :, 0].double()) / self.count
        return torch.linalg.solve(self._matrix, self._of_bands(right))

    def _guessed(self, slopes: Tensor) -> tuple[Tensor, Tensor]:
        """The best constants (channels, frequencies), and the scores under them."""
        guess = (slopes[:, self.band, None].to(self.features) @ self.features)[:, :, 0]
        constants = self._mean(self._floored * (-guess).exp()).log()
        return constants, guess + constants[..., None].to(guess)

    def _kept(self, slopes: Tensor) -> Weights:
        """Rounded, slopes first: the constants make up for what they lose."""
        rounded = Weights(slopes, slopes).rounded().slopes.to(slopes)
        constants = self._guessed(rounded)[0] - (rounded[:, self.band] * self.centre).sum(-1)
        return Weights(constants.unflatten(1, self.score.basis.block), rounded).rounded()

    @cached_property
    def _first(self) -> Tensor:
        return self._slopes_of(self._floored.log())

    @cached_property
    def least_squares(self) -> Weights:
        """Those before the rounds: where a few errors are far off, they sort better."""
        return self._kept(self._first)

    @cached_property
    def price(self) -> float:
        """What these images cost under least squares."""
        return self.price_of(self.least_squares)

    @cached_property
    def weights(self) -> Weights:
        """Those under which these images are cheaper, before or after the rounds."""
        likeliest = self.likeliest
        return likeliest if self.price_of(likeliest) < self.price else self.least_squares

    @property
    def likeliest(self) -> Weights:
        """Those after the rounds."""
        slopes, size = self._first, torch.ones_like(self._first[..., :1])
        constants, guess = self._guessed(slopes)
        for _ in range(ROUNDS):
            tried = slopes + size * self._slopes_of(self._floored * (-guess).exp())
            new, new_guess = self._guessed(tried)
            better = (self._of_bands(new) < self._of_bands(constants))[..., None]
            slopes, size = torch.where(better, tried, slopes), torch.where(better, size, size / 2)
            here = better[:, self.band]
            constants, guess = torch.where(here[..., 0], new, constants), torch.where(here, new_guess, guess)
        return self._kept(slopes)

    def price_of(self, weights: Weights) -> float:
        """What steps with delta m_t = 1, 10, 100 cost these images, all three together."""
        slopes = weights.slopes[:, self.band]
        constants = weights.constants.flatten(1) + (slopes * self.centre).sum(-1)
        guess = (slopes[:, :, None].to(self.features) @ self.features)[:, :, 0] + constants[..., None].to(self.features)
        mass, error = self.processes.total(in_cells(self.score.place(guess), self.ratio, BINS))
        ratio = error / mass.clamp(min=1) / (error.sum() / mass.sum()).clamp(min=TINY)
        return sum((mass * (delta * ratio).log1p()).sum().item() for delta in (1, 10, 100))

    def _mean(self, values: Tensor) -> Tensor:
        """(channels, frequencies, ..., n) -> (channels, frequencies, ...), over all processes, in float64."""
        return self.processes.total(values.sum(-1, dtype=torch.float64)) / self.count

    def _of_bands(self, values: Tensor) -> Tensor:
        """(channels, frequencies, ...) -> (channels, bands, ...), sums."""
        sums = values.new_zeros((len(values), self.score.bands, *values.shape[2:]))
        return sums.index_add_(1, self.band, values)


def evidence(score: Score, guess: Guess, error: Tensor) -> tuple[Tensor, Tensor]:
    """What a score is fitted to: features (channels, frequencies, FEATURES, n) and e^2 (channels, frequencies, n).

    `error`: x_0 - xhat_0 as (channels, height, width, n).
    """
    channels, down, height, across, width = score.layout
    n = error.shape[-1]
    features = error.new_empty((channels, height, width, FEATURES, down, across, n))
    for place, feature in zip(features.unbind(3), score.features(guess), strict=True):
        place.copy_(score.by_frequency(feature))
    energies = score.by_frequency(score.energies(error))
    many = down * across * n
    return features.view(channels, height * width, FEATURES, many), energies.reshape(channels, height * width, many)


def in_cells(cells: Tensor, energies: Tensor, count: int) -> Tensor:
    """(2, count) how many coefficients each cell has, and the sum of their squares, in float64."""
    cells, energies = cells.flatten(), energies.flatten()
    mass = torch.bincount(cells, minlength=count).double()  # to count is faster than to add up
    return torch.stack([mass, torch.bincount(cells, energies.double(), count)])

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ddpm_dp.gaussians import discretised_log_likelihood, normal_kl, normal_log_likelihood

RNG = torch.Generator().manual_seed(0)


def uniform(low, high, n=50):
    return low + (high - low) * torch.rand(n, generator=RNG, dtype=torch.float64)


def test_kl_and_density_are_those_of_torch_distributions():
    m1, m2, v1, v2 = uniform(-2, 2), uniform(-2, 2), uniform(0.01, 4), uniform(0.01, 4)
    torch.testing.assert_close(normal_kl(m1, v1, m2, v2), kl_divergence(Normal(m1, v1.sqrt()), Normal(m2, v2.sqrt())))
    torch.testing.assert_close(normal_log_likelihood(m1, m2, v2), Normal(m2, v2.sqrt()).log_prob(m1))


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("std", [1e-3, 0.05, 3.0])
def test_masses_of_all_levels_sum_to_one(levels, std):
    x = torch.linspace(-1, 1, levels, dtype=torch.float64)[:, None]
    mean = torch.tensor([-1.7, -1.0, -0.03, 0.5, 1.0], dtype=torch.float64)
    mass = discretised_log_likelihood(x, mean, torch.tensor(std, dtype=torch.float64) ** 2, levels).exp()
    torch.testing.assert_close(mass.sum(0), torch.ones(5, dtype=torch.float64))


def test_mass_of_a_bin_is_a_difference_of_cumulative_probabilities():
    x = torch.tensor(2 * 5 / 16 - 1, dtype=torch.float64)
    normal = Normal(torch.tensor(-0.3, dtype=torch.float64), torch.tensor(0.2, dtype=torch.float64))
    expected = (normal.cdf(x + 1 / 16) - normal.cdf(x - 1 / 16)).log()
    torch.testing.assert_close(discretised_log_likelihood(x, normal.mean, normal.variance, 17), expected)


@pytest.mark.parametrize("distance", [20.0, 40.0, 200.0])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_far_tails_are_exact_not_floored(distance, side):
    """log of the mass between a and b standard deviations out: the asymptotic log phi(a) - log a, to 1 / a^2."""
    half, std = 1 / 255, 1 / 255
    x, mean = torch.tensor(side * 11 / 255, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    mean = x + side * (distance * std + half)
    value = discretised_log_likelihood(x, mean, torch.tensor(std, dtype=torch.float64) ** 2, 256).item()
    assert value == pytest.approx(
        -(distance**2) / 2 - math.log(distance) - 0.5 * math.log(2 * math.pi), abs=distance**-2
    )

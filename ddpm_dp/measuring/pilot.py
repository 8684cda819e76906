"""How many images a standard error asks for: told from a small pilot run."""

import math

from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.statistics import DenoisingStatistics

# So many images at so many timesteps (in batches that several processes can share), and a margin beside: their 32
# groups know a standard error to 1/8 of itself, so the number of images to 1/4.
IMAGES, TIMESTEPS, BATCH, MARGIN = 128, 32, 16, 1.25


def images_needed(pilot: DenoisingStatistics, standard_error: float, at_most: int) -> int:
    """How many images know the price of all T steps (`analytic` variance) to `standard_error` bits/dim.

    A standard error falls with the root of the number of images.
    """
    price = step_costs(pilot, "analytic", "analytic").of(range(pilot.T + 1))
    times = float(bits_per_dim(price.standard_error, pilot.d)) / standard_error  # its square may be infinite
    return max(pilot.n, math.ceil(min(MARGIN * pilot.n * times * times, at_most)))

"""measuring/decoding.py: the places between which errors are shared out."""

import pytest
import torch

from ddpm_dp.measuring.decoding import FURTHEST, Prices


@pytest.mark.parametrize("levels", [2, 17, 256, 65536])
def test_an_error_lies_between_its_two_places(levels):
    """Sizes of all parts, their ends, and the places themselves: as a search among the places finds them.

    A logarithm that is wrong by 1e-15 of itself, 7 or less, moves a size by 1e-12 of the distance of two places.
    """
    prices, width = Prices.of(levels, -10.0, 2, torch.device("cpu")), 2 / (levels - 1)
    rng = torch.Generator().manual_seed(0)
    spans = (2 * width, 4.0, FURTHEST)
    size = torch.cat([span * torch.rand(5000, dtype=torch.float64, generator=rng) for span in spans])
    size = torch.cat([size, prices.place, torch.tensor([0.0, 2 * width, 4.0, FURTHEST], dtype=torch.float64)])
    size = size[size <= FURTHEST]
    left, share = prices.find(torch.zeros_like(size), size)
    place = prices.place
    assert (share > -1e-12).all() and (share < 1 + 1e-12).all()
    torch.testing.assert_close((1 - share) * place[left] + share * place[left + 1], size, rtol=1e-12, atol=1e-15)
    searched = (torch.searchsorted(place, size, right=True) - 1).clamp(0, len(place) - 2)
    other = left != searched  # on a place, rounding may choose either side
    assert ((left - searched).abs() <= 1).all() and (torch.minimum(share, 1 - share)[other].abs() < 1e-12).all()

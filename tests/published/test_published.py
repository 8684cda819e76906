"""What every published method owes: paths of exactly K steps, the same again, and a sentence for what does not fit."""

import numpy as np
import pytest

from ddpm_dp import MixtureDenoiser, NoiseSchedule, as_path
from ddpm_dp.published import PUBLISHED

MEANS = np.array([[0.5, -0.2], [-0.4, 0.3], [0.1, 0.6]])


def data(n=40):
    rng = np.random.default_rng(0)
    return MEANS[np.arange(n) % 3] + 0.1 * rng.standard_normal((n, 2))


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("noise", [NoiseSchedule.linear(1000), NoiseSchedule.cosine(4000), NoiseSchedule.cosine(9)])
def test_paths_of_exactly_K_steps(name, noise):
    denoiser = MixtureDenoiser(noise, MEANS, std=0.1)
    budgets = [1, 2, 5, 8]
    first, again = (PUBLISHED[name].paths(denoiser, data(), budgets, progress=False) for _ in range(2))
    assert [*first] == budgets
    for K, path in first.items():
        assert len(as_path(path, noise.T)) == K + 1 and path.tolist() == again[K].tolist()


@pytest.mark.parametrize("name", PUBLISHED)
def test_all_timesteps_leave_no_choice(name):
    denoiser = MixtureDenoiser(NoiseSchedule.cosine(6), MEANS, std=0.1)
    assert PUBLISHED[name].paths(denoiser, data(), [6], progress=False)[6].tolist() == list(range(7))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_terminal_snr_of_0_is_no_trouble(name):
    abar = np.append(NoiseSchedule.cosine(50).abar[:-1], 0)
    denoiser = MixtureDenoiser(NoiseSchedule(abar), MEANS, std=0.1)
    path = PUBLISHED[name].paths(denoiser, data(), [4], progress=False)[4]
    assert len(as_path(path, 50)) == 5


@pytest.mark.parametrize("name", PUBLISHED)
def test_refusals(name):
    denoiser = MixtureDenoiser(NoiseSchedule.cosine(6), MEANS, std=0.1)
    with pytest.raises(ValueError, match="K = 7 steps; expected a whole number from 1 to 6"):
        PUBLISHED[name].paths(denoiser, data(), [4, 7])
    with pytest.raises(ValueError, match="were given"):
        PUBLISHED[name].paths(denoiser, data()[:, :1], [4])


def test_steps_go_where_the_data_are():
    """Three points 0.05 wide, a unit apart: noise between those lengths decides, and methods that look at the model put
    most steps there; log-SNR steps do not."""
    noise = NoiseSchedule.cosine(1000)
    denoiser = MixtureDenoiser(noise, MEANS, std=0.05)
    sigma = noise.sigma / noise.alpha
    for name in ("align-your-steps", "gits"):
        path = PUBLISHED[name].paths(denoiser, data(), [8], progress=False)[8]
        between = (sigma[path[1:]] > 0.02) & (sigma[path[1:]] < 5)
        assert between.sum() >= 5, (name, sigma[path])

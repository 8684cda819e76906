"""The reverse variances that need a second output of the network: `learned` (v) and `predicted` (u)."""

import math

import numpy as np
import pytest
import torch

from ddpm_dp import (
    DenoisingStatistics,
    MixtureDenoiser,
    NoiseSchedule,
    Prediction,
    measure,
    negative_elbo,
    sample,
    solve,
    step_costs,
)
from ddpm_dp.variances import FAMILIES, step_nats
from tests.conftest import draw
from tests.variances.small import TwoHeaded


@pytest.fixture(scope="module", params=["learned", "predicted"])
def case(request):
    denoiser = TwoHeaded(FAMILIES[request.param].output)
    points = draw(denoiser, 2000, seed=1)
    return request.param, denoiser, points, measure(denoiser, points, progress=False)


@pytest.mark.parametrize("path", [[0, 1, 100], [0, 2, 30, 31, 100], list(range(0, 101, 5))])
def test_price_is_the_elbo_simulated_directly(case, path):
    variance, denoiser, points, statistics = case
    direct = negative_elbo(denoiser, points, path, variance=variance, decoder="fixed", seed=3).sum(1)
    price = step_costs(statistics, variance, "fixed").of(path)
    error = math.hypot(price.standard_error, direct.std() / math.sqrt(len(direct)))
    assert abs(direct.mean() - price.total) < 3 * error
    # The errors are of one size: that of the histogram's price takes the second outputs of all groups to be alike,
    # shares its noise between timesteps, and comes from 32 groups with heavy tails. A factor d or sqrt(n) would show.
    assert 1 / 3 < price.standard_error / (direct.std() / math.sqrt(len(direct))) < 3


def test_histogram_error_is_within_its_bound(case):
    """Every L(t, s) of a table against the sum over coordinates, image by image, on the very same draws."""
    variance, denoiser, points, _ = case
    few = points[:20]
    statistics = measure(denoiser, few, progress=False)
    costs, noise = step_costs(statistics, variance), denoiser.noise
    eps = np.stack([np.random.Generator(np.random.Philox(key=[0, i])).standard_normal(2) for i in range(20)])
    L = costs.table()
    for t in (2, 10, 50, 100):
        x_t = torch.from_numpy(noise.alpha[t] * few + noise.sigma[t] * eps)
        prediction = denoiser(x_t, torch.tensor([t]))
        second, e2 = prediction.second(FAMILIES[variance].output), (torch.from_numpy(few) - prediction.x0) ** 2
        y = second if variance == "learned" else second.log()
        width = ((y.max() - y.min()) / 255).item()
        for s in range(1, t):
            delta, ratio = noise.snr[s] - noise.snr[t], np.log(noise.sigma2[t] / noise.sigma2[s])
            rate = second * ratio if variance == "learned" else torch.log1p(second * delta)
            direct = (0.5 * (rate + (1 + delta * e2) * torch.exp(-rate) - 1)).sum(1).mean().item()
            # max |f''| of f(y) = log rho + (1 + delta e^2) / rho - 1: ratio^2 (1 + delta e^2) for y = v; for y = log u,
            # where log rho and 1 / rho have second derivatives of at most 1/4 and 1/8, ... (1/4 + (1 + delta e^2) / 8)
            gain = 1 + delta * e2
            curvature = ratio**2 * gain if variance == "learned" else 0.25 + gain / 8
            bound = (0.5 * curvature * width**2 / 8).sum(1).mean().item()
            assert abs(L[t, s] - direct) <= bound + 1e-9 * abs(direct)
            assert bound < 0.01 * abs(direct) + 1e-3


def test_constant_v_gives_back_the_two_bounds(mixture, points):
    class Constant(MixtureDenoiser):
        second, value = "v", 0.0

        def __call__(self, x_t, t):
            return Prediction(super().__call__(x_t, t).x0, v=torch.full_like(x_t, self.value))

    constant = Constant(mixture.noise, mixture.means.numpy(), mixture.std, mixture.log_weights.exp().numpy())
    for constant.value, bound in ((0.0, "posterior"), (1.0, "beta")):
        statistics = measure(constant, points[:50], progress=False)
        learned, fixed = (step_costs(statistics, name).table() for name in ("learned", bound))
        np.testing.assert_allclose(learned[2:, 1:], fixed[2:, 1:], rtol=1e-9)


def test_file_keeps_the_second_output(case, tmp_path):
    variance, _, _, statistics = case
    again = DenoisingStatistics.load(statistics.save(tmp_path / "stats.npz"))
    price, kept = (step_costs(s, variance).of([0, 5, 40, 100]).total for s in (statistics, again))
    assert kept == pytest.approx(price, rel=2.0**-18)  # its histograms are kept to 18 bits
    assert (
        solve(step_costs(again, variance)).path(5).tolist() == solve(step_costs(statistics, variance)).path(5).tolist()
    )


def test_a_denoiser_without_the_output_is_refused(mixture, statistics):
    for variance in ("learned", "predicted"):
        with pytest.raises(ValueError, match="second output"):
            step_costs(statistics, variance)
        with pytest.raises(ValueError, match="needs a denoiser with an output"):
            sample(mixture, [0, 50, 100], 1, variance=variance, progress=False)


def test_step_nats_is_the_same_for_arrays_and_tensors():
    rate, gain = np.linspace(0, 3, 7), np.linspace(0.1, 2, 7)
    expected = 0.5 * (rate + (1 + gain) * np.exp(-rate) - 1)
    np.testing.assert_allclose(step_nats(rate, gain), expected, rtol=1e-12)
    torch.testing.assert_close(step_nats(torch.tensor(rate), torch.tensor(gain), torch.expm1), torch.tensor(expected))


def test_log_rho_of_a_tensor_and_of_an_array():
    noise, u = NoiseSchedule.cosine(10), np.array([0.1, 2.0])
    for variance in ("learned", "predicted"):
        family = FAMILIES[variance]
        from_array = family.log_rho(noise, 7, 3, seen=u)
        np.testing.assert_allclose(family.log_rho(noise, 7, 3, seen=torch.tensor(u)).numpy(), from_array)

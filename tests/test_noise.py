import numpy as np
import pytest
import torch

from ddpm_dp import STRIDES, NoiseSchedule, as_path


@pytest.mark.parametrize("noise", [NoiseSchedule.linear(1000), NoiseSchedule.cosine(1000), NoiseSchedule.cosine(4000)])
def test_published_schedules(noise):
    betas = 1 - noise.abar[1:] / noise.abar[:-1]
    assert betas.max() <= 0.999 + 1e-12 and noise.snr[0] == np.inf and (np.diff(noise.snr) < 0).all()


def test_linear_is_that_of_ho_et_al():
    betas = np.linspace(1e-4, 0.02, 1000)
    np.testing.assert_allclose(NoiseSchedule.linear(1000).abar[1:], np.cumprod(1 - betas), rtol=1e-12)


def test_linear_at_another_T_ends_with_as_little_signal():
    # log abar_T = -sum(beta) - sum(beta^2) / 2 - ...: the second term, 0.7% of the first, is what depends on T
    assert np.log(NoiseSchedule.linear(4000).abar[-1]) == pytest.approx(
        np.log(NoiseSchedule.linear(1000).abar[-1]), rel=0.02
    )
    with pytest.raises(ValueError, match="21 or more"):
        NoiseSchedule.linear(20)


def test_cosine_is_that_of_nichol_and_dhariwal():
    t = np.arange(1, 1001)
    f = np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(NoiseSchedule.cosine(1000).abar[1:-1], f[:-1], rtol=1e-9)  # the last beta is clipped


@pytest.mark.parametrize(("t", "s"), [(2, 1), (100, 99), (57, 3), (100, 1)])
def test_posterior_of_a_jump_is_bayes_rule(t, s):
    """The precision and mean of q(x_s | x_t, x_0) as the product of q(x_s | x_0) and q(x_t | x_s)."""
    noise = NoiseSchedule.cosine(100)
    x_0, x_t = 0.7, -1.3
    scale, spread = noise.alpha[t] / noise.alpha[s], 1 - noise.abar[t] / noise.abar[s]
    precision = 1 / noise.sigma2[s] + scale**2 / spread
    mean = (noise.alpha[s] * x_0 / noise.sigma2[s] + scale * x_t / spread) / precision
    q = noise.posterior(t, s)
    np.testing.assert_allclose([q.x0 * x_0 + q.xt * x_t, q.variance], [mean, 1 / precision], rtol=1e-9)


def test_posterior_of_the_last_jump_is_x0():
    assert tuple(NoiseSchedule.cosine(100).posterior(5, 0)) == pytest.approx((1, 0, 0))


def test_zero_terminal_snr_is_allowed():
    noise = NoiseSchedule(np.array([1, 0.5, 0]))
    assert noise.snr[2] == 0 and noise.posterior(2, 1).xt == 0


@pytest.mark.parametrize(
    "abar", [[1, 0.5], [0.9, 0.5, 0.1], [1, 0.5, 0.5], [1, 0.5, np.nan], [[1, 0.5, 0.1]], [1, 0.5, -0.1]]
)
def test_wrong_schedules_are_refused(abar):
    with pytest.raises(ValueError, match="abar"):
        NoiseSchedule(np.array(abar))


@pytest.mark.parametrize("T", [1, 0, -3, 2.5, True])
def test_impossible_T_is_refused(T):
    with pytest.raises(ValueError, match="T = "):
        NoiseSchedule.cosine(T)


def test_path_is_checked():
    assert as_path(torch.tensor([0, 5, 10]), 10).tolist() == [0, 5, 10]
    assert as_path([0.0, 10.0], 10).dtype.kind == "i"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ([10, 5, 0], "reverse"),
        ([0, 5, 9], "from 0 to 9"),
        ([1, 5, 10], "from 1"),
        ([0, 5, 5, 10], "5 is followed by 5"),
        ([0, 7, 5, 10], "7 is followed by 5"),
        ([0, 2.5, 10], "whole"),
        ([0, np.nan, 10], "whole"),
        ([10], "at least two"),
        ("abc", "at least two"),
    ],
)
def test_wrong_paths_are_refused_with_the_reason(path, word):
    with pytest.raises(ValueError, match=word):
        as_path(path, 10)


@pytest.mark.parametrize("T", [2, 7, 100, 1000])
@pytest.mark.parametrize("name", STRIDES)
def test_strides_are_paths_of_exactly_K_steps(name, T):
    noise = NoiseSchedule.cosine(T)
    for K in {1, 2, T // 3 + 1, T // 2 + 1, T - 1, T}:
        assert len(as_path(STRIDES[name](noise, K), T)) == K + 1
    with pytest.raises(ValueError, match="K = "):
        STRIDES[name](noise, T + 1)


def test_strides_are_what_their_names_say():
    noise = NoiseSchedule.cosine(1000)
    assert STRIDES["even"](noise, 4).tolist() == [0, 250, 500, 750, 1000]
    assert STRIDES["quadratic"](noise, 4).tolist() == [0, 62, 250, 562, 1000]
    noise = NoiseSchedule.linear(1000)
    log_snr = np.log(noise.snr[1:])
    for wanted, t in zip(np.linspace(log_snr[0], log_snr[-1], 20), STRIDES["log-snr"](noise, 20)[1:], strict=True):
        nearby = log_snr[max(t - 2, 0) : t + 1]  # t - 1, t, t + 1
        assert nearby.min() <= wanted <= nearby.max()


@pytest.mark.parametrize("noise", [NoiseSchedule.linear(1000), NoiseSchedule.cosine(4000), NoiseSchedule.linear(100)])
def test_karras_levels_are_edms(noise):
    """Equation 5 as printed, i = 0 the noisiest. Where T ends below or above sigma = 80, T stands for the noisiest."""
    sigma = noise.sigma[1:] / noise.alpha[1:]
    K, low, high = 12, sigma[0], min(80.0, sigma[-1])
    path = STRIDES["karras"](noise, K)
    assert path[1] == 1 and path[-1] == noise.T
    for i in range(1, K):
        wanted = (high ** (1 / 7) + i / (K - 1) * (low ** (1 / 7) - high ** (1 / 7))) ** 7
        t = path[K - i]
        nearby = sigma[max(t - 2, 0) : t + 1]  # t - 1, t, t + 1
        assert path[K - i] <= K or nearby.min() <= wanted * (1 + 1e-12) and wanted <= nearby.max()

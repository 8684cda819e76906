"""pretrained/functions.py: any function that predicts the noise, x_0 or v."""

import re

import numpy as np
import pytest
import torch

import ddpm_dp
from ddpm_dp import MixtureDenoiser, NoiseSchedule, from_eps, from_function, measure
from ddpm_dp.pretrained.network import XHAT_0
from tests.course.notebooks import ROOT
from tests.models.labelled import Labelled, drawn
from tests.variances.small import TwoHeaded

# What a network trained for each target would answer, from the exact xhat_0.
ANSWERS = {
    "epsilon": lambda x0, x_t, alpha, sigma: (x_t - alpha * x0) / sigma,
    "sample": lambda x0, x_t, alpha, sigma: x0,
    "v_prediction": lambda x0, x_t, alpha, sigma: (alpha * x_t - x0) / sigma,
}


def disguised(exact, predicts, **options):
    """An exact denoiser, as a function of the kind that `from_function` takes; a second output v follows it."""

    def function(x_t, t, *labels):
        alpha, sigma = (torch.from_numpy(a)[t].view(-1, *[1] * (x_t.ndim - 1)) for a in (noise.alpha, noise.sigma))
        answer = exact(x_t.double(), t, *labels)
        y = ANSWERS[predicts](answer.x0, x_t, alpha, sigma)
        return y if answer.v is None else torch.cat([y, 2 * answer.v - 1], dim=1)

    noise = exact.noise
    return from_function(function, noise, exact.shape, predicts=predicts, levels=None, clip=None, id="it", **options)


@pytest.mark.parametrize("predicts", XHAT_0)
def test_any_function_of_x_and_t(mixture, points, predicts):
    """The exact denoiser, disguised as a function, has the same errors and prices.

    x_t is float32 there, and so is y, whose rounding reaches xhat_0 times sigma / alpha: 1e-7 / 0.016, at t = 99.
    """
    same = measure(disguised(mixture, predicts), points[:100], progress=False)
    exact = measure(mixture, points[:100], progress=False)
    np.testing.assert_allclose(same.m[:-1], exact.m[:-1], rtol=1e-3, atol=1e-6)


def test_a_learned_variance_comes_with_twice_the_channels():
    exact = TwoHeaded("v", (2, 1, 1))
    model = disguised(exact, "v_prediction", variance="learned")
    x_t, t = torch.randn((5, 2, 1, 1), generator=torch.Generator().manual_seed(0)), torch.full((5,), 40)
    x0, v, _ = exact(x_t.double(), t)
    assert (model.variance, model.second) == ("learned", "v")
    torch.testing.assert_close(model.at(x_t, 40).x0.double(), x0, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.at(x_t, 40).v.double(), v, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("predicts", XHAT_0)
def test_guidance_is_that_of_the_exact_posterior_means(predicts):
    """The function knows the labels, and one that stands for none; the guided model is the guided mixture."""

    class KnowsNone(Labelled):
        def __call__(self, x_t, t, labels):
            return MixtureDenoiser.__call__(self, x_t, t) if (labels == 3).all() else super().__call__(x_t, t, labels)

    points, labels = drawn(50)
    model = disguised(KnowsNone(), predicts, n_classes=3, guidance=1.5)
    same = measure(model, points, labels=labels, timesteps=10, progress=False)
    exact = measure(Labelled(1.5), points, labels=labels, timesteps=10, progress=False)
    below = same.measured[:-1]  # at T = 50 eps is divided by alpha = 3e-4
    np.testing.assert_allclose(same.m[below], exact.m[below], rtol=1e-3, atol=1e-6)
    ids = {disguised(KnowsNone(), predicts, n_classes=3, guidance=weight).id for weight in (None, 0.0, 1.5, 3.0)}
    assert len(ids) == 4


def test_a_flow_is_a_ddpm_by_the_lines_of_the_page(mixture, points):
    """The page's own lines, on the exact velocity of a flow to a mixture, which is computed without the package.

    x_0 = x_u - u velocity is float32 there: 1e-7 of numbers up to 1, squared, beside errors m_t from 1e-4 on.
    """
    page = (ROOT / "docs" / "other_models.md").read_text().split("## Flow matching")[1]
    means, weights, std = mixture.means, mixture.log_weights.exp(), float(mixture.std)

    def network(x_u, u):
        """E[eps - x_0 | x_u] of x_u = (1 - u) x_0 + u eps: linear in each component, weighted by its probability."""
        x_u, u = x_u.double()[:, None], u.double().view(-1, 1, 1)
        spread = ((1 - u) * std) ** 2 + u**2
        off = x_u - (1 - u) * means
        share = (weights.log() - (off**2).sum(-1) / (2 * spread[..., 0]) - spread[..., 0].log()).softmax(1)
        velocity = (u - (1 - u) * std**2) / spread * off - means
        return (share[..., None] * velocity).sum(1)

    names = {"np": np, "torch": torch, "ddpm_dp": ddpm_dp, "network": network, "T": 40, "shape": (2,)}
    block = re.search(r"```python\n(.*?)```", page, re.S)[1]
    exec(block.replace('id="my flow"', 'id="my flow", levels=None, clip=None'), names)
    u, noise = names["u"], names["noise"]
    np.testing.assert_allclose(noise.snr[1:], ((1 - u) / u)[1:] ** 2, rtol=1e-12)
    exact = MixtureDenoiser(noise, means=means.numpy(), std=std, weights=weights.numpy())
    flow, ddpm = (measure(model, points[:200], progress=False) for model in (names["model"], exact))
    np.testing.assert_allclose(flow.m[1:], ddpm.m[1:], rtol=1e-5)
    best = ddpm_dp.solve(ddpm_dp.step_costs(flow, "analytic"), 8)
    np.testing.assert_allclose(
        best.values[1:], ddpm_dp.solve(ddpm_dp.step_costs(ddpm, "analytic"), 8).values[1:], atol=1e-4
    )


def test_what_makes_no_denoiser_is_refused():
    noise = NoiseSchedule.cosine(100)

    def eps(x_t, t):
        return x_t

    assert from_eps is from_function
    assert from_eps(eps, noise, (2,), id="it").id != from_eps(eps, noise, (2,), id="another").id
    for options, reason in [
        ({"id": None}, "give it an id"),
        ({"predicts": "score"}, "'score' is not known; expected one of epsilon, sample, v_prediction"),
        ({"variance": "analytic"}, "no network's own; expected one of posterior, beta, learned"),
        ({"variance": "predicted"}, "no network's own"),
        ({"guidance": 1.0}, "takes no labels"),
        ({"guidance": np.nan, "n_classes": 3}, "expected a finite weight"),
        ({"noise": NoiseSchedule(np.array([1.0, 0.5, 0.0]))}, "terminal SNR of 0"),
    ]:
        with pytest.raises(ValueError, match=reason):
            from_function(eps, **{"noise": noise, "shape": (2,), "id": "it"} | options)
    with pytest.raises(ValueError, match="cannot be moved"):
        from_eps(eps, noise, (2,), id="it").to("cpu")

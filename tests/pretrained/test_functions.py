"""pretrained/functions.py: any function that predicts the noise, x_0 or v."""

import numpy as np
import pytest
import torch

from ddpm_dp import MixtureDenoiser, NoiseSchedule, from_eps, from_function, measure
from ddpm_dp.pretrained.network import XHAT_0
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

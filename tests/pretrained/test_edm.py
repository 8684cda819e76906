"""pretrained/edm.py: exact denoisers in the form of EDM's networks."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from ddpm_dp import MixtureDenoiser, edm_noise_levels, from_edm, measure
from tests.conftest import draw

MEANS = np.array([[0.5, -0.2, 0.1, 0.0], [-0.4, 0.3, 0.2, -0.5]]).reshape(2, 1, 2, 2)
STD = 0.25


class Exact(nn.Module):
    """D(x; sigma) = E[x_0 | x_0 + sigma eps = x] of a mixture, as c_skip x + c_out F, with sigma_data = STD.

    (Karras et al. 2022, table 1.) For one Gaussian F is its mean alone, which c_out scales. With labels a component is
    one; the vector of zeros is the whole mixture.
    """

    img_channels, img_resolution = 1, 2

    def __init__(self, means=MEANS, labels=False):
        super().__init__()
        self.means = nn.Parameter(torch.from_numpy(means))
        self.label_dim = len(means) if labels else 0

    def forward(self, x, sigma, class_labels=None):
        sigma = sigma.reshape(-1, 1, 1, 1)
        c_skip = STD**2 / (sigma**2 + STD**2)
        c_out = sigma * STD / (sigma**2 + STD**2).sqrt()
        distance = ((x[:, None] - self.means) ** 2).flatten(2).sum(2)
        weights = torch.softmax(-distance / (2 * (STD**2 + sigma[:, :, 0, 0] ** 2)), dim=1)
        if self.label_dim:
            given = class_labels.sum(1, keepdim=True)
            weights = given * class_labels + (1 - given) * weights
        F = (weights @ self.means.flatten(1)).view_as(x) * c_out / STD**2  # (1 - c_skip) mu = c_out^2 / STD^2 mu
        return c_skip * x + c_out * F


@pytest.mark.parametrize("means", [MEANS[:1], MEANS], ids=["Gaussian", "mixture"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_xhat_0_is_exact_at_every_noise_level(means, dtype):
    """Under 1e-6: in float32 some ten roundings of numbers of size 1, each 6e-8."""
    model = from_edm(Exact(means).to(dtype), levels=None)
    exact = MixtureDenoiser(model.noise, means, STD)
    noise = model.noise
    np.testing.assert_allclose(noise.sigma[1:] / noise.alpha[1:], edm_noise_levels(), rtol=1e-9)
    rng = torch.Generator().manual_seed(0)
    x_0, eps = torch.from_numpy(draw(exact, 20, seed=0)), torch.randn((20, 1, 2, 2), generator=rng, dtype=torch.float64)
    for t in range(1, model.noise.T + 1):
        x_t = (noise.alpha[t] * x_0 + noise.sigma[t] * eps).to(dtype)
        error = model.at(x_t, t).x0.double() - exact.at(x_t.double(), t).x0
        assert error.abs().max() < 1e-6, t
    assert (model.shape, model.clip, model.predicts, model.n_classes) == ((1, 2, 2), None, "sample", None)


def test_the_noise_levels_are_theirs():
    """Their generate.py, which counts from the largest and divides as they do."""
    i = np.arange(18)
    theirs = (80 ** (1 / 7) + i / (18 - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(edm_noise_levels(18)[::-1], theirs, rtol=1e-12)
    given = from_edm(Exact(), sigmas=theirs[::-1])
    np.testing.assert_allclose(given.noise.abar[1:], 1 / (1 + theirs[::-1] ** 2), rtol=1e-12)


def test_labels_are_one_hot_and_zeros_are_none():
    """Guided, xhat_0 = (1 + w) of the label's component less w of the whole mixture's."""
    w, labels, t = 0.7, torch.tensor([1, 0, 1]), 600
    model = from_edm(Exact(labels=True), levels=None, guidance=w)
    x_t = torch.randn((3, 1, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole, *one = (MixtureDenoiser(model.noise, means, STD).at(x_t, t).x0 for means in (MEANS, MEANS[:1], MEANS[1:]))
    of_label = torch.stack([one[y][i] for i, y in enumerate(labels)])
    torch.testing.assert_close(model.at(x_t, t, labels).x0, (1 + w) * of_label - w * whole)
    assert model.n_classes == 2
    stats = measure(model, MEANS, labels=[0, 1], timesteps=5, progress=False)
    assert stats.n_classes == 2 and stats.model_id != from_edm(Exact(labels=True), levels=None).id


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_weights_are_read_and_pickles_are_not(tmp_path):
    trained, network = Exact(MEANS / 2), Exact()
    torch.save(trained.state_dict(), tmp_path / "edm.pt")
    assert from_edm(network, tmp_path / "edm.pt").id == from_edm(trained).id
    (tmp_path / "edm.pkl").write_bytes(pickle.dumps({"ema": "their network"}))
    for arguments, reason in [
        (
            (tmp_path / "edm.pkl",),
            "pickles run code and are not read, so build EDMPrecond, and give it",
        ),
        ((Exact(), tmp_path / "edm.pkl"), "not a whole file of weights alone"),
        ((Exact(), {"other": torch.zeros(1)}), "do not fit the network"),
        ((nn.Linear(1, 1),), "A Linear was given; expected a torch module of theirs"),
    ]:
        with pytest.raises(ValueError, match=reason) as refused:
            from_edm(*arguments)
        assert str(refused.value).count(". ") == 0  # one sentence
    for sigmas in ([1.0], [0.0, 1.0], [2.0, 1.0], [1.0, np.inf], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="expected 2 or more noise levels above 0, ascending"):
            from_edm(Exact(), sigmas=sigmas)

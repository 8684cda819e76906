"""pretrained/checkpoints.py: OpenAI's checkpoints, priced term by term as their papers say."""

import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import ddpm_dp
from ddpm_dp import from_improved_diffusion, measure, step_costs, to_improved_diffusion
from ddpm_dp.gaussians import discretised_log_likelihood
from ddpm_dp.measuring.survey import _noise


class TheirUNet(nn.Module):
    """Stands for improved-diffusion's network: (x, timesteps) -> channels, or twice as many."""

    in_channels = 1

    def __init__(self, outputs: int):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.of_time = nn.Conv2d(1, outputs, 3, padding=1), nn.Linear(1, outputs)

    def forward(self, x, timesteps):
        self.seen = timesteps
        return self.conv(x) + self.of_time(timesteps[:, None].to(x) / 1000)[:, :, None, None].tanh()


FLAGS = {
    "image_size": 8,
    "learn_sigma": True,
    "predict_xstart": False,
    "noise_schedule": "cosine",
    "diffusion_steps": 40,
    "rescale_timesteps": True,
    "num_channels": 128,  # as in their dictionary: of no interest here
}


def vlb_terms(network, flags, images, seed, timesteps=None):
    """Terms of the bound in bits/dim, L_0 first: Nichol & Dhariwal 2021, eqs. 3-5, 10-13 and 15, on respaced betas."""
    steps = flags["diffusion_steps"]
    f = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1 - f[1:] / f[:-1], 0.999) if flags["noise_schedule"] == "cosine" else None
    betas = np.linspace(0.1 / steps, 20 / steps, steps) if betas is None else betas
    kept = sorted(range(steps) if timesteps is None else timesteps)  # counted from 0, as theirs are
    abar = np.cumprod(1 - betas)[kept]
    before = np.append(1.0, abar[:-1])
    beta = 1 - abar / before  # their respacing
    small = beta * (1 - before) / (1 - abar)
    small[0] = small[1]  # theirs: the first has no posterior variance
    x_0, eps = torch.from_numpy(images), torch.from_numpy(_noise(seed, range(len(images)), images.shape[1:]))
    terms = []
    for i, t in enumerate(kept):
        x_t = np.sqrt(abar[i]) * x_0 + np.sqrt(1 - abar[i]) * eps
        scale = 1000 / steps if flags["rescale_timesteps"] else 1
        with torch.no_grad():
            output = network(x_t, torch.full((len(x_0),), t * scale))
        output, *second = output.split(1, dim=1)
        guess = output if flags["predict_xstart"] else (x_t - np.sqrt(1 - abar[i]) * output) / np.sqrt(abar[i])
        guess = guess.clamp(-1, 1)
        large = small[0] if i == 0 else beta[i]  # fixed_large
        log_variance = torch.full_like(x_0, np.log(small[i] if flags.get("sigma_small") else large))
        if flags["learn_sigma"]:
            v = (second[0] + 1) / 2
            log_variance = v * np.log(beta[i]) + (1 - v) * np.log(small[i])
        if i == 0:
            nats = -discretised_log_likelihood(x_0, guess, log_variance.exp(), 256)
            terms.append(nats.sum() / x_0.numel() / math.log(2))
            continue
        c_0, c_t = np.sqrt(before[i]) * beta[i], np.sqrt(1 - beta[i]) * (1 - before[i])
        true, mean = ((c_0 * x + c_t * x_t) / (1 - abar[i]) for x in (x_0, guess))
        p = torch.distributions.Normal(mean, (log_variance / 2).exp())
        q = torch.distributions.Normal(true, math.sqrt(small[i]))
        terms.append(torch.distributions.kl_divergence(q, p).mean() / math.log(2))
    return np.array([float(term) for term in terms])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"learn_sigma": False},
        {"learn_sigma": False, "sigma_small": True, "noise_schedule": "linear", "predict_xstart": True},
    ],
)
def test_prices_are_improved_diffusions_terms_of_the_bound(change):
    flags = FLAGS | change
    network = TheirUNet(2 if flags["learn_sigma"] else 1).double()
    denoiser = from_improved_diffusion(network, network.state_dict(), flags)
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8)) * 2 / 255 - 1
    prices = step_costs(measure(denoiser, images, seed=5, progress=False), denoiser.variance, "published")
    for path in (range(41), [0, 1, 2, 7, 19, 20, 40], [0, 2, 3, 40]):
        ours = ddpm_dp.bits_per_dim(prices.of(path).steps, 64)
        theirs = vlb_terms(network, flags, images, 5, to_improved_diffusion(path))
        # learned: 256 bins of v, h = 1/255, and h^2 / 8 f'' of a step, whose f'' is up to log(rho)^2 times the step
        np.testing.assert_allclose(ours[1:], theirs[1:], rtol=2e-4 if flags["learn_sigma"] else 1e-9)
        # Their decoder, whose variance depends on the path's second step: as close as its curve is.
        np.testing.assert_allclose(ours[0], theirs[0], rtol=5e-5, atol=1e-4)


def test_their_network_sees_each_images_label():
    class Conditional(TheirUNet):
        num_classes = 3

        def forward(self, x, timesteps, y=None):
            return super().forward(x, timesteps) + 0.1 * y[:, None, None, None]

    network = Conditional(2).double()
    denoiser = from_improved_diffusion(network, network.state_dict(), FLAGS | {"class_cond": True})
    x_t, labels = torch.zeros(3, 1, 8, 8, dtype=torch.float64), [2, 0, 1]
    v = denoiser.at(x_t, 7, denoiser.labels(labels, 3)).v
    raw = TheirUNet.forward(network, x_t, torch.full((3,), 6 * 1000 / 40))[:, 1:]
    torch.testing.assert_close(v, (raw + 0.1 * torch.tensor(labels).view(-1, 1, 1, 1) + 1) / 2)
    with pytest.raises(ValueError, match="class_cond = False, but the network's num_classes is 3"):
        from_improved_diffusion(network, network.state_dict(), FLAGS)


@pytest.mark.parametrize(("rescale", "seen"), [(True, 6 * 1000 / 40), (False, 6)])
def test_their_network_sees_their_timesteps(tmp_path, rescale, seen):
    network, trained = TheirUNet(2), TheirUNet(2)
    nn.init.ones_(trained.conv.bias)
    torch.save(trained.state_dict(), tmp_path / "ema.pt")
    denoiser = from_improved_diffusion(network, tmp_path / "ema.pt", FLAGS | {"rescale_timesteps": rescale})
    prediction = denoiser.at(torch.zeros(3, 1, 8, 8), 7)
    assert network.seen.tolist() == [seen] * 3
    raw = trained(torch.zeros(3, 1, 8, 8), torch.full((3,), seen))
    torch.testing.assert_close(prediction.v, (raw[:, 1:] + 1) / 2)
    assert (denoiser.variance, denoiser.second, denoiser.shape) == ("learned", "v", (1, 8, 8))


def test_wrong_checkpoints_are_refused(tmp_path):
    network = TheirUNet(2)
    for change, reason in [
        ({"noise_schedule": "sigmoid"}, "expected one of linear, cosine"),
        ({"class_cond": True}, "num_classes is None; build it with"),
        ({"timestep_respacing": "250"}, "leave it empty"),
    ]:
        with pytest.raises(ValueError, match=reason):
            from_improved_diffusion(network, network.state_dict(), FLAGS | change)
    with pytest.raises(ValueError, match="flags lack rescale_timesteps"):
        from_improved_diffusion(network, {}, {k: v for k, v in FLAGS.items() if k != "rescale_timesteps"})
    with pytest.raises(ValueError, match="do not fit the network"):
        from_improved_diffusion(network, TheirUNet(1).state_dict(), FLAGS)

    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    file = tmp_path / "evil.pt"
    for content in (pickle.dumps(Runs(), protocol=2), b"", b"PK\x03\x04 truncated"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="not a whole file of weights"):
            from_improved_diffusion(network, file, FLAGS)
    torch.save({"conv": Runs()}, file)
    with pytest.raises(ValueError, match="not a whole file of weights"):
        from_improved_diffusion(network, file, FLAGS)
    assert not (tmp_path / "ran").exists()

"""Models that others trained: priced, sampled and handed back as their own libraries and papers say."""

import math
import pickle
import sys

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.schedulers import scheduling_ddpm
from torch import nn

import ddpm_dp
from ddpm_dp import (
    NoiseSchedule,
    ddim,
    from_diffusers,
    from_eps,
    from_improved_diffusion,
    measure,
    path_scheduler,
    sample,
    step_costs,
    to_diffusers,
    to_improved_diffusion,
)
from ddpm_dp.cli import main
from ddpm_dp.gaussians import discretised_log_likelihood
from ddpm_dp.measuring import _noise
from ddpm_dp.variances import log_rho

T = 16
PATH = [0, 3, 4, 7, 12, 16]  # uneven, and its first timestep is not 1

# What a scheduler is made with, and how the same is said in this package.
SCHEDULERS = {
    "epsilon, fixed_small, linear": {},
    "epsilon, fixed_large, cosine": {"variance_type": "fixed_large", "beta_schedule": "squaredcos_cap_v2"},
    "epsilon, learned_range, no clipping": {"variance_type": "learned_range", "clip_sample": False},
    "sample, fixed_small_log, wide clipping": {
        "prediction_type": "sample",
        "variance_type": "fixed_small_log",
        "clip_sample_range": 0.5,
    },
    "v, learned_range, zero terminal SNR": {
        "prediction_type": "v_prediction",
        "variance_type": "learned_range",
        "beta_schedule": "scaled_linear",
        "rescale_betas_zero_snr": True,
    },
    "epsilon, fixed_large, own betas": {
        "variance_type": "fixed_large",
        "trained_betas": np.geomspace(1e-3, 0.3, T).tolist(),
    },
}


def unet(channels: int = 1) -> UNet2DModel:
    """A small network with random weights, in float64."""
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=channels,
        block_out_channels=(4, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=2,
    )
    return network.double()


def made(name: str):
    """Network, scheduler in float64 (diffusers' is float32: its rounding is not what is tested), denoiser."""
    scheduler = DDPMScheduler(num_train_timesteps=T, **SCHEDULERS[name])
    network = unet(2 if "learned" in name else 1)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    return network, scheduler, from_diffusers(network, scheduler, levels=17)


def from_list(monkeypatch, draws) -> None:
    """Let DDPMScheduler.step take its noise from a list, one draw a step."""
    remaining = iter(draws)
    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", lambda shape, **_: next(remaining))


@pytest.fixture(params=SCHEDULERS)
def case(request):
    return made(request.param)


@torch.no_grad()
def test_every_jump_has_diffusers_mean_and_variance(case, monkeypatch):
    """All T (T - 1) / 2 jumps t -> s, s > 0: DDPMScheduler.step without noise, and with noise of 1 everywhere."""
    network, scheduler, denoiser = case
    noise = denoiser.noise
    x_t = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for t in range(2, T + 1):
        output, prediction = network(x_t, t - 1).sample, denoiser.at(x_t, t)
        for s in range(1, t):
            scheduler.set_timesteps(timesteps=[t - 1, s - 1])
            from_list(monkeypatch, [torch.zeros_like(x_t), torch.ones_like(x_t)])
            mean, shifted = (scheduler.step(output, t - 1, x_t) for _ in range(2))
            q = noise.posterior(t, s)
            torch.testing.assert_close(mean.pred_original_sample, prediction.x0, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(mean.prev_sample, q.x0 * prediction.x0 + q.xt * x_t, rtol=1e-9, atol=1e-9)
            rho = log_rho(noise, denoiser.variance, t, s, np.zeros(0), prediction.second(denoiser.variance))
            std = (q.variance * torch.as_tensor(rho).exp()).sqrt().expand(x_t.shape)
            torch.testing.assert_close(shifted.prev_sample - mean.prev_sample, std, rtol=1e-7, atol=1e-9)


@torch.no_grad()
def test_diffusers_walks_the_path_as_sample_does(case, monkeypatch):
    network, scheduler, denoiser = case
    draws = torch.randn((len(PATH), 2, 1, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    states, expected = {}, iter(draws)
    result = sample(
        denoiser,
        PATH,
        2,
        variance=denoiser.variance,
        randn=lambda shape: next(expected),
        callback=lambda s, x, x0: states.update({s: x}),
        progress=False,
    )
    ready = path_scheduler(scheduler, PATH)
    scheduler.set_timesteps(timesteps=to_diffusers(PATH))
    assert ready.timesteps.tolist() == scheduler.timesteps.tolist() == [15, 11, 6, 3, 2]
    for walker in (scheduler, ready):
        from_list(monkeypatch, draws[1:])
        x = draws[0]
        for t, s in zip(walker.timesteps, PATH[-2::-1], strict=True):
            x = walker.step(network(x, t).sample, t, x).prev_sample
            if s > 0:
                torch.testing.assert_close(x, states[s], rtol=1e-7, atol=1e-7)
        if walker is ready:
            torch.testing.assert_close(x, result, rtol=1e-7, atol=1e-7)
        elif denoiser.variance == "beta":  # diffusers' own last step puts noise on the image: why `ready` is there
            spread = (x - result) / draws[-1]
            torch.testing.assert_close(
                spread, torch.full_like(spread, denoiser.noise.sigma[PATH[1]]), rtol=1e-6, atol=0
            )


@pytest.mark.parametrize("clipped", [False, True])
def test_pipelines_take_the_path(clipped):
    """DDPMPipeline and DDIMPipeline take only a number of steps; images are (x + 1) / 2, clamped to [0, 1]."""
    network, K = unet(), len(PATH) - 1

    def compare(pipeline, ours, **arguments):
        pipeline.set_progress_bar_config(disable=True)
        rngs = [torch.Generator().manual_seed(3) for _ in range(2)]
        theirs = pipeline(2, rngs[0], num_inference_steps=K, output_type="pt", **arguments).images
        drawn = ours(lambda shape: torch.randn(shape, generator=rngs[1], dtype=torch.float64))
        return torch.abs(theirs - (drawn / 2 + 0.5).clamp(0, 1)).max().item()

    pipeline = DDPMPipeline(
        network, DDPMScheduler(num_train_timesteps=T, clip_sample=clipped, variance_type="fixed_large")
    )
    denoiser = from_diffusers(pipeline)
    pipeline.scheduler = path_scheduler(pipeline.scheduler, PATH)
    error = compare(pipeline, lambda randn: sample(denoiser, PATH, 2, variance="beta", randn=randn, progress=False))
    assert error < 1e-4  # their coefficients are float32

    pipeline = DDIMPipeline(network, DDIMScheduler(num_train_timesteps=T, clip_sample=clipped, set_alpha_to_one=False))
    denoiser = from_diffusers(pipeline)
    assert denoiser.variance == "posterior"
    pipeline.scheduler = path_scheduler(pipeline.scheduler, PATH)
    ours = lambda randn: ddim(denoiser, PATH, 2, randn=randn, progress=False)  # noqa: E731
    assert compare(pipeline, ours, use_clipped_model_output=True) < 1e-4

    pipeline.scheduler = DDIMScheduler(num_train_timesteps=T, clip_sample=clipped)  # its own steps are even
    assert compare(pipeline, ours, use_clipped_model_output=True) > 1e-2


def test_ready_scheduler_walks_one_path_only():
    scheduler = path_scheduler(DDPMScheduler(num_train_timesteps=T), PATH)
    with pytest.raises(ValueError, match="num_inference_steps=5"):
        scheduler.set_timesteps(50)
    with pytest.raises(ValueError, match="from 0 to 15"):
        path_scheduler(DDPMScheduler(num_train_timesteps=T), [0, 15])
    with pytest.raises(ValueError, match="not variance-preserving"):
        path_scheduler(diffusers.FlowMatchEulerDiscreteScheduler(), PATH)


def test_paths_go_out_counted_from_0():
    assert to_diffusers([0, 3, 10, 1000]) == [999, 9, 2] and to_diffusers(range(4)) == [2, 1, 0]
    assert to_improved_diffusion(np.array([0, 3, 10, 1000])) == {2, 9, 999}
    for wrong in ([], [3, 10], [0, 10, 3], [0, 1.5], [999, 9, 2], 7):
        with pytest.raises(ValueError, match="path"):
            to_diffusers(wrong)


def test_a_saved_pipeline_is_the_same_model(tmp_path):
    pipeline = DDPMPipeline(unet().float(), DDPMScheduler(num_train_timesteps=T))
    pipeline.save_pretrained(tmp_path)
    denoiser = from_diffusers(tmp_path)
    assert denoiser.id == from_diffusers(pipeline).id == from_diffusers(pipeline.unet, pipeline.scheduler).id
    other = DDPMScheduler(num_train_timesteps=T, clip_sample=False)
    assert len({denoiser.id, from_diffusers(unet(), other).id, from_diffusers(unet(2).float(), other).id}) == 3
    assert (denoiser.shape, denoiser.levels, denoiser.dtype) == ((1, 8, 8), 256, torch.float32)
    with pytest.raises(ValueError, match=r"clips x_0 to \[-1, 1\]"):
        replaced = from_diffusers(tmp_path, levels=None)
        replaced.images(np.full((1, 1, 8, 8), 3.0))
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(OSError, match="No diffusers pipeline could be read"):
        from_diffusers(tmp_path)


def test_a_16_bit_network_is_fed_16_bits():
    denoiser = from_diffusers(unet().bfloat16(), DDPMScheduler(num_train_timesteps=T))
    prediction = denoiser.at(torch.zeros(1, 1, 8, 8), 5)
    assert prediction.x0.dtype == denoiser.dtype == torch.float32 and len(denoiser.id) == 64


@pytest.mark.parametrize(
    ("scheduler", "reason"),
    [
        (None, "without its scheduler"),
        (diffusers.FlowMatchEulerDiscreteScheduler(), "not variance-preserving"),
        (diffusers.EDMEulerScheduler(), "counts noise levels"),
        (diffusers.ScoreSdeVeScheduler(), "counts noise levels"),
        (diffusers.DPMSolverMultistepScheduler(), r"DDPMScheduler\.from_config"),
        (diffusers.EulerDiscreteScheduler(), r"DDPMScheduler\.from_config"),
        (DDPMScheduler(num_train_timesteps=T, thresholding=True), "thresholding=False"),
        (DDPMScheduler(num_train_timesteps=T, prediction_type="flow"), "'flow' is not known"),
        (DDPMScheduler(num_train_timesteps=T, variance_type="learned"), "more than one timestep"),
        (DDPMScheduler(num_train_timesteps=T, variance_type="fixed_large_log"), "more than one timestep"),
        (DDPMScheduler(num_train_timesteps=T, rescale_betas_zero_snr=True), "terminal SNR of 0"),
    ],
)
def test_what_cannot_be_priced_is_refused_with_the_reason(scheduler, reason):
    with pytest.raises(ValueError, match=reason) as refused:
        from_diffusers(unet(), scheduler)
    assert str(refused.value).count(". ") == 0  # one sentence


def test_other_networks_and_pipelines_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Linear was given as the network"):
        from_diffusers(nn.Linear(1, 1), DDPMScheduler(num_train_timesteps=T))
    with pytest.raises(ValueError, match="needs a class label"):
        labelled = UNet2DModel(8, 1, 1, block_out_channels=(32, 32, 32, 32), num_class_embeds=10)
        from_diffusers(labelled, DDPMScheduler(num_train_timesteps=T))
    with pytest.raises(ValueError, match="expected 2 channels for a learned variance"):
        from_diffusers(unet().float(), DDPMScheduler(num_train_timesteps=T, variance_type="learned_range")).at(
            torch.zeros(1, 1, 8, 8), 3
        )
    DDPMPipeline(unet(), DDPMScheduler(num_train_timesteps=T)).save_pretrained(tmp_path)
    index = (tmp_path / "model_index.json").read_text()
    for old, new, reason in [
        ('"unet": [', '"vae": ["diffusers", "AutoencoderKL"], "unet": [', "has vae: it is latent"),
        ('"DDPMScheduler"', '"FlowMatchHeunDiscreteScheduler"', "not variance-preserving"),
        ('"UNet2DModel"', '"UNet2DConditionModel"', "A UNet2DConditionModel was given"),
        ('"diffusers",\n    "UNet2DModel"', '"os",\n    "UNet2DModel"', "classes from 'os'"),
    ]:
        assert old in index
        (tmp_path / "model_index.json").write_text(index.replace(old, new))
        with pytest.raises(ValueError, match=reason):
            from_diffusers(tmp_path)


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
    prices = step_costs(measure(denoiser, images, seed=5, progress=False), denoiser.variance)
    for path in (range(41), [0, 1, 2, 7, 19, 20, 40], [0, 2, 3, 40]):
        ours = ddpm_dp.bits_per_dim(prices.of(path).steps, 64)
        theirs = vlb_terms(network, flags, images, 5, to_improved_diffusion(path))
        np.testing.assert_allclose(ours[1:], theirs[1:], rtol=2e-4 if flags["learn_sigma"] else 1e-9)
        if path[1] == 1 and path[2] == 2:  # else their decoder's variance depends on the path's second step, too
            np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)


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
        ({"noise_schedule": "sigmoid"}, "expected linear or cosine"),
        ({"class_cond": True}, "needs a class label"),
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


def test_any_function_of_x_and_t(mixture, points):
    """The exact denoiser, disguised as a function that gives eps, has the same errors and prices."""
    noise = mixture.noise

    def eps(x_t, t):
        alpha, sigma = (torch.from_numpy(a)[t][:, None] for a in (noise.alpha, noise.sigma))
        return (x_t - alpha * mixture(x_t.double(), t).x0) / sigma

    disguised = from_eps(eps, noise, (2,), levels=None, clip=None, id="the mixture")
    same = measure(disguised, points[:100], progress=False)
    exact = measure(mixture, points[:100], progress=False)
    np.testing.assert_allclose(same.m, exact.m, rtol=1e-3, atol=1e-6)  # x_t is float32 there
    assert disguised.id != from_eps(eps, noise, (2,), id="another").id
    with pytest.raises(ValueError, match="give it an id"):
        from_eps(eps, noise, (2,))
    with pytest.raises(ValueError, match="cannot be moved"):
        disguised.to("cpu")
    with pytest.raises(ValueError, match="terminal SNR of 0"):
        from_eps(eps, NoiseSchedule(np.array([1.0, 0.5, 0.0])), (2,), id="x")


def test_without_diffusers_the_way_to_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)  # what an import finds where it is not installed
    assert to_diffusers([0, 2]) == [1]
    with pytest.raises(ImportError, match=r"run: pip install 'ddpm-dp\[pretrained\]'"):
        from_diffusers("folder")


def test_the_command_line_takes_a_diffusers_folder(tmp_path, capsys):
    """Measured, solved and sampled with files alone; and a hub id is only asked for where it is said to be one."""
    scheduler = DDPMScheduler(num_train_timesteps=T, variance_type="fixed_large")
    DDPMPipeline(unet().float(), scheduler).save_pretrained(tmp_path / "model")
    for command in """
        measure {0}/model digits --images 60 --device cpu --out {0}/train.npz
        measure {0}/model digits --images 60 --device cpu --split test --fitted {0}/train.npz --out {0}/test.npz
        solve {0}/train.npz --variance beta --budgets 5 --held-out {0}/test.npz --out {0}/paths.json
        sample {0}/model {0}/paths.json -K 5 -n 4 --device cpu --out {0}/samples.png
    """.strip().splitlines():
        assert main([word.format(tmp_path) for word in command.split()]) == 0, command
    model = from_diffusers(tmp_path / "model", levels=17)
    train = measure(model, ddpm_dp.load_dataset("digits").train[:60], progress=False)
    best = ddpm_dp.solve(step_costs(train, "beta"), 5)
    assert ddpm_dp.PathFile.load(tmp_path / "paths.json").paths[5].tolist() == best.path(5).tolist()
    capsys.readouterr()
    assert main(["measure", "google/ddpm-cifar10-32", "digits", "--out", str(tmp_path / "x.npz")]) == 2
    assert "--diffusers" in capsys.readouterr().err

"""pretrained/pipelines.py: diffusers' models, priced as their own scheduler steps; what cannot be priced is refused."""

import sys

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from torch import nn
from torch.optim.swa_utils import AveragedModel

import ddpm_dp
from ddpm_dp import from_diffusers, measure, step_costs, to_diffusers
from ddpm_dp.cli import main
from ddpm_dp.variances import FAMILIES
from tests.datasets.test_images import save_image
from tests.pretrained.small import T, from_list, unet


@torch.no_grad()
def test_every_jump_has_diffusers_mean_and_variance(case, monkeypatch):
    """All T (T - 1) / 2 jumps t -> s, s > 0: DDPMScheduler.step without noise, and with noise of 1 everywhere."""
    network, scheduler, denoiser = case
    noise, family = denoiser.noise, FAMILIES.named(denoiser.variance)
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
            rho = family.log_rho(noise, t, s, seen=family.see(prediction))
            std = (q.variance * torch.as_tensor(rho).exp()).sqrt().expand(x_t.shape)
            torch.testing.assert_close(shifted.prev_sample - mean.prev_sample, std, rtol=1e-7, atol=1e-9)


def test_a_saved_pipeline_is_the_same_model(tmp_path):
    pipeline = DDPMPipeline(unet().float(), DDPMScheduler(num_train_timesteps=T))
    pipeline.save_pretrained(tmp_path)
    denoiser = from_diffusers(tmp_path)
    assert denoiser.id == from_diffusers(pipeline).id == from_diffusers(pipeline.unet, pipeline.scheduler).id
    other = DDPMScheduler(num_train_timesteps=T, clip_sample=False)
    learned = DDPMScheduler(num_train_timesteps=T, variance_type="learned_range")
    assert len({denoiser.id, from_diffusers(unet(), other).id, from_diffusers(unet(2), learned).id}) == 3
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
    with pytest.raises(ValueError, match="embeds its labels by class_embed_type = 'timestep'"):
        embedded = UNet2DModel(8, 1, 1, block_out_channels=(32, 32, 32, 32), class_embed_type="timestep")
        from_diffusers(embedded, DDPMScheduler(num_train_timesteps=T))
    with pytest.raises(ValueError, match="answers with 1; expected 2"):
        from_diffusers(unet(), DDPMScheduler(num_train_timesteps=T, variance_type="learned_range"))
    with pytest.raises(ValueError, match="part of its input is a condition"):
        conditioned = UNet2DModel(8, in_channels=4, out_channels=3, block_out_channels=(32, 32, 32, 32))
        from_diffusers(conditioned, DDPMScheduler(num_train_timesteps=T))
    DDPMPipeline(unet(), DDPMScheduler(num_train_timesteps=T)).save_pretrained(tmp_path)
    index = (tmp_path / "model_index.json").read_text()
    for old, new, reason in [
        ('"unet": [', '"vae": ["diffusers", "AutoencoderKL"], "unet": [', "has vae: its network works on latents"),
        ('"DDPMScheduler"', '"FlowMatchHeunDiscreteScheduler"', "not variance-preserving"),
        ('"UNet2DModel"', '"UNet2DConditionModel"', "A UNet2DConditionModel was given"),
        ('"diffusers",\n    "UNet2DModel"', '"os",\n    "UNet2DModel"', "classes from 'os'"),
    ]:
        assert old in index
        (tmp_path / "model_index.json").write_text(index.replace(old, new))
        with pytest.raises(ValueError, match=reason):
            from_diffusers(tmp_path)


@torch.no_grad()
def test_labels_and_guidance_are_part_of_the_model():
    """(1 + w) eps(label) - w eps(none), written out; the last label is none, and no image's."""
    scheduler = DDPMScheduler(num_train_timesteps=T, clip_sample=False)
    network = unet(num_class_embeds=4)
    x_t = torch.randn((3, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels, none = torch.tensor([2, 0, 1]), torch.full((3,), 3)
    plain, guided = (from_diffusers(network, scheduler, guidance=w) for w in (None, 1.5))
    label_eps, none_eps = (network(x_t, 6, class_labels=y).sample for y in (labels, none))
    for denoiser, eps in ((plain, label_eps), (guided, 2.5 * label_eps - 1.5 * none_eps)):
        expected = (x_t - denoiser.noise.sigma[7] * eps) / denoiser.noise.alpha[7]
        torch.testing.assert_close(denoiser.at(x_t, 7, labels).x0, expected, rtol=1e-9, atol=1e-9)
    assert (plain.n_classes, guided.n_classes) == (4, 3)
    ids = [from_diffusers(network, scheduler, guidance=w).id for w in (None, 0, 0.0, 1.5)]
    assert len(set(ids)) == 3 and ids[1] == ids[2] and ids[3] == guided.id
    statistics = measure(guided, np.zeros((2, 1, 8, 8)) + 1, labels=[0, 2], timesteps=4, progress=False)
    with pytest.raises(ValueError, match="measure this model"):
        ddpm_dp.sample(plain, [0, T], 1, variance="analytic", statistics=statistics, labels=0)
    with pytest.raises(ValueError, match="takes no labels; leave it out"):
        from_diffusers(unet(), scheduler, guidance=1.5)


def test_the_command_line_takes_labels_from_a_folder(tmp_path, capsys):
    """One sub-folder for each class; the same numbers as in Python, and no way round the labels."""
    network = unet(in_channels=3, out_channels=3, num_class_embeds=4).float()
    DDPMPipeline(network, DDPMScheduler(num_train_timesteps=T)).save_pretrained(tmp_path / "model")
    for i in range(12):
        save_image(tmp_path / "photos" / ("cat", "dog", "fox")[i % 3] / f"{i}.png", seed=i)
    for command in """
        measure {0}/model images --data-path {0}/photos --size 8 --guidance 0.5 --timesteps 4 --out {0}/train.npz
        solve {0}/train.npz --variance posterior --budgets 3 --out {0}/paths.json
        sample {0}/model {0}/paths.json -K 3 -n 4 --guidance 0.5 --labels 2 0 --device cpu --out {0}/samples.png
    """.strip().splitlines():
        assert main([word.format(tmp_path) for word in command.split()]) == 0, command
    assert "Labels: 0 = cat, 1 = dog, 2 = fox.\n" in capsys.readouterr().out
    data = ddpm_dp.load_dataset("images", path=tmp_path / "photos", size=8)
    model = from_diffusers(tmp_path / "model", guidance=0.5)
    expected = measure(model, data.train, labels=data.train_labels, timesteps=4, progress=False)
    measured = ddpm_dp.DenoisingStatistics.load(tmp_path / "train.npz")
    assert measured.n_classes == 3
    np.testing.assert_allclose(measured.m, expected.m, rtol=1e-6)  # written in float64; the same arithmetic
    for command, reason in [
        ("sample {0}/model {0}/paths.json -K 3 -n 4 --guidance 0.5 --device cpu --out {0}/s.png", "given no labels"),
        ("sample {0}/model {0}/paths.json -K 3 -n 4 --labels 2 --device cpu --out {0}/s.png", "for another model"),
        ("measure {0}/model images --data-path {0}/photos --size 8 --out {0}/t.npz", "4 classes, and images has 3"),
        ("measure {0}/model digits --out {0}/t.npz", "with 4 classes, and digits has 10"),
        ("measure digits digits --guidance 1 --out {0}/t.npz", "digits is none"),
    ]:
        assert main([word.format(tmp_path) for word in command.split()]) == 2
        assert reason in capsys.readouterr().err


def test_networks_in_wrapping_are_unwrapped():
    """torch.compile, DataParallel, averaging, and one in the other: the same weights, the same answers, the same id."""
    network, scheduler = unet(), DDPMScheduler(num_train_timesteps=T)
    plain = from_diffusers(network, scheduler)
    x_t = torch.randn((2, 1, 8, 8), dtype=torch.float64)
    for wrapped in (
        torch.compile(network),
        nn.DataParallel(network),
        AveragedModel(network),
        torch.compile(nn.DataParallel(network)),
    ):
        bare = from_diffusers(wrapped, scheduler)
        assert bare.id == plain.id
        assert torch.equal(bare.at(x_t, 5).x0, plain.at(x_t, 5).x0)
    with pytest.raises(ValueError, match=r"call ema.copy_to\(unet.parameters\(\)\), and give the UNet"):
        from_diffusers(EMAModel(network.parameters()), scheduler)
    with pytest.raises(ValueError, match="A DataParallel was given as the network; expected a UNet2DModel"):
        from_diffusers(nn.DataParallel(nn.Linear(1, 1)), scheduler)


def test_without_diffusers_the_way_to_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)  # what an import finds where it is not installed
    monkeypatch.delitem(sys.modules, "ddpm_dp.pretrained.scheduler")
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

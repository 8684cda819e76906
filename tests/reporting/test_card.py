"""reporting/card.py: the lines on a card run, and do what the card says."""

import re

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler

import ddpm_dp
from ddpm_dp import Measured, from_diffusers, measure, path_file, publish, sample, solve, step_costs
from tests.other_samplers import in_noise_levels, sample_euler_ancestral
from tests.pretrained.small import T, unet


@pytest.fixture(scope="module")
def measured():
    pipeline = DDPMPipeline(unet().float(), DDPMScheduler(num_train_timesteps=T, beta_end=0.5))
    pipeline.set_progress_bar_config(disable=True)
    model = from_diffusers(pipeline)
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8)) * 2 / 255 - 1
    train = measure(model, images[:40], progress=False)
    return pipeline, model, Measured(train, measure(model, images[40:], fitted=train, progress=False))


@pytest.mark.parametrize("variance", ["posterior", "spectral"])
def test_the_lines_on_the_card_run(variance, measured, tmp_path, monkeypatch):
    """diffusers' in its pipeline; k-diffusion's and improved-diffusion's with a stand-in for what they call."""
    pipeline, model, both = measured
    best = solve(step_costs(both.train, variance), 12)
    both.train.save(tmp_path / "train.npz")
    written = publish(path_file(both, {K: best.path(K) for K in (3, 6, 12)}, variance), tmp_path / "timesteps.json")
    text = written.read_text()
    assert written == tmp_path / "timesteps.card.md"
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3 and all(block.count("\n") == 3 for block in blocks)
    path, seen = best.path(6), {}  # the largest budget up to 8
    monkeypatch.chdir(tmp_path)
    given = {
        "pipeline": pipeline,
        "SpacedDiffusion": lambda use_timesteps, **rest: seen.update(use_timesteps=use_timesteps, **rest),
        "arguments": {"betas": "theirs"},
        "denoiser": in_noise_levels(model),
        "shape": (5, 1, 8, 8),
        "sample_euler_ancestral": sample_euler_ancestral,
    }
    torch.manual_seed(4)
    for block in blocks:
        exec(block, given)
    assert seen == {"use_timesteps": ddpm_dp.to_improved_diffusion(path), "betas": "theirs"}

    def drawn(seed):
        torch.manual_seed(seed)
        return lambda shape: torch.randn(shape)

    # float32, in a few operations a step
    ours = sample(model, path, 5, randn=drawn(4), progress=False)
    torch.testing.assert_close(given["samples"], ours, rtol=0, atol=1e-5)
    published = ddpm_dp.DenoisingStatistics.load("train.npz")  # the file rounds what is fitted
    ours = sample(model, path, 5, variance=variance, statistics=published, randn=drawn(5), progress=False)
    torch.manual_seed(5)
    images = pipeline(5, num_inference_steps=6, output_type="pt").images
    assert torch.equal(images, (ours / 2 + 0.5).clamp(0, 1))  # the same code on the same numbers


def test_a_card_has_what_the_file_has(measured, tmp_path):
    """Table, curve, decoder, provenance: each number as the file has it."""
    _, _, both = measured
    best = solve(step_costs(both.train, "beta"), 8)
    chosen = path_file(both, {K: best.path(K) for K in (2, 4, 8)}, "beta", decoder="fixed")
    text = publish(chosen, tmp_path / "mine.json").read_text()
    for said in (
        chosen.model_id,
        chosen.data_id,
        chosen.decoder_words,
        "40 images of shape 1 x 8 x 8, 256 grey levels",
    ):
        assert said in text
    assert "priced on 20 others" in text and '"mine.json"' in text
    least = min(bits for bits, _ in chosen.held_out.values())
    for K, (bits, error) in chosen.held_out.items():
        assert f"| {K} | {chosen.bits_per_dim[K]:.3f} | {bits:.3f} ({error:.3f}) |" in text
        bar = re.search(rf"^ +{K}  (#*) \+(.*)$", text, re.MULTILINE)
        assert float(bar[2]) == pytest.approx(bits - least, abs=6e-4)
    assert len(re.search(r"^ +2  (#*)", text, re.MULTILINE)[1]) == 40  # the most expensive of all


def test_a_card_without_held_out_images_noise_levels_or_age(tmp_path):
    """Zero terminal SNR has no noise level to begin with; files of format 3 say less."""
    chosen = ddpm_dp.PathFile(
        {2: np.array([0, 4, 9])}, 9, "beta", "ELBO", "fixed", "words", "m", "d", bits_per_dim={2: 3.0}, held_out={}
    )
    text = publish(chosen, tmp_path / "old.json").read_text()
    assert "| 2 | 3.000 | not measured |" in text and "k-diffusion" not in text
    assert "| chosen on | images, `d` |" in text

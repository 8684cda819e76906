"""pretrained/scheduler.py: diffusers' own schedulers and pipelines walk the chosen path as `sample` and `ddim` do."""

import diffusers
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler

from ddpm_dp import ddim, from_diffusers, path_scheduler, sample, to_diffusers
from tests.pretrained.small import PATH, T, from_list, unet


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

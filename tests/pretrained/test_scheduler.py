"""pretrained/scheduler.py: a scheduler of diffusers' kind walks the path as `sample` and `ddim` do, and is saved."""

import copy
import itertools
import json
import os
import pickle
import subprocess
import sys

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler
from diffusers.pipelines.pipeline_loading_utils import _get_custom_components_and_folders
from safetensors.torch import load_file, save_file

import ddpm_dp
from ddpm_dp import PathScheduler, ddim, from_diffusers, measure, path_scheduler, sample, to_diffusers
from ddpm_dp.variances import FAMILIES
from tests.conftest import nightly_but
from tests.pretrained.small import PATH, T, from_list, made, unet

K = len(PATH) - 1
DRAWS = torch.randn((len(PATH), 2, 1, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def walked(scheduler, network, monkeypatch):
    """What diffusers' own loop makes of DRAWS."""
    from_list(monkeypatch, DRAWS[1:])
    x = DRAWS[0]
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t).sample, t, x).prev_sample
    return x


def sampled(denoiser, variance, path=PATH, **options):
    """What `sample` makes of them."""
    draws = iter(DRAWS)
    options |= {"randn": lambda shape: next(draws), "progress": False}
    return sample(denoiser, path, 2, variance=variance, **options)


# All that is read of a scheduler: what is predicted, its variance, its clipping, its schedule.
VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large", "learned_range")
CLIPPING = ({"clip_sample": False}, {"clip_sample": True}, {"clip_sample_range": 0.5})
BETAS = {
    "linear": {},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "zero terminal SNR": {"beta_schedule": "scaled_linear", "rescale_betas_zero_snr": True},
}


@pytest.mark.parametrize("predicts", nightly_but("v_prediction", ["epsilon", "sample", "v_prediction"]))
def test_every_scheduler_that_is_read_walks_the_path_as_sample_does(predicts, tmp_path, monkeypatch):
    """96 in all. The same code runs in both, on the same numbers: to the last bit, when it was saved and loaded."""
    networks = {channels: unet(channels) for channels in (1, 2)}
    short = [0, 5, T]
    for variance, clip, betas in itertools.product(VARIANCES, CLIPPING, BETAS):
        if (predicts, betas) == ("epsilon", "zero terminal SNR"):
            continue  # refused: there is no xhat_0 without any signal
        options = {"prediction_type": predicts, "variance_type": variance, **clip, **BETAS[betas]}
        scheduler = DDPMScheduler(num_train_timesteps=T, **options)
        network = networks[2 if variance == "learned_range" else 1]
        denoiser = from_diffusers(network, scheduler, levels=17)
        path_scheduler(scheduler, short).save_pretrained(tmp_path)
        loaded = PathScheduler.from_pretrained(tmp_path)
        assert torch.equal(walked(loaded, network, monkeypatch), sampled(denoiser, denoiser.variance, short)), options


@pytest.fixture(scope="module")
def fitted():
    """A pipeline with a learned variance, its denoiser, and training statistics."""
    network, scheduler, denoiser = made("epsilon, learned_range, no clipping")
    images = np.random.default_rng(0).integers(0, 17, (40, 1, 8, 8)) / 8 - 1
    return DDPMPipeline(network, scheduler), denoiser, measure(denoiser, images, progress=False)


def walkable(statistics):
    return [name for name, family in FAMILIES.items() if family.reading("v").serves(statistics)]


def test_every_family_is_walked_saved_and_pickled(fitted, tmp_path, monkeypatch):
    pipeline, denoiser, statistics = fitted
    families = walkable(statistics)
    assert {"posterior", "beta", "analytic", "learned", "calibrated", "local", "spectral"} <= {*families}
    for name in families:
        expected = sampled(denoiser, name, statistics=statistics)
        ready = path_scheduler(denoiser, PATH, name, statistics)
        ready.save_pretrained(tmp_path / name)
        assert (tmp_path / name / "path_scheduler.safetensors").exists() == FAMILIES[name].fitted
        loaded = PathScheduler.from_pretrained(tmp_path / name)
        pickled = pickle.loads(pickle.dumps(loaded))
        for each in (ready, loaded, pickled, copy.deepcopy(ready), path_scheduler(ready, PATH)):
            assert torch.equal(walked(each, pipeline.unet, monkeypatch), expected), name
    with pytest.raises(ValueError, match="reads a second output u of the network"):
        path_scheduler(denoiser, PATH, "predicted")
    with pytest.raises(ValueError, match="reads a second output v of the network"):
        path_scheduler(DDPMScheduler(num_train_timesteps=T), PATH, "learned")


def test_diffusers_own_list_ends_with_noise_that_the_path_scheduler_leaves_out(case, monkeypatch):
    """DDPMScheduler with `to_diffusers`: the same states, but for the last step, for which path_scheduler is there."""
    network, scheduler, denoiser = case
    result = sampled(denoiser, denoiser.variance)
    scheduler.set_timesteps(timesteps=to_diffusers(PATH))
    assert scheduler.timesteps.tolist() == path_scheduler(scheduler, PATH).timesteps.tolist() == [15, 11, 6, 3, 2]
    spread = (walked(scheduler, network, monkeypatch) - result) / DRAWS[-1]
    sigma = float(denoiser.noise.sigma[PATH[1]])
    if denoiser.variance == "beta":
        torch.testing.assert_close(spread, torch.full_like(spread, sigma), rtol=1e-6, atol=0)
    if denoiser.variance == "posterior":
        assert spread.abs().max() < 1e-4
    if denoiser.variance == "learned":
        assert 1e-4 < spread.abs().max()


@pytest.mark.parametrize("clipped", [False, True])
def test_pipelines_take_the_path(clipped):
    """DDPMPipeline and DDIMPipeline take only a number of steps; images are (x + 1) / 2, clamped to [0, 1]."""
    network = unet()

    def compare(pipeline, ours, **arguments):
        pipeline.set_progress_bar_config(disable=True)
        rngs = [torch.Generator().manual_seed(3) for _ in range(2)]
        theirs = pipeline(2, rngs[0], num_inference_steps=K, output_type="pt", **arguments).images
        drawn = ours(lambda shape: torch.randn(shape, generator=rngs[1], dtype=torch.float64))
        return torch.abs(theirs - (drawn / 2 + 0.5).clamp(0, 1)).max().item()

    scheduler = DDPMScheduler(num_train_timesteps=T, clip_sample=clipped, variance_type="fixed_large")
    denoiser = from_diffusers(network, scheduler)
    ours = lambda randn: sample(denoiser, PATH, 2, variance="beta", randn=randn, progress=False)  # noqa: E731
    for pipeline in (DDPMPipeline(network, scheduler), DDIMPipeline(network, scheduler)):
        pipeline.scheduler = scheduler
        for _ in range(2):  # as a cell of a notebook that is run twice
            pipeline.scheduler = path_scheduler(pipeline.scheduler, PATH)
            assert compare(pipeline, ours) == 0
        assert from_diffusers(pipeline).id == denoiser.id

    pipeline = DDIMPipeline(network, DDIMScheduler(num_train_timesteps=T, clip_sample=clipped, set_alpha_to_one=False))
    denoiser = from_diffusers(pipeline)
    assert denoiser.variance == "posterior"
    own = pipeline.scheduler
    ours = lambda randn: ddim(denoiser, PATH, 2, randn=randn, progress=False)  # noqa: E731
    for _ in range(2):
        pipeline.scheduler = path_scheduler(pipeline.scheduler, PATH)
        assert compare(pipeline, ours, use_clipped_model_output=True) == 0
    pipeline.scheduler = own  # its own steps are even
    assert compare(pipeline, ours, use_clipped_model_output=True) > 1e-2


FRESH = """
import sys, diffusers, ddpm_dp, torch, numpy
assert "ddpm_dp.pretrained.scheduler" not in sys.modules
pipeline = diffusers.DDPMPipeline.from_pretrained(sys.argv[1], torch_dtype=torch.float64)
pipeline.set_progress_bar_config(disable=True)
images = pipeline(2, torch.Generator().manual_seed(3), num_inference_steps=5, output_type="pt").images
numpy.save(sys.argv[2], images.numpy())
"""


@pytest.mark.slow
def test_a_fresh_process_loads_what_was_saved(fitted, tmp_path):
    """Saved from either pipeline, with a fitted family; `import ddpm_dp` is all that it asks for."""
    network, denoiser, statistics = fitted[0].unet, *fitted[1:]
    scheduler = fitted[0].scheduler
    for kind in (DDPMPipeline, DDIMPipeline):
        pipeline = kind(network, scheduler)
        pipeline.scheduler = path_scheduler(denoiser, PATH, "spectral", statistics)
        pipeline.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["scheduler"] == ["ddpm_dp", "PathScheduler"]
    # the environment names the package: the test may run from a clone that is not the installed one
    fresh = [sys.executable, "-c", FRESH, str(tmp_path), str(tmp_path / "images.npy")]
    subprocess.run(fresh, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    pipeline.set_progress_bar_config(disable=True)
    here = pipeline(2, torch.Generator().manual_seed(3), num_inference_steps=K, output_type="pt").images
    assert np.array_equal(np.load(tmp_path / "images.npy"), here.numpy())
    again = from_diffusers(tmp_path)
    assert (again.id, again.variance) == (denoiser.id, "learned")
    # DDIMPipeline's constructor would take even steps; it must not do so in silence
    with pytest.raises(NotImplementedError, match="load its pipeline with DDPMPipeline"):
        DDIMPipeline.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    for other in (DDIMScheduler, DDPMScheduler, diffusers.DPMSolverMultistepScheduler):
        with pytest.raises(NotImplementedError, match="a PathScheduler's path"):
            other.from_config(pipeline.scheduler.config)


def test_no_file_in_a_saved_folder_runs(tmp_path):
    """A module of the class's name beside the configuration, and other libraries in the index."""
    pipeline = DDPMPipeline(unet().float(), DDPMScheduler(num_train_timesteps=T))
    pipeline.scheduler = path_scheduler(pipeline.scheduler, PATH)
    pipeline.save_pretrained(tmp_path)
    evil = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass PathScheduler: pass\n"
    for place in (tmp_path / "scheduler" / "ddpm_dp.py", tmp_path / "ddpm_dp.py"):
        place.write_text(evil)
        for load in (from_diffusers, DDPMPipeline.from_pretrained):
            try:
                load(str(tmp_path))
            except ValueError as error:
                assert "trust_remote_code" in str(error)
        assert not (tmp_path / "ran").exists()
        place.unlink()


def test_a_path_scheduler_walks_one_path_only():
    scheduler = path_scheduler(DDPMScheduler(num_train_timesteps=T), PATH)
    x = torch.zeros(1, 1, 8, 8)
    scheduler.set_timesteps(K)
    scheduler.set_timesteps(timesteps=torch.tensor(to_diffusers(PATH)))
    for refused, reason in [
        (lambda: scheduler.set_timesteps(50), "of 5 steps; call it with num_inference_steps=5"),
        (lambda: scheduler.set_timesteps(timesteps=[15, 3]), "call it with num_inference_steps=5"),
        (
            lambda: scheduler.step(x, 7, x),
            "Timestep 7 is not on .* expected one of .* 15, 11, 6, 3, 2",
        ),
        (lambda: scheduler.step(x, -1, x), "Timestep -1 is not on"),
        (lambda: scheduler.step(x, 11, x, eta=0.5), "leave eta at 0"),
        (lambda: scheduler.step(x.expand(-1, 2, -1, -1), 11, x), "check the model's flags"),
        (lambda: path_scheduler(DDPMScheduler(num_train_timesteps=T), [0, 15]), "from 0 to 15"),
        (lambda: path_scheduler(diffusers.FlowMatchEulerDiscreteScheduler(), PATH), "not variance-preserving"),
        (lambda: PathScheduler(PATH, scheduler.noise.abar, "bta"), "'bta' is not known"),
        (lambda: PathScheduler(PATH, scheduler.noise.abar, "spectral"), "without the numbers that were fitted"),
        (lambda: PathScheduler(PATH, scheduler.noise.abar, clip_sample_range=-1), "expected a number above 0"),
    ]:
        with pytest.raises(ValueError, match=reason) as error:
            refused()
        assert str(error.value).count(". ") == 0


def test_fitted_numbers_of_another_model_or_path_are_refused(fitted, tmp_path):
    pipeline, denoiser, statistics = fitted
    other = from_diffusers(unet(2), DDPMScheduler(num_train_timesteps=T, variance_type="learned_range"))
    local = path_scheduler(denoiser, PATH, "local", statistics)
    for refused, reason in [
        (lambda: path_scheduler(other, PATH, "analytic", statistics), "measure this model"),
        (lambda: path_scheduler(denoiser, PATH, "analytic"), "give statistics="),
        (lambda: path_scheduler(pipeline.scheduler, PATH, "analytic", statistics), "give what from_diffusers made"),
        (lambda: path_scheduler(local, [0, 5, T]), "of its own path alone"),
    ]:
        with pytest.raises(ValueError, match=reason):
            refused()
    path_scheduler(denoiser, PATH, "spectral", statistics).save_pretrained(tmp_path)
    numbers, config = tmp_path / "path_scheduler.safetensors", tmp_path / "scheduler_config.json"
    whole, text = numbers.read_bytes(), config.read_text()
    save_file(load_file(numbers), tmp_path / "bare.safetensors")
    flipped = bytearray(whole)
    flipped[-9] ^= 1
    for content, said, reason in [
        (whole[:-5], text, "not a whole file"),
        (bytes(flipped), text, "its checksum is another"),
        ((tmp_path / "bare.safetensors").read_bytes(), text, "not a whole file"),
        (whole, text.replace(" 12,", " 11,"), "fitted for another path"),
        (whole, DDPMScheduler().to_json_string(), "expected a saved PathScheduler"),
    ]:
        numbers.write_bytes(content)
        config.write_text(said)
        with pytest.raises(ValueError, match=reason):
            PathScheduler.from_pretrained(tmp_path)
    numbers.unlink()
    config.write_text(text)
    with pytest.raises(FileNotFoundError, match="copy the whole folder"):
        PathScheduler.from_pretrained(tmp_path)


def test_a_hub_id_is_read_from_the_hubs_cache(fitted, tmp_path, monkeypatch):
    """The files as the hub's client keeps them, so that no network is needed."""
    _, denoiser, statistics = fitted
    commit = tmp_path / "models--lab--digits" / "snapshots" / ("0" * 40)
    path_scheduler(denoiser, PATH, "spectral", statistics).save_pretrained(commit / "scheduler")
    (commit.parents[1] / "refs").mkdir()
    (commit.parents[1] / "refs" / "main").write_text("0" * 40)
    options = {"subfolder": "scheduler", "cache_dir": tmp_path, "local_files_only": True}
    loaded = PathScheduler.from_pretrained("lab/digits", **options)
    assert loaded.path.tolist() == PATH and loaded.cells.name == "spectral"
    # whole pipelines from folders alone: diffusers wants the class's file in the repository, or its own class
    index = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["ddpm_dp", "PathScheduler"]}
    with pytest.raises(ValueError, match=r"scheduler/ddpm_dp\.py .*does not exist in lab/digits"):
        _get_custom_components_and_folders("lab/digits", index, ["scheduler/scheduler_config.json"])


def test_the_name_needs_no_diffusers_until_it_is_used():
    code = "import sys, ddpm_dp; print({'torch', 'diffusers'} & set(sys.modules), 'PathScheduler' in ddpm_dp.__all__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set() True\n"
    assert ddpm_dp.PathScheduler is PathScheduler

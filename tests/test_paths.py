"""The timestep path: its file, and the forms that other libraries take, without torch."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from ddpm_dp import (
    MixtureDenoiser,
    NoiseSchedule,
    PathFile,
    ddim,
    sample,
    to_diffusers,
    to_improved_diffusion,
    to_sigmas,
)
from ddpm_dp import paths as paths_module
from tests.other_samplers import euler, in_noise_levels, sample_euler_ancestral


def test_paths_go_out_counted_from_0():
    assert to_diffusers([0, 3, 10, 1000]) == [999, 9, 2] and to_diffusers(range(4)) == [2, 1, 0]
    assert to_improved_diffusion(np.array([0, 3, 10, 1000])) == {2, 9, 999}
    for wrong in ([], [3, 10], [0, 10, 3], [0, 1.5], [999, 9, 2], 7):
        with pytest.raises(ValueError, match="path"):
            to_diffusers(wrong)


def test_translating_a_path_needs_no_torch():
    code = (
        "import sys, ddpm_dp; sigmas = ddpm_dp.to_sigmas([0, 1, 2], ddpm_dp.NoiseSchedule([1, 0.8, 0.2]));"
        "print(ddpm_dp.to_diffusers([0, 3, 10, 1000]), sigmas, 'torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert printed == "[999, 9, 2] [2.  0.5 0. ] False\n"


@pytest.mark.parametrize(("theirs", "ours"), [(sample_euler_ancestral, sample), (euler, ddim)])
@pytest.mark.parametrize("path", [range(51), [0, 7, 11, 30, 50], [0, 50]], ids=len)
def test_samplers_that_take_noise_levels_walk_the_same_path(theirs, ours, path):
    """k-diffusion's ancestral sampler is `sample` with `posterior`, EDM's Euler step is `ddim`.

    Noise levels are up to 160 here (alpha_T = 0.0063), known to 2e-14; ten operations a step, errors that shrink with
    the noise level: far below 1e-12.
    """
    model = MixtureDenoiser(NoiseSchedule.linear(50), means=[[0.5, -0.2], [-0.4, 0.3]], std=0.15, weights=[0.3, 0.7])
    draws = torch.randn((len(path), 6, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mine, their = iter(draws), iter(draws)
    expected = ours(model, path, 6, randn=lambda shape: next(mine), progress=False)
    sigmas = torch.from_numpy(to_sigmas(path, model.noise))
    assert len(sigmas) == len(path) and sigmas[-1] == 0 and (sigmas.diff() < 0).all()
    z_T = next(their) * (1 + sigmas[0] ** 2) ** 0.5
    found = theirs(in_noise_levels(model), z_T, sigmas, lambda: next(their))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_noise_levels_need_signal_and_the_whole_path():
    noise = NoiseSchedule(np.array([1.0, 0.5, 0.0]))
    for path, reason in [([0, 1, 2], "takes timesteps"), ([0, 1], "from 0 to 1"), ([2, 1, 0], "path")]:
        with pytest.raises(ValueError, match=reason):
            to_sigmas(path, noise)


ABOUT = {
    "T": 9,
    "variance": "beta",
    "objective": "ELBO",
    "decoder": "bao",
    "decoder_words": "words",
    "model_id": "m",
    "data_id": "d",
}


def test_paths_file(tmp_path):
    file = tmp_path / "paths.json"
    paths = {4: np.array([0, 1, 3, 6, 9]), 1: np.array([0, 9])}
    sigmas = {4: np.array([8.0, 2.5, 1.1, 0.1, 0]), 1: np.array([8.0, 0])}
    more = {"shape": (3, 8, 8), "levels": 256, "images": 100, "held_out_images": 50}
    chosen = PathFile(paths, **ABOUT, bits_per_dim={4: 2.5, 1: 8.0}, held_out={4: (2.6, 0.1)}, sigmas=sigmas, **more)
    again = PathFile.load(chosen.save(file))
    assert {K: path.tolist() for K, path in again.paths.items()} == {4: [0, 1, 3, 6, 9], 1: [0, 9]}
    assert {K: levels.tolist() for K, levels in again.sigmas.items()} == {4: [8.0, 2.5, 1.1, 0.1, 0], 1: [8.0, 0]}
    assert all(getattr(again, name) == value for name, value in (ABOUT | more).items())
    assert again.bits_per_dim == {4: 2.5, 1: 8.0} and again.held_out == {4: (2.6, 0.1)}
    text = file.read_text()
    for broken in ("", "[]", "{}", text[:50], text.replace("9]", "8]"), text.replace('_paths": 4', '_paths": 5')):
        file.write_text(broken)
        with pytest.raises(ValueError, match="not a whole paths file"):
            PathFile.load(file)
    for broken in (
        {4: sigmas[4][[0, 2, 1, 3, 4]]},
        {1: sigmas[1][:1]},
        {4: sigmas[4] + 1},
        {2: np.array([1.0, 0.5, 0])},
    ):
        replace(chosen, sigmas=broken).save(file)
        with pytest.raises(ValueError, match="do not descend to 0"):
            PathFile.load(file)


def test_files_of_format_3_still_load(tmp_path):
    """Written out by hand, as the version before wrote them."""
    old = ABOUT | {
        "ddpm_dp_paths": 3,
        "bits_per_dim": {"2": 2.5},
        "held_out": {"2": [2.6, 0.1]},
        "paths": {"2": [0, 4, 9]},
    }
    (tmp_path / "old.json").write_text(json.dumps(old))
    read = PathFile.load(tmp_path / "old.json")
    assert read.paths[2].tolist() == [0, 4, 9] and read.held_out == {2: (2.6, 0.1)}
    assert (read.sigmas, read.shape, read.images) == ({}, None, None)


def test_every_key_of_the_file_is_documented(tmp_path):
    """The table in the module's docstring, which is the schema."""
    chosen = PathFile({1: np.array([0, 9])}, **ABOUT, bits_per_dim={1: 8.0}, held_out={})
    written = json.loads(chosen.save(tmp_path / "paths.json").read_text())
    rows = [line.split("|")[1] for line in paths_module.__doc__.splitlines() if line.startswith("| `")]
    assert {name.strip(" `") for row in rows for name in row.split(",")} == {*written}

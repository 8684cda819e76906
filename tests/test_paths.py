"""The timestep path: its file, and the forms that other libraries take, without torch."""

import subprocess
import sys

import numpy as np
import pytest

from ddpm_dp import PathFile, to_diffusers, to_improved_diffusion


def test_paths_go_out_counted_from_0():
    assert to_diffusers([0, 3, 10, 1000]) == [999, 9, 2] and to_diffusers(range(4)) == [2, 1, 0]
    assert to_improved_diffusion(np.array([0, 3, 10, 1000])) == {2, 9, 999}
    for wrong in ([], [3, 10], [0, 10, 3], [0, 1.5], [999, 9, 2], 7):
        with pytest.raises(ValueError, match="path"):
            to_diffusers(wrong)


def test_translating_a_path_needs_no_torch():
    code = "import sys, ddpm_dp; print(ddpm_dp.to_diffusers([0, 3, 10, 1000]), 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[999, 9, 2] False\n"


def test_paths_file(tmp_path):
    file = tmp_path / "paths.json"
    about = {
        "T": 9,
        "variance": "beta",
        "objective": "ELBO",
        "decoder": "bao",
        "decoder_words": "words",
        "model_id": "m",
        "data_id": "d",
    }
    paths = {4: np.array([0, 1, 3, 6, 9]), 1: np.array([0, 9])}
    chosen = PathFile(paths, **about, bits_per_dim={4: 2.5, 1: 8.0}, held_out={4: (2.6, 0.1)})
    again = PathFile.load(chosen.save(file))
    assert {K: path.tolist() for K, path in again.paths.items()} == {4: [0, 1, 3, 6, 9], 1: [0, 9]}
    assert all(getattr(again, name) == value for name, value in about.items())
    assert again.bits_per_dim == {4: 2.5, 1: 8.0} and again.held_out == {4: (2.6, 0.1)}
    for broken in ("", "[]", "{}", file.read_text()[:50], file.read_text().replace("9]", "8]")):
        file.write_text(broken)
        with pytest.raises(ValueError, match="not a whole paths file"):
            PathFile.load(file)

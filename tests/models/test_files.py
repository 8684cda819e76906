from dataclasses import replace

import numpy as np
import pytest
import torch

from ddpm_dp import load, load_dataset, train
from tests.training.small import TINY, weights


def test_model_file(tmp_path):
    model = train(load_dataset("digits"), replace(TINY, steps=2), device="cpu", progress=False)
    file = model.save(tmp_path / "model.safetensors")
    again = load(file, "cpu")
    assert again.id == model.id and again.levels == 17 and again.about == model.about
    assert np.array_equal(again.noise.abar, model.noise.abar)
    rounded = load(model.save(tmp_path / "half.safetensors", half=True), "cpu")
    torch.testing.assert_close(
        weights(rounded), weights(model), rtol=2**-11, atol=2**-25
    )  # half precision: 11 bits, and steps of 2^-24 near 0
    assert rounded.id != model.id and weights(rounded).dtype == torch.float32
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * file.stat().st_size
    whole = file.read_bytes()
    for part in (0, 5, 100, len(whole) - 1):
        file.write_bytes(whole[:part])
        with pytest.raises(ValueError, match="not a whole"):
            load(file)
    with pytest.raises(FileNotFoundError, match="these ship"):
        load("no-such-model")

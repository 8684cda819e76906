"""The whole job in one go."""

import re
from dataclasses import replace

import pytest

from ddpm_dp import PathFile, TrainConfig, load_dataset
from ddpm_dp.reporting.demo import demo
from ddpm_dp.variances import SCALAR


@pytest.mark.slow
def test_demo_writes_what_it_says(tmp_path, capsys, monkeypatch):
    data = load_dataset("digits")
    few = replace(data, train=data.train[:100], test=data.test[:50])  # all are measured by `make demo`
    monkeypatch.setattr("ddpm_dp.reporting.demo.load_dataset", lambda name: few)
    demo(tmp_path, TrainConfig(T=130, steps=20, width=16, depth=1), device="cpu")
    printed = capsys.readouterr().out
    figures, files = {"bits_per_dim.png", "timesteps.png", "samples.png"}, {"path_32.json", "train.npz", "test.npz"}
    assert {file.name for file in tmp_path.iterdir()} == {*figures, *files, "model.safetensors", "path_32.card.md"}
    assert printed.count("Held-out bits/dim") == printed.count("\n   130") == len(SCALAR) and "make lab" in printed
    costs = {int(K): float(bits) for K, bits in re.findall(r"^ +(\d+) .* ([\d.]+) \(\S+\)$", printed, re.M)[-6:]}
    cheapest = re.search(r"^(\d+) chosen steps cost less than all 130", printed, re.M)
    assert len(costs) == 6 and costs[int(cheapest[1]) if cheapest else 130] == min(costs.values())
    assert len(PathFile.load(tmp_path / "path_32.json").paths[32]) == 33
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="bits_per_dim.png is there already"):  # of other settings
        demo(tmp_path, TrainConfig(T=130, steps=21, width=16, depth=1), device="cpu")
    (tmp_path / "samples.png").write_text("a note")
    with pytest.raises(FileExistsError, match="samples.png is there already"):
        demo(tmp_path, TrainConfig(T=130, steps=20, width=16, depth=1), device="cpu")
    assert before | {tmp_path / "samples.png": b"a note"} == {file: file.read_bytes() for file in tmp_path.iterdir()}

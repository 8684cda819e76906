"""The package as its users meet it: imports, the command line, the wheel."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ddpm_dp.demo import demo

import ddpm_dp
from ddpm_dp import DenoisingStatistics, PathFile, TrainConfig, load
from ddpm_dp.cli import main

ROOT = Path(__file__).parents[1]


def test_solving_needs_no_torch():
    """`import ddpm_dp`, pricing and solving must not pull in torch, whose import takes seconds."""
    code = (
        "import sys, ddpm_dp; ddpm_dp.NoiseSchedule.cosine(10); ddpm_dp.step_costs; ddpm_dp.solve; ddpm_dp.STRIDES;"
        "ddpm_dp.DenoisingStatistics; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    light = "import sys, ddpm_dp; sys.exit(bool({'torch', 'numba', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", light]).returncode == 0


def test_every_public_name_exists():
    for name in ddpm_dp.__all__:
        assert getattr(ddpm_dp, name) is not None, name
    with pytest.raises(AttributeError, match="no_such_name"):
        ddpm_dp.no_such_name  # noqa: B018


def test_paths_file(tmp_path):
    file = tmp_path / "paths.json"
    about = {"T": 9, "variance": "beta", "objective": "ELBO", "decoder": "words", "model_id": "m", "data_id": "d"}
    paths = {4: np.array([0, 1, 3, 6, 9]), 1: np.array([0, 9])}
    chosen = PathFile(paths, **about, bits_per_dim={4: 2.5, 1: 8.0}, held_out={4: (2.6, 0.1)})
    again = PathFile.load(chosen.save(file))
    assert {K: path.tolist() for K, path in again.paths.items()} == {4: [0, 1, 3, 6, 9], 1: [0, 9]}
    assert all(getattr(again, name) == value for name, value in about.items())
    assert again.bits_per_dim == {4: 2.5, 1: 8.0} and again.held_out == {4: (2.6, 0.1)}
    for broken in ("", "[]", "{}", file.read_text()[:50], file.read_text().replace("9]", "8]")):
        file.write_text(broken)
        with pytest.raises(ValueError, match="paths file|from 0 to 8"):
            PathFile.load(file)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """One run of the command line, file by file, on a tiny model."""
    out = tmp_path_factory.mktemp("out")
    for command in """
        train digits --T 40 --steps 30 --width 16 --depth 1 --device cpu --out {out}/model.safetensors
        measure {out}/model.safetensors digits --images 200 --out {out}/train.npz
        measure {out}/model.safetensors digits --split test --fitted {out}/train.npz --out {out}/test.npz
        solve {out}/train.npz --budgets 2 4 8 --held-out {out}/test.npz --out {out}/paths.json
        solve {out}/train.npz --objective mse --variance beta --budgets 4 --out {out}/mse.json
        sample {out}/model.safetensors {out}/paths.json -K 4 --statistics {out}/train.npz -n 9 --out {out}/s.png
    """.strip().splitlines():
        assert main([word.format(out=out) for word in command.split()]) == 0, command
    return out


def test_command_line_makes_each_file(made, capsys):
    names = {path.name for path in made.iterdir()}
    assert names == {"model.safetensors", "train.npz", "test.npz", "paths.json", "mse.json", "s.png"}
    assert load(made / "model.safetensors").noise.T == 40
    test, train = DenoisingStatistics.load(made / "test.npz"), DenoisingStatistics.load(made / "train.npz")
    assert (train.n, test.n) == (200, 360) and np.array_equal(test.fitted_m, train.fitted_m)
    best = ddpm_dp.solve(ddpm_dp.step_costs(train, "analytic"))
    assert json.loads((made / "paths.json").read_text())["paths"]["8"] == best.path(8).tolist()
    assert main(["evaluate", str(made / "test.npz"), str(made / "paths.json")]) == 0
    printed = capsys.readouterr().out
    price = ddpm_dp.step_costs(test, "analytic").of(best.path(8))
    bits, error = (ddpm_dp.bits_per_dim(x, 64) for x in (price.total, price.standard_error))
    published = PathFile.load(made / "paths.json")
    assert published.held_out[8] == pytest.approx((bits, error), rel=1e-12)
    assert published.bits_per_dim[8] == pytest.approx(ddpm_dp.bits_per_dim(best.nats(8), 64), rel=1e-9)
    assert "17 grey levels" in published.decoder and PathFile.load(made / "mse.json").objective == "MSE"
    assert f"{bits:.3f} ({error:.3f})" in printed and "fitted on training images" in printed and "360 images" in printed


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["train", "cats", "--out", "x"], "cats"),
        (["measure", "absent.safetensors", "digits", "--out", "x"], "absent.safetensors"),
        (["solve", "{out}/train.npz", "--budgets", "41", "--out", "x"], "41"),
        (["solve", "{out}/train.npz", "--variance", "large", "--out", "x"], "large"),
        (["solve", "{out}/paths.json", "--out", "x"], "not a whole statistics file"),
        (["evaluate", "{out}/test.npz", "{out}/train.npz"], "not a paths file"),
        (["solve", "{out}/train.npz", "--held-out", "{out}/train.npz", "--out", "x"], "very images"),
        (
            ["solve", "{out}/test.npz", "--held-out", "{out}/test.npz", "--variance", "beta", "--out", "x"],
            "very images",
        ),
        (["evaluate", "{out}/train.npz", "{out}/paths.json"], "chosen on these very images"),
        (["measure", "{out}/model.safetensors", "digits", "--device", "abacus", "--out", "x"], "cannot be used here"),
        (["train", "digits", "--steps", "0", "--out", "x"], "steps = 0"),
        (["train", "digits", "--width", "9", "--out", "x"], "even number"),
        (["sample", "{out}/model.safetensors", "{out}/paths.json", "-K", "5", "--out", "x"], "no path of 5 steps"),
        (["sample", "{out}/model.safetensors", "{out}/paths.json", "-K", "4", "--out", "x"], "without its m_t"),
        (["sample", "digits", "{out}/paths.json", "-K", "4", "--out", "x"], "another model"),
        (["measure", "digits", "digits", "--fitted", "{out}/train.npz", "--out", "x"], "measure this model"),
        (["measure", "digits", "two-moons", "--out", "x"], "trained on digits"),
    ],
)
def test_wrong_input_ends_with_one_sentence(made, tmp_path, monkeypatch, capsys, arguments, word):
    monkeypatch.chdir(tmp_path)
    assert main([a.format(out=made) for a in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert word in error and error.startswith(f"ddpm-dp {arguments[0]}: ") and not list(tmp_path.iterdir())


def test_demo_writes_what_it_says(tmp_path, capsys):
    demo(tmp_path, TrainConfig(T=130, steps=20, width=16, depth=1), device="cpu")
    printed = capsys.readouterr().out
    figures, files = {"bits_per_dim.png", "timesteps.png", "samples.png"}, {"path_32.json", "train.npz", "test.npz"}
    assert {file.name for file in tmp_path.iterdir()} == {*figures, *files, "model.safetensors"}
    assert printed.count("Held-out bits/dim") == 3 and printed.count("\n   130") == 3 and "make lab" in printed
    assert len(PathFile.load(tmp_path / "path_32.json").paths[32]) == 33


@pytest.mark.parametrize("command", ["train", "measure", "solve", "evaluate", "sample", "demo"])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0 and f"ddpm-dp {command}" in capsys.readouterr().out.split("example:")[1]


SIX_LINES = """
import ddpm_dp
images = ddpm_dp.load_dataset("digits").train[:20]
model  = ddpm_dp.load("digits")
stats  = ddpm_dp.measure(model, images)
costs  = ddpm_dp.step_costs(stats, variance="analytic")
best   = ddpm_dp.solve(costs, budgets=256)
path   = best.path(32)
images = ddpm_dp.sample(model, path, n=4)
assert images.shape == (4, 1, 8, 8) and len(path) == 33, (images.shape, path)
assert "clone" not in ddpm_dp.__file__
print(ddpm_dp.__file__)
"""


def test_wheel_works_without_the_clone(tmp_path):
    """Build the wheel, install it alone in an empty environment, and run the six lines somewhere else."""
    run = {"check": True, "capture_output": True, "text": True, "cwd": tmp_path}
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT], **run, env=clean)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], **run)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*pip, "torch"], **run, env=clean)  # first, and pinned: see the Makefile
    subprocess.run([*pip, wheel], **run, env=clean)
    printed = subprocess.run([python, "-c", SIX_LINES], **run, env=clean).stdout
    assert str(tmp_path) in printed and str(ROOT) not in printed

"""The command line: what each command writes, what it says of a wrong input, and its help."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ddpm_dp
from ddpm_dp import DenoisingStatistics, PathFile, cli, load
from ddpm_dp.cli import main
from ddpm_dp.datasets import DATASETS
from ddpm_dp.experiments import EXPERIMENTS
from ddpm_dp.models.architectures import NETWORKS
from ddpm_dp.noise import SCHEDULES
from ddpm_dp.objectives import OBJECTIVES
from ddpm_dp.training.losses import LOSSES
from ddpm_dp.variances import FAMILIES


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
        explorer {out} --variances posterior analytic --out {out}/page.html
        explorer {out} --variances analytic --out {out}/page.json
    """.strip().splitlines():
        assert main([word.format(out=out) for word in command.split()]) == 0, command
    return out


def test_command_line_makes_each_file(made, capsys):
    names = {path.name for path in made.iterdir()}
    assert names == {
        "model.safetensors",
        "train.npz",
        "test.npz",
        "paths.json",
        "paths.card.md",
        "mse.json",
        "mse.card.md",
        "s.png",
        "page.html",
        "page.json",
    }
    assert load(made / "model.safetensors").noise.T == 40
    (model,) = json.loads((made / "page.json").read_text())["models"]
    assert (model["T"], model["films"]["budgets"]) == (40, [4, 8, 16, 32]) and str(made.parent) not in model["file"]
    assert (made / "page.html").read_text().startswith("<!doctype html>")
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
    assert (
        "17 grey levels" in published.decoder_words
        and published.decoder == "fitted"
        and PathFile.load(made / "mse.json").objective == "MSE reweighting"
    )
    assert f"{bits:.3f} ({error:.3f})" in printed and "fitted on training images" in printed and "360 images" in printed


@pytest.mark.parametrize(
    "arguments, says",
    [
        ("train two-moons --T 100000000000000 --out {out}/x", "T = 100,000,000,000,000 takes .* lower T"),
        ("train two-moons --width 100000000 --out {out}/x", "width 100,000,000 and depth 3 takes .* lower width or"),
        ("train digits --network unet --width 10000000000 --out {out}/x", "lower width or depth"),
        ("train two-moons --depth 10000000000 --out {out}/x", "depth 10,000,000,000 takes .* lower width or depth"),
        ("train two-moons --batch-size 100000000000000 --out {out}/x", "A batch of .* takes .* lower batch_size"),
        ("sample {made}/model.safetensors {made}/paths.json -K 4 -n 1000000000000 --statistics {made}/train.npz "
         "--out {out}/x.png", "n = 1,000,000,000,000 samples takes .* lower n"),
    ],
)  # fmt: skip
def test_what_needs_more_memory_than_there_is_ends_before_it_begins(made, tmp_path, capsys, arguments, says):
    assert main([word.format(out=tmp_path, made=made) for word in arguments.split()]) == 2
    said = capsys.readouterr().err
    assert re.search(says, said) and said.count("\n") == 1 and not list(tmp_path.iterdir())


def test_memory_that_runs_out_in_spite_of_all_is_a_sentence(made, tmp_path, capsys, monkeypatch):
    def too_much(*arguments, **options):
        torch.empty(2**50)

    monkeypatch.setattr("ddpm_dp.reporting.compare.compare", too_much)
    assert main(["evaluate", str(made / "test.npz"), str(made / "paths.json")]) == 2
    assert "ddpm-dp evaluate: memory ran out; lower" in capsys.readouterr().err
    monkeypatch.setattr("ddpm_dp.reporting.compare.compare", lambda *a: (_ for _ in ()).throw(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["evaluate", str(made / "test.npz"), str(made / "paths.json")])


def test_a_terminal_without_the_letters_of_a_name_does_not_matter(made, tmp_path):
    out = tmp_path / "Pfäde ☃.json"
    command = [sys.executable, "-m", "ddpm_dp", "solve", str(made / "train.npz"), "--budgets", "4", "--out", str(out)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr, out.is_file()) == (0, "", True) and "Pf\\xe4de \\u2603.json" in done.stdout


def test_a_chain_of_three_timesteps_has_budgets_too(tmp_path):
    data, noise = np.random.default_rng(0).standard_normal((8, 2)), ddpm_dp.NoiseSchedule.cosine(3)
    statistics = ddpm_dp.measure(ddpm_dp.MixtureDenoiser(noise, [[0.5, 0.5]], 0.1), data, progress=False)
    statistics.save(tmp_path / "train.npz")
    assert main(["solve", str(tmp_path / "train.npz"), "--out", str(tmp_path / "paths.json")]) == 0
    assert [*PathFile.load(tmp_path / "paths.json").paths] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["train", "cats", "--out", "x"], "invalid choice: 'cats' (choose from"),
        (["train", "digits"], "required: --out"),
        (["train", "digits", "--steps", "many", "--out", "x"], "invalid int value: 'many'; see ddpm-dp train --help."),
        (["measure", "digits", "digits", "--images", "0", "--out", "x"], "expected a whole number, 1 or more"),
        (["experiment", "cats"], "invalid choice: 'cats' (choose from"),
        (["measure", "absent.safetensors", "digits", "--out", "x"], "absent.safetensors"),
        (["solve", "{out}/train.npz", "--budgets", "41", "--out", "x"], "41"),
        (["solve", "{out}/train.npz", "--variance", "large", "--out", "x"], "invalid choice: 'large'"),
        (["solve", "{out}/paths.json", "--out", "x"], "not a whole statistics file"),
        (["evaluate", "{out}/test.npz", "{out}/train.npz"], "not a whole paths file"),
        (["solve", "{out}/train.npz", "--held-out", "{out}/train.npz", "--out", "x"], "very images"),
        (
            ["solve", "{out}/test.npz", "--held-out", "{out}/test.npz", "--variance", "beta", "--out", "x"],
            "statistics are held-out ones",
        ),
        (["evaluate", "{out}/train.npz", "{out}/paths.json"], "very images"),
        (["measure", "{out}/model.safetensors", "digits", "--device", "abacus", "--out", "x"], "cannot be used here"),
        (["train", "digits", "--steps", "0", "--out", "x"], "steps = 0"),
        (["train", "digits", "--width", "9", "--out", "x"], "even number"),
        (["sample", "{out}/model.safetensors", "{out}/paths.json", "-K", "5", "--out", "x.png"], "no path of 5 steps"),
        (
            ["sample", "{out}/model.safetensors", "{out}/paths.json", "-K", "4", "--out", "x.png"],
            "without what it fits",
        ),
        (
            ["sample", "{out}/model.safetensors", "{out}/paths.json", "-K", "4", "--out", "x.jpg"],
            "the name of a .png file",
        ),
        (["train", "digits", "--path", "photos", "--out", "x"], "see ddpm-dp train --help"),
        (["measure", "{out}/model.safetensors", "digits", "--standard-error", "0", "--out", "x"], "above 0"),
        (["sample", "digits", "{out}/paths.json", "-K", "4", "--out", "x.png"], "another model"),
        (["measure", "digits", "digits", "--fitted", "{out}/train.npz", "--out", "x"], "measure this model"),
        (["measure", "digits", "two-moons", "--out", "x"], "trained on digits"),
        (["explorer", "nobody", "--out", "x"], "nobody"),
        (["explorer", "{out}", "--variances", "learned", "--out", "x"], "can be priced with posterior"),
    ],
)
def test_wrong_input_ends_with_one_sentence(made, tmp_path, monkeypatch, capsys, arguments, word):
    monkeypatch.chdir(tmp_path)
    assert main([a.format(out=made) for a in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert word in error and error.startswith(f"ddpm-dp {arguments[0]}: ") and not list(tmp_path.iterdir())


def helped(command: str, capsys, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "10000")  # one line for each argument
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["train", "measure", "solve", "evaluate", "sample", "report", "explorer", "experiment", "demo"]
)
def test_help_has_an_example(command, capsys, monkeypatch):
    assert f"ddpm-dp {command}" in helped(command, capsys, monkeypatch).split("example:")[1]


@pytest.mark.parametrize(
    ("command", "registries"),
    [
        ("train", [DATASETS, LOSSES, NETWORKS, SCHEDULES]),
        ("measure", [DATASETS]),
        ("solve", [FAMILIES, OBJECTIVES]),
        ("experiment", [EXPERIMENTS]),
    ],
)
def test_help_lists_every_choice(command, registries, capsys, monkeypatch):
    text = helped(command, capsys, monkeypatch)
    for registry in registries:
        assert f"{{{','.join(registry)}}}" in text
        for name, entry in registry.items():
            assert f"{name}: {entry.words}" in text


def test_its_version_and_completion_are_printed(capsys):
    for arguments, words in {("--version",): ddpm_dp.__version__, ("--completion", "bash"): "measure"}.items():
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        assert ended.value.code == 0 and words in capsys.readouterr().out


@pytest.mark.parametrize("variance", ["posterior", "analytic", "local", "spectral"])
def test_what_is_said_after_solve_prices_the_paths_of_any_family(made, variance, capsys):
    parts = [made / "train.npz", "--held-out", made / "test.npz", "--out", made / f"{variance}.json", "--budgets", 4]
    assert main(["solve", *map(str, parts), "--variance", variance, "--overwrite"]) == 0
    (command,) = re.findall(r"^next: ddpm-dp (.+)$", capsys.readouterr().out, re.M)
    published = PathFile.load(made / f"{variance}.json").held_out[4]
    assert main(shlex.split(command)) == 0
    assert "{:.3f} ({:.3f})".format(*published) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [("--help", ""), ("solve --help", ""), ("--completion bash", ""), ("--completion bash", "1")],
)
def test_nobody_is_told_that_nobody_reads_on(arguments, unbuffered):
    """`ddpm-dp ... | head`: no word, neither from here nor from Python at its end, and the status of other programs."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "ddpm_dp", *arguments.split()]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_what_else_cannot_be_written_is_told(monkeypatch):
    """Windows has no word of its own for a pipe that nobody reads; a file that is no file has its name."""
    gone, full = OSError(errno.EINVAL, "Invalid argument"), OSError(errno.ENOSPC, "No space left on device")
    named = OSError(errno.EINVAL, "Invalid argument", "a?.json")
    assert [cli._nobody_reads(each) for each in (gone, named, full, BrokenPipeError())] == [False, False, False, True]
    monkeypatch.setattr(os, "name", "nt")
    assert [cli._nobody_reads(each) for each in (gone, named, full, BrokenPipeError())] == [True, False, False, True]


@pytest.mark.slow
def test_odd_photos_go_from_train_to_samples_by_what_is_said_next(tmp_path, capsys):
    """Sixty files of all kinds and sizes: each command's `next:` line is the command after it."""
    from PIL import Image

    rng = np.random.default_rng(0)
    (tmp_path / "my photos").mkdir()
    for i in range(60):
        width, height = rng.integers(9, 40, 2)
        mode = ("RGB", "L", "RGBA", "I;16")[i % 4]
        pixels = rng.integers(0, 60_000, (height, width)).astype(np.uint16)
        image = (
            Image.fromarray(pixels) if mode == "I;16" else Image.fromarray((pixels >> 8).astype(np.uint8)).convert(mode)
        )
        image.save(tmp_path / "my photos" / f"{i}.{'png' if mode in ('RGBA', 'I;16') else 'jpg'}")
    (tmp_path / "my photos" / "notes.txt").write_text("no picture")
    command = f"ddpm-dp train images --data-path '{tmp_path}/my photos' --size 8 --T 40 --steps 3 --width 8 --depth 1 "
    command += f"--device cpu --out '{tmp_path}/the model.safetensors'"
    done = []
    while command:
        words = [str(tmp_path / "the model.safetensors") if word == "MODEL" else word for word in shlex.split(command)]
        assert main(words[1:]) == 0, command
        done.append(words[1])
        command = (re.findall(r"^next: (.+)$", capsys.readouterr().out, re.M) or [""])[0]
    assert done == ["train", "measure", "measure", "solve", "evaluate", "sample"]

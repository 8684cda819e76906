"""Held-out means: no image in common. And the commands: what they keep, what they refuse to write over."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_dp import DenoisingStatistics, Measured, NoiseSchedule, PathFile, compare, load, measure, path_file
from ddpm_dp.cli import main
from ddpm_dp.files import claimed
from ddpm_dp.statistics import COMMON, fingerprints
from tests.conftest import draw

PATHS = {"some": {2: np.array([0, 30, 100])}}


def test_one_image_in_common_is_found(mixture, points, statistics, tmp_path):
    """501 images of which 500 were solved on passed as held out; so did one that was not told apart at all."""
    others = draw(mixture, 200, seed=2)
    for n in (1, 500):
        mixed = np.concatenate([others, points[-n:]])
        sentence = f"{n} of the {200 + n} held-out images are among those"
        with pytest.raises(ValueError, match=sentence):  # before the work, where it can be
            measure(mixture, mixed, fitted=statistics, progress=False)
        held_out = measure(mixture, mixed, progress=False).fitted_to(statistics)
        with pytest.raises(ValueError, match=sentence):
            Measured(statistics, held_out)
        again = DenoisingStatistics.load(held_out.save(tmp_path / "test.npz"))
        chosen = PathFile.load(path_file(Measured(statistics), PATHS["some"], "beta").save(tmp_path / "paths.json"))
        with pytest.raises(ValueError, match=sentence):  # a paths file does not list its images
            Measured(chosen, again)
    both = Measured(statistics, measure(mixture, others, fitted=statistics, progress=False))
    assert both.in_common == 0 and not both.doubt and both.judge.about[COMMON] == 0


def test_a_part_of_the_groups_is_a_part_of_the_images(mixture, points, statistics):
    few = measure(mixture, points[:70], timesteps=4, progress=False)
    part = few.of_groups(np.array([0, 5]))
    assert set(part.images) == set(fingerprints(points[[0, 32, 64, 5, 37, 69]], None)) and part.n == 6


def test_what_an_earlier_version_did_not_record_is_said(mixture, points, statistics, tmp_path):
    held_out = measure(mixture, draw(mixture, 200, seed=2), fitted=statistics, progress=False)
    old = replace(held_out, images=None, about={})
    both = Measured(statistics, old)
    assert both.in_common is None and "is unknown" in str(compare(both, PATHS, "beta"))
    assert "is unknown" not in str(compare(Measured(statistics, held_out), PATHS, "beta"))
    images = draw(mixture, 200, seed=2)
    assert Measured(statistics, old.of_images(images, statistics)).in_common == 0
    with pytest.raises(ValueError, match="these statistics are of others"):
        old.of_images(images[:-1])


def test_levels_tell_images_apart_however_they_are_rounded():
    grey = np.random.default_rng(0).integers(0, 256, (100, 3, 4))
    exact = 2 * grey / 255 - 1
    found = fingerprints(exact, 256)
    assert len({*found}) == 100 and np.array_equal(found, fingerprints(exact.astype(np.float32) + 1e-6, 256))
    assert not np.isin(fingerprints(exact[:, :, ::-1], 256), found).any()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out")
    for line in """
        train two-moons --T 20 --steps 20 --width 16 --depth 1 --device cpu --out {out}/m.safetensors
        measure {out}/m.safetensors two-moons --images 60 --timesteps 8 --out {out}/train.npz
        solve {out}/train.npz --budgets 2 4 --out {out}/paths.json
        sample {out}/m.safetensors {out}/paths.json -K 4 --statistics {out}/train.npz -n 9 --out {out}/s.png
    """.strip().splitlines():
        assert run(line, out) == 0
    return out


def run(line: str, out: Path) -> int:
    return main([word.format(out=out) for word in line.split()])


TRAIN = "train two-moons --T 20 --steps 20 --width 16 --depth 1 --device cpu --out {out}/m.safetensors"
MEASURE = "measure {out}/m.safetensors two-moons --images 60 --timesteps 8 --out {out}/train.npz"
SOLVE = "solve {out}/train.npz --budgets 2 4 --out {out}/paths.json"
SAMPLE = "sample {out}/m.safetensors {out}/paths.json -K 4 --statistics {out}/train.npz -n 9 --out {out}/s.png"


@pytest.mark.parametrize("line", [TRAIN, MEASURE, SOLVE, SAMPLE], ids=lambda line: line.split()[0])
def test_a_finished_result_of_the_same_settings_stays(made, line, capsys):
    before = contents(made)
    assert run(line, made) == 0 and contents(made) == before
    assert "is finished" in capsys.readouterr().out or line == SOLVE  # solving takes no time


@pytest.mark.parametrize(
    "line",
    [
        TRAIN.replace("--steps 20", "--steps 21"),
        TRAIN + " --seed 1",
        TRAIN + " --half",
        MEASURE.replace("60", "61"),
        MEASURE + " --seed 1",
        MEASURE.replace("--timesteps 8", "--timesteps 9"),
        MEASURE + " --split test",
        SOLVE.replace("2 4", "2 5"),
        SOLVE + " --variance beta",
        SAMPLE + " --seed 1",
        SAMPLE.replace("-n 9", "-n 10"),
        TRAIN.replace("m.safetensors", "train.npz"),
        SOLVE.replace("paths.json", "s.png"),
    ],
)
def test_a_result_of_other_settings_is_refused(made, line, capsys):
    before = contents(made)
    assert run(line, made) == 2 and contents(made) == before
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "train two-moons --steps 5 --start {out}/m.safetensors --out {out}/m.safetensors",
        MEASURE.replace("train.npz", "m.safetensors"),
        "measure {out}/m.safetensors two-moons --split test --fitted {out}/train.npz --out {out}/train.npz",
        "solve {out}/train.npz --out {out}/train.npz",
        SAMPLE.replace("s.png", "m.safetensors"),
        SAMPLE.replace("s.png", "paths.json"),
        SAMPLE.replace("s.png", "train.npz"),
        "explorer {out}/train.npz --out {out}/train.npz",
        "explorer {out} --out {out}/m.safetensors",
    ],
)
def test_no_command_writes_over_its_input(made, line, capsys):
    if line.startswith("explorer {out} "):
        (made / "model.safetensors").write_bytes((made / "m.safetensors").read_bytes())
        line = line.replace("m.safetensors", "model.safetensors")
    before = contents(made)
    assert run(line + " --overwrite", made) == 2 and contents(made) == before
    assert "is also an input" in capsys.readouterr().err


def test_the_second_on_one_output_says_so(made, tmp_path, capsys):
    for line in (TRAIN, MEASURE, SOLVE, SAMPLE):
        *command, out = line.split()
        there = tmp_path / out.split("/")[1]
        with claimed(there):
            assert main([*(word.format(out=made) for word in command), str(there)]) == 2
        assert "Another process is writing" in capsys.readouterr().err and not there.exists()


def test_overwriting_is_asked_for(made, tmp_path):
    file = tmp_path / "paths.json"
    file.write_text("a note")
    assert run(SOLVE.replace("{out}/paths.json", str(file)), made) == 2 and file.read_text() == "a note"
    assert run(SOLVE.replace("{out}/paths.json", str(file)) + " --overwrite", made) == 0
    assert PathFile.load(file).paths.keys() == {2, 4}


def test_statistics_say_where_they_come_from(made):
    found = DenoisingStatistics.load(made / "train.npz")
    assert found.about["split"] == "train" and found.model_id == load(made / "m.safetensors", "cpu").id
    assert {"ddpm-dp", "numpy", "torch"} <= found.about.keys() and len(found.images) == 60


@pytest.mark.parametrize("size", [{"width": 20_000}, {"depth": 10**7}, {"levels": 16}], ids=str)
def test_a_model_is_not_built_before_its_shapes_are_compared(made, tmp_path, size):
    """The first took 7.9 GB, the second never ended; the third, one bit, loaded with the same id and other answers."""
    from safetensors import safe_open

    from ddpm_dp.models.files import save_sealed

    with safe_open(made / "m.safetensors", framework="pt") as file:
        header, tensors = (
            json.loads(file.metadata()["ddpm_dp"]),
            {name: file.get_tensor(name) for name in file.keys()},
        )
    header["architecture"] |= size
    with pytest.raises(ValueError, match="has shape|expected a whole number from 1 to"):
        load(save_sealed(tmp_path / "crafted.safetensors", tensors, "ddpm_dp", header))


def test_the_same_model_is_the_same_bytes(made, tmp_path):
    model = load(made / "m.safetensors", "cpu")
    one, *others = (model.save(tmp_path / str(i)).read_bytes() for i in range(8))
    assert all(other == one for other in others)


def test_the_largest_seed_is_a_seed_of_its_own(mixture, points):
    """2^64 - 1 gave the noise of seed 0; 2^64 was a traceback."""
    few = {
        seed: measure(mixture, points[:5], timesteps=4, seed=seed, progress=False).m.tolist()
        for seed in (0, 1, 2**64 - 1)
    }
    assert len({tuple(m) for m in few.values()}) == 3
    with pytest.raises(ValueError, match="seed = 18446744073709551616; expected a whole number from 0"):
        measure(mixture, points[:5], seed=2**64, progress=False)


def test_few_timesteps_have_a_budget(mixture, tmp_path):
    from ddpm_dp import MixtureDenoiser

    tiny = MixtureDenoiser(NoiseSchedule.cosine(3), mixture.means.numpy(), mixture.std)
    measure(tiny, draw(mixture, 50, seed=1), progress=False).save(tmp_path / "train.npz")
    assert main(["solve", str(tmp_path / "train.npz"), "--out", str(tmp_path / "paths.json")]) == 0
    assert PathFile.load(tmp_path / "paths.json").paths.keys() == {1, 2, 3}


def test_one_held_out_image_has_a_price_without_an_error(mixture, statistics, tmp_path):
    """It wrote Infinity, which is no JSON."""
    one = measure(mixture, draw(mixture, 1, seed=2), fitted=statistics, progress=False)
    file = path_file(Measured(statistics, one), PATHS["some"], "beta").save(tmp_path / "paths.json")
    assert "Infinity" not in file.read_text() and PathFile.load(file).held_out[2][1] == np.inf


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}

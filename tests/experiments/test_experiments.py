"""Experiments: their files against the models that ship, and a tiny one that is interrupted, repeated and changed."""

import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ddpm_dp import DenoisingStatistics, Measured, TrainConfig, load, shipped
from ddpm_dp.experiments import EXPERIMENTS, Experiment
from ddpm_dp.experiments.run import run
from ddpm_dp.measuring.survey import Survey
from ddpm_dp.statistics import COMMON
from ddpm_dp.statistics.filling import grid
from ddpm_dp.training.losses import Loss

# Which experiment made which folder of data/.
SHIPPED = {"digits": "", "fashion-mnist": "fashion-mnist", "tiny-imagenet-64": "tiny-imagenet-64", "emoji": "emoji"}

TINY = """
words = "two tiny models of digits"
[data]
name = "digits"
[model]
network = "mlp"
width = 16
depth = 1
T = 30
steps = 20
[models.first]
loss = "hybrid"
[models.second]
loss = "predicted"
start = "first"
[measure]
images = 40
timesteps = 10
"""


def test_every_file_is_an_experiment():
    folder = Path(__file__).parents[2] / "ddpm_dp" / "experiments"
    assert {*EXPERIMENTS} == {file.stem for file in folder.glob("*.toml")} > {*SHIPPED}


@pytest.mark.parametrize(("name", "job"), [(name, job) for name in SHIPPED for job in EXPERIMENTS[name].models])
def test_what_ships_was_made_by_its_experiment(name, job):
    experiment, place = EXPERIMENTS[name], f"{SHIPPED[name]}/{job.folder}".lstrip("/")
    model = load(place, "cpu")
    assert model.about["dataset"] == experiment.data.name
    was, says = asdict(TrainConfig()) | model.about["config"], asdict(job.config)
    start = model.about.get("start", {})
    assert was == says
    assert start.get("id") == (load(f"{SHIPPED[name]}/{job.start}", "cpu").id if job.start else None)

    train, test = (DenoisingStatistics.load(shipped(f"{place}/{split}.npz")) for split in ("train", "test"))
    assert train.model_id == test.model_id == model.id and train.fitted_on == test.fitted_on == train.data_id
    settings = experiment.measurement
    for statistics in (train, test):
        assert settings.images in (None, statistics.n)
        assert statistics.measured.tolist() == grid(train.T, settings.timesteps or train.T).tolist()


def tiny(folder: Path, *changes: tuple[str, str]) -> Experiment:
    text = TINY
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "tiny.toml").write_text(text)
    return Experiment.read(folder / "tiny.toml")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder that was made in one go."""
    folder = tmp_path_factory.mktemp("experiment")
    run(tiny(folder), folder / "out", device="cpu")
    return folder / "out"


def ids(out: Path) -> dict[str, str]:
    return {file.parent.name: load(file, "cpu").id for file in sorted(out.glob("*/model.safetensors"))}


def test_an_experiment_makes_what_its_file_says(made):
    files = {str(file.relative_to(made)) for file in made.rglob("*") if file.is_file()}
    names = ("model.safetensors", "train.npz", "test.npz")
    assert files == {f"{folder}/{name}" for folder in ("first", "second") for name in names}
    first, second = (load(made / folder / "model.safetensors", "cpu") for folder in ("first", "second"))
    assert second.about["start"]["id"] == first.id and (first.second, second.second) == ("v", "u")
    train, test = (DenoisingStatistics.load(made / "second" / f"{split}.npz") for split in ("train", "test"))
    assert (train.n, test.n, len(train.measured)) == (40, 40, 10)
    assert train.model_id == second.id and test.fitted_on == train.data_id != test.data_id


def test_what_is_done_is_not_repeated(made, tmp_path, monkeypatch):
    """Interrupted in the second training and in the last measurement: all steps are taken once, but for that training's
    (its first checkpoint would come at step 500)."""
    done, stop = Counter(), {"training": 25, "measuring": 35}

    def counting(what, work):
        def counted(*arguments):
            if done[what] == stop.get(what):
                del stop[what]
                raise KeyboardInterrupt
            done[what] += 1
            return work(*arguments)

        return counted

    monkeypatch.setattr(Loss, "__call__", counting("training", Loss.__call__))
    monkeypatch.setattr(Survey, "at", counting("measuring", Survey.at))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tiny(tmp_path), tmp_path / "out", device="cpu")
    run(tiny(tmp_path), tmp_path / "out", device="cpu")
    assert done == {"training": 25 + 20, "measuring": 4 * 10} and not [*tmp_path.rglob("*.checkpoint")]
    assert ids(tmp_path / "out") == ids(made)

    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.*")}
    run(tiny(tmp_path), tmp_path / "out", device="cpu")
    assert done["training"] == 45 and done["measuring"] == 40
    assert written == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.*")}


def test_statistics_of_an_earlier_version_are_told_their_images(made, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    files = [
        tmp_path / "out" / folder / f"{split}.npz" for folder in ("first", "second") for split in ("train", "test")
    ]
    for file in files:
        found = DenoisingStatistics.load(file)
        replace(found, images=None, about={}).save(file)
    assert Measured.load(*files[:2]).doubt
    run(tiny(tmp_path), tmp_path / "out", device="cpu")
    for train, test in (files[:2], files[2:]):
        assert Measured.load(train, test).in_common == DenoisingStatistics.load(test).about[COMMON] == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("steps = 20", "steps = 21"), "first/model.safetensors was trained otherwise than tiny says; give another"),
        (('start = "first"\n', ""), "second/model.safetensors was trained otherwise"),
        (('name = "digits"', 'name = "two-moons"'), "first/model.safetensors was trained otherwise"),
        (("images = 40", "images = 41"), "first/train.npz was measured otherwise than tiny says; give another"),
        (("timesteps = 10", "timesteps = 11"), "first/train.npz was measured otherwise"),
    ],
)
def test_files_of_other_settings_are_refused(made, tmp_path, change, sentence):
    before = {file: file.read_bytes() for file in made.rglob("*.*")}
    with pytest.raises(ValueError, match=sentence):
        run(tiny(tmp_path, change), made, device="cpu")
    assert before == {file: file.read_bytes() for file in made.rglob("*.*")}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('loss = "hybrid"', "colour = 3"), "unexpected keyword argument 'colour'"),
        (("images = 40", "pictures = 40"), "unexpected keyword argument 'pictures'"),
        (('loss = "hybrid"', 'loss = "none"'), "loss = 'none' is not known; expected one of"),
        (('start = "first"', 'start = "third"'), "second starts from third, which is not trained before it"),
        (("words =", "text ="), "it lacks 'words'"),
        (("T = 30", "T ="), "Invalid value"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path, change, sentence):
    with pytest.raises(ValueError, match=f"tiny.toml is not the file of an experiment: .*{sentence}") as error:
        tiny(tmp_path, change)
    assert str(error.value).endswith(".") and not str(error.value).endswith("..") and "\n" not in str(error.value)

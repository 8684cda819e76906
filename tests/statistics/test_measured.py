"""The rule of honest numbers: held-out statistics are of the same model, of other images, with what was fitted."""

from dataclasses import replace

import numpy as np
import pytest

from ddpm_dp import Measured, MixtureDenoiser, NoiseSchedule, PathFile, compare, measure, path_file
from ddpm_dp.cli import main
from ddpm_dp.explorer.source import Source
from ddpm_dp.reporting.report import report
from ddpm_dp.statistics import require_chosen_on
from tests.conftest import draw

PATHS = {"some": {2: np.array([0, 30, 100])}}


@pytest.fixture(scope="module")
def held_out(mixture, statistics):
    return measure(mixture, draw(mixture, 500, seed=2), fitted=statistics, progress=False)


@pytest.fixture(scope="module")
def wrong(mixture, points, statistics, held_out) -> dict:
    """Held-out statistics that flatter, or are of something else, and a word of the sentence that refuses them."""
    others = measure(mixture, draw(mixture, 300, seed=3), progress=False)
    unfitted = measure(mixture, draw(mixture, 500, seed=2), progress=False)
    on_others = measure(mixture, draw(mixture, 500, seed=2), fitted=others, progress=False)
    same_images = measure(mixture, points, seed=7, progress=False).fitted_to(statistics)
    foreign = MixtureDenoiser(NoiseSchedule.linear(100), [[0.0, 0.0]], std=0.3)
    return {
        "training images themselves": (statistics, "very images"),
        "training images, other noise": (same_images, "very images"),
        "fitted to itself": (unfitted, "from other images"),
        "fitted on other images": (on_others, "from other images"),
        "a part, fitted anew": (replace(held_out.fitted_to(held_out), fitted_on=statistics.data_id), "fitted anew"),
        "another model": (measure(foreign, points[:99], progress=False), "measure this model"),
        "another kind of images": (replace(held_out, levels=9), "images of one kind"),
    }


CASES = [
    "training images themselves",
    "training images, other noise",
    "fitted to itself",
    "fitted on other images",
    "a part, fitted anew",
    "another model",
    "another kind of images",
]


@pytest.mark.parametrize("case", CASES)
def test_whoever_prints_a_number_refuses_what_flatters(case, statistics, wrong, tmp_path, capsys):
    """The constructor, the comparison, the published file, the report, the explorer, and the commands.

    `report` accepted the second-to-last two of these in the first edition, under its headline.
    """
    bad, word = wrong[case]
    with pytest.raises(ValueError, match=word):
        Measured(statistics, bad)
    folder = tmp_path / "model"
    statistics.save(folder / "train.npz")
    bad.save(folder / "test.npz")
    with pytest.raises(ValueError, match=word):
        report(tmp_path)
    with pytest.raises(ValueError, match=word):
        Source.open(folder)
    files = [str(folder / f"{split}.npz") for split in ("train", "test")]
    solve = ["solve", files[0], "--budgets", "4", "--out", str(tmp_path / "paths.json")]
    assert main([*solve, "--held-out", files[1]]) == 2 and word in capsys.readouterr().err
    if case in ("another kind of images", "a part, fitted anew"):
        return  # a paths file does not say of which kind they were, nor what was fitted
    assert main(solve) == 0
    assert main(["evaluate", files[1], str(tmp_path / "paths.json")]) == 2 and word in capsys.readouterr().err


def test_parts_of_held_out_statistics_keep_the_training_fit(statistics, held_out):
    for part in (held_out.of_groups(np.arange(4)), held_out.at_timesteps(held_out.measured[::3])):
        assert np.array_equal(part.fitted_m, statistics.fitted_m) and Measured(statistics, part).judge is part
    few = statistics.of_groups(np.arange(4))
    np.testing.assert_allclose(few.fitted_m, few.m, rtol=1e-14)
    with pytest.raises(ValueError, match="fitted anew"):
        Measured(few, held_out)
    with pytest.raises(ValueError, match="with 1 and 100 among them"):
        held_out.at_timesteps(np.array([1, 50, 99]))


def test_one_set_of_statistics_is_not_enough(statistics, held_out):
    for call in (lambda: compare(held_out, PATHS, "beta"), lambda: path_file(statistics, PATHS["some"], "beta")):
        with pytest.raises(ValueError, match=r"expected Measured\(train, held_out\)"):
            call()
    with pytest.raises(ValueError, match="takes the training statistics"):
        Measured(statistics, "test.npz")


def test_held_out_statistics_are_no_training_statistics(held_out):
    with pytest.raises(ValueError, match="training statistics are held-out ones"):
        Measured(held_out)


def test_a_number_that_needs_held_out_images_is_not_given_without(statistics):
    with pytest.raises(ValueError, match="no held-out statistics"):
        compare(Measured(statistics), PATHS, "beta")
    assert path_file(Measured(statistics), PATHS["some"], "beta").held_out == {}


def test_an_honest_pair_gives_honest_numbers(statistics, held_out, tmp_path):
    both = Measured(statistics, held_out)
    table = compare(both, PATHS, "analytic")
    published = path_file(both, PATHS["some"], "analytic", "mse")
    assert published.held_out == {2: (table.bits["some"][0], table.errors["some"][0])} and table.n == 500
    assert published.objective == "MSE reweighting"
    chosen = PathFile.load(published.save(tmp_path / "paths.json"))
    assert compare(Measured(chosen, held_out), PATHS, "analytic").bits["some"] == table.bits["some"]
    for file, each in {"train.npz": statistics, "test.npz": held_out}.items():
        each.save(tmp_path / file)
    assert Measured.load(tmp_path / "train.npz", tmp_path / "test.npz").judge.n == 500
    with pytest.raises(ValueError, match="test.npz: The training statistics are held-out ones"):
        Measured.load(tmp_path / "test.npz")


def test_statistics_that_sample_a_path_are_those_it_was_chosen_on(statistics, held_out, mixture):
    chosen = path_file(Measured(statistics), PATHS["some"], "analytic")
    require_chosen_on(statistics, chosen)
    others = measure(mixture, draw(mixture, 300, seed=3), progress=False)
    with pytest.raises(ValueError, match="other images than these statistics"):
        require_chosen_on(others, chosen)
    with pytest.raises(ValueError, match="held-out ones"):
        require_chosen_on(held_out, chosen)

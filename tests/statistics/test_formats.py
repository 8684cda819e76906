"""Files of earlier versions still load, with the prices that they had then; format 6 keeps what ships."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_dp import STRIDES, DenoisingStatistics, Measured, shipped, step_costs
from ddpm_dp.files import DATA
from ddpm_dp.statistics import ALL
from ddpm_dp.variances import SCALAR, served
from tests.conftest import nightly_but
from tests.statistics.same import rewritten

# Two pairs of files that the first edition wrote, and by its own code, as model -> variance -> "stride K split", their
# nats and standard errors; the nats without the first step where the decoder of that time is none any more.
FORMAT_2 = Path(__file__).parent / "format_2"
THEN = json.loads((FORMAT_2 / "prices.json").read_text())
MODELS = sorted(file.parent.relative_to(DATA).as_posix() for file in DATA.rglob("train.npz"))
EPS = np.finfo(float).eps


def measured(statistics: DenoisingStatistics, path: np.ndarray) -> list[int]:
    """The path of measured timesteps that are nearest: how others are filled in is each version's own."""
    return [0, *(int(statistics.measured[np.abs(statistics.measured - t).argmin()]) for t in path[1:])]


def load(model: str) -> dict[str, DenoisingStatistics]:
    return {split: DenoisingStatistics.load(shipped(f"{model}/{split}.npz")) for split in ("train", "test")}


@pytest.mark.parametrize("model", THEN)
def test_files_of_format_2_have_the_prices_of_the_first_edition(model):
    """To the last digit on the machine that wrote them down; another one rounds log1p and exp otherwise.

    A price is a sum of up to 32 steps and 32 groups, of terms each known to a few ulps, some of which nearly cancel
    (`step_nats` adds log rho and 1 / rho - 1): a thousand ulps. Histograms add 256 bins to that: ten thousand.
    """
    statistics = {split: DenoisingStatistics.load(FORMAT_2 / model / f"{split}.npz") for split in ("train", "test")}
    assert {*served(*statistics.values())} >= THEN[model].keys()  # later families are not among them
    for variance, prices in THEN[model].items():
        decoder = "analytic" if variance == "analytic" else "fixed"
        costs = {split: step_costs(each, variance, decoder) for split, each in statistics.items()}
        for case, (nats, *error) in prices.items():
            stride, K, split = case.split()
            price = costs[split].of(measured(statistics[split], STRIDES[stride](statistics[split].noise, int(K))))
            found = [price.total, price.standard_error] if error else [price.prior + price.steps[1:].sum()]
            np.testing.assert_allclose(found, [nats, *error], rtol=1e4 * EPS)
    with pytest.raises(ValueError, match="decoder = 'fitted' needs the decoder's curve, which was not measured"):
        step_costs(statistics["train"], "analytic")


def test_what_an_earlier_version_priced_is_kept_when_it_is_saved_again(tmp_path):
    before = DenoisingStatistics.load(FORMAT_2 / next(iter(THEN)) / "train.npz")
    after = DenoisingStatistics.load(before.save(tmp_path / "again.npz"))
    assert after.decoders.keys() == before.decoders.keys() != set()
    for name, prices in before.decoders.items():
        np.testing.assert_array_equal(after.decoders[name].nats, prices.nats)


@pytest.mark.parametrize("model", nightly_but("fashion-mnist/hybrid", MODELS))
def test_format_6_keeps_the_prices(model, tmp_path):
    """Where m_t alone is asked, the same steps to the last digit; cells keep 18 bits, the decoder's curve 17.

    Standard errors come from groups of images, of which files keep 10 bits of each part.
    """
    for split, before in load(model).items():
        after = DenoisingStatistics.load(before.save(tmp_path / f"{split}.npz"))
        with np.load(tmp_path / f"{split}.npz") as file:
            assert json.loads(str(file["header"]))["format"] == 6
        path = STRIDES["quadratic"](before.noise, 32)
        assert served(after) == served(before)
        for variance in served(before):
            found, expected = (step_costs(each, variance).of(path) for each in (after, before))
            tolerance = 0 if variance in SCALAR else 2.0**-18
            np.testing.assert_allclose(found.steps[1:], expected.steps[1:], rtol=tolerance, atol=0)
            np.testing.assert_allclose(found.steps[0], expected.steps[0], rtol=2.0**-16, atol=1e-9)
            np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=2.0**-9, atol=0)


@pytest.mark.parametrize("model", MODELS)
def test_shipped_pairs_are_honest(model):
    """A held-out file says nothing of what was fitted in bins of v or u; beside the training one it has it."""
    both = load(model)
    for name, cells in Measured(both["train"], both["test"]).judge.cells.items():
        assert np.array_equal(cells.error, both["test"].cells[name].error)
        if name != ALL:
            assert np.array_equal(cells.fitted, cells.fitted_to(both["train"].cells[name]).fitted)


def test_shipped_statistics_of_64x64_take_less_than_a_megabyte():
    assert all(shipped(f"tiny-imagenet-64/hybrid/{split}.npz").stat().st_size < 1e6 for split in ("train", "test"))


@pytest.mark.parametrize("version", [1, 7, "5"])
def test_other_formats_are_refused(statistics, tmp_path, version):
    file = statistics.save(tmp_path / "s.npz")
    rewritten(file, {"format": version})
    with pytest.raises(ValueError, match=f"has format {version!r}, this version reads 2 to 6"):
        DenoisingStatistics.load(file)


def test_whole_numbers_of_maps_come_back(statistics, tmp_path):
    """They are kept as changes from row to row, even where a change does not fit into their type. Before format 6
    they were kept as they are.

    Rows between measured ones are those of the nearest, so all timesteps are measured here.
    """
    cells, rng = statistics.cells["local"], np.random.default_rng(0)
    far = rng.choice(np.array([-(2**15), 2**15 - 1, 0, 7], dtype=np.int16), (statistics.T + 1, 5))
    far[0] = far[1]
    assert len(statistics.measured) == statistics.T
    whole = replace(cells, maps={**cells.maps, "far": far})
    file = replace(statistics, cells={**statistics.cells, "local": whole}).save(tmp_path / "s.npz")
    found = DenoisingStatistics.load(file).cells["local"].maps
    assert all(np.array_equal(found[name][1:], rows[1:]) for name, rows in whole.maps.items())
    assert found["far"].dtype == np.int16 and {"constants", "slopes", "block"} <= found.keys()
    name = "cells.local.map.far"
    with np.load(file) as content:
        assert not np.array_equal(content[name], far[1:])
    parts = {
        f"cells.{each}.map.{part}": rows[1:]
        for each in ("local", "spectral")
        for part, rows in {**statistics.cells[each].maps, **({"far": far} if each == "local" else {})}.items()
    }
    rewritten(file, {"format": 5}, **parts)
    assert np.array_equal(DenoisingStatistics.load(file).cells["local"].maps["far"][1:], far[1:])


def test_parts_that_a_version_does_not_know_are_passed_over(statistics, tmp_path):
    file = statistics.save(tmp_path / "s.npz")
    rewritten(file, {"licence": "none"}, fingerprints=np.zeros(3))
    assert np.array_equal(DenoisingStatistics.load(file).m, statistics.m)


def test_a_new_file_without_its_seal_is_refused(statistics, tmp_path):
    file = statistics.save(tmp_path / "s.npz")
    with np.load(file) as content:
        np.savez(file, **content)
    with pytest.raises(ValueError, match="its checksum is missing"):
        DenoisingStatistics.load(file)


def test_what_scores_of_an_earlier_kind_sorted_is_passed_over(tmp_path):
    """Their prices were right, but no sampler can find their cells again: they are refused, and all else is there."""
    now = load("digits")["train"]
    old = {name: replace(cells, maps={"weights": np.zeros((now.T + 1, 1, 1, 5))}) for name, cells in now.cells.items()}
    old |= {name: now.cells[name] for name in now.cells if not now.cells[name].maps}
    curves = dict(now.curves)
    assert old["spectral"].maps.keys() == {"weights"} and curves["local"].maps
    curves["local"] = replace(curves["local"], maps={"weights": np.zeros((now.T + 1, 1, 1, 5))})
    read = DenoisingStatistics.load(replace(now, cells=old, curves=curves).save(tmp_path / "old.npz"))
    assert {*now.cells} - {*read.cells} == {"local", "spectral"} and {*now.curves} - {*read.curves} == {"local"}
    with pytest.raises(ValueError, match="'spectral' needs the cells 'spectral', which were not measured, or not by"):
        step_costs(read, "spectral")
    assert step_costs(read, "analytic").of([0, 9, now.T]).total > 0

"""Files of the first edition (format 2) still load, with the prices that they had then; format 3 keeps them."""

import json
from pathlib import Path

import numpy as np
import pytest

from ddpm_dp import STRIDES, DenoisingStatistics, Measured, shipped, step_costs
from ddpm_dp.files import DATA
from ddpm_dp.statistics import ALL
from ddpm_dp.statistics.file import FORMAT_2_DECODERS
from ddpm_dp.variances import DECODERS, FAMILIES, SCALAR, served

# Two pairs of files that the first edition wrote, and their nats and standard errors by its own code:
# model -> variance -> "stride K split".
FORMAT_2 = Path(__file__).parent / "format_2"
THEN = json.loads((FORMAT_2 / "prices.json").read_text())
MODELS = sorted(file.parent.relative_to(DATA).as_posix() for file in DATA.rglob("train.npz"))
EPS = np.finfo(float).eps


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
        costs = {split: step_costs(each, variance) for split, each in statistics.items()}
        for case, (nats, error) in prices.items():
            stride, K, split = case.split()
            price = costs[split].of(STRIDES[stride](statistics[split].noise, int(K)))
            np.testing.assert_allclose([price.total, price.standard_error], [nats, error], rtol=1e4 * EPS)


@pytest.mark.parametrize("model", MODELS)
def test_format_3_keeps_the_prices(model, tmp_path):
    """The same numbers to the last digit where m_t alone is asked; cells are kept in float32 (24 bits).

    Standard errors come from groups of images, of which files keep 11 bits of each part.
    """
    for split, before in load(model).items():
        after = DenoisingStatistics.load(before.save(tmp_path / f"{split}.npz"))
        with np.load(tmp_path / f"{split}.npz") as file:
            assert json.loads(str(file["header"]))["format"] == 3
        path = STRIDES["quadratic"](before.noise, 32)
        assert served(after) == served(before)
        for variance in served(before):
            found, expected = (step_costs(each, variance).of(path) for each in (after, before))
            tolerance = 0 if variance in SCALAR else 2.0**-22
            np.testing.assert_allclose(found.steps, expected.steps, rtol=tolerance, atol=0)
            tolerance = 0 if variance in SCALAR else 2.0**-10
            np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=tolerance, atol=0)


@pytest.mark.parametrize("model", MODELS)
def test_shipped_pairs_are_honest(model):
    """A held-out file says nothing of what was fitted in bins of v or u; beside the training one it has it."""
    both = load(model)
    for name, cells in Measured(both["train"], both["test"]).judge.cells.items():
        assert np.array_equal(cells.error, both["test"].cells[name].error)
        if name != ALL:
            assert np.array_equal(cells.fitted, cells.fitted_to(both["train"].cells[name]).fitted)


def test_conventions_are_read_from_the_file_not_from_the_code(monkeypatch, statistics, tmp_path):
    """Change a decoder, and old files keep their words, and are not priced under new ones."""
    file = statistics.save(tmp_path / "s.npz")
    fixed = FAMILIES["beta"].decoder
    old_words = fixed.words
    assert {name: DECODERS[name].convention for name in FORMAT_2_DECODERS} == {
        name: convention for name, (_, convention) in FORMAT_2_DECODERS.items()
    }, "a decoder's convention has changed: files of format 2 are refused from here on, if that is meant"
    monkeypatch.setattr(type(fixed), "words", "variance 1")
    monkeypatch.setattr(type(fixed), "convention", {"variance": "1"})
    again = DenoisingStatistics.load(file)
    assert again.decoders["fixed"].words == old_words
    with pytest.raises(ValueError, match=r"another convention \(variance sigma_t\^2.*version's \(variance 1\)"):
        step_costs(again, "beta")


@pytest.mark.parametrize("version", [1, 4, "3"])
def test_other_formats_are_refused(statistics, tmp_path, version):
    file = statistics.save(tmp_path / "s.npz")
    with np.load(file) as content:
        arrays = dict(content)
    header = json.loads(str(arrays.pop("header"))) | {"format": version}
    np.savez(file, header=np.array(json.dumps(header)), **arrays)
    with pytest.raises(ValueError, match=f"has format {version}, this version reads 2 and 3"):
        DenoisingStatistics.load(file)


def test_parts_that_a_version_does_not_know_are_passed_over(statistics, tmp_path):
    file = statistics.save(tmp_path / "s.npz")
    with np.load(file) as content:
        arrays = dict(content)
    header = json.loads(str(arrays.pop("header"))) | {"licence": "none"}
    np.savez(file, header=np.array(json.dumps(header)), fingerprints=np.zeros(3), **arrays)
    assert np.array_equal(DenoisingStatistics.load(file).m, statistics.m)

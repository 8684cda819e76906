"""The pages with tables: whole, as the reports have them, and right by prices computed anew."""

import re
import runpy

import numpy as np
import pytest

from ddpm_dp import Measured, bits_per_dim, shipped, solve, step_costs
from ddpm_dp.strides import STRIDES
from tests.course.notebooks import ROOT

results = runpy.run_path(str(ROOT / "docs" / "results.py"))
REPORTS = ("fashion-mnist", "tiny-imagenet-64")


@pytest.mark.parametrize("name", REPORTS)
def test_the_appendix_has_every_number_of_the_report(name):
    """Word by word: a row of the report without its T is a row of the page, under its model's heading or with it."""
    stored = (ROOT / "benchmarks" / "results" / f"{name}.txt").read_text().splitlines()
    models = results["read"](name).models
    told = [line.split() for line in stored if line.split(" ")[0] in models]
    rows, heading = set(), ""
    for line in results["appendix"](name).splitlines():
        if line.startswith("### "):
            heading = line.split()[-1]
        words = re.sub(r"[|`]", " ", line).split()
        rows |= {tuple(words), (heading, *words)}
    assert len(told) > 30
    assert not [words for words in told if tuple(w for w in words if w not in ("1000", "4000")) not in rows]


@pytest.mark.parametrize(
    ("name", "model", "variance"),
    [
        ("fashion-mnist", "hybrid", "analytic"),
        ("tiny-imagenet-64", "hybrid", "analytic"),
        pytest.param("fashion-mnist", "hybrid", "learned", marks=pytest.mark.slow),  # all 4,000 steps: 4,000 histograms
    ],
)
def test_stored_numbers_are_those_of_the_shipped_statistics(name, model, variance):
    """Three digits are printed: half a thousandth, and an ulp of the printed number for a tie that rounds."""
    both = Measured.load(*(shipped(f"{name}/{model}/{part}.npz") for part in ("train", "test")))
    best, prices = solve(step_costs(both.train, variance), 32), step_costs(both.judge, variance)
    report, T, everything = results["read"](name), both.train.T, np.arange(both.train.T + 1)

    def numbers(cell):
        return [float(number) for number in re.findall(r"[+-]?\d+\.\d+", cell)]

    def close(cell, nats):
        assert numbers(cell) == pytest.approx(bits_per_dim(np.array(nats), both.train.d), abs=0.5001e-3)

    gaps = report.gaps[model, str(T), variance]
    for i, K in enumerate((8, 16, 32)):
        column = report.columns.index(str(K))
        for path, found in (("DP", best.path(K)), ("even", STRIDES["even"](both.train.noise, K))):
            price = prices.of(found)
            close(report.bits[model, str(T), variance, path][column], [price.total, price.standard_error])
        close(gaps[i], prices.difference(best.path(K), everything))


def test_what_the_page_says_of_the_headline_holds():
    """`learned`: on Fashion-MNIST and not on Tiny ImageNet; `spectral`: on both. For the losses that the page shows."""

    def gap(name, model, variance):
        return float(results["read"](name).gaps[model, "4000", variance][2].split()[0])

    assert all(gap("fashion-mnist", model, v) < 0.1 for model in results["LOSSES"] for v in ("learned", "spectral"))
    assert gap("tiny-imagenet-64", "hybrid", "learned") > 0.1 > gap("tiny-imagenet-64", "hybrid", "spectral")


def test_no_number_of_the_paper_is_invented():
    """Its row has what its abstract says, and nothing else."""
    assert [cell for cell in results["PAPER"] if re.search(r"\d", cell)] == [
        "Watson et al. 2021",
        "ImageNet 64x64",
        "4,000",
        "less than 0.1",
        "at most 32",
    ]


def test_a_line_that_is_not_understood_is_refused(tmp_path, monkeypatch):
    text = (ROOT / "benchmarks" / "results" / "fashion-mnist.txt").read_text()
    (tmp_path / "broken.txt").write_text(
        text.replace("vlb        4000  spectral   DP  ", "vlb        4000  spectral   best", 1)
    )
    monkeypatch.setitem(results["read"].__globals__, "RESULTS", tmp_path)
    with pytest.raises(ValueError, match="no rows of a known table"):
        results["read"]("broken")

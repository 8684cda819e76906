"""The pages with tables: whole, as the reports have them, and right by prices computed anew."""

import json
import re
import runpy

import numpy as np
import pytest

from ddpm_dp import Measured, NoiseSchedule, bits_per_dim, shipped, solve, step_costs
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


def test_the_picks_are_what_their_names_say_and_the_page_has_all_of_them():
    """Spacings by their formulas (diffusers counts from 0), levels by the nearest log SNR; the digits shown."""
    found = json.loads((ROOT / "benchmarks" / "results" / "picks.json").read_text())
    rows, T = found["rows"], found["T"]
    paths = {name: row["path"] for name, row in rows.items()}
    assert paths["DDPMScheduler, `leading`"] == [0, *range(1, T, T // 10)]
    assert paths["DDPMScheduler, `linspace`"] == [0, *(np.round(np.linspace(0, T - 1, 10)) + 1)]
    assert paths["DDPMScheduler, `trailing`"] == [*range(0, T + 1, T // 10)]
    noise = NoiseSchedule.linear(T)  # DDPMScheduler's own
    for name, sigmas in (
        ("EDM, rho = 7", np.linspace(80 ** (1 / 7), (noise.sigma[1] / noise.alpha[1]) ** (1 / 7), 10) ** 7),
        ("Align Your Steps, SD 1.5", [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152]),
        ("Align Your Steps, SDXL", [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.38, 0.234, 0.113]),
    ):
        off = [np.abs(np.log(noise.snr[1:]) + 2 * np.log(sigma)).argmin() + 1 for sigma in sigmas[1:]]
        assert np.abs(np.array(off) - paths[name][-2:0:-1]).max() <= 1, name  # of two neighbours about as near
    told = {line.split(" | ")[0].removeprefix("| "): line for line in results["picks"]().splitlines()}
    assert len(rows) == 9
    for name, row in rows.items():
        numbers = [f"{row[variance]['bits']:.3f}" for variance in found["all timesteps"]]
        numbers += [f"{row[sampler]['limit']:.2f}" for sampler in (*found["all timesteps"], "DDIM")]
        assert re.findall(r"(-?\d+\.\d+) \(", told[name]) == numbers


def test_what_the_page_says_of_the_picks_holds():
    found = json.loads((ROOT / "benchmarks" / "results" / "picks.json").read_text())
    rows, whole = found["rows"], found["all timesteps"]
    search = {variance: f"the search, `{variance}`" for variance in whole}
    good = [*search.values(), "Align Your Steps, SD 1.5", "Align Your Steps, SDXL"]
    behind = [name for name in rows if name not in (*good, "Align Your Steps, SVD")]
    for variance, name in search.items():
        assert min(rows, key=lambda row: rows[row][variance]["bits"]) == name
        assert rows[name][variance]["bits"] < whole[variance]["bits"]
    others = [name for name in rows if name not in search.values()]
    assert min(others, key=lambda row: rows[row]["spectral"]["bits"]) == "Align Your Steps, SDXL"
    most = sorted(rows, key=lambda row: -rows[row]["posterior"]["bits"])[:3]
    assert {*most} == {"DDPMScheduler, `linspace`", "DDPMScheduler, `leading`", "EDM, rho = 7"}
    assert all(rows[name]["path"][1] == 1 and rows[name]["spectral"]["bits"] < 4 for name in most)
    assert rows[most[0]]["posterior"]["bits"] > 100 * rows[search["posterior"]]["posterior"]["bits"]
    for sampler in ("spectral", "DDIM"):
        limits = [rows[name][sampler]["limit"] for name in good]
        error = max(rows[name][sampler]["standard_error"] for name in good)
        assert max(limits) - min(limits) < 2 * 2**0.5 * error  # of a difference
        assert max(limits) < min(rows[name][sampler]["limit"] for name in behind)

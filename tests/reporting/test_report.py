"""The report: its numbers against prices asked for one by one, and what it says of the models."""

import re

import pytest

from ddpm_dp import Measured, TrainConfig, load_dataset, measure, shipped, solve, step_costs, strides, train
from ddpm_dp.cli import main
from ddpm_dp.costs import bits_per_dim
from ddpm_dp.reporting.report import BUDGETS, NEAR, entries, measured_in
from ddpm_dp.variances import DECODERS, FAMILIES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    data, folder, start = load_dataset("two-moons"), tmp_path_factory.mktemp("models"), None
    for name, T in (("hybrid", 100), ("predicted", 100), ("simple", 40)):
        config = TrainConfig(T=T, loss=name, steps=100, width=32, depth=1)
        model = train(data, config, start=start, device="cpu", progress=False)
        fitted = measure(model, data.train[:300], progress=False)
        held_out = measure(model, data.test[:300], fitted=fitted, progress=False)
        model.save(folder / name / "model.safetensors")
        fitted.save(folder / name / "train.npz")
        held_out.save(folder / name / "test.npz")
        start = model if name == "hybrid" else None
    return folder, fitted, held_out


@pytest.fixture(scope="module")
def table(folder):
    return entries(measured_in(folder[0]))


def test_entries_are_the_prices_of_the_paths(folder, table):
    _, train, test = folder  # the last model, simple
    outputs = {"hybrid": "v", "predicted": "u", "simple": None}
    assert [(e.model, e.comparison.variance) for e in table] == [
        (model, name)
        for model, known in outputs.items()
        for name, family in FAMILIES.items()
        if family.reading(known).output in (None, known)
    ]
    last = next(e for e in table if (e.model, e.comparison.variance) == ("simple", "analytic"))
    best, prices = solve(step_costs(train, "analytic"), 40), step_costs(test, "analytic")
    assert last.comparison.budgets == (*[K for K in BUDGETS if K < 40], 40)
    bits = {
        "DP": [bits_per_dim(prices.of(best.path(K)).total, 2) for K in (8, 16, 32, 40)],
        "even": [bits_per_dim(prices.of(strides.even(test.noise, K)).total, 2) for K in (8, 16, 32, 40)],
    }
    for stride, expected in bits.items():
        assert last.comparison.bits[stride] == pytest.approx(expected, rel=1e-12)
    for i, K in enumerate((8, 16, 32)):
        assert last.gaps[K][0] == pytest.approx(bits["DP"][i] - bits["DP"][3])
        assert 0 < last.gaps[K][1] < last.comparison.errors["DP"][i]
    dp = [bits_per_dim(prices.of(best.path(K)).total, 2) for K in range(1, 41)]
    assert dp[last.near - 1] <= dp[-1] + NEAR and (last.near == 1 or dp[last.near - 2] > dp[-1] + NEAR)
    assert dp[last.near_best - 1] <= min(dp) + NEAR
    assert last.gaps_to_best[16][0] == pytest.approx(bits["DP"][1] - min(dp))


def test_report_as_a_command(folder, table, capsys):
    assert main(["report", str(folder[0])]) == 0
    text = capsys.readouterr().out
    assert "simple: simple loss, T = 40 cosine, 100 steps of 128 images\n" in text
    assert "predicted loss, T = 100 cosine, 100 steps of 128 images, begun from (hybrid loss" in text
    assert len(re.findall(r"^simple +40  analytic +DP .*- +- +- +-?\d+\.\d{3} \(\d\.\d{3}\)$", text, re.M)) == 1
    assert len(re.findall(r"^(hybrid|predicted|simple) ", text, re.M)) == 4 * len(table) + 3 * len(DECODERS)
    assert "variance beta~_{t_2|t_1} of the path's own second step" in text and "300 images" in text


def test_a_short_chain_leaves_places_empty(tmp_path, capsys):
    """T = 20 has 8 and 16 steps, but not 32: every number stays in its own column."""
    data = load_dataset("two-moons")
    model = train(data, TrainConfig(T=20, steps=10, width=8, depth=1), device="cpu", progress=False)
    fitted = measure(model, data.train[:50], progress=False)
    (tmp_path / "short").mkdir()
    model.save(tmp_path / "short" / "model.safetensors")
    fitted.save(tmp_path / "short" / "train.npz")
    measure(model, data.test[:50], fitted=fitted, progress=False).save(tmp_path / "short" / "test.npz")
    assert main(["report", str(tmp_path)]) == 0
    row = [line for line in capsys.readouterr().out.splitlines() if re.match("short +20  spectral", line)][-1]
    number = r" +[+-]\d+\.\d{3} \(\d\.\d{3}\)"
    assert re.fullmatch(rf"short +20  spectral *({number}{number} +-){{2}} +\d+ +\d+", row), row


def test_a_chain_shorter_than_any_budget_has_no_table_of_decoders(tmp_path, capsys):
    data = load_dataset("two-moons")
    model = train(data, TrainConfig(T=6, steps=10, width=8, depth=1), device="cpu", progress=False)
    fitted = measure(model, data.train[:50], progress=False)
    fitted.save(tmp_path / "short" / "train.npz")
    model.save(tmp_path / "short" / "model.safetensors")
    measure(model, data.test[:50], fitted=fitted, progress=False).save(tmp_path / "short" / "test.npz")
    assert main(["report", str(tmp_path)]) == 0
    assert re.search(r"short +6  analytic +DP .* \d\.\d{3} \(\d\.\d{3}\)$", capsys.readouterr().out, re.M)


def test_a_folder_without_models_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "has no models with statistics" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "K", "decoders"),
    [
        ("fashion-mnist/hybrid", 32, DECODERS),
        ("tiny-imagenet-64/hybrid", 32, DECODERS),
        ("fashion-mnist/hybrid", 17, ["fitted"]),
        ("tiny-imagenet-64/hybrid", 8, ["fitted"]),
    ],
)
def test_headlines_few_of_4000_steps_within_a_tenth_of_a_bit_held_out(model, K, decoders):
    """The README's, under `spectral`: more than all 4,000 steps of the same images, with two standard errors added."""
    both = Measured.load(shipped(f"{model}/train.npz"), shipped(f"{model}/test.npz"))
    assert both.train.T == 4000
    for decoder in decoders:
        path = solve(step_costs(both.train, "spectral", decoder), K).path(K)
        nats, error = step_costs(both.judge, "spectral", decoder).difference(path, range(4001))
        assert bits_per_dim(nats + 2 * error, both.judge.d) < NEAR, decoder

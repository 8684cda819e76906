"""The page's numbers, as its own JavaScript reads them, against the library's."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.explorer import bundle
from ddpm_dp.explorer.bundle import MODELS, packed, scope
from ddpm_dp.explorer.data import VARIANCES, page_data
from ddpm_dp.explorer.source import Source, shipped_sources
from ddpm_dp.solver import solve
from ddpm_dp.strides import STRIDES
from tests.conftest import nightly_but

BUDGETS = (1, 2, 3, 5, 8, 32, 128)
STEPS = 300
LARGEST = 1_500_000  # bytes of a page of the default four models, beside its films
STEP = 2e-3  # of the price of any single step
TABLES = 1e-3  # of a price, of which 1 bit/dim is as good as nothing less: what data.py promises


@pytest.fixture(scope="module")
def script(chromium):
    """`read(data)`: the page's models of these data, in a browser."""
    page = chromium.new_page()
    page.add_script_tag(
        content=scope("model") + "const read = (data) => (window.models = model.modelsOf(data)).length;"
    )
    yield page
    page.close()


@cache
def data_of(source: Source) -> dict[str, Any]:
    return page_data([source], VARIANCES)


shipped = cache(Source.named)  # one source a name: its page is made once


def check(source: Source, script) -> None:
    data = data_of(source)
    script.evaluate("(data) => read(data)", data)
    rng, every = np.random.default_rng(0), range(1, data["models"][0]["budgets"] + 1)
    budgets = [K for K in BUDGETS if K in every]
    random = [[0, *(1 + np.sort(rng.choice(source.T - 1, K - 1, replace=False))).tolist(), source.T] for K in budgets]
    # Anywhere, near the image, and near pure noise; long steps and short ones.
    ends = (rng.integers(2, source.T + 1, STEPS), rng.integers(source.T - source.T // 12, source.T + 1, STEPS))
    t = np.concatenate([*ends, np.minimum(source.T, 2 + np.geomspace(1, source.T, STEPS).astype(int))])
    s = np.clip(np.exp(rng.uniform(0, np.log(t))).astype(int), 1, t - 1)
    s[::3] = np.maximum(1, t[::3] - rng.integers(1, 9, len(t[::3])))
    for family in data["models"][0]["families"]:
        of = f"models[0].families.get('{family['name']}')"
        best = solve(step_costs(source.train, family["name"]), max(every))
        handcrafted = {name: [stride(source.train.noise, K) for K in every] for name, stride in STRIDES.items()}
        for name, paths in ({"DP": [best.path(K) for K in every]} | handcrafted).items():
            got = script.evaluate(f"([name, all]) => all.map((K) => {of}.path(name, K))", [name, [*every]])
            assert got == [path.tolist() for path in paths]  # a tie may break only one way
        for side, statistics in (("train", source.train), ("judge", source.priced_on)):
            costs = step_costs(statistics, family["name"])
            want = np.array([bits_per_dim(costs.of(path).total, statistics.d) for path in random])
            got = np.array(script.evaluate(f"(paths) => paths.map((path) => {of}.{side}.of(path))", random))
            assert (abs(got - want) <= TABLES * np.maximum(1, abs(want))).all(), (family["name"], side, got, want)
            got = script.evaluate(f"(steps) => steps.map(([t, s]) => {of}.{side}.step(t, s))", np.c_[t, s].tolist())
            tiny = 1e-5 * source.train.d  # nats, where a step costs next to nothing
            name = f"{family['name']}, {side}"
            np.testing.assert_allclose(got, costs.between.mean(t, s), rtol=STEP, atol=tiny, err_msg=name)
        exact = script.evaluate(f"(budgets) => budgets.map((K) => {of}.bits.DP[K - 1])", budgets)
        prices = step_costs(source.priced_on, family["name"])
        want = [bits_per_dim(prices.of(best.path(K)).total, source.train.d) for K in budgets]
        assert exact == pytest.approx(want, rel=1e-6)  # kept as float32


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("name", nightly_but("emoji/hybrid", shipped_sources()))
def test_a_page_has_the_librarys_paths_and_prices(name, script):
    check(shipped(name), script)


@pytest.mark.nightly
def test_a_page_is_small():
    """Models that share a page share some arrays: together they are no larger than one by one."""
    alone = sum(len(packed(data_of(shipped(name)))) for name in MODELS)
    assert alone * 4 / 3 + len(bundle.script("app")) + len(bundle.style()) < LARGEST


@pytest.mark.browser
def test_of_a_readers_own_model(files, script):
    check(Source.open(files, "mixture"), script)


def test_what_cannot_be_priced_is_one_sentence(files):
    with pytest.raises(ValueError, match="mixture can be priced with .*, not with learned;"):
        page_data([Source.open(files, "mixture")], ("learned",))

"""The explorer without a browser: its numbers against the library, its sentences, and its widgets' events."""

import ast
import asyncio
import re
import time
from dataclasses import replace

import numpy as np
import pytest

import ddpm_dp
from ddpm_dp import DenoisingStatistics, NoiseSchedule, bits_per_dim, measure, solve, step_costs, strides
from ddpm_dp.exploration import DP, MINE, Exploration, Source, shipped_sources
from ddpm_dp.explorer import Explorer, _stops
from ddpm_dp.explorer_pictures import frames
from tests.conftest import draw

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def digits() -> Exploration:
    return Exploration(Source.load(ddpm_dp.shipped("digits/train.npz"), "digits"))


@pytest.fixture(scope="module")
def held_out(mixture, statistics) -> DenoisingStatistics:
    return measure(mixture, draw(mixture, 500, seed=2), fitted=statistics, progress=False)


@pytest.fixture
def files(tmp_path, statistics, held_out):
    statistics.save(tmp_path / "train.npz")
    held_out.save(tmp_path / "test.npz")
    return tmp_path


def test_a_view_is_what_the_library_says(digits):
    train, test = (DenoisingStatistics.load(ddpm_dp.shipped(f"digits/{split}.npz")) for split in ("train", "test"))
    best, prices = solve(step_costs(train, "analytic")), step_costs(test, "analytic")
    view = digits.at(32, "quadratic")
    assert np.array_equal(view.best, best.path(32))
    assert np.array_equal(view.other, strides.quadratic(train.noise, 32))
    for name, path in ((DP, best.path(32)), ("quadratic", strides.quadratic(train.noise, 32))):
        price = prices.of(path)
        assert view.bits[name] == pytest.approx(bits_per_dim(np.array([price.total, price.standard_error]), test.d))
        assert view.step_bits[name].sum() + view.prior_bits == pytest.approx(view.bits[name][0])
    assert view.gap[0] == pytest.approx(view.bits[DP][0] - digits.all_steps[0])
    assert (
        f"costs {view.bits[DP][0]:.3f} bits/dim, quadratic costs {view.bits['quadratic'][0]:.3f}" in view.sentences[0]
    )
    bits, errors = digits.curve(DP)
    assert bits[digits.budgets == 1000] == pytest.approx(digits.all_steps[0]) and (errors > 0).all()


def test_nobody_beats_the_dp_where_it_chose(digits):
    rng = np.random.default_rng(0)
    for K in (1, 2, 8, 64, 1000):
        view = digits.at(K, MINE, np.r_[0, 1 + np.sort(rng.choice(999, K - 1, replace=False)), 1000])
        assert view.contest >= 0
        tie = digits.at(K, MINE, view.best)
        assert tie.contest == 0 and any("A tie!" in sentence for sentence in tie.sentences)


def test_mse_reweighting_minimises_another_sum(digits):
    mse = Exploration(digits.source, "beta", "MSE reweighting")
    view, m = mse.at(8), digits.source.training.m
    steps = np.diff(view.best) * m[view.best[1:]]
    assert mse.score(view.best) == pytest.approx(steps.sum()) and view.contest > 0
    assert mse.best.nats(8) / 64 == pytest.approx(steps.sum())


def test_what_is_shared_gives_what_is_shown(digits):
    """The Python runs, and its path and samples are the view's; the list is diffusers': descending, from 0."""
    for exploration in (digits, Exploration(digits.source, "posterior", "MSE reweighting")):
        view = exploration.at(5, MINE, [0, 1, 2, 3, 4, 1000])
        got: dict = {}
        exec(view.python(seed=3), got)
        assert np.array_equal(got["path"], view.best) and got["images"].shape == (16, 1, 8, 8)
        assert got["mine_nats"] == pytest.approx(exploration.chosen_by.of(view.other).total)
        assert ast.literal_eval(view.diffusers()) == [t - 1 for t in reversed(got["path"][1:])]


def test_a_statistics_file_of_ones_own(files, statistics, tmp_path):
    source = Source.load(files)
    assert source.variances == ("posterior", "beta", "analytic") and source.model is None
    view = Exploration(source).at(7)
    got: dict = {}
    exec("\n".join(view.python().splitlines()[:6]), got)
    assert np.array_equal(got["path"], view.best)
    (files / "test.npz").unlink()
    alone = Exploration(Source.load(files / "train.npz")).at(7)
    assert "the training images themselves" in alone.sentences[-1]


def test_files_that_do_not_match_are_refused(files, statistics, held_out):
    with pytest.raises(ValueError, match="holds held-out statistics"):
        Source.load(files / "test.npz")
    replace(held_out, model_id="another").save(files / "test.npz")
    with pytest.raises(ValueError, match="of model another"):
        Source.load(files)
    replace(held_out, fitted_on="elsewhere").save(files / "test.npz")
    with pytest.raises(ValueError, match="not measured with fitted="):
        Source.load(files)


def test_every_shipped_model_opens():
    for name, folder in shipped_sources().items():
        source = Source.load(folder, name)
        assert source.model == name and Exploration(source).at(min(32, source.T)).K == 32


def test_the_slider_makes_4_to_64_easy():
    for T in (2, 10, 64, 65, 1000, 4000):
        stops = _stops(T)
        assert stops[0] == 1 and stops[-1] == T and (np.diff(stops) > 0).all()
    assert stops[:64] == list(range(1, 65)) and len(stops) < 140


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer("digits", samples=False)


def said(explorer: Explorer) -> str:
    text = re.sub("<[^>]*>", "", explorer.message.value)
    assert text.count("Traceback") == 0 and "\n" not in text
    return text


def test_events_change_pictures_and_numbers(explorer):
    explorer.rival.value = "even"
    before = {name: bytes(image.value) for name, image in explorer.images.items()}
    explorer.slider.value = 16
    assert explorer.number.value == 16 and explorer.view.K == 16
    for name in ("curves", "steps", "prices"):
        png = bytes(explorer.images[name].value)
        assert png.startswith(PNG) and png != before[name]
    explorer.number.value = 77  # between two of the slider's stops
    assert explorer.view.K == 77 and abs(explorer.slider.value - 77) < 4
    assert f"{explorer.view.bits[DP][0]:.3f}" in explorer.words.value
    for variance in ("posterior", "beta", "analytic"):
        explorer.variance.value = variance
        assert explorer.exploration.variance == variance and explorer.view.K == 77
    for objective in ("MSE reweighting", "ELBO"):
        explorer.objective.value = objective
        assert explorer.exploration.objective == objective
    for rival in ("quadratic", "log-snr", "even"):
        explorer.rival.value = rival
        assert explorer.view.rival == rival
    explorer.samples.value = True
    first = bytes(explorer.images["samples"].value)
    explorer.noise.click()
    assert (
        first.startswith(PNG) and bytes(explorer.images["samples"].value) != first and "seed=1" in explorer.shared.value
    )
    explorer.samples.value = False
    assert explorer.images["samples"].layout.display == "none"
    explorer.share.value = True
    assert explorer.shared.layout.display == "block" and "best.path(77)" in explorer.shared.value
    assert said(explorer) == ""


def test_beat_the_dp(explorer):
    explorer.rival.value = "even"
    explorer.number.value = 4
    explorer.rival.value = MINE
    assert explorer.typed.value == "0, 250, 500, 750, 1000" and explorer.editor.layout.display == "flex"
    explorer.which.value = 2
    assert explorer.where.value == 500
    explorer.where.value = 300
    assert explorer.view.other.tolist() == [0, 250, 300, 750, 1000]
    explorer.where.value = 10  # no further than its neighbour
    assert explorer.where.value == 251
    explorer.typed.value = "[0 100, 1000]"
    assert explorer.view.K == 2 and explorer.view.other.tolist() == [0, 100, 1000]
    explorer.number.value = 4  # the edits of K = 4 are still there
    assert explorer.view.other.tolist() == [0, 250, 251, 750, 1000]
    explorer.typed.value = ", ".join(map(str, explorer.view.best))
    assert "A tie!" in explorer.words.value
    explorer.again.click()
    assert explorer.view.other.tolist() == [0, 250, 500, 750, 1000]
    explorer.number.value = 1
    assert explorer.where.disabled
    explorer.rival.value = "even"


@pytest.mark.parametrize(
    ("control", "value", "sentence"),
    [
        ("number", 1001, "expected a whole number from 1 to T = 1000"),
        ("number", 0, "expected a whole number from 1 to T = 1000"),
        ("typed", "0, 500, 400, 1000", "does not ascend: 500 is followed by 400"),
        ("typed", "0, 500", "runs from 0 to 500"),
        ("typed", "0, many, 1000", "&#x27;many&#x27; is not a whole number"),
        ("typed", "", "at least two timesteps"),
        ("file", "nowhere/train.npz", "no statistics file nowhere/train.npz"),
        ("file", "{digits}/test.npz", "holds held-out statistics"),
        ("file", "{digits}/model.safetensors", "not a whole statistics file"),
    ],
)
def test_wrong_input_is_one_sentence(explorer, control, value, sentence):
    explorer.number.value = 8
    explorer.rival.value = MINE
    shown = explorer.words.value
    if control != "number":
        value = value.format(digits=ddpm_dp.shipped("digits/train.npz").parent)
    getattr(explorer, control).value = value
    assert sentence in said(explorer) and explorer.words.value == shown
    explorer.number.value = 9
    assert said(explorer) == ""  # the next right input takes it away


def test_another_model_and_back(explorer, files):
    explorer.number.value = 500
    explorer.model.value = "a file of my own"
    explorer.file.value = str(files)
    assert explorer.exploration.T == 100 and explorer.view.K == 100 and explorer.slider.options[-1] == 100
    explorer.samples.value = True
    assert "no model.safetensors" in said(explorer)
    explorer.samples.value = False
    explorer.model.value = "digits"
    assert explorer.exploration.T == 1000 and explorer.file.layout.display == "none"


def with_histograms(T: int) -> DenoisingStatistics:
    """Invented statistics of a network that predicts its own error."""
    noise, groups, bins = NoiseSchedule.cosine(T), 4, 16
    snr = np.r_[0, noise.snr[1:]]
    m = 0.1 / (1 + 0.3 * snr) + 0.007 / (1 + 0.01 * snr)
    m[0] = 0
    squared_error = np.tile(m, (groups, 1))
    first = np.tile(np.r_[np.inf, 50 * (1 + np.log1p(snr[1] * m[1:]))], (groups, 1))
    low = np.log(np.maximum(m, 1e-12)) - 1
    second = ddpm_dp.statistics.SecondOutput(
        "predicted", low, low + 2, np.full((T + 1, bins), 1 / bins), np.tile(m[:, None] / bins, (1, bins))
    )
    return DenoisingStatistics(
        noise=noise, shape=(1, 8, 8), levels=17, counts=np.full(groups, 25), squared_error=squared_error,
        decoder={"fixed": first, "analytic": first, "predicted": first}, prior=np.zeros(groups), fitted_m=m,
        model_id="invented", data_id="invented", fitted_on="invented", seed=0, measured=np.arange(1, T + 1),
        second=second,
    )  # fmt: skip


def test_in_a_notebook_slow_work_waits_in_the_background(digits):
    """With an event loop, a table is searched, and samples are drawn, while events go on being answered."""

    async def until(condition):
        for _ in range(600):
            if condition():
                return
            await asyncio.sleep(0.1)
        raise AssertionError("nothing came of it within a minute")

    async def lecture():
        explorer = Explorer(Source("invented", with_histograms(120)), samples=False)
        explorer.variance.value = "predicted"
        assert "Searching predicted" in said(explorer) and explorer.exploration.variance == "analytic"
        explorer.number.value = 9  # answered meanwhile
        assert explorer.view.K == 9
        await until(lambda: explorer.exploration.variance == "predicted")
        assert said(explorer) == "" and explorer.view.K == 9
        explorer.model.value = "digits"
        explorer.number.value = 1000
        explorer.samples.value = True  # 2,000 evaluations ...
        await until(lambda: explorer.progress.layout.visibility == "visible")
        explorer.number.value = 6  # ... that nobody waits for any more
        start = time.monotonic()
        await until(lambda: explorer.images["samples"].value)
        assert time.monotonic() - start < 30 and explorer.progress.layout.visibility == "hidden"

    asyncio.run(lecture())


def test_frames_need_no_kernel(digits):
    page = frames(digits, [2, 4, 8, 32], samples=None)
    assert page.count('class="ddpm-slide"') == 4 and page.count(" hidden>") == 3 and "<script" not in page
    assert len(page) < 200_000 and "32 steps of 1,000" in page and "http" not in page
    with pytest.raises(ValueError, match="start = 32"):
        frames(digits, [2, 4])

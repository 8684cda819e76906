"""The explorer's widgets and their events, without a browser."""

import asyncio
import re
import time

import numpy as np
import pytest

import ddpm_dp
from ddpm_dp import DenoisingStatistics, NoiseSchedule
from ddpm_dp.explorer import Explorer
from ddpm_dp.explorer.source import Source
from ddpm_dp.explorer.view import DP, MINE
from ddpm_dp.explorer.widget import _stops
from ddpm_dp.statistics import Cells, DecoderPrices
from ddpm_dp.variances import DECODERS

PNG = b"\x89PNG"


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
    for objective in ("mse", "elbo"):
        explorer.objective.value = objective
        assert explorer.exploration.objective.name == objective
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
        ("number", 1001, "expected a whole number from 1 to 1000"),
        ("number", 0, "expected a whole number from 1 to 1000"),
        ("typed", "0, 500, 400, 1000", "does not ascend: 500 is followed by 400"),
        ("typed", "0, 500", "runs from 0 to 500"),
        ("typed", "0, many, 1000", "&#x27;many&#x27; is not a whole number"),
        ("typed", "", "at least two timesteps"),
        ("file", "nowhere/train.npz", "no statistics file nowhere/train.npz"),
        ("file", "{digits}/test.npz", "The training statistics are held-out ones"),
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
    mass, error = np.full((T + 1, bins), 1 / bins), np.tile(m[:, None] / bins, (1, bins))
    of_u = Cells("u", mass, error, output="u", low=low, high=low + 2)
    counts, decoders = np.full(groups, 25), (DECODERS["fixed"], DECODERS["analytic"], DECODERS["predicted"])
    return DenoisingStatistics(
        noise=noise, shape=(1, 8, 8), levels=17, counts=counts,
        cells={"all": Cells.one(squared_error, counts, m), "u": of_u},
        decoders={each.name: DecoderPrices(each.name, each.words, each.convention, first) for each in decoders},
        prior=np.zeros(groups), model_id="invented", data_id="invented", fitted_on="invented", seed=0,
        measured=np.arange(1, T + 1),
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
        explorer = Explorer(Source(with_histograms(120), name="invented"), samples=False)
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

"""The widget: what a kernel answers, and the explorer in a real JupyterLab, in a browser."""

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs

import nbformat
import numpy as np
import pytest
from PIL import Image

import ddpm_dp.explorer
from ddpm_dp import load, sample, solve, step_costs
from ddpm_dp.explorer import Explorer, Source
from ddpm_dp.explorer.films import draw_films, films_of
from ddpm_dp.models.exact import MixtureDenoiser
from ddpm_dp.strides import even

VARIANCES = ("posterior", "analytic")


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer("digits", variances=VARIANCES)


@pytest.fixture
def ask(explorer, monkeypatch):
    """`ask(**changes)`: what the kernel answers, a list of (message, buffers)."""
    answers = []
    monkeypatch.setattr(explorer, "send", lambda message, buffers=(): answers.append((message, buffers)))
    paths = {"DP": explorer.path.tolist(), "yours": [0, 3, 30, 100, 200, 300, 500, 800, 1000]}

    def send(**changes):
        asked = {"id": "7", "model": "digits", "variance": "analytic", "K": 8, "paths": paths, "seed": 3}
        explorer._draw(explorer, asked | changes, [])
        return answers

    return send


def test_the_path_on_the_screen(explorer):
    source = Source.named("digits")
    assert np.array_equal(explorer.path, solve(step_costs(source.train, "analytic"), 8).path(8))
    explorer.link = "view=explore&K=4&variance=posterior"
    assert np.array_equal(explorer.path, solve(step_costs(source.train, "posterior"), 4).path(4))
    explorer.link = "view=play&K=3&mine=1.2.3.4_5.500"
    assert explorer.path.tolist() == [0, 5, 500, 1000]
    explorer.link = "view=play&K=3"  # the game hides the DP's
    assert np.array_equal(explorer.path, even(source.train.noise, 3))
    for link, sentence in (
        ("model=nobody", "The link asks for the model nobody; there are digits."),
        ("variance=spectral", "The link asks for the variance spectral; there are posterior, analytic."),
        ("K=many", "The link has 'many' where a whole number is expected."),
        ("K=300", "256"),
        ("K=3&mine=5.4", "ascend"),
    ):
        explorer.link = link
        with pytest.raises(ValueError, match=sentence):
            len(explorer.path)
    explorer.link = "view=explore"


def test_films_are_drawn_along_the_paths_that_were_asked_for(explorer, ask):
    *before, (message, (sheet,)) = ask()
    assert [each["says"] for each, _ in before] == [f"Drawing: step {i} of 16" for i in range(1, 17)]
    films = message["films"]
    assert message["id"] == "7" and (films["paths"], films["budgets"]) == (("DP", "yours"), [8])
    frames = np.asarray(Image.open(io.BytesIO(sheet)))[:, :, 0].reshape(2, films["seeds"], 2, 8, 9, 8)
    assert np.array_equal(frames[0, :, 0, :, 0], frames[1, :, 0, :, 0])  # the same noise
    source = explorer._sources["digits"]
    how = {"variance": "analytic", "statistics": source.train, "seed": 3, "progress": False}
    last = sample(load("digits"), explorer.path, films["seeds"], **how)[:, 0].numpy()
    assert abs(frames[0, :, 0, :, 8] / 127.5 - 1 - last.clip(-1, 1)).max() <= 1 / 127.5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"variance": "learned"}, "output v"), ({"paths": {"DP": [0, 5, 4, 1000]}}, "path")],
)
def test_what_cannot_be_drawn_is_one_sentence(ask, changes, sentence):
    ((message, _),) = ask(**changes)
    assert message["id"] == "7" and sentence in message["fault"] and "\n" not in message["fault"]


def test_whatever_a_model_raises_is_told(explorer, ask, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("CUDA out of memory\nand so on")

    monkeypatch.setattr("ddpm_dp.explorer.widget.draw_films", fail)
    assert ask()[0][0] == {"id": "7", "fault": "Drawing failed: CUDA out of memory"}


def test_films_that_are_too_wide_for_a_picture(explorer, monkeypatch):
    monkeypatch.setattr("ddpm_dp.explorer.films.WIDEST", 64)
    source = Source.named("digits")
    with pytest.raises(ValueError, match="ask for at most 7 steps"):
        draw_films(source, "analytic", [{"DP": explorer.path}])
    assert films_of(source, ["analytic"])["budgets"] == [4]


def test_a_model_of_ones_own(statistics, held_out, mixture):
    own = Source(statistics, held_out, name="mine", model=mixture)
    explorer = Explorer(own, variances=("analytic",))
    assert isinstance(own.model, MixtureDenoiser) and explorer.path[-1] == own.T
    answers = []
    explorer.send = lambda message, buffers=(): answers.append(message)
    asked = {"id": "1", "model": "mine", "variance": "analytic", "seed": 1, "paths": {"DP": [0, 9, 100]}}
    explorer._draw(explorer, asked, [])
    assert answers == [{"id": "1", "fault": "Drawing failed: There is no model of mine, or it does not make images."}]
    with pytest.raises(ValueError, match="mine can be priced with .*, not with learned"):
        Explorer(own, variances=("learned",))
    with pytest.raises(ValueError, match="names mine, mine; give each a name of its own"):
        Explorer(own, own)


def test_without_anywidget_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)  # what an import finds where it is not installed
    monkeypatch.delitem(sys.modules, "ddpm_dp.explorer.widget")
    with pytest.raises(ImportError, match=r"pip install 'ddpm-dp\[notebooks\]'. As a page by itself it needs nothing"):
        ddpm_dp.explorer.Explorer  # noqa: B018


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab, whose folder holds explorer.ipynb."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [
        nbformat.v4.new_code_cell(
            "from ddpm_dp.explorer import Explorer\n"
            f"explorer = Explorer('digits', variances={VARIANCES}, link='view=explore&K=9')\nexplorer"
        ),
        nbformat.v4.new_code_cell("explorer.link = 'view=explore&K=5'"),
        nbformat.v4.new_code_cell("print(len(explorer.path), explorer.link)"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "explorer.ipynb")
    homes = {f"JUPYTER_{name}_DIR": str(folder / f".{name.lower()}") for name in ("CONFIG", "DATA", "RUNTIME")}
    options = [
        "--no-browser",
        "--port=0",
        "--allow-root",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={folder}",
    ]
    log = (folder / "log").open("w")
    command = [sys.executable, "-m", "jupyterlab", *options, "--expose-app-in-browser"]
    server = subprocess.Popen(command, env=os.environ | homes, stdout=log, stderr=log, cwd=folder)
    try:
        yield address(folder, server)
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def address(folder: Path, server: subprocess.Popen) -> str:
    for _ in range(600):
        for file in (folder / ".runtime").glob("jpserver-*.json"):
            return json.loads(file.read_text())["url"]
        assert server.poll() is None, (folder / "log").read_text()
        time.sleep(0.1)
    raise AssertionError("JupyterLab did not start within a minute: " + (folder / "log").read_text())


@pytest.mark.browser
def test_in_jupyterlab(chromium, lab):
    """Keys, live samples, and the link both ways; a kernel that stops leaves the page as it is."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1500})
    page = context.new_page()
    page.set_default_timeout(120_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{lab}lab/tree/explorer.ipynb?reset")
    page.locator(".jp-CodeCell").nth(2).wait_for()
    page.wait_for_function("document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')")

    def run(cell: int) -> None:
        page.locator(".jp-CodeCell .cm-content").nth(cell).click()
        page.keyboard.press("Shift+Enter")

    run(0)
    root = page.locator(".ddpm-explorer")
    root.locator("h1").wait_for()
    assert root.locator("h1").inner_text() == "You may keep 9 of 1,000 steps: which ones?"
    assert root.locator(".missing").inner_text() == "No film of 9 steps was recorded."
    assert root.get_by_role("button", name="Copy link").count() == 0

    root.get_by_role("button", name="Draw new samples").click()
    root.locator(".films canvas").first.wait_for()
    assert root.locator(".missing").inner_text() == ""
    last = "() => document.querySelector('.film canvas').toDataURL()"
    first = page.evaluate(last)
    root.get_by_role("button", name="Draw new samples").click()
    page.wait_for_function(f"(first) => ({last})() !== first", arg=first)

    run(1)
    page.wait_for_function("document.querySelector('.ddpm-explorer h1').textContent.includes('keep 5 of')")
    assert root.locator(".missing").inner_text() == "No film of 5 steps was recorded."  # the other one is stale
    root.locator("h1").click()  # out of the next cell, where JupyterLab puts the cursor
    root.get_by_label("Steps K", exact=True).press("ArrowDown")  # to JupyterLab it would be the next cell
    page.wait_for_function("document.querySelector('.ddpm-explorer h1').textContent.includes('keep 4 of')")
    page.wait_for_timeout(800)
    run(2)
    printed = page.locator(".jp-CodeCell").nth(2).locator(".jp-OutputArea-output").first
    printed.wait_for()
    length, link = printed.inner_text().split()
    assert length == "5" and parse_qs(link)["K"] == ["4"]
    if folder := os.environ.get("EXPLORER_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "jupyterlab.png")
    assert not [error for error in errors if not re.search("ResizeObserver", error)]
    context.close()

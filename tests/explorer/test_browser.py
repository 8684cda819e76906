"""The explorer in a real browser, as the page that `make explorer` serves: Voila, and headless Chromium.

`make browser` installs what it needs and runs it. Set EXPLORER_SCREENSHOTS to a folder to look at it, wide and narrow.
"""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest

import ddpm_dp
from ddpm_dp import DenoisingStatistics, bits_per_dim, solve, step_costs, strides
from ddpm_dp.explorer.frames import frames
from ddpm_dp.explorer.search import Exploration
from ddpm_dp.explorer.source import Source

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
PATIENCE = 60_000  # milliseconds: a busy machine starts a kernel slowly

pytestmark = pytest.mark.browser
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: run `make browser`")
pytest.importorskip("voila", reason="no Voila: run `make browser`")
if CHROMIUM is None:
    pytest.skip("no Chromium: run `make browser`", allow_module_level=True)


@pytest.fixture(scope="module")
def address():
    """The page, served on a free port of this machine by a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ddpm_dp.explorer", "--no-browser", f"--port={port}"]
    server = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(10 * PATIENCE // 1000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "Voila ended before it began"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # its own group: Voila, and the kernel of the page
        server.wait(30)


@pytest.fixture(scope="module")
def screen(address):
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        page = chromium.new_page(viewport={"width": 1400, "height": 900})
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
        page.set_default_timeout(PATIENCE)
        screen = Screen(page)
        page.goto(address, wait_until="domcontentloaded")
        screen.says("32 steps of 1,000")
        yield screen
        chromium.close()


class Screen:
    """The page, by the names that its reader sees."""

    def __init__(self, page):
        self.page, self.errors = page, []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _hear(self, message):
        host = urlparse(message.location.get("url", "")).hostname
        if message.type == "error" and host in (None, "127.0.0.1"):  # Voila asks a CDN for a font: not ours to judge
            self.errors.append(message.text)

    def says(self, text):
        self.page.get_by_text(text).first.wait_for()

    def handle(self, label):
        """A slider's handle, focused: arrow keys move it."""
        handle = self.page.locator(".widget-slider", has=self.page.get_by_text(label, exact=True)).locator(
            ".noUi-handle"
        )
        handle.focus()
        return handle

    def press(self, label, key, times=1):
        handle = self.handle(label)
        for _ in range(times):
            handle.press(key)

    def type(self, label, text):
        field = self.page.get_by_label(label, exact=True)
        field.fill(text)
        field.press("Enter")

    def choose(self, label, option):
        self.page.get_by_label(label, exact=True).select_option(option)

    def holds(self, label, text):
        """Wait until a field has settled on a text: a kernel's late answer would overwrite what is typed before it."""
        playwright.expect(self.page.get_by_label(label, exact=True)).to_have_value(text, timeout=PATIENCE)

    def pictures(self):
        """A fingerprint of each picture on the page."""
        read = """images => Promise.all(images.map(
            i => fetch(i.src).then(r => r.arrayBuffer()).then(b => [...new Uint8Array(b)])))"""
        files = self.page.locator("img.widget-image").evaluate_all(read)
        return [hashlib.sha1(bytes(file)).hexdigest() for file in files]

    def changed(self, before, which):
        """Wait until the pictures of those numbers have changed."""
        for _ in range(PATIENCE // 100):
            after = self.pictures()
            if all(after[i] != before[i] for i in which):
                return after
            self.page.wait_for_timeout(100)
        raise AssertionError(f"pictures {which} did not change")

    def shoot(self, name):
        folder = os.environ.get("EXPLORER_SCREENSHOTS")
        if folder:
            for width, height in ((1400, 900), (480, 1900)):
                self.page.set_viewport_size({"width": width, "height": height})
                self.page.wait_for_timeout(300)
                self.page.screenshot(path=Path(folder) / f"{name}_{width}.png", full_page=True)
            self.page.set_viewport_size({"width": 1400, "height": 900})


@pytest.fixture(scope="module")
def expected():
    """first sentence of the screen, from the library alone."""
    train, test = (DenoisingStatistics.load(ddpm_dp.shipped(f"digits/{split}.npz")) for split in ("train", "test"))

    def sentence(K, stride="even", variance="analytic"):
        best, prices = solve(step_costs(train, variance), budgets=K), step_costs(test, variance)
        dp, other = (
            bits_per_dim(prices.of(path).total, test.d)
            for path in (best.path(K), strides.STRIDES[stride](train.noise, K))
        )
        return f"{K} steps of 1,000: the DP's path costs {dp:.3f} bits/dim, {stride} costs {other:.3f}."

    return sentence


def test_the_slider_moves_figure_and_numbers(screen, expected):
    screen.says(expected(32))
    before = screen.changed([""] * 4, [3])  # the samples come last
    screen.shoot("start")
    screen.press("Steps K", "ArrowRight")
    screen.says(expected(33))
    assert screen.page.get_by_label("K =", exact=True).input_value() == "33"
    before = screen.changed(before, [0, 1, 2, 3])
    screen.press("Steps K", "ArrowLeft", times=3)
    screen.says(expected(30))
    screen.changed(before, [0, 1, 2, 3])


def test_every_control(screen, expected):
    screen.type("K =", "77")
    screen.says(expected(77))
    for stride in ("quadratic", "log-snr"):
        screen.choose("Compare with", stride)
        screen.says(expected(77, stride))
    for variance in ("posterior", "beta"):
        screen.choose("Reverse variance", variance)
        screen.says(expected(77, "log-snr", variance))
    screen.choose("Objective", "MSE reweighting")
    screen.says("minimises the weighted squared error")
    screen.choose("Objective", "ELBO")
    screen.choose("Reverse variance", "analytic")
    screen.says(expected(77, "log-snr"))
    screen.type("K =", "8")
    samples = screen.page.get_by_label("Samples", exact=True)
    samples.press("Space")
    screen.page.locator("img.widget-image").nth(3).wait_for(state="hidden")
    samples.press("Space")
    screen.page.locator("img.widget-image").nth(3).wait_for(state="visible")
    before = screen.changed([""] * 4, [3])
    screen.page.get_by_role("button", name="New noise").press("Enter")
    screen.changed(before, [3])


def test_share_copies_what_is_on_the_screen(screen):
    screen.type("K =", "6")
    screen.says("6 steps of 1,000")
    screen.page.get_by_role("button", name="Share").press("Enter")
    train = DenoisingStatistics.load(ddpm_dp.shipped("digits/train.npz"))
    path = solve(step_costs(train, "analytic"), budgets=6).path(6)
    for which, text in (
        ("python", "path = best.path(6)"),
        ("diffusers", str([int(t) - 1 for t in reversed(path[1:])])),
    ):
        button = screen.page.locator(f".ddpm-{which} button")
        button.wait_for()  # Enter on what is not shown yet would go to Share, which has the focus
        button.press("Enter")
        screen.says("Copied")
        assert text in screen.page.evaluate("navigator.clipboard.readText()")
    screen.shoot("share")
    screen.page.get_by_role("button", name="Share").press("Enter")
    screen.page.locator(".ddpm-python").wait_for(state="hidden")


def test_beat_the_dp(screen):
    screen.choose("Compare with", "even")
    screen.type("K =", "4")
    screen.choose("Compare with", "my own path")
    screen.says("to go.")
    assert screen.page.get_by_label("Timesteps", exact=True).input_value() == "0, 250, 500, 750, 1000"
    screen.press("Move the step number", "ArrowRight")
    screen.page.locator('.noUi-handle[aria-valuenow="500.0"]').wait_for()
    screen.press("to timestep", "ArrowLeft", times=2)
    screen.page.wait_for_function(
        "[...document.querySelectorAll('input')].some(i => i.value == '0, 250, 498, 750, 1000')", timeout=PATIENCE
    )
    screen.shoot("mine")
    train = DenoisingStatistics.load(ddpm_dp.shipped("digits/train.npz"))
    path = solve(step_costs(train, "analytic"), budgets=4).path(4)
    screen.type("Timesteps", ", ".join(map(str, path.tolist())))
    screen.says("A tie!")
    screen.page.get_by_role("button", name="Start again").press("Enter")
    screen.says("to go.")


def test_wrong_input_is_one_sentence(screen, tmp_path):
    for label, text, sentence in (
        ("K =", "2000", "K = 2000 steps; expected a whole number from 1 to 1000."),
        ("Timesteps", "0, 500, 400, 1000", "The path does not ascend: 500 is followed by 400"),
    ):
        screen.type(label, text)
        screen.says(sentence)
    screen.shoot("wrong")
    np.savez(tmp_path / "train.npz", nothing=np.zeros(3))
    screen.choose("Model", "a file of my own")
    screen.type("File", str(tmp_path))
    screen.says("is not a whole statistics file")
    screen.type("File", str(ddpm_dp.shipped("digits/test.npz")))
    screen.says("The training statistics are held-out ones")
    screen.choose("Model", "digits")
    screen.holds("K =", "4")  # not 2000 any more
    screen.type("K =", "12")
    screen.says("12 steps of 1,000")
    assert screen.page.get_by_text("Traceback").count() == 0


def test_the_console_heard_no_error(screen):
    assert screen.errors == []


def test_the_page_without_a_kernel(screen, expected, tmp_path):
    """The precomputed slider, alone in a file, as a static page of the book has it."""
    source = Source.open(ddpm_dp.shipped("digits/train.npz"), "digits")
    file = tmp_path / "page.html"
    file.write_text("<meta charset=utf-8>" + frames(Exploration(source), [8, 16, 32, 64]))
    page = screen.page.context.browser.new_page()
    page.goto(file.as_uri())
    for key, K in ((None, 32), ("ArrowRight", 64), ("ArrowLeft", 32), ("ArrowLeft", 16)):
        if key:
            page.locator("input[type=range]").press(key)
        page.get_by_text(expected(K)).wait_for()
        assert page.locator("output").inner_text() == str(K)
        assert page.locator(".ddpm-slide:visible").count() == 1
        assert page.locator(".ddpm-slide:visible img").first.evaluate("i => i.complete && i.naturalWidth") > 100
    page.close()

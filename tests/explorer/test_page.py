"""The page in a real browser: opened from a disk, played, sent on as a link, and given other data.

Set EXPLORER_SCREENSHOTS to a folder to look at every view in three widths and two themes.
"""

import base64
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ddpm_dp
from ddpm_dp import measure
from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.explorer import bundle
from ddpm_dp.explorer.bundle import ordered, page, write_page
from ddpm_dp.explorer.data import page_data
from ddpm_dp.explorer.films import films_of
from ddpm_dp.explorer.source import Source
from ddpm_dp.models.exact import MixtureDenoiser
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.paths import to_diffusers
from ddpm_dp.sampling import sample
from ddpm_dp.solver import solve

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: run `make browser`")
VARIANCES = ("posterior", "analytic", "spectral")
STATES = (
    "view=play",
    "view=play&revealed=yes&hints=1&mine=9.20.100.300.500.700.900",
    "view=explore&K=16",
    "view=explore&K=9&mine=9.20.100.300.400.500.700.900",  # no film
    *(f"view=tour&scene={i}" for i in range(1, 6)),
    "view=tour&scene=3&lecture=yes",
    "view=explore&lecture=yes",
)
WATCH = """
    window.started = performance.now();
    new MutationObserver((_, observer) => {
        if (!document.querySelector(".handle")) return;
        observer.disconnect();
        requestAnimationFrame(() => (window.pictured = performance.now()));
    }).observe(document, { childList: true, subtree: true });
"""


@pytest.fixture(scope="module")
def source() -> Source:
    return Source.open(ddpm_dp.shipped("digits/train.npz"), "digits")


@pytest.fixture(scope="module")
def file(source, tmp_path_factory) -> Path:
    return write_page(tmp_path_factory.mktemp("page") / "explorer.html", [source], VARIANCES)


class Screen:
    """One tab, and all that it asked for or complained of."""

    def __init__(self, browser, file: Path):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.file, self.page, self.asked, self.errors = file, context.new_page(), [], []
        self.page.set_default_timeout(20_000)
        self.page.add_init_script(WATCH)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.open()

    def open(self, link: str = "") -> None:
        self.page.goto("about:blank")
        self.page.goto(f"{self.file.as_uri()}#{link}")
        self.page.locator("h1").wait_for()

    def open_link(self, link: str) -> None:
        """Another link on the same page, which keeps the models that were opened."""
        self.page.evaluate("link => (location.hash = link)", link)
        self.page.wait_for_timeout(150)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
        self.settle()

    def choose(self, label: str, option: str) -> None:
        self.page.get_by_label(label, exact=True).select_option(option)
        self.settle()

    def settle(self) -> None:
        """Wait until the picture is drawn, and the link written."""
        self.page.wait_for_timeout(700)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    @property
    def score(self) -> int:
        return int(self.text(".score strong"))

    def stops(self) -> list[int]:
        return [int(each.get_attribute("aria-valuenow")) for each in self.page.locator(".handle").all()]

    def link(self) -> str:
        return self.page.evaluate("location.hash.slice(1)")


@pytest.fixture(scope="module")
def tab(chromium, file):
    screen = Screen(chromium, file)
    yield screen
    screen.page.context.close()


@pytest.fixture
def screen(tab):
    """The page as it opens; whatever a test did, no error was heard and nothing was fetched."""
    tab.open()
    yield tab
    assert tab.errors == []
    assert {url.split("#")[0] for url in tab.asked} <= {tab.file.as_uri(), "about:blank"}


@pytest.mark.browser
def test_it_opens_with_a_question_within_a_second(screen):
    assert screen.text("h1") == "You may keep 8 of 1,000 steps: which ones?"
    screen.page.wait_for_function("window.pictured")
    assert screen.page.evaluate("window.pictured - window.started") < 1000
    assert screen.score == 0 and screen.stops() == [125, 250, 375, 500, 625, 750, 875]
    assert screen.page.locator("main h1").count() == screen.page.locator("main").count() == 1
    assert screen.page.locator("svg[role=img]:visible").get_attribute("aria-label").startswith("The price of each step")


@pytest.mark.browser
def test_a_drag_moves_one_stop_and_the_score_follows(screen):
    box = screen.page.locator(".handle").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    screen.page.mouse.move(x, y)
    screen.page.mouse.down()
    for far in range(0, 60, 4):
        screen.page.mouse.move(x - far, y)
    screen.page.mouse.up()
    screen.settle()
    first, *others = screen.stops()
    assert first < 125 and others == [250, 375, 500, 625, 750, 875]
    assert screen.score != 0 and "1 move." in screen.text(".counts")
    price = screen.page.evaluate("document.querySelector('.bars .of-yours .total').textContent")
    assert f"Your path costs {price} bits/dim" in screen.text(".verdict")
    assert "moves=1" in screen.link()


@pytest.mark.browser
def test_keys_move_a_stop_between_its_neighbours_and_say_where(screen):
    stop = screen.page.get_by_role("slider", name="Stop 3 of 7")
    for keys, t in (("ArrowRight", 376), ("PageUp", 386), ("Shift+ArrowLeft", 376), ("Home", 251), ("End", 499)):
        stop.press(keys)
        screen.page.wait_for_function("t => document.activeElement.getAttribute('aria-valuenow') == t", arg=t)
    assert re.fullmatch(r"timestep 499, [\d.]+ grey levels", stop.get_attribute("aria-valuetext"))
    screen.settle()
    assert "1 move." in screen.text(".counts")
    assert screen.text(".verdict") in screen.page.locator("[aria-live=polite]").text_content()
    steps = screen.page.get_by_label("Steps K", exact=True)
    steps.press("ArrowRight")
    screen.settle()
    assert steps.get_attribute("aria-valuetext") == "9 steps" and "You may keep 9 of" in screen.text("h1")


@pytest.mark.browser
def test_hint_reveal_and_tie(screen, source):
    screen.press("Hint")
    move = re.match(r"Stop (\d): from timestep (\d+) to (\d+) saves ([\d.]+) bits/dim", screen.text(".hinted"))
    i, before, after = map(int, move.groups()[:3])
    path = [0, *screen.stops(), 1000]
    costs = step_costs(source.train, "spectral")
    best = path[:i] + [after] + path[i + 1 :]
    saved = bits_per_dim(costs.of(path).total - costs.of(best).total, source.train.d)
    assert path[i] == before and float(move[4]) == pytest.approx(saved, abs=1e-3)
    assert screen.page.locator(".ghost circle").count() == 1 and "1 hint" in screen.text(".counts")
    assert screen.page.locator(".bars .of-DP .whole").get_attribute("d") != "M0 0"
    screen.press("Reveal the DP's path")
    assert "answer seen" in screen.text(".counts")
    assert screen.page.locator(".ruler .of-DP .ticks").get_attribute("d").count("M") == 8
    screen.press("Hint")
    screen.press("All budgets")  # a hint belongs to the game
    assert screen.page.locator(".ghost circle").count() == 0
    optimum = solve(costs, 8).path(8)
    screen.open("mine=" + ".".join(map(str, optimum[1:-1])))
    assert screen.score == 100 and screen.text(".verdict").startswith("A tie with the DP")


@pytest.mark.browser
def test_a_puzzle_for_every_day(screen):
    screen.press("Puzzle of the day")
    first, link = screen.text("h1"), screen.link()
    assert "day=" + screen.page.evaluate("new Date().toLocaleDateString('sv')") in link and screen.score == 0
    screen.open()
    screen.press("Puzzle of the day")
    assert (screen.text("h1"), screen.link()) == (first, link)


@pytest.mark.browser
def test_a_link_holds_everything(screen):
    screen.page.get_by_role("slider", name="Stop 1 of 7").press("Home")
    screen.press("All budgets")
    screen.choose("Reverse variance", "analytic")
    screen.choose("Compare with", "quadratic")
    screen.page.get_by_label("Steps K, as a number").fill("8")
    screen.press("Lecture")
    screen.press("Copy link")
    link = screen.page.evaluate("navigator.clipboard.readText()")
    before = screen.text("main").replace("Link copied: it holds all that you see.", "").split()
    screen.open(link.split("#")[1])
    screen.settle()
    assert screen.text("main").split() == before
    assert screen.link() == link.split("#")[1] and "mine=1.250" in link and "rival=quadratic" in link


@pytest.mark.browser
def test_a_puzzle_for_a_class_holds_no_answer(screen):
    screen.page.get_by_role("slider", name="Stop 1 of 7").press("Home")
    screen.press("Copy puzzle for a class")
    link = screen.page.evaluate("navigator.clipboard.readText()")
    assert "K=8" in link and "mine" not in link and "moves" not in link


@pytest.mark.browser
@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ("model=nobody", "The link asks for model = nobody, which this page does not have."),
        ("K=0", "The link asks for K = 0, which"),
        ("mine=5.4", "The link holds a path that is not one of at most 32 steps from 0 to 1,000."),
        ("variance=__proto__&scene=9&view=constructor", "The link asks for view = constructor"),
    ],
)
def test_a_wrong_link_is_one_sentence(screen, link, sentence):
    screen.open(link)
    assert sentence in screen.text("[role=alert]") and screen.text("h1").startswith("You may keep 8")


@pytest.mark.browser
def test_the_tour_goes_by_arrow_keys_and_a_lecturer_uncovers_sentences(screen):
    screen.press("How it works")
    titles = []
    for _ in range(5):
        titles.append(screen.text(".scene h2"))
        screen.page.keyboard.press("ArrowRight")
        screen.settle()
    assert len(set(titles)) == 5 and "view=play" in screen.link()
    screen.open("view=tour&scene=4&lecture=yes&said=1&rival=quadratic")
    assert screen.page.locator(".scene .sentences p").count() == 2
    screen.settle()
    assert "With K = 32," in screen.text(".scene") and "rival=quadratic" in screen.link()
    screen.open("view=tour&scene=3&lecture=yes")
    assert screen.page.locator(".scene .sentences p").count() == 1
    screen.page.keyboard.press("PageDown")
    screen.settle()
    assert screen.page.locator(".scene .sentences p").count() == 2 and "said=1" in screen.link()


@pytest.mark.browser
def test_films_play_and_are_not_shown_for_another_budget(screen):
    screen.press("All budgets")
    scrub = screen.page.get_by_label("Step of the films")
    assert scrub.get_attribute("aria-valuetext") == "after 8 of 8 steps"
    screen.press("Play")
    screen.page.wait_for_function("document.querySelector('.scrub input').value > 0")
    screen.press("Pause")
    scrub.press("Home")
    assert screen.text(".film .line p") == "t = 1,000: pure noise"
    pixels = "[...document.querySelectorAll('.film canvas')].map(c => c.toDataURL())"
    start = screen.page.evaluate(pixels)
    assert start[0] == start[2]  # both start from the same noise
    screen.press("Step")
    assert screen.page.evaluate(pixels)[0] != start[0]
    screen.page.get_by_label("Steps K", exact=True).press("ArrowRight")
    screen.settle()
    assert (
        screen.text(".missing") == "No film of 9 steps was recorded." and not screen.page.locator(".films").is_visible()
    )
    screen.press("K = 16")
    assert "You may keep 16" in screen.text("h1") and screen.page.locator(".films").is_visible()


def drop(screen, name: str, text: str) -> None:
    screen.page.evaluate(
        """([name, text]) => {
            const data = new DataTransfer();
            data.items.add(new File([text], name));
            document.querySelector(".ddpm-explorer").dispatchEvent(new DragEvent("drop", { dataTransfer: data }));
        }""",
        [name, text],
    )
    screen.settle()


@pytest.mark.browser
def test_another_model_is_dropped_on_the_page(screen, files):
    data = json.dumps(page_data([Source.open(files, "mixture")], VARIANCES))
    drop(screen, "mixture.json", data)
    assert screen.text("h1").startswith("You may keep 8 of 100 steps")
    assert screen.text(".missing") == "No films of mixture were recorded."
    for view in ("How it works", "Beat the DP", "All budgets"):
        screen.press(view)
        assert "NaN" not in screen.text("main") and "undefined" not in screen.text("main")
    screen.choose("Model", "digits")
    assert "of 1,000 steps" in screen.text("h1")
    wrong = {'"T": 100': '"T": 7', '"arrays": [': '"arrays": [7, ', '"budgets": 100': '"budgets": 99.5'}
    wrong |= {'"films": null': '"films": {}', '"budgets": 100,': '"budgets": 101,'}
    data = data.replace('"name": "mixture"', '"name": "mixture", "films": null')
    for text in ("no JSON", "{}", *(data.replace(*each) for each in wrong.items())):
        assert text != data
        drop(screen, "bad.json", text)
        assert "bad.json does not hold an explorer's data" in screen.text("[role=alert]")
        assert "of 1,000 steps" in screen.text("h1")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        (1280, "light"),
        pytest.param(1280, "dark", marks=pytest.mark.nightly),
        pytest.param(1920, "light", marks=pytest.mark.nightly),
    ],
)
def test_every_state_fits_the_screen_and_shuts_nobody_out(screen, scheme, width):
    """Nothing is wider than the screen, every word has its definition, and axe-core finds nothing wrong."""
    screen.page.emulate_media(color_scheme=scheme)
    screen.page.set_viewport_size({"width": width, "height": 900})
    folder = os.environ.get("EXPLORER_SCREENSHOTS")
    for link in STATES:
        screen.open(link)
        screen.page.wait_for_timeout(200)
        assert screen.page.locator(".word").count() and not screen.page.locator(".word:not([data-definition])").count()
        assert screen.page.evaluate("document.documentElement.scrollWidth") <= width
        for details in screen.page.locator("details:visible").all():
            details.locator("summary").click()
        found = axe.Axe().run(screen.page)
        assert found.violations_count == 0, f"{link}: {found.generate_report()}"
        if folder:
            screen.page.screenshot(path=Path(folder) / f"{width}-{scheme}-{link}.png", full_page=True)


@pytest.mark.browser
@pytest.mark.parametrize("T", [2, 3, 5])
def test_of_few_timesteps(screen, T, tmp_path):
    noise = NoiseSchedule.cosine(T)
    model = MixtureDenoiser(noise, means=[[0.5, -0.2], [-0.4, 0.3]], std=0.15)
    points = np.random.default_rng(0).normal(size=(200, 2))
    data = json.dumps(page_data([Source(measure(model, points, progress=False), name="few")], VARIANCES))
    drop(screen, "few.json", data)
    for K in range(1, T + 1):
        screen.open_link(f"view=play&model=few&K={K}")
        assert screen.text(".score").startswith(("0 of 100", "100 of 100", "–"))  # untouched: even, or the only path
        for link in ("view=explore", *(f"view=tour&scene={i}" for i in range(1, 6))):
            screen.open_link(f"{link}&model=few&K={K}")
            said = screen.text("main")
            assert "NaN" not in said and "undefined" not in said and "1 steps" not in said


@pytest.mark.browser
def test_hints_lead_to_where_no_stop_can_move(screen, source):
    costs = step_costs(source.train, "analytic")
    screen.open("view=play&variance=analytic&K=4")
    while screen.page.get_by_role("button", name="Hint", exact=True).get_attribute("aria-disabled") == "false":
        screen.press("Hint")
        move = re.match(r"Stop (\d): from timestep (\d+) to (\d+)", screen.text(".hinted"))
        if not move:
            break
        stops = screen.stops()
        stops[int(move[1]) - 1] = int(move[3])
        screen.open("view=play&variance=analytic&K=4&mine=" + ".".join(map(str, stops)))
    path = [0, *screen.stops(), 1000]
    now = bits_per_dim(costs.of(path).total, source.train.d)
    for i in range(1, 4):
        for t in range(path[i - 1] + 1, path[i + 1]):
            other = bits_per_dim(costs.of(path[:i] + [t] + path[i + 1 :]).total, source.train.d)
            assert other > now - 6e-4, (path, i, t)  # 0.0005 from the DP is a tie, and the end of hints


@pytest.mark.browser
def test_moves_come_back_with_their_stops(screen):
    screen.page.get_by_role("slider", name="Stop 1 of 7").press("Home")
    screen.press("Hint")
    before = screen.text(".counts")
    assert before == "1 move, 1 hint."
    steps = screen.page.get_by_label("Steps K", exact=True)
    steps.press("ArrowRight")
    screen.settle()
    assert screen.text(".counts") == ""
    steps.press("ArrowLeft")
    screen.settle()
    assert screen.text(".counts") == before


@pytest.mark.browser
def test_a_model_of_the_same_name_gets_another(screen, source):
    drop(screen, "again.json", json.dumps(page_data([source], ("analytic",))))
    assert screen.page.get_by_label("Model", exact=True).input_value() == "digits (2)"
    screen.press("Copy link")
    assert "It needs a page that has the model digits (2)" in screen.text("[role=alert]")


@pytest.mark.browser
def test_a_path_is_taken_away(screen, source):
    screen.open("view=explore&variance=analytic&K=8")
    screen.page.locator(".take summary").click()
    python, timesteps = screen.page.locator(".take pre").all_inner_texts()
    names = {}
    exec(python, names)
    assert np.array_equal(names["path"], solve(step_costs(source.train, "analytic"), 8).path(8))
    assert timesteps == str(to_diffusers(names["path"]))
    screen.page.get_by_role("button", name="Copy: Python that finds it").click()
    screen.settle()
    assert screen.page.evaluate("navigator.clipboard.readText()") == python


def test_films_are_what_the_library_samples(source):
    films = films_of(source, ["analytic"])
    assert (films["family"], films["paths"]) == ("analytic", ("DP", "even")) and len(films["sheet"]) < 100_000
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(films["sheet"]))))[:, :, 0].reshape(-1, 8, 33, 8)
    for k, K in enumerate(films["budgets"]):
        path = solve(step_costs(source.train, "analytic"), K).path(K)
        how = {"variance": "analytic", "statistics": source.train, "progress": False}
        images = sample(ddpm_dp.load("digits"), path, films["seeds"], **how)
        for seed, image in enumerate(images[:, 0].numpy()):
            of_x = (2 * k * films["seeds"] + seed) * 2  # the DP's path comes first, and x before guesses
            assert abs(sheet[of_x, :, K] / 127.5 - 1 - image.clip(-1, 1)).max() <= 1 / 127.5


def test_modules_are_put_in_the_order_in_which_they_are_needed(monkeypatch):
    order = ordered("widget")
    assert order[-2:] == ["app", "widget"] and len(order) == len(set(order)) == len(list(bundle.WEB.glob("*.js")))
    assert order.index("dom") < order.index("view") < order.index("ruler")
    circle = {"a": 'import { b } from "./b.js";\n', "b": 'import { a } from "./a.js";\n'}
    monkeypatch.setattr(bundle, "source_of", circle.__getitem__)
    with pytest.raises(ValueError, match="web/a.js imports itself, by way of a, b"):
        ordered("a")


def test_a_page_fetches_nothing(files):
    text = page(page_data([Source.open(files, "mixture")], VARIANCES))
    own = text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert "http" not in re.sub(r"http-equiv", "", own) and "default-src 'none'" in text and len(text) < 400_000

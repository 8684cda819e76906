"""The book as its readers see it: its pages in a browser, where axe-core finds nothing that shuts somebody out.

`make browser` renders the book before it runs this: once, for this and for readers.
"""

from pathlib import Path

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: run `make browser`")
SLOW = {"color-contrast": {"enabled": False}}  # the colours are those of the other pages of its kind
KINDS = ("docs", "docs/api", "notebooks", "benchmarks/results")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def book() -> Path:
    """The book as `make book` rendered it."""
    book = ROOT / "out" / "book"
    if not book.is_dir():
        pytest.skip("no book: run `make browser`")
    return book


@pytest.mark.browser
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.nightly)])
def test_pages_can_be_read_by_everybody(book, chromium, every):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    pages = {name: sorted(book.glob(f"{name}/*.html")) for name in KINDS}
    assert all(len(files) > 1 for files in pages.values())
    # Notebooks are made alike, and so are the pages of the reference.
    alike = ("notebooks", "docs/api")
    files = [file for name, found in pages.items() for file in found[:: every if name in alike else 1]]
    # MathJax looks after its own formulas; without them a page is read in a tenth of the time.
    page.route("**/mathjax/**", lambda route: route.abort())
    of_each_kind = {file.parent: file for file in files}.values()
    wrong = {}
    for file in files:
        page.goto(file.as_uri())
        found = axe.Axe().run(page, options={} if file in of_each_kind else {"rules": SLOW})
        if found.violations_count:
            wrong[file.name] = found.generate_report()
    assert not wrong, "\n".join(f"{name}: {report}" for name, report in wrong.items())


@pytest.mark.browser
@pytest.mark.nightly
def test_formulas_fit_a_laptops_screen(book, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    for file in [*sorted(book.glob("notebooks/*.html")), *sorted(book.glob("docs/*.html"))]:
        page.goto(file.as_uri())
        formulas = page.locator("article mjx-container[display=true]")
        if page.locator("article div.math").count():
            formulas.first.wait_for()
            page.evaluate("MathJax.startup.promise")
        wide = formulas.evaluate_all("all => all.filter(f => f.scrollWidth > f.clientWidth + 2)")
        assert not wide, f"{file.name}: {len(wide)} formulas are wider than their column"


@pytest.mark.browser
def test_long_pages_have_their_contents_beside_them(book, chromium):
    """On a wide screen always, on a laptop behind one click: no page must be read by scrolling."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.route("**/mathjax/**", lambda route: route.abort())
    for file in sorted(book.glob("notebooks/*.html")):
        page.goto(file.as_uri())
        sections = page.locator("article section > h2").count()
        assert page.locator(".toc-tree a").count() >= sections > 1
        assert page.locator(".toc-tree").is_visible(), file.name
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator(".content-icon-container label.toc-overlay-icon").click()
    page.wait_for_timeout(500)  # it slides in
    box = page.locator(".toc-tree").bounding_box()
    assert box and 0 <= box["x"] < box["x"] + box["width"] <= 1280


@pytest.mark.browser
def test_notebooks_can_be_opened_elsewhere_and_code_copied(book, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    for file in sorted(book.glob("notebooks/*.html"))[:2]:
        page.goto(file.as_uri())
        links = page.locator("p.launch a").evaluate_all("links => links.map(link => link.href)")
        assert len(links) == 3 and all(link.endswith(f"notebooks/{file.stem}.ipynb") for link in links)
        assert page.locator(".cell_input button.copybtn").count() == page.locator(".cell_input pre").count() > 0
        assert page.locator(".cell_output button.copybtn").count() == 0
        described = page.locator('meta[property="og:description"]').get_attribute("content")
        assert described and described in page.locator('meta[name="description"]').get_attribute("content")
        image = page.locator('meta[property="og:image"]').get_attribute("content")
        assert (book / "_images" / image.rsplit("/", 1)[1]).exists()

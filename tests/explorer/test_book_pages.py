"""The book as its readers see it: its pages in a browser, where axe-core finds nothing that shuts somebody out."""

import subprocess
import sys
from pathlib import Path

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: run `make browser`")
SLOW = {"color-contrast": {"enabled": False}}  # the colours are those of the other pages of its kind
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("book")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", "-d", out / "trees", ".", out]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=300)
    return out


@pytest.mark.browser
def test_pages_can_be_read_by_everybody(book, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    pages = {name: sorted(book.glob(f"{name}/*.html")) for name in ("docs", "notebooks", "benchmarks/results")}
    assert all(len(files) > 1 for files in pages.values())
    files = [*pages["docs"], *pages["notebooks"][::4], *pages["benchmarks/results"]]  # notebooks are made alike
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

"""The book as its readers see it: every page in a browser, where axe-core finds nothing that shuts somebody out."""

import subprocess
import sys
from pathlib import Path

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: run `make browser`")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("book")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", "-d", out / "trees", ".", out]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=300)
    return out


@pytest.mark.browser
def test_every_page_can_be_read_by_everybody(book, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    files = [file for file in sorted(book.rglob("*.html")) if file.parent.name in ("docs", "notebooks", "results")]
    assert len(files) > 12
    wrong = {}
    for file in files:
        page.goto(file.as_uri())
        page.evaluate("window.MathJax?.startup?.promise")
        found = axe.Axe().run(
            page, options={"rules": {"empty-table-header": {"enabled": False}}}
        )  # to axe, MathML is empty
        heads = page.locator("th").evaluate_all("heads => heads.filter((head) => !head.textContent.trim()).length")
        if found.violations_count or heads:
            wrong[file.name] = found.generate_report() + f"{heads} empty heads of columns"
    assert not wrong, "\n".join(f"{name}: {report}" for name, report in wrong.items())

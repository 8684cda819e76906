"""What the explorer's tests share: statistics files of a reader's own, and a browser."""

import shutil

import pytest

from ddpm_dp import DenoisingStatistics, measure
from tests.conftest import draw


@pytest.fixture(scope="session")
def held_out(mixture, statistics) -> DenoisingStatistics:
    return measure(mixture, draw(mixture, 500, seed=2), fitted=statistics, progress=False)


@pytest.fixture
def files(tmp_path, statistics, held_out):
    statistics.save(tmp_path / "train.npz")
    held_out.save(tmp_path / "test.npz")
    return tmp_path


@pytest.fixture(scope="module")  # not longer: playwright runs only once at a time in a process
def chromium():
    """Debian's Chromium, driven by playwright; without either, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: run `make browser`")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium: run `make browser`")
    quiet = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=quiet.split())
        yield browser
        browser.close()

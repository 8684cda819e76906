"""What several test files share: small exact models, a browser, and one torch thread per test process.

Tolerances come from the arithmetic, not from a machine. Where a test says nothing else:

- 1e-12 relative: the same float64 terms, added in another order or batch. A sum of n terms is known to about sqrt(n)
  ulps, some 1e-14 for the thousands here; a hundred times that is for other kernels of the same product.
- 1e-9 relative: the same formula written in another way, in which numbers up to 1e4 times as large cancel (snr_1, in
  these schedules 1e3 to 1e4, against later ones; log rho against 1 / rho - 1 in short steps), and ten times that.
- 1e-7 or 1e-6: a float32 number (24 bits, 6e-8) in a few operations.
- so many standard errors: 3 or 4, with a fixed seed.
"""

import os
import shutil
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import settings

from ddpm_dp import MixtureDenoiser, NoiseSchedule, measure
from ddpm_dp.training.losses import Loss

# CI judges a change by the same examples every time; at home hypothesis looks for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

torch.set_num_threads(1)  # the suite runs in two processes on two cores; threads that wait for each other slow both


@pytest.fixture(scope="session")
def mixture() -> MixtureDenoiser:
    """The exact denoiser of two Gaussians in the plane, under a cosine schedule with T = 100."""
    return MixtureDenoiser(NoiseSchedule.cosine(100), means=[[0.5, -0.2], [-0.4, 0.3]], std=0.15, weights=[0.3, 0.7])


def nightly_but(kept: str, names: Iterable[str]) -> list:
    """The names as parameters of a test: one stands for all in `make test`, the others wait for `make nightly`."""
    names = [*names]
    assert kept in names
    return [pytest.param(name, marks=() if name == kept else pytest.mark.nightly) for name in names]


def draw(denoiser: MixtureDenoiser, n: int, seed: int) -> np.ndarray:
    """n points from the mixture itself."""
    rng = np.random.default_rng(seed)
    component = rng.choice(len(denoiser.means), size=n, p=denoiser.log_weights.exp().numpy())
    means = denoiser.means.numpy()[component].reshape(n, *denoiser.shape)
    return means + denoiser.std * rng.standard_normal((n, *denoiser.shape))


@pytest.fixture(scope="session")
def points(mixture) -> np.ndarray:
    return draw(mixture, 4000, seed=1)


@pytest.fixture(scope="session")
def statistics(mixture, points):
    return measure(mixture, points, progress=False)


def interrupt_training(monkeypatch, step: int) -> None:
    """Until `monkeypatch.undo()`, training gets Ctrl-C when it computes the losses of that step."""
    calls, loss = iter(range(1000)), Loss.__call__

    def interrupted(*arguments):
        if next(calls) == step:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(Loss, "__call__", interrupted)


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

"""Statistics of a million timesteps: rows made when they are asked for are those that would have been there."""

import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from ddpm_dp import DenoisingStatistics, load, load_dataset, measure, shipped, solve, step_costs
from ddpm_dp.statistics import rows
from ddpm_dp.variances import curves, served

MODELS = ["fashion-mnist/hybrid", "fashion-mnist/predicted"]


def arrays(one) -> dict[str, np.ndarray]:
    """All arrays of cells or of a curve, written out."""
    found = {field.name: getattr(one, field.name) for field in fields(one)}
    found |= {f"map.{name}": each for name, each in one.maps.items()}
    return {name: np.asarray(each) for name, each in found.items() if isinstance(each, np.ndarray | rows.RowsOnDemand)}


@pytest.mark.parametrize("model", MODELS)
def test_rows_on_demand_are_the_rows(model, monkeypatch):
    at_once = DenoisingStatistics.load(shipped(f"{model}/train.npz"))
    monkeypatch.setattr(rows, "AT_ONCE", 0)
    monkeypatch.setattr(curves, "PART", 100)
    on_demand = DenoisingStatistics.load(shipped(f"{model}/train.npz"))
    assert any(isinstance(cells.mass, rows.RowsOnDemand) for cells in on_demand.cells.values())
    for kind in ("cells", "curves"):
        for name, one in getattr(at_once, kind).items():
            expected, found = arrays(one), arrays(getattr(on_demand, kind)[name])
            assert expected.keys() == found.keys()
            for part in expected:
                np.testing.assert_array_equal(found[part], expected[part], err_msg=f"{name}: {part}")
    t = np.array([0, 1, 5, 3999, 4000])
    mass = on_demand.cells[at_once.second].mass
    np.testing.assert_array_equal(mass[t], np.asarray(mass)[t])
    np.testing.assert_array_equal(mass[7], np.asarray(mass)[7])
    np.testing.assert_array_equal(mass[3:9], np.asarray(mass)[3:9])
    np.testing.assert_array_equal(mass[..., 1][t], np.asarray(mass)[t, 1])
    for variance in (*served(at_once),)[-2:]:
        solved = [solve(step_costs(each, variance), 8) for each in (at_once, on_demand)]
        np.testing.assert_allclose(solved[1].values, solved[0].values, rtol=1e-13)  # sums of the same numbers


def test_held_out_images_are_measured_with_statistics_on_demand(monkeypatch):
    model, images = load("digits"), load_dataset("digits").train[:12]
    found = []
    for numbers in (rows.AT_ONCE, 0):
        monkeypatch.setattr(rows, "AT_ONCE", numbers)
        train = measure(model, images[:8], timesteps=12, progress=False)
        found.append(measure(model, images[8:], fitted=train, timesteps=12, progress=False))
    at_once, on_demand = found
    assert isinstance(on_demand.cells["spectral"].fitted, rows.RowsOnDemand)
    prices = [step_costs(each, "spectral").of([0, 3, 40, 500, 1000]) for each in found]
    np.testing.assert_allclose(prices[1].steps, prices[0].steps, rtol=1e-13)


PROGRAM = """
import resource, sys
import numpy as np
import ddpm_dp
from ddpm_dp.models.denoiser import Prediction

class Exact(ddpm_dp.MixtureDenoiser):
    second = "v"
    def __call__(self, x_t, t):
        x0 = super().__call__(x_t, t).x0
        return Prediction(x0, v=(x0.abs() % 1))

model = Exact(ddpm_dp.NoiseSchedule.cosine(10**6), [[0.5, -0.2], [-0.4, 0.3]], 0.15)
model.id = "exact with a second output"
x = np.random.default_rng(0).uniform(-1, 1, (64, 2))
ddpm_dp.measure(model, x[:32], timesteps=100, progress=False).save(sys.argv[1])
statistics = ddpm_dp.DenoisingStatistics.load(sys.argv[1])
held_out = ddpm_dp.measure(model, x[32:], fitted=statistics, timesteps=100, progress=False)
del held_out
frontier = ddpm_dp.solve(ddpm_dp.step_costs(statistics, "learned"), 32)
print(len(frontier.path(32)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.nightly
def test_a_million_timesteps_with_a_second_output_are_measured_and_solved_in_4_gb(tmp_path):
    pytest.importorskip("resource")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "train.npz")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps, peak = map(int, done.stdout.split())
    assert steps == 33 and peak < 4e9

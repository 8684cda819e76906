"""Cells of any kind, and a decoder's curve: what they hold, how they are filled, and their file."""

from dataclasses import replace

import numpy as np
import pytest

from ddpm_dp import DenoisingStatistics, measure
from ddpm_dp.statistics import Cells, DecoderCurve, filling
from tests.statistics.same import same, same_cells

EPS = np.finfo(float).eps


def bands(statistics: DenoisingStatistics, B: int = 5) -> Cells:
    """Invented cells of another basis, with everything that cells can hold; their errors sum to m_t in every group."""
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(B), size=(len(statistics.counts), statistics.T + 1))
    error_of_group = share * statistics.squared_error[..., None]
    masses = rng.dirichlet(np.full(B, 9.0), size=(len(statistics.counts), statistics.T + 1))
    masses[:, 0] = 0
    mass = statistics.mean(masses)[0]
    error = statistics.mean(error_of_group)[0]
    return Cells(
        "bands",
        mass,
        error,
        error_of_group,
        mass_of_group=masses,
        fitted=np.divide(error, mass, where=mass > 0, out=np.zeros_like(error)),
        basis="dct 8x8",
        maps={"threshold": rng.random((statistics.T + 1, 2)), "cell": rng.integers(0, B, (statistics.T + 1, 3, 4))},
    )


def curve(statistics: DenoisingStatistics) -> DecoderCurve:
    """Invented prices of two classes at five variances, least near the middle."""
    rng, entries = np.random.default_rng(1), statistics.T + 1
    x = np.arange(5) - rng.uniform(1.5, 2.5, (entries, 2, 1))
    nats = 1 + x**2 / 10
    nats[0] = 0
    group = rng.random((len(statistics.counts), entries, 1)) + nats.min(2).sum(1)[:, None]
    made = DecoderCurve("bands", np.zeros((entries, 2)), nats, group, np.zeros(entries))
    measured = np.arange(1, entries)
    return DecoderCurve.from_rows("bands", made.rows(measured), measured, statistics.T).fitted_anew()


@pytest.fixture(scope="module")
def rich(statistics) -> DenoisingStatistics:
    """Statistics with cells and a curve beside the one cell."""
    cells = {**statistics.cells, "bands": bands(statistics)}
    return replace(statistics, cells=cells, curves={"bands": curve(statistics)})


def test_one_cell_is_the_mean_squared_error(statistics):
    one = statistics.cells["all"]
    assert one.mass.shape == (101, 1) and one.mass[0] == 0 and (one.mass[1:] == 1).all()
    assert np.array_equal(one.error[:, 0], statistics.m) and np.array_equal(one.fitted[:, 0], statistics.fitted_m)
    assert np.array_equal(one.error_of_group[..., 0], statistics.squared_error)


def test_a_file_keeps_cells_and_curves(rich, tmp_path):
    """Exactly, but for cells' masses and errors (18 bits), a curve's prices (17), and groups of images (10)."""
    again = DenoisingStatistics.load(rich.save(tmp_path / "rich.npz"))
    assert same(again, rich)
    found, expected = again.cells["bands"], rich.cells["bands"]
    assert (found.basis, found.maps.keys()) == ("dct 8x8", expected.maps.keys())
    for name, bits in {"mass": 18, "error": 18, "error_of_group": 10, "mass_of_group": 10}.items():
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=2.0**-bits)
    np.testing.assert_allclose(found.fitted, found.fit(np.arange(rich.T + 1)), rtol=0)
    np.testing.assert_allclose(found.fitted[1:], expected.fitted[1:], rtol=2.0**-16)
    for name, rows in expected.maps.items():
        kept = rows[1:].astype(np.float32) if rows.dtype == float else rows[1:]
        assert np.array_equal(found.maps[name][1:], kept)
    for name, bits in {"nats": 17, "of_group": 10, "fitted": 22, "training": 22}.items():
        kept, known = (getattr(each.curves["bands"], name) for each in (again, rich))
        np.testing.assert_allclose(kept, known, rtol=2.0**-bits, atol=1e-20)
    twice = DenoisingStatistics.load(again.save(tmp_path / "twice.npz"))
    assert same_cells(twice.cells["bands"], found)


def test_unmeasured_timesteps_are_filled(rich):
    """Errors still sum to m_t; the rest lies between its measured neighbours, or is that of the nearest."""
    measured = filling.grid(rich.T, 20)
    thin = rich.at_timesteps(measured)
    few, all_ = thin.cells["bands"], rich.cells["bands"]
    np.testing.assert_allclose(few.error.sum(1), thin.m, rtol=20 * EPS)
    # a group's errors are its own: they sum to its own m_t, and stay where they were measured
    np.testing.assert_allclose(few.error_of_group.sum(2), thin.squared_error, rtol=20 * EPS)
    np.testing.assert_allclose(few.error_of_group[:, measured], all_.error_of_group[:, measured], rtol=20 * EPS)
    mass, error = few.by_group(np.arange(1, 101), thin.counts, thin.squared_error)
    np.testing.assert_allclose(thin.mean(error)[0], few.error[1:], rtol=64 * EPS)
    np.testing.assert_allclose(thin.mean(mass)[0], few.mass[1:], rtol=64 * EPS)
    np.testing.assert_allclose(few.mass_of_group.sum(2)[:, 1:], 1, rtol=20 * EPS)
    np.testing.assert_allclose(few.fitted[measured], all_.own[measured], rtol=64 * EPS)
    np.testing.assert_allclose(few.mass.sum(1)[1:], 1, rtol=20 * EPS)
    assert np.array_equal(few.mass[measured], all_.mass[measured])
    np.testing.assert_allclose(few.error[measured], all_.error[measured], rtol=20 * EPS)
    between = next(t for t in range(1, 100) if t not in measured)
    right = int(np.searchsorted(measured, between))
    ends = few.mass[measured[right - 1]], few.mass[measured[right]]
    assert ((few.mass[between] >= np.minimum(*ends) - EPS) & (few.mass[between] <= np.maximum(*ends) + EPS)).all()
    nearest = measured[np.abs(measured - between).argmin()]
    assert np.array_equal(few.maps["cell"][between], all_.maps["cell"][nearest])
    assert np.array_equal(thin.curves["bands"].nats[measured], rich.curves["bands"].nats[measured])
    assert (thin.curves["bands"].nats >= 0).all()


def test_fewer_timesteps_are_as_if_no_other_had_been_measured(mixture, points, statistics):
    few = measure(mixture, points, timesteps=20, progress=False)
    thin = statistics.at_timesteps(few.measured)
    assert np.array_equal(thin.squared_error, few.squared_error)
    np.testing.assert_allclose(thin.fitted_m, few.fitted_m, rtol=32 * EPS)  # means of 32 groups, added up otherwise
    assert same(replace(thin, cells=few.cells), few)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"error": np.zeros((101, 4))}, "error has shape"),
        ({"fitted": np.zeros((100, 5))}, "fitted has shape"),
        ({"error_of_group": np.zeros((32, 101, 4))}, "error_of_group has shape"),
        ({"mass": -np.ones((101, 5))}, "not negative"),
        ({"mass_of_group": np.zeros((32, 101, 4))}, "mass_of_group has shape"),
        ({"low": np.full(101, np.nan)}, "low is NaN at t = 0"),
        ({"maps": {"threshold": np.zeros(100)}}, "map 'threshold' has 100 rows"),
        ({"error": np.full((101, 5), np.nan)}, "NaN at t = 0"),
    ],
)
def test_cells_that_do_not_fit_are_refused(rich, change, word):
    with pytest.raises(ValueError, match=word):
        replace(rich.cells["bands"], **change)


def test_a_curve_that_does_not_fit_is_refused(rich):
    with pytest.raises(ValueError, match="decoder's curve"):
        replace(rich.curves["bands"], low=np.zeros((101, 3)))
    with pytest.raises(ValueError, match="decoder's curve 'bands' has nats that are not finite at t = 7"):
        broken = rich.curves["bands"].nats.copy()
        broken[7, 1] = np.nan
        replace(rich.curves["bands"], nats=broken)
    with pytest.raises(ValueError, match="curve 'bands' has shape"):
        few = replace(rich.curves["bands"], of_group=rich.curves["bands"].of_group[:5])
        replace(rich, curves={"bands": few})


def test_the_best_of_a_curve_is_found(rich):
    """Of prices 1 + x^2 / 10 at five nodes, whose logarithm a cubic spline follows to 0.01: the least is 1 a class."""
    found = rich.curves["bands"]
    assert (np.abs(found.mean(np.arange(1, 101), found.fitted[1:]) - found.training[1:]) < 1e-9).all()
    assert (np.abs(found.training[1:] - 2) < 0.02).all()
    for shift in (-0.1, 0.1):
        assert (found.mean(np.arange(1, 101), found.fitted[1:] + shift) > found.training[1:]).all()

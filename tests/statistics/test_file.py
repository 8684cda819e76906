"""The statistics file: whole, of a known format, and the same numbers again."""

import json

import numpy as np
import pytest

from ddpm_dp import DenoisingStatistics, measure
from tests.statistics.same import same


def test_file_keeps_everything(tmp_path, statistics):
    file = statistics.save(tmp_path / "deep" / "stats.npz")
    assert same(DenoisingStatistics.load(file), statistics)
    assert [p.name for p in file.parent.iterdir()] == ["stats.npz"]  # no temporary file stays behind


def test_a_truncated_or_foreign_file_is_refused(tmp_path, statistics):
    file = statistics.save(tmp_path / "stats.npz")
    whole = file.read_bytes()
    for part in (0, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:part])
        with pytest.raises(ValueError, match="not a whole statistics file"):
            DenoisingStatistics.load(file)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    file.write_bytes(flipped)
    with pytest.raises(ValueError, match="not a whole statistics file"):
        DenoisingStatistics.load(file)
    np.savez(file, something=np.zeros(3))
    with pytest.raises(ValueError, match="not a whole statistics file"):
        DenoisingStatistics.load(file)
    with pytest.raises(FileNotFoundError, match="There is no statistics file"):
        DenoisingStatistics.load(tmp_path / "absent.npz")


def test_a_pickle_is_never_loaded(tmp_path):
    file = tmp_path / "stats.npz"
    np.savez(file, header=np.array(json.dumps({"format": 1})), evil=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="not a whole statistics file"):
        DenoisingStatistics.load(file)


def test_file_of_fewer_timesteps_is_short_and_the_same(mixture, points, tmp_path):
    """Only measured columns are written; reading fills the others with the very same numbers."""
    full, few = (measure(mixture, points, timesteps=n, progress=False) for n in (None, 20))
    again = DenoisingStatistics.load(few.save(tmp_path / "few.npz"))
    assert np.array_equal(again.squared_error, few.squared_error) and np.array_equal(again.fitted_m, few.fitted_m)
    full.save(tmp_path / "full.npz")
    assert (tmp_path / "few.npz").stat().st_size < 0.4 * (tmp_path / "full.npz").stat().st_size


def test_file_whose_parts_do_not_fit_is_refused(statistics, tmp_path):
    file = statistics.save(tmp_path / "stats.npz")
    with np.load(file) as arrays:
        parts = dict(arrays)
    np.savez(file, **parts | {"measured": parts["measured"][:-1]})
    with pytest.raises(ValueError, match=r"has shape \(32, 100, 1\); expected groups x 99"):
        DenoisingStatistics.load(file)

"""The statistics file: whole, of a known format, and the same numbers again."""

import json
import zipfile

import numpy as np
import pytest

from ddpm_dp import DenoisingStatistics, measure
from tests.statistics.same import rewritten, same


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
    """Only measured columns are written; reading fills the others with the very same numbers.

    What does not hang on how many were measured (alpha bar, what tells images apart, m_t as fitted) is in both.
    """
    full, few = (measure(mixture, points, timesteps=n, progress=False) for n in (None, 20))
    again = DenoisingStatistics.load(few.save(tmp_path / "few.npz"))
    assert np.array_equal(again.squared_error, few.squared_error) and np.array_equal(again.fitted_m, few.fitted_m)
    full.save(tmp_path / "full.npz")
    packed = {}
    for name in ("few", "full"):
        with zipfile.ZipFile(tmp_path / f"{name}.npz") as file:
            members = {each.filename: each.compress_size for each in file.infolist()}
        always = ("header.npy", "abar.npy", "counts.npy", "prior.npy", "images.npy", "cells.all.fitted.npy")
        packed[name] = sum(members.values()) - sum(members[each] for each in always)
    assert packed["few"] < 0.4 * packed["full"]


def test_file_whose_parts_do_not_fit_is_refused(statistics, tmp_path):
    file = statistics.save(tmp_path / "stats.npz")
    rewritten(file, measured=statistics.measured[:-1])
    with pytest.raises(ValueError, match=r"cells.all.error_of_group has shape \(32, 100, 1\); expected \(32, 99, C\)"):
        DenoisingStatistics.load(file)


@pytest.mark.parametrize(
    ("order", "word"),
    [(slice(None, None, -1), "ascend"), ([0, 2, 1, *range(3, 100)], "ascend"), ([0, *range(99)], "ascend")],
    ids=["reversed", "two exchanged", "one twice"],
)
def test_timesteps_that_do_not_ascend_are_refused(statistics, tmp_path, order, word):
    """A full grid in another order was read as if it were in order, and gave -1.76 bits/dim instead of 0.94."""
    file = statistics.save(tmp_path / "stats.npz")
    rewritten(file, measured=statistics.measured[order])
    with pytest.raises(ValueError, match=word):
        DenoisingStatistics.load(file)


def test_the_same_statistics_are_the_same_bytes(statistics, tmp_path):
    one, two = (statistics.save(tmp_path / name).read_bytes() for name in ("one.npz", "two.npz"))
    assert one == two


def test_a_file_that_unpacks_to_more_than_its_length_explains_is_refused(tmp_path, statistics):
    """100 MB of zeros in 100 kB: refused before they are made."""
    file = statistics.save(tmp_path / "stats.npz")
    rewritten(file, prior=np.zeros(12_500_000))
    assert file.stat().st_size < 1e6
    with pytest.raises(ValueError, match="would unpack to more than 67,108,864 bytes"):
        DenoisingStatistics.load(file)

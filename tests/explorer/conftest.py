"""What the explorer's tests share: statistics files of a reader's own."""

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

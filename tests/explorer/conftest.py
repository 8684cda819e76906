"""What the explorer's tests share: the shipped digits, and statistics files of a reader's own."""

import pytest

import ddpm_dp
from ddpm_dp import DenoisingStatistics, measure
from ddpm_dp.explorer.search import Exploration
from ddpm_dp.explorer.source import Source
from tests.conftest import draw


@pytest.fixture(scope="session")
def digits() -> Exploration:
    return Exploration(Source.open(ddpm_dp.shipped("digits/train.npz"), "digits"))


@pytest.fixture(scope="session")
def held_out(mixture, statistics) -> DenoisingStatistics:
    return measure(mixture, draw(mixture, 500, seed=2), fitted=statistics, progress=False)


@pytest.fixture
def files(tmp_path, statistics, held_out):
    statistics.save(tmp_path / "train.npz")
    held_out.save(tmp_path / "test.npz")
    return tmp_path

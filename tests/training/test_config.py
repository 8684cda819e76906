from dataclasses import replace

import numpy as np
import pytest

from ddpm_dp import TrainConfig
from tests.training.small import TINY


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule": "sigmoid"},
        {"schedule": "linear", "T": 20},  # its betas would be above 1
        {"T": 1},
        {"T": 50.0},
        {"network": "gan"},
        {"loss": "l1"},
        {"steps": 0},
        {"seed": -1},
        {"width": True},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        replace(TINY, **wrong)


@pytest.mark.parametrize("wrong", [{"dropout": 1.0}, {"ema": -0.1}, {"learning_rate": float("nan")}])
def test_wrong_rates_are_refused(wrong):
    with pytest.raises(ValueError, match="; expected the first two in"):
        replace(TINY, **wrong)


def test_whole_numbers_of_numpy_become_plain_ones():
    config = TrainConfig(T=np.int64(50), steps=np.int32(3))
    assert type(config.T) is int and type(config.steps) is int and config == TrainConfig(T=50, steps=3)

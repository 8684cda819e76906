"""When two data sets are one."""

import numpy as np

from ddpm_dp.datasets import Dataset


def assert_same(a: Dataset, b: Dataset) -> None:
    np.testing.assert_array_equal(a.train, b.train)
    np.testing.assert_array_equal(a.test, b.test)

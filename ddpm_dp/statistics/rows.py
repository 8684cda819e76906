"""Rows that are made where somebody asks for them: at T = 10^6 one histogram of 256 bins would take 2 GB."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

AT_ONCE = 2**25  # numbers, 256 MiB: what is larger is made on demand


class RowsOnDemand:
    """Stands for a (T + 1, ...) or (G, T + 1, ...) array.

    `rows[t]` (or `rows[:, t]`, where `axis` is 1) is what the array would give, for a timestep, several, or a slice.
    Any other index, and numpy's functions, write out all of it.

    Attributes:
        shape, ndim: those of the array. axis: where T + 1 stands.
        make: (n,) timesteps -> (n, ...) rows, T's axis first whatever `axis`.
        measured: the timesteps of which the rows are known without `make`.
    """

    def __init__(
        self, shape: tuple[int, ...], make: Callable[[np.ndarray], np.ndarray], measured: np.ndarray, axis: int
    ):
        self.shape, self.ndim, self.make, self.measured, self.axis = shape, len(shape), make, measured, axis

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) == 2 and keys[0] is ...:  # the last axis, which is not T's
            return RowsOnDemand(self.shape[:-1], lambda t: self.make(t)[key], self.measured, self.axis)
        if keys[:-1] != (slice(None),) * self.axis:
            return np.asarray(self)[key]
        t = np.arange(self.shape[self.axis])[keys[-1]]
        made = np.moveaxis(self.make(np.atleast_1d(t).ravel()), 0, self.axis)
        return made.reshape((*self.shape[: self.axis], *np.shape(t), *self.shape[self.axis + 1 :]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        every = self.make(np.arange(self.shape[self.axis]))
        return np.ascontiguousarray(np.moveaxis(every, 0, self.axis), dtype)


def rows_of(
    shape: tuple[int, ...], make: Callable[[np.ndarray], np.ndarray], measured: np.ndarray, axis: int = 0
) -> Any:
    """The array if it is small, else `RowsOnDemand`; arguments as there."""
    rows = RowsOnDemand(shape, make, measured, axis)
    return np.asarray(rows) if math.prod(shape) <= AT_ONCE else rows


def known_rows(values: Any) -> np.ndarray:
    """All of an array; of `RowsOnDemand` what was measured: nothing in between is NaN or negative where that is not."""
    if not isinstance(values, RowsOnDemand):
        return values
    return values[(slice(None),) * values.axis + (values.measured,)]

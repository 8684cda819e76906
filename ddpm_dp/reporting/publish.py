"""A file of chosen paths to publish beside the model."""

from collections.abc import Mapping

import numpy as np

from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.objectives import OBJECTIVES
from ddpm_dp.paths import PathFile
from ddpm_dp.reporting.compare import compare, decoder_in_words
from ddpm_dp.statistics import DenoisingStatistics, Measured, as_measured


def path_file(
    measured: Measured[DenoisingStatistics],
    paths: Mapping[int, np.ndarray],
    variance: str,
    objective: str = "elbo",
) -> PathFile:
    """Paths chosen on training statistics, with bits/dim and provenance.

    Args:
        measured: the training statistics that the paths were chosen on, and held-out ones where there are any: without
            them the file has no held-out bits/dim.
        paths: a path [0, t_1, ..., T] for each budget K.
        variance: the reverse variance that prices them.
        objective: what they minimise, one of `ddpm_dp.objectives.OBJECTIVES`.

    Raises ValueError for paths that are none of this model's, and an unknown variance or objective.

    >>> from ddpm_dp import DenoisingStatistics, shipped
    >>> train = DenoisingStatistics.load(shipped("digits/train.npz"))
    >>> path_file(Measured(train), {2: np.array([0, 100, 1000])}, "analytic").objective
    'ELBO'
    """
    train = as_measured(measured).train
    costs, title = step_costs(train, variance), OBJECTIVES.named(objective).title
    known = {}
    if measured.held_out is not None:
        table = compare(measured, {"": paths}, variance)
        numbers = zip(table.bits[""], table.errors[""], strict=True)
        known = {K: (float(bits), float(error)) for K, (bits, error) in zip(table.budgets, numbers, strict=True)}
    return PathFile(
        paths={K: np.asarray(path) for K, path in paths.items()},
        T=train.T,
        variance=variance,
        objective=title,
        decoder=decoder_in_words(train, variance),
        model_id=train.model_id,
        data_id=train.data_id,
        bits_per_dim={K: float(bits_per_dim(costs.of(path).total, train.d)) for K, path in paths.items()},
        held_out=known,
    )

"""What is published beside a model: the file of chosen paths, and a card that tells people how to use it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.files import write_whole
from ddpm_dp.objectives import OBJECTIVES
from ddpm_dp.paths import PathFile, to_sigmas
from ddpm_dp.reporting.card import card
from ddpm_dp.reporting.compare import compare, decoder_in_words
from ddpm_dp.statistics import DenoisingStatistics, Measured, as_measured
from ddpm_dp.variances import DECODERS


def path_file(
    measured: Measured[DenoisingStatistics],
    paths: Mapping[int, np.ndarray],
    variance: str,
    objective: str = "elbo",
    decoder: str = "fitted",
) -> PathFile:
    """Paths chosen on training statistics, with bits/dim and provenance.

    Args:
        measured: the training statistics that the paths were chosen on, and held-out ones where there are any: without
            them the file has no held-out bits/dim.
        paths: a path [0, t_1, ..., T] for each budget K.
        variance, decoder: the reverse variance and the decoder that price them.
        objective: what they minimise, one of `ddpm_dp.objectives.OBJECTIVES`.

    Raises ValueError for paths that are none of this model's, those that the decoder cannot end, and an unknown
    variance, objective or decoder.

    >>> from ddpm_dp import DenoisingStatistics, shipped
    >>> train = DenoisingStatistics.load(shipped("digits/train.npz"))
    >>> path_file(Measured(train), {2: np.array([0, 100, 1000])}, "analytic").objective
    'ELBO'
    """
    train = as_measured(measured).train
    costs, title = step_costs(train, variance, decoder), OBJECTIVES.named(objective).title
    bits = {K: float(bits_per_dim(costs.of(path).total, train.d)) for K, path in paths.items()}
    if K := next((K for K, of_path in bits.items() if not np.isfinite(of_path)), None):
        raise ValueError(
            f"The path of K = {K} steps has no price under decoder = {decoder!r} ({DECODERS[decoder].words}): its t_1 "
            f"is {paths[K][1]}; ask for another decoder."
        )
    known = {}
    if measured.held_out is not None:
        table = compare(measured, {"": paths}, variance, decoder)
        numbers = zip(table.bits[""], table.errors[""], strict=True)
        known = {K: (float(bits), float(error)) for K, (bits, error) in zip(table.budgets, numbers, strict=True)}
    return PathFile(
        paths={K: np.asarray(path) for K, path in paths.items()},
        T=train.T,
        variance=variance,
        objective=title,
        decoder=decoder,
        decoder_words=decoder_in_words(train, variance, decoder),
        model_id=train.model_id,
        data_id=train.data_id,
        bits_per_dim=bits,
        held_out=known,
        sigmas={K: to_sigmas(path, train.noise) for K, path in paths.items()} if train.noise.alpha[-1] else {},
        shape=train.shape,
        levels=train.levels,
        images=train.n,
        held_out_images=None if measured.held_out is None else measured.held_out.n,
    )


def publish(chosen: PathFile, file: str | Path, replace: bool = True) -> Path:
    """Write the paths file and, beside it, its card: `timesteps.json` and `timesteps.card.md`. Returns the card's path.

    Each is written whole or not at all; with `replace=False` a file of other contents is kept. Raises OSError if that
    cannot be done.
    """
    written = chosen.save(file, replace)
    text = card(chosen, written.name)
    return write_whole(
        card_of(written), lambda temporary: temporary.write_text(text, encoding="utf-8"), replace=replace
    )


def card_of(file: Path) -> Path:
    """Where the card of a paths file stands."""
    return file.with_suffix(".card.md")

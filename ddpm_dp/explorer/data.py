"""What a page without a kernel knows of a model: its best paths, and enough numbers to price any other.

Paths are the library's own, as step lengths. A price L(t, s) is read from a table: f = log(L / z) at some t and s
("knots"), where z = log(1 + C_t (snr_s - snr_t)), C_t = reach m_t. Along s it is a cubic through four knots in z; in t,
where not every timestep was measured, a line in log t at the same z. That is within 1e-3 of a path's price, and mostly
within 1e-4 (tests/explorer/test_data.py); bits/dim of the best and the handcrafted paths are exact.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from tqdm.auto import tqdm

from ddpm_dp.costs import StepCosts, bits_per_dim, step_costs
from ddpm_dp.explorer.source import Source
from ddpm_dp.reporting.compare import decoder_in_words
from ddpm_dp.solver import solve
from ddpm_dp.statistics import DenoisingStatistics
from ddpm_dp.strides import STRIDES
from ddpm_dp.variances import FAMILIES

Rows = list[tuple[int, np.ndarray, np.ndarray]]  # a timestep t, the s to which its prices are tabulated, and z there

FORMAT = 1
VARIANCES = ("posterior", "analytic", "learned", "spectral")  # shown by default, the simplest first
BUDGETS = 256  # of 1 .. T, at most: beyond, curves are flat
REACH = 12  # at least: C_t is the largest rate that a cell of the families has, since L bends first there
GAP = 1.0  # of z, from one knot s of a row to the next, where timesteps are not farther apart
BEND = 5e-4  # of f, between two knots t
UNIT = 2**-12  # of a logarithm: rounding is 1.2e-4 of a price


@dataclass
class Arrays:
    """Arrays of one page, each kept once: equal ones have one place."""

    kept: list[dict[str, str]] = field(default_factory=list)
    _places: dict[tuple[str, bytes], int] = field(default_factory=dict)

    def put(self, values: Any, dtype: str) -> int:
        """Where these values are kept, as little-endian numbers of that type, one of those that web/model.js reads.

        Raises ValueError if one is not finite.
        """
        if not np.isfinite(np.asarray(values, dtype=float)).all():
            raise ValueError("A page cannot show numbers that are not finite; measure the model again.")
        key = dtype, np.ascontiguousarray(values, dtype=f"<{dtype}").tobytes()
        if key not in self._places:
            self._places[key] = len(self.kept)
            self.kept.append({"type": dtype, "values": base64.b64encode(key[1]).decode()})
        return self._places[key]

    def put_timesteps(self, values: Any, T: int) -> int:
        """The same of numbers from 0 to T."""
        return self.put(values, "u2" if T < 2**16 else "u4")

    def put_rows(self, rows: list[np.ndarray], unit: float) -> int:
        """The same of rows of values that differ little from one to the next: in units, as differences.

        The first of a row is its difference from the first of the row before.
        """
        whole = [np.round(row / unit) for row in rows]
        starts = np.diff([row[0] for row in whole], prepend=0)
        differences = np.concatenate([np.r_[start, np.diff(row)] for start, row in zip(starts, whole, strict=True)])
        return self.put(differences, "i2" if abs(differences).max() < 2**15 else "i4")


def page_data(sources: list[Source], variances: tuple[str, ...]) -> dict[str, Any]:
    """All that a page shows of these models under these reverse variances (those that a model can be priced with).

    Raises ValueError if a model can be priced with none of them, or two have one name.
    """
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise ValueError(f"Models were given with the names {', '.join(names)}; give each a name of its own.")
    arrays = Arrays()
    models = [model_data(source, variances, arrays) for source in sources]
    return {"format": FORMAT, "models": models, "arrays": arrays.kept}


def model_data(source: Source, variances: tuple[str, ...], arrays: Arrays) -> dict[str, Any]:
    """One model; large arrays go to `arrays`."""
    train, judge, T = source.train, source.priced_on, source.T
    served = [name for name in variances if name in source.variances]
    if not served:
        raise ValueError(
            f"{source.name} can be priced with {', '.join(source.variances)}, not with {', '.join(variances)}; "
            "ask for one of the former."
        )
    most = min(BUDGETS, T)
    handcrafted = {name: [stride(train.noise, K) for K in range(1, most + 1)] for name, stride in STRIDES.items()}
    reach = reach_of(train, served)
    rows = rows_of(source, served, reach)
    with np.errstate(divide="ignore"):
        log_snr = np.log(train.noise.snr[1:]).clip(-80)  # a terminal SNR of 0 has no logarithm
    return {
        "name": source.name,
        "file": source.python,
        "T": T,
        "d": train.d,
        "shape": list(train.shape),
        "levels": train.levels,
        "images": {"train": train.n, "heldOut": judge.n if source.held_out else None},
        "budgets": most,
        "logSnr": arrays.put(np.r_[0, log_snr], "f8"),  # neighbours differ little
        "errors": arrays.put(train.m, "f4"),
        "reach": reach,
        "knots": {
            "unit": UNIT,
            "t": arrays.put_timesteps([t for t, *_ in rows], T),
            "n": arrays.put([len(s) for _, s, _ in rows], "u2"),
            "s": arrays.put_timesteps(np.concatenate([s for _, s, _ in rows]), T),
        },
        "strides": {name: arrays.put_timesteps(lengths(paths), T) for name, paths in handcrafted.items()},
        "families": [
            family_data(source, name, handcrafted, rows, arrays) for name in tqdm(served, source.name, unit="variance")
        ],
    }


def family_data(
    source: Source, variance: str, handcrafted: dict[str, list[np.ndarray]], rows: Rows, arrays: Arrays
) -> dict[str, Any]:
    """One model under one reverse variance, with the default decoder."""
    train, judge, T = source.train, source.priced_on, source.T
    costs, prices = step_costs(train, variance), step_costs(judge, variance)
    best = solve(costs, min(BUDGETS, T))
    paths = {"DP": [best.path(K) for K in best.budgets]} | handcrafted
    everything = prices.of(np.arange(T + 1))

    def bits(nats: Any) -> Any:
        return bits_per_dim(np.asarray(nats, dtype=float), train.d)

    family = FAMILIES[variance]
    return {
        "name": variance,
        "words": family.words,
        "source": family.source,
        "decoder": decoder_in_words(judge, variance, prices.decoder),
        "all": [float(bits(everything.total)), float(bits(everything.standard_error))],
        "paths": arrays.put_timesteps(lengths(paths["DP"]), T),
        "bits": {name: arrays.put(bits(totals(prices, each)), "f4") for name, each in paths.items()},
        "error": arrays.put(bits([prices.of(path).standard_error for path in paths["DP"]]), "f4"),
        "chosenAt": arrays.put(bits([best.nats(K) for K in best.budgets]), "f4"),
        "prices": {
            "train": table(costs, rows, arrays),
            "heldOut": table(prices, rows, arrays) if source.held_out else None,
        },
    }


def totals(costs: StepCosts, paths: list[np.ndarray]) -> np.ndarray:
    """What each path costs, in nats: `costs.of(path).total`, with all their steps priced at once."""
    t, s = (np.concatenate([path[part] for path in paths]) for part in (slice(2, None), slice(1, -1)))
    path_of_step = np.repeat(np.arange(len(paths)), [len(path) - 2 for path in paths])
    between = np.bincount(path_of_step, costs.between.mean(t, s), len(paths))
    return costs.prior + costs.statistics.mean(costs.first)[0][[path[1] for path in paths]] + between


def lengths(paths: list[np.ndarray]) -> np.ndarray:
    """The lengths of all steps of paths of 1, 2, ... steps, one path after the other: they compress well."""
    return np.concatenate([np.diff(path) for path in paths])


def reach_of(statistics: DenoisingStatistics, variances: list[str]) -> float:
    """The largest rate that a fitted cell of these families has anywhere, in units of m_t; REACH at least.

    Waves that are 32 pixels wide have a hundred times m_t where nearly all is noise.
    """
    t, names = statistics.measured, {FAMILIES[variance].cells for variance in variances}
    known = [cells.fitted for name, cells in statistics.cells.items() if name in names and cells.fitted is not None]
    m = np.maximum(statistics.fitted_m[t], np.finfo(float).tiny)
    return max([float(REACH), *(float((np.stack([rates[i].max() for i in t]) / m).max()) for rates in known)])


def rows_of(source: Source, variances: list[str], reach: float) -> Rows:
    """The timesteps t at which prices are tabulated, and for each the s, ascending: 1 and t - 1 are always there.

    Between two measured timesteps prices bend, those of families with many cells most: knots are added until a line
    between neighbours is right in the middle and halfway to it, for training and for held-out images.
    """
    statistics = source.train
    sides = (statistics, source.priced_on)
    prices = [step_costs(side, variance).between.mean for side in sides for variance in variances]

    @cache
    def row(t: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """The knots s, z there (falling), and f under each variance."""
        s = below(statistics, t, reach)
        z = z_of(statistics, t, s, reach)
        return s, z, [np.log(price(np.full(len(s), t), s) / z) for price in prices]

    def bends(left: int, middle: int, right: int) -> bool:
        weight = np.log(middle / left) / np.log(right / left)
        for i, f in enumerate(row(middle)[2]):
            line = [_along(row(t)[1], row(t)[2][i], row(middle)[1]) for t in (left, right)]
            if (abs((1 - weight) * line[0] + weight * line[1] - f) > BEND).any():
                return True
        return False

    measured = statistics.measured[statistics.measured > 1].tolist()
    kept, waiting = {2, *measured}, list(pairwise(sorted({2, *measured})))
    while waiting:
        left, right = waiting.pop()
        middle = round(np.sqrt(left * right))
        inside = {middle, round(np.sqrt(left * middle)), round(np.sqrt(middle * right))} - {left, right}
        if left < middle < right and any(bends(left, t, right) for t in sorted(inside)):
            kept.add(middle)
            waiting += [(left, middle), (middle, right)]
    return [(t, *row(t)[:2]) for t in sorted(kept)]


def _along(z: np.ndarray, f: np.ndarray, at: np.ndarray) -> np.ndarray:
    """f of a row, whose z falls, at other places: by a spline, or by a line through fewer than four knots."""
    if len(z) < 4:
        return np.interp(at, z[::-1], f[::-1])
    return CubicSpline(z[::-1], f[::-1])(at)


def below(statistics: DenoisingStatistics, t: int, reach: float) -> np.ndarray:
    """The knots s of one t. Two that are near one another would blow rounding up: only leaps of z come in between."""
    z = z_of(statistics, t, np.arange(1, t), reach)  # falls as s rises
    kept = [t - 1]
    for s in range(t - 2, 1, -1):
        if z[s - 2] - z[kept[-1] - 1] > GAP:
            kept.append(s)
    if len(kept) > 1 and z[0] - z[kept[-1] - 1] < GAP / 2:
        kept.pop()
    return np.array(kept[::-1] if kept[-1] == 1 else [1, *kept[::-1]])


def z_of(statistics: DenoisingStatistics, t: int, s: np.ndarray, reach: float) -> np.ndarray:
    snr = statistics.noise.snr
    return np.log1p(reach * statistics.fitted_m[t] * (snr[s] - snr[t]))


def table(costs: StepCosts, rows: Rows, arrays: Arrays) -> dict[str, Any]:
    """The prices of one side: the decoder's L(t, 0), the prior's, and f at the knots, row by row, s rising."""
    statistics = costs.statistics
    t = np.concatenate([np.full(len(s), t) for t, s, _ in rows])
    prices = costs.between.mean(t, np.concatenate([s for _, s, _ in rows]))
    z = np.concatenate([z for *_, z in rows])
    ends = np.cumsum([len(s) for _, s, _ in rows])[:-1]
    first = statistics.mean(costs.first)[0]
    return {
        "prior": costs.prior,
        "first": arrays.put(np.r_[0, first[1:]], "f4"),
        "between": arrays.put_rows(np.split(np.log(prices / z), ends), UNIT),
    }

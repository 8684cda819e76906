"""The paper's Table 3 for the models in a folder: `ddpm-dp report fashion-mnist`.

The folder has one folder for each training loss, with `model.safetensors`, `train.npz` and `test.npz` in it. Paths are
chosen on the training statistics alone and priced on held-out images.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_dp import strides
from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.models.trained import load
from ddpm_dp.reporting.compare import Comparison, compare, decoder_in_words
from ddpm_dp.solver import solve
from ddpm_dp.statistics import DenoisingStatistics, Measured
from ddpm_dp.training.config import TrainConfig
from ddpm_dp.variances import DECODERS, served

BUDGETS = (8, 16, 32, 64, 128, 256)
NEAR = 0.1  # bits/dim: the paper's headline is 32 steps within 0.1 of all T
FEW = (8, 16, 32)  # budgets whose distance to all T and to the best is told with its standard error


@dataclass(frozen=True)
class Entry:
    """One model with one reverse variance.

    `comparison` has the held-out bits/dim of even, quadratic and DP paths at BUDGETS and at T. `gaps` says for each of
    FEW how many bits/dim its DP path costs more than all T on the same held-out images, with the standard error of that
    difference; `gaps_to_best` the same against the best DP path of up to 256 steps, since all T can be worse than that.
    `near` is the smallest K whose DP path costs at most NEAR more than all T (None: none up to 256), and `near_best`
    the smallest within NEAR of that best path. `chosen` is what the DP path of the fewest of FEW costs where it was
    chosen, nats of a training image.
    """

    model: str
    T: int
    chosen: float
    comparison: Comparison
    gaps: dict[int, tuple[float, float]]
    gaps_to_best: dict[int, tuple[float, float]]
    near: int | None
    near_best: int


@dataclass(frozen=True)
class UnderDecoder:
    """One model, reverse variance and decoder: DP paths chosen and priced with that decoder on both sides.

    `bits` says for each of FEW the held-out bits/dim, `all` for all T steps; `gaps` what K steps cost more than all T,
    with the standard error of the difference.
    """

    model: str
    variance: str
    decoder: str
    bits: dict[int, float]
    all: float
    gaps: dict[int, tuple[float, float]]


def measured_in(folder: Path) -> dict[str, Measured[DenoisingStatistics]]:
    """The statistics of every model of a folder.

    Raises FileNotFoundError if the folder has no such models; ValueError for statistics that `Measured` refuses.
    """
    names = sorted(file.parent.name for file in folder.glob("*/train.npz"))
    if not names:
        raise FileNotFoundError(
            f"{folder} has no models with statistics; expected folders with model.safetensors, train.npz and test.npz."
        )
    return {name: Measured.load(folder / name / "train.npz", folder / name / "test.npz") for name in names}


def entries(measured: dict[str, Measured[DenoisingStatistics]]) -> list[Entry]:
    """Solve and price every model with every reverse variance that it serves."""
    return [
        _entry(name, both, variance) for name, both in measured.items() for variance in served(both.train, both.judge)
    ]


def _entry(name: str, measured: Measured[DenoisingStatistics], variance: str) -> Entry:
    train, test = measured.train, measured.judge
    T, d = train.T, train.d
    budgets = [K for K in BUDGETS if K < T]
    best = solve(step_costs(train, variance), min(max(BUDGETS), T))
    everything = np.arange(T + 1)
    paths = {
        "even": {K: strides.even(test.noise, K) for K in budgets},
        "quadratic": {K: strides.quadratic(test.noise, K) for K in budgets},
        "DP": {K: best.path(K) for K in budgets},
    }
    prices = step_costs(test, variance)
    dp = {K: bits_per_dim(prices.of(best.path(K)).total, d) for K in best.budgets if best.nats(K) < np.inf}
    enough = bits_per_dim(prices.of(everything).total, d) + NEAR
    near = next((K for K, bits in dp.items() if bits <= enough), None)
    near_best = next(K for K, bits in dp.items() if bits <= min(dp.values()) + NEAR)
    cheapest = best.path(min(dp, key=dp.__getitem__))

    def more_than(path: np.ndarray) -> dict[int, tuple[float, float]]:
        differences = {K: prices.difference(best.path(K), path) for K in FEW if K <= T}
        return {K: (bits_per_dim(nats, d), bits_per_dim(error, d)) for K, (nats, error) in differences.items()}

    comparison = compare(measured, {stride: by_K | {T: everything} for stride, by_K in paths.items()}, variance)
    chosen = best.nats(min(min(FEW), T))
    return Entry(name, T, chosen, comparison, more_than(everything), more_than(cheapest), near, near_best)


def under_decoders(name: str, measured: Measured[DenoisingStatistics], variance: str) -> list[UnderDecoder]:
    """The same few steps under every decoder: a headline must not hang on a convention."""
    train, test = measured.train, measured.judge
    found, budgets = [], [K for K in FEW if K <= train.T]
    for decoder in DECODERS if budgets else ():
        best, prices = solve(step_costs(train, variance, decoder), max(budgets)), step_costs(test, variance, decoder)

        def bits(nats: float) -> float:
            return float(bits_per_dim(nats, test.d))

        everything = np.arange(train.T + 1)
        gaps = {K: prices.difference(best.path(K), everything) for K in budgets}
        found.append(
            UnderDecoder(
                name,
                variance,
                decoder,
                {K: bits(prices.of(best.path(K)).total) for K in budgets},
                bits(prices.of(everything).total),
                {K: (bits(nats), bits(error)) for K, (nats, error) in gaps.items()},
            )
        )
    return found


def report(folder: Path) -> str:
    """The whole report as text."""
    measured = measured_in(folder)
    table = entries(measured)
    lines = ["Models:"]
    for name in dict.fromkeys(entry.model for entry in table):
        lines.append(f"  {name}: {training(load(folder / name / 'model.safetensors', 'cpu').about)}")
    n = table[0].comparison.n
    lines += ["", f"Held-out bits/dim (standard error) over {n} images. Decoder p(x_0 | x_t), by reverse variance:"]
    for decoder in dict.fromkeys(entry.comparison.decoder for entry in table):
        own = dict.fromkeys(e.comparison.variance for e in table if e.comparison.decoder == decoder)
        lines.append(f"  {', '.join(own)}: {decoder}")
    lines += sorted({entry.comparison.doubt for entry in table} - {""})
    lines += [
        "",
        f"{'model':<10}{'T':>5}  {'variance':<11}{'path':<10}" + "".join(f"{K:>15}" for K in (*BUDGETS, "all")),
    ]
    for entry in table:
        c = entry.comparison
        for stride in c.bits:
            numbers = zip(c.bits[stride], c.errors[stride], strict=True)
            by_K = {K: f"{bits:.3f} ({error:.3f})" for K, (bits, error) in zip(c.budgets, numbers, strict=True)}
            cells = "".join(f"{by_K.get(K, '-'):>15}" for K in (*BUDGETS, entry.T))
            lines.append(f"{entry.model:<10}{entry.T:>5}  {c.variance:<11}{stride:<10}{cells}")
    lines += [
        "",
        "What the DP path of K steps costs more than all T, and than the best DP path of up to 256 steps (standard",
        f"error of the difference on the same images); the fewest steps within {NEAR} bits/dim of one and the other:",
        f"{'':28}{'minus all T':^45}{'minus best':^45}{'fewest':>10}{'fewest':>8}",
        f"{'':28}" + "".join(f"{f'K = {K}':>15}" for K in (*FEW, *FEW)) + f"{'all T':>10}{'best':>8}",
    ]
    for entry in table:
        gaps = [each.get(K) for each in (entry.gaps, entry.gaps_to_best) for K in FEW]
        cells = "".join(f"{f'{gap[0]:+.3f} ({gap[1]:.3f})' if gap else '-':>15}" for gap in gaps)
        end = f"{entry.near or '> 256':>10}{entry.near_best:>8}"
        lines.append(f"{entry.model:<10}{entry.T:>5}  {entry.comparison.variance:<11}{cells}{end}")
    return "\n".join(lines + _decoders(measured, table))


def _decoders(measured: dict[str, Measured[DenoisingStatistics]], table: list[Entry]) -> list[str]:
    """The last table: for each model the variance that is cheapest in few steps, under every decoder."""
    lines = [
        "",
        "Few steps under every decoder, paths chosen and priced with it (for each model, the reverse variance that is",
        "cheapest at the fewest of these steps for training images): bits/dim, and what they are more than all T under",
        "the same decoder:",
        f"{'':39}{'bits/dim':^36}{'minus all T':^45}",
        f"{'model':<10}{'variance':<12}{'decoder':<17}"
        + "".join(f"{f'K = {K}':>9}" for K in FEW)
        + f"{'all T':>9}"
        + "".join(f"{f'K = {K}':>15}" for K in FEW),
    ]
    said = []
    for model, both in measured.items():
        own = [entry for entry in table if entry.model == model]
        cheapest = min(own, key=lambda entry: entry.chosen).comparison.variance
        for row in under_decoders(model, both, cheapest):
            said.append((row.decoder, decoder_in_words(both.judge, cheapest, row.decoder)))
            bits = "".join(f"{row.bits[K]:>9.3f}" if K in row.bits else f"{'-':>9}" for K in FEW) + f"{row.all:>9.3f}"
            gaps = [row.gaps.get(K) for K in FEW]
            cells = "".join(f"{f'{gap[0]:+.3f} ({gap[1]:.3f})' if gap else '-':>15}" for gap in gaps)
            lines.append(f"{model:<10}{cheapest:<12}{row.decoder:<17}{bits}{cells}")
    said.sort(key=lambda each: [*DECODERS].index(each[0]))
    return lines + ["", *(f"  {name}: {words} ({DECODERS[name].source})" for name, words in dict.fromkeys(said))]


def training(about: dict[str, Any]) -> str:
    """How far a model's training got, in words, from its own metadata."""
    config = asdict(TrainConfig()) | about["config"]  # the oldest files leave out what is by default
    steps = f"{about['step']:,} of {config['steps']:,}" if "step" in about else f"{config['steps']:,}"
    what = f"{config['loss']} loss, T = {config['T']:,} {config['schedule']}"
    text = f"{what}, {steps} steps of {config['batch_size']} images"
    return f"{text}, begun from ({training(about['start'])})" if "start" in about else text

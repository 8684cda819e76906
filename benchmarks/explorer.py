"""How fast the budget explorer answers: `python benchmarks/explorer.py` (about 1 minute) prints medians, and the worst
of each kind, in milliseconds of CPU time (what the explorer itself needs) and of wall-clock time (what a reader waits
for; a busy machine stretches it), in a kernel without a browser. Targets: 100 ms for an event, 500 ms for a new
variance at T = 4,000. The browser adds about 10 to 30 ms on top.
"""

import time

import numpy as np

from ddpm_dp import DenoisingStatistics, NoiseSchedule
from ddpm_dp.explorer import Explorer
from ddpm_dp.explorer.source import Source
from ddpm_dp.explorer.view import MINE
from ddpm_dp.statistics import Cells, DecoderPrices
from ddpm_dp.variances import DECODERS

BUDGETS = [*range(4, 65, 2), *range(62, 3, -3), 100, 200, 400]  # a drag up, a drag down, and some jumps


def invented(T: int, groups: int = 32) -> Source:
    """Statistics of 28x28 images: a smooth error with 1% of noise, as a trained model's looks."""
    noise = NoiseSchedule.cosine(T)
    rng, d = np.random.default_rng(0), 784
    snr = np.r_[0, noise.snr[1:]]

    def statistics(data_id, fitted_m):
        m = (0.1 / (1 + 0.3 * snr) + 0.007 / (1 + 0.01 * snr)) * np.exp(0.01 * rng.standard_normal(T + 1))
        m[0] = 0
        squared_error = m * np.exp(0.05 * rng.standard_normal((groups, 1)))
        fitted_m = squared_error.mean(0) if fitted_m is None else fitted_m
        first = np.tile(np.r_[np.inf, d * (0.7 + 0.5 * np.log1p(snr[1] * m[1:]))], (groups, 1))
        counts = np.full(groups, 100)
        decoders = (DECODERS["fixed"], DECODERS["analytic"])
        return DenoisingStatistics(
            noise=noise, shape=(1, 28, 28), levels=256, counts=counts,
            cells={"all": Cells.one(squared_error, counts, fitted_m)},
            decoders={each.name: DecoderPrices(each.name, each.words, each.convention, first) for each in decoders},
            prior=np.zeros(groups), model_id="invented", data_id=data_id, fitted_on="train", seed=0,
            measured=np.arange(1, T + 1),
        )  # fmt: skip

    training = statistics("train", None)
    return Source(training, statistics("test", training.fitted_m), name=f"invented, T = {T:,}")


def milliseconds(events) -> str:
    wall, cpu = [], []
    for event in events:
        start = time.perf_counter(), time.process_time()
        event()
        wall.append(1e3 * (time.perf_counter() - start[0]))
        cpu.append(1e3 * (time.process_time() - start[1]))
    return f"{np.median(cpu):8.0f} {max(cpu):8.0f} {np.median(wall):10.0f} {max(wall):8.0f}"


def main():
    print(f"{'':44}{'CPU':>8} {'worst':>8} {'wall':>10} {'worst':>8}   (ms)")
    for source in ("digits", invented(4000)):
        explorer = Explorer(source, samples=False)
        name = getattr(source, "name", source)

        def events(control, values):
            return [lambda value=value: setattr(control, "value", value) for value in values]

        print(f"{name + ': a slider event':44}{milliseconds(events(explorer.number, BUDGETS))}")
        explorer.number.value = 32

        def switch(variance, explorer=explorer):
            explorer._searches.clear()  # solve again, as if for the first time
            explorer.variance.value = variance

        variances = 3 * ["posterior", "beta", "analytic"]
        print(f"{name + ': a new variance':44}{milliseconds([lambda v=v: switch(v) for v in variances])}")
        explorer.rival.value = MINE
        explorer.which.value = 10
        places = range(explorer.where.value, explorer.where.value + 15)
        print(f"{name + ': moving a step by hand':44}{milliseconds(events(explorer.where, places))}")


if __name__ == "__main__":
    main()

"""How long exact search takes: `python benchmarks/solver.py` (about 3 minutes) prints a report and writes
benchmarks/results/solver.md. Methods run side by side in one process, on one core but where it says two; times are
medians of 3 or 5 runs after a first one that compiles, with (fastest - slowest); peak memory is of child processes.
"""

import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np

import ddpm_dp
from ddpm_dp.solver import AffineCosts, LogAffineCosts, certify, kernels, solve
from ddpm_dp.variances.curves import exponent_form, rate_form

REPEATS = 5
DIMENSIONS = 12288  # ImageNet 64x64, the paper's headline
FAMILIES = ("learned", "predicted", "48 cells")
RESULTS = Path(__file__).parent / "results" / "solver.md"


# Costs: a cosine schedule, and the error of an exact posterior mean with 1% of Monte Carlo noise ----------------------


def synthetic(variance, T, noise=0.01):
    f = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
    abar = np.maximum(f / f[0], 1e-9)
    snr = abar / np.maximum(1 - abar, 1e-30)
    m = 0.1 / (1 + 0.3 * snr) + 0.007 / (1 + 0.01 * snr)
    m *= np.exp(noise * np.random.default_rng(0).standard_normal(T + 1))
    first = DIMENSIONS * (1 + np.log1p(snr[1] * m) / 2)
    if variance == "analytic":
        return LogAffineCosts(first=first, g=snr, m=m, scale=DIMENSIONS / 2)
    g = DIMENSIONS / 2 * snr
    return AffineCosts(first=first, a=-g * m, b=np.zeros(T + 1), g=g, h=m)


class Cells:
    """Costs of a family with cells, over T timesteps, as `solve` takes them: the curves are made within its time.

    `learned` and `predicted` have the 256 bins of shipped statistics, of 64x64 images and of Fashion-MNIST (T = 4,000,
    which other T read between the lines); `48 cells` those of coefficients of variance 1e-4 to 1, with 1% of noise.
    """

    prior = 0.0

    def __init__(self, family, T):
        self.T, self.family, self.noise = T, family, ddpm_dp.NoiseSchedule.cosine(T)
        if family == "48 cells":
            variance = np.logspace(-4, 0, 48)
            snr = np.concatenate([[0], self.noise.snr[1:]])[:, None]
            self.rates = variance / (1 + variance * snr)
            self.rates *= np.exp(0.01 * np.random.default_rng(0).standard_normal(self.rates.shape))
            self.mass = np.full_like(self.rates, 1 / 48)
            self.error = self.mass * self.rates
            self.d = DIMENSIONS
        else:
            model = {"learned": "tiny-imagenet-64/hybrid", "predicted": "fashion-mnist/predicted"}[family]
            shipped = ddpm_dp.DenoisingStatistics.load(ddpm_dp.shipped(f"{model}/train.npz"))
            cells = shipped.cells["v" if family == "learned" else "u"]
            at = np.clip(np.arange(T + 1) * (shipped.T / T), 1, shipped.T)
            left = np.minimum(at.astype(int), shipped.T - 1)
            part = (at - left)[:, None]
            self.mass, self.error, place = (
                (1 - part) * values[left] + part * values[left + 1]
                for values in (cells.mass, cells.error, np.stack([cells.low, cells.high], axis=1))
            )
            self.low, self.high = np.ascontiguousarray(place.T)
            if family == "predicted":
                self.rates = np.exp(np.linspace(self.low, self.high, 256, axis=1))
            self.d = shipped.d
        m = self.error.sum(1)
        self.first = self.d * (1 + np.log1p(self.noise.snr[1] * m) / 2)

    def structure(self):
        if self.family == "learned":
            return exponent_form(self.noise, self.d, self.low, self.high, self.mass, self.error)(self.first)
        return rate_form(self.noise, self.d, self.rates, self.mass, self.error)(self.first)

    def table(self):
        """By the sum over cells, which is what there was before curves."""
        L, snr, sigma2 = np.full((self.T + 1, self.T + 1), np.inf), self.noise.snr, self.noise.sigma2
        L[1:, 0] = self.first[1:]
        for t in range(2, self.T + 1):
            delta = snr[1:t] - snr[t]
            if self.family == "learned":
                v = np.linspace(self.low[t], self.high[t], 256)
                average = exponent_average(v, self.mass[t], self.error[t], np.log(sigma2[t] / sigma2[1:t]), delta)
            else:
                average = rate_average(self.rates[t], self.mass[t], self.error[t], delta)
            L[t, 1:t] = self.d / 2 * average
        return L


@numba.njit
def exponent_average(v, mass, error, x, delta):
    """sum_b p_b [log rho + 1 / rho - 1] + delta e_b / rho with rho = exp(v_b x), by Horner's rule."""
    h, mean, out = (v[-1] - v[0]) / (len(v) - 1), (mass * v).sum(), np.empty(len(x))
    for i in range(len(x)):
        q, p, e = np.exp(-h * x[i]), 0.0, 0.0
        for b in range(len(v) - 1, -1, -1):
            p, e = p * q + mass[b], e * q + error[b]
        first = np.exp(-v[0] * x[i])
        out[i] = mean * x[i] + first * p - mass.sum() + delta[i] * first * e
    return out


@numba.njit
def rate_average(u, mass, error, delta):
    """The same with rho = 1 + delta u_b."""
    out = np.zeros(len(delta))
    for i in range(len(delta)):
        for b in range(len(u)):
            rate = delta[i] * u[b]
            log = np.log(1 + rate) if rate > 0.1 else np.log1p(rate)  # log1p takes twice as long
            out[i] += mass[b] * (log - rate / (1 + rate)) + delta[i] * error[b] / (1 + rate)
    return out


def algorithm_1(L, layers):
    """The paper's Algorithm 1 in plain numpy, vectorised over (t, s): seconds of each of the first layers."""
    best, total, seconds = np.where(np.arange(len(L)) == 0, 0.0, np.inf), np.empty_like(L), []
    for _ in range(layers):
        start = time.perf_counter()
        np.add(L, best, out=total)
        parent = total.argmin(axis=1)
        best = total[np.arange(len(L)), parent]
        seconds.append(time.perf_counter() - start)
    return seconds[1:]  # the first touches `total` for the first time


# Measuring ------------------------------------------------------------------------------------------------------------


def seconds_of(run, repeats=REPEATS):
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def shown(seconds):
    return f"{np.median(seconds):.3g} s ({min(seconds):.3g} - {max(seconds):.3g})"


def peak_mib():
    with open("/proc/self/status") as lines:  # not ru_maxrss, in which a child inherits its parent's peak
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak():
    """From here on the peak is counted anew (Linux): what it took to make the costs is not the search's."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_row(variance, T, K, method):
    """Memory of a fresh process in MiB: with numba ready, with its costs, the peak of solving, and what that added."""
    command = [sys.executable, __file__, variance, str(T), str(K), method]
    ready, given, peak = map(float, subprocess.run(command, check=True, capture_output=True).stdout.split())
    return f"{ready:.0f} | {given:.0f} | {peak:.0f} | {peak - given:.0f}"


def memory_child(variance, T, K, method):
    costs_of = Cells if variance in FAMILIES else synthetic
    solve(costs_of(variance, 10), method=method)  # loads numba and the cached kernel
    peaks = [peak_mib()]
    costs = costs_of(variance, T)
    forget_peak()
    peaks.append(peak_mib())
    solve(costs, K, method=method)
    print(*peaks, peak_mib())


@numba.njit
def repeat_run_of_eight(low, where, v, step, times):
    for _ in range(times):
        kernels._run_of_eight(low, where, v, step, 0.0, kernels.LAYERS)


@numba.njit
def multiply_chain(n, factor):
    x = 1
    for i in range(n):
        x = x * factor + i
    return x


def adder_roof():
    """Billions of (add, min) a second: of the dense kernel's inner loop in L1 cache, and of the core's vector units."""
    low, where = np.full(kernels.LAYERS, np.inf), np.zeros(kernels.LAYERS)
    v, step, times = np.ones(kernels.RUN * kernels.LAYERS), np.ones(kernels.RUN), 20_000
    fastest = min(seconds_of(lambda: repeat_run_of_eight(low, where, v, step, times), 30))
    clock = 4e7 / min(seconds_of(lambda: multiply_chain(10**7, 3), 10))  # 3 + 1 cycles a link on x86-64
    return len(v) * times / fastest / 1e9, clock / 1e9


# The report -----------------------------------------------------------------------------------------------------------


def machine():
    with open("/proc/cpuinfo") as lines:
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return (
        f"{model}, {os.cpu_count()} cores, {platform.machine()}; Python {platform.python_version()}, "
        f"numpy {np.__version__}, numba {numba.__version__}; load at the start {os.getloadavg()[0]:.1f}"
    )


def all_budgets(say):
    say("## All budgets, K = T, one core\n")
    say("Algorithm 1 is extrapolated: the mean of its layers 2 to 5, times T. Divide and conquer needs a Monge")
    say("table, so it gets a noiseless m. Ratio: over Algorithm 1. Growth: the power of T since the row before.\n")
    say("| T | method | median (fastest - slowest) | ratio | growth |\n|---|---|---|---|---|")
    before = {}
    for T in (1000, 2000, 4000):
        posterior, analytic = synthetic("posterior", T), synthetic("analytic", T)
        noisy, smooth = posterior.table(), synthetic("posterior", T, noise=0.0).table()
        rows = {
            "numpy Algorithm 1 (extrapolated)": [x * T for x in algorithm_1(noisy, 5)],
            "dense": seconds_of(lambda L=noisy: solve(L, method="dense"), 3),
            "divide (with its Monge test)": seconds_of(lambda L=smooth: solve(L, method="divide"), 3),
            "envelope, posterior": seconds_of(lambda c=posterior: solve(c)),
            "envelope, analytic": seconds_of(lambda c=analytic: solve(c)),
        }
        slowest = np.mean(rows["numpy Algorithm 1 (extrapolated)"])
        for name, seconds in rows.items():
            growth = f"{np.log2(np.median(seconds) / before[name]):.1f}" if name in before else ""
            say(f"| {T:,} | {name} | {shown(seconds)} | {slowest / np.median(seconds):,.0f} | {growth} |")
            before[name] = np.median(seconds)
    say("")
    return noisy, posterior, analytic


def roofline(say, L):
    T = len(L) - 1
    seconds = min(seconds_of(lambda: solve(L, method="dense"), 3))
    validation = min(seconds_of(lambda: solve(L, 1, method="dense"), 3))
    roof, clock = adder_roof()
    sums = sum((T - k + 1) * (T - k + 2) / 2 for k in range(2, T + 1)) / 1e9
    passes = [(T - k + 1) ** 2 / 2 * 8 / 1e9 for k in range(2, T + 1, kernels.LAYERS)]
    copy = np.empty_like(L)
    bandwidth = 2 * L.nbytes / 1e9 / min(seconds_of(lambda: np.copyto(copy, L), 5))
    rate = sums / (seconds - validation)
    say(f"## What binds the dense kernel, T = {T:,}, all budgets, one core\n")
    say(f"- Additions, each with a minimum: sum over k of (T-k+1)(T-k+2)/2 = {sums:.2f} G. Kernel alone (without the")
    say(f"  {validation:.2g} s that check the table): {seconds - validation:.3g} s, {rate:.1f} G/s.")
    say(f"- Memory: {len(passes)} passes over what is left of the triangle, {sum(passes):.2f} GB. A copy moves")
    say(f"  {bandwidth:.1f} GB/s, so {sum(passes) / bandwidth:.2f} s: the adders bind.")
    say(f"- Adders, measured: the same inner loop on data in L1 cache does {roof:.1f} G/s; the kernel reaches")
    say(f"  {rate / roof:.0%} of it.")
    say(f"- Adders, on paper: 4 float64 per 256-bit instruction at {clock:.1f} GHz, an add and a minimum each:")
    say(f"  {4 * clock:.1f} G/s on two vector ports ({rate / clock / 4:.0%} reached), {6 * clock:.1f} G/s on three")
    say(f"  ({rate / clock / 6:.0%}).\n")


def long_chains(say):
    say("## Long chains, K = 32, envelope, one core\n")
    say(
        "Memory of a fresh process, in MiB: with Python, numpy and numba loaded; with its costs; the peak of solving.\n"
    )
    say("| T | variance | median (fastest - slowest) | numba ready | with costs | peak | solver's share |")
    say("|---|---|---|---|---|---|---|")
    for T in (10**5, 10**6):
        for variance in ("posterior", "analytic"):
            costs = synthetic(variance, T)
            seconds = seconds_of(lambda c=costs: solve(c, 32), 3)
            memory = memory_row(variance, T, 32, "envelope")
            say(f"| {T:,} | {variance} | {shown(seconds)} | {memory} |")
    say("\nThe same at T = K = 4,000:\n")
    say("| method | numba ready | with costs | peak | solver's share |\n|---|---|---|---|---|")
    for method in ("envelope", "dense"):
        say(f"| {method} | {memory_row('posterior', 4000, 4000, method)} |")
    say("")


def curves(say):
    say("## Families with cells, one core\n")
    say(
        "T = 4,000, 256 budgets: prices as curves, their table and the search, beside the sum over cells at each of the"
    )
    say("8 million steps and the same search of that table (one run). Difference: the largest of a value, relative.\n")
    say("| family | by sums | by curves | ratio | difference | its method |\n|---|---|---|---|---|---|")
    for family in FAMILIES:
        Cells(family, 10).table()  # compiles
        costs = Cells(family, 4000)
        begin = time.perf_counter()
        by_sums = solve(costs.table(), 256)
        before = time.perf_counter() - begin
        seconds, by_curves = seconds_of(lambda c=costs: solve(c, 256)), solve(costs, 256)
        difference = np.abs(by_curves.values[1:] / by_sums.values[1:] - 1).max()
        ratio = before / np.median(seconds)
        say(f"| {family} | {before:.3g} s | {shown(seconds)} | {ratio:.0f} | {difference:.0e} | {by_curves.method} |")
    say("\nT = 100,000, K = 32, where a table would be 80 GB: the curves; their search without a table, exact too; and")
    say("`certify`, which prices all 5 billion steps (one run). Memory as above, the curves in the solver's share.")
    say("Together: the medians of curves and search, which are to stay below 5 s. Gap: what `certify` leaves unproven;")
    say("above rounding only where the optima are not convex at K, which no multiplier reaches.\n")
    say("| family | curves | search | together | certify | gap | numba ready | with cells | peak | solver's share |")
    say("|---|---|---|---|---|---|---|---|---|---|")
    for family in FAMILIES:
        costs = Cells(family, 10**5)
        made = seconds_of(costs.structure, 3)
        form = costs.structure()
        seconds, frontier = seconds_of(lambda f=form: solve(f, 32), 3), solve(form, 32)
        begin = time.perf_counter()
        answer = certify(form, frontier, 32)
        proof = f"{time.perf_counter() - begin:.3g} s | {answer.gap:.0e} of {answer.value:.0f} nats"
        del form, costs
        memory = memory_row(family, 10**5, 32, "auto")
        together = np.median(made) + np.median(seconds)
        say(f"| {family} | {shown(made)} | {shown(seconds)} | {together:.3g} s | {proof} | {memory} |")
    say("")


def two_cores(say, posterior, analytic):
    both = (posterior, analytic)
    one = seconds_of(lambda: [solve(c) for c in both])
    with ThreadPoolExecutor(2) as threads:
        two = seconds_of(lambda: list(threads.map(solve, both)))
    say("## Two cores\n")
    say("One search is sequential: each layer waits for the one before. The kernels release the GIL, so")
    say(f"two searches (posterior and analytic, T = {posterior.T:,}, all budgets) run in two threads:")
    ratio = np.median(one) / np.median(two)
    say(f"{shown(one)} one after the other, {shown(two)} side by side, {ratio:.2f} times faster.\n")


def certificates(say, posterior, analytic):
    say("## Certificates\n")
    for name, costs in (("posterior", posterior), ("analytic", analytic)):
        frontier = solve(costs)
        answer = certify(costs, frontier, 32)
        seconds = seconds_of(lambda c=costs, f=frontier: certify(c, f, 32), 3)
        say(f"- {name}, T = {costs.T:,}, K = 32: gap {answer.gap:.1e} of {answer.value:.1f} nats, {shown(seconds)}.")


def main():
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    say("# Exact search: times and memory\n")
    say(f"`python benchmarks/solver.py`. {machine()}.\n")
    noisy, posterior, analytic = all_budgets(say)
    roofline(say, noisy)
    del noisy
    long_chains(say)
    curves(say)
    two_cores(say, posterior, analytic)
    certificates(say, posterior, analytic)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        variance, T, K, method = sys.argv[1:]
        memory_child(variance, int(T), int(K), method)
    else:
        main()

"""Which of K steps costs what more steps would save: `python benchmarks/eight.py [K]` (8 by itself; seconds).

For the shipped 64x64 and Fashion-MNIST models with L_hybrid, under `spectral`: each step of the DP path of K steps, and
beside it what the timesteps of the best path of up to 256 steps make of the same interval. Held-out bits/dim.
"""

import sys

import numpy as np

import ddpm_dp

K = int(sys.argv[1]) if len(sys.argv) > 1 else 8
for model in ("tiny-imagenet-64/hybrid", "fashion-mnist/hybrid"):
    both = ddpm_dp.Measured.load(ddpm_dp.shipped(f"{model}/train.npz"), ddpm_dp.shipped(f"{model}/test.npz"))
    noise, prices = both.train.noise, ddpm_dp.step_costs(both.judge, "spectral")
    found = ddpm_dp.solve(ddpm_dp.step_costs(both.train, "spectral"), 256)
    totals = [prices.of(found.path(k)).total for k in found.budgets]
    path, fine = found.path(K), found.path(1 + int(np.argmin(totals)))

    def bits(nats, d=both.judge.d):
        return ddpm_dp.bits_per_dim(nats, d)

    def between(low, high, prices=prices, fine=fine, judge=both.judge):
        """Nats of the fine path's way from `high` down to `low`, through its own timesteps."""
        way = np.array([low, *(t for t in fine if low < t < high), high])
        first = judge.mean(prices.first[:, way[1]])[0] if low == 0 else 0.0
        rest = way[1:] if low == 0 else way
        return first + judge.mean(prices.between.of_groups(rest[1:], rest[:-1]))[0].sum()

    print(f"{model}: {K} steps cost {bits(totals[K - 1]):.3f}, the best {len(fine) - 1} {bits(min(totals)):.3f}")
    print("  from    to   noise in grey levels   this step   best path there   difference")
    for t, s, nats in zip(path[:0:-1], path[-2::-1], prices.of(path).steps[::-1], strict=True):
        best = bits(between(s, t))
        level = noise.sigma[t] * (both.train.levels - 1) / 2
        print(f"  {t:4d}  {s:4d} {level:22.2f} {bits(nats):11.3f} {best:17.3f} {bits(nats) - best:+12.3f}")

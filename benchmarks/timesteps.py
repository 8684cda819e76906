"""What is lost by measuring fewer timesteps: `python benchmarks/timesteps.py`, on the shipped digits statistics.

Paths are chosen from interpolated statistics and priced with those of all timesteps; the regret is the largest, over
K = 8..256, of what they cost more than the optimum, in bits/dim.
"""

from dataclasses import replace

import ddpm_dp
from ddpm_dp.costs import bits_per_dim
from ddpm_dp.interpolation import between, grid
from ddpm_dp.variances import SCALAR

full = ddpm_dp.DenoisingStatistics.load(ddpm_dp.shipped("digits/train.npz"))
for n in (20, 50, 100, 200):
    t = grid(full.T, n)
    error = between(full.squared_error, t, logarithm=True)
    decoder = {name: between(prices, t, logarithm=False) for name, prices in full.decoder.items()}
    fitted_m = full.counts @ error / full.n
    few = replace(full, squared_error=error, decoder=decoder, fitted_m=fitted_m, measured=t)
    for variance in SCALAR:
        costs = ddpm_dp.step_costs(full, variance)
        best, chosen = ddpm_dp.solve(costs, 256), ddpm_dp.solve(ddpm_dp.step_costs(few, variance), 256)
        regret = max(costs.of(chosen.path(K)).total - best.nats(K) for K in (8, 16, 32, 64, 128, 256))
        print(f"{n:4d} of {full.T} timesteps, {variance:9}: regret {bits_per_dim(regret, full.d):.5f} bits/dim")

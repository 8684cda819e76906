"""What is lost by measuring fewer timesteps: `python benchmarks/timesteps.py [statistics.npz]`.

The statistics have every timestep measured (by themselves: the shipped digits'). Paths are chosen from a part of the
timesteps, the others interpolated, and priced with all; the regret is the largest, over K = 8..256, of what they cost
more than the optimum, in bits/dim.
"""

import sys

import ddpm_dp
from ddpm_dp.statistics.filling import grid
from ddpm_dp.variances import served

full = ddpm_dp.DenoisingStatistics.load(sys.argv[1] if len(sys.argv) > 1 else ddpm_dp.shipped("digits/train.npz"))
T = full.T
if len(full.measured) < T:
    sys.exit(f"These statistics have {len(full.measured)} of {T} timesteps measured; expected all of them.")
print(f"{full.n} images, T = {T}")
optima = {}
for variance in served(full):
    costs = ddpm_dp.step_costs(full, variance)
    optima[variance] = costs, ddpm_dp.solve(costs, 256)

for part in (50, 20, 10, 5):
    few = full.at_timesteps(grid(T, T // part))
    for variance, (costs, best) in optima.items():
        chosen = ddpm_dp.solve(ddpm_dp.step_costs(few, variance), 256)
        regret = max(costs.of(chosen.path(K)).total - best.nats(K) for K in (8, 16, 32, 64, 128, 256))
        bits = ddpm_dp.bits_per_dim(regret, full.d)
        print(f"{len(few.measured):4d} timesteps, {variance:9}: regret {bits:.5f} bits/dim")

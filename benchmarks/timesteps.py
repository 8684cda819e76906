"""What is lost by measuring fewer timesteps: `python benchmarks/timesteps.py [statistics.npz]`.

The statistics have every timestep measured (by themselves: the shipped digits'). Paths are chosen from a part of the
timesteps, the others interpolated, and priced with all; the regret is the largest, over K = 8..256, of what they cost
more than the optimum, in bits/dim. Wrong by: the largest error of these prices themselves, that of all T steps among
them, where they are interpolated. Under two decoders: `fitted`, whose kinds of pixels can change from one timestep to
the next, and `analytic`, whose price is smooth.
"""

import sys

import numpy as np

import ddpm_dp
from ddpm_dp.statistics.filling import grid
from ddpm_dp.variances import served

full = ddpm_dp.DenoisingStatistics.load(sys.argv[1] if len(sys.argv) > 1 else ddpm_dp.shipped("digits/train.npz"))
T = full.T
if len(full.measured) < T:
    sys.exit(f"These statistics have {len(full.measured)} of {T} timesteps measured; expected all of them.")
print(f"{full.n} images, T = {T}")
optima = {}
for decoder in ("fitted", "analytic"):
    for variance in served(full):
        costs = ddpm_dp.step_costs(full, variance, decoder)
        optima[variance, decoder] = costs, ddpm_dp.solve(costs, 256)

for part in (50, 27, 20, 10, 5):  # 4,000 / 27 is what the experiments measure
    few = full.at_timesteps(grid(T, T // part))
    for (variance, decoder), (costs, best) in optima.items():
        thin = ddpm_dp.step_costs(few, variance, decoder)
        chosen = ddpm_dp.solve(thin, 256)
        paths = [chosen.path(K) for K in (8, 16, 32, 64, 128, 256)]
        regret = max(costs.of(path).total - best.nats(len(path) - 1) for path in paths)
        wrong = max(abs(thin.of(path).total - costs.of(path).total) for path in [*paths, np.arange(T + 1)])
        regret, wrong = ddpm_dp.bits_per_dim(regret, full.d), ddpm_dp.bits_per_dim(wrong, full.d)
        print(
            f"{len(few.measured):4d} timesteps, {variance:10} {decoder:8}: "
            f"regret {regret:.5f}, wrong by {wrong:.5f} bits/dim"
        )

"""How many images a path needs (the paper's section 5.2): `python benchmarks/images.py [model folder ...]`.

Each folder (by themselves: those that ship) has train.npz and test.npz. Paths are chosen from parts of the training
images, disjoint groups of the one pass, and priced on all held-out images; the regret is what they cost more there than
the paths chosen from all training images, in bits/dim: the mean over parts and budgets K, and its standard error over
parts. A negative regret is held-out luck. The decoder is `analytic`, m_t: a part of the images has its own, whereas the
kinds of pixels of `fitted` are not kept by group.
"""

import sys
from pathlib import Path

import numpy as np

import ddpm_dp
from ddpm_dp.files import DATA

BUDGETS = (8, 16, 32, 64, 128, 256)
DECODER = "analytic"

folders = [Path(name) for name in sys.argv[1:]] or sorted(file.parent for file in DATA.rglob("test.npz"))
for folder in folders:
    train, test = (ddpm_dp.DenoisingStatistics.load(folder / f"{part}.npz") for part in ("train", "test"))
    for variance in ("posterior", "analytic"):
        prices = ddpm_dp.step_costs(test, variance, DECODER)
        best = ddpm_dp.solve(ddpm_dp.step_costs(train, variance, DECODER), max(BUDGETS))
        optimum = np.array([prices.of(best.path(K)).total for K in BUDGETS])
        for size in (1, 2, 4, 8, 16):
            parts = np.arange(len(train.counts)).reshape(-1, size)
            regrets = []
            for groups in parts:
                few = ddpm_dp.solve(ddpm_dp.step_costs(train.of_groups(groups), variance, DECODER), max(BUDGETS))
                cost = np.array([prices.of(few.path(K)).total for K in BUDGETS])
                regrets.append(ddpm_dp.bits_per_dim(cost - optimum, test.d))
            mean, error = np.mean(regrets), np.mean(regrets, axis=1).std(ddof=1) / len(parts) ** 0.5
            images = f"{train.counts[parts[0]].sum():5} of {train.n} images, {len(parts):2} parts"
            regret = f"regret {mean:+.5f} ({error:.5f}), worst of any K {np.max(regrets):+.5f} bits/dim"
            print(f"{folder.name}, {variance:9}: {images}: {regret}")

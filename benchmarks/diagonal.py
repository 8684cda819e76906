"""Covariances that are fitted beside diagonals that are learned: `python benchmarks/diagonal.py` (a minute or so).

On Fashion-MNIST: held-out bits/dim of DP paths, chosen on training images under the same variance, and what each
variance asks for beside the network that predicts eps. The last two models were trained on from `hybrid`'s weights, so
their means are better by what those steps were worth: `analytic` and `spectral` of each stand beside.
"""

import numpy as np

import ddpm_dp
from ddpm_dp.reporting.compare import decoder_in_words

BUDGETS = (4, 8, 16, 32, 64)
VARIANCES = ("analytic", "local", "spectral", "learned", "calibrated", "predicted")

print("model      variance    " + "".join(f"{f'K = {K}':>16}" for K in BUDGETS) + f"{'all 4,000':>16}     rho")
for model in ("hybrid", "predicted", "ocm"):
    folder = ddpm_dp.shipped(f"fashion-mnist/{model}/train.npz").parent
    both = ddpm_dp.Measured.load(folder / "train.npz", folder / "test.npz")
    about = ddpm_dp.load(folder / "model.safetensors", "cpu").about
    for variance in VARIANCES:
        if variance not in ddpm_dp.variances.served(both.train, both.judge):
            continue
        family = ddpm_dp.variances.FAMILIES[variance].reading(both.train.second)
        reads = f"{family.output or '-':>8}"
        best = ddpm_dp.solve(ddpm_dp.step_costs(both.train, variance), max(BUDGETS))
        prices = ddpm_dp.step_costs(both.judge, variance)
        row = [prices.of(best.path(K)) for K in BUDGETS] + [prices.of(np.arange(both.train.T + 1))]
        numbers = ddpm_dp.bits_per_dim(np.array([(p.total, p.standard_error) for p in row]), both.judge.d)
        print(f"{model:<11}{variance:<12}" + "".join(f"{f'{b:.3f} ({e:.3f})':>16}" for b, e in numbers) + reads)
    config = about["config"]
    print(
        f"  {config['loss']}: {config['steps']:,} steps of {config['batch_size']} images"
        + (", from hybrid" if "start" in about else "")
    )
print(f"\n{both.judge.n} held-out images. A sampling step is one evaluation of the network under every variance.")
print("Last column: the second output of the network that rho reads; it is trained with eps.")
print("A training step of `ocm` has one pass back more than one of `predicted`, to x_t.")
print(f"Decoder: {decoder_in_words(both.judge, 'spectral', 'fitted')}.")

"""Sample quality of the Fashion-MNIST DDPM against the number of steps: `python benchmarks/quality.py` (half an
hour on a busy core) draws n images along every path and writes data/fashion-mnist/quality.json, for notebook 10.
Interrupted, the same command goes on where it stopped.

The distance is the Frechet distance in the features of a small Fashion-MNIST classifier, not FID; see `ddpm_dp.quality`
for what its bias is and how it is taken off.
"""

import argparse
import json
from pathlib import Path

from drawn import Setting, bits, frechet, in_batches, is_new, say
from tqdm.auto import tqdm

import ddpm_dp
from ddpm_dp import strides
from ddpm_dp.files import DATA, write_whole
from ddpm_dp.objectives import OBJECTIVES
from ddpm_dp.reporting.compare import decoder_in_words

BUDGETS = (4, 8, 16, 32)
BATCH = 100  # images drawn together


def paths_of(train, variance):
    """name -> the path of K steps; all that the comparison is about."""
    elbo = ddpm_dp.solve(ddpm_dp.step_costs(train, variance), max(BUDGETS))
    mse = ddpm_dp.solve(OBJECTIVES["mse"].costs(train, variance), max(BUDGETS))
    return {
        "even": lambda K: strides.even(train.noise, K),
        "quadratic": lambda K: strides.quadratic(train.noise, K),
        "DP": elbo.path,
        "DP (MSE)": mse.path,
        "DDIM (even)": lambda K: strides.even(train.noise, K),
        "DDIM (DP)": elbo.path,
    }


def draw(model, name, path, n, variance, train):
    def one(size, seed):
        if name.startswith("DDIM"):
            return ddpm_dp.ddim(model, path, n=size, seed=seed, progress=False)
        return ddpm_dp.sample(model, path, n=size, seed=seed, progress=False, variance=variance, statistics=train)

    return in_batches(one, n, BATCH)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA / "fashion-mnist" / "hybrid", help="the model's folder")
    parser.add_argument("--out", type=Path, default=DATA / "fashion-mnist" / "quality.json")
    parser.add_argument("--variances", nargs="+", default=["learned", "spectral"], help="default: learned spectral")
    parser.add_argument("-n", type=int, default=250, help="images per path; default: 250")
    options = parser.parse_args()

    setting = Setting.of(options.folder, "cpu")
    train, test = setting.measured.train, setting.measured.judge
    result = {
        "measure": "Frechet distance in the features of a small Fashion-MNIST classifier, not FID",
        **setting.about(),
        "n": options.n,
        "floor": setting.floor(options.n),
        "variances": {},
    }
    if options.out.is_file():
        before = json.loads(options.out.read_text())
        if all(before[key] == result[key] for key in ("model_id", "n", "seed", "classifier")):
            result["variances"] = before["variances"]

    for variance in options.variances:
        decoder = decoder_in_words(test, variance, "fitted")
        known = result["variances"].get(variance)
        if known is None or known["decoder"] != decoder:
            known = result["variances"][variance] = {"decoder": decoder, "paths": {}}
        table, prices, paths = known["paths"], ddpm_dp.step_costs(test, variance), paths_of(train, variance)
        # DDIM has no likelihood of its own.
        priced = {name: None if name.startswith("DDIM") else prices for name in paths}
        todo = [
            (name, K)
            for K in BUDGETS
            for name in paths
            if is_new(table.get(name, {}).get(str(K)), paths[name](K), priced[name])
        ]
        for name, K in tqdm(todo, variance, unit="path"):
            path = paths[name](K)
            images = draw(setting.model, name, path, options.n, variance, train)
            row = frechet(setting.classifier.features(images), setting.real)
            if priced[name]:
                row |= bits(prices, path)
            row["path"] = path.tolist()
            table.setdefault(name, {})[str(K)] = row
            write_whole(options.out, lambda temporary: temporary.write_text(json.dumps(result) + "\n"))
            say(row, name, K)


if __name__ == "__main__":
    main()

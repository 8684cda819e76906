"""Sample quality of the Fashion-MNIST DDPM against the number of steps: `python benchmarks/quality.py` (half an
hour on a busy core) draws n images along every path and writes data/fashion-mnist/quality.json, for notebook 10.
Interrupted, the same command goes on where it stopped.

The distance is the Frechet distance in the features of a small Fashion-MNIST classifier, not FID; see `ddpm_dp.quality`
for what its bias is and how it is taken off.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

import ddpm_dp
from ddpm_dp import strides
from ddpm_dp.files import DATA, write_whole
from ddpm_dp.objectives import OBJECTIVES
from ddpm_dp.quality import frechet_estimate, load_classifier
from ddpm_dp.reporting.compare import decoder_in_words

BUDGETS = (4, 8, 16, 32)
SEED = 0
BATCH = 100  # images drawn together; batch i has the seed SEED + i, on every path: the same x_T and noise


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
    batches = []
    for i in range(-(-n // BATCH)):
        options = {"n": min(BATCH, n - i * BATCH), "seed": SEED + i, "progress": False}
        if name.startswith("DDIM"):
            batches.append(ddpm_dp.ddim(model, path, **options))
        else:
            batches.append(ddpm_dp.sample(model, path, variance=variance, statistics=train, **options))
    return torch.cat(batches)


def floor_of(features, real, n):
    """What n real images score: estimates for disjoint blocks of them."""
    blocks = [frechet_estimate(features[i : i + n], real) for i in range(0, len(features) - n + 1, n)]
    value, limit = (np.array([getattr(block, name) for block in blocks]) for name in ("value", "limit"))
    spread = value.std(ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else blocks[0].standard_error
    return {"value": value.mean(), "limit": limit.mean(), "standard_error": float(spread), "blocks": len(blocks)}


def is_new(row, path):
    """Whether there is no row, or one of another path: the model was measured anew."""
    return row is None or row["path"] != [int(t) for t in path]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA / "fashion-mnist" / "hybrid", help="the model's folder")
    parser.add_argument("--out", type=Path, default=DATA / "fashion-mnist" / "quality.json")
    parser.add_argument("--variances", nargs="+", default=["learned", "spectral"], help="default: learned spectral")
    parser.add_argument("-n", type=int, default=250, help="images per path; default: 250")
    options = parser.parse_args()

    model = ddpm_dp.load(options.folder / "model.safetensors", device="cpu")
    measured = ddpm_dp.Measured.load(options.folder / "train.npz", options.folder / "test.npz")
    train, test = measured.train, measured.judge
    train.require_model(model.id, str(options.folder / "train.npz"))
    classifier = load_classifier()
    held_out = classifier.features(ddpm_dp.load_dataset("fashion-mnist").test)
    half = len(held_out) // 2
    result = {
        "measure": "Frechet distance in the features of a small Fashion-MNIST classifier, not FID",
        "classifier": classifier.about,
        "model_id": model.id,
        "model": model.about,
        "T": model.noise.T,
        "held-out images of bits/dim": test.n,
        "real images": half,
        "n": options.n,
        "seed": SEED,
        "floor": floor_of(held_out[half:], held_out[:half], options.n),
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
        todo = [(name, K) for K in BUDGETS for name in paths if is_new(table.get(name, {}).get(str(K)), paths[name](K))]
        for name, K in tqdm(todo, variance, unit="path"):
            path = paths[name](K)
            images = draw(model, name, path, options.n, variance, train)
            row = asdict(frechet_estimate(classifier.features(images), held_out[:half]))
            if not name.startswith("DDIM"):  # DDIM has no likelihood of its own
                price = prices.of(path)
                row["bits"] = float(ddpm_dp.bits_per_dim(price.total, test.d))
                row["bits_error"] = float(ddpm_dp.bits_per_dim(price.standard_error, test.d))
            row["path"] = [int(t) for t in path]
            table.setdefault(name, {})[str(K)] = row
            write_whole(options.out, lambda temporary: temporary.write_text(json.dumps(result) + "\n"))
            tqdm.write(f"{name:16} K = {K:3}: {row['value']:.3f}, without bias {row['limit']:.3f}")


if __name__ == "__main__":
    main()

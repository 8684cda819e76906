"""One instrument for all schedules: `python benchmarks/schedules.py` has every way to choose K timesteps choose them
for the Fashion-MNIST DDPM, draws n images along each path with each sampler, and writes
data/fashion-mnist/schedules.json: minutes on a GPU, which is used by itself; days on a CPU, where `-n 100 --images 16`
is for trying. Interrupted, the same command goes on where it stopped; small budgets come first.

A row has the Frechet distance (not FID: `ddpm_dp.quality`), precision and recall, all in the features of a small
Fashion-MNIST classifier, and, for ancestral samplers, held-out bits/dim. `--match TEXT` keeps to some schedules.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from drawn import SEED, Setting, bits, frechet, in_batches, is_new, say
from tqdm.auto import tqdm

import ddpm_dp
from ddpm_dp.files import DATA, write_whole
from ddpm_dp.objectives import OBJECTIVES
from ddpm_dp.published import PUBLISHED
from ddpm_dp.quality import precision_recall_estimate
from ddpm_dp.quality.manifolds import NEIGHBOURS
from ddpm_dp.reporting.compare import decoder_in_words

BUDGETS = (4, 8, 16, 32)
VARIANCES = ("spectral", "analytic")  # of the ancestral samplers
BLOCKS = 5  # of the samples, for precision and recall
Paths = Mapping[int, Any]


def ways(setting: Setting, images: int) -> dict[str, Callable[[], Paths]]:
    """name -> what finds its paths; all that the comparison is about."""
    train, noise = setting.measured.train, setting.model.noise

    def searched(costs: ddpm_dp.StepCosts) -> Paths:
        best = ddpm_dp.solve(costs, max(BUDGETS))
        return {K: best.path(K) for K in BUDGETS}

    strides = {
        name: lambda stride=stride: {K: stride(noise, K) for K in BUDGETS} for name, stride in ddpm_dp.STRIDES.items()
    }
    data = ddpm_dp.load_dataset("fashion-mnist").train[:images]
    published = {
        name: partial(method.paths, setting.model, data, BUDGETS, seed=SEED) for name, method in PUBLISHED.items()
    }
    ours = {
        f"DP ({OBJECTIVES['elbo'].title}, {variance})": lambda variance=variance: searched(
            ddpm_dp.step_costs(train, variance)
        )
        for variance in VARIANCES
    }
    mse = OBJECTIVES["mse"]
    return strides | published | ours | {f"DP ({mse.title})": lambda: searched(mse.costs(train, VARIANCES[0]))}


def samplers(setting: Setting) -> dict[str, Callable[..., torch.Tensor]]:
    """The ancestral samplers by their reverse variances, and DDIM."""
    ancestral = {
        variance: partial(ddpm_dp.sample, variance=variance, statistics=setting.measured.train)
        for variance in VARIANCES
    }
    return ancestral | {"DDIM": ddpm_dp.ddim}


def draw(setting: Setting, sampler: Callable[..., torch.Tensor], path: Any, n: int, batch: int) -> torch.Tensor:
    """n images, the same x_T and noise on every path; drawn on the model's device, which is much faster on a GPU."""
    model = setting.model

    def one(size: int, seed: int) -> torch.Tensor:
        rng = torch.Generator(model.device).manual_seed(seed)
        randn = partial(torch.randn, generator=rng, device=model.device)
        return sampler(model, path, n=size, randn=randn, progress=False)

    return in_batches(one, n, batch)


def shares(features: Any, setting: Setting, block: int) -> dict[str, float]:
    estimate = precision_recall_estimate(features, setting.real, block)
    names = ("precision", "precision_error", "recall", "recall_error")
    return {name: getattr(estimate, name) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA / "fashion-mnist" / "hybrid", help="the model's folder")
    parser.add_argument("--out", type=Path, default=DATA / "fashion-mnist" / "schedules.json")
    parser.add_argument("-n", type=int, default=5000, help="images per path and sampler; default: 5000")
    parser.add_argument("--images", type=int, default=512, help="training images that others choose on; default: 512")
    parser.add_argument("--batch", type=int, help="images drawn together; default: 2500 on a GPU, 100 on a CPU")
    parser.add_argument("--match", default="", help="only schedules with this in their name; default: all")
    options = parser.parse_args()

    setting = Setting.of(options.folder)
    test, device = setting.measured.judge, setting.model.device
    torch.backends.cudnn.benchmark = True  # all batches but the last have one size
    batch = options.batch or (100 if device.type == "cpu" else 2500)
    block = options.n // BLOCKS
    result: dict[str, Any] = {
        **setting.about(),
        "n": options.n,
        "images of published methods": options.images,
        "batch": batch,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "torch": torch.__version__,
        "neighbours": NEIGHBOURS,
        "block": block,
        "floor": setting.floor(options.n) | shares(setting.others, setting, block),
        "all timesteps": {},
        "decoder": {variance: decoder_in_words(test, variance, "fitted") for variance in VARIANCES},
        "paths": {},
        "seconds": {},
        "samplers": {},
    }
    prices = {variance: ddpm_dp.step_costs(test, variance) for variance in VARIANCES}
    for variance, costs in prices.items():
        result["all timesteps"][variance] = bits(costs, torch.arange(test.T + 1).numpy())
    same = ("model_id", "n", "seed", "classifier", "images of published methods", "device", "decoder")
    if options.out.is_file():
        before = json.loads(options.out.read_text())
        if all(before[key] == result[key] for key in same):
            result |= {key: before[key] for key in ("paths", "seconds", "samplers")}

    def keep() -> None:
        write_whole(options.out, lambda temporary: temporary.write_text(json.dumps(result) + "\n"))

    chosen = {name: way for name, way in ways(setting, options.images).items() if options.match in name}
    for name, way in chosen.items():
        # Published choices are kept: they take time, and hang on the network's rounding. The others take none.
        if name not in result["paths"] or name not in PUBLISHED:
            began = time.perf_counter()
            result["paths"][name] = {str(K): [int(t) for t in path] for K, path in way().items()}
            result["seconds"][name] = round(time.perf_counter() - began, 2)
            keep()

    todo = []
    for K in BUDGETS:
        for sampler in samplers(setting):
            table = result["samplers"].setdefault(sampler, {})
            todo += [
                (K, sampler, name)
                for name in chosen
                if is_new(table.setdefault(name, {}).get(str(K)), result["paths"][name][str(K)], prices.get(sampler))
            ]
    with tqdm(total=sum(K for K, *_ in todo), desc="drawing", unit="step") as bar:
        for K, sampler, name in todo:
            path = result["paths"][name][str(K)]
            features = setting.classifier.features(draw(setting, samplers(setting)[sampler], path, options.n, batch))
            row = frechet(features, setting.real) | shares(features, setting, block)
            if sampler in prices:  # DDIM has no likelihood of its own
                row |= bits(prices[sampler], path)
            result["samplers"][sampler][name][str(K)] = row | {"path": path}
            keep()
            bar.update(K)
            say(row, f"K = {K:2}", sampler, name)


if __name__ == "__main__":
    main()

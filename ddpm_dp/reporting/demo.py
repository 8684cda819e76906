"""The whole job on scikit-learn's digits, from data to the optimal path: what `make demo` runs."""

import time
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import matplotlib

from ddpm_dp import strides
from ddpm_dp.costs import step_costs
from ddpm_dp.datasets import load_dataset
from ddpm_dp.files import claimed, finished
from ddpm_dp.measuring.loop import measure
from ddpm_dp.models.files import read_tensors
from ddpm_dp.models.trained import load
from ddpm_dp.paths import PathFile
from ddpm_dp.reporting import plotting
from ddpm_dp.reporting.compare import BUDGETS, compare
from ddpm_dp.reporting.publish import path_file, publish
from ddpm_dp.sampling import sample
from ddpm_dp.solver import solve
from ddpm_dp.statistics import DenoisingStatistics, Measured
from ddpm_dp.training.config import TrainConfig
from ddpm_dp.training.loop import train
from ddpm_dp.variances import SCALAR

SHEET_BUDGETS = (4, 8, 16, 32, 64, 128)
MODEL = "model.safetensors"
FILES = {
    "bits_per_dim.png": "held-out bits/dim against the number of steps, for each reverse variance of one number",
    "timesteps.png": "the timesteps that the DP chose for each budget",
    "samples.png": "samples along even, quadratic and DP paths, from the same noise",
    "path_32.json": "the best path of 32 steps",
    "path_32.card.md": "its card, to publish with it",
    "train.npz": "the measured statistics of training images: all that searching needs",
    "test.npz": "the same of held-out images, for pricing",
    MODEL: "the trained model, for ddpm_dp.load",
}


def demo(out: Path, config: TrainConfig, device: str | None = None, overwrite: bool = False) -> None:
    """Train, measure, solve and compare; write the figures and files of the README into the folder `out`.

    Raises FileExistsError if a file of one of these names is there and no earlier demo with this `config` made it,
    unless `overwrite`.
    """
    with ExitStack() as stack:
        for name in FILES:
            stack.enter_context(claimed(out / name))
            finished(out / name, overwrite, partial(_made_before, out / name, config))
        _demo(out, config, device)


def _made_before(file: Path, config: TrainConfig) -> bool:
    """Whether a file is one that a demo with that `config` writes: a picture says so, others are of such a model."""
    if file.suffix == ".png":
        return plotting.settings_of(file) == {"demo": asdict(config)}
    if file.suffix == ".safetensors":
        return read_tensors(file)[3].get("config") == asdict(config)
    model = load(file.with_name(MODEL), "cpu")
    made = PathFile.load(file) if file.suffix == ".json" else DenoisingStatistics.load(file)
    return made.model_id == model.id and model.about.get("config") == asdict(config)


def _demo(out: Path, config: TrainConfig, device: str | None) -> None:
    start = time.monotonic()
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plotting.use_style()
    settings = {"demo": asdict(config)}
    data = load_dataset("digits")
    print(
        f"1. Train a DDPM (T = {config.T:,}) on {len(data.train):,} images of handwritten digits, 8x8, 17 grey levels."
    )
    model = train(data, config, checkpoint=out / "training.checkpoint", device=device)
    model.save(out / MODEL)
    (out / "training.checkpoint").unlink(missing_ok=True)

    print(f"2. Measure its denoising error at every timestep, on {len(data.train):,} training images ...")
    training = measure(model, data.train)
    training.save(out / "train.npz")
    print(f"   ... and on {len(data.test)} held-out images.")
    held_out = measure(model, data.test, fitted=training)
    held_out.save(out / "test.npz")
    measured = Measured(training, held_out)

    print(
        f"3. Choose the best path for every budget K = 1..{config.T:,} on the training statistics; price it held out.\n"
    )
    budgets = (*(K for K in BUDGETS if K < config.T), config.T)
    curve = sorted(
        {*budgets, *(round(config.T ** (i / 24)) for i in range(9, 24)), *(config.T - i for i in (5, 20, 80))}
    )
    figure, axes = plt.subplots(1, len(SCALAR), figsize=(14, 4.2), sharey=True)
    paths_of, compared = {}, {}
    for variance, ax in zip(SCALAR, axes, strict=True):
        best = solve(step_costs(training, variance))
        paths = paths_of[variance] = {
            "even": {K: strides.even(model.noise, K) for K in curve},
            "quadratic": {K: strides.quadratic(model.noise, K) for K in curve},
            "DP": {K: best.path(K) for K in curve},
        }
        table = {name: {K: by_budget[K] for K in budgets} for name, by_budget in paths.items()}
        compared[variance] = compare(measured, table, variance)
        print(compared[variance], "\n")
        plotting.bits_against_steps(ax, compare(measured, paths, variance))
    plotting.save(figure, out / "bits_per_dim.png", settings)

    variance = "analytic"  # the variance that the rest shows: the best single number
    paths = paths_of[variance]
    bits = dict(zip(budgets, compared[variance].bits["DP"], strict=True))
    cheapest = min(bits, key=lambda K: bits[K])
    if cheapest < config.T:
        print(
            f"{cheapest:,} chosen steps cost less than all {config.T:,}: the loss of this training hardly looks at the "
            "least noise, and a chosen path stops before it (notebook 1).\n"
        )
    publish(path_file(measured, {32: paths["DP"][32]}, variance), out / "path_32.json")
    figure, ax = plt.subplots(figsize=(9, 3.2))
    plotting.chosen_timesteps(ax, {K: paths["DP"][K] for K in SHEET_BUDGETS})
    ax.set_title(f"Timesteps that the DP chooses ({variance} variance)")
    plotting.save(figure, out / "timesteps.png", settings)

    print("4. Sample along the three paths, from the same noise.")
    figure, axes = plt.subplots(3, len(SHEET_BUDGETS), figsize=(12, 6.4))
    for row, (name, by_budget) in zip(axes, paths.items(), strict=True):
        for ax, K in zip(row, SHEET_BUDGETS, strict=True):
            images = sample(model, by_budget[K], 16, variance=variance, statistics=training)
            plotting.image_grid(ax, images, columns=4).set_title(f"{name}, K = {K}", fontsize=10)
    plotting.save(figure, out / "samples.png", settings)

    print(f"\nDone in {time.monotonic() - start:.0f} s. In {out}/ now:")
    for file, what in FILES.items():
        print(f"  {file:20} {what}")
    print("\nNext: `make lab` opens the notebooks; 01_the_result.ipynb tells what you have just seen.")

"""Train to a file, measure to a file: what the command line and the experiments have in common.

Both go on from their checkpoint, which lies beside the file, and remove it when the file is written. Both hold the file
for themselves meanwhile, do nothing where their result stands already, and refuse to write over another.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.datasets import Dataset
from ddpm_dp.files import claimed, fingerprint, finished, require_writable
from ddpm_dp.measuring.loop import measure
from ddpm_dp.models.denoiser import Denoiser
from ddpm_dp.models.files import read_tensors
from ddpm_dp.models.trained import Model
from ddpm_dp.processes import Processes, usable_device
from ddpm_dp.statistics import DenoisingStatistics
from ddpm_dp.statistics.filling import grid
from ddpm_dp.training.config import TrainConfig
from ddpm_dp.training.loop import about_training, train

Inputs = Iterable[str | Path]


def train_to(
    out: Path,
    data: Dataset,
    config: TrainConfig,
    start: Model | None = None,
    half: bool = False,
    device: str | None = None,
    inputs: Inputs = (),
    overwrite: bool = False,
) -> None:
    """Train a model and write it, with 16 bits a weight if `half`. Raises as `train` and `claimed` do.

    A finished model of these very settings stays as it is; any other file at `out` is refused unless `overwrite`.
    """
    processes = Processes(usable_device(device))
    with _held(out, inputs, processes) as checkpoint:
        if finished(out, overwrite, lambda: was_trained(out, data, config, start, half)):
            if processes.main:
                print(f"{out} is finished: a model of these very settings. Nothing to do (--overwrite trains it anew).")
            return
        model = train(data, config, start=start, checkpoint=checkpoint, device=device)
        if processes.main:
            print(f"Wrote {model.save(out, half)}.")
            checkpoint.unlink(missing_ok=True)
        processes.wait()


def was_trained(out: Path, data: Dataset, config: TrainConfig, start: Model | None, half: bool | None = None) -> bool:
    """Whether the model file at `out` is what `train` makes of these, with that many bits (None: with any)."""
    tensors, _, _, about = read_tensors(out)
    expected = about_training(data, config, start)
    # A setting that is younger than the file had its default.
    known = {"dataset": about.get("dataset"), "data_id": about.get("data_id"), "step": about.get("step")}
    known |= {"config": asdict(TrainConfig()) | about.get("config", {}), "start": about.get("start", {}).get("id")}
    asked = {"dataset": expected["dataset"], "data_id": expected["data_id"], "step": None}
    asked |= {"config": expected["config"], "start": expected.get("start", {}).get("id")}
    halves = any(tensor.dtype == torch.float16 for tensor in tensors.values())
    return known == asked and half in (None, halves)


def measure_to(
    out: Path,
    model: Denoiser,
    images: np.ndarray,
    fitted: DenoisingStatistics | None = None,
    timesteps: int | None = None,
    standard_error: float | None = None,
    seed: int = 0,
    batch_size: int = 2048,
    split: str | None = None,
    inputs: Inputs = (),
    overwrite: bool = False,
    labels: np.ndarray | None = None,
) -> None:
    """Measure a model and write its statistics, which know their `split`. Raises as `measure` and `claimed` do.

    Finished statistics of these very settings stay as they are; any other file at `out` is refused unless `overwrite`.
    """
    processes = Processes(model.device)
    labels_id = None if labels is None else fingerprint(labels)

    def same() -> bool:
        found = DenoisingStatistics.load(out)
        of_asked = (found.about.get(ASKED), found.about.get("labels"))
        return was_measured(found, model, images, fitted, timesteps, seed) and of_asked == (standard_error, labels_id)

    with _held(out, inputs, processes) as checkpoint:
        if finished(out, overwrite, same):
            if processes.main:
                print(
                    f"{out} is finished: statistics of these very settings. Nothing to do (--overwrite measures anew)."
                )
            return
        statistics = measure(
            model,
            images,
            labels=labels,
            fitted=fitted,
            timesteps=timesteps,
            standard_error=standard_error,
            checkpoint=checkpoint,
            seed=seed,
            batch_size=batch_size,
        )
        asked = {"split": split, ASKED: standard_error, "labels": labels_id}
        statistics = replace(statistics, about=dict(statistics.about) | asked)
        if processes.main:
            price = step_costs(statistics, "analytic", "analytic").of(range(statistics.T + 1))
            error = bits_per_dim(price.standard_error, statistics.d)
            print(
                f"Wrote {statistics.save(out)}: {statistics.n:,} of {len(images):,} images, {statistics.T:,} "
                f"timesteps; all T steps cost {bits_per_dim(price.total, statistics.d):.3f} ({error:.3f}) bits/dim "
                "(analytic variance, which is also the decoder's)."
            )
            checkpoint.unlink(missing_ok=True)
        processes.wait()


ASKED = "standard error asked for"


def was_measured(
    found: DenoisingStatistics,
    model: Denoiser,
    images: np.ndarray,
    fitted: DenoisingStatistics | None,
    timesteps: int | None,
    seed: int = 0,
) -> bool:
    """Whether `found` are statistics of that model, of the first of these images, at those timesteps."""
    if found.about.get(ASKED) is not None:
        images = images[: found.n]
    measured = grid(model.noise.T, timesteps or model.noise.T)
    data_id = fingerprint(np.asarray(images, dtype=np.float32))
    return (
        (found.model_id, found.data_id, found.seed) == (model.id, data_id, seed)
        and found.fitted_on == (found if fitted is None else fitted).data_id
        and np.array_equal(found.measured, measured)
        and (fitted is None or np.array_equal(found.fitted_m, fitted.fitted_m))
    )


@contextmanager
def _held(out: Path, inputs: Inputs, processes: Processes) -> Iterator[Path]:
    """`out` and the checkpoint beside it for this job alone; gives the checkpoint. One process holds for all."""
    checkpoint, inputs = out.with_name(out.name + ".checkpoint"), [*inputs]
    with ExitStack() as stack:
        if processes.main:
            stack.enter_context(claimed(out, inputs))
            require_writable(checkpoint, inputs)
        yield checkpoint

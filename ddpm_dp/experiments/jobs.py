"""Train to a file, measure to a file: what the command line and the experiments have in common.

Both go on from their checkpoint, which lies beside the file, and remove it when the file is written.
"""

from pathlib import Path

import numpy as np

from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.datasets import Dataset
from ddpm_dp.files import require_writable
from ddpm_dp.measuring.loop import measure
from ddpm_dp.models.denoiser import Denoiser
from ddpm_dp.models.trained import Model
from ddpm_dp.processes import Processes
from ddpm_dp.statistics import DenoisingStatistics
from ddpm_dp.training.config import TrainConfig
from ddpm_dp.training.loop import train


def train_to(
    out: Path,
    data: Dataset,
    config: TrainConfig,
    start: Model | None = None,
    half: bool = False,
    device: str | None = None,
) -> None:
    """Train a model and write it, with 16 bits a weight if `half`. Raises as `train` does."""
    require_writable(out)
    checkpoint = _checkpoint_of(out)
    model = train(data, config, start=start, checkpoint=checkpoint, device=device)
    processes = Processes(model.device)
    if processes.main:
        print(f"Wrote {model.save(out, half)}.")
        checkpoint.unlink(missing_ok=True)
    processes.wait()


def measure_to(
    out: Path,
    model: Denoiser,
    images: np.ndarray,
    fitted: DenoisingStatistics | None = None,
    timesteps: int | None = None,
    standard_error: float | None = None,
    seed: int = 0,
    batch_size: int = 2048,
    labels: np.ndarray | None = None,
) -> None:
    """Measure a model and write its statistics. Raises as `measure` does."""
    require_writable(out)
    checkpoint = _checkpoint_of(out)
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
    processes = Processes(model.device)
    if processes.main:
        price = step_costs(statistics, "analytic", "analytic").of(range(statistics.T + 1))
        error = bits_per_dim(price.standard_error, statistics.d)
        print(
            f"Wrote {statistics.save(out)}: {statistics.n:,} of {len(images):,} images, {statistics.T:,} timesteps; "
            f"all T steps cost {bits_per_dim(price.total, statistics.d):.3f} ({error:.3f}) bits/dim (analytic "
            "variance, which is also the decoder's)."
        )
        checkpoint.unlink(missing_ok=True)
    processes.wait()


def _checkpoint_of(out: Path) -> Path:
    return out.with_name(out.name + ".checkpoint")

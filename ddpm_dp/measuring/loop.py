"""`measure`: the loop over timesteps, its progress bar, its checkpoint and its end."""

import time
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ddpm_dp.checks import whole
from ddpm_dp.measuring import pilot
from ddpm_dp.measuring.survey import Survey
from ddpm_dp.models.denoiser import Denoiser
from ddpm_dp.statistics import DenoisingStatistics, refuse_in_common
from ddpm_dp.statistics.filling import grid


@torch.no_grad()
def measure(
    denoiser: Denoiser,
    images: object,
    *,
    labels: object = None,
    fitted: DenoisingStatistics | None = None,
    timesteps: int | None = None,
    standard_error: float | None = None,
    checkpoint: str | Path | None = None,
    save_every: float = 30.0,
    seed: int = 0,
    batch_size: int = 2048,
    progress: bool = True,
) -> DenoisingStatistics:
    """Measure the denoising error m_t and the decoder's price at every timestep t = 1..T: T evaluations per image.

    m_t = E (1/d) ||x_0 - xhat_0(alpha_t x_0 + sigma_t eps, t)||^2. Each image keeps the same noise eps at all t, drawn
    from (seed, number of the image) alone: so m_t varies smoothly with t, and a minimiser has little noise to exploit.

    With a `checkpoint` file, what was measured is written there every `save_every` seconds; after Ctrl-C or a crash the
    same call goes on from it and ends with the same numbers as an uninterrupted one. The file is yours to delete.

    Where a launcher started several processes, each takes its share of the images, and all return the same result (see
    `docs/many_machines.md`).

    Args:
        denoiser: a model or an exact denoiser.
        images: (n, *shape), array or tensor, in [-1, 1].
        labels: for a class-conditional model, and only there: each image's own class, (n,) whole numbers.
        fitted: for held-out images, the training statistics: what was fitted there (m_t, cells, the decoder) stays.
            None: all that is fitted to these very images.
        timesteps: measure at so many of the T timesteps, dense near 0, and interpolate the rest (see
            `statistics/filling.py` for what that costs: a tenth is enough). None: at all of them.
        standard_error: in bits/dim. Use only as many images, from the first on, as it takes to know the price of all T
            steps (`analytic` variance) so well: a small pilot run (128 images, 32 timesteps) tells how many. None: all.
        batch_size: images per evaluation. Halved by itself where a GPU's memory runs out. It changes the answer by no
            more than the network's own rounding does.

    Raises ValueError for images or labels that do not fit the denoiser, `fitted` statistics of another model or of some
    of these very images, a checkpoint of another measurement, and a model whose output is not finite; OSError if the
    checkpoint cannot be written.

    >>> import ddpm_dp
    >>> stats = measure(ddpm_dp.load("digits"), ddpm_dp.load_dataset("digits").train[:8], timesteps=20, progress=False)
    >>> stats.n, stats.T
    (8, 1000)
    """
    x_0 = denoiser.images(images)
    of_images = denoiser.labels(labels, len(x_0))
    if fitted is not None:
        fitted.require_model(denoiser.id, "the model")
    whole(batch_size, "batch_size")
    seed = whole(seed, "seed", 0, 2**64 - 1)
    if standard_error is not None:
        if not standard_error > 0:
            raise ValueError(f"standard_error = {standard_error!r}; expected a number of bits/dim above 0.")
        few = measure(
            denoiser,
            x_0[: pilot.IMAGES],
            labels=None if of_images is None else of_images[: pilot.IMAGES],
            fitted=fitted,
            timesteps=min(pilot.TIMESTEPS, denoiser.noise.T),
            seed=seed,
            batch_size=min(batch_size, pilot.BATCH),
            progress=progress,
        )
        x_0 = x_0[: pilot.images_needed(few, standard_error, len(x_0))]
    measured = grid(denoiser.noise.T, denoiser.noise.T if timesteps is None else timesteps)
    of_images = None if of_images is None else of_images[: len(x_0)]
    survey = Survey(denoiser, x_0, of_images, fitted, measured, seed, batch_size)
    if checkpoint and Path(checkpoint).exists():
        survey.restore(Path(checkpoint))
    refuse_in_common(survey.in_common, len(x_0))
    progress = progress and survey.processes.main
    if survey.idle and progress:
        tqdm.write(
            f"{len(x_0):,} images are {survey.processes.size - survey.idle} batches of up to {batch_size:,}, so "
            f"{survey.idle} of {survey.processes.size} processes have nothing to do; give a smaller batch_size."
        )

    remaining = measured[survey.done :].tolist()
    pending: list[tuple[int, dict[str, Tensor]]] = []  # on the device: fetching them at once would stall a GPU
    fetched = saved = time.monotonic()
    bar = tqdm(
        remaining,
        "measuring",
        initial=survey.done,
        total=len(measured),
        unit="timestep",
        disable=not progress,
    )
    try:
        for t in bar:
            pending.append((t, survey.at(t)))
            now = time.monotonic()
            if now - fetched >= min(1.0, save_every) or t == measured[-1]:
                fetched = now
                survey.take(pending)
                bar.set_postfix_str(survey.so_far())
                if checkpoint and survey.processes.main and now - saved >= save_every:
                    saved = now
                    survey.save(checkpoint)
    except KeyboardInterrupt:
        bar.close()
        if checkpoint and survey.processes.main:
            survey.take(pending)
            survey.save(checkpoint)
            print(
                f"Interrupted: the same call goes on from {checkpoint}, at timestep {survey.done} of {len(measured)}."
            )
        raise
    return survey.result()

"""diffusers' models as denoisers: a pipeline, or a UNet with the scheduler that it was trained with."""

from pathlib import Path
from typing import Any

import numpy as np

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.pretrained.network import XHAT_0, Pretrained
from ddpm_dp.pretrained.scheduler import require_ddpm

# diffusers' variance types that mean something for a jump of any length, and what they are called here.
VARIANCE_OF = {
    "fixed_small": "posterior",
    "fixed_small_log": "posterior",
    "fixed_large": "beta",
    "learned_range": "learned",
}


def from_diffusers(
    model: Any, scheduler: Any = None, *, levels: int | None = 256, guidance: float | None = None
) -> Pretrained:
    """A diffusers model as a denoiser: a pixel `UNet2DModel` with a `DDPMScheduler` or `DDIMScheduler`.

    A UNet with num_class_embeds is class-conditional: its labels are 0..num_class_embeds - 1.

    The scheduler's `alphas_cumprod`, prediction_type, clip_sample (with its range) and variance_type become part of it.

    Args:
        model: a folder or hub id of a DDPMPipeline or DDIMPipeline, such a pipeline, or a `UNet2DModel`. Weights are
            read from .safetensors, or else from .bin with `weights_only=True`; no code that stands beside them is run.
        scheduler: beside a UNet, the scheduler that it was trained with; otherwise the pipeline's own if None.
        levels: grey levels of the training images, 256 for 8 bits; None for continuous data.
        guidance: w of classifier-free guidance, (1 + w) eps(labels) - w eps(none), for a UNet whose last label stands
            for none; images then have the labels before it. w is part of the model: see `Pretrained`.

    Raises ValueError for what cannot be priced honestly, with the reason: latent and text-conditional pipelines,
    schedulers that are not those of a DDPM (flow matching, EDM, ...), dynamic thresholding, unknown prediction or
    variance types.
    Raises OSError if nothing can be read there, ImportError without diffusers.

    With the hub at hand:

        model = from_diffusers("google/ddpm-cifar10-32").to("cuda")
        statistics = measure(model, images)
    """
    diffusers = _diffusers()
    if isinstance(model, (str, Path)):
        model = _read_pipeline(diffusers, str(model))
    unet = getattr(model, "unet", model)
    scheduler = getattr(model, "scheduler", None) if scheduler is None else scheduler
    extra = sorted(set(getattr(model, "components", {})) - {"unet", "scheduler"})
    _refuse_components(extra, type(unet).__name__, type(scheduler).__name__)
    noise, options = _read_scheduler(scheduler)
    config = unet.config
    if config.class_embed_type is not None:
        raise ValueError(
            f"This UNet embeds its labels by class_embed_type = {config.class_embed_type!r}; expected whole numbers of "
            "num_class_embeds classes (write it as a function of those and give that to `from_function`)."
        )
    classes = config.num_class_embeds
    if config.sample_size is None:
        raise ValueError("This UNet does not say its image size; call unet.register_to_config(sample_size=...) first.")
    size = (config.sample_size,) * 2 if isinstance(config.sample_size, int) else config.sample_size
    return Pretrained(
        lambda x, t, labels=None: unet(x, t, class_labels=labels, return_dict=False)[0],
        noise,
        (config.in_channels, *size),
        levels,
        time=lambda t: t - 1,
        settings="diffusers",
        module=unet,
        n_classes=classes - 1 if classes and guidance is not None else classes,  # the last is none of them
        guidance=guidance,
        **options,
    )


def _diffusers() -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise ImportError("diffusers is not installed here; run: pip install 'ddpm-dp[pretrained]'") from error
    return diffusers


def _read_pipeline(diffusers: Any, name: str) -> Any:
    """Read a pipeline, after a look at its index: only diffusers' own classes are ever built."""
    try:
        index = diffusers.DDPMPipeline.load_config(name)
        parts = {part: entry for part, entry in index.items() if isinstance(entry, (list, tuple))}
        unet, scheduler = (tuple(parts.pop(part, ("", "nothing"))) for part in ("unet", "scheduler"))
        foreign = next((library for library, _ in (unet, scheduler) if library not in ("diffusers", "")), None)
        if foreign:
            raise ValueError(f"{name} takes its classes from {foreign!r}, not diffusers; give the objects instead.")
        _refuse_components(sorted(part for part, entry in parts.items() if entry[0]), unet[1], scheduler[1])
        return diffusers.DDPMPipeline.from_pretrained(name, low_cpu_mem_usage=False)
    except OSError as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        hub = "" if Path(name).is_dir() else " (or the hub cannot be reached from here)"
        raise OSError(f"No diffusers pipeline could be read from {name!r}: {reason}{hub}.") from error


def _refuse_components(extra: list[str], unet: str, scheduler: str) -> None:
    """Raise ValueError, with the reason, for a pipeline whose pieces cannot be priced."""
    if extra:
        raise ValueError(
            f"This pipeline also has {', '.join(extra)}: it is latent or conditional, and its bound would not be one "
            "on images; expected a UNet2DModel on pixels and a scheduler, nothing else."
        )
    if unet != "UNet2DModel":
        raise ValueError(
            f"A {unet} was given as the network; expected a UNet2DModel (give any other network as a function eps(x_t, "
            "t) to `from_eps`)."
        )
    require_ddpm(scheduler)


def _read_scheduler(scheduler: Any) -> tuple[NoiseSchedule, dict[str, Any]]:
    """The noise schedule, and what the model's output means, from a DDPMScheduler or DDIMScheduler."""
    config = scheduler.config
    target = XHAT_0.named(config.prediction_type)
    if config.thresholding:
        raise ValueError(
            "Dynamic thresholding rescales each image by a quantile of itself and is not supported; build the "
            "scheduler with thresholding=False, and sample with it, too."
        )
    variance_type = config.get("variance_type", "fixed_small")  # a DDIMScheduler has none
    if variance_type not in VARIANCE_OF:
        raise ValueError(
            f"variance_type = {variance_type!r} has no meaning for a step of more than one timestep; expected one of "
            f"{', '.join(VARIANCE_OF)}."
        )
    noise = NoiseSchedule(np.concatenate([[1.0], scheduler.alphas_cumprod.cpu().double().numpy()]))
    clip = float(config.clip_sample_range) if config.clip_sample else None
    return noise, {"predicts": target.name, "clip": clip, "variance": VARIANCE_OF[variance_type]}

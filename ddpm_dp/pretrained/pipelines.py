"""diffusers' models as denoisers: a pipeline, or a UNet with the scheduler that it was trained with."""

from pathlib import Path
from typing import Any

from torch import nn

from ddpm_dp.pretrained.network import Pretrained
from ddpm_dp.pretrained.refusals import require_ddpm, require_known
from ddpm_dp.variances import FAMILIES


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
    from ddpm_dp.pretrained.scheduler import read_scheduler  # says so where diffusers is not installed

    if isinstance(model, (str, Path)):
        model = _read_pipeline(str(model))
    scheduler = getattr(model, "scheduler", None) if scheduler is None else scheduler
    _refuse_parts(sorted(set(getattr(model, "components", {})) - {"unet", "scheduler"}))
    said = read_scheduler(scheduler)
    unet = _bare(getattr(model, "unet", model))
    config = unet.config
    if config.class_embed_type is not None:
        raise ValueError(
            f"This UNet embeds its labels by class_embed_type = {config.class_embed_type!r}; expected whole numbers of "
            "num_class_embeds classes (write it as a function of those and give that to `from_function`)."
        )
    classes = config.num_class_embeds
    if config.sample_size is None:
        raise ValueError("This UNet does not say its image size; call unet.register_to_config(sample_size=...) first.")
    channels = config.in_channels * (2 if FAMILIES.named(said.variance).output else 1)
    if config.out_channels != channels:
        raise ValueError(
            f"This UNet takes {config.in_channels} channels and answers with {config.out_channels}; expected "
            f"{channels} for the variance of its scheduler ({said.variance}): either part of its input is a condition, "
            "which has no bound on images, or it was trained with another scheduler."
        )
    size = (config.sample_size,) * 2 if isinstance(config.sample_size, int) else config.sample_size
    return Pretrained(
        lambda x, t, labels=None: unet(x, t, class_labels=labels, return_dict=False)[0],
        said.noise,
        (config.in_channels, *size),
        levels,
        time=lambda t: t - 1,
        settings="diffusers",
        predicts=said.predicts,
        clip=said.clip,
        variance=said.variance,
        module=unet,
        n_classes=classes - 1 if classes and guidance is not None else classes,  # the last is none of them
        guidance=guidance,
    )


def _read_pipeline(name: str) -> Any:
    """Read a pipeline, after a look at its index: only diffusers' own classes and PathScheduler are ever built."""
    import diffusers

    import ddpm_dp

    try:
        index = diffusers.DDPMPipeline.load_config(name)
        parts = {part: entry for part, entry in index.items() if isinstance(entry, (list, tuple))}
        unet, (library, scheduler) = (parts.pop(part, ("diffusers", None)) for part in ("unet", "scheduler"))
        _refuse_parts(sorted(part for part, (library, _) in parts.items() if library))
        for foreign, known in ((unet[0], ("diffusers",)), (library, ("diffusers", "ddpm_dp"))):
            if foreign not in (*known, None):
                raise ValueError(f"{name} takes its classes from {foreign!r}, not diffusers; give the objects instead.")
        if scheduler:
            # By itself and first: where it is refused the weights need not be read.
            require_known(scheduler)
            kind = getattr(ddpm_dp if library == "ddpm_dp" else diffusers, scheduler)
            require_ddpm(kind.from_pretrained(name, subfolder="scheduler"))
        _require_unet(unet[1])
        return diffusers.DDPMPipeline.from_pretrained(name, low_cpu_mem_usage=False)
    except OSError as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        hub = "" if Path(name).is_dir() else " (or the hub cannot be reached from here)"
        raise OSError(f"No diffusers pipeline could be read from {name!r}: {reason}{hub}.") from error


def _refuse_parts(extra: list[str]) -> None:
    """Raise ValueError for a pipeline that has more than a network and a scheduler."""
    if extra:
        raise ValueError(
            f"This pipeline also has {', '.join(extra)}: its network works on latents, with a condition or on no "
            "images at all, and has no bound on images; expected a UNet2DModel on pixels and a scheduler, nothing else."
        )


def _require_unet(name: str | None) -> None:
    """Raise ValueError for the name of another network's class."""
    if name != "UNet2DModel":
        raise ValueError(
            f"{f'A {name}' if name else 'Nothing'} was given as the network; expected a UNet2DModel (give any other "
            "network as a function eps(x_t, t) to `from_function`)."
        )


def _bare(network: Any) -> Any:
    """The UNet2DModel inside what torch wraps around it: compiled, parallel, averaged; the weights are the same.

    Raises ValueError for other networks, and for an EMAModel, which has weights but no network.
    """
    from diffusers import UNet2DModel
    from diffusers.training_utils import EMAModel

    if isinstance(network, EMAModel):
        raise ValueError(
            "An EMAModel was given, which holds averaged weights and no network; call ema.copy_to(unet.parameters()), "
            "and give the UNet."
        )
    inner = network
    while not isinstance(inner, UNet2DModel):
        found = (getattr(inner, name, None) for name in ("_orig_mod", "module"))  # torch.compile's, and the others'
        inner = next((each for each in found if isinstance(each, nn.Module)), None)
        if inner is None:
            _require_unet(type(network).__name__)
    return inner

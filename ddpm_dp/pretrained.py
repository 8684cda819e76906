"""Models that others trained, as denoisers; and the timesteps chosen for them, in the form their own samplers take.

| what you have                            | in                        | out                                       |
|------------------------------------------|---------------------------|-------------------------------------------|
| diffusers: pipeline, or UNet + scheduler | `from_diffusers`          | `to_diffusers` (a list), `path_scheduler` |
| a checkpoint of OpenAI's improved- or    | `from_improved_diffusion` | `to_improved_diffusion` (a set)           |
| guided-diffusion                         |                           |                                           |
| any function eps(x_t, t)                 | `from_eps`                | the path itself                           |

Both libraries count timesteps 0..T-1: their t is ours minus 1. diffusers is imported only where it is needed.
"""

import copy
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_dp.denoisers import Denoiser, Prediction
from ddpm_dp.files import fingerprint
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.paths import as_path

# What a network can be trained to predict, and xhat_0 from its output y (v: Salimans & Ho 2022, v = alpha eps - sigma
# x_0). diffusers' names.
XHAT_0 = {
    "epsilon": lambda y, x_t, alpha, sigma: (x_t - sigma * y) / alpha,
    "sample": lambda y, x_t, alpha, sigma: y,
    "v_prediction": lambda y, x_t, alpha, sigma: alpha * x_t - sigma * y,
}

# diffusers' variance types that mean something for a jump of any length, and what they are called here.
VARIANCE_OF = {
    "fixed_small": "posterior",
    "fixed_small_log": "posterior",
    "fixed_large": "beta",
    "learned_range": "learned",
}


class Pretrained(Denoiser):
    """A network that others trained: y = network(x_t, time(t)), read as eps, x_0 or v; made by the functions below.

    A network with a learned variance answers with twice the channels. The second half y2, trained to lie in [-1, 1],
    gives v = (y2 + 1) / 2 (Nichol & Dhariwal 2021, eq. 15), not clipped, as in their code and in diffusers.

    Attributes beside those of `Denoiser`: `variance`, the reverse variance of the model's own sampler ("posterior",
    "beta" or "learned"): price with it what you will sample there.
    """

    def __init__(
        self,
        network: Callable[[Tensor, Tensor], Tensor],
        noise: NoiseSchedule,
        shape,
        levels: int | None,
        *,
        time: Callable[[Tensor], Tensor],
        settings: str,  # names, for the id, what the weights do not tell
        predicts: str = "epsilon",
        clip: float | None = 1.0,
        variance: str = "posterior",
        module: nn.Module | None = None,
        device="cpu",
    ):
        if predicts == "epsilon" and noise.abar[-1] == 0:
            raise ValueError(
                "A model that predicts epsilon has no xhat_0 at a terminal SNR of 0, where x_T is noise alone; "
                "expected prediction_type 'sample' or 'v_prediction', or a schedule that is not rescaled."
            )
        self.network, self.noise, self.shape, self.levels = network, noise, tuple(shape), levels
        self.time, self.predicts, self.clip, self.variance = time, predicts, clip, variance
        self.second = "v" if variance == "learned" else None
        self._module = module and module.eval()
        self._device = torch.device(device)
        self._settings = np.array(f"{settings} {predicts} {clip} {self.second}")
        first = next(module.parameters(), None) if module else None
        self._input = torch.float32 if first is None else first.dtype  # a 16-bit network is fed 16 bits, no one else
        self.dtype = torch.promote_types(self._input, torch.float32)

    @property
    def device(self) -> torch.device:
        first = next(self._module.parameters(), None) if self._module else None
        return self._device if first is None else first.device

    def to(self, device) -> "Pretrained":
        """Move the network. Raises ValueError for a plain function, which lives where it lives."""
        if self._module is None:
            raise ValueError("A plain function cannot be moved; give its device to `from_eps`.")
        self._module.to(device)
        return self

    @property
    def id(self) -> str:
        weights = sorted(self._module.state_dict().items()) if self._module else []
        return fingerprint(self.noise.abar, self._settings, *(w.detach().float().cpu().numpy() for _, w in weights))

    def images(self, images) -> Tensor:
        """As `Denoiser.images`, and refuses values beyond the range to which xhat_0 is clipped."""
        checked = super().images(images)
        if self.clip is not None and checked.abs().max() > self.clip + 1e-3:
            raise ValueError(
                f"Values from {checked.min():.4g} to {checked.max():.4g} were given, but this model clips x_0 to "
                f"[-{self.clip:g}, {self.clip:g}]; scale them as its training images were."
            )
        return checked

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        y = self.network(x_t.to(self._input), self.time(t)).to(self.dtype)
        channels = self.shape[0] * (2 if self.second else 1)
        if y.shape != (len(x_t), channels, *self.shape[1:]):
            raise ValueError(
                f"The network answered x_t of shape {tuple(x_t.shape)} with shape {tuple(y.shape)}; expected "
                f"{channels} channels for a {'learned' if self.second else 'fixed'} variance: check the model's flags."
            )
        y, *second = y.split(self.shape[0], dim=1)
        alpha, sigma = (
            torch.as_tensor(values, dtype=self.dtype, device=x_t.device)[t].view(-1, *[1] * len(self.shape))
            for values in (self.noise.alpha, self.noise.sigma)
        )
        x0 = XHAT_0[self.predicts](y, x_t, alpha, sigma)
        if self.clip is not None:
            x0 = x0.clamp(-self.clip, self.clip)
        return Prediction(x0, v=(second[0] + 1) / 2 if second else None)


def from_diffusers(model, scheduler=None, *, levels: int | None = 256) -> Pretrained:
    """A diffusers model as a denoiser: an unconditional pixel `UNet2DModel` with a `DDPMScheduler` or `DDIMScheduler`.

    The scheduler's `alphas_cumprod`, prediction_type, clip_sample (with its range) and variance_type become part of it.

    Args:
        model: a folder or hub id of a DDPMPipeline or DDIMPipeline, such a pipeline, or a `UNet2DModel`. Weights are
            read from .safetensors, or else from .bin with `weights_only=True`; no code that stands beside them is run.
        scheduler: beside a UNet, the scheduler that it was trained with; otherwise the pipeline's own if None.
        levels: grey levels of the training images, 256 for 8 bits; None for continuous data.

    Raises ValueError for what cannot be priced honestly, with the reason: latent and conditional pipelines, schedulers
    that are not those of a DDPM (flow matching, EDM, ...), dynamic thresholding, unknown prediction or variance types.
    Raises OSError if nothing can be read there, ImportError without diffusers.

    >>> model = from_diffusers("google/ddpm-cifar10-32").to("cuda")  # doctest: +SKIP
    >>> stats = measure(model, images)  # doctest: +SKIP
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
    if config.class_embed_type is not None or config.num_class_embeds is not None:
        raise ValueError("This UNet needs a class label; bind one in a function eps(x_t, t) and give it to `from_eps`.")
    if config.sample_size is None:
        raise ValueError("This UNet does not say its image size; call unet.register_to_config(sample_size=...) first.")
    size = (config.sample_size,) * 2 if isinstance(config.sample_size, int) else config.sample_size
    return Pretrained(
        lambda x, t: unet(x, t, return_dict=False)[0],
        noise,
        (config.in_channels, *size),
        levels,
        time=lambda t: t - 1,
        settings="diffusers",
        module=unet,
        **options,
    )


def _diffusers():
    try:
        import diffusers
    except ImportError as error:
        raise ImportError("diffusers is not installed here; run: pip install 'ddpm-dp[pretrained]'") from error
    return diffusers


def _read_pipeline(diffusers, name: str):
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
    if not scheduler.startswith(("DDPMScheduler", "DDIMScheduler")):
        raise ValueError(_why_not(scheduler))


def _why_not(scheduler: str) -> str:
    """Why a scheduler of that class cannot be read, in one sentence."""
    if scheduler == "NoneType":
        return "A UNet was given without its scheduler; give the DDPMScheduler that it was trained with, too."
    if "FlowM" in scheduler:
        return (
            f"A {scheduler} interpolates x_t = (1 - u) x_0 + u eps, which is not variance-preserving, and its network "
            "predicts a velocity: there are no DDPM timesteps to choose from."
        )
    if "EDM" in scheduler or "SdeVe" in scheduler or "Consistency" in scheduler:
        return (
            f"A {scheduler} counts noise levels sigma, not timesteps of a variance-preserving DDPM; write its network "
            "as eps(x_t, t) on a grid of your choice and give that to `from_eps`."
        )
    return (
        f"A {scheduler} is a sampler, and does not say all of how the model was trained; give "
        "DDPMScheduler.from_config(scheduler.config), and check its clip_sample."
    )


def _read_scheduler(scheduler) -> tuple[NoiseSchedule, dict]:
    """The noise schedule, and what the model's output means, from a DDPMScheduler or DDIMScheduler."""
    config = scheduler.config
    if config.prediction_type not in XHAT_0:
        raise ValueError(
            f"prediction_type = {config.prediction_type!r} is not known; expected one of {', '.join(XHAT_0)}."
        )
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
    return noise, {"predicts": config.prediction_type, "clip": clip, "variance": VARIANCE_OF[variance_type]}


FLAGS = ("image_size", "learn_sigma", "predict_xstart", "noise_schedule", "diffusion_steps", "rescale_timesteps")


def from_improved_diffusion(network: nn.Module, weights, flags: dict, *, levels: int | None = 256) -> Pretrained:
    """A checkpoint of OpenAI's improved-diffusion or guided-diffusion as a denoiser. Build the UNet with their code.

    Their timestep is ours minus 1, times 1000 / T with rescale_timesteps; xhat_0 is clipped to [-1, 1], their default.

    Args:
        network: their UNet, (x_t, timesteps) -> eps or x_0, and the variance where it is learned.
        weights: the checkpoint, a .pt file (read with `weights_only=True`) or a state dict; better the averaged one,
            ema_*.pt.
        flags: the options it was trained with, as in their `model_and_diffusion_defaults()`: image_size, learn_sigma,
            predict_xstart, noise_schedule, diffusion_steps, rescale_timesteps, and sigma_small if it was set. They
            must all be there: the two repositories' defaults differ.
        levels: grey levels of the training images.

    Raises ValueError for flags that are missing or cannot be priced, weights that do not fit the network, or a file
    that holds more than weights; FileNotFoundError if there is no such file.

    >>> flags = model_and_diffusion_defaults() | dict(learn_sigma=True, noise_schedule="cosine")  # doctest: +SKIP
    >>> model = from_improved_diffusion(unet, "ema_0.9999_500000.pt", flags)  # doctest: +SKIP
    """
    missing = [flag for flag in FLAGS if flag not in flags]
    if missing:
        raise ValueError(f"flags lack {', '.join(missing)}; give all of {', '.join(FLAGS)}, as it was trained with.")
    schedules = {"linear": NoiseSchedule.linear, "cosine": NoiseSchedule.cosine}
    if flags["noise_schedule"] not in schedules:
        raise ValueError(f"noise_schedule = {flags['noise_schedule']!r} is not known; expected linear or cosine.")
    if flags.get("class_cond"):
        raise ValueError("class_cond: this UNet needs a class label; bind one in a function and give it to `from_eps`.")
    if flags.get("timestep_respacing"):
        raise ValueError("timestep_respacing is a choice of timesteps, which is what is sought here; leave it empty.")
    _load_weights(network, weights)
    noise = schedules[flags["noise_schedule"]](flags["diffusion_steps"])
    scale = 1000 / noise.T if flags["rescale_timesteps"] else None
    fixed = "posterior" if flags.get("sigma_small") else "beta"
    return Pretrained(
        network,
        noise,
        (getattr(network, "in_channels", 3), *[flags["image_size"]] * 2),
        levels,
        time=lambda t: t - 1 if scale is None else (t - 1).float() * scale,
        settings=f"improved-diffusion {scale}",
        predicts="sample" if flags["predict_xstart"] else "epsilon",
        variance="learned" if flags["learn_sigma"] else fixed,
        module=network,
    )


def _load_weights(network: nn.Module, weights) -> None:
    if isinstance(weights, (str, Path)):
        try:
            weights = torch.load(weights, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
            raise ValueError(
                f"{weights} is not a whole file of weights alone, and nothing else is read; give a state dict."
            ) from error
    try:
        network.load_state_dict(weights)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = str(error).strip().split("\n")[-1].strip().rstrip(".")
        raise ValueError(f"The weights do not fit the network; check its flags ({reason[:200]}).") from error


def from_eps(
    eps: Callable[[Tensor, Tensor], Tensor],
    noise: NoiseSchedule,
    shape: tuple[int, ...],
    *,
    levels: int | None = 256,
    clip: float | None = 1.0,
    id: str | None = None,
    device="cpu",
) -> Pretrained:
    """Any function that predicts the noise, as a denoiser: xhat_0 = (x_t - sigma_t eps(x_t, t)) / alpha_t.

    Args:
        eps: (x_t, t) -> eps of x_t's shape, with x_t (batch, *shape) float32 and t (batch,) whole timesteps 1..T.
            Subtract 1 yourself if the network counts from 0.
        noise: the schedule that it was trained with.
        shape: of one image, channels first.
        levels: grey levels; None for continuous data.
        clip: xhat_0 is clipped to [-clip, clip]; None: it is not. As in your sampler.
        id: a name that changes when the answers do. Not needed if `eps` is a torch Module: its weights name it.
        device: where a plain function wants x_t.

    Raises ValueError without an id for a plain function, or for a schedule with a terminal SNR of 0.

    >>> model = from_eps(lambda x, t: net(x, t - 1), NoiseSchedule.linear(), (3, 32, 32), id="run 7")  # doctest: +SKIP
    """
    module = eps if isinstance(eps, nn.Module) else None
    if module is None and not id:
        raise ValueError("A plain function has no weights to tell it apart by; give it an id, such as id='run 7'.")
    settings = f"eps {id or ''}"
    return Pretrained(
        eps, noise, shape, levels, time=lambda t: t, settings=settings, clip=clip, module=module, device=device
    )


def to_diffusers(path) -> list[int]:
    """A path as diffusers takes it: descending and counted from 0, [0, t_1, ..., T] -> [T - 1, ..., t_1 - 1].

    For schedulers with `set_timesteps(timesteps=...)`. `DDPMScheduler` is right at every jump, but for one: if t_1 > 1,
    its last step adds noise to xhat_0, with fixed_large as much as x_{t_1} had, sigma_{t_1}; with fixed_small none to
    speak of. `path_scheduler` adds none, and serves DDIMScheduler and pipelines, which take no such list.

    Raises ValueError if it is not a path.

    >>> to_diffusers([0, 3, 10, 1000])
    [999, 9, 2]
    """
    return (_ending_where_it_ends(path)[:0:-1] - 1).tolist()


def to_improved_diffusion(path) -> set[int]:
    """A path as improved- and guided-diffusion take it, the `use_timesteps` of their `SpacedDiffusion`, counted from 0.

    Raises ValueError if it is not a path.

    >>> sorted(to_improved_diffusion([0, 3, 10, 1000]))
    [2, 9, 999]
    """
    return set(to_diffusers(path))


def _ending_where_it_ends(path) -> np.ndarray:
    """Check a path whose T is not known: it is its last entry."""
    return as_path(path, int(np.ravel(path)[-1]) if np.size(path) else 0)


def path_scheduler(scheduler, path):
    """A copy of a DDPMScheduler or DDIMScheduler that walks this path in any pipeline: `pipeline.scheduler = ...`.

    Then `pipeline(num_inference_steps=K)` takes the path's K steps, and its last step returns xhat_0. DDIMScheduler's
    own arithmetic takes every step to be T // K long; here each is as long as in the path. With clip_sample, DDIM
    equals `ddpm_dp.ddim` where the pipeline is called with use_clipped_model_output=True.

    Raises ValueError if it is not a path to the scheduler's T, for other schedulers, or, when the pipeline is called,
    for another number of steps. Set it on the built pipeline: DDIMPipeline's constructor replaces its scheduler.

    >>> pipeline.scheduler = path_scheduler(pipeline.scheduler, best.path(32))  # doctest: +SKIP
    >>> images = pipeline(num_inference_steps=32).images  # doctest: +SKIP
    """
    base = type(scheduler)
    if not base.__name__.startswith(("DDPMScheduler", "DDIMScheduler")):
        raise ValueError(_why_not(base.__name__))
    timesteps = to_diffusers(as_path(path, scheduler.config.num_train_timesteps))
    on_path = copy.deepcopy(scheduler)  # from_config would forget what was given to it without a keyword
    on_path.__class__ = type(f"{base.__name__}OnPath", (_OnPath, base), {})
    on_path.chosen = timesteps
    on_path.set_timesteps()
    return on_path


class _OnPath:
    """What `path_scheduler` puts in front of a scheduler's class."""

    chosen: list[int]

    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None):
        K = len(self.chosen)
        if num_inference_steps not in (None, K) or timesteps not in (None, self.chosen):
            raise ValueError(f"This scheduler walks one path, of {K} steps; call it with num_inference_steps={K}.")
        self.timesteps = torch.tensor(self.chosen, device=device)
        self.num_inference_steps = K
        self.custom_timesteps = True  # DDPMScheduler then looks the next timestep up in the list

    def step(self, model_output, timestep, sample, *args, return_dict: bool = True, **kwargs):
        t, T, K = int(timestep), self.config.num_train_timesteps, len(self.chosen)
        following = [*self.chosen[1:], -1][self.chosen.index(t)]
        # DDIMScheduler goes from t to t - T // num_inference_steps; this "number" makes that the path's next timestep.
        self.num_inference_steps = Fraction(T, t - following)
        result = super().step(model_output, t, sample, *args, return_dict=True, **kwargs)
        self.num_inference_steps = K
        if following < 0:
            result.prev_sample = result.pred_original_sample  # no noise on the image, whatever the variance type
        return result if return_dict else (result.prev_sample, result.pred_original_sample)

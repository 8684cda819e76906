"""A scheduler of diffusers' own kind that walks a chosen path, and is saved and loaded with its pipeline."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ddpm_dp.files import schema
from ddpm_dp.models.files import FLOATS, Sealed, save_sealed
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.paths import as_path, to_diffusers
from ddpm_dp.pretrained.network import XHAT_0, Pretrained
from ddpm_dp.pretrained.refusals import require_ddpm
from ddpm_dp.sampling import ancestral_step, ddim_step
from ddpm_dp.statistics import Cells, DenoisingStatistics
from ddpm_dp.variances import FAMILIES

try:
    from diffusers import ConfigMixin, DDIMScheduler, SchedulerMixin
    from diffusers.configuration_utils import register_to_config
    from diffusers.schedulers.scheduling_ddpm import DDPMSchedulerOutput
    from diffusers.utils.torch_utils import randn_tensor
except ImportError as error:
    raise ImportError("diffusers is not installed here; run: pip install 'ddpm-dp[pretrained]'") from error

NUMBERS = "path_scheduler.safetensors"  # stands beside scheduler_config.json where a family is fitted
KIND, FORMAT = "ddpm_dp_path_scheduler", 2

# diffusers' variance types that mean something for a jump of any length, and what they are called here.
VARIANCE_OF = {
    "fixed_small": "posterior",
    "fixed_small_log": "posterior",
    "fixed_large": "beta",
    "learned_range": "learned",
}


class Settings(NamedTuple):
    """What a scheduler says of the model, under the names of `Pretrained`; and the variance it walks with by itself."""

    noise: NoiseSchedule
    predicts: str
    clip: float | None
    variance: str
    walks: str | None  # None: DDIM
    cells: Cells | None = None  # what is fitted of that


class PathScheduler(SchedulerMixin, ConfigMixin):
    """Walks one path in any pipeline that takes a DDPMScheduler or DDIMScheduler; `path_scheduler` makes it.

    Each step is that of `ddpm_dp.sample` with the same noise, or of `ddpm_dp.ddim`, and the last returns xhat_0.

    `save_pretrained` and `from_pretrained` work, alone and with the pipeline. Whoever loads has ddpm_dp installed, and
    imports it first, since diffusers imports no library because a file names it:

        import ddpm_dp
        pipeline = DDPMPipeline.from_pretrained("folder")
        images = pipeline(num_inference_steps=8).images

    Load with DDPMPipeline what a DDIMPipeline has saved: the latter's constructor replaces every scheduler by a
    DDIMScheduler, whose steps are even, and stops with an error here. From the hub, diffusers (0.42) takes no pipeline
    that names a class of another library: load the folder that `huggingface_hub.snapshot_download(id)` gives.

    Args:
        path: [0, t_1, ..., T].
        abar: abar_0, ..., abar_T, the model's noise schedule.
        variance: the reverse variance to walk with, one of `ddpm_dp.variances.FAMILIES`; None for DDIM, which adds no
            noise.
        prediction_type: what the network predicts, in diffusers' words.
        clip_sample_range: xhat_0 is clipped to [-clip_sample_range, clip_sample_range]; None: it is not.
        model_variance: the reverse variance of the model's own sampler, `Pretrained.variance`: with "learned", the
            network answers with twice the channels.
        cells: for a fitted variance, what was fitted (`ReverseVariance.fitted_cells`). Not in scheduler_config.json but
            in path_scheduler.safetensors, at the path's timesteps.

    Raises ValueError for a wrong path, schedule, name or range, a variance that needs a second output of the network
    that it has not, and a fitted variance without `cells`.
    """

    # diffusers leaves out, without a warning, those of our settings that only these have: the two made up below.
    _compatibles = ["DDPMScheduler"]
    ignore_for_config = ["cells"]
    order = 1
    init_noise_sigma = 1.0

    @register_to_config
    def __init__(
        self,
        path: list[int],
        abar: list[float],
        variance: str | None = "posterior",
        prediction_type: str = "epsilon",
        clip_sample_range: float | None = 1.0,
        model_variance: str = "posterior",
        cells: Cells | None = None,
    ):
        self.noise = NoiseSchedule(np.asarray(abar, np.float64))
        self.path = as_path(path, self.noise.T)
        XHAT_0.named(prediction_type)
        second = FAMILIES.named(model_variance).output
        if clip_sample_range is not None and not (np.isreal(clip_sample_range) and clip_sample_range > 0):
            raise ValueError(
                f"clip_sample_range = {clip_sample_range!r}; expected a number above 0, or None for none at all."
            )
        family = None if variance is None else FAMILIES.named(variance).reading(second)
        if family and family.output not in (None, second):
            raise ValueError(
                f"variance = {variance!r} reads a second output {family.output} of the network, which this model does "
                "not have; take another family."
            )
        if family and family.fitted and cells is None:
            raise ValueError(
                f"variance = {variance!r} was asked for without the numbers that were fitted; make it with "
                "path_scheduler(model, path, variance, statistics), or load the folder with from_pretrained."
            )
        self.cells = None if cells is None else _at_path(cells, self.path)
        self.register_to_config(
            path=self.path.tolist(),
            abar=self.noise.abar.tolist(),
            num_train_timesteps=self.noise.T,  # many a library asks a scheduler for it
            # Another class's `from_config` would take the defaults for what is not here, and walk even steps without a
            # word; so it finds this instead, and says it.
            beta_schedule="a PathScheduler's path (load its pipeline with DDPMPipeline, then set others by themselves)",
        )
        self.set_timesteps()

    def __len__(self) -> int:
        return self.noise.T

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None, timesteps: Any = None) -> None:
        """Called by pipelines. Raises ValueError for another number of steps, or other timesteps, than the path's."""
        K, chosen = len(self.path) - 1, to_diffusers(self.path)
        if num_inference_steps not in (None, K) or (timesteps is not None and [*map(int, timesteps)] != chosen):
            raise ValueError(f"This scheduler walks one path, of {K} steps; call it with num_inference_steps={K}.")
        self.num_inference_steps = K
        self.timesteps = torch.tensor(chosen, device=device)

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """x_t as the network takes it: unchanged."""
        return sample

    @torch.no_grad()
    def step(
        self,
        model_output: Tensor,
        timestep: Any,
        sample: Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool | None = None,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any:
        """x_s from x_t and the network's answer there; s is the path's next timestep, `timestep` is t - 1.

        `use_clipped_model_output` changes nothing: DDIM's eps_hat is always that of the clipped xhat_0, as in
        `ddpm_dp.ddim`. Raises ValueError for a timestep that is not on the path, or an `eta` other than 0: the noise is
        that of the scheduler's variance.
        """
        t, shape = int(timestep) + 1, tuple(sample.shape[1:])
        if t == 0 or t not in self.path:
            raise ValueError(
                f"Timestep {t - 1} is not on this scheduler's path; expected one of its `timesteps`, "
                f"{', '.join(map(str, to_diffusers(self.path)))}."
            )
        if eta:
            raise ValueError(
                f"eta = {eta} was given, but how much noise a step adds is said by the PathScheduler's variance; leave "
                "eta at 0."
            )
        s = int(self.path[np.searchsorted(self.path, t) - 1])
        x_t = sample.to(torch.promote_types(sample.dtype, torch.float32))
        # The answer is read by the very code that read it when it was priced.
        denoiser = Pretrained(
            lambda *_: model_output,
            self.noise,
            shape,
            levels=None,
            time=lambda t: t,
            settings="",
            predicts=self.config["prediction_type"],
            clip=self.config["clip_sample_range"],
            variance=self.config["model_variance"],
        )
        denoiser.dtype = x_t.dtype
        prediction = denoiser.at(x_t, t)
        if self.config["variance"] is None:
            walk = ddim_step(self.noise)
        else:
            family = FAMILIES.named(self.config["variance"]).reading(denoiser.second)
            walk = ancestral_step(self.noise, shape, family, self.cells)
        draw = partial(randn_tensor, sample.shape, generator=generator, device=sample.device, dtype=sample.dtype)
        x_s = walk(t, s, x_t, prediction, draw).to(sample.dtype)
        x_0 = prediction.x0.to(sample.dtype)
        return DDPMSchedulerOutput(prev_sample=x_s, pred_original_sample=x_0) if return_dict else (x_s, x_0)

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write scheduler_config.json into a folder and, for a fitted variance, its numbers beside it."""
        if self.cells is not None:
            _write(Path(save_directory) / NUMBERS, self.cells, self.path)
        SchedulerMixin.save_pretrained(self, save_directory, push_to_hub=push_to_hub, **kwargs)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path | None = None,
        subfolder: str | None = None,
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Read what `save_pretrained` wrote: a folder or a hub id. Nothing in it can run code.

        Raises OSError if there is nothing to read, ValueError if it is damaged or of another scheduler.
        """
        name = str(pretrained_model_name_or_path)
        config, unused = cls.load_config(name, subfolder=subfolder, return_unused_kwargs=True, **kwargs)
        settings = cls.extract_init_dict(dict(config))[0]
        if missing := {"path", "abar"} - settings.keys():
            raise ValueError(
                f"{name} holds a {config.get('_class_name', 'scheduler')} without {' and '.join(sorted(missing))}; "
                "expected a saved PathScheduler."
            )
        variance = settings.get("variance", "posterior")
        if variance is not None and FAMILIES.named(variance).fitted:
            settings["cells"] = _read(_numbers(name, subfolder, **kwargs), settings["path"], len(settings["abar"]))
        scheduler = cls(**settings)
        return (scheduler, unused) if return_unused_kwargs else scheduler


# diffusers writes into model_index.json where a class stands, and looks it up there among the modules that are imported
# already. `import ddpm_dp` must be enough for that; and what was saved stays right where this file is moved.
PathScheduler.__module__ = "ddpm_dp"


def path_scheduler(
    model: Any, path: ArrayLike, variance: str | None = None, statistics: DenoisingStatistics | None = None
) -> PathScheduler:
    """The `PathScheduler` that walks this path with this model: `pipeline.scheduler = path_scheduler(...)`.

    Then `pipeline(num_inference_steps=K)` takes the path's K steps, and its last step returns xhat_0. Set it on the
    built pipeline: DDIMPipeline's constructor replaces its scheduler.

    Args:
        model: what `from_diffusers` gave, or the pipeline's DDPMScheduler, DDIMScheduler or PathScheduler.
        path: [0, t_1, ..., T].
        variance: the reverse variance to walk with, the one that the path was searched with; None: as the model samples
            by itself (from a DDIMScheduler: DDIM).
        statistics: for a fitted variance (`analytic`, `calibrated`, `local`, `spectral`) the training statistics.

    Raises ValueError if it is not a path to the model's T, for schedulers that are not those of a DDPM, a fitted
    variance without statistics, statistics of another model, or a bare scheduler with statistics: it does not know the
    weights.

    >>> from diffusers import DDPMScheduler
    >>> path_scheduler(DDPMScheduler(num_train_timesteps=10), [0, 3, 10]).timesteps
    tensor([9, 2])

    For a pipeline:

        model = from_diffusers(pipeline)
        pipeline.scheduler = path_scheduler(model, best.path(8), "spectral", statistics)
        images = pipeline(num_inference_steps=8).images
        pipeline.save_pretrained("folder")
    """
    known = isinstance(model, Pretrained)
    said = model if known else read_scheduler(model)
    own = model.variance if known else said.walks
    if statistics is not None and not known:
        raise ValueError(
            f"A {type(model).__name__} was given with statistics, but only the network's weights tell whether they "
            "belong together; give what from_diffusers made of the pipeline."
        )
    walks = own if variance is None else variance
    cells = None if known or walks != own else said.cells
    if cells is not None and not np.isin(path, model.path).all():
        raise ValueError(
            "This PathScheduler has the fitted numbers of its own path alone; give what from_diffusers made of the "
            "pipeline, the variance and the training statistics."
        )
    if walks is not None and cells is None:
        family = FAMILIES.named(walks).reading(FAMILIES.named(said.variance).output)
        cells = family.fitted_cells(statistics, model.id if known else "")
    return PathScheduler(
        path,
        said.noise.abar,
        variance=walks,
        prediction_type=said.predicts,
        clip_sample_range=said.clip,
        model_variance=said.variance,
        cells=cells,
    )


def read_scheduler(scheduler: Any) -> Settings:
    """What a DDPMScheduler, DDIMScheduler or PathScheduler says of the model.

    Raises ValueError, with the reason and what to do, for another scheduler, or for settings that cannot be priced.
    """
    require_ddpm(scheduler)
    config = scheduler.config
    if isinstance(scheduler, PathScheduler):
        predicts, clip, own = (config[name] for name in ("prediction_type", "clip_sample_range", "model_variance"))
        return Settings(scheduler.noise, predicts, clip, own, config["variance"], scheduler.cells)
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
    variance = VARIANCE_OF[variance_type]
    return Settings(noise, target.name, clip, variance, None if isinstance(scheduler, DDIMScheduler) else variance)


def _at_path(cells: Cells, path: np.ndarray) -> Cells:
    """Cells with nothing but what a sampler needs of them: what was fitted, at the path's timesteps."""
    on_path = np.isin(np.arange(len(cells.mass)), path[1:])
    nothing = np.zeros_like(cells.mass)

    def kept(values: np.ndarray) -> np.ndarray:
        return np.where(on_path.reshape(-1, *[1] * (values.ndim - 1)), values, np.zeros_like(values))

    rows = {name: kept(values) for name, values in _rows(cells).items()}
    maps = {name: rows.pop(name) for name in cells.maps}
    return Cells(cells.name, nothing, nothing, output=cells.output, basis=cells.basis, maps=maps, **rows)


def _rows(cells: Cells) -> dict[str, np.ndarray]:
    """The arrays over t that a sampler needs of cells, by name."""
    rows = {name: getattr(cells, name) for name in ("fitted", "low", "high")}
    return {name: values for name, values in (rows | dict(cells.maps)).items() if values is not None}


def _write(file: Path, cells: Cells, path: np.ndarray) -> None:
    """Write cells at the path's timesteps, whole or not at all."""
    tensors = {name: torch.from_numpy(values[path[1:]].copy()) for name, values in _rows(cells).items()}
    tensors["timesteps"] = torch.from_numpy(path[1:].copy())
    about = {"cells": cells.name, "output": cells.output, "basis": cells.basis, "maps": [*cells.maps]}
    save_sealed(file, tensors, KIND, {"format": FORMAT, "about": about})


def _read(file: Path, path: ArrayLike, entries: int) -> Cells:
    """Read what `_write` wrote for this path, T + 1 = `entries`. Raises OSError or ValueError."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing, which holds the fitted numbers; copy the whole folder.")
    try:
        opened = Sealed(file, KIND, FORMAT, (*FLOATS, "I16", "I64"))  # cells have whole numbers, too
        tensors, about = opened.tensors(), schema.typed(opened.header, "about", dict[str, Any])
        timesteps = tensors.pop("timesteps").numpy()
    except (ValueError, KeyError) as error:
        raise ValueError(f"{file} is not a whole file of fitted numbers ({error}); copy or make it again.") from error
    if not np.array_equal(timesteps, on_path := np.asarray(path)[1:]):
        raise ValueError(f"{file} was fitted for another path than scheduler_config.json has; copy both again.")
    rows = {}
    for name, tensor in tensors.items():
        rows[name] = np.zeros((entries, *tensor.shape[1:]), tensor.numpy().dtype)
        rows[name][on_path] = tensor.numpy()
    maps = {name: rows.pop(name) for name in about["maps"]}
    nothing = np.zeros_like(rows["fitted"])
    return Cells(about["cells"], nothing, nothing, output=about["output"], basis=about["basis"], maps=maps, **rows)


def _numbers(name: str, subfolder: str | None, **kwargs: Any) -> Path:
    """Where the file of fitted numbers is, beside the configuration that diffusers has found: a folder, or the hub."""
    if Path(name).is_dir():
        inside = Path(name) / (subfolder or "")
        return (inside if (inside / PathScheduler.config_name).is_file() else Path(name)) / NUMBERS
    from huggingface_hub import hf_hub_download

    known = ("cache_dir", "force_download", "token", "revision", "local_files_only")
    options = {option: kwargs[option] for option in known if option in kwargs}
    return Path(hf_hub_download(name, NUMBERS, subfolder=subfolder, **options))

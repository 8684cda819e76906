"""A timestep path [0, t_1, ..., T]: the check that every function asks for, its file, and other libraries' forms.

The paths file is JSON, one object, to publish beside a model; any program can read it. Format 4:

| key | holds |
|---|---|
| `ddpm_dp_paths` | 4, the format |
| `T` | how many timesteps the model was trained with |
| `variance` | the family of reverse variances that the paths were chosen for |
| `objective` | what they minimise, in words |
| `decoder`, `decoder_words` | the decoder's name, and its convention in words: a bits/dim means nothing without it |
| `model_id`, `data_id` | SHA-256 of the model (weights, noise schedule, settings) and of the images chosen on |
| `shape`, `levels` | of one image, channels first; its grey levels, null for continuous data |
| `images`, `held_out_images` | how many images the paths were chosen on, and how many others priced them (null: none) |
| `bits_per_dim` | {K: negative ELBO on the images chosen on, in bits/dim} |
| `held_out` | {K: [the same on held-out images, its standard error]}; {} if none were measured |
| `paths` | {K: [0, t_1, ..., T]}, K + 1 timesteps, ascending; diffusers counts from 0, so its t is t - 1 |
| `sigmas` | {K: [sigma_T / alpha_T, ..., 0]}, descending, the same path as K + 1 noise levels; {} if alpha_T = 0 |

Keys K are decimal strings, as JSON wants. Format 3, which still loads, lacked `shape`, `levels`, `images`,
`held_out_images` and `sigmas`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ddpm_dp.files import write_whole

if TYPE_CHECKING:
    from ddpm_dp.noise import NoiseSchedule

FORMAT = 4


def as_path(path: ArrayLike, T: int) -> np.ndarray:
    """Check a timestep path [0, t_1, ..., T] and return it as integers; every function that takes one asks here.

    Raises ValueError, saying which entry is wrong, unless the path holds whole numbers, starts at 0, rises strictly and
    ends at T.

    >>> as_path([0, 3, 10], T=10)
    array([ 0,  3, 10])
    """
    given = np.asarray(path)
    if given.ndim != 1 or len(given) < 2:
        raise ValueError(f"A path is a list [0, t_1, ..., {T}] of at least two timesteps; given: {path!r}.")
    if given.dtype.kind not in "iuf" or not np.array_equal(given, np.round(given)):
        raise ValueError(f"A path holds whole timesteps; given: {path!r}.")
    steps = given.astype(np.int64)
    if steps[0] != 0 or steps[-1] != T:
        raise ValueError(
            f"The path runs from {steps[0]} to {steps[-1]}; expected from 0 to T = {T}, in ascending order "
            "(add the missing end, reverse it, or check that it was made for this model)."
        )
    wrong = np.flatnonzero(np.diff(steps) <= 0)
    if len(wrong):
        i = wrong[0]
        raise ValueError(f"The path does not ascend: {steps[i]} is followed by {steps[i + 1]}; sort it, drop repeats.")
    return steps


def to_diffusers(path: ArrayLike) -> list[int]:
    """A path as diffusers takes it: descending and counted from 0, [0, t_1, ..., T] -> [T - 1, ..., t_1 - 1].

    For schedulers with `set_timesteps(timesteps=...)`. `DDPMScheduler` is right at every jump, but for one: if t_1 > 1,
    its last step adds noise to xhat_0. With fixed_large that is as much as x_{t_1} had, sigma_{t_1}; with learned_range
    up to that, as the network says; with fixed_small none to speak of. `path_scheduler` adds none, and serves
    DDIMScheduler and pipelines, which take no such list.

    Raises ValueError if it is not a path.

    >>> to_diffusers([0, 3, 10, 1000])
    [999, 9, 2]
    """
    return (_ending_where_it_ends(path)[:0:-1] - 1).tolist()


def to_improved_diffusion(path: ArrayLike) -> set[int]:
    """A path as improved- and guided-diffusion take it, the `use_timesteps` of their `SpacedDiffusion`, counted from 0.

    Raises ValueError if it is not a path.

    >>> sorted(to_improved_diffusion([0, 3, 10, 1000]))
    [2, 9, 999]
    """
    return set(to_diffusers(path))


def to_sigmas(path: ArrayLike, noise: "NoiseSchedule") -> np.ndarray:
    """A path as k-diffusion's and EDM's samplers take it: (K + 1,) noise levels sigma_t / alpha_t, descending to 0.

    They walk z_t = x_t / alpha_t = x_0 + (sigma_t / alpha_t) eps with a denoiser D(z, sigma) = xhat_0(alpha_t z, t).
    k-diffusion's `sample_euler_ancestral` on these levels is `ddpm_dp.sample` with `posterior`, its `sample_euler` and
    EDM's Euler step without churn are `ddpm_dp.ddim`; a second-order sampler has no counterpart here. Start from
    z_T = x_T / alpha_T: standard normal noise times sqrt(1 + sigmas[0]^2), where they take sigmas[0].

    Args:
        path: [0, t_1, ..., T].
        noise: the model's schedule, `model.noise` or `statistics.noise`.

    Raises ValueError if it is not a path to the schedule's T, or if alpha_T = 0 (zero terminal SNR): no level is then
    high enough.

    >>> from ddpm_dp.noise import NoiseSchedule
    >>> to_sigmas([0, 1, 2], NoiseSchedule([1.0, 0.8, 0.2]))
    array([2. , 0.5, 0. ])
    """
    steps = as_path(path, noise.T)[::-1]
    if noise.alpha[steps[0]] == 0:
        raise ValueError(
            "alpha_T = 0 (zero terminal SNR): x_T is noise alone, which no finite noise level is; use a sampler that "
            "takes timesteps."
        )
    return noise.sigma[steps] / noise.alpha[steps]


def _ending_where_it_ends(path: ArrayLike) -> np.ndarray:
    """Check a path whose T is not known: it is its last entry."""
    return as_path(path, int(np.ravel(path)[-1]) if np.size(path) else 0)


@dataclass(frozen=True, eq=False)
class PathFile:
    """Chosen paths, one for each budget K, and where they come from; made by `path_file`.

    The file's format is told in `ddpm_dp.paths`. What an older file does not say is None, or empty.
    """

    paths: dict[int, np.ndarray]
    T: int
    variance: str
    objective: str  # what the paths minimise, in words
    decoder: str  # its name
    decoder_words: str  # and its convention in words: a bits/dim means nothing without it
    model_id: str
    data_id: str
    bits_per_dim: dict[int, float]  # the negative ELBO of each path on the images that it was chosen on
    held_out: dict[int, tuple[float, float]]  # the same on held-out images, and its standard error; {} if not measured
    sigmas: dict[int, np.ndarray] = field(default_factory=dict)  # `to_sigmas` of each path; {} if there are none
    shape: tuple[int, ...] | None = None
    levels: int | None = None
    images: int | None = None
    held_out_images: int | None = None

    def save(self, file: str | Path) -> Path:
        """Write JSON, whole or not at all."""
        text = json.dumps(
            {
                "ddpm_dp_paths": FORMAT,
                "T": self.T,
                "variance": self.variance,
                "objective": self.objective,
                "decoder": self.decoder,
                "decoder_words": self.decoder_words,
                "model_id": self.model_id,
                "data_id": self.data_id,
                "shape": self.shape,
                "levels": self.levels,
                "images": self.images,
                "held_out_images": self.held_out_images,
                "bits_per_dim": self.bits_per_dim,
                "held_out": self.held_out,
                "paths": {K: [int(t) for t in path] for K, path in self.paths.items()},
                "sigmas": {K: [float(sigma) for sigma in levels] for K, levels in self.sigmas.items()},
            },
        )
        # one path a line: a file that people read
        text = text.replace("], ", "],\n  ")
        for name in ("paths", "sigmas"):
            text = text.replace(f'"{name}": {{', f'\n"{name}": {{\n  ')
        return write_whole(file, lambda temporary: temporary.write_text(text + "\n"))

    @classmethod
    def load(cls, file: str | Path) -> "PathFile":
        """Read what `save` wrote. Raises FileNotFoundError, or ValueError for another kind of file or a wrong path."""
        if not Path(file).is_file():
            raise FileNotFoundError(f"There is no paths file {file}; make one with `ddpm-dp solve`.")
        try:
            content = json.loads(Path(file).read_text())
            if content.pop("ddpm_dp_paths") not in (3, FORMAT):
                raise KeyError("ddpm_dp_paths")
            paths = {int(K): as_path(path, content["T"]) for K, path in content.pop("paths").items()}
            for K, path in paths.items():
                if len(path) != K + 1:
                    raise ValueError(
                        f"{file} lists a path of {len(path) - 1} steps under K = {K}; make the file again."
                    )
            bits = {int(K): bits for K, bits in content.pop("bits_per_dim").items()}
            held_out = {int(K): (bits, error) for K, (bits, error) in content.pop("held_out").items()}
            sigmas = {int(K): np.array(levels, np.float64) for K, levels in content.pop("sigmas", {}).items()}
            for K, levels in sigmas.items():
                if K not in paths or len(levels) != K + 1 or not (np.diff(levels) < 0).all() or levels[-1] != 0:
                    raise ValueError(
                        f"{file} lists sigmas under K = {K} that do not descend to 0 in K steps; make the file again."
                    )
            if content.get("shape") is not None:
                content["shape"] = tuple(content["shape"])
            return cls(paths=paths, bits_per_dim=bits, held_out=held_out, sigmas=sigmas, **content)
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{file} is not a paths file of this version; make it again with `ddpm-dp solve`."
            ) from error

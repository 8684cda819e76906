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
| `seal` | SHA-256 of all the file's other bytes (`ddpm_dp.files.seal`): with another one, the file is refused |

Keys K are decimal strings, as JSON wants; a standard error of null is that of a single image, infinite. Format 3, which
still loads, lacked `shape`, `levels`, `images`, `held_out_images`, `sigmas` and `seal`.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ddpm_dp.files import schema
from ddpm_dp.files.texts import read_object, write_object

if TYPE_CHECKING:
    from ddpm_dp.noise import NoiseSchedule

FORMAT = 4  # sealed; format 3, which still loads, was not


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

    def save(self, file: str | Path, replace: bool = True) -> Path:
        """Write JSON, whole or not at all; with `replace=False` a file of other contents is kept (`write_whole`)."""
        content: dict[str, Any] = {"ddpm_dp_paths": FORMAT}
        content |= {each.name: getattr(self, each.name) for each in fields(self)}
        # the standard error of a single image is infinite, which JSON cannot say
        content["held_out"] = {
            K: (bits, error if error < np.inf else None) for K, (bits, error) in self.held_out.items()
        }
        content["paths"] = {str(K): [int(t) for t in path] for K, path in self.paths.items()}
        content["sigmas"] = {str(K): [float(sigma) for sigma in levels] for K, levels in self.sigmas.items()}
        return write_object(file, content, _on_lines, replace)

    @classmethod
    def load(cls, file: str | Path) -> "PathFile":
        """Read what `save` wrote.

        Raises FileNotFoundError, ValueError for another kind of file, a changed one or a wrong path, or OSError if it
        cannot be read.
        """
        if not Path(file).exists():
            raise FileNotFoundError(f"There is no paths file {file}; make one with `ddpm-dp solve`.")
        try:
            return cls(**_fields(*read_object(file)))
        except OSError as error:
            raise OSError(f"{file} cannot be read ({error.strerror or error}).") from error
        except ValueError as error:
            reason = str(error).rstrip(".")
            raise ValueError(f"{file} is not a whole paths file ({reason}); make it with `ddpm-dp solve`.") from error


def _on_lines(text: str) -> str:
    """One path a line: a file that people read."""
    text = text.replace("], ", "],\n  ")
    for name in ("paths", "sigmas"):
        text = text.replace(f'"{name}": {{', f'\n"{name}": {{\n  ')
    return text


def _fields(content: dict[str, Any], sealed: bool) -> dict[str, Any]:
    """The fields of a PathFile. Raises ValueError unless they are there, each of its type and in its range."""
    if schema.whole_from(content, "ddpm_dp_paths", 3, FORMAT) == FORMAT and not sealed:
        raise ValueError("its checksum is missing")
    T = schema.whole_from(content, "T", 2, 2**31)
    known: dict[str, Any] = {name: schema.typed(content, name, str) for name in WORDS}
    paths, held_out = {}, {}
    for K, path in schema.typed(content, "paths", dict[str, list[int]]).items():
        if not all(0 <= t <= T for t in path):
            raise ValueError(f"the path of K = {K[:20]} leaves 0..T")
        paths[_budget(K, T)] = as_path(path, T)
    for steps, checked in paths.items():
        if len(checked) != steps + 1:
            raise ValueError(f"it lists a path of {len(checked) - 1} steps under K = {steps}")
    bits = {_budget(K, T): value for K, value in schema.typed(content, "bits_per_dim", dict[str, float]).items()}
    for K, pair in schema.typed(content, "held_out", dict[str, list[float | None]]).items():
        if len(pair) != 2 or pair[0] is None:
            raise ValueError(f"held_out of K = {K[:20]} is no price with its standard error")
        held_out[_budget(K, T)] = (pair[0], np.inf if pair[1] is None else pair[1])
    if not bits.keys() <= paths.keys() or not held_out.keys() <= paths.keys():
        raise ValueError("it has prices of paths that it does not hold")
    known |= {"T": T, "paths": paths, "bits_per_dim": bits, "held_out": held_out}
    return known if content["ddpm_dp_paths"] < FORMAT else known | _since_4(content, paths)


def _since_4(content: dict[str, Any], paths: dict[int, np.ndarray]) -> dict[str, Any]:
    """The fields that format 3 lacked."""
    sigmas = {}
    for K, levels in schema.typed(content, "sigmas", dict[str, list[float]]).items():
        if K not in map(str, paths) or len(levels) != int(K) + 1 or levels[-1] != 0 or not (np.diff(levels) < 0).all():
            raise ValueError(f"sigmas of K = {K[:20]} do not descend to 0 in as many steps")
        sigmas[int(K)] = np.array(levels, np.float64)
    shape = schema.typed(content, "shape", tuple[int, ...] | None)
    if shape is not None and not all(1 <= length <= 2**31 for length in shape):
        raise ValueError(f"shape = {shape}; expected lengths of 1 or more")
    for name in ("levels", "images", "held_out_images"):
        if schema.typed(content, name, int | None) is not None:
            schema.whole_from(content, name, 1, 2**63)
    counted = {name: content[name] for name in ("levels", "images", "held_out_images")}
    return counted | {"sigmas": sigmas, "shape": None if shape is None else tuple(shape)}


WORDS = ("variance", "objective", "decoder", "decoder_words", "model_id", "data_id")


def _budget(K: str, T: int) -> int:
    if not (K.isascii() and K.isdecimal() and len(K) <= 10 and str(int(K)) == K and 1 <= int(K) <= T):
        raise ValueError(f"K = {K[:20]!r}; expected a whole number from 1 to T = {T}")
    return int(K)

"""Films: what sampling makes at every step of a path, beside another path from the same noise.

All frames are in one picture, the sheet. Its rows are, from the slowest index to the fastest, budgets, paths, seeds,
and two kinds: x, and the network's guess. Frame i of a row is x after i steps, or the guess that the i-th step made; a
row has K + 1 frames, and no guess at 0. All paths start from the same noise, and their i-th steps draw the same noise.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import ddpm_dp
from ddpm_dp.costs import step_costs
from ddpm_dp.explorer.source import Source
from ddpm_dp.models.denoiser import Denoiser
from ddpm_dp.sampling import sample
from ddpm_dp.solver import solve
from ddpm_dp.strides import even

SMALL = 1024  # numbers of an image that is kept exactly, in many films: noise does not compress
BUDGETS = {True: (4, 8, 16, 32), False: (4, 8, 16)}  # of small images, and of others
WIDEST = 16_383  # pixels of a WebP picture
SEEDS = {True: 4, False: 1}


def films_of(source: Source, variances: list[str]) -> dict[str, Any] | None:
    """What is recorded for a page: the DP's and even steps under the last of these variances.

    None of a model without a file, or not of images.
    """
    if not can_film(source):
        return None
    variance = variances[-1]
    budgets = [K for K in BUDGETS[is_small(source)] if K <= source.T and fits(source, K)]
    if not budgets:
        return None
    best = solve(step_costs(source.train, variance), max(budgets))
    paths = [{"DP": best.path(K), "even": even(source.train.noise, K)} for K in budgets]
    films = draw_films(source, variance, paths)
    return films | {"sheet": base64.b64encode(films["sheet"]).decode()}


def can_film(source: Source) -> bool:
    """Whether there are a model and a way to show what it makes."""
    return source.model is not None and len(source.train.shape) == 3 and source.train.shape[0] in (1, 3)


def fits(source: Source, K: int) -> bool:
    """Whether a row of K + 1 frames is a picture that WebP can hold."""
    return (K + 1) * source.train.shape[2] <= WIDEST


def is_small(source: Source) -> bool:
    return source.train.d <= SMALL


def draw_films(
    source: Source,
    variance: str,
    paths: list[dict[str, np.ndarray]],
    seed: int = 0,
    told: Callable[[int], None] = lambda step: None,
) -> dict[str, Any]:
    """Films of some budgets: for each the paths, of as many steps, by the same names. `told` hears of every step.

    Raises ValueError if a path is none, or the model does not belong to the statistics.
    """
    small, names = is_small(source), tuple(paths[0])
    for path in paths[0].values():
        if not fits(source, K := len(path) - 1):
            width = source.train.shape[2]
            raise ValueError(
                f"A film of {K} steps of images {width} pixels wide is too large for one picture; "
                f"ask for at most {WIDEST // width - 1} steps."
            )
    assert source.model is not None, "see can_film"
    denoiser = ddpm_dp.load(source.model) if isinstance(source.model, str) else source.model
    walked = count(1)
    rows = [
        frames
        for each in paths
        for path in each.values()
        for frames in trajectories(denoiser, path, SEEDS[small], variance, source, seed, lambda: told(next(walked)))
    ]
    sheet = np.zeros((len(rows), max(len(frames) for frames in rows), *source.train.shape), np.uint8)
    for row, frames in zip(sheet, rows, strict=True):
        row[: len(frames)] = frames
    return {
        "family": variance,
        "budgets": [len(each[names[0]]) - 1 for each in paths],
        "paths": names,
        "seeds": SEEDS[small],
        "sheet": picture(sheet, small),
    }


def trajectories(
    denoiser: Denoiser,
    path: np.ndarray,
    seeds: int,
    variance: str,
    source: Source,
    seed: int = 0,
    told: Callable[[], None] = lambda: None,
) -> list[np.ndarray]:
    """For each seed the frames of x, and those of the guess, as 8-bit images (K + 1, channels, height, width)."""
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    start: list[Tensor] = []
    states: list[Tensor] = []
    guesses: list[Tensor] = []

    def randn(shape: tuple[int, ...]) -> Tensor:
        noise = draw(shape)
        start.append(noise)
        return noise

    def watch(s: int, x: Tensor, guess: Tensor) -> None:
        states.append(x)
        guesses.append(guess)
        told()

    sample(
        denoiser, path, seeds, variance=variance, statistics=source.train, randn=randn, callback=watch, progress=False
    )
    x = torch.stack([start[0].to(states[0]), *states], dim=1)
    guess = torch.stack([torch.zeros_like(guesses[0]), *guesses], dim=1)
    return [eight_bits(film) for i in range(seeds) for film in (x[i], guess[i])]


def eight_bits(images: Tensor) -> np.ndarray:
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


def picture(sheet: np.ndarray, small: bool) -> bytes:
    """(rows, frames, channels, height, width) as one WebP: exact if small."""
    rows, frames, channels, height, width = sheet.shape
    image = sheet.transpose(0, 3, 1, 4, 2).reshape(rows * height, frames * width, channels)
    how: dict[str, Any] = {"lossless": True} if small else {"quality": 45}
    buffer = io.BytesIO()
    Image.fromarray(image.repeat(3 // channels, axis=2)).save(buffer, "WEBP", **how)
    return buffer.getvalue()

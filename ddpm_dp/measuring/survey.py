"""A measurement under way: the images and their noise, and a row of sums for each timestep that is done."""

import math
from functools import cached_property
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ddpm_dp.costs import bits_per_dim
from ddpm_dp.files import fingerprint, versions
from ddpm_dp.gaussians import normal_kl
from ddpm_dp.measuring import checkpoint
from ddpm_dp.measuring.checkpoint import Rows
from ddpm_dp.measuring.decoding import DecoderCurves, not_finite
from ddpm_dp.measuring.observers import FORM, Observer, Seen, Setting, cell_observers, double, observed_families
from ddpm_dp.models.denoiser import Denoiser, Prediction
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.processes import Processes
from ddpm_dp.statistics import (
    ALL,
    COMMON,
    GROUPS,
    Cells,
    DecoderCurve,
    DenoisingStatistics,
    filling,
    fingerprints,
    in_common,
    mean_of_groups,
)
from ddpm_dp.statistics.rows import known_rows
from ddpm_dp.variances.analytic import Analytic
from ddpm_dp.variances.decoders import SMALLEST

ANALYTIC = Analytic()  # what the progress bar prices


class Survey:
    """A measurement under way.

    Images are split into batches of nearly equal size, and processes take batches in turn: a network then sees the same
    batches, and gives the same answers to the last bit, whoever computes them.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        x_0: Tensor,
        labels: Tensor | None,
        fitted: DenoisingStatistics | None,
        measured: np.ndarray,
        seed: int,
        batch_size: int,
    ):
        self.denoiser, self.noise, self.measured, self.seed = denoiser, denoiser.noise, measured, seed
        self.processes = Processes(x_0.device)
        images = x_0.float().cpu().numpy()
        self.data_id, self.images = fingerprint(images), fingerprints(images, denoiser.levels)
        self.fitted_on = self.data_id if fitted is None else fitted.fitted_on
        n, size = len(x_0), self.processes.size
        home = torch.device("cpu") if x_0.device.type == "mps" else x_0.device  # where there is float64
        numbers = torch.arange(n)
        groups = numbers % min(GROUPS, n)
        self.at_once = min(batch_size, n)
        batches = math.ceil(n / batch_size)
        self.idle = max(0, size - batches)
        of_batch = [None] * batches if labels is None else labels.tensor_split(batches)
        parts = [*zip(*(each.tensor_split(batches) for each in (x_0, numbers, groups)), of_batch, strict=True)]
        self.batches = [
            (x, torch.from_numpy(_noise(seed, i.tolist(), denoiser.shape)).to(x_0), group.to(home), i.to(home), label)
            for x, i, group, label in parts[self.processes.rank :: size]
        ]
        self.counts, self.d = np.bincount(groups.numpy()), math.prod(denoiser.shape)
        self.setting = Setting(self.noise, denoiser.levels, denoiser.shape, self.counts, home, self.processes, fitted)
        families = observed_families(denoiser)
        self.cells = cell_observers(families, self.setting)
        # The density of continuous data is a formula: there is no curve to measure.
        curves = [] if denoiser.levels is None else [DecoderCurves(self.setting, self.cells)]
        self.observers: list[Observer] = list(dict.fromkeys([*self.cells.values(), *curves]))
        # Set at once and by t, so that Ctrl-C leaves no half of a row, nor one twice.
        self.rows: Rows = {}
        self.key = {  # what must agree for one measurement to go on with another's rows
            "model": denoiser.id,
            "set of images": self.data_id,
            "set of labels": None if labels is None else fingerprint(labels.cpu().numpy()),
            "number of grey levels": denoiser.levels,
            "set of timesteps": fingerprint(measured),
            "set of training statistics": "itself" if fitted is None else _fit(fitted),
            "seed": seed,
            "set of cells": [*self.cells],
            "form of the rows": FORM,
        }

    @property
    def done(self) -> int:
        """How many timesteps are done."""
        return len(self.rows)

    @property
    def _names(self) -> list[str]:
        return [*next(iter(self.rows.values()))]

    def column(self, name: str) -> np.ndarray:
        """What is known by that name of the timesteps done, one after the other along axis 0."""
        return np.stack([row[name] for row in self.rows.values()])

    def at(self, t: int) -> dict[str, Tensor]:
        """Timestep t: the rows' next entries, still on the device."""
        alpha, sigma = self.noise.alpha[t], self.noise.sigma[t]
        for observer in self.observers:
            observer.begin(t)
        answers = []
        for x_0, eps, group, number, labels in self.batches:
            answers.append(self._answer(alpha * x_0 + sigma * eps, t, labels))
            seen = Seen(x_0, answers[-1], group, number)
            for observer in self.observers:
                observer.look(seen)
        for observer in self.observers:
            observer.agree()
        for (x_0, _, group, number, _), answer in zip(self.batches, answers, strict=True):
            seen = Seen(x_0, answer, group, number)
            for observer in self.observers:
                observer.look_again(seen)
        return {name: value for observer in self.observers for name, value in observer.row().items()}

    def _answer(self, x_t: Tensor, t: int, labels: Tensor | None) -> Prediction:
        """The denoiser's answer for a batch; in halves, from then on, where memory runs out."""
        while True:
            try:
                of_part = repeat(None) if labels is None else labels.split(self.at_once)
                parts = [self.denoiser.at(x, t, y) for x, y in zip(x_t.split(self.at_once), of_part, strict=False)]
                return Prediction._make(
                    None if part[0] is None else torch.cat(part) for part in zip(*parts, strict=True)
                )
            except torch.OutOfMemoryError:
                if self.at_once == 1:
                    raise
            self.at_once = math.ceil(self.at_once / 2)  # outside of `except`, which would hold on to the memory
            torch.cuda.empty_cache()
            tqdm.write(f"The device's memory ran out; going on with {self.at_once} images at once.")

    def take(self, pending: list[tuple[int, dict[str, Tensor]]]) -> None:
        """Fetch rows from the device and add them to those that are done. Raises ValueError if one is not finite."""
        for t, row in pending:
            values = {name: value.cpu().numpy() for name, value in row.items()}
            if not all(np.isfinite(rows).all() for rows in values.values()):
                raise not_finite(t)
            self.rows[t] = values
        pending.clear()

    def so_far(self) -> str:
        """What is known of the bound of the path through the timesteps done (`analytic` variance, no prior)."""
        path = np.array([*self.rows])
        nats = self._first
        if len(path) > 1:
            # As a chain of its own, of the timesteps done: T may be a million.
            noise, t = NoiseSchedule(self.noise.abar[[0, *path]]), np.arange(2, len(path) + 1)
            errors = np.pad(self.column(f"cells.{ALL}.error_of_group").T, ((0, 0), (1, 0)))
            fitted_m = self.setting.fitted_m[torch.from_numpy(path).to(self.setting.home)].cpu().numpy()
            cells = Cells.one(errors, self.counts, np.pad(fitted_m, (1, 0)))
            nats = nats + ANALYTIC.nats(noise, self.d, t, t - 1, errors[:, t], cells).sum(1)
        nats, error = mean_of_groups(nats, self.counts)
        return f"{bits_per_dim(nats, self.d):.3f} ({bits_per_dim(error, self.d):.3f}) bits/dim so far"

    @cached_property
    def _first(self) -> np.ndarray:
        """(G,) nats of the decoder at the first timestep t, with variance m_t."""
        t = int(self.measured[0])
        row, m = self.rows[t], max(float(self.setting.fitted_m[t]), SMALLEST)
        if self.denoiser.levels is None:
            return self.d / 2 * (np.log(2 * np.pi * m) + row[f"cells.{ALL}.error_of_group"] / m)
        parts = ("low", "nats", "of_group", "group_low")
        low, nats, of_group, start = (row[f"curve.all.{part}"] for part in parts)
        curve = DecoderCurve("all", low[None], nats[None], of_group[:, None], start[None])
        return curve.by_group(np.array([0]), np.array([[np.log(m)]]), self.counts)[:, 0]

    def _columns(self, start: str) -> dict[str, np.ndarray]:
        """What is known by names that begin so, without that beginning; groups of images first."""
        rows = {part.removeprefix(start): self.column(part) for part in self._names if part.startswith(start)}
        return {part: np.moveaxis(each, 0, 1) if part.endswith("of_group") else each for part, each in rows.items()}

    def save(self, file: str | Path) -> None:
        """Write the rows that are done, whole or not at all."""
        checkpoint.save(file, self.key, self.rows)

    def restore(self, file: Path) -> None:
        """Take over the rows of a checkpoint. Raises ValueError if it is not whole, or of another measurement."""
        self.rows = checkpoint.restore(file, self.key, self.measured)
        if self.setting.fitted is None:
            for t, row in self.rows.items():
                self.setting.fitted_m[t] = float(self.counts @ row[f"cells.{ALL}.error_of_group"] / self.counts.sum())

    def result(self) -> DenoisingStatistics:
        """The statistics, once all timesteps are done."""
        T, counts, measured, fitted = self.noise.T, self.counts, self.measured, self.setting.fitted
        error = filling.errors(self.column(f"cells.{ALL}.error_of_group").T, measured, T)
        cells = {}
        for name, observer in self.cells.items():
            rows = self._columns(f"cells.{name}.")
            if name == ALL:
                own = counts @ error / counts.sum()
                rows["fitted"] = (own if fitted is None else fitted.fitted_m)[:, None]
            new = Cells.from_rows(name, rows, measured, counts, error, observer.output, observer.basis)
            cells[name] = new if name == ALL else new.fitted_to(new if fitted is None else fitted.cells[name])
        curves = {}
        for name in dict.fromkeys(part.split(".")[1] for part in self._names if part.startswith("curve.")):
            curves[name] = DecoderCurve.from_rows(name, self._columns(f"curve.{name}."), measured, T)
        return DenoisingStatistics(
            noise=self.noise,
            shape=tuple(self.denoiser.shape),
            levels=self.denoiser.levels,
            counts=counts,
            cells=cells,
            curves=curves,
            prior=self._prior(),
            model_id=self.denoiser.id,
            n_classes=self.denoiser.n_classes,
            data_id=self.data_id,
            fitted_on=self.fitted_on,
            seed=self.seed,
            measured=measured,
            images=self.images,
            about=versions() | ({} if fitted is None else {COMMON: self.in_common}),
        )

    @property
    def in_common(self) -> int | None:
        """How many of the images are among those of the training statistics; None if it is not known."""
        fitted = self.setting.fitted
        if fitted is None or fitted.fitted_on != fitted.data_id:
            return None
        return in_common(self.images, fitted.images)

    def _prior(self) -> np.ndarray:
        """(G,) nats of KL(q(x_T | x_0) || N(0, I))."""
        T, total, home = self.noise.T, self.setting.zeros(), self.setting.home
        sigma2, zero, one = (torch.tensor(value, device=home) for value in (self.noise.sigma2[T], 0.0, 1.0))
        for x_0, _, group, _, _ in self.batches:
            nats = normal_kl(self.noise.alpha[T] * double(x_0), sigma2, zero, one).flatten(1).sum(1)
            total.index_add_(0, group, nats)
        return self.setting.mean(total).cpu().numpy()


def _fit(fitted: DenoisingStatistics) -> str:
    """Tells one set of fitted numbers from another."""
    cells = (each.fitted for _, each in sorted(fitted.cells.items()))
    curves = (each.fitted for _, each in sorted(fitted.curves.items()))
    return fingerprint(*(known_rows(numbers) for numbers in (*cells, *curves) if numbers is not None))


def _noise(seed: int, numbers: list[int], shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal eps for images of those numbers, each from a stream of its own: the same in any batch."""
    keys = (np.array([seed, i], dtype=np.uint64) for i in numbers)  # a list would be rounded to float64 from 2^63 on
    return np.stack([np.random.Generator(np.random.Philox(key=key)).standard_normal(shape) for key in keys])

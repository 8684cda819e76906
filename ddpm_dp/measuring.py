"""The one pass of a denoiser over data that prices every step of every path."""

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ddpm_dp import interpolation
from ddpm_dp.costs import bits_per_dim, step_costs
from ddpm_dp.denoisers import Denoiser, Prediction
from ddpm_dp.files import fingerprint, write_whole
from ddpm_dp.gaussians import decoder_log_likelihood, normal_kl
from ddpm_dp.interpolation import grid
from ddpm_dp.processes import Processes
from ddpm_dp.statistics import GROUPS, DenoisingStatistics, SecondOutput, mean_of_groups
from ddpm_dp.variances import decoder_variance, log_rho, step_nats

BINS = 256  # of a second output's histogram: see `SecondOutput` for what so many bins are good for

# How many images a standard error asks for is told from so many of them at so many timesteps (in batches that several
# processes can share), and a margin beside: their 32 groups know a standard error to 1/8 of itself, so the number of
# images to 1/4.
PILOT_IMAGES, PILOT_TIMESTEPS, PILOT_BATCH, MARGIN = 128, 32, 16, 1.25


@torch.no_grad()
def measure(
    denoiser: Denoiser,
    images,
    *,
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
        fitted: for held-out images, the training statistics: the `analytic` variance keeps the m_t fitted there.
            None: m_t is fitted to these very images.
        timesteps: measure at so many of the T timesteps, dense near 0, and interpolate the rest (see `interpolation.py`
            for what that costs: a tenth is enough). None: at all of them.
        standard_error: in bits/dim. Use only as many images, from the first on, as it takes to know the price of all T
            steps (`analytic` variance) so well: a small pilot run (128 images, 32 timesteps) tells how many. None: all.
        batch_size: images per evaluation. Halved by itself where a GPU's memory runs out. It changes the answer by no
            more than the network's own rounding does.

    Raises ValueError for images that do not fit the denoiser, `fitted` statistics of another model, a checkpoint of
    another measurement, and a model whose output is not finite; OSError if the checkpoint cannot be written.

    >>> stats = measure(load("digits"), load_dataset("digits").train)  # doctest: +SKIP
    """
    x_0 = denoiser.images(images)
    if fitted is not None:
        fitted.require_model(denoiser.id, "the model")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size = {batch_size!r}; expected a whole number, 1 or more.")
    if standard_error is not None:
        x_0 = x_0[: _enough(standard_error, denoiser, x_0, fitted, seed, batch_size, progress)]
    measured = grid(denoiser.noise.T, denoiser.noise.T if timesteps is None else timesteps)
    survey = _Survey(denoiser, x_0, fitted, measured, seed, batch_size)
    if checkpoint and Path(checkpoint).exists():
        survey.restore(Path(checkpoint))
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


def _enough(standard_error: float, denoiser, x_0: Tensor, fitted, seed: int, batch_size: int, progress: bool) -> int:
    """How many images that standard error (bits/dim) takes, by a small pilot run."""
    if not standard_error > 0:
        raise ValueError(f"standard_error = {standard_error!r}; expected a number of bits/dim above 0.")
    steps = min(PILOT_TIMESTEPS, denoiser.noise.T)
    settings = {"timesteps": steps, "seed": seed, "batch_size": min(batch_size, PILOT_BATCH), "progress": progress}
    pilot = measure(denoiser, x_0[:PILOT_IMAGES], fitted=fitted, **settings)
    price = step_costs(pilot, "analytic").of(range(pilot.T + 1))
    found = bits_per_dim(price.standard_error, pilot.d)
    times = float(found) / standard_error  # its square may be infinite
    return max(pilot.n, math.ceil(min(MARGIN * pilot.n * times * times, len(x_0))))


class _Survey:
    """A measurement under way: the images and their noise, and a row of sums for each timestep that is done.

    Images are split into batches of nearly equal size, and processes take batches in turn: a network then sees the same
    batches, and gives the same answers to the last bit, whoever computes them.
    """

    def __init__(self, denoiser: Denoiser, x_0: Tensor, fitted, measured: np.ndarray, seed: int, batch_size: int):
        self.denoiser, self.noise, self.measured, self.seed = denoiser, denoiser.noise, measured, seed
        self.processes = Processes(x_0.device)
        self.data_id = fingerprint(x_0.float().cpu().numpy())
        self.fitted_on = self.data_id if fitted is None else fitted.fitted_on
        self.refit = fitted is None
        n, size = len(x_0), self.processes.size
        self.home = torch.device("cpu") if x_0.device.type == "mps" else x_0.device  # where there is float64
        numbers = torch.arange(n)
        groups = numbers % min(GROUPS, n)
        self.counts = np.bincount(groups.numpy())
        self.images_of_group = torch.from_numpy(self.counts).double().to(self.home)
        self.at_once = min(batch_size, n)
        batches = math.ceil(n / batch_size)
        self.idle = max(0, size - batches)
        parts = [*zip(*(each.tensor_split(batches) for each in (x_0, numbers, groups)), strict=True)]
        self.batches = [
            (x, torch.from_numpy(_noise(seed, i.tolist(), denoiser.shape)).to(x_0), group.to(self.home))
            for x, i, group in parts[self.processes.rank :: size]
        ]
        self.fitted_m = torch.zeros(self.noise.T + 1, dtype=torch.float64, device=self.home)
        if fitted is not None:
            self.fitted_m += torch.from_numpy(fitted.fitted_m).to(self.home)
        self.served = {"v": ["learned"], "u": ["predicted"]}.get(denoiser.second or "", [])
        # t -> its sums by name, in order; set at once and by t, so that Ctrl-C leaves no half of a row, nor one twice.
        self.rows: dict[int, dict[str, np.ndarray]] = {}
        fitted_to = "itself" if fitted is None else fingerprint(fitted.fitted_m)
        self.key = {  # what must agree for one measurement to go on with another's rows
            "model": denoiser.id,
            "set of images": self.data_id,
            "number of grey levels": denoiser.levels,
            "set of timesteps": fingerprint(measured),
            "set of training statistics": fitted_to,
            "seed": seed,
        }

    @property
    def done(self) -> int:
        """How many timesteps are done."""
        return len(self.rows)

    def column(self, name: str) -> np.ndarray:
        """What is known by that name of the timesteps done, one after the other along axis 0."""
        return np.stack([row[name] for row in self.rows.values()])

    def at(self, t: int) -> dict[str, Tensor]:
        """Timestep t: the rows' next entries, still on the device."""
        alpha, sigma = self.noise.alpha[t], self.noise.sigma[t]
        squared_error = self._zeros()
        reach = torch.full((2,), -math.inf, dtype=torch.float64, device=self.home)  # max of -y and of y
        answers = []
        for x_0, eps, group in self.batches:
            answer = self._answer(alpha * x_0 + sigma * eps, t)
            squared_error.index_add_(0, group, ((_double(x_0) - _double(answer.x0)) ** 2).flatten(1).mean(1))
            if self.served:
                y = self._second(answer)
                reach = torch.maximum(reach, torch.stack([-y.min(), y.max()]))
            answers.append(answer)
        squared_error = self.processes.total(squared_error)
        if self.refit:
            # All images at one t before the next t, so that m_t is known when its decoder is priced.
            self.fitted_m[t] = squared_error.sum() / self.counts.sum()
        low, high = self.processes.largest(reach) * torch.tensor([-1.0, 1.0], device=self.home)
        nats = {name: self._zeros() for name in ("fixed", "analytic", *self.served)}
        bins = torch.zeros((2, BINS if self.served else 0), dtype=torch.float64, device=self.home)
        for (x_0, _, group), answer in zip(self.batches, answers, strict=True):
            original, xhat_0 = _double(x_0), _double(answer.x0)
            for name, total in nats.items():
                second = answer.second(name)
                variance = decoder_variance(
                    self.noise, name, t, self.fitted_m, None if second is None else _double(second)
                )
                variance = torch.as_tensor(variance, dtype=torch.float64, device=self.home)
                total.index_add_(0, group, -decoder_log_likelihood(original, xhat_0, variance, self.denoiser.levels))
            if self.served:
                bins += _histogram(self._second(answer), ((original - xhat_0) ** 2).flatten(), low, high)
        row = {"squared_error": squared_error / self.images_of_group}
        row |= {f"decoder.{name}": self.processes.total(total) / self.images_of_group for name, total in nats.items()}
        if self.served:
            mass, error = self.processes.total(bins) / (self.counts.sum() * math.prod(self.denoiser.shape))
            row |= {"second.low": low, "second.high": high, "second.mass": mass, "second.error": error}
        return row

    def _answer(self, x_t: Tensor, t: int) -> Prediction:
        """The denoiser's answer for a batch; in halves, from then on, where memory runs out."""
        while True:
            try:
                parts = [self.denoiser.at(part, t) for part in x_t.split(self.at_once)]
                return Prediction(*(None if part[0] is None else torch.cat(part) for part in zip(*parts, strict=True)))
            except torch.OutOfMemoryError:
                if self.at_once == 1:
                    raise
            self.at_once = math.ceil(self.at_once / 2)  # outside of `except`, which would hold on to the memory
            torch.cuda.empty_cache()
            tqdm.write(f"The device's memory ran out; going on with {self.at_once} images at once.")

    def _second(self, answer: Prediction) -> Tensor:
        """y = v, or log u, of all coordinates."""
        return _double(answer.v if answer.u is None else answer.u.log()).flatten()

    def _zeros(self) -> Tensor:
        return torch.zeros(len(self.counts), dtype=torch.float64, device=self.home)

    def take(self, pending: list[tuple[int, dict[str, Tensor]]]) -> None:
        """Fetch rows from the device and add them to those that are done. Raises ValueError if one is not finite."""
        for t, row in pending:
            values = {name: value.cpu().numpy() for name, value in row.items()}
            if not np.isfinite(values["squared_error"]).all():
                raise ValueError(f"The model's output is not finite at t = {t}; such a model cannot be priced.")
            self.rows[t] = values
        pending.clear()

    def so_far(self) -> str:
        """What is known of the bound of the path through the timesteps done (`analytic` variance, no prior)."""
        d, snr, path = math.prod(self.denoiser.shape), self.noise.snr, np.array([*self.rows])
        t, s, m = path[1:], path[:-1], self.column("squared_error")[1:].T
        log_rhos = log_rho(self.noise, "analytic", t, s, self.fitted_m.cpu().numpy())
        steps = d * step_nats(log_rhos, (snr[s] - snr[t]) * m)
        nats, error = mean_of_groups(self.rows[path[0]]["decoder.analytic"] + steps.sum(1), self.counts)
        return f"{bits_per_dim(nats, d):.3f} ({bits_per_dim(error, d):.3f}) bits/dim so far"

    def save(self, checkpoint: str | Path) -> None:
        """Write the rows that are done, whole or not at all."""
        arrays = {name: self.column(name) for row in [*self.rows.values()][:1] for name in row}

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                np.savez(file, key=json.dumps(self.key), t=np.array([*self.rows]), **arrays)

        write_whole(checkpoint, write)

    def restore(self, checkpoint: Path) -> None:
        """Take over the rows of a checkpoint. Raises ValueError if it is not whole, or of another measurement."""
        try:
            with np.load(checkpoint, allow_pickle=False) as file:
                arrays = dict(file)
            key, done = json.loads(str(arrays.pop("key"))), arrays.pop("t").tolist()
            differ = [name for name, value in self.key.items() if key.get(name) != value]
            if not differ and done != self.measured[: len(done)].tolist():
                raise IndexError
            rows = {t: {name: table[i] for name, table in arrays.items()} for i, t in enumerate(done)}
        except Exception as error:  # numpy, zipfile, zlib and json report a damaged file in a dozen ways
            raise ValueError(
                f"{checkpoint} is not the whole checkpoint of a measurement ({type(error).__name__}); delete it to "
                "begin anew."
            ) from error
        if differ:
            raise ValueError(
                f"{checkpoint} belongs to another measurement, with another {' and another '.join(differ)}. Give the "
                "same to go on, or another file (or delete this one) to begin anew."
            )
        self.rows = rows
        if self.refit:
            for t, row in rows.items():
                self.fitted_m[t] = float(self.counts @ row["squared_error"] / self.counts.sum())

    def result(self) -> DenoisingStatistics:
        """The statistics, once all timesteps are done."""
        T, counts = self.noise.T, self.counts
        squared_error = interpolation.errors(self.column("squared_error").T, self.measured, T)
        m = counts @ squared_error / counts.sum()
        second = None
        if self.served:
            bins = {name: self.column(f"second.{name}") for name in ("low", "high", "mass", "error")}
            second = SecondOutput(self.served[0], **interpolation.histograms(bins, self.measured, m))
        return DenoisingStatistics(
            noise=self.noise,
            shape=tuple(self.denoiser.shape),
            levels=self.denoiser.levels,
            counts=counts,
            squared_error=squared_error,
            decoder={
                name: interpolation.prices(self.column(f"decoder.{name}").T, self.measured, T)
                for name in ("fixed", "analytic", *self.served)
            },
            prior=self._prior(),
            fitted_m=m if self.refit else self.fitted_m.cpu().numpy(),
            model_id=self.key["model"],
            data_id=self.data_id,
            fitted_on=self.fitted_on,
            seed=self.seed,
            measured=self.measured,
            second=second,
        )

    def _prior(self) -> np.ndarray:
        """(G,) nats of KL(q(x_T | x_0) || N(0, I))."""
        T, total = self.noise.T, self._zeros()
        sigma2, zero, one = (torch.tensor(value, device=self.home) for value in (self.noise.sigma2[T], 0.0, 1.0))
        for x_0, _, group in self.batches:
            total.index_add_(
                0, group, normal_kl(self.noise.alpha[T] * _double(x_0), sigma2, zero, one).flatten(1).sum(1)
            )
        return (self.processes.total(total) / self.images_of_group).cpu().numpy()


def _histogram(y: Tensor, e2: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(2, BINS) sums of 1 and e^2 of coordinates y (n,) in bins from low to high, as `SecondOutput` describes them."""
    place = ((y - low) / (high - low).clamp(min=1e-12) * (BINS - 1)).nan_to_num()  # NaN is refused when it is fetched
    left = place.long().clamp(0, BINS - 2)
    share = place - left
    empty = torch.zeros(BINS, dtype=y.dtype, device=y.device)
    return torch.stack(
        [
            empty.index_add(0, left, (1 - share) * weight).index_add_(0, left + 1, share * weight)
            for weight in (torch.ones_like(e2), e2)
        ]
    )


def _noise(seed: int, numbers: list[int], shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal eps for images of those numbers, each from a stream of its own: the same in any batch."""
    return np.stack([np.random.Generator(np.random.Philox(key=[seed, i])).standard_normal(shape) for i in numbers])


def _double(tensor: Tensor) -> Tensor:
    """float64, on the CPU where the device (Apple's MPS) has none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()

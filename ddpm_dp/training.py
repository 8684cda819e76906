"""Training a DDPM: the losses, which timesteps they look at, and the loop."""

import copy
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ddpm_dp.config import TrainConfig
from ddpm_dp.datasets import Dataset
from ddpm_dp.files import fingerprint
from ddpm_dp.gaussians import decoder_log_likelihood
from ddpm_dp.models import Architecture, Model, at, read_tensors, write_tensors
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.processes import Processes, usable_device
from ddpm_dp.variances import decoder_variance, step_nats

SECOND = {"simple": None, "hybrid": "v", "vlb": "v", "predicted": "u"}  # the second output that each loss trains

# Share of the second output's loss where it rides along with L_simple (Nichol & Dhariwal 2021, section 3.1).
LAMBDA = 1e-3


def losses(model: Model, network: torch.nn.Module, kind: str, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """The training loss of each image, (batch,), averaged over coordinates.

    simple:     (eps - eps_hat)^2                                                    (Ho et al. 2020, eq. 14)
    vlb:        T L(t, t - 1), the t-th term of the bound, in nats, T times          (Nichol & Dhariwal 2021, eq. 4-7)
    hybrid:     simple + 0.001 vlb, where vlb trains v alone: no gradient to eps_hat (Nichol & Dhariwal 2021, eq. 16)
    predicted:  simple + 0.001 1/2 [log u + e^2 / u], e = x_0 - xhat_0, trains u alone; its minimum is u = E[e^2 | x_t]
    """
    alpha, sigma = (at(values, t, x_0) for values in (model.noise.alpha, model.noise.sigma))
    eps_hat, *second = model.outputs(network, alpha * x_0 + sigma * eps, t)
    residual = eps - eps_hat
    simple = (residual**2).flatten(1).mean(1)
    if kind == "simple":
        return simple
    if kind == "predicted":
        e2 = (sigma / alpha * residual.detach()).clamp(-2, 2) ** 2  # x_0 and xhat_0 both lie in [-1, 1]
        return simple + LAMBDA * 0.5 * (second[0].log() + e2 / second[0]).flatten(1).mean(1)
    if kind == "hybrid":
        return simple + LAMBDA * model.noise.T * bound_term(
            model.noise, x_0, t, residual.detach(), *second, model.levels
        )
    return model.noise.T * bound_term(model.noise, x_0, t, residual, *second, model.levels)


def bound_term(noise: NoiseSchedule, x_0: Tensor, t: Tensor, residual: Tensor, v: Tensor, levels: int | None) -> Tensor:
    """L(t, t - 1) of each image in nats per dimension, given residual = eps - eps_hat; at t = 1 the decoder L(1, 0)."""
    longer = np.maximum(np.arange(noise.T + 1), 2)  # t = 1 has another formula: any finite number will do there
    ratio = np.log(noise.sigma2[longer] / noise.sigma2[longer - 1])
    gain = noise.snr[longer - 1] / noise.snr[longer] - 1  # delta e^2 = gain (eps - eps_hat)^2
    terms = step_nats(v * at(ratio, t, x_0), at(gain, t, x_0) * residual**2, torch.expm1).flatten(1).mean(1)
    first = (t == 1).nonzero().squeeze(1)
    if len(first):
        # in float64, on the CPU: a bin far out in the tail has no mass in float32
        x, off, v = (tensor[first].cpu().double() for tensor in (x_0, residual, v))
        xhat_0 = x + float(noise.sigma[1] / noise.alpha[1]) * off
        variance = decoder_variance(noise, "learned", 1, np.zeros(0), v)
        nats = -decoder_log_likelihood(x, xhat_0, variance, levels) / x[0].numel()
        terms = terms.index_copy(0, first, nats.to(terms))
    return terms


class Timesteps:
    """Which timesteps a step of training looks at, and the weight 1 / (T p_t) that keeps the loss unbiased.

    Uniform, or for L_vlb with p_t proportional to sqrt(E L_t^2) (Nichol & Dhariwal 2021, section 3.3): its terms differ
    by orders of magnitude. The second moment is a running mean over 100 equal parts of 1..T: theirs, over the last ten
    losses of every single t, would take a small model's whole training to fill.
    """

    def __init__(self, T: int, importance: bool, device):
        self.T, self.importance = T, importance
        self.second_moment = torch.ones(min(T, 100), device=device)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """n timesteps and their weights."""
        device = self.second_moment.device
        if not self.importance:
            return torch.randint(1, self.T + 1, (n,), device=device), torch.ones(n, device=device)
        parts = len(self.second_moment)
        p = self.second_moment.sqrt()
        p = 0.99 * p / p.sum() + 0.01 / parts  # never blind to a part
        part = torch.multinomial(p, n, replacement=True)
        t = 1 + ((part + torch.rand(n, device=device)) * self.T / parts).long().clamp(max=self.T - 1)
        return t, 1 / (parts * p[part])

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Take the losses of timesteps t into the running second moment."""
        part = (t - 1) * len(self.second_moment) // self.T
        seen = torch.zeros_like(self.second_moment).index_add_(0, part, torch.ones_like(losses))
        total = torch.zeros_like(self.second_moment).index_add_(0, part, losses**2)
        mean = torch.where(seen > 0, total / seen.clamp(min=1), self.second_moment)
        self.second_moment.lerp_(mean, 0.1)


@torch.random.fork_rng()  # the caller's random numbers go on as if nothing had happened
def train(
    dataset: Dataset,
    config: TrainConfig | None = None,
    *,
    start: Model | None = None,
    checkpoint: str | Path | None = None,
    save_every: int = 500,
    device=None,
    progress: bool = True,
) -> Model:
    """Train a DDPM on `dataset.train` and return it with the averaged weights.

    `start` is a trained model of the same network and size whose weights are the first ones, to train it on with
    another loss or noise schedule; a second output that it has not starts afresh.

    With a `checkpoint` file, the whole state is written there every `save_every` steps; after Ctrl-C or a crash the
    same call goes on from it and ends where an uninterrupted run on the same device would, because the images,
    timesteps and noise of a step depend on the seed and the number of the step alone.

    Where a launcher started several processes, each takes its share of every batch and gradients are averaged (DDP):
    without dropout, the same training up to rounding. `docs/many_machines.md` tells how.

    Raises FloatingPointError, naming the step, if the loss is not finite (the checkpoint stays at the last good one);
    ValueError if the checkpoint belongs to another run, or the processes cannot share a batch evenly.

    >>> model = train(load_dataset("two-moons"), TrainConfig(T=100, steps=50, width=32))  # doctest: +SKIP
    """
    config = config or TrainConfig()
    device = usable_device(device)
    processes = Processes(device)
    if config.batch_size % processes.size:
        raise ValueError(
            f"batch_size = {config.batch_size} cannot be shared evenly by {processes.size} processes; give a multiple."
        )
    noise = config.noise()
    size = (config.width, config.depth, config.dropout)
    if config.loss not in SECOND:
        raise ValueError(f"loss = {config.loss!r} is not known; expected one of {', '.join(SECOND)}.")
    architecture = Architecture(config.network, dataset.shape, dataset.levels, *size, SECOND[config.loss])
    torch.manual_seed(config.seed)
    network = architecture.build().to(device)
    if start is not None:
        _take_weights(network, architecture, start)
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay, fused=True)
    model = Model(architecture, average, noise)
    images = model.images(dataset.train)
    model.about = {"dataset": dataset.name, "data_id": fingerprint(dataset.train), "config": asdict(config)}
    if start is not None:
        model.about["start"] = {"id": start.id, **start.about}
    timesteps = Timesteps(noise.T, config.loss == "vlb", device)
    done = 0
    if checkpoint and Path(checkpoint).exists():
        done = _restore(Path(checkpoint), model, network, optimizer, timesteps)

    network.train()
    forward = processes.prepare(network)
    mine = slice(processes.rank, None, processes.size)  # every process draws the whole batch, and works on its share
    bar = tqdm(
        range(done, config.steps),
        "training",
        initial=done,
        total=config.steps,
        unit="step",
        disable=not (progress and processes.main),
    )
    first_bad = torch.tensor(-1, device=device)  # kept on the device: asking it at every step would stall a GPU
    shown = None
    try:
        for step in bar:
            torch.manual_seed(config.seed * 1_000_003 + step)  # dropout's randomness included
            chosen = torch.randint(len(images), (config.batch_size,), device=device)
            t, weights = timesteps.draw(config.batch_size)
            eps = torch.randn((config.batch_size, *dataset.shape), device=device)
            if processes.rank:
                torch.manual_seed((config.seed * 1_000_003 + step) * 1009 + processes.rank)  # another dropout each
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * _ramp(step, config.steps)
            with processes.autocast():
                each = losses(model, forward, config.loss, images[chosen[mine]], t[mine], eps[mine])
            if timesteps.importance:
                timesteps.update(processes.gather(t[mine]), processes.gather(each.detach()))
            loss = (weights[mine] * each).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            first_bad = torch.where((first_bad < 0) & ~torch.isfinite(loss.detach()), step, first_bad)
            optimizer.step()
            with torch.no_grad():
                decay = min(config.ema, (1 + step) / (10 + step))  # a young average forgets its random start faster
                for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                    kept.lerp_(new, 1 - decay)
            save = (step + 1) % save_every == 0 or step + 1 == config.steps
            if save or step % 50 == 0:
                if first_bad < 0 and not all(weight.isfinite().all() for weight in average.parameters()):
                    first_bad = torch.tensor(step)  # the last step itself broke the weights
                if first_bad >= 0:
                    raise FloatingPointError(
                        f"Training left the finite numbers at step {first_bad.item()}; lower learning_rate "
                        f"(now {config.learning_rate}) or check the data."
                    )
                shown = loss.item() if shown is None else 0.9 * shown + 0.1 * loss.item()
                bar.set_postfix(loss=f"{shown:.4f}")
            if save and checkpoint and processes.main:
                _save(checkpoint, step + 1, model, network, optimizer, timesteps)
    except KeyboardInterrupt:
        bar.close()
        if checkpoint and Path(checkpoint).exists():
            print(f"Interrupted: the same command goes on from the last checkpoint, {checkpoint}.")
        raise
    return model


def _take_weights(network: torch.nn.Module, architecture: Architecture, start: Model) -> None:
    """Copy the weights of `start` into the network, all but those of a second output of another meaning."""
    expected = replace(architecture, second=start.second, dropout=start.architecture.dropout)
    if start.architecture != expected:
        raise ValueError(f"start has {start.architecture}; expected the network that is to be trained, {expected}.")
    with torch.no_grad():
        weights = network.state_dict()  # these share the network's memory
        for name, weight in start.network.state_dict().items():
            outputs = 1 if start.second is None else 2
            kept = len(weight) if start.second == architecture.second else len(weight) // outputs
            rows = kept if name.startswith("last.") else len(weight)  # eps comes first in the last layer
            weights[name][:rows] = weight[:rows]


def _ramp(step: int, steps: int) -> float:
    """Learning rate as a fraction of its peak."""
    return min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _save(path: str | Path, step: int, model: Model, network, optimizer, timesteps: Timesteps) -> None:
    tensors = {"second_moment": timesteps.second_moment}
    tensors |= {f"average.{name}": w for name, w in model.network.state_dict().items()}
    for name, weight in network.named_parameters():
        tensors[f"weight.{name}"] = weight
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"{moment}.{name}"] = optimizer.state[weight][moment]
    write_tensors(path, tensors, model.noise, model.architecture, model.about | {"step": step})


def _restore(path: Path, model: Model, network, optimizer, timesteps: Timesteps) -> int:
    """Put a checkpoint's state where it belongs; return the number of steps it has behind it."""
    tensors, _, _, about = read_tensors(path)
    step = about.pop("step", None)
    if step is None or about != model.about:
        raise ValueError(
            f"{path} is not a checkpoint of this run (another data set, configuration or seed); "
            "give the same settings to go on, or another file to start anew."
        )
    model.network.load_state_dict({name: tensors[f"average.{name}"] for name in model.network.state_dict()})
    timesteps.second_moment.copy_(tensors["second_moment"])
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(tensors[f"weight.{name}"])
            optimizer.state[weight] = {"step": torch.tensor(float(step), device=weight.device)} | {
                moment: tensors[f"{moment}.{name}"].to(weight.device) for moment in ("exp_avg", "exp_avg_sq")
            }
    return step

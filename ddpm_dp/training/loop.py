"""The training loop: AdamW with a warm-up and a cosine, and a moving average of the weights, which is what is kept."""

import copy
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm.auto import tqdm

from ddpm_dp.datasets import Dataset
from ddpm_dp.files import fingerprint
from ddpm_dp.memory import refuse_beyond_memory
from ddpm_dp.models.architectures import Architecture
from ddpm_dp.models.trained import Model
from ddpm_dp.processes import Processes, usable_device
from ddpm_dp.training.checkpoint import State
from ddpm_dp.training.config import TrainConfig
from ddpm_dp.training.losses import LOSSES
from ddpm_dp.training.timesteps import Timesteps


@torch.random.fork_rng()  # the caller's random numbers go on as if nothing had happened
def train(
    dataset: Dataset,
    config: TrainConfig | None = None,
    *,
    start: Model | None = None,
    checkpoint: str | Path | None = None,
    save_every: int = 500,
    device: torch.device | str | None = None,
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

    >>> from ddpm_dp import load_dataset
    >>> short = TrainConfig(T=50, steps=2, width=8, depth=1)
    >>> train(load_dataset("two-moons"), short, device="cpu", progress=False).noise.T
    50
    """
    config = config or TrainConfig()
    device = usable_device(device)
    processes = Processes(device)
    if config.batch_size % processes.size:
        raise ValueError(
            f"batch_size = {config.batch_size} cannot be shared evenly by {processes.size} processes; give a multiple."
        )
    noise, loss_of = config.noise(), LOSSES.named(config.loss)
    size = (config.width, config.depth, config.dropout)
    architecture = Architecture(config.network, dataset.shape, dataset.levels, *size, loss_of.output)
    _refuse_beyond_memory(architecture, config, device)
    _seed(config.seed, device)
    network = architecture.build().to(device)
    if start is not None:
        _take_weights(network, architecture, start)
    average = copy.deepcopy(network)
    trained, averages = [*network.parameters()], [*average.parameters()]
    optimizer = torch.optim.AdamW(trained, weight_decay=config.weight_decay, fused=True)
    model = Model(architecture, average, noise)
    images = model.images(dataset.train)
    model.about = about_training(dataset, config, start)
    timesteps = Timesteps(noise.T, loss_of.importance, device)
    state = State(model, network, optimizer, timesteps)
    done = state.restore(Path(checkpoint)) if checkpoint and Path(checkpoint).exists() else 0

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
            _seed(config.seed * 1_000_003 + step, device)  # dropout's randomness included
            chosen = torch.randint(len(images), (config.batch_size,), device=device)
            t, weights = timesteps.draw(config.batch_size)
            eps = torch.randn((config.batch_size, *dataset.shape), device=device)
            if processes.rank:
                _seed((config.seed * 1_000_003 + step) * 1009 + processes.rank, device)  # another dropout each
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * _ramp(step, config.steps)
            with processes.autocast():
                each = loss_of(model, forward, images[chosen[mine]], t[mine], eps[mine])
            if timesteps.importance:
                timesteps.update(processes.gather(t[mine]), processes.gather(each.detach()))
            loss = (weights[mine] * each).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            first_bad = torch.where((first_bad < 0) & ~torch.isfinite(loss.detach()), step, first_bad)
            optimizer.step()
            with torch.no_grad():
                decay = min(config.ema, (1 + step) / (10 + step))  # a young average forgets its random start faster
                # All weights in one call: one by one they would keep a GPU waiting.
                get_ema_multi_avg_fn(decay)(averages, trained, None)
            save = (step + 1) % save_every == 0 or step + 1 == config.steps
            if save or step % 50 == 0:
                if first_bad < 0 and not all(weight.isfinite().all() for weight in averages):
                    first_bad = torch.tensor(step)  # the last step itself broke the weights
                if first_bad >= 0:
                    raise FloatingPointError(
                        f"Training left the finite numbers at step {first_bad.item()}; lower learning_rate "
                        f"(now {config.learning_rate}) or check the data."
                    )
                shown = loss.item() if shown is None else 0.9 * shown + 0.1 * loss.item()
                bar.set_postfix(loss=f"{shown:.4f}")
            if save and checkpoint and processes.main:
                state.save(checkpoint, step + 1)
    except KeyboardInterrupt:
        bar.close()
        if checkpoint and Path(checkpoint).exists():
            print(f"Interrupted: the same command goes on from the last checkpoint, {checkpoint}.")
        raise
    return model


def _seed(seed: int, device: torch.device) -> None:
    """Seed the CPU's random numbers and the device's. To seed all devices takes a sixth of a small step on a CPU."""
    (torch.default_generator if device.type == "cpu" else torch).manual_seed(seed)


def about_training(dataset: Dataset, config: TrainConfig, start: Model | None) -> dict[str, Any]:
    """What the file of a model tells of its training."""
    about = {"dataset": dataset.name, "data_id": fingerprint(dataset.train), "config": asdict(config)}
    return about if start is None else about | {"start": {"id": start.id, **start.about}}


def _refuse_beyond_memory(architecture: Architecture, config: TrainConfig, device: torch.device) -> None:
    """Raise ValueError if the least that training takes is not there: float32 weights, their average, gradient and two
    moments, and some kilobytes of Python a layer; of each batch x_0, eps, x_t and the answer. Activations come on top.
    """
    weights = 5 * 4 * architecture.weights() + 10_000 * config.depth
    what = f"Training a network of width {config.width:,} and depth {config.depth:,}"
    refuse_beyond_memory(weights, what, "lower width or depth", device)
    batch = 4 * 4 * config.batch_size * math.prod(architecture.shape)
    refuse_beyond_memory(batch, f"A batch of {config.batch_size:,}", "lower batch_size", device)


def _take_weights(network: torch.nn.Module, architecture: Architecture, start: Model) -> None:
    """Copy the weights of `start` into the network, all but those of a second output of another meaning."""
    expected = replace(architecture, second=start.second, dropout=start.architecture.dropout)
    if start.architecture != expected:
        raise ValueError(f"start has {start.architecture}; expected the network that is to be trained, {expected}.")
    with torch.no_grad():
        weights = network.state_dict()  # these share the network's memory
        for name, weight in start.network.state_dict().items():
            kept = len(weight) if start.second == architecture.second else len(weight) // start.architecture.outputs
            rows = kept if name.startswith("last.") else len(weight)  # eps comes first in the last layer
            weights[name][:rows] = weight[:rows]


def _ramp(step: int, steps: int) -> float:
    """Learning rate as a fraction of its peak."""
    return min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))

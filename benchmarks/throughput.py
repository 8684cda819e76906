"""What `measure` and `train` cost beside the network: `python benchmarks/throughput.py` (about 12 minutes) prints three
tables and writes benchmarks/results/throughput.md. It needs diffusers ('.[pretrained]') and Fashion-MNIST.

`measure`, with its float64 sums, decoders and cells, against nothing but the forward passes of the same network on the
same batch at the same timesteps; the pass for all families against one for `posterior`, `beta` and `analytic` alone;
`train` against a loop as in diffusers' own example, with the same network and
batch. The two of a pair take turns in one process, on one core or one GPU, for a few steps; time runs from the end of
the first pass (of the optimiser's first step) to the end of the last, so what is done once for a whole run is left out.
"""

import math
import os
import platform
import time
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch.optim.optimizer import register_optimizer_step_post_hook

import ddpm_dp
from ddpm_dp.measuring import survey
from ddpm_dp.measuring.observers import FEW
from ddpm_dp.models.architectures import Architecture
from ddpm_dp.models.trained import Model
from ddpm_dp.processes import Processes
from ddpm_dp.statistics.filling import grid
from ddpm_dp.training.config import TrainConfig
from ddpm_dp.variances import FAMILIES, SCALAR

REPEATS = 5
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
# CPU time leaves out what others do on a shared machine; while a GPU works it says nothing.
CLOCKS = {"wall": time.perf_counter} if CUDA else {"CPU": time.process_time, "wall": time.perf_counter}
RESULTS = Path(__file__).parent / "results" / "throughput.md"


# What is timed --------------------------------------------------------------------------------------------------------


def random_images(n, shape):
    return 2 * np.random.default_rng(0).integers(0, 256, (n, *shape)) / 255 - 1


def untrained(width):
    """A network of random numbers, those too with which training begins at 0: else all pixels get the same answer."""
    architecture = Architecture("unet", (3, 64, 64), 256, width, 1, 0.0, "v")
    network = architecture.build()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return Model(architecture, network.to(DEVICE), ddpm_dp.NoiseSchedule.cosine(1000))


@torch.no_grad()
def forward_passes(model, images, timesteps):
    x = model.images(images)
    for t in grid(model.noise.T, timesteps):
        model.network(x, torch.tensor([t / model.noise.T], dtype=torch.float32, device=DEVICE))


def diffusers_loop(dataset, config):
    """The loop of examples/unconditional_image_generation; the images lie in memory, as they do for `train`."""
    size = (config.width, config.depth, config.dropout)
    network = Architecture(config.network, dataset.shape, dataset.levels, *size).build().to(DEVICE)
    scheduler = diffusers.DDPMScheduler(config.T, beta_schedule="squaredcos_cap_v2")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    rate = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=config.steps)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    images = torch.from_numpy(dataset.train).to(DEVICE)
    processes = Processes(DEVICE)  # for the precision of `train`
    for _ in range(config.steps):
        x_0 = images[torch.randint(len(images), (config.batch_size,), device=DEVICE)]
        eps = torch.randn(x_0.shape, device=DEVICE)
        t = torch.randint(config.T, (config.batch_size,), device=DEVICE)
        x_t = scheduler.add_noise(x_0, eps, t)
        with processes.autocast():
            eps_hat = network(x_t, (t + 1) / config.T)
            loss = torch.nn.functional.mse_loss(eps_hat.float(), eps)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        average.step(network.parameters())


# Measuring ------------------------------------------------------------------------------------------------------------


def now():
    """What each clock says when the device has done its work."""
    if CUDA:
        torch.cuda.synchronize()
    return np.array([clock() for clock in CLOCKS.values()])


def seconds_between(register, times, run):
    """Seconds of a run, from the first to the last of so many calls of a hook."""
    seen, calls = [], count(1)

    def hook(*_):
        if next(calls) in (1, times):
            seen.append(now())

    handle = register(hook)
    run()
    handle.remove()
    return seen[1] - seen[0]


def row(name, work, register, times, plain, ours):
    """A line of a table: `work` a second of each, and the ratio of speeds, ours over plain, run for run."""
    pair = (plain, ours)
    for run in pair:  # the first run chooses kernels
        run()
    seconds = np.array([[seconds_between(register, times, run) for run in pair] for _ in range(REPEATS)])
    speeds = [f"{speed:,.3g}" for speed in work * (times - 1) / np.median(seconds[:, :, 0], axis=0)]
    ratios = (seconds[:, 0] / seconds[:, 1]).T  # (clock, repeat)
    shown = [f"{np.median(ratio):.2f} ({ratio.min():.2f} - {ratio.max():.2f})" for ratio in ratios]
    return f"| {' | '.join([name, *speeds, *shown])} |"


def head(*columns):
    columns += tuple(f"ratio, {clock} time (least - most)" for clock in CLOCKS)
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"


# The report -----------------------------------------------------------------------------------------------------------


def machine():
    with open("/proc/cpuinfo") as lines:
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    device = f"cuda, {torch.cuda.get_device_name()}" if CUDA else "cpu"
    return (
        f"{model}, {os.cpu_count()} cores, {platform.machine()}; device {device}; threads {torch.get_num_threads()}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}; "
        f"load at the start {os.getloadavg()[0]:.1f}"
    )


def measuring(say):
    random = random_images(256, (3, 64, 64))
    digits, hybrid = (ddpm_dp.load(name, DEVICE) for name in ("digits", "fashion-mnist/hybrid"))
    cases = (  # images at once on a CPU and on a GPU, timesteps
        ("digits, MLP", digits, ddpm_dp.load_dataset("digits").train, (1437, 1437), 25),
        ("fashion-mnist/hybrid, UNet, 28x28", hybrid, ddpm_dp.load_dataset("fashion-mnist").test, (64, 2048), 8),
        ("untrained UNet, 64x64, width 16", untrained(16), random, (32, 256), 9),
        ("untrained UNet, 64x64, width 32", untrained(32), random, (32, 256), 7),
    )
    say(f"## `measure`: images x timesteps per second of {next(iter(CLOCKS))} time\n")
    say(head("model", "images", "forward passes", "measure"))
    for name, model, data, at_once, timesteps in cases:
        images = data[: at_once[CUDA]]
        plain = partial(forward_passes, model, images, timesteps)
        ours = partial(ddpm_dp.measure, model, images, timesteps=timesteps, progress=False)
        name = f"{name} | {len(images):,}"
        say(row(name, len(images), model.network.register_forward_hook, timesteps, plain, ours))
    say("")


@contextmanager
def scalar_families_alone():
    """A pass that knows no families but those that m_t prices."""
    everybody = survey.observed_families
    survey.observed_families = lambda denoiser: [FAMILIES[name] for name in SCALAR]
    try:
        yield
    finally:
        survey.observed_families = everybody


def all_families(say):
    at_once, timesteps = 32, 4
    say("## The pass for all families: images x timesteps per second, beside a pass for scalar families\n")
    say(f"{at_once} images at once. The weights of a score are fitted to {FEW:,} coefficients, some")
    say(f"{math.ceil(FEW / (3 * 64 * 64))} of these images: a part of a pass that gets smaller with more images.\n")
    say(head("UNet, 64x64", "images", "scalar families", "all families"))
    for width, n in ((16, 512), (32, 128)):
        model, images = untrained(width), random_images(n, (3, 64, 64))

        def run(model=model, images=images):
            ddpm_dp.measure(model, images, timesteps=timesteps, batch_size=at_once, progress=False)

        def scalar(run=run):
            with scalar_families_alone():
                run()

        # To the first evaluation of the last timestep: whole timesteps, with their second looks.
        times = (timesteps - 1) * n // at_once + 1
        say(row(f"width {width} | {n}", at_once, model.network.register_forward_hook, times, scalar, run))
    say("")


def training(say):
    say(f"## `train`: steps per second of {next(iter(CLOCKS))} time\n")
    say(head("UNet of width 16", "images", "diffusers' loop", "train"))
    for shape, batch_size in (((1, 28, 28), 64), ((3, 64, 64), 8)):
        images = random_images(256, shape).astype(np.float32)
        dataset = ddpm_dp.Dataset("random", images, images, 256)
        config = TrainConfig(network="unet", width=16, depth=1, dropout=0.0, batch_size=batch_size, steps=7)
        plain = partial(diffusers_loop, dataset, config)
        ours = partial(ddpm_dp.train, dataset, config, device=DEVICE, progress=False)
        name = f"{shape[1]}x{shape[2]} | {batch_size}"
        say(row(name, 1, register_optimizer_step_post_hook, config.steps, plain, ours))


def main():
    torch.set_num_threads(1)
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    say("# Throughput: what this package costs beside the network\n")
    say(f"`python benchmarks/throughput.py`. {machine()}.\n")
    say(f"Speeds are medians of {REPEATS} runs, ratios medians over pairs of neighbouring runs; 1.00: as fast as.\n")
    measuring(say)
    all_families(say)
    training(say)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

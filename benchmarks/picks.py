"""What a user would pick: K = 10 timesteps for a diffusers model, by habit, by a published list, and by the search.

`python benchmarks/picks.py` trains a small `UNet2DModel` on the digits with a `DDPMScheduler` of T = 1,000 (some five
minutes on one CPU core; interrupted, the same command goes on), keeps it as a diffusers pipeline in out/picks, measures
it, draws n images along each path with each sampler, and writes benchmarks/results/picks.json.

A row is one choice of timesteps: those of DDPMScheduler's three spacings, as the scheduler itself gives them; EDM's
rho = 7; the three lists of 10 noise levels that Align Your Steps published (Sabour, Fidler, Kreis 2024, arXiv
2404.14507), as diffusers has them, at the timesteps of this model with the nearest log SNR; and those of the search.
It has held-out bits/dim under two reverse variances, and the Frechet distance (of 64 pixels, not FID) to held-out
digits of images drawn with those two and with DDIM.

`leading`, diffusers' default, starts below T, from noise that x_t there is not quite. That is priced as what it is: a
DDPM that ends there, measured by itself.
"""

import argparse
import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.schedulers import AysSchedules
from drawn import SEED, bits, frechet, in_batches, say
from tqdm.auto import tqdm

import ddpm_dp
from ddpm_dp.files import fingerprint, write_whole
from ddpm_dp.pretrained.network import Pretrained
from ddpm_dp.reporting.compare import decoder_in_words
from ddpm_dp.strides import nearest

K = 10  # the length of the published lists
VARIANCES = ("posterior", "spectral")  # DDPMScheduler's own (fixed_small), and ours
TIMESTEPS = 100  # that are measured, of 1,000
BATCH, RATE = 64, 4e-3  # rate: of 1e-3, 2e-3, 4e-3 that of the least loss after 300 steps; it falls to 0 as a cosine
AYS = {"SD 1.5": "StableDiffusionSigmas", "SDXL": "StableDiffusionXLSigmas", "SVD": "StableDiffusionVideoSigmas"}


def trained(folder: Path, steps: int) -> DDPMPipeline:
    """The pipeline of that folder, trained first if it is not there; goes on from the checkpoint beside it."""
    if (folder / "model_index.json").is_file():
        return DDPMPipeline.from_pretrained(folder)
    torch.manual_seed(SEED)
    unet = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
    )
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(unet.parameters(), RATE)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    parts = {"unet": unet, "optimizer": optimizer, "rate": cosine}
    checkpoint, begin = folder.with_suffix(".checkpoint"), 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        begin = state["step"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    images = torch.from_numpy(ddpm_dp.load_dataset("digits").train)
    for step in tqdm(range(begin, steps), "training", initial=begin, total=steps, unit="step"):
        rng = torch.Generator().manual_seed(step)  # of the step alone: an interrupted run ends with the same weights
        x_0 = images[torch.randint(len(images), (BATCH,), generator=rng)]
        eps, t = torch.randn(x_0.shape, generator=rng), torch.randint(1000, (BATCH,), generator=rng)
        loss = ((unet(scheduler.add_noise(x_0, eps, t), t).sample - eps) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cosine.step()
        if (step + 1) % 500 == 0:
            state = {name: part.state_dict() for name, part in parts.items()} | {"step": step + 1}
            write_whole(checkpoint, partial(torch.save, state))
    pipeline = DDPMPipeline(unet, scheduler)
    pipeline.save_pretrained(folder)
    checkpoint.unlink(missing_ok=True)
    return pipeline


def measured(model: Pretrained, folder: Path) -> ddpm_dp.Measured[ddpm_dp.DenoisingStatistics]:
    """The statistics of this model, from the files of an earlier call if there were one."""
    data, of_model = ddpm_dp.load_dataset("digits"), folder / model.id[:12]
    train, test = (of_model.with_suffix(f".{split}.npz") for split in ("train", "test"))
    few = min(TIMESTEPS, model.noise.T)
    if not train.is_file():
        ddpm_dp.measure(model, data.train, timesteps=few).save(train)
    if not test.is_file():
        fitted = ddpm_dp.DenoisingStatistics.load(train)
        ddpm_dp.measure(model, data.test, fitted=fitted, timesteps=few).save(test)
    return ddpm_dp.Measured.load(train, test)


def picks(noise: ddpm_dp.NoiseSchedule, train: ddpm_dp.DenoisingStatistics) -> dict[str, np.ndarray]:
    """name -> path; that of `leading` ends before T."""
    found = {}
    for spacing in ("leading", "linspace", "trailing"):
        scheduler = DDPMScheduler(num_train_timesteps=noise.T, timestep_spacing=spacing)
        scheduler.set_timesteps(K)
        found[f"DDPMScheduler, `{spacing}`"] = np.append(0, scheduler.timesteps.numpy()[::-1] + 1)
    found["EDM, rho = 7"] = ddpm_dp.STRIDES["karras"](noise, K)
    for name, sigmas in AYS.items():
        found[f"Align Your Steps, {name}"] = nearest(noise, -2 * np.log(AysSchedules[sigmas][-2::-1]))  # they end in 0
    for variance in VARIANCES:
        found[f"the search, `{variance}`"] = ddpm_dp.solve(ddpm_dp.step_costs(train, variance), K).path(K)
    return found


def ending_at(model: Pretrained, T: int) -> Pretrained:
    """The same network as a DDPM of the first T timesteps."""
    shorter = copy.copy(model)
    shorter.noise = ddpm_dp.NoiseSchedule(model.noise.abar[: T + 1])
    return shorter


def drawn_by(sampler: Callable[..., torch.Tensor], model: Pretrained, path: Any, size: int, seed: int) -> torch.Tensor:
    return sampler(model, path, size, seed=seed, progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1000, help="images per path and sampler; default: 1000")
    parser.add_argument("--steps", type=int, default=1500, help="of training; default: 1500")
    parser.add_argument("--folder", type=Path, default=Path("out/picks"), help="of the model; default: out/picks")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "picks.json")
    options = parser.parse_args()

    model = ddpm_dp.from_diffusers(trained(options.folder / "pipeline", options.steps), levels=17)
    both, data = measured(model, options.folder), ddpm_dp.load_dataset("digits")
    real = data.test.reshape(len(data.test), -1)
    result: dict[str, Any] = {
        "model_id": model.id,
        "training": f"a diffusers UNet2DModel, {options.steps:,} steps of {BATCH} digits",
        "data": fingerprint(data.train),
        "n": options.n,
        "seed": SEED,
        "torch": torch.__version__,
        "T": model.noise.T,
        "real": len(real),
        "floor": frechet(data.train.reshape(len(data.train), -1), real),
        "decoder": {variance: decoder_in_words(both.judge, variance, "fitted") for variance in VARIANCES},
        "all timesteps": {},
        "rows": {},
    }
    everything = range(model.noise.T + 1)
    for variance in VARIANCES:
        result["all timesteps"][variance] = bits(ddpm_dp.step_costs(both.judge, variance), everything)

    for name, path in tqdm(picks(model.noise, both.train).items(), "drawing", unit="path"):
        whole = path[-1] == model.noise.T
        walked = model if whole else ending_at(model, int(path[-1]))
        its = both if whole else measured(walked, options.folder)
        row: dict[str, Any] = {"path": path.tolist()}
        samplers: dict[str, Callable[..., torch.Tensor]] = {
            variance: partial(ddpm_dp.sample, variance=variance, statistics=its.train) for variance in VARIANCES
        }
        for sampler, draw in (samplers | {"DDIM": ddpm_dp.ddim}).items():
            images = in_batches(partial(drawn_by, draw, walked, path), options.n, 500)
            row[sampler] = frechet(images.reshape(options.n, -1).numpy(), real)
            if sampler in samplers:
                row[sampler] |= bits(ddpm_dp.step_costs(its.judge, sampler), path)
            say(row[sampler], name, sampler)
        result["rows"][name] = row
    write_whole(options.out, lambda temporary: temporary.write_text(json.dumps(result, indent=1) + "\n"))


if __name__ == "__main__":
    main()

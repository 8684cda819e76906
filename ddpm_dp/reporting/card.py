"""The card of a paths file, in Markdown: what it holds, what its paths cost, and how to use it elsewhere."""

from ddpm_dp.paths import PathFile
from ddpm_dp.variances import FAMILIES

WIDTH = 40  # characters of the longest bar


def card(chosen: PathFile, file: str) -> str:
    """The card of a paths file of that name: provenance, a table and a curve, and three lines for each sampler.

    >>> from ddpm_dp import DenoisingStatistics, Measured, path_file, shipped
    >>> train = DenoisingStatistics.load(shipped("digits/train.npz"))
    >>> text = card(path_file(Measured(train), {2: [0, 100, 1000]}, "analytic"), "timesteps.json")
    >>> text.splitlines()[0]
    '# Timesteps for a trained DDPM: `timesteps.json`'
    """
    K = max((K for K in chosen.paths if K <= 8), default=min(chosen.paths))  # the budget that the lines are written for
    return (
        "\n\n".join(
            [
                f"# Timesteps for a trained DDPM: `{file}`",
                f"For each number of steps K, the K of {chosen.T:,} timesteps that are best for sampling one model: on "
                f"the images that they were chosen on, no other K have a better {chosen.objective}. Found by dynamic "
                "programming ([Watson, Ho, Norouzi, Chan 2021](https://arxiv.org/abs/2106.03802)) with `ddpm_dp`; the "
                "model was not trained again.",
                _provenance(chosen),
                "## What they cost",
                _table(chosen),
                _curve(chosen),
                "## How to use them",
                _uses(chosen, file, K),
            ]
        )
        + "\n"
    )


def _provenance(chosen: PathFile) -> str:
    levels = "continuous" if chosen.levels is None else f"{chosen.levels} grey levels"
    shape = "" if chosen.shape is None else f" of shape {' x '.join(map(str, chosen.shape))}, {levels}"
    images = "images" if chosen.images is None else f"{chosen.images:,} images{shape}"
    held_out = "" if chosen.held_out_images is None else f"; priced on {chosen.held_out_images:,} others"
    rows = {
        "model": f"`{chosen.model_id}` (fingerprint); use them with no other",
        "chosen on": f"{images}, `{chosen.data_id}`{held_out}",
        "chosen by": chosen.objective,
        "reverse variance": f"`{chosen.variance}`: {FAMILIES.named(chosen.variance).words}",
        "decoder": f"`{chosen.decoder}`: {chosen.decoder_words}",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {words} |" for name, words in rows.items())])


def _table(chosen: PathFile) -> str:
    rows = ["| K | bits/dim, images chosen on | bits/dim, held-out images (standard error) |", "|---:|---:|---:|"]
    for K in sorted(chosen.paths):
        held_out = "{:.3f} ({:.3f})".format(*chosen.held_out[K]) if K in chosen.held_out else "not measured"
        rows.append(f"| {K} | {chosen.bits_per_dim[K]:.3f} | {held_out} |")
    return "Negative ELBO in bits per dimension.\n\n" + "\n".join(rows)


def _curve(chosen: PathFile) -> str:
    bits = {K: chosen.held_out[K][0] if chosen.held_out else chosen.bits_per_dim[K] for K in sorted(chosen.paths)}
    least = min(bits.values())
    most = max(max(bits.values()) - least, 1e-9)
    above = {K: of - least for K, of in bits.items()}
    bars = [f"{K:5d}  {'#' * round(WIDTH * of / most)} +{of:.3f}" for K, of in above.items()]
    where = "held-out images" if chosen.held_out else "the images chosen on"
    return "\n".join(["```text", f"    K  bits/dim above the cheapest of these, on {where}", *bars, "```"])


def _uses(chosen: PathFile, file: str, K: int) -> str:
    family = FAMILIES.named(chosen.variance)
    fitted = ', ddpm_dp.DenoisingStatistics.load("train.npz")' if family.fitted else ""
    beside = " `train.npz` has the training statistics, which hold what this variance fits." if fitted else ""
    blocks = [
        f"With [diffusers](https://github.com/huggingface/diffusers), in any pipeline of a UNet2DModel; then call "
        f"`pipeline(num_inference_steps={K})`.{beside}",
        "```python\n"
        "import ddpm_dp\n"
        f'path = ddpm_dp.PathFile.load("{file}").paths[{K}]\n'
        "pipeline.scheduler = ddpm_dp.path_scheduler("
        f'ddpm_dp.from_diffusers(pipeline), path, "{chosen.variance}"{fitted})\n'
        "```",
        "With improved- or guided-diffusion; `arguments` are the others of their `create_gaussian_diffusion`. Its "
        "noise is as its flags say.",
        "```python\n"
        "import json\n"
        f'path = json.load(open("{file}"))["paths"]["{K}"]\n'
        "diffusion = SpacedDiffusion(use_timesteps={t - 1 for t in path[1:]}, **arguments)\n"
        "```",
    ]
    if chosen.sigmas:
        blocks += [
            "With [k-diffusion](https://github.com/crowsonkb/k-diffusion), whose ancestral samplers add the noise of "
            "`posterior`; `denoiser` is the model in its form.",
            "```python\n"
            "import json, torch\n"
            f'sigmas = torch.tensor(json.load(open("{file}"))["sigmas"]["{K}"])\n'
            "samples = sample_euler_ancestral(denoiser, torch.randn(shape) * (1 + sigmas[0] ** 2) ** 0.5, sigmas)\n"
            "```",
        ]
    return "\n\n".join(blocks)

"""pretrained/refusals.py: what is said of every scheduler and every pipeline of the installed diffusers is right."""

import ast
import inspect
import json
import re
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler

from ddpm_dp import from_diffusers
from ddpm_dp.pretrained.refusals import OWN, REASONS, SAMPLERS, require_ddpm
from tests.pretrained.small import T, unet

SCHEDULERS = [name for name in dir(diffusers) if name.endswith("Scheduler")]
FOREIGN = [name for names in REASONS.values() for name in names]
NEEDED = {  # what a class cannot be made without
    "UnCLIPScheduler": {"beta_schedule": "squaredcos_cap_v2"},
    "AmusedScheduler": {"mask_token_id": 0},
    "VQDiffusionScheduler": {"num_vec_classes": 4},
    "RFD4ProteinaScheduler": {"schedule_mode": "power", "noise_mode": "1/t", "tsr_k": 1.0, "tsr_sigma": 1.0},
}
SCHEDULE = {"num_train_timesteps": T, "beta_start": 0.01, "beta_end": 0.3, "beta_schedule": "scaled_linear"}


def built(name, **options):
    """A scheduler with those of the options that it takes; None for a placeholder of what is not installed."""
    kind = getattr(diffusers, name)
    taken = inspect.signature(kind.__init__).parameters
    options = {option: value for option, value in options.items() if option in taken} | NEEDED.get(name, {})
    return None if inspect.signature(kind).parameters.keys() == {"args", "kwargs"} else kind(**options)


def one_sentence(error) -> str:
    text = str(error.value)
    assert text.endswith(".") and text.count(". ") == 0 and "from_config" not in text, text
    return text


def has_betas_of_its_own(scheduler) -> bool:
    """Whether it is variance-preserving at T timesteps: abar is the product of 1 - beta."""
    if not hasattr(scheduler, "alphas_cumprod"):
        return False
    return torch.allclose(torch.cumprod(1 - scheduler.betas, 0), scheduler.alphas_cumprod, atol=1e-6)


def test_each_scheduler_is_in_one_group():
    """A new version of diffusers with a new scheduler fails here: somebody must look at it."""
    known = [*OWN, *SAMPLERS, *FOREIGN]
    assert sorted(known) == sorted([*SCHEDULERS, "PathScheduler"])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_is_said_of_a_scheduler_is_right(name):
    """The advised line is run: it is read, and has the sampler's own schedule. No other is sent anywhere."""
    scheduler = built(name, **SCHEDULE)
    if scheduler is None:
        pytest.skip("needs a library that is not installed")
    if name in OWN:
        require_ddpm(scheduler)
        return
    with pytest.raises(ValueError, match=f"^{name} ") as error:
        from_diffusers(unet(), scheduler)
    advised = re.search(r"give (DDPMScheduler\(.*?\))(?=, with the)", one_sentence(error))
    assert bool(advised) == (name in SAMPLERS)
    if name in SAMPLERS:
        assert has_betas_of_its_own(scheduler)
        denoiser = from_diffusers(unet(), eval(advised[1]))
        # float32 products of up to 16 factors, in one order or another
        np.testing.assert_allclose(denoiser.noise.abar[1:], scheduler.alphas_cumprod, atol=1e-6)
    else:  # a distilled model's network is no denoiser, whatever its schedule
        assert not has_betas_of_its_own(scheduler) or name in ("LCMScheduler", "TCDScheduler")


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("kind", [DDPMScheduler, DDIMScheduler])
def test_from_config_does_not_make_a_ddpm_of_another_process(name, kind):
    """Its settings as a folder has them, given to `from_config` as other programs advise."""
    scheduler = built(name, **SCHEDULE)
    if scheduler is None:
        pytest.skip("needs a library that is not installed")
    settings = json.loads(scheduler.to_json_string())
    if name in FOREIGN:
        try:
            disguised = kind.from_config(settings)
        except (TypeError, ValueError, NotImplementedError):
            return  # diffusers refuses it by itself
        with pytest.raises(ValueError, match="made from the settings of another class") as error:
            from_diffusers(unet(), disguised)
        one_sentence(error)
    elif settings.get("beta_schedule") in ("scaled_linear", "linear"):
        same = from_diffusers(unet(), kind.from_config(settings | {"variance_type": "fixed_small"}))
        np.testing.assert_allclose(same.noise.abar[1:], scheduler.alphas_cumprod, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("EulerDiscreteScheduler", {"timestep_type": "continuous"}, "counts noise levels"),
        ("UniPCMultistepScheduler", {"use_flow_sigmas": True}, "not variance-preserving"),
    ],
)
def test_samplers_that_can_be_of_another_process(name, options, reason):
    with pytest.raises(ValueError, match=reason) as error:
        from_diffusers(unet(), built(name, **options))
    assert "trained_betas" not in one_sentence(error)


def test_what_is_no_scheduler_of_diffusers():
    with pytest.raises(ValueError, match="without its scheduler"):
        from_diffusers(unet(), None)
    with pytest.raises(ValueError, match="list is not known here as the scheduler"):
        from_diffusers(unet(), [])


def parts_of_all():
    """The parts of every pipeline class, {part: class}, from diffusers' source: most cannot be imported here."""
    root = Path(diffusers.__file__).parent
    classes = {}
    for file in [*root.glob("pipelines/**/*.py"), *root.glob("modular_pipelines/**/*.py")]:
        classes |= {node.name: node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)}

    def parts(name):
        if name not in classes:
            return {}
        for each in classes[name].body:
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                required = each.args.args[1 : len(each.args.args) - len(each.args.defaults)]
                return {arg.arg: ast.unparse(arg.annotation).split(" ")[0] for arg in required if arg.annotation}
        return next((found for base in classes[name].bases if (found := parts(ast.unparse(base)))), {})

    return {name: parts(name) for name in dir(diffusers) if name.endswith("Pipeline")}


def parts_of_some():
    """Those that have a UNet2DModel, or nearly, and a few others."""
    unet, vqvae = {"unet": "UNet2DModel"}, {"vqvae": "VQModel"}
    return {
        "ConsistencyModelPipeline": unet | {"scheduler": "CMStochasticIterativeScheduler"},
        "DDIMPipeline": unet | {"scheduler": "DDIMScheduler"},
        "DDPMPipeline": unet | {"scheduler": "DDPMScheduler"},
        "DanceDiffusionPipeline": {"unet": "UNet1DModel", "scheduler": "SchedulerMixin"},
        "LDMPipeline": unet | vqvae | {"scheduler": "DDIMScheduler"},
        "PNDMPipeline": unet | {"scheduler": "PNDMScheduler"},
        "RePaintPipeline": unet | {"scheduler": "RePaintScheduler"},
        "ScoreSdeVePipeline": unet | {"scheduler": "ScoreSdeVeScheduler"},
        "FluxPipeline": {"transformer": "FluxTransformer2DModel", "scheduler": "FlowMatchEulerDiscreteScheduler"},
    }


@pytest.mark.parametrize("pipelines", [parts_of_some, pytest.param(parts_of_all, marks=pytest.mark.nightly)])
def test_what_is_said_of_every_pipeline_is_right(pipelines, tmp_path):
    """From a folder's index: all 300-odd but two are refused, for the part that makes them so."""
    DDPMPipeline(unet().float(), DDPMScheduler(num_train_timesteps=T)).save_pretrained(tmp_path)
    index, config = tmp_path / "model_index.json", tmp_path / "scheduler" / "scheduler_config.json"
    read, refused = [], 0
    for name, parts in pipelines().items():
        # Modular pipelines have another index, and the base class no parts.
        if not parts or "Modular" in name:
            continue
        scheduler = parts.get("scheduler", "DDPMScheduler")
        scheduler = scheduler if scheduler in SCHEDULERS else {"DanceDiffusionPipeline": "IPNDMScheduler"}.get(name)
        scheduler = scheduler or "DDPMScheduler"
        there = {part: ["diffusers", kind] for part, kind in parts.items()} | {"scheduler": ["diffusers", scheduler]}
        index.write_text(json.dumps({"_class_name": name, **there}))
        made = built(scheduler, num_train_timesteps=T)
        config.write_text("{}" if made is None else made.to_json_string())
        extra = sorted({*parts} - {"unet", "scheduler"})
        try:
            from_diffusers(tmp_path)
            read.append(name)
        except ValueError as error:
            said = str(error)
            assert said.endswith(".") and said.count(". ") == 0 and "from_config" not in said, (name, said)
            assert (", ".join(extra) if extra else scheduler) in said, (name, said)
            refused += 1
    assert read == ["DDIMPipeline", "DDPMPipeline"] and refused > (250 if pipelines is parts_of_all else 6)

"""Small files of each format, and what is done to them: flips, truncations, and contents that no writer makes.

What has a broken seal must be refused or load the very same values. What is sealed again, as somebody would who means
to deceive, is made such that it must be refused. Refused means: a ValueError or OSError, one line that names the file.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddpm_dp import DenoisingStatistics, MixtureDenoiser, NoiseSchedule, PathFile, TrainConfig, load_dataset, measure
from ddpm_dp.files import seal
from ddpm_dp.files.arrays import write_arrays
from ddpm_dp.files.texts import write_object
from ddpm_dp.measuring import checkpoint
from ddpm_dp.models.files import save_sealed
from ddpm_dp.models.trained import load
from ddpm_dp.quality.classifier import Classifier, load_classifier
from ddpm_dp.training.loop import train

Change = Callable[[np.random.Generator, Path], None]  # writes a changed file to that path


@dataclass(frozen=True)
class Format:
    """A format: a whole file, how to read one and what it says, and how to make one that must be refused."""

    name: str
    file: Path
    read: Callable[[Path], Any]  # anything that == tells apart
    craft: Change


def formats(folder: Path) -> list[Format]:
    """One small file of each format, in that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = load_dataset("two-moons")
    kept = folder / "training.checkpoint"
    config = TrainConfig(T=12, steps=4, width=4, depth=1, batch_size=8)
    model = train(data, config, checkpoint=kept, device="cpu", progress=False)
    denoiser = MixtureDenoiser(NoiseSchedule.cosine(12), [[0.0, 0.0], [1.0, 0.0]], std=0.2, levels=3)
    images = np.random.default_rng(0).integers(-1, 2, (40, 2)).astype(np.float32)
    statistics = measure(denoiser, images, timesteps=6, progress=False)
    paths = PathFile(
        {2: np.array([0, 5, 12]), 1: np.array([0, 12])}, 12, "beta", "ELBO", "fitted", "words", "m", "d",
        {2: 2.5, 1: 8.0}, {2: (2.6, 0.1)},
    )  # fmt: skip
    rows = {t: {"a": np.full(3, float(t)), "b": np.arange(2)} for t in (1, 4, 9)}
    key, measured = {"model": "m", "seed": 7}, np.array([1, 4, 9, 12])
    checkpoint.save(folder / "rows.checkpoint", key, rows)
    return [
        Format("model", model.save(folder / "m.safetensors"), _model, _crafted_tensors("ddpm_dp", MODEL)),
        Format("training checkpoint", kept, _model, _crafted_tensors("ddpm_dp", MODEL | {"about/step": INT})),
        Format(
            "classifier",
            Classifier({"seed": 1}).save(folder / "c.safetensors"),
            lambda path: _tensors(load_classifier(path).state_dict()),
            _crafted_tensors("ddpm_dp_classifier", {"format": INT, "about": OBJECT}),
        ),
        Format("statistics", statistics.save(folder / "s.npz"), _statistics, _crafted_arrays(STATISTICS)),
        Format(
            "measuring checkpoint",
            folder / "rows.checkpoint",
            lambda path: _plain(checkpoint.restore(path, key, measured)),
            _crafted_arrays({"format": INT, "key": OBJECT, "key/model": TEXT, "key/seed": INT}),
        ),
        Format("paths", paths.save(folder / "p.json"), lambda path: _plain(vars(PathFile.load(path))), _crafted_paths),
    ]


def flip(rng: np.random.Generator, whole: bytes, path: Path) -> None:
    """One bit, or one byte, or a run of them."""
    content, at = bytearray(whole), int(rng.integers(len(whole)))
    kind = rng.integers(3)
    if kind == 0:
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        content[at] = int(rng.integers(256))
    else:
        content[at : at + int(rng.integers(1, 64))] = rng.bytes(int(rng.integers(1, 64)))
    path.write_bytes(content)


def truncate(rng: np.random.Generator, whole: bytes, path: Path) -> None:
    """Its beginning, its end, or its beginning and something else behind."""
    at = int(rng.integers(len(whole)))
    path.write_bytes([whole[:at], whole[at:], whole[:at] + rng.bytes(20), whole + rng.bytes(20)][rng.integers(4)])


# Of each place in a header what it may not be; "/" leads inward. `Wrong` values are of another type, or out of range.
DEEP = [[[[[[[[[[]]]]]]]]]]
INT = ["1", [], {}, True, 1.5, -1, 10**30, None, DEEP]
TEXT = [1, [], {}, True, None, 1.5, DEEP]
OBJECT = ["1", [], 1, True, None, 1.5]
SOME = ["1", [], {}, True, 1.5, -1, 10**30, DEEP]  # None may stand there
MODEL = {
    "format": INT,
    "architecture": OBJECT,
    "architecture/network": [*TEXT, "cat", "unet"],
    "architecture/shape": [*TEXT, "22", [2, 2], [10**9], [0], [-2], [2.0], ["2"], [True], [2] * 40],
    "architecture/levels": [*SOME, 0, 1, 17],
    "architecture/width": [*INT, 0, 6, 20_000, 10**7],
    "architecture/depth": [*INT, 0, 2, 10**7, 2**62],
    "architecture/dropout": ["1", [], {}, True, None, -0.5, 1, 1e300],
    "architecture/second": ["1", [], {}, True, 1.5, "v", "u"],
    "about": OBJECT,
    "about/config": OBJECT,
    "about/config/T": [[], {}, None, DEEP],
    "about/data_id": TEXT,
    "about/dataset": TEXT,
}
STATISTICS = {
    "format": [*INT, 1, 6],
    "shape": [*TEXT, [0], [-2], [2.0], ["2"], [10**30]],
    "levels": [*SOME, 0, 1],
    "model_id": TEXT,
    "data_id": TEXT,
    "fitted_on": TEXT,
    "seed": [*INT, 2**64],
    "n_classes": [*SOME, 0],
    "about": [*OBJECT, {"code": []}, {"code": {}}],
    "cells": [*OBJECT, {}, {"all": 1}, {"all": {}}, {"other": {"basis": "pixels", "output": None}}],
    "cells/all": OBJECT,
    "cells/all/basis": TEXT,
    "cells/all/output": [*SOME, "w"],
    "curves": ["1", {}, 1, True, None, [1], [[]], ["none"], DEEP],
}


def changed(rng: np.random.Generator, header: dict[str, Any], wrong: dict[str, list[Any]]) -> dict[str, Any]:
    """The header with one of its parts missing or what it may not be."""
    header = copy.deepcopy(header)
    place = [*wrong][rng.integers(len(wrong))]
    *above, name = place.split("/")
    inner = header
    for part in above:
        inner = inner[part]
    if rng.integers(8) == 0 and place not in OPTIONAL:
        del inner[name]
    else:
        inner[name] = wrong[place][rng.integers(len(wrong[place]))]
    return header


OPTIONAL = {"architecture/second", "about/config", "about/config/T", "about/data_id", "about/dataset", "about/step"}
OPTIONAL |= {"key/model", "key/seed"}


def _crafted_tensors(kind: str, wrong: dict[str, list[Any]]) -> Change:
    def craft(rng: np.random.Generator, path: Path) -> None:
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[kind])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        names, which = sorted(tensors), rng.integers(7)
        name = names[rng.integers(len(names))]
        if which == 0:
            del tensors[name]
        elif which == 1:
            tensors[f"{name}x"] = torch.zeros(1)
        elif which == 2:
            tensors[name] = tensors[name][None]
        elif which == 3:
            tensors[name] = tensors[name].to((torch.int64, torch.bool, torch.bfloat16)[rng.integers(3)])
        else:
            header = changed(rng, header, wrong)
        save_sealed(path, tensors, kind, header)

    return craft


def _crafted_arrays(wrong: dict[str, list[Any]]) -> Change:
    def craft(rng: np.random.Generator, path: Path) -> None:
        with np.load(path) as content:
            arrays = dict(content)
        header, names = json.loads(str(arrays.pop("header"))), sorted(arrays)
        name, which = names[rng.integers(len(names))], rng.integers(9)
        order = "measured" if "measured" in arrays else "t"
        steps = arrays[order]
        if which == 0 and name not in ("images", "a", "b"):
            del arrays[name]
        elif which == 1:
            arrays[name] = arrays[name][None]
        elif which == 2:
            arrays[name] = arrays[name].astype((complex, "U4", "S4", "M8[s]")[rng.integers(4)])
        elif which == 3:
            arrays[order] = (steps[::-1], steps[[0, *range(len(steps) - 1)]], steps * 10**6, -steps)[rng.integers(4)]
        elif which == 4 and order == "measured":
            name = ("abar", "counts", "prior", "cells.all.error_of_group", "cells.all.fitted")[rng.integers(5)]
            arrays[name] = arrays[name].astype(float)
            arrays[name].flat[rng.integers(arrays[name].size)] = (np.nan, np.inf, -np.inf)[rng.integers(3)]
        elif which == 5:
            arrays[name] = np.concatenate([arrays[name], arrays[name]])
        elif which == 6:
            arrays[name] = np.zeros(20_000_000, np.uint8)
        else:
            header = changed(rng, header, wrong)
        write_arrays(path, header, arrays)

    return craft


PATHS = {
    "ddpm_dp_paths": [*INT, 2, 5],
    "T": [*INT, 0, 1, 11, 13],
    "variance": TEXT,
    "objective": TEXT,
    "decoder": TEXT,
    "decoder_words": TEXT,
    "model_id": TEXT,
    "data_id": TEXT,
    "bits_per_dim": [*OBJECT, {"2": "1"}, {"2": None}, {"2": [1]}, {"3": 1.0}, {"2.0": 1.0}, {"": 1.0}, {"-2": 1.0}],
    "held_out": [*OBJECT, {"2": 1}, {"2": [1]}, {"2": [1, 2, 3]}, {"2": [None, 1]}, {"2": ["1", 1]}, {"x": [1, 1]}],
    "paths": [*OBJECT, {"2": 1}, {"2": []}, {"2": [0, 12]}, {"1": [0, 11]}, {"1": [12, 0]}, {"2": [0, 5.0, 12]}],
    "sigmas": [
        *OBJECT,
        {"2": 1},
        {"2": [1.0, 0.5, 0.5]},
        {"2": [1.0, 2.0, 0]},
        {"2": [1.0, 0]},
        {"3": [3.0, 2.0, 1.0, 0]},
    ],
    "shape": ["1", {}, 1, True, [0], [-2], [2.5], ["2"], DEEP],
    "levels": [*SOME, 0],
    "images": [*SOME, 0],
    "held_out_images": [*SOME, 0],
    "paths/2": [*TEXT, [0, 0, 12], [0, 13, 12], [1, 5, 12], [0, 10**30, 12], [0, "5", 12], [False, 5, 12]],
}


def _crafted_paths(rng: np.random.Generator, path: Path) -> None:
    content = json.loads(path.read_text())
    del content["seal"]
    which = rng.integers(8)
    if which == 0:  # as deep as its length allows
        text = "[" * int(10 ** rng.uniform(3, 5.5))
        path.write_text(f'{{"seal": "{seal.OPEN}", "T": {text}')
        seal.close(path)
        return
    write_object(path, changed(rng, content, PATHS), str)


def _model(path: Path) -> Any:
    model = load(path, "cpu")
    return model.architecture, model.about, model.noise.abar.tolist(), _tensors(model.network.state_dict())


def _statistics(path: Path) -> Any:
    return _plain(vars(DenoisingStatistics.load(path)))


def _tensors(tensors: dict[str, torch.Tensor]) -> Any:
    return {name: tensor.tolist() for name, tensor in tensors.items()}


def _plain(value: Any) -> Any:
    """All numbers of an object, as lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return _plain(vars(value)) if hasattr(value, "__dict__") else value


def inputs(format: Format, n: int) -> Iterator[tuple[str, bytes]]:
    """Of each fault its name and n changed files, always the same; each is written to `format.file`'s neighbour."""
    whole, path = format.file.read_bytes(), format.file.with_name(f"changed {format.file.name}")
    faults: dict[str, Change] = {
        "flips": lambda rng, path: flip(rng, whole, path),
        "truncations": lambda rng, path: truncate(rng, whole, path),
        "crafted, sealed": format.craft,
    }
    for number, (fault, change) in enumerate(faults.items()):
        rng = np.random.default_rng([number, sum(format.name.encode())])
        for _ in range(n):
            path.write_bytes(whole)
            change(rng, path)
            yield fault, path.read_bytes()

"""One experiment, as its file tells it: data, models in the order of training, and how to measure them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ddpm_dp.training.config import TrainConfig


@dataclass(frozen=True)
class Data:
    """Which data set; `size` for a folder of images."""

    name: str
    size: int | None = None


@dataclass(frozen=True)
class Job:
    """One model: the folder it goes to, what to train, and the folder of the model whose weights it begins with."""

    folder: str
    config: TrainConfig
    start: str | None = None


@dataclass(frozen=True)
class Measurement:
    """How to measure: the arguments of `measure`; None: all images, all timesteps."""

    images: int | None = None
    timesteps: int | None = None
    batch_size: int = 2048


@dataclass(frozen=True)
class Experiment:
    """What `ddpm-dp experiment NAME` does.

    Attributes:
        name: that of the file.
        words: what it is, in a line.
        data: the images.
        models: in the order in which they are trained.
        measurement: of each model, on training and then on held-out images.
    """

    name: str
    words: str
    data: Data
    models: tuple[Job, ...]
    measurement: Measurement = field(default_factory=Measurement)

    @classmethod
    def read(cls, file: Path) -> "Experiment":
        """Read a file with `words`, `[data]`, `[model]` (what all have in common), `[models.FOLDER]` and `[measure]`.

        Raises ValueError, naming the file, for settings that are not known or make no sense.
        """
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
            common = content.pop("model", {})
            jobs = tuple(cls._job(folder, common | own) for folder, own in content.pop("models").items())
            for i, job in enumerate(jobs):
                if job.start is not None and job.start not in [earlier.folder for earlier in jobs[:i]]:
                    raise ValueError(f"{job.folder} starts from {job.start}, which is not trained before it")
            return cls(
                file.stem,
                content.pop("words"),
                Data(**content.pop("data")),
                jobs,
                Measurement(**content.pop("measure", {})),
                **content,
            )
        except KeyError as error:
            raise ValueError(f"{file} is not the file of an experiment: it lacks {error}.") from error
        except (TypeError, ValueError) as error:  # ValueError: what tomllib raises, too
            raise ValueError(f"{file} is not the file of an experiment: {str(error).rstrip('.')}.") from error

    @staticmethod
    def _job(folder: str, settings: Mapping[str, Any]) -> Job:
        known = {each.name for each in fields(TrainConfig)}
        config = TrainConfig(**{name: value for name, value in settings.items() if name in known})
        return Job(folder, config, **{name: value for name, value in settings.items() if name not in known})

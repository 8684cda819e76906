"""Run an experiment into a folder; cut off at any time, the same call goes on where it was."""

from pathlib import Path

from ddpm_dp.datasets import load_dataset
from ddpm_dp.experiments.experiment import Experiment
from ddpm_dp.experiments.jobs import measure_to, train_to, was_measured, was_trained
from ddpm_dp.models.trained import Model, load
from ddpm_dp.statistics import DenoisingStatistics


def run(experiment: Experiment, out: Path, data_path: Path | None = None, device: str | None = None) -> None:
    """Train, then measure on training and on held-out images, every model of an experiment.

    `out` gets a folder for each model, with model.safetensors (16 bits a weight), train.npz and test.npz. What is there
    already, whole and with these very settings, is kept; statistics of an earlier version, which do not know their
    images, are told which those are. `data_path` is the `path` of `load_dataset`.

    Raises ValueError if a file is there that has other settings, or as `train` and `measure` do.
    """
    data = load_dataset(experiment.data.name, path=data_path, size=experiment.data.size)
    models: dict[str, Model] = {}
    for job in experiment.models:
        file = out / job.folder / "model.safetensors"
        start = models[job.start] if job.start else None
        if not file.exists():
            train_to(file, data, job.config, start, half=True, device=device)
        models[job.folder] = load(file, device)
        if not was_trained(file, data, job.config, start):
            raise ValueError(f"{file} was trained otherwise than {experiment.name} says; give another --out.")

    settings = experiment.measurement
    for job in experiment.models:
        fitted = None
        for split, images in {"train": data.train, "test": data.test}.items():
            file, chosen = out / job.folder / f"{split}.npz", images[: settings.images]
            model, timesteps = models[job.folder], settings.timesteps
            if not file.exists():
                measure_to(file, model, chosen, fitted, timesteps, batch_size=settings.batch_size, split=split)
            found = DenoisingStatistics.load(file)
            if not was_measured(found, model, chosen, fitted, timesteps):
                raise ValueError(f"{file} was measured otherwise than {experiment.name} says; give another --out.")
            if found.images is None:  # of an earlier version: the images are at hand, and have just been compared
                found = found.of_images(chosen, fitted)
                print(f"Recorded in {found.save(file)} which images it is of.")
            fitted = fitted or found

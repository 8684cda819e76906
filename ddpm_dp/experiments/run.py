"""Run an experiment into a folder; cut off at any time, the same call goes on where it was."""

from dataclasses import asdict
from pathlib import Path

from ddpm_dp.datasets import load_dataset
from ddpm_dp.experiments.experiment import Experiment
from ddpm_dp.experiments.jobs import measure_to, train_to
from ddpm_dp.files import fingerprint
from ddpm_dp.models.trained import Model, load
from ddpm_dp.statistics import DenoisingStatistics
from ddpm_dp.statistics.filling import grid
from ddpm_dp.training.config import TrainConfig


def run(experiment: Experiment, out: Path, data_path: Path | None = None, device: str | None = None) -> None:
    """Train, then measure on training and on held-out images, every model of an experiment.

    `out` gets a folder for each model, with model.safetensors (16 bits a weight), train.npz and test.npz. What is there
    already, whole and with these very settings, is kept; `data_path` is the `path` of `load_dataset`.

    Raises ValueError if a file is there that has other settings, or as `train` and `measure` do.
    """
    data = load_dataset(experiment.data.name, path=data_path, size=experiment.data.size)
    models: dict[str, Model] = {}
    for job in experiment.models:
        file = out / job.folder / "model.safetensors"
        start = models[job.start] if job.start else None
        if not file.exists():
            train_to(file, data, job.config, start, half=True, device=device)
        model = models[job.folder] = load(file, device)
        # A setting that is younger than the file had its default.
        config = asdict(TrainConfig()) | model.about.get("config", {})
        trained = config, model.about.get("data_id"), model.about.get("start", {}).get("id")
        if trained != (asdict(job.config), fingerprint(data.train), start.id if start else None):
            raise ValueError(f"{file} was trained otherwise than {experiment.name} says; give another --out.")

    settings = experiment.measurement
    for job in experiment.models:
        fitted = None
        for split, images in {"train": data.train, "test": data.test}.items():
            file, chosen = out / job.folder / f"{split}.npz", images[: settings.images]
            if not file.exists():
                model = models[job.folder]
                measure_to(file, model, chosen, fitted, settings.timesteps, batch_size=settings.batch_size)
            found = DenoisingStatistics.load(file)
            timesteps = grid(found.T, settings.timesteps or found.T).tolist()
            expected = models[job.folder].id, fingerprint(chosen), (fitted or found).data_id, timesteps
            if (found.model_id, found.data_id, found.fitted_on, found.measured.tolist()) != expected:
                raise ValueError(f"{file} was measured otherwise than {experiment.name} says; give another --out.")
            fitted = fitted or found

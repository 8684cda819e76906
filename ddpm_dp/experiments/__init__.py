"""Experiments: what trained and measured the models that ship, as files of numbers with a reason beside each.

`ddpm-dp experiment NAME` runs one. A file in this folder is an experiment: its name is the file's.
"""

from pathlib import Path

from ddpm_dp.experiments.experiment import Experiment
from ddpm_dp.registry import Registry

EXPERIMENTS = Registry("experiment", [Experiment.read(file) for file in sorted(Path(__file__).parent.glob("*.toml"))])

__all__ = ["EXPERIMENTS", "Experiment"]

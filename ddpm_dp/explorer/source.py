"""Where the explorer's numbers come from: one model's statistics, with their names and files."""

from __future__ import annotations

import json
import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_dp.files import DATA
from ddpm_dp.statistics import DenoisingStatistics, Measured
from ddpm_dp.variances import served

if TYPE_CHECKING:
    from ddpm_dp.models.denoiser import Denoiser


@dataclass(frozen=True, eq=False)
class Source(Measured[DenoisingStatistics]):
    """`Measured` statistics of one model, and what the screen says of them.

    Args:
        name: as menus and titles have it.
        python: how Python names the file of the training statistics.
        model: the model itself, what `ddpm_dp.load` takes, or None: then there are no samples.

    Raises ValueError as `Measured` does.

    >>> source = Source.open(shipped_sources()["digits"], "digits")
    >>> source.T, source.model, "analytic" in source.variances
    (1000, 'digits', True)
    """

    _: KW_ONLY
    name: str
    python: str = '"train.npz"'
    model: str | Denoiser | None = None

    @classmethod
    def open(cls, path: str | Path, name: str | None = None) -> Source:
        """Read a training statistics file, or a folder with a train.npz; a test.npz and a model beside it are used too.

        Without a name it has that of its folder.

        Raises FileNotFoundError or ValueError, in one sentence, if there is no such file or the files do not match.
        """
        file = Path(os.path.expanduser(path))  # "~" itself where nobody knows the user's home
        file = file / "train.npz" if file.is_dir() else file
        test, model = file.with_name("test.npz"), file.with_name("model.safetensors")
        both = Measured.load(file, test if test.is_file() and test != file else None)
        if file.resolve().is_relative_to(DATA.resolve()):
            shipped = file.resolve().relative_to(DATA.resolve())
            python, known = f'ddpm_dp.shipped("{shipped.as_posix()}")', shipped.parent.as_posix()
        else:
            python, known = json.dumps(file.name), str(model)  # its folder is nobody's business
        return cls(
            both.train,
            both.held_out,
            name=name or file.resolve().parent.name,
            python=python,
            model=known if model.is_file() else None,
        )

    @classmethod
    def named(cls, name: str | Path) -> Source:
        """A model that ships, by its name, or what `open` takes."""
        shipped = shipped_sources().get(str(name))
        return cls.open(name) if shipped is None else cls.open(shipped, str(name))

    @staticmethod
    def files(name: str | Path) -> list[Path]:
        """The files that `named` reads, where they are there."""
        folder = shipped_sources().get(str(name), Path(os.path.expanduser(name)))
        folder = folder if folder.is_dir() else folder.parent
        return [Path(name), *(folder / file for file in ("train.npz", "test.npz", "model.safetensors"))]

    @property
    def T(self) -> int:
        return self.train.T

    @property
    def priced_on(self) -> DenoisingStatistics:
        """The statistics that prices are read from: the training ones where nothing was held out."""
        return self.held_out or self.train

    @property
    def variances(self) -> tuple[str, ...]:
        """The reverse variances that both files can price."""
        return served(self.train, self.priced_on)


def shipped_sources() -> dict[str, Path]:
    """The folders under data/ that hold a train.npz and a test.npz, by name ("digits", "fashion-mnist/hybrid", ...)."""
    folders = sorted(file.parent for file in DATA.rglob("train.npz") if file.with_name("test.npz").is_file())
    return {folder.relative_to(DATA).as_posix(): folder for folder in folders}

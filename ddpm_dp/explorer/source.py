"""Where the explorer's numbers come from: one model's statistics, with their names and files."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from ddpm_dp.files import DATA
from ddpm_dp.statistics import DenoisingStatistics, Measured
from ddpm_dp.variances import served


@dataclass(frozen=True, eq=False)
class Source(Measured[DenoisingStatistics]):
    """`Measured` statistics of one model, and what the screen says of them.

    Args:
        name: as menus and titles have it.
        file: where the training statistics come from, as a reader would write it.
        model: what `ddpm_dp.load` takes, or None: then there are no samples.

    Raises ValueError as `Measured` does.

    >>> source = Source.open(shipped_sources()["digits"], "digits")
    >>> source.T, source.model, "analytic" in source.variances
    (1000, 'digits', True)
    """

    _: KW_ONLY
    name: str
    file: str = "train.npz"
    model: str | None = None

    @classmethod
    def open(cls, path: str | Path, name: str | None = None) -> "Source":
        """Read a training statistics file, or a folder with a train.npz; a test.npz and a model beside it are used too.

        Raises FileNotFoundError or ValueError, in one sentence, if there is no such file or the files do not match.
        """
        file = Path(path).expanduser()
        file = file / "train.npz" if file.is_dir() else file
        test, model = file.with_name("test.npz"), file.with_name("model.safetensors")
        both = Measured.load(file, test if test.is_file() and test != file else None)
        ships = file.resolve().is_relative_to(DATA.resolve())
        written = file.resolve().relative_to(DATA.resolve()).as_posix() if ships else str(file)
        known = written.rpartition("/")[0] if ships else str(model)
        return cls(
            both.train,
            both.held_out,
            name=name or str(file),
            file=written,
            model=known if model.is_file() else None,
        )

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

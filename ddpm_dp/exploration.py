"""What the budget explorer knows, without its widgets: curves, paths, prices and words for one model's statistics.

A `Source` is a model's statistics, on training and on held-out images. An `Exploration` is one search of them, under
one reverse variance and one objective. A `View` is one budget of that: all that is on the screen, as numbers and
sentences.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ddpm_dp.costs import StepCosts, bits_per_dim, step_costs, weighted_costs
from ddpm_dp.files import DATA
from ddpm_dp.paths import as_path
from ddpm_dp.solver import solve
from ddpm_dp.statistics import DenoisingStatistics
from ddpm_dp.strides import STRIDES
from ddpm_dp.variances import DECODERS, SCALAR, VARIANCES, decoder_of

OBJECTIVES = ("ELBO", "MSE reweighting")
MINE = "my own path"
DP = "DP"
CURVE_POINTS = 48


@dataclass(frozen=True, eq=False)
class Source:
    """Statistics of one model: `training`, where paths are chosen; `held_out`, where they are priced, or None.

    `file` is where `training` comes from, as a reader would write it; `model` what `ddpm_dp.load` takes, or None.

    Raises ValueError if the two are not of one model, or were not measured for each other.
    """

    name: str
    training: DenoisingStatistics
    held_out: DenoisingStatistics | None = None
    file: str = "train.npz"
    model: str | None = None

    def __post_init__(self):
        training, held_out = self.training, self.held_out
        if training.fitted_on != training.data_id:
            raise ValueError(
                f"{self.file} holds held-out statistics (its m_t was fitted on other images); give the training ones."
            )
        if held_out is None:
            return
        held_out.require_model(training.model_id, f"the training file {self.file}")
        if held_out.fitted_on != training.data_id:
            raise ValueError(
                f"The held-out statistics were not measured with fitted={self.file}; measure the held-out images again."
            )

    @classmethod
    def load(cls, path: str | Path, name: str | None = None) -> "Source":
        """Read a training statistics file, or a folder with a train.npz; a test.npz and a model beside it are used too.

        Raises FileNotFoundError or ValueError, in one sentence, if there is no such file or the files do not match.
        """
        file = Path(path).expanduser()
        file = file / "train.npz" if file.is_dir() else file
        training = DenoisingStatistics.load(file)
        test, model = file.with_name("test.npz"), file.with_name("model.safetensors")
        held_out = DenoisingStatistics.load(test) if test.is_file() and test != file else None
        ships = file.resolve().is_relative_to(DATA.resolve())
        written = file.resolve().relative_to(DATA.resolve()).as_posix() if ships else str(file)
        known = written.rpartition("/")[0] if ships else str(model)
        return cls(name or str(file), training, held_out, written, known if model.is_file() else None)

    @property
    def T(self) -> int:
        return self.training.T

    @property
    def judge(self) -> DenoisingStatistics:
        """The statistics that prices are read from."""
        return self.held_out or self.training

    @property
    def variances(self) -> tuple[str, ...]:
        """The reverse variances that both files can price."""
        return tuple(v for v in VARIANCES if all(decoder_of(v) in s.decoder for s in (self.training, self.judge)))


def shipped_sources() -> dict[str, Path]:
    """The folders under data/ that hold a train.npz and a test.npz, by name ("digits", "fashion-mnist/hybrid", ...)."""
    folders = sorted(file.parent for file in DATA.rglob("train.npz") if file.with_name("test.npz").is_file())
    return {folder.relative_to(DATA).as_posix(): folder for folder in folders}


def is_quick(variance: str, objective: str) -> bool:
    """Whether the search needs no table: a fraction of a second at T = 4,000, else some seconds."""
    return variance in SCALAR or objective != "ELBO"


class Exploration:
    """Every budget's best path for one source, reverse variance and objective.

    `chosen_by` prices steps as the search does (the objective, on training images), `prices` as they are reported (the
    negative ELBO, on held-out images where there are any).

    >>> view = Exploration(Source.load(shipped_sources()["digits"]), "analytic").at(32)  # doctest: +SKIP
    >>> print(view.sentences[0])  # doctest: +SKIP
    """

    def __init__(self, source: Source, variance: str = "analytic", objective: str = "ELBO"):
        if objective not in OBJECTIVES:
            raise ValueError(f"objective = {objective!r} is not known; expected one of {', '.join(OBJECTIVES)}.")
        self.source, self.variance, self.objective, self.T = source, variance, objective, source.T
        self.prices = step_costs(source.judge, variance)
        self.chosen_by: StepCosts = (
            step_costs(source.training, variance)
            if objective == "ELBO"
            else weighted_costs(source.training, -np.arange(self.T + 1))
        )
        self.best = solve(self.chosen_by)
        self._curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def path(self, name: str, K: int) -> np.ndarray:
        """The path of K steps of that name: `DP`, or one of STRIDES. Raises ValueError unless 1 <= K <= T."""
        K = self.budget(K)
        return self.best.path(K) if name == DP else STRIDES[name](self.source.training.noise, K)

    def budget(self, K) -> int:
        """K, if there is a path of so many steps; else ValueError."""
        if isinstance(K, bool) or not isinstance(K, (int, np.integer)) or not 1 <= K <= self.T:
            raise ValueError(f"K = {K} steps; expected a whole number from 1 to T = {self.T}.")
        return int(K)

    @cached_property
    def budgets(self) -> np.ndarray:
        """The budgets at which curves are priced, most of them evenly spread in log K."""
        spread = np.round(np.geomspace(1, self.T, CURVE_POINTS)).astype(int)
        return np.unique([*spread, *(self.T - i for i in (5, 20, 80) if i < self.T)])  # the last steps cost most

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Bits/dim and standard error at `budgets`, of the DP or a stride."""
        if name not in self._curves:
            self._curves[name] = tuple(np.array([self.bits(self.path(name, K)) for K in self.budgets.tolist()]).T)
        return self._curves[name]

    def bits(self, path) -> tuple[float, float]:
        """Bits/dim of a path as it is reported, and its standard error."""
        price = self.prices.of(path)
        return float(self.in_bits(price.total)), float(self.in_bits(price.standard_error))

    @cached_property
    def all_steps(self) -> tuple[float, float]:
        """Bits/dim of the whole path 0, 1, ..., T, and its standard error."""
        return self.bits(np.arange(self.T + 1))

    def in_bits(self, nats):
        return bits_per_dim(nats, self.source.judge.d)

    def score(self, path) -> float:
        """What the search minimises: bits/dim on training images, or the weighted squared error per dimension."""
        nats = self.chosen_by.of(path).total
        d = self.source.training.d
        return float(bits_per_dim(nats, d) if self.objective == "ELBO" else nats / d)

    def parse(self, text: str) -> np.ndarray:
        """A path from what a reader typed, such as "0, 100, 400, 1000". Raises ValueError if it is none."""
        words = text.replace(",", " ").replace(";", " ").strip("[]() \n").split()
        try:
            path = [int(word) for word in words]
        except ValueError:
            wrong = next(word for word in words if not word.lstrip("+-").isdecimal())
            raise ValueError(f"{wrong!r} is not a whole number; write a path as 0, 100, 400, {self.T}.") from None
        if len(path) < 2:
            raise ValueError(f"A path has at least two timesteps; write it as 0, 100, 400, {self.T}.")
        return as_path(path, self.T)

    def at(self, K: int, rival: str = "even", mine=None) -> "View":
        """What is to be seen at budget K beside a stride, or beside a reader's path `mine` (rival = MINE).

        Raises ValueError for a K outside 1..T, an unknown rival, or a `mine` that is no path of K steps.
        """
        best = self.path(DP, K)
        if rival == MINE:
            other = as_path(mine, self.T)
            if len(other) - 1 != K:
                raise ValueError(f"Your path has {len(other) - 1} steps, the budget is K = {K}; make them agree.")
        elif rival in STRIDES:
            other = self.path(rival, K)
        else:
            raise ValueError(f"rival = {rival!r} is not known; expected one of {', '.join((*STRIDES, MINE))}.")
        return View(self, len(best) - 1, rival, best, other)


@dataclass(frozen=True, eq=False)
class View:
    """One budget: the DP's path `best`, the path beside it `other`, and what both cost."""

    exploration: Exploration
    K: int
    rival: str
    best: np.ndarray
    other: np.ndarray

    @cached_property
    def bits(self) -> dict[str, tuple[float, float]]:
        """Bits/dim and standard error of both paths, as reported."""
        return {name: self.exploration.bits(path) for name, path in self.paths.items()}

    @property
    def paths(self) -> dict[str, np.ndarray]:
        return {DP: self.best, self.rival: self.other}

    @cached_property
    def step_bits(self) -> dict[str, np.ndarray]:
        """Bits/dim of each step of both paths; entry 0 is the decoder's."""
        prices = self.exploration.prices
        return {name: self.exploration.in_bits(prices.of(path).steps) for name, path in self.paths.items()}

    @property
    def prior_bits(self) -> float:
        return float(self.exploration.in_bits(self.exploration.prices.prior))

    @cached_property
    def gap(self) -> tuple[float, float]:
        """Bits/dim that the DP's K steps cost more than all T steps, and its standard error (the images are shared)."""
        if self.exploration.variance in SCALAR:
            return self._difference(self.best, np.arange(self.exploration.T + 1))
        return self.bits[DP][0] - self.exploration.all_steps[0], np.nan  # histograms: too slow for a drag

    @cached_property
    def lead(self) -> tuple[float, float]:
        """Bits/dim that the other path costs more than the DP's, and its standard error."""
        return self._difference(self.other, self.best)

    def _difference(self, path, other) -> tuple[float, float]:
        nats, error = self.exploration.prices.difference(path, other)
        return float(self.exploration.in_bits(nats)), float(self.exploration.in_bits(error))

    @cached_property
    def contest(self) -> float:
        """How much worse than the optimum the other path is, by what the search minimises. Never below 0: it ties."""
        mine, optimum = self.exploration.score(self.other), self.exploration.score(self.best)
        return 0.0 if np.isclose(mine, optimum, rtol=1e-10, atol=0) else mine - optimum

    @cached_property
    def sentences(self) -> list[str]:
        """What the pictures show, in words."""
        source, T = self.exploration.source, self.exploration.T
        (best, error), (other, _) = self.bits[DP], self.bits[self.rival]
        where = f"{source.judge.n} held-out images" if source.held_out else "the training images themselves"
        steps = "1 step" if self.K == 1 else f"{self.K:,} steps"
        said = [f"{steps} of {T:,}: the DP's path costs {best:.3f} bits/dim, {self.rival} costs {other:.3f}."]
        if self.K == T:
            said.append("This is the whole path: there is nothing to choose.")
        else:
            gap, gap_error = self.gap
            more = "more" if gap >= 0 else "less"
            spread = f" (standard error {gap_error:.3f})" if np.isfinite(gap_error) else ""
            said.append(
                f"All {T:,} steps cost {best - gap:.3f}: the DP's {self.K:,} cost {abs(gap):.3f} {more}{spread}."
            )
        if self.rival == MINE:
            said.append(self._verdict())
        if self.exploration.objective != "ELBO":
            said.append("The DP's path minimises the weighted squared error here, not the bits/dim that are shown.")
        level = f", standard error {error:.3f} for the level of all curves" if np.isfinite(error) else ""
        said.append(f"Priced on {where}{level}; decoder: {DECODERS[decoder_of(self.exploration.variance)]}.")
        return said

    def _verdict(self) -> str:
        e = self.exploration
        unit = "bits/dim on the training images" if e.objective == "ELBO" else "weighted squared error per dimension"
        if self.contest == 0:
            return f"A tie! Where the DP chose ({unit}), no path of {self.K:,} steps is cheaper than yours."
        return (
            f"Where the DP chose, yours costs {e.score(self.other):.4f} and the optimum {e.score(self.best):.4f} "
            f"({unit}): {self.contest:.4f} to go."
        )

    def python(self, seed: int = 0) -> str:
        """The lines of Python that give this path and these samples."""
        e, source = self.exploration, self.exploration.source
        ships = not Path(source.file).is_absolute() and (DATA / source.file).is_file()
        file = f'ddpm_dp.shipped("{source.file}")' if ships else repr(source.file)
        costs = (
            f'ddpm_dp.step_costs(stats, variance="{e.variance}")'
            if e.objective == "ELBO"
            else "ddpm_dp.weighted_costs(stats, [-t for t in range(stats.T + 1)])"
        )
        model = repr(source.model or "model.safetensors").replace("'", '"')
        lines = [
            "import ddpm_dp",
            "",
            f"stats = ddpm_dp.DenoisingStatistics.load({file})",
            f"costs = {costs}",
            f"best = ddpm_dp.solve(costs, budgets={self.K})",
            f"path = best.path({self.K})",
            f"model = ddpm_dp.load({model})",
            f'images = ddpm_dp.sample(model, path, n=16, variance="{e.variance}", statistics=stats, seed={seed})',
        ]
        if self.rival == MINE:
            lines += [f"mine = {self.other.tolist()}", "mine_nats = costs.of(mine).total"]
        return "\n".join(lines)

    def diffusers(self) -> str:
        """The DP's path as diffusers' schedulers take it: timesteps=, descending, counted from 0."""
        return str([int(t) - 1 for t in reversed(self.best[1:])])

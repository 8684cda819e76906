"""Faults of the place where the package runs, and of tables that are almost Monge, as cases of `make torture`.

A case takes a folder and a number n of inputs, and yields the name of a fault and what came of it.
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ddpm_dp.files import DATA
from ddpm_dp.solver import solve
from tests.solver.examples import RTOL, against_monge

PACKAGE = Path(__file__).parents[1] / "ddpm_dp"
WORKED, REFUSED = "identical", "refused"
# Root may write everywhere: a user of no name, who may still read everything.
STRANGER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=-all,+dac_read_search"]  # fmt: skip


def read_only(folder: Path) -> Path:
    """A copy of the package and a shipped model that nobody can write to, and no compiled code in it."""
    copy = folder / "installed"
    shutil.copytree(PACKAGE, copy / "ddpm_dp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(DATA / "digits", copy / "data" / "digits")
    for path in [*copy.rglob("*"), copy]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    return copy


def places(folder: Path, n: int) -> Iterator[tuple[str, str]]:
    """`solve`, once each, where only the folder of its output can be written, for a user without a home or a name."""
    installed = read_only(folder)
    with tempfile.TemporaryDirectory() as out:  # not in `folder`, whose own folder is closed to strangers
        Path(out).chmod(0o777)
        yield from _solved(installed, Path(out))


def _solved(installed: Path, out: Path) -> Iterator[tuple[str, str]]:
    """The homes, and what came of each."""
    who = STRANGER if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    homes: dict[str, dict[str, str]] = {
        "no HOME": {},
        "a HOME that is not there": {"HOME": "/nowhere"},
        "a HOME that cannot be written": {"HOME": "/"},
    }
    for name, home in homes.items():
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1", **home}
        command = [*who, sys.executable, "-m", "ddpm_dp", "solve", str(installed / "data/digits/train.npz")]
        command += ["--budgets", "4", "--out", str(out / "paths.json")]
        done = subprocess.run(command, env=environment, cwd=out, capture_output=True, text=True)
        left = {path.name for path in out.iterdir()}
        one_line = done.stderr.count("\n") == 1 and "compiles in memory" in done.stderr
        if done.returncode == 0 and one_line and left == {"paths.json", "paths.card.md"}:
            yield name, WORKED
        elif done.returncode == 2 and done.stderr.count("\n") == 1:
            yield name, REFUSED
        else:
            yield name, f"status {done.returncode}, left {left}: {done.stderr[-200:]}"


def almost_monge(folder: Path, n: int) -> Iterator[tuple[str, str]]:
    """Tables whose every quadrangle breaks the Monge inequality by less than the test allows."""
    for seed in range(n):
        L = against_monge(200, seed)
        off = abs(solve(L).values[1:] / solve(L, method="dense").values[1:] - 1).max()
        yield "tables almost Monge", WORKED if off <= RTOL else f"wrong by {off:.0e}"


CASES = [places, almost_monge]

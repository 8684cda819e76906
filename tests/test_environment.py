"""The environment is pinned once: whoever installs this package, and wherever, uses constraints.txt."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
PINS = dict(line.split("==") for line in LINES)


def test_every_dependency_is_pinned_once_where_pyproject_allows_it():
    assert len(PINS) == len(LINES)
    for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]:
        wanted = Requirement(line)
        assert wanted.name in PINS, f"constraints.txt has no version of {wanted.name}"
        assert wanted.specifier.contains(PINS[wanted.name]), f"{line} does not allow {PINS[wanted.name]}"


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("environment.yml", r"--constraint constraints\.txt"),
        (".binder/postBuild", r"pip install .*-c constraints\.txt -e '\.\[notebooks,"),
        ("docs/commands.md", r"%pip install -c \w+/constraints\.txt -e \w+"),
        ("Makefile", r"CONSTRAINTS \?= constraints\.txt"),
    ],
)
def test_every_place_installs_with_the_constraints(file, line):
    assert re.search(line, (ROOT / file).read_text()), f"{file} does not say {line}"


def test_every_install_in_the_makefile_is_constrained():
    text = (ROOT / "Makefile").read_text()
    (install,) = [line for line in text.splitlines() if "pip install" in line]
    assert install.startswith("INSTALL = ") and "-c $(CONSTRAINTS)" in install and text.count("$(INSTALL)") >= 3


def test_extras_that_are_asked_for_exist():
    asked = [
        extra
        for file in ("environment.yml", ".binder/postBuild", "Makefile")
        for extras in re.findall(r"\.\[([\w,]+)\]", (ROOT / file).read_text())
        for extra in extras.split(",")
    ]
    assert set(asked) == set(EXTRAS)


def test_binder_has_the_same_torch():
    """It takes torch from conda-forge, so the version stands there a second time."""
    assert f"pytorch-cpu={PINS['torch']}\n" in (ROOT / ".binder" / "environment.yml").read_text()

"""What an index, a citation and a changelog say of the package: one version, one address, one list of Pythons."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version
from ruamel.yaml import YAML

import ddpm_dp

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADDRESS = PROJECT["urls"]["Repository"]
CITATION = YAML(typ="safe").load(ROOT / "CITATION.cff")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
PYTHONS = [line.split()[-1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]


def test_the_version_stands_in_one_place_and_agrees_elsewhere():
    assert "version" not in PROJECT and PROJECT["dynamic"] == ["version"]
    assert str(Version(ddpm_dp.__version__)) == ddpm_dp.__version__ == CITATION["version"]


def test_the_citation_is_of_this_software_and_of_the_paper():
    assert CITATION["title"].startswith("ddpm_dp: ")
    assert CITATION["license"] in PROJECT["license"].split(" AND ")
    assert [person["family-names"] for person in CITATION["preferred-citation"]["authors"]] == [
        "Watson",
        "Ho",
        "Norouzi",
        "Chan",
    ]
    assert "2106.03802" in CITATION["preferred-citation"]["journal"]


def test_all_addresses_are_made_from_that_of_the_repository():
    site = runpy.run_path(str(ROOT / "docs" / "launch.py"))["site"]
    assert PROJECT["urls"] == {
        "Repository": ADDRESS,
        "Documentation": site(ADDRESS),
        "Issues": f"{ADDRESS}/issues",
        "Changelog": f"{ADDRESS}/blob/main/CHANGELOG.md",
    }


def faults(changelog: str, version: Version) -> list[str]:
    """What a changelog lacks by Keep a Changelog 1.1.0, and for that version."""
    headings = re.findall(r"^## (.+)$", changelog, re.M)
    found = [] if headings[:1] == ["[Unreleased]"] else ["the first section is not [Unreleased]"]
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in headings[1:]]
    if not all(dated):
        return [*found, "a released version is not '## [1.2.3] - 2026-01-31'"]
    releases = [(Version(each[1]), each[2]) for each in dated]
    if releases != sorted(releases, reverse=True):
        found.append("versions, or their dates, are not newest first")
    if not version.is_devrelease and (not releases or version != releases[0][0]):
        found.append(f"the newest section is not that of {version}")
    if version.is_devrelease and releases and version <= releases[0][0]:
        found.append(f"{version} was released already")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    if strange := set(re.findall(r"^### (.+)$", changelog, re.M)) - kinds:
        found.append(f"kinds of changes that are not known: {', '.join(sorted(strange))}")
    return found


def test_the_changelog_keeps_its_form_and_knows_the_version():
    assert faults(CHANGELOG, Version(ddpm_dp.__version__)) == []


@pytest.mark.parametrize(
    ("old", "new", "version", "fault"),
    [
        ("## [Unreleased]\n", "", "0.2.0.dev0", "Unreleased"),
        ("## [0.1.0] - 2026-11-23", "## 0.1.0", "0.2.0.dev0", "is not '##"),
        ("### Fixed", "### Repaired", "0.2.0.dev0", "Repaired"),
        ("", "", "0.2.0", "not that of 0.2.0"),
        ("", "", "0.1.0.dev1", "was released already"),
    ],
)
def test_a_changelog_that_lost_its_form_is_noticed(old, new, version, fault):
    assert fault in " ".join(faults(CHANGELOG.replace(old, new), Version(version)))


def test_the_oldest_python_is_the_same_everywhere():
    oldest = PYTHONS[0]
    assert PROJECT["requires-python"] == f">={oldest}"
    makefile = (ROOT / "Makefile").read_text()
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in makefile and f"PYTHON=python{oldest}" in makefile
    for file in ("environment.yml", ".binder/environment.yml"):
        assert f"python={oldest}" in YAML(typ="safe").load(ROOT / file)["dependencies"], file
    types = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["python_version"]
    assert types == oldest


def test_checkers_of_users_see_our_types():
    assert (ROOT / "ddpm_dp" / "py.typed").is_file()

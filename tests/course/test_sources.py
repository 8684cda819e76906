"""The bibliography and the texts: what is cited stands there, and what stands there is cited."""

import re
from pathlib import Path

import pytest

from tests.course.notebooks import ROOT

PAGE = (ROOT / "docs" / "bibliography.md").read_text()
ENTRIES = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n)+)", PAGE, re.M))
KINDS = {
    "arXiv": r"arxiv(?:\.org/\w+/|[:\s]\s*)(\d{4}\.\d{4,5})",
    "DOI": r"doi(?:\.org/|:\s*)(10\.\d{4,9}/[^\s\"'\]<>`;,\\]+)",
    "openreview": r"openreview\.net/\w+\?id=(\w+)",
}
# "Ho et al. 2020", "Nichol & Dhariwal (2021)", "Ou and others 2024", "Watson, Ho, Norouzi, Chan 2021".
NAMED = r"\b([A-Z][a-z][\w-]*)(?: et al\.?| and others|(?:(?:,| &| and) [A-Z][\w-]+)+),? \(?((?:19|20)\d\d)\b"
FILES = [
    *ROOT.glob("notebooks/*.ipynb"),
    *(file for file in ROOT.glob("docs/*.md") if file.name != "bibliography.md"),
    *ROOT.glob("ddpm_dp/**/*.py"),
    *ROOT.glob("ddpm_dp/**/*.toml"),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]


def text(file: Path) -> str:
    """A file without its pictures: base64 has no brackets, spaces or full stops, and finds nothing."""
    return re.sub(r'"image/\w+": "[^"]*"', "", file.read_text())


TEXTS = {file: text(file) for file in FILES}


def numbers(kind: str, words: str) -> set[str]:
    """The works of a kind, without what ends the sentence or closes the bracket that they stand in."""
    found = set()
    for number in re.findall(KINDS[kind], words, re.I):
        number = number.rstrip(".")
        while number.endswith(")") and number.count(")") > number.count("("):
            number = number[:-1].rstrip(".")
        found.add(number)
    return found


def anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def test_entries_are_sorted_and_whole():
    assert list(ENTRIES) == sorted(ENTRIES, key=str.lower) and len(ENTRIES) > 30
    for heading, entry in ENTRIES.items():
        assert re.fullmatch(r"[A-Z][A-Za-z-]+ (19|20)\d\db?", heading), f"{heading!r}: expected 'Name 2020'"
        authors, rest = entry.split("*", 1)
        assert len(authors.split()) > 1 and "*" in rest, f"{heading}: authors, then *title.*"
        assert re.search(r"\]\(https://", entry), f"{heading}: no link"
        assert re.search(r"\n\nTaken: [^*]{10,}\.\)?\n", entry), f"{heading}: what did we take?"


@pytest.mark.parametrize("kind", KINDS)
def test_every_work_that_is_cited_by_number_is_in_the_bibliography(kind):
    known, missing = numbers(kind, PAGE), {}
    for file, words in TEXTS.items():
        if lost := numbers(kind, words) - known:
            missing[file.name] = lost
    assert not missing and known


def test_every_work_that_is_cited_by_name_is_in_the_bibliography():
    """First author and year; the year may be that of the preprint or of the publication."""
    known = {
        (h.split()[0], year)
        for h, entry in ENTRIES.items()
        for year in re.findall(r"\b(?:19|20)\d\d\b", f"{h} {entry}")
    }
    missing = {
        (file.name, *cited) for file, words in TEXTS.items() for cited in re.findall(NAMED, words) if cited not in known
    }
    assert not missing


def test_links_lead_to_entries():
    linked = {link for words in TEXTS.values() for link in re.findall(r"bibliography\.md#([\w-]+)", words)}
    assert linked <= {anchor(heading) for heading in ENTRIES}, linked - {anchor(heading) for heading in ENTRIES}


@pytest.mark.parametrize("heading", ENTRIES)
def test_every_entry_is_cited(heading):
    every = "\n".join(TEXTS.values())
    name, year = heading.rstrip("b").split()
    cited = (
        any(numbers(kind, ENTRIES[heading]) & numbers(kind, every) for kind in KINDS)
        or f"bibliography.md#{anchor(heading)}" in every
        or re.search(rf"\b{name}(?: and \w+)?(?:'s\b|.{{0,60}}\b{year})", every)
    )
    assert cited, f"nobody cites {heading}"

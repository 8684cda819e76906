"""What every notebook owes its reader, beside what tests/test_book.py asks."""

import ast
import re

import pytest

from tests.course.claims import contradictions
from tests.course.notebooks import (
    ANSWER,
    FILES,
    PREDICT,
    ROOT,
    UNFOLDS,
    cells,
    exercises,
    said,
    settings_cell,
    source,
    tags,
)
from tests.course.reading import minutes

each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
WORDS = re.findall(r"^### (.+)$", GLOSSARY, re.M)


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def prose(file) -> str:
    return "\n".join(source(cell) for cell in cells(file) if cell["cell_type"] == "markdown")


@each
def test_it_says_how_long_it_takes(file):
    stated = re.search(r"\| \*\*Reading and running\*\* \| (\d+) minutes", prose(file))
    assert stated and int(stated[1]) == minutes(file), f"by tests/course/reading.py it takes {minutes(file)} minutes"


@each
def test_settings_are_one_cell_near_the_top(file):
    cell = settings_cell(file)
    code = [other for other in cells(file) if other["cell_type"] == "code"]
    assert code.index(cell) == 1, "imports, then settings"
    body = ast.parse(source(cell)).body
    assert body and all(isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) for line in body)
    for line in body:
        ast.literal_eval(line.value)
        assert line.targets[0].id.isupper()
    assert all("  # " in line for line in source(cell).splitlines() if not line.startswith("#")), "say what each is"


@each
def test_findings_are_folded(file):
    """Code that only makes a sentence is hidden, in JupyterLab and in the book: a finding is read once."""
    for cell in cells(file):
        if cell["cell_type"] != "code":
            continue
        last = ast.parse(source(cell)).body[-1]
        prints = isinstance(last, ast.Expr) and re.match(r"(?:display\()?Markdown\(", ast.unparse(last))
        assert bool(prints) == ("finding" in tags(cell)), source(cell)[-200:]
        assert ("finding" in tags(cell)) == bool(cell["metadata"].get("jupyter", {}).get("source_hidden"))


@each
def test_every_prediction_is_answered(file):
    text = "\n".join(said(cell) for cell in cells(file))
    asked = text.split(PREDICT)[1:]
    assert asked, "nothing is asked"
    for part in asked:
        assert ANSWER in part, f"no {ANSWER} follows: {PREDICT}{part[:120]}"


@each
def test_every_exercise_unfolds_into_a_hint_and_a_solution(file):
    numbered = re.findall(r"^\d+\. ", exercises(file), re.M)
    titles = [title for title, _ in UNFOLDS.findall(exercises(file))]
    assert titles == ["Hint", "Solution"] * len(numbered) and len(numbered) >= 3


@each
def test_its_words_lead_to_the_glossary(file):
    text = re.sub(UNFOLDS, "", prose(file))
    linked = set(re.findall(r"\]\(\.\./docs/glossary\.md#([\w-]+)\)", text))
    assert linked <= {anchor(word) for word in WORDS}, linked - {anchor(word) for word in WORDS}
    plain = re.sub(r"`[^`]*`|\$[^$]*\$", " ", text)
    used = {anchor(word) for word in WORDS if re.search(rf"\b{re.escape(word)}s?\b", plain, re.I)}
    common = {
        "path",
        "step",
        "price",
        "family",
        "objective",
        "basis",
        "cell",
        "prior",
        "budget",
        "decoder",
        "checkpoint",
    }
    assert not (used - common) - linked, f"never linked: {(used - common) - linked}"
    assert len(linked) >= 3


@each
def test_it_gives_credit(file):
    assert re.search(r"\]\((https://arxiv\.org/abs/|https://doi\.org/|\.\./docs/bibliography\.md#)", prose(file))


@each
def test_no_sentence_contradicts_its_number(file):
    for cell in cells(file):
        assert not list(contradictions(said(cell)))


@each
def test_every_column_has_a_name(file):
    """A reader who hears the page is told a name for each number; a table without any head at all needs none."""
    heads = re.compile(r"^(\|.+\|)\n\|(?: *:?-+:? *\|)+$", re.M)
    for head in (match[1] for cell in cells(file) for match in heads.finditer(said(cell))):
        names = [name.strip() for name in head.strip("|").split("|")]
        assert all(names) or not any(names), head

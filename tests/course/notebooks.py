"""A notebook as its file holds it, and what it says to its reader."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
UNFOLDS = re.compile(r"<details><summary>(.+?)</summary>\n\n(.*?)\n\n *</details>", re.S)
PREDICT, ANSWER = "**Predict", "**Answer.**"


def cells(file: Path) -> list[dict]:
    return json.loads(file.read_text())["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def said(cell: dict) -> str:
    """What a cell says: its own text, or the Markdown and plain text that it printed."""
    if cell["cell_type"] == "markdown":
        return source(cell)
    outputs = [o.get("data", {}).get("text/markdown", o.get("text", "")) for o in cell["outputs"]]
    return "\n\n".join("".join(output) for output in outputs)


def settings_cell(file: Path) -> dict:
    """The one code cell, near the top, that a reader may change without reading the rest."""
    found = [cell for cell in cells(file) if "settings" in tags(cell)]
    assert len(found) == 1, f"{file.name} has {len(found)} cells with the tag 'settings'; expected one"
    return found[0]


def exercises(file: Path) -> str:
    """The text between the last two headings."""
    prose = "\n".join(source(cell) for cell in cells(file) if cell["cell_type"] == "markdown")
    return prose.split("\n## Exercises\n")[1].split("\n## Summary\n")[0]


def solutions(file: Path) -> list[str]:
    """The code of each solution that has some, in order."""
    unfolding = [body for title, body in UNFOLDS.findall(exercises(file)) if title.startswith("Solution")]
    blocks = [re.findall(r"```python\n(.*?)```", body, re.S) for body in unfolding]
    return [re.sub(r"^   ", "", "\n".join(block), flags=re.M) for block in blocks if block]

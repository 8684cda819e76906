"""What git keeps of a notebook's outputs: all that the book shows, and none where students are to write.

`python .ci/outputs.py NOTEBOOK ...` says what is wrong; pre-commit calls it for what is committed,
the tests for all.
"""

import json
import sys
from pathlib import Path


def fault(file: Path) -> str | None:
    """One sentence, or None for a notebook as it should be."""
    code = [cell for cell in json.loads(file.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    if "assignments" in file.parts:
        if any(cell["outputs"] or cell["execution_count"] for cell in code):
            return f"{file} has outputs; a problem set is kept without: Kernel, Restart and Clear Outputs, and save."
        return None
    if [cell["execution_count"] for cell in code] != [*range(1, len(code) + 1)]:
        return f"{file} was not run from top to bottom; the book shows what is stored: Run All, and save."
    if any(output["output_type"] == "error" for cell in code for output in cell["outputs"]):
        return f"{file} stores an error; repair the cell, Run All, and save."
    if any("finding" in cell["metadata"].get("tags", []) and not cell["outputs"] for cell in code):
        return f"{file} has a finding without words; the book shows what is stored: Run All, and save."
    return None


if __name__ == "__main__":
    sys.exit("\n".join(filter(None, map(fault, map(Path, sys.argv[1:])))) or None)

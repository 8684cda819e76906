"""How long a notebook takes to read, by what stands in it.

    minutes = words / 120 + displayed formulas x 2 + lines of code / 10 + pictures x 0.5 + 1 to run it,

up to the next multiple of 5. 120 words a minute is a careful reader whose first language is another (silent reading of
easy English prose: some 240); a formula is followed with pencil and paper; ten lines of code a minute are read, not
skimmed. Solutions and hints, which unfold, and code that only prints a finding, which is folded, are not counted: doing
the exercises takes as long again. Two notebooks of the first edition were timed, at 90 minutes (the ELBO) and 120 (why
the search is fast); the formula gives 80 and 100 for them.
"""

import math
import re
from pathlib import Path

from tests.course.notebooks import UNFOLDS, cells, said, source, tags


def minutes(file: Path) -> int:
    words = formulas = lines = pictures = 0
    for cell in cells(file):
        text = re.sub(UNFOLDS, "", said(cell))
        display = re.findall(r"\$\$.*?\$\$|\\begin\{aligned\}.*?\\end\{aligned\}", text, re.S)
        formulas += len(re.findall(r"\$\$.*?\$\$", text, re.S))
        for formula in display:
            text = text.replace(formula, "")
        words += len(re.findall(r"\w+", re.sub(r"\$[^$]*\$", " x ", text)))
        if cell["cell_type"] == "code":
            lines += 0 if "finding" in tags(cell) else len([line for line in source(cell).splitlines() if line.strip()])
            pictures += sum("image/png" in output.get("data", {}) for output in cell["outputs"])
    exact = words / 120 + formulas * 2 + lines / 10 + pictures * 0.5 + 1
    return 5 * math.ceil(exact / 5)

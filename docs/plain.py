"""Markdown and formulas as somebody would read them out: for pictures' words and pages' descriptions."""

import re

# Markdown and formulas as somebody would read them out.
PLAIN = {
    r"\[([^\]]*)\]\([^)]*\)": r"\1",
    r"\*+|`|\$": "",
    r"\\leq?\b": "<=",
    r"\\geq?\b": ">=",
    r"\\cdot\b": "times",
    r"\\mathrm\{(\w+)\}": r"\1",
    r"\\([a-zA-Z]+)": r"\1",
    r"\\": "",
    r"\s+": " ",
}


def read_out(text: str) -> str:
    for pattern, words in PLAIN.items():
        text = re.sub(pattern, words, text)
    return text.strip()

"""Does a sentence contradict its own numbers? What a program can see of that, in the words of the course.

It reads no meaning: only comparisons of two printed numbers, changes from one number to another, parts of a whole, and
what no reader should meet (nan, None, "1 steps"). The rest is for those who write: a sentence about a number is made
from that number (`ddpm_dp.reporting.words`).
"""

import re
from collections.abc import Callable, Iterator

NUMBER = r"(-?(?:\d[\d,]*\.\d+|\d[\d,]*\d|\d)(?:e[+-]?\d+)?)"
UNIT = r"(?:%| ?[a-zA-Z/]+(?: [a-z]+)?)?"
MORE, LESS = r"(?:more|larger|higher|greater|longer)", r"(?:less|fewer|smaller|lower|shorter)"
RISES, FALLS = r"(?:rises?|grows?|climbs?)", r"(?:falls?|drops?|shrinks?)"
BETWEEN = rf"{NUMBER}{UNIT},? (?:is |are )?"

RULES: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "more than": (rf"{BETWEEN}{MORE} than {NUMBER}", lambda a, b: a > b),
    "less than": (rf"{BETWEEN}{LESS} than {NUMBER}", lambda a, b: a < b),
    "as much as": (rf"{NUMBER}{UNIT}, as (?:much|many) as {NUMBER}", lambda a, b: a == b),
    "rises": (rf"{RISES} from {NUMBER}{UNIT} to {NUMBER}", lambda a, b: a < b),
    "falls": (rf"{FALLS} from {NUMBER}{UNIT} to {NUMBER}", lambda a, b: a > b),
    "between": (rf"between {NUMBER}{UNIT} and {NUMBER}", lambda a, b: a <= b),
    "part of": (rf"{NUMBER} of(?: the| all)? {NUMBER} [a-z]", lambda a, b: a <= b),
}
NEVER = [
    r"\bnan\b",
    r"\bNone\b",
    r"-0(?:\.0+)?(?![\d.])",
    r"(?<![\d.,])1 (?:steps|images|timesteps|models)\b",
    r"(?<![\w^}\\])\{[a-z_]{2,}\}",
]


def contradictions(text: str) -> Iterator[str]:
    """The sentences, or parts of one, that are false by their own numbers.

    >>> list(contradictions("It loses 0.13 bits/dim, less than 0.1. It falls from 4.2 to 3.9."))
    ['0.13 bits/dim, less than 0.1']
    """
    text = re.sub(r"(?m)^\|.*\|$", "", text).replace("$", "").replace("{,}", ",").replace("**", "")
    for pattern, holds in RULES.values():
        for match in re.finditer(pattern, text):
            if not holds(*(float(number.replace(",", "")) for number in match.groups())):
                yield match[0]
    for pattern in NEVER:
        yield from (match[0] for match in re.finditer(pattern, text))

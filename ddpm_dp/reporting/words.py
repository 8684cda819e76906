"""Sentences that follow their numbers: the notebooks' findings say "more" or "fewer" by what was computed.

A sentence is compared with the number as it is *printed*: 0.0996 shown with one digit is 0.1, and not "less than 0.1".
"""

import re
from collections.abc import Iterable

# The numbers that words of the registries name: t, t_1, m_t, sigma_t^2, beta~_{t_2|t_1}, perhaps with a value.
NAMES = re.compile(r"(?<![\w`])(?:(?:beta~|sigma)(?:_\{[^}]*\}|_\w)?(?:\^\d)?|m_\w|t_\d|t(?= =))(?: = \d+)?(?![\w`])")


def against(value: float, limit: float, digits: int = 2, unit: str = "") -> str:
    """A value beside a limit.

    >>> against(0.127, 0.1), against(0.034, 0.1, unit=" bits/dim"), against(0.1004, 0.1)
    ('0.13, more than 0.1', '0.03 bits/dim, less than 0.1', '0.10, as much as 0.1')
    """
    shown = round(value, digits)
    how = "more than" if shown > limit else "less than" if shown < limit else "as much as"
    return f"{value:,.{digits}f}{unit}, {how} {limit:,g}"


def difference(
    value: float, reference: float, digits: int = 2, unit: str = "", more: str = "more", less: str = "less"
) -> str:
    """By how much a value differs from a reference, and in which direction.

    >>> difference(2.18, 2.01, unit=" bits/dim"), difference(13, 16, 0, " steps", less="fewer")
    ('0.17 bits/dim more', '3 steps fewer')
    >>> difference(2.0101, 2.01, unit=" bits/dim")
    'no more than 0.005 bits/dim apart'
    """
    change = round(value - reference, digits)
    if change == 0:
        return f"no more than {0.5 * 10.0**-digits:g}{unit} apart"
    return f"{abs(change):,.{digits}f}{unit} {more if change > 0 else less}"


def compared(
    value: float, reference: float, than: str, digits: int = 2, unit: str = "", more: str = "more", less: str = "less"
) -> str:
    """By how much a value differs from a reference with a name: what follows "it costs" or "it needs".

    >>> compared(2.18, 2.01, "the best", unit=" bits/dim"), compared(13, 16, "before", 0, " steps", less="fewer")
    ('0.17 bits/dim more than the best', '3 steps fewer than before')
    >>> compared(2.0101, 2.01, "the best", unit=" bits/dim")
    'the same as the best, to 0.005 bits/dim'
    """
    if round(value - reference, digits) == 0:
        return f"the same as {than}, to {0.5 * 10.0**-digits:g}{unit}"
    return f"{difference(value, reference, digits, unit, more, less)} than {than}"


def listed(words: Iterable[object], empty: str = "none") -> str:
    """Words in one sentence.

    >>> listed(["even", "quadratic", "DP"]), listed([4, 8]), listed(["DP"]), listed([])
    ('even, quadratic and DP', '4 and 8', 'DP', 'none')
    """
    *most, last = [str(word) for word in words] or [empty]
    return f"{', '.join(most)} and {last}" if most else last


def counted(n: int, one: str, many: str = "") -> str:
    """A number of things: the plural has an s if no other is given.

    >>> counted(1, "step"), counted(4000, "step"), counted(2, "axis", "axes")
    ('1 step', '4,000 steps', '2 axes')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def number(value: float, digits: int = 2, signed: bool = False) -> str:
    """A number in print; what rounds to nothing has no minus.

    >>> number(-0.0004), number(0.031, signed=True), number(-1234.5, 1)
    ('0.00', '+0.03', '-1,234.5')
    """
    return f"{round(float(value), digits) + 0.0:{'+' if signed else ''},.{digits}f}"


def in_tex(words: str) -> str:
    """Plain words with the numbers that they name in TeX, for Markdown; a bar would end a cell of a table.

    >>> print(in_tex("variance sigma_t^2 (at t = 1: beta~_{2|1})"))
    variance $\\sigma_t^2$ (at $t = 1$: $\\tilde\\beta_{2\\mid 1}$)
    >>> print(in_tex("variance m_t as fitted (`learned`: up to sigma^2, as v says)"))
    variance $m_t$ as fitted (`learned`: up to $\\sigma^2$, as v says)
    """

    def formula(name: re.Match[str]) -> str:
        tex = name[0].replace("beta~", r"\tilde\beta").replace("sigma", r"\sigma").replace("|", r"\mid ")
        return f"${tex}$"

    return NAMES.sub(formula, words)

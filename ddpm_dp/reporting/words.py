"""Sentences that follow their numbers: the notebooks' findings say "more" or "fewer" by what was computed.

A sentence is compared with the number as it is *printed*: 0.0996 shown with one digit is 0.1, and not "less than 0.1".
"""

from collections.abc import Iterable


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

"""Numbers that users give: whole ones, and the one sentence for those that are not."""

import numpy as np


def whole(value: object, name: str, least: int = 1, most: int | None = None, what: str = "") -> int:
    """`value` as an int, if it is a whole number from `least` to `most`; True and 3.0 are none.

    `name` is the argument's, `what` a word or two more for the sentence ("pixels").

    Raises ValueError, saying what was given and what was expected.

    >>> whole(np.int64(3), "K", most=10)
    3
    >>> whole(0, "K", most=10, what="steps")
    Traceback (most recent call last):
    ValueError: K = 0 steps; expected a whole number from 1 to 10.
    """
    if not isinstance(value, bool) and isinstance(value, (int, np.integer)):
        if value >= least and (most is None or value <= most):
            return int(value)
    limits = f", {least} or more" if most is None else f" from {least} to {most}"
    raise ValueError(f"{name} = {value!r}{what and f' {what}'}; expected a whole number{limits}.")

"""Solutions that students might hand in, and what each must lose: one module a problem set.

A module has `SECOND`, a whole solution that is correct and written differently; `STYLES`, more of them by name;
`PASTED`, answers of the first edition and of the course's notebooks under the nearest name; and `WRONG`, a list of
`Mistake`.
"""

import sys
from pathlib import Path
from typing import NamedTuple

COURSE = Path(__file__).parents[2] / "notebooks" / "assignments"
sys.path.insert(0, str(COURSE))  # for `grading` and `checks`, which are not part of the package


class Mistake(NamedTuple):
    """The instructor's solution, changed in a few places.

    changes: for each cell either (old, new), the source with `old` replaced; a new source; or None, the cell deleted.
    loses: the test cells that must give 0 points; all others must give full points.
    """

    name: str
    changes: dict[str, tuple[str, str] | str | None]
    loses: set[str]

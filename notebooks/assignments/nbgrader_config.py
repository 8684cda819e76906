"""The course for nbgrader, which finds this file when it is run in this folder."""

from copy import deepcopy
from pathlib import Path

import nbformat
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
)

SOURCE = Path(__file__).parent / "source"


class RestoreCells(NbGraderPreprocessor):
    """Put deleted cells back: tests from the source notebook, answers as an error, so that only their part is lost.

    (nbgrader's own `add_missing_cells` stops with a KeyError where an answer and its test are both gone.)
    """

    def preprocess(self, nb, resources):
        names = resources["nbgrader"]
        source = nbformat.read(SOURCE / names["assignment"] / f"{names['notebook']}.ipynb", as_version=4)
        here = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in nb.cells]
        place = 0
        for cell in source.cells:
            marks = cell.metadata.get("nbgrader")
            if marks is None:
                continue
            if marks["grade_id"] in here:
                place = here.index(marks["grade_id"]) + 1
                continue
            cell = deepcopy(cell)
            if marks["solution"]:
                cell.source = "raise NotImplementedError('this cell was missing')" if cell.cell_type == "code" else ""
            nb.cells.insert(place, cell)
            here.insert(place, marks["grade_id"])
            place += 1
        return nb, resources


c = get_config()  # noqa: F821  (traitlets defines it)
c.CourseDirectory.course_id = "ddpm_dp"
c.CourseDirectory.root = str(Path(__file__).parent)
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    DeduplicateIds,
    OverwriteKernelspec,
    RestoreCells,
    OverwriteCells,
    CheckCellMetadata,
]
c.Execute.timeout = 120  # seconds for one cell; ps3 trains for 10 of them on a slow laptop

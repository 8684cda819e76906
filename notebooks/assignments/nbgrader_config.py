"""The course for nbgrader, which finds this file when it is run in this folder.

Nothing that a student wrote runs in nbgrader: `python -m grading` runs it, in processes of its own, and writes
notebooks with the outcomes to checked/, which nbgrader takes for the hand-ins.
"""

import shutil
import warnings
from pathlib import Path

from nbgrader.preprocessors import AssignLatePenalties, OverwriteCells, SaveAutoGrades
from sqlalchemy.exc import SAWarning

warnings.filterwarnings("ignore", category=SAWarning)  # nbgrader 0.9's own, three lines a student, harmless

COURSE = Path(__file__).resolve().parent


def put_checks_beside(assignment, **_):
    """Students get checks.py beside each notebook; here it is kept once."""
    shutil.copy(COURSE / "checks.py", COURSE / "source" / assignment)


c = get_config()  # noqa: F821  (traitlets defines it)
c.CourseDirectory.course_id = "ddpm_dp"
c.CourseDirectory.root = str(COURSE)
c.CourseDirectory.submitted_directory = "checked"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc*", "__pycache__", ".pytest_cache"]
c.GenerateAssignment.pre_convert_hook = put_checks_beside
c.GenerateFeedbackApp.log_level = "ERROR"  # not five lines a student, and a warning for every picture
# Cells and marks are the grader's own copies of ours: there is nothing to check in them.
c.Autograde.sanitize_preprocessors = [OverwriteCells]
c.Autograde.autograde_preprocessors = [SaveAutoGrades, AssignLatePenalties]

"""The course for nbgrader, which finds this file when it is run in this folder.

Nothing that a student wrote runs in nbgrader: `python -m grading` runs it, in processes of its own, and writes
notebooks with the outcomes to checked/, which nbgrader takes for the hand-ins.
"""

from pathlib import Path

from nbgrader.preprocessors import AssignLatePenalties, CheckCellMetadata, OverwriteCells, SaveAutoGrades

c = get_config()  # noqa: F821  (traitlets defines it)
c.CourseDirectory.course_id = "ddpm_dp"
c.CourseDirectory.root = str(Path(__file__).parent)
c.CourseDirectory.submitted_directory = "checked"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc*", "__pycache__", ".pytest_cache"]
c.Autograde.sanitize_preprocessors = [OverwriteCells, CheckCellMetadata]
c.Autograde.autograde_preprocessors = [SaveAutoGrades, AssignLatePenalties, CheckCellMetadata]

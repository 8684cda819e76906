"""Generate the student version of every problem set and zip it, with what a student needs: `make assignments`."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def release(file: Path) -> Path:
    """Write the zip: a folder for each problem set, a README, the package as a wheel, and the pinned versions."""
    # nbgrader calls alembic by its name, so the environment's programs must be on the path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ddpm_dp_assignments"
        out.mkdir()
        for source in sorted((HERE / "source").iterdir()):
            command = [sys.executable, "-m", "nbgrader", "generate_assignment", source.name, "--force"]
            subprocess.run(command, cwd=HERE, env={**os.environ, "PATH": path}, check=True)
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(HERE / "release" / source.name, out / source.name, ignore=ignored)
        shutil.copy(HERE / "STUDENTS.md", out / "README.md")
        shutil.copy(ROOT / "constraints.txt", out)
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)]
        subprocess.run(wheel, check=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.make_archive(str(file.with_suffix("")), "zip", folder))


if __name__ == "__main__":
    print(release(Path(sys.argv[1]).resolve()))

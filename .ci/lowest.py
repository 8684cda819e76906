"""Print the lowest versions that pyproject.toml allows, as constraints for pip; every bound is a release.

`python .ci/lowest.py torch=2.13.0` takes another version of one package.
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
lowest = dict(re.fullmatch(r"([\w-]+)>=([\w.]+)", line).groups() for line in lines)
lowest |= dict(given.split("=") for given in sys.argv[1:])
print("\n".join(f"{name}=={version}" for name, version in lowest.items()))

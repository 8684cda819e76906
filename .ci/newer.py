"""Print which packages of constraints.txt are installed here in another version: old -> new."""

import platform
from importlib import metadata
from pathlib import Path

lines = Path(__file__).parents[1].joinpath("constraints.txt").read_text().splitlines()
pins = dict(line.split("==") for line in lines if not line.startswith("#"))
here = {package.name.lower(): package.version.split("+")[0] for package in metadata.distributions()}  # not 2.13.0+cpu
found = {name: here[name] for name in pins if name in here}
print(f"{len(found)} packages of constraints.txt, Python {platform.python_version()}; newer here:")
print("\n".join(f"{name}: {pins[name]} -> {new}" for name, new in found.items() if new != pins[name]) or "none")

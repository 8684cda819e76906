"""CONTRIBUTING.md is true: its maps are those of the code, and its recipes work, followed to the letter in a copy."""

import ast
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from shutil import copytree, ignore_patterns

import nbformat
import pytest

from tests.conftest import nightly_but
from tests.test_rooms import FLOORS, TORCH_FREE
from tests.variances.conformance import CHECKS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PARTS = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.sub(r"^```.*?^```", "", TEXT, flags=re.S | re.M), re.S | re.M)
)
FIVE = re.search(r"^## Five changes in full\n(.*?)^## Smaller entries", TEXT, re.S | re.M)[1]
RECIPES = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", FIVE, re.S | re.M))
# What git ignores, and what is linked instead of copied.
PASSING = ignore_patterns(".*", "out", "build", "dist", "data", "*.checkpoint")


def table(part: str) -> list[list[str]]:
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in PARTS[part].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def new_files(recipe: str) -> dict[str, str]:
    return dict(re.findall(r"[Nn]ew\s+file\s+`([^`]+)`:\n\n```python\n(.*?)```", recipe, re.S))


def touched(recipe: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", re.search(r"^Touched:(.*?`)\.", recipe, re.S | re.M)[1]))


def test_the_map_has_every_room_on_its_floor():
    expected = [
        (str(floor), f"`{room}`", "no" if room in TORCH_FREE else "yes")
        for floor, rooms in enumerate(FLOORS, 1)
        for room in rooms
        if not room.startswith("__")
    ]
    assert [(floor, room, torch) for floor, room, _, torch in table("The rooms")] == expected


@pytest.mark.parametrize("row", table("Where is the formula for ..."), ids=lambda row: row[0])
def test_formulas_stand_where_it_says(row):
    _, file, names = row
    code = (ROOT / file.split("`")[1]).read_text()
    for name in re.findall(r"`(\w+)`", names):
        assert re.search(rf"^\s*(def|class) {name}\b", code, re.M), f"{file} defines no {name}"


def test_commands_and_files_that_it_names_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"make (\w+)`", TEXT)) <= targets
    named = set(re.findall(r"`((?:\w+/)+\w+\.\w+)`", "".join(PARTS.values())))
    new = {file for recipe in RECIPES.values() for file in touched(recipe) if not (ROOT / file).exists()}
    assert len(new) == 9, "what a recipe writes is there already: it needs another example"
    assert not [file for file in named - new if not (ROOT / file).is_file()]
    for registry, file in re.findall(r"`([A-Z]+)`\s+\(`([^`]+)`\)", PARTS["Smaller entries"]):
        assert re.search(rf"^{registry}\b", (ROOT / file).read_text(), re.M), f"{file} has no {registry}"


def test_recipes_touch_two_files_and_a_test_at_most():
    assert len(RECIPES) == 5
    for recipe in RECIPES.values():
        assert len([file for file in touched(recipe) if not file.startswith("tests/")]) <= 2


def run(house: Path, command: str) -> str:
    """What a shell command prints in the copy, which is where its `ddpm_dp` comes from."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}", "PYTHONPATH": str(house), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "-euc", command], cwd=house, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    return done.stdout


def snapshot(house: Path) -> dict[str, str]:
    """What git would see, by content."""
    found = {}
    for folder, folders, files in os.walk(house):
        ignored = PASSING(folder, [*folders, *files])
        folders[:] = [name for name in folders if name not in ignored and name != "__pycache__"]
        for file in (Path(folder, name) for name in files if name not in ignored):
            found[file.relative_to(house).as_posix()] = sha256(file.read_bytes()).hexdigest()
    return found


def add_entry(house: Path, recipe: str) -> None:
    """Write the entry of the recipe at the end of its registry, and above it the import that it needs."""
    registry, stands, entry = re.search(
        r"to\s+`([A-Z]+)`(?:\s+in\s+`([^`]+)`)?:\n\n```python\n(.*?)```", recipe, re.S
    ).groups()
    imported = re.search(r"Import\s+it\s+in\s+`([^`]+)`", recipe)
    file = house / (stands or imported[1])
    code = file.read_text()
    targets = (node for node in ast.parse(code).body if isinstance(node, (ast.Assign, ast.AnnAssign)))
    (value,) = (node.value for node in targets if ast.unparse(node).startswith((f"{registry}:", f"{registry} =")))
    last = value.args[1].elts[-1]
    lines = code.splitlines(keepends=True)
    line = lines[last.end_lineno - 1]
    lines[last.end_lineno - 1] = f"{line[: last.end_col_offset]}, {entry.strip()}{line[last.end_col_offset :]}"
    if imported:
        module, source = next(iter(new_files(recipe).items()))
        ours = {name for node in ast.parse(source).body for name in names_of(node)}
        used = {node.id for node in ast.walk(ast.parse(entry)) if isinstance(node, ast.Name)} & ours
        first = next(i for i, line in enumerate(lines) if line.startswith("from ddpm_dp"))
        lines.insert(first, f"from {module.removesuffix('.py').replace('/', '.')} import {', '.join(used)}\n")
    file.write_text("".join(lines))
    run(house, f"ruff check -q --fix --select I {file} && ruff format -q {file}")


def names_of(node: ast.stmt) -> list[str]:
    """What a statement of a module defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    return [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]


def write_notebook(house: Path, file: str, recipe: str) -> None:
    make = {"markdown": nbformat.v4.new_markdown_cell, "python": nbformat.v4.new_code_cell}
    cells = []
    for _, kind, tag, source in re.findall(r"^(`{3,4})(markdown|python) ?(\w*)\n(.*?)^\1$", recipe, re.S | re.M):
        cells.append(make[kind](source.strip()))
        if tag:
            cells[-1].metadata |= {"tags": [tag]} | ({"jupyter": {"source_hidden": True}} if tag == "finding" else {})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), house / file)
    run(house, f"jupyter nbconvert --log-level ERROR --to notebook --execute --inplace {file}")


def follow(house: Path, recipe: str) -> None:
    """Do what a recipe says, up to its commands."""
    for file in touched(recipe):
        if file.endswith(".ipynb"):
            settings = re.search(r"`(tests/\S+\.toml)`:\n\n```toml\n(.*?)```", recipe, re.S)
            (house / settings[1]).write_text(settings[2])
            return write_notebook(house, file, recipe)
    for file, code in new_files(recipe).items():
        (house / file).write_text(code)
    add_entry(house, recipe)


@pytest.fixture
def house(tmp_path) -> Path:
    """A copy of the clone, with the time of every file: what is compiled already stays so. The rest is the clone's."""
    house = tmp_path / "ddpm_dp_clone"
    copytree(ROOT, house, ignore=PASSING)
    for folder in ("data", ".ci"):
        (house / folder).symlink_to(ROOT / folder)
    assert run(house, "python -c 'import ddpm_dp; print(ddpm_dp.__file__)'").startswith(str(house))
    return house


@pytest.mark.slow
@pytest.mark.parametrize("title", nightly_but("A metric of sample quality", RECIPES))
def test_a_recipe_works_as_it_stands(title, house):
    recipe, before = RECIPES[title], snapshot(house)
    follow(house, recipe)
    commands = re.findall(r"^```sh\n(.*?)```", recipe, re.S | re.M)
    printed = [run(house, line) for block in commands for line in block.splitlines()]
    after = snapshot(house)
    assert {file for file in after if before.get(file) != after[file]} == touched(
        recipe
    ) and before.keys() <= after.keys()
    code = " ".join(file for file in touched(recipe) if not file.endswith(".toml"))
    run(house, f"ruff check {code} && ruff format --check {code}")
    if title.startswith("A family"):
        passed = re.search(r"(\d+) passed", printed[0]) or re.search(r"^(\.+) ", printed[0], re.M)
        assert (len(passed[1]) if passed[1][0] == "." else int(passed[1])) >= len(CHECKS), printed[0]


# What knows all families, data sets, metrics or sources. Nobody keeps a list of them by hand. (Not `test_family`, which
# takes one at a time: the old ones are as before, and the new one has passed in its recipe.)
EVERYBODY = """
    tests/variances/test_families.py tests/datasets/test_datasets.py tests/quality tests/pretrained/test_sources.py
    tests/statistics/test_formats.py tests/reporting tests/explorer/test_data.py tests/test_costs.py tests/test_cli.py
    tests/test_rooms.py tests/test_package.py tests/test_book.py tests/course/test_settings.py
"""
EVERY_FAMILY = "notebooks/13_why_it_is_fast.ipynb"  # it tries all that the model has


@pytest.fixture
def grown(house) -> Path:
    """A copy of the house where all recipes but the notebook's were followed."""
    for title, recipe in RECIPES.items():
        if "notebook" not in title:
            follow(house, recipe)
    return house


@pytest.mark.slow
def test_what_recipes_write_runs(grown):
    """Its own examples and tests, and the registries that it is in."""
    new = [file for recipe in RECIPES.values() for file in new_files(recipe)]
    assert len(new) == 7 and "passed" in run(grown, f"pytest -o addopts= --doctest-modules {' '.join(new)}")
    assert "geometric" in run(grown, "ddpm-dp solve --help") and "patches" in run(grown, "ddpm-dp train --help")


@pytest.mark.nightly
def test_a_new_entry_makes_no_test_red(grown):
    run(grown, f"pytest -x -m 'not slow and not nightly' -k 'not test_family' {' '.join(EVERYBODY.split())}")
    run(grown, f"pytest -o addopts= --nbval-lax {EVERY_FAMILY}")

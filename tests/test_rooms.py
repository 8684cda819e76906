"""The house: which room may import which, who needs torch, and who compares names."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ddpm_dp.experiments import EXPERIMENTS
from ddpm_dp.models.architectures import NETWORKS
from ddpm_dp.noise import SCHEDULES
from ddpm_dp.objectives import OBJECTIVES
from ddpm_dp.outputs import OUTPUTS
from ddpm_dp.training.losses import LOSSES
from ddpm_dp.variances import DECODERS, FAMILIES

PACKAGE = Path(__file__).parents[1] / "ddpm_dp"

# From the bottom to the top: a room imports from lower floors only, never from its own or a higher one.
FLOORS = [
    ["registry", "checks", "files", "memory", "compiling", "gaussians", "processes"],
    ["noise", "outputs", "paths"],
    ["strides", "solver", "datasets"],
    ["statistics", "models"],
    ["variances", "published"],
    ["costs", "training", "quality"],
    ["objectives", "measuring", "sampling", "likelihood"],
    ["reporting", "pretrained"],
    ["experiments", "explorer"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
# Reading, pricing and searching, and all names that the command line lists, without torch.
TORCH_FREE = ("checks", "cli", "compiling", "costs", "datasets", "experiments", "files", "memory", "noise",
              "objectives", "outputs", "paths", "registry", "solver", "statistics", "strides", "variances")  # fmt: skip
BUT = {"experiments.jobs", "experiments.run"}  # these do the work


def modules() -> dict[str, Path]:
    """Dotted names, from the package on, of all its modules but the front door."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    del found[""]  # ddpm_dp/__init__.py is the door: it names every room, and imports one when it is asked for
    return found


MODULES = modules()


def imports(tree: ast.Module, inside_functions: bool) -> Iterator[str]:
    """The modules that a file imports; those for type checkers alone are left out."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def ours(name: str) -> str | None:
    """The module of this package that an imported name stands in; None for others, and for the door."""
    parts = name.split(".")
    if parts[0] != "ddpm_dp":
        return None
    inside = (".".join(parts[1:i]) for i in range(len(parts), 1, -1))
    return next((module for module in inside if module in MODULES), None)


TREES = {name: ast.parse(file.read_text()) for name, file in MODULES.items()}
ARROWS = {
    name: {target for each in imports(tree, inside_functions=True) if (target := ours(each)) and target != name}
    for name, tree in TREES.items()
}


def room(module: str) -> str:
    return module.split(".")[0]


def test_every_room_has_its_floor():
    assert {room(name) for name in MODULES} == FLOOR.keys()


@pytest.mark.parametrize("module", MODULES)
def test_no_import_goes_upward(module):
    above = {t for t in ARROWS[module] if room(t) != room(module) and FLOOR[room(t)] >= FLOOR[room(module)]}
    assert not above, f"{module} imports {', '.join(sorted(above))}: from its own floor or above"


def test_no_circles():
    """Within rooms either: peel off modules that import nothing that is left, until nothing is left."""
    # A room's __init__ gives its names to the outside; inside, its modules import one another.
    left = {name: {t for t in targets if t != room(name)} for name, targets in ARROWS.items()}
    while left:
        free = {name for name, targets in left.items() if not targets & left.keys()}
        assert free, f"these import one another: {sorted(left)}"
        left = {name: targets for name, targets in left.items() if name not in free}


def test_torch_stays_out_of_rooms_that_do_not_need_it():
    """Followed through all imports that happen when a module is imported."""

    def heavy(module: str) -> tuple[str, ...] | None:
        """The shortest way from a module to one that imports torch."""
        ways, waiting = {module: (module,)}, [module]
        for each in waiting:
            for name in imports(TREES[each], inside_functions=False):
                if name.split(".")[0] == "torch":
                    return ways[each]
                target = ours(name)
                if target and target not in ways:
                    ways[target] = (*ways[each], target)
                    waiting.append(target)
        return None

    for module in MODULES:
        if room(module) in TORCH_FREE and module not in BUT:
            way = heavy(module)
            assert way is None, f"{' imports '.join(way)}, which imports torch"


def test_the_floors_are_told_where_newcomers_look():
    """CONTRIBUTING.md has the map of rooms."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    assert not [name for name in FLOOR if not name.startswith("__") and f"`{name}" not in text]


NAMES = {*FAMILIES, *OUTPUTS, *DECODERS, *OBJECTIVES, *LOSSES, *NETWORKS, *SCHEDULES, *EXPERIMENTS}


@pytest.mark.parametrize("module", MODULES)
def test_nobody_compares_names(module):
    """`x == "learned"`, `x in (...)`, `match` and `{"learned": ...}[x]` are for registries: ask the object instead."""

    def named(node: ast.AST) -> bool:
        return any(isinstance(each, ast.Constant) and each.value in NAMES for each in ast.walk(node))

    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            wrong = any(named(a) or named(b) for a, b in pairwise(sides))
        elif isinstance(node, (ast.Subscript, ast.Attribute)):  # {"learned": ...}[variance], {...}.get(variance)
            wrong = isinstance(node.value, ast.Dict) and any(named(key) for key in node.value.keys if key)
        else:
            wrong = isinstance(node, ast.match_case) and named(node.pattern)
        assert not wrong, f"{MODULES[module]}:{node.lineno} compares a name: {ast.unparse(node)}"


def test_nobody_listens():
    """The package leaves no server behind: whoever adds one has a token, Host and Origin to check."""
    servers = {"aiohttp", "asyncio", "fastapi", "flask", "http.server", "socket", "socketserver", "tornado", "uvicorn",
               "voila", "websockets", "wsgiref", "xmlrpc"}  # fmt: skip
    for module, tree in TREES.items():
        for name in imports(tree, inside_functions=True):
            assert not [each for each in servers if name == each or name.startswith(f"{each}.")], (module, name)

"""The reference: a page for each room of the package, made from its docstrings.

`write_pages` makes the pages' sources, in docs/api/ (git ignores them), before Sphinx looks for sources; autodoc fills
them. The docstrings are written to be read in the code: formulas stand there as indented lines, names in single
backticks. `as_rst` says the same in Sphinx's language.
"""

import inspect
import pkgutil
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from numpy.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

import ddpm_dp

HERE = Path(__file__).parent
SECTION = re.compile(r"(Args|Attributes|Example):$")
INTRODUCTION = """\
Made from the docstrings: formulas, shapes and units, the errors that are raised, and examples, which the tests run.
One page for each room (file or folder) of the package. What a page lists as "from the package
itself" is there after ``import ddpm_dp``. Names in strings, ``variance="spectral"`` and the like, are in
:doc:`another list </docs/names>`."""
NDARRAY = re.compile(r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[~?numpy\.(\w+)\]\]")
ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")
MEMBERS = {"class": ["   :members:", "   :special-members: __call__"], "function": []}
NAMED = re.compile(r"[a-z]\w*(, [a-z]\w*)*: ")  # what an argument is: "path: ..."


def rooms() -> list[str]:
    return [name for _, name, _ in pkgutil.iter_modules(ddpm_dp.__path__) if not name.startswith("_")]


def modules(room: str) -> list[str]:
    """The modules whose names a room's page tells: the room itself, or where it names nothing, those in it."""
    module = import_module(f"ddpm_dp.{room}")
    if hasattr(module, "__all__") or not hasattr(module, "__path__"):
        return [room]
    return [f"{room}.{name}" for _, name, _ in pkgutil.iter_modules(module.__path__)]


def is_told(value: object) -> bool:
    """Functions and classes that have a docstring; constants are in docs/names.md."""
    return (inspect.isclass(value) or inspect.isfunction(value)) and bool(value.__doc__)


def public(module: ModuleType) -> dict[str, object]:
    """A module's functions and classes for everybody: those that it lists, or those that are defined in it."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    found = {name: getattr(module, name) for name in names}
    own = hasattr(module, "__all__")
    return {
        name: value for name, value in found.items() if is_told(value) and (own or value.__module__ == module.__name__)
    }


def door(room: str) -> list[str]:
    """The names at the package's door, `ddpm_dp.solve` and the like, that lead into a room."""
    return sorted(name for name, home in ddpm_dp._ROOM_OF.items() if home.split(".")[0] == room)


def told(room: str) -> dict[str, dict[str, object]]:
    """What a room's page tells: modules, and in each the names and what they stand for."""
    found = {f"ddpm_dp.{name}": public(import_module(f"ddpm_dp.{name}")) for name in modules(room)}
    known = [value for values in found.values() for value in values.values()]
    for name in door(room):
        value = getattr(ddpm_dp, name)
        if is_told(value) and value not in known:
            found.setdefault(value.__module__, {})[name] = value
    return {module: values for module, values in found.items() if values}


def links() -> dict[str, str]:
    """Where the names of the reference stand; at the door's names last, since they are what people mean."""
    every = [(name, module) for room in rooms() for module, values in told(room).items() for name in values]
    at_door = [(name, module) for name, module in every if name in ddpm_dp.__all__]
    return {name: f"{module}.{name}" for name, module in [*every, *at_door]}


def page(room: str) -> str:
    lines = [room, "=" * len(room), "", f".. automodule:: ddpm_dp.{room}", ""]
    if names := door(room):
        lines += [f"From the package itself: {', '.join(f'``ddpm_dp.{name}``' for name in names)}.", ""]
    for module, values in told(room).items():
        if module != f"ddpm_dp.{room}":
            lines += [module, "-" * len(module), ""]
        for name, value in values.items():
            kind = "class" if inspect.isclass(value) else "function"
            lines += [f".. auto{kind}:: {module}.{name}", *MEMBERS[kind], ""]
    return "\n".join(lines)


def contents() -> str:
    """The page of pages: a line for each room, from its docstring."""
    lines = ["Reference: every public name", "============================", "", *INTRODUCTION.split("\n"), ""]
    lines += [".. list-table::", ""]
    for room in rooms():
        first = (inspect.getdoc(import_module(f"ddpm_dp.{room}")) or "").split("\n\n")[0]
        lines += [f"   * - :doc:`{room} <{room}>`", f"     - {inline(' '.join(first.split()), {})}"]
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {room}" for room in rooms()), ""]
    return "\n".join(lines)


def write_pages(app) -> None:
    """Only what changed is written: pages that stay need not be read again."""
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    pages = {f"{room}.rst": page(room) for room in rooms()} | {"index.rst": contents()}
    for old in folder.glob("*.rst"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        file = folder / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def as_rst(docstring: str, links: Mapping[str, str]) -> str:
    """A docstring of ours in reStructuredText, with napoleon's sections left to napoleon.

    links: where names in backticks lead: `solve` to ddpm_dp.solver.solve.
    """
    parts, section = [], False
    for paragraph in docstring.split("\n\n"):
        lines = paragraph.split("\n")
        if not lines[0].startswith(" "):
            section = SECTION.fullmatch(lines[0]) is not None
        if lines[0].startswith(">>>"):
            parts.append(paragraph)
        elif lines[0].startswith("|"):
            parts.append(list_table(lines, links))
        elif lines[0].startswith("    ") and not section:
            parts.append("::\n\n" + paragraph)
        elif NAMED.match(paragraph) and all(line.startswith(" ") or NAMED.match(line) for line in lines):
            parts.append(definitions(lines, links))
        else:
            parts.append(inline(paragraph, links))
    return "\n\n".join(parts)


def inline(text: str, links: Mapping[str, str]) -> str:
    """Text with names in backticks, in which a star or a bar is nothing but that."""

    def said(found: re.Match[str]) -> str:
        if found[1]:
            name = " ".join(found[1].split())
            more = "\\ " if found[2] is not None else ""  # a plural s may follow
            return (f":py:obj:`~{links[name]}`" if name in links else f"``{name}``") + more
        return "\\" + found[0]

    return re.sub(r"`([^`]+)`((?=\w))?|[\\*|]|_(?=\W|$)", said, text)


def definitions(lines: list[str], links: Mapping[str, str]) -> str:
    """ "name: words", with the lines that go on indented, as a list."""
    out: list[str] = []
    for line in lines:
        if line.startswith(" "):
            out.append("    " + inline(line.strip(), links))
        else:
            name, _, words = line.partition(": ")
            out += [f"``{name}``", "    " + inline(words, links)]
    return "\n".join(out)


def list_table(lines: list[str], links: Mapping[str, str]) -> str:
    """A table of Markdown, whose second line is a rule."""
    out = [".. list-table::", "   :header-rows: 1", ""]
    for line in (lines[0], *lines[2:]):
        cells = [inline(cell.strip(), links) for cell in line.strip("|").split("|")]
        out += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(cells)]
    return "\n".join(out)


def translate(app, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    text = "\n".join(lines).strip()
    lines[:] = [*as_rst(text, app.config.reference_links).split("\n"), ""]


def shorten(app, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None):
    """Signatures in the words of the code: autodoc writes NumPy's aliases out."""
    texts = (text and text.replace(ARRAY_LIKE, "ArrayLike") for text in (signature, returns))
    return tuple(text and NDARRAY.sub(r"NDArray[\1]", text) for text in texts)


def setup(app) -> dict:
    app.add_config_value("reference_links", links(), "env")
    app.connect("builder-inited", write_pages, priority=1)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-process-docstring", translate, priority=400)  # before napoleon's
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""One HTML file that holds the front end (web/), the models' numbers and their films: it opens from a disk, offline."""

import base64
import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ddpm_dp.explorer.data import page_data
from ddpm_dp.explorer.films import films_of
from ddpm_dp.explorer.source import Source
from ddpm_dp.files import write_whole

MODELS = ("digits", "fashion-mnist/hybrid", "emoji/hybrid", "tiny-imagenet-64/hybrid")  # of a page, by default
WEB = Path(__file__).parent / "web"
IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def write_page(path: str | Path, sources: list[Source], variances: tuple[str, ...], replace: bool = True) -> Path:
    """Write the explorer of these models under these reverse variances, with films of those that have a model file.

    A path that ends in .json gets the data alone: a page opens such a file, too. With `replace=False` a file of other
    contents is kept (`write_whole`).

    Raises ValueError if a model can be priced with none of the variances, OSError if the file cannot be written.
    """
    data = with_films(sources, variances)
    text = json.dumps(data) if Path(path).suffix == ".json" else page(data)
    return write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), replace)


def with_films(sources: list[Source], variances: tuple[str, ...]) -> dict[str, Any]:
    """`page_data`, and of each model its films, or None."""
    data = page_data(sources, variances)
    for source, model in zip(sources, data["models"], strict=True):
        model["films"] = films_of(source, [family["name"] for family in model["families"]])
    return data


def page(data: dict[str, Any]) -> str:
    """The HTML of a page with these data."""
    parts = {"style": style(), "script": script("app"), "data": base64.b64encode(packed(data)).decode()}
    template = (WEB / "page.html").read_text()
    return re.sub(r"\{\{(\w+)\}\}", lambda name: parts[name[1]], template)


def packed(data: dict[str, Any]) -> bytes:
    return gzip.compress(json.dumps(data).encode(), mtime=0)


def style() -> str:
    return (WEB / "style.css").read_text()


def script(name: str) -> str:
    """A module and all that it needs in one script; each stays apart, as an object of what it exports."""
    return "".join(scope(each) for each in ordered(name))


def scope(name: str) -> str:
    """A module as `const name = (() => { ...; return { exports }; })();`."""
    text = source_of(name)
    exports = ", ".join(EXPORT.findall(text))
    body = EXPORT.sub("", IMPORT.sub(lambda found: f"const {{{found[1]}}} = {found[2]};\n", text))
    return f"const {name} = (() => {{\n{body}return {{ {exports} }};\n}})();\n"


def ordered(name: str, above: Iterable[str] = ()) -> list[str]:
    """A module and all that it imports, each after those that it needs. Raises ValueError if they form a circle."""
    if name in above:
        raise ValueError(f"web/{name}.js imports itself, by way of {', '.join(above)}; part what they share.")
    found: list[str] = []
    for _, needed in IMPORT.findall(source_of(name)):
        found += [each for each in ordered(needed, [*above, name]) if each not in found]
    return [*found, name]


def source_of(name: str) -> str:
    return (WEB / f"{name}.js").read_text()

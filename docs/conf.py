"""The course as a web site: `make book`, or `sphinx-build -c docs . out/book`.

The source is the whole clone, so a link between two files is the same on disk and in the book. Notebooks are not run:
the book shows the outputs that are stored in them, and the tests run them.
"""

import json
import re
import sys
import tomllib
from importlib import util
from pathlib import Path
from shutil import copyfile, copytree

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))  # the book's own extensions

from launch import site  # noqa: E402
from plain import read_out  # noqa: E402
from results import appendix, by_loss, decoders, gaps, headline, picks  # noqa: E402

NOTEBOOKS = sorted(ROOT.glob("notebooks/[0-9][0-9]_*.ipynb"))

project = "ddpm_dp"
author = "The ddpm_dp maintainers"
# The one address that everything else is made from: links to Binder and Colab, and the site's own, GitHub's rule.
repository = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxext.opengraph",
    # docs/*.py
    "launch",
    "preview",
    "reference",
]
include_patterns = ["docs/*.md", "docs/api/*.rst", "notebooks/[0-9][0-9]_*.ipynb", "benchmarks/results/*.md"]
exclude_patterns = [".venv*", "out"]
root_doc = "docs/index"

html_theme = "furo"
html_title = "ddpm_dp: which steps of a diffusion model are worth taking?"
html_copy_source = False
html_show_copyright = False
html_static_path = ["book.css", "book.js"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]

nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # formulas in findings that a cell prints
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "substitution"]
myst_heading_anchors = 3

# The reference: docs/reference.py makes its pages.
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_use_ivar = True  # a field that is told under "Attributes" is no entry of its own
toc_object_entries_show_parents = "hide"

# Copy buttons on what is to be run: no prompts, and not on what a cell has put out.
copybutton_selector = "div.highlight:not(.cell_output div.highlight) pre"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# What a link to a page shows elsewhere; preview.py says the rest.
ogp_site_url = site(repository)
ogp_image = "_images/bits_per_dim.png"
ogp_image_alt = "Held-out bits/dim against the number of steps, for three reverse variances"
ogp_social_cards = {"enable": False}

# MathJax travels with the book, so that formulas show without a network.
mathjax_path = "mathjax/tex-chtml.js"

WIDGETS = "application/vnd.jupyter.widget-view+json"
FINDING = "**Finding.**"
EXPLORER = re.compile(r'data-ddpm-explorer="([^"]*)"')  # what an `Explorer` leaves where no kernel runs


def timetable() -> str:
    """One row for each notebook, from the notebook itself: its title, and how long it says that it takes."""
    rows = ["| notebook | reading and running |", "|---|---|"]
    for file in NOTEBOOKS:
        opening = "".join(json.loads(file.read_text())["cells"][0]["source"])
        title = re.search(r"^# (.+)$", opening, re.M)
        time = re.search(r"^\| \*\*Reading and running\*\* \| (.+?) \|$", opening, re.M)
        if title is None or time is None:
            raise ValueError(f"{file.name} must open with a title and a table that has a row 'Reading and running'.")
        rows.append(f"| [{title[1]}](../notebooks/{file.name}) | {time[1]} |")
    return "\n".join(rows)


def names() -> str:
    """A table for each registry: its names, their words, and who proposed what they stand for."""
    from ddpm_dp.datasets import DATASETS
    from ddpm_dp.experiments import EXPERIMENTS
    from ddpm_dp.models.architectures import NETWORKS
    from ddpm_dp.noise import SCHEDULES
    from ddpm_dp.objectives import OBJECTIVES
    from ddpm_dp.outputs import OUTPUTS
    from ddpm_dp.pretrained import SOURCES
    from ddpm_dp.published import PUBLISHED
    from ddpm_dp.quality import METRICS
    from ddpm_dp.training.losses import LOSSES
    from ddpm_dp.variances import DECODERS, FAMILIES

    tables = {
        "Reverse variances, `variance=`": FAMILIES,
        "Decoders, `decoder=`": DECODERS,
        "Objectives, `--objective`": OBJECTIVES,
        "Published ways to choose timesteps, `ddpm_dp.published.PUBLISHED`": PUBLISHED,
        "Data sets, `load_dataset`": DATASETS,
        "Noise schedules, `TrainConfig.schedule`": SCHEDULES,
        "Networks, `TrainConfig.network`": NETWORKS,
        "Training losses, `TrainConfig.loss`": LOSSES,
        "Second outputs of a network": OUTPUTS,
        "Metrics of sample quality": METRICS,
        "Sources of pretrained models": SOURCES,
        "Experiments, `ddpm-dp experiment`": EXPERIMENTS,
    }
    pages = []
    for title, registry in tables.items():
        columns = ["name", "what it is"] + ["source"] * all(hasattr(entry, "source") for entry in registry.values())
        rows = [f"## {title}\n\n| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        for name, entry in registry.items():
            words = entry.words.replace("|", "\\|").replace("_", "\\_").replace("^", "\\^").replace("~", "\\~")
            rows.append(f"| `{name}` | {words} |" + (f" {entry.source} |" if "source" in columns else ""))
        pages.append("\n".join(rows))
    return "\n\n".join(pages)


myst_substitutions = {
    "timetable": timetable(),
    "names": names(),
    "headline": headline(),
    "gaps_tiny": gaps("tiny-imagenet-64"),
    "gaps_fashion": gaps("fashion-mnist"),
    "decoders_tiny": decoders("tiny-imagenet-64"),
    "decoders_fashion": decoders("fashion-mnist"),
    "picks": picks(),
    "tiny_learned": by_loss("tiny-imagenet-64", "learned"),
    "fashion_learned": by_loss("fashion-mnist", "learned"),
    "fashion_posterior": by_loss("fashion-mnist", "posterior"),
    "appendix_tiny": appendix("tiny-imagenet-64"),
    "appendix_fashion": appendix("fashion-mnist"),
}


def without_kernel(app, docname: str, source: list[str]) -> None:
    if app.env.doc2path(docname).suffix == ".ipynb":
        source[0] = json.dumps(on_paper(json.loads(source[0])))


def on_paper(notebook: dict) -> dict:
    """What needs a live kernel goes: progress bars. The explorer's page needs none, and stays."""
    widgets = notebook["metadata"].pop("widgets", {}).get(WIDGETS.replace("view", "state"), {}).get("state", {})
    for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            cell["outputs"] = [still for output in cell["outputs"] for still in stills(output, widgets)]
            if "finding" in (tags := cell["metadata"].setdefault("tags", [])):
                tags.append("remove-input")  # the sentence that the code makes is read, not the code
            if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
                cell["metadata"]["mystnb"] = {"image": {"alt": finding(notebook["cells"][i:])}}
    return notebook


def finding(cells: list[dict]) -> str:
    """What a picture shows, for those who cannot see it: the finding that follows it, in its author's words."""
    said = [text for cell in cells for text in sayings(cell)]
    found = next((text for text in said if text.startswith(FINDING)), None)
    if found is None:
        raise ValueError(f"No finding follows a picture; expected a text that begins with {FINDING!r}.")
    return read_out(found.removeprefix(FINDING).split("\n\n")[0])


def sayings(cell: dict) -> list[str]:
    """The paragraphs that a cell says, or prints as Markdown."""
    texts = ["".join(cell["source"])] if cell["cell_type"] == "markdown" else []
    texts += ["".join(output.get("data", {}).get("text/markdown", "")) for output in cell.get("outputs", [])]
    return [part for text in texts for part in re.split(r"\n\n(?=\*\*Finding)", text)]


def stills(output: dict, widgets: dict) -> list[dict]:
    """An output itself or, if it is a widget, the outputs inside it; the page, if it is an explorer."""
    data = output.get("data", {})
    view = data.get(WIDGETS)
    if view is None:
        return [output]
    if explorer := EXPLORER.search("".join(data.get("text/html", ""))):
        return [{"output_type": "display_data", "metadata": {}, "data": {"text/html": page_of(explorer[1])}}]
    found, waiting = [], [view["model_id"]]
    while waiting:
        state = widgets.get(waiting.pop(0), {}).get("state", {})
        found += state.get("outputs", [])
        waiting += [child.removeprefix("IPY_MODEL_") for child in state.get("children", [])]
    return found


def page_of(link: str) -> str:
    """The explorer's page (`make book` writes it), with what a link to it has behind the #."""
    page = f"../explorer.html#{link}"
    return (
        f'<iframe class="explorer" src="{page}" title="The explorer, to be used" loading="lazy"></iframe>'
        f'<p><a href="{page}">The explorer on a page of its own</a></p>'
    )


def finish(app, error) -> None:
    if error is not None or app.builder.name != "html":
        return
    out = Path(app.outdir)
    (out / "index.html").write_text(
        '<!doctype html><meta charset="utf-8"><title>ddpm_dp</title>'
        '<meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">The course</a>\n'
    )
    # The package holds MathJax 3.2.2 as published, 24 MB; the book needs these 3.
    mathjax = Path(util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    for part in ("output/chtml/fonts/woff-v2", "input/tex/extensions"):
        copytree(mathjax / part, out / "_static" / "mathjax" / part, dirs_exist_ok=True)
    copyfile(mathjax / "tex-chtml.js", out / "_static" / "mathjax" / "tex-chtml.js")


def setup(app):
    app.connect("source-read", without_kernel)
    app.connect("build-finished", finish)

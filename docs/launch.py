"""Addresses: where the book is, and buttons on every notebook's page: run it on Binder, on Colab, or take the file.

All links come from one address, `[project.urls]` in pyproject.toml, which docs/conf.py hands over as `repository`.
"""

import re
from html import escape
from urllib.parse import quote

ADDRESS = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+)")
BRANCH = "main"  # whose notebooks the services open
UNTRIED = "Not tried yet: this address is not known to be published."


def site(repository: str) -> str:
    """Where GitHub puts the pages of a repository."""
    owner, name = owner_and_name(repository)
    return f"https://{owner.lower()}.github.io/{name}/"


def owner_and_name(repository: str) -> tuple[str, str]:
    found = ADDRESS.fullmatch(repository)
    if found is None:
        raise ValueError(f"Repository is {repository!r}; expected https://github.com/owner/name, in pyproject.toml.")
    return found[1], found[2]


def links(repository: str, file: str) -> dict[str, tuple[str, str]]:
    """What the buttons of a notebook say, where they lead, and what happens there; `file` is its path in a clone."""
    owner, name = owner_and_name(repository)
    return {
        "Binder": (
            f"https://mybinder.org/v2/gh/{owner}/{name}/{BRANCH}?urlpath=lab/tree/{quote(file)}",
            f"Run this notebook on mybinder.org, with everything installed. {UNTRIED}",
        ),
        "Colab": (
            f"https://colab.research.google.com/github/{owner}/{name}/blob/{BRANCH}/{quote(file)}",
            f"Run this notebook on Google Colab; its first cell says how to install the package there. {UNTRIED}",
        ),
        "GitHub": (
            f"{repository}/blob/{BRANCH}/{quote(file)}",
            f"The file itself. {UNTRIED}",
        ),
    }


def add_buttons(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Under the title, in the page and not in the document: descriptions and searches do not read buttons."""
    if doctree is None or app.env.doc2path(pagename).suffix != ".ipynb":
        return
    buttons = "".join(
        f'<a href="{escape(link)}" title="{escape(words)}">{name}</a>'
        for name, (link, words) in links(app.config.repository, f"{pagename}.ipynb").items()
    )
    context["body"] = context["body"].replace("</h1>", f'</h1>\n<p class="launch">Open in {buttons}</p>', 1)


def setup(app) -> dict:
    app.add_config_value("repository", "", "html")
    app.connect("html-page-context", add_buttons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

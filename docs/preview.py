"""What a link to a page shows where it is shared: the page's first sentence, and a picture of the course.

sphinxext-opengraph writes the tags; here is only what it cannot know: that a description is one whole sentence, with
its formulas as somebody would say them.
"""

import re
from html import escape

from docutils import nodes
from plain import read_out

# The end of a sentence: not after "e.g." and the like, nor within 4.000 or `ddpm_dp.solve`.
END = re.compile(r"(?<!et al)(?<!e\.g)(?<!i\.e)[.?!](?=\s|$)")


def first_sentence(doctree: nodes.document) -> str:
    """A page's first sentence: of its text, not of a table or a list; the name of a command alone is none."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = read_out(paragraph.astext())
        end = END.search(text)
        sentence = text[: end.end()] if end else text
        if isinstance(paragraph.parent, (nodes.section, nodes.document)) and len(sentence.split()) > 3:
            return sentence
    return ""


def describe(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    if doctree is None:
        return
    if words := first_sentence(doctree):
        context["meta"] = {**(context["meta"] or {}), "og:description": words}
        context["metatags"] += f'<meta name="description" content="{escape(words)}" />\n'


def setup(app) -> dict:
    app.connect("html-page-context", describe, priority=400)  # before opengraph reads `meta`
    return {"parallel_read_safe": True, "parallel_write_safe": True}

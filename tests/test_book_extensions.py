"""docs/*.py, what the book adds to Sphinx: addresses, descriptions, the reference."""

import sys
import tomllib
from pathlib import Path

import pytest

import ddpm_dp

pytest.importorskip("sphinx", reason="no Sphinx: the book needs the extra `book`")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import launch  # noqa: E402
import preview  # noqa: E402
import reference  # noqa: E402

sys.path.remove(str(ROOT / "docs"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def test_all_addresses_are_made_from_one():
    links = launch.links("https://github.com/Someone/a_copy", "notebooks/02_elbo.ipynb")
    assert {name: link for name, (link, _) in links.items()} == {
        "Binder": "https://mybinder.org/v2/gh/Someone/a_copy/main?urlpath=lab/tree/notebooks/02_elbo.ipynb",
        "Colab": "https://colab.research.google.com/github/Someone/a_copy/blob/main/notebooks/02_elbo.ipynb",
        "GitHub": "https://github.com/Someone/a_copy/blob/main/notebooks/02_elbo.ipynb",
    }
    assert launch.site("https://github.com/Someone/a_copy") == "https://someone.github.io/a_copy/"
    assert launch.site(REPOSITORY)  # as pyproject.toml has it
    with pytest.raises(ValueError, match="expected https://github.com/owner/name"):
        launch.site("https://example.org/a_copy")


def test_the_address_stands_in_one_place():
    name = REPOSITORY.removeprefix("https://")
    files = [
        ROOT
        / "README.md",  # CONTRIBUTING's recipe repeats what a notebook's first cell says; tests/test_book.py compares
        *ROOT.glob("docs/*.*"),
        *ROOT.glob("ddpm_dp/**/*.py"),
        *ROOT.glob("*.cff"),
        ROOT / "environment.yml",
    ]
    assert not [file.name for file in files if name.encode() in file.read_bytes()]


def test_a_description_is_the_first_sentence_of_a_page():
    from docutils.core import publish_doctree

    page = "Title\n=====\n\n- not this\n\n``python a.py``.\n\nIt costs 0.1 bits, e.g. for Ho et al. 2020. And more.\n"
    assert preview.first_sentence(publish_doctree(page)) == "It costs 0.1 bits, e.g. for Ho et al. 2020."
    assert preview.first_sentence(publish_doctree("Title\n=====\n")) == ""


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("`solve` and a*b |x| x_ of `t`", ":py:obj:`~here.solve` and a\\*b \\|x\\| x\\_ of ``t``"),
        ("Many `solve`s", "Many :py:obj:`~here.solve`\\ s"),
        ("As\n\n    L(t, s) = a*b", "As\n\n::\n\n    L(t, s) = a*b"),
        ("Args:\n    path: a*b", "Args:\n    path: a\\*b"),
        ("a, b: two\n    numbers.\nc: one.", "``a, b``\n    two\n    numbers.\n``c``\n    one."),
        (">>> 2 * 3\n6", ">>> 2 * 3\n6"),
        ("| a |\n|---|\n| b* |", ".. list-table::\n   :header-rows: 1\n\n   * - a\n   * - b\\*"),
    ],
)
def test_docstrings_are_said_in_sphinx_language(ours, theirs):
    assert reference.as_rst(ours, {"solve": "here.solve"}) == theirs


def test_the_reference_has_every_name_at_the_door_and_no_private_one():
    told = [
        value for room in reference.rooms() for values in reference.told(room).values() for value in values.values()
    ]
    door = [getattr(ddpm_dp, name) for name in ddpm_dp.__all__]
    assert not [value for value in door if callable(value) and value not in told]
    names = [name for room in reference.rooms() for values in reference.told(room).values() for name in values]
    assert len(names) > 60 and not [name for name in names if name.startswith("_")]


def test_every_room_has_a_page_that_the_contents_link():
    contents = reference.contents()
    for room in reference.rooms():
        assert f":doc:`{room} <{room}>`" in contents
        assert reference.page(room).startswith(f"{room}\n{'=' * len(room)}\n")

"""The explorer: choose the steps that are kept, see what they cost and make, and beat the DP.

    from ddpm_dp.explorer import Explorer
    Explorer("digits")                                   # in a notebook, with a kernel that draws new samples
    ddpm-dp explorer digits --out explorer.html --open   # a page by itself, for any browser

One front end, `web/`, shows both. What it knows of a model are numbers (`data.py`, from a `Source`) and films
(`films.py`). `bundle.py` puts all into one file, `widget.py` into a notebook.
"""

from typing import TYPE_CHECKING, Any

from ddpm_dp.explorer.source import Source

if TYPE_CHECKING:
    from ddpm_dp.explorer.widget import Explorer

__all__ = ["Explorer", "Source"]


def __getattr__(name: str) -> Any:
    """`Explorer`, once it is asked for: a page needs no Jupyter."""
    if name != "Explorer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ddpm_dp.explorer.widget import Explorer
    except ModuleNotFoundError as error:
        if error.name != "anywidget":
            raise
        raise ImportError(
            "The explorer in a notebook needs anywidget: pip install 'ddpm-dp[notebooks]'. "
            "As a page by itself it needs nothing: ddpm-dp explorer."
        ) from error
    return Explorer

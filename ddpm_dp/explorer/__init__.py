"""The budget explorer: drag the number of steps K; see what the best path costs, where its steps fall, what it draws.

    from ddpm_dp.explorer import Explorer
    Explorer("digits")              # in JupyterLab
    python -m ddpm_dp.explorer      # as a page by itself, with Voila (`make explorer`)

What it knows, as numbers and sentences: `source.py` (a model's statistics), `search.py` (every budget's best path),
`view.py` (one budget). What it shows: `pictures.py`, `widget.py`, and for pages without a kernel `frames.py`.
"""

from ddpm_dp.explorer.widget import Explorer

__all__ = ["Explorer"]

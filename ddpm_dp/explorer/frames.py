"""The explorer for a page without a kernel: every budget drawn beforehand, and a slider over them."""

import base64
import html
import io
from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from ddpm_dp.explorer.canvas import encoded
from ddpm_dp.explorer.pictures import Pictures
from ddpm_dp.explorer.search import Exploration


def frames(
    exploration: Exploration,
    budgets: Iterable[int],
    rival: str = "even",
    start: int = 32,
    samples: Mapping[int, bytes] | None = None,
) -> str:
    """HTML with a slider over `budgets` that needs no kernel, no network and no library: for a rendered page.

    It opens at the budget `start`. `samples` are pictures, as `sheet` makes them, for some budgets. The other pictures
    are a background, kept once, and a small overlay for each budget.

    Raises ValueError if a budget is not in 1..T, or `start` is none of them.

    >>> from ddpm_dp.explorer.source import Source, shipped_sources
    >>> digits = Exploration(Source.open(shipped_sources()["digits"]))
    >>> frames(digits, [4, 8], start=4).count('class="ddpm-slide"')
    2
    """
    budgets = list(budgets)
    if start not in budgets:
        raise ValueError(f"start = {start} is none of the budgets {budgets}; open at one of them.")
    pictures, slides = Pictures(), []
    stills: dict[int, tuple[str, str]] = {}  # the class and the picture of each background, by its `still_id`
    for K in budgets:
        view = exploration.at(K, rival)
        panels = []
        for name, canvas in pictures.paint(view).items():
            overlay = _uri(canvas.overlay())
            if canvas.still_id not in stills:
                stills[canvas.still_id] = f"ddpm-still-{len(stills)}", _uri(canvas.still())
            panels.append(f'<img class="{stills[canvas.still_id][0]}" src="{overlay}" alt="{name} at K = {K}">')
        if samples and K in samples:
            small = np.asarray(Image.open(io.BytesIO(samples[K])).reduce(2))  # a third of the page's length otherwise
            panels.append(f'<img src="{_uri(encoded(small, "WEBP", quality=60))}" alt="samples at K = {K}">')
        first, *others = map(html.escape, view.sentences)
        slides.append(
            f'<div class="ddpm-slide" data-k="{K}"{"" if K == start else " hidden"}>'
            f'<p><b>{first}</b> {" ".join(others)}</p><div class="ddpm-panels">{"".join(panels)}</div></div>'
        )
    css = "".join(f".{name}{{background:url({uri}) 0 0/100% 100% no-repeat}}" for name, uri in stills.values())
    grid = "grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr))"
    moved = (
        "const r=this.closest('.ddpm-frames');"
        "r.querySelectorAll('.ddpm-slide').forEach((e,i)=>{e.hidden=i!=this.value;"
        "if(!e.hidden)r.querySelector('output').textContent=e.dataset.k})"
    )
    return (
        f'<div class="ddpm-frames"><style>{css}.ddpm-panels{{display:grid;gap:6px;{grid}}}'
        ".ddpm-panels img{width:100%;margin:0}</style>"
        f'<label>Steps K <input type="range" min="0" max="{len(slides) - 1}" value="{budgets.index(start)}" '
        f'style="width:60%" oninput="{moved}"></label> <output>{start}</output>{"".join(slides)}</div>'
    )


def _uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"

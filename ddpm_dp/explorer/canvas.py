"""A figure fast enough to drag: what does not move is drawn once, what does is drawn on top of it.

A full matplotlib figure takes 50 ms and more to draw on a slow core, three of them are too slow for a slider. So each
`Canvas` keeps a picture of its axes, labels and curves; an event restores that and draws only the marks that moved.
The same two layers make the slider of a page without a kernel small: one background, and one small overlay per budget.
"""

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ddpm_dp.reporting import plotting

SIZE, DPI = (6.4, 3.25), 110  # two rows of it and the controls fill a projector of 1400 x 900


class Canvas:
    """A figure in two layers."""

    def __init__(self, rows: int = 1, columns: int = 1, **grid: Any):
        with mpl.rc_context():
            plotting.use_style()
            mpl.rcParams["figure.constrained_layout.use"] = False  # margins stay, whatever the numbers on the axes
            self.figure = Figure(figsize=SIZE, dpi=DPI)
            self.agg = FigureCanvasAgg(self.figure)
            self.axes: Any = self.figure.subplots(rows, columns, gridspec_kw=grid)
        self.moving: list[Artist] = []
        self.made_for: tuple[object, ...] = ()
        self._stills: dict[tuple[object, ...], Any] = {}

    def remake(self, made_for: tuple[object, ...]) -> bool:
        """Whether what the still layer depends on has changed: then its axes must be made again."""
        changed = made_for != self.made_for
        if changed:
            self.made_for, self._stills = made_for, {}
        return changed

    def layers(self, limits: tuple[object, ...] = ()) -> None:
        """Draw the moving marks over the still layer, which is drawn once for each setting of the axes' limits."""
        if limits not in self._stills:
            for mark in self.moving:
                mark.set_animated(True)  # leaves it out of a full drawing
            self.agg.draw()
            self._stills[limits] = self.agg.copy_from_bbox(self.figure.bbox)
        self._still = self._stills[limits]
        self.agg.restore_region(self._still)
        self._marks()

    def _marks(self) -> None:
        for mark in self.moving:
            if mark.get_visible():
                mark.axes.draw_artist(mark)  # type: ignore[union-attr]  # it has axes

    def png(self) -> bytes:
        return encoded(np.asarray(self.agg.buffer_rgba())[..., :3], "PNG", compress_level=1)

    def still(self) -> bytes:
        """The still layer alone, as WebP."""
        self.agg.restore_region(self._still)
        return encoded(np.asarray(self.agg.buffer_rgba())[..., :3], "WEBP", lossless=True)

    @property
    def still_id(self) -> int:
        """Tells one still layer from another."""
        return id(self._still)

    def overlay(self) -> bytes:
        """The moving marks alone, transparent elsewhere, as WebP."""
        self.agg.renderer.clear()
        self._marks()
        return encoded(np.asarray(self.agg.buffer_rgba()), "WEBP", lossless=True, quality=20)


def encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    """Pixels (height, width, 3 or 4) as the bytes of a picture file of that kind, "PNG" or "WEBP"."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **options)
    return buffer.getvalue()

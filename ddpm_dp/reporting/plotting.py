"""The pictures of the course, in one style: each takes an `ax` and returns it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddpm_dp.files import write_whole
from ddpm_dp.reporting.compare import Comparison

# Okabe and Ito's colours, told apart by colour-blind readers; a marker too, for print in black and white.
STYLES: dict[str, dict[str, Any]] = {
    "even": {"color": "#E69F00", "marker": "s"},
    "quadratic": {"color": "#56B4E9", "marker": "^"},
    "log-snr": {"color": "#CC79A7", "marker": "v"},
    "karras": {"color": "#009E73", "marker": "D"},
    "DP": {"color": "#0072B2", "marker": "o"},
}


def use_style() -> None:
    """Set matplotlib's defaults for every figure that follows."""
    mpl.rcParams.update(
        {
            "figure.figsize": (7, 4),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "lines.markersize": 5,
            "lines.linewidth": 1.8,
        }
    )


def save(figure: Figure, path: str | Path, settings: Mapping[str, Any]) -> Path:
    """Write a figure as PNG, whole or not at all, with the settings that made it in the picture's own text."""
    text = {"Description": json.dumps(settings)}
    return write_whole(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150, metadata=text))


def settings_of(path: str | Path) -> Any:
    """The settings of a picture that `save` wrote; None if it was made by something else.

    Raises ValueError or OSError if it cannot be read.
    """
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as picture:
        text = picture.info.get("Description")
    return json.loads(text) if isinstance(text, str) else None


def bits_against_steps(ax: Axes, comparison: Comparison) -> Axes:
    """Held-out bits/dim against the number of steps K (log scale), one curve per path, bars of one standard error."""
    for name, bits in comparison.bits.items():
        ax.errorbar(comparison.budgets, bits, comparison.errors[name], label=name, capsize=2, **STYLES.get(name, {}))
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
    ax.set(xlabel="steps K", ylabel="held-out bits/dim (lower is better)", title=f"{comparison.variance} variance")
    ax.legend()
    return ax


def chosen_timesteps(ax: Axes, paths: Mapping[int, np.ndarray], **style: Any) -> Axes:
    """One row per budget K, one tick for each timestep of its path."""
    budgets = sorted(paths)
    for row, K in enumerate(budgets):
        ax.plot(paths[K][1:], np.full(K, row), "|", markersize=14, **{"color": STYLES["DP"]["color"], **style})
    ax.set(xlabel="timestep t (1 = nearly clean, T = pure noise)", ylabel="steps K")
    ax.set_yticks(range(len(budgets)), [str(K) for K in budgets])
    ax.set_ylim(-0.6, len(budgets) - 0.4)  # or the ticks of the first and last row are cut
    ax.grid(axis="y", visible=False)
    return ax


def image_grid(ax: Axes, images: Any, columns: int) -> Axes:
    """Images (n, channels, height, width) in [-1, 1], row by row, as one picture without axes."""
    images = np.asarray(images)
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.ones((rows * columns, channels, height + 1, width + 1))  # one white pixel between neighbours
    sheet[:n, :, :height, :width] = images
    sheet = sheet.reshape(rows, columns, channels, height + 1, width + 1).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * (height + 1), columns * (width + 1), channels)[:-1, :-1]
    ax.imshow(np.clip((sheet.squeeze() + 1) / 2, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    return ax

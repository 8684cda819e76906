"""The explorer's pictures of a `View`: the curves, where the steps fall, what each costs; and a sheet of samples."""

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ddpm_dp.explorer.canvas import DPI, SIZE, Canvas, encoded
from ddpm_dp.explorer.search import Exploration
from ddpm_dp.explorer.view import DP, MINE, View
from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.reporting import plotting
from ddpm_dp.strides import STRIDES

STYLES = plotting.STYLES | {MINE: {"color": "#009E73", "marker": "*"}}
LOWEST_LOG_SNR = -14.0  # pure noise: schedules differ below, by nothing that can be seen


class Curves(Canvas):
    """Bits/dim against K: all curves still, the current K and the reader's own paths moving."""

    def __init__(self) -> None:
        super().__init__(left=0.11, right=0.965, top=0.9, bottom=0.155)
        ax = self.axes
        names = (*STRIDES, DP)
        self.curves = {name: ax.plot([], [], color=STYLES[name]["color"], label=name)[0] for name in names}
        self.everything = ax.axhline(0, color="0.4", lw=1, ls=":")
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
        ax.set(xlabel="steps K", ylabel="bits/dim (lower is better)")
        self.line = ax.axvline(1, color="0.5", lw=1)
        self.marks = {
            name: ax.plot([], [], STYLES[name]["marker"], ms=8, color=STYLES[name]["color"], mec="white", zorder=5)[0]
            for name in names
        }
        (self.mine,) = ax.plot([], [], "*", ms=13, color=STYLES[MINE]["color"], mec="white", zorder=6)
        self.moving = [self.line, *self.marks.values(), self.mine]
        self._legend_for: tuple[int, str] | None = None

    def still_layer(self, e: Exploration, rival: str) -> None:
        """Other curves on the same axes: making the axes anew would take twice as long."""
        ax = self.axes
        for name, curve in self.curves.items():
            strong = name in (DP, rival)
            curve.set(data=(e.budgets, e.curve(name)[0]), lw=2.2 if strong else 1.2, alpha=1 if strong else 0.6)
        everything, _ = e.all_steps
        self.everything.set_ydata([everything, everything])
        best, _ = e.curve(DP)
        low, high = best.min(), max(everything, best[np.searchsorted(e.budgets, min(4, e.T - 1))])
        ax.set(
            xlim=(0.93, e.T * 1.07),
            ylim=(low - 0.08 * (high - low), high + 0.6 * (high - low)),
            title=f"{e.source.name}: {e.variance} variance, {e.objective.title}",
        )
        if self._legend_for != (e.T, rival):
            self._legend_for = e.T, rival
            self.everything.set_label(f"all {e.T:,} steps")
            ax.legend(ncols=2, loc="upper right", fontsize=10, frameon=True)

    def paint(self, view: View, tried: dict[int, float]) -> None:
        e = view.exploration
        if self.remake((e, view.rival)):
            self.still_layer(e, view.rival)
        self.line.set_xdata([view.K, view.K])
        for name, mark in self.marks.items():
            known = view.bits.get(name) or e.bits(e.path(name, view.K))
            mark.set_data([view.K], [known[0]])
        if view.rival == MINE:
            tried = tried | {view.K: view.bits[MINE][0]}
        self.mine.set_data(list(tried), list(tried.values()))
        self.layers()


class Steps(Canvas):
    """Where the steps fall: in t, and in log-SNR."""

    def __init__(self) -> None:
        super().__init__(2, 1, left=0.11, right=0.965, top=0.9, bottom=0.155, hspace=0.95)

    def still_layer(self, noise: NoiseSchedule, rival: str) -> None:
        left = self.log_snr(noise, np.array([1]))[0]
        for ax in self.axes:
            ax.clear()
            ax.grid(axis="x", alpha=0.3)
            ax.set(ylim=(-0.6, 1.6))
            ax.set_yticks([1, 0], [DP, "mine" if rival == MINE else rival.replace("quadratic", "quadr.")])
        self.axes[0].set(
            xlim=(0, noise.T * 1.01), xlabel="timestep t", title="Where the steps fall: data left, noise right"
        )
        self.axes[1].set(xlim=(left + 0.3, self.log_snr(noise, np.array([noise.T]))[0] - 0.3), xlabel="log snr(t)")
        self.marks = {}
        for i, ax in enumerate(self.axes):
            for row, name in ((1, DP), (0, rival)):
                self.marks[i, row] = ax.plot([], [], "|", ms=21, mew=1.4, color=STYLES[name]["color"])[0]
        self.moving = [*self.marks.values()]

    @staticmethod
    def log_snr(noise: NoiseSchedule, t: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(noise.snr[t], np.exp(LOWEST_LOG_SNR)))

    def paint(self, view: View) -> None:
        noise = view.exploration.source.train.noise
        if self.remake((noise, view.rival)):
            self.still_layer(noise, view.rival)
        for row, path in ((1, view.best), (0, view.other)):
            y = np.full(view.K, row)
            self.marks[0, row].set_data(path[1:], y)
            self.marks[1, row].set_data(self.log_snr(noise, path[1:]), y)
        self.layers()


class Prices(Canvas):
    """What each step costs, as bars over the stretch of t that it crosses; the decoder and the prior apart."""

    def __init__(self) -> None:
        super().__init__(1, 2, left=0.11, right=0.965, top=0.9, bottom=0.155, wspace=0.22, width_ratios=[1, 1.9])

    def still_layer(self, T: int, rival: str) -> None:
        left, right = self.axes
        for ax in self.axes:
            ax.clear()
            ax.grid(axis="y", alpha=0.3)
            ax.yaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
        left.set_xticks(range(3), ["decoder", "steps", "prior"], fontsize=9)
        left.set(xlim=(-0.6, 2.6), ylabel="bits/dim", title="In all")
        right.set(xlim=(0, T * 1.01), xlabel="from t down to s, one bar a step", title="Each step but the decoder")
        self.sums = [left.bar(np.arange(3) + shift, 0, 0.4, color=STYLES[name]["color"], label=name)
                     for shift, name in ((-0.22, DP), (0.22, rival))]  # fmt: skip
        right.legend(
            handles=[bars[0] for bars in self.sums], labels=[DP, rival], loc="upper right", fontsize=10, frameon=True
        )
        flat = ([0.0], [0.0, 1.0])
        self.bars = {
            0: right.stairs(*flat, fill=True, color=STYLES[DP]["color"], alpha=0.35),
            1: right.stairs(*flat, baseline=None, color=STYLES[DP]["color"], lw=1.2),
            2: right.stairs(*flat, baseline=None, color=STYLES[rival]["color"], lw=1.6),
        }
        self.labels = [
            [left.text(x + shift, 0, "", ha=side, va="bottom", fontsize=8) for x in range(3)]
            for shift, side in ((-0.02, "right"), (0.02, "left"))
        ]
        self.moving = [*self.sums[0], *self.sums[1], *self.labels[0], *self.labels[1], *self.bars.values()]

    def paint(self, view: View) -> None:
        e = view.exploration
        steps = [view.step_bits[DP], view.step_bits[view.rival]]
        sums = [(row[0], row[1:].sum(), view.prior_bits) for row in steps]
        tops = _round_up(np.max(sums)), _round_up(max((row[1:].max(initial=0) for row in steps), default=0))
        if self.remake((e.T, view.rival)):
            self.still_layer(e.T, view.rival)
        for ax, top in zip(self.axes, tops, strict=True):
            ax.set_ylim(0, top)
        for bars, labels, heights in zip(self.sums, self.labels, sums, strict=True):
            for bar, label, height in zip(bars, labels, heights, strict=True):
                bar.set_height(height)
                label.set(y=height, text=f"{height:.2f}")
        for i, row, path in ((0, steps[0], view.best), (1, steps[0], view.best), (2, steps[1], view.other)):
            self.bars[i].set_visible(view.K > 1)
            if view.K > 1:
                self.bars[i].set_data(row[1:], path[1:])
        self.layers(tops)


class Pictures:
    """The three pictures of a `View`."""

    def __init__(self) -> None:
        self.curves, self.steps, self.prices = Curves(), Steps(), Prices()

    def paint(self, view: View, tried: dict[int, float] | None = None) -> dict[str, Canvas]:
        self.curves.paint(view, tried or {})
        self.steps.paint(view)
        self.prices.paint(view)
        return {"curves": self.curves, "steps": self.steps, "prices": self.prices}

    def of(self, view: View, tried: dict[int, float] | None = None) -> dict[str, bytes]:
        """PNG files of a view; `tried` holds bits/dim of the reader's own paths by their budgets."""
        return {name: canvas.png() for name, canvas in self.paint(view, tried).items()}


def sheet(drawn: dict[str, np.ndarray], K: int) -> bytes:
    """Samples of each path side by side, as PNG. Raises ValueError if they are no images."""
    if any(images.ndim != 4 for images in drawn.values()):
        raise ValueError("samples are shown for images only.")
    with mpl.rc_context():
        plotting.use_style()
        figure = Figure(figsize=SIZE, dpi=DPI)
    agg = FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(drawn), gridspec_kw={"wspace": 0.08})
    for ax, (name, images) in zip(axes, drawn.items(), strict=True):
        plotting.image_grid(ax, images, columns=4)
        ax.set_title(f"{name}, {K} step{'s' * (K > 1)}", color=STYLES[name]["color"])
    agg.draw()
    return encoded(np.asarray(agg.buffer_rgba())[..., :3], "PNG", compress_level=1)


def _round_up(x: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is 5% above x: the end of an axis that rarely moves."""
    power = 10.0 ** np.floor(np.log10(max(1.05 * x, 1e-9)))
    return float(min(m * power for m in (1, 2, 5, 10) if m * power >= 1.05 * x or m == 10))

"""The explorer's widgets, and what happens when one of them changes."""

import asyncio
import html
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as w
import numpy as np

from ddpm_dp import strides
from ddpm_dp.explorer.frames import frames
from ddpm_dp.explorer.pictures import Pictures, sheet
from ddpm_dp.explorer.search import Exploration, is_quick
from ddpm_dp.explorer.source import Source, shipped_sources
from ddpm_dp.explorer.view import DP, MINE, View
from ddpm_dp.objectives import OBJECTIVES

if TYPE_CHECKING:
    from IPython.display import HTML
    from torch import Tensor

OWN_FILE = "a file of my own"
SAMPLES = 16  # images under each path
REST = 0.3  # seconds without an event before samples are drawn: a drag does not start a hundred of them
KEPT = 6  # searches that are kept: 32 MB each at T = 4,000
FRAMES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 256, 512)
GUIDE = "The explorer is live where this notebook runs (`make lab`), or as a page by itself (`make explorer`)."

Asked = tuple[Source, str, str]  # a source, a reverse variance and an objective: a search to be had


class Cancelled(Exception):
    """Raised inside sampling when nobody waits for these samples any more."""


def says_what_is_wrong(change: Callable[..., None]) -> Callable[..., None]:
    """Wrap an event handler: a wrong input becomes one sentence on the screen, and the views stay as they were."""

    @wraps(change)
    def handler(self: "Explorer", *event: Any) -> None:
        if self._setting:  # the explorer's own doing, not the reader's
            return
        try:
            self._say("")
            change(self, *event)
        except (ValueError, OSError, MemoryError) as error:
            self._say(str(error) or "There is not enough memory for that.", wrong=True)

    return handler


class Explorer:
    """The widget. Displays itself at the end of a cell; `.box` is the ipywidgets tree.

    Args:
        model: a shipped model ("digits", ...), a statistics file or its folder, or a `Source`.
        K: the first budget.
        variance, rival, objective, samples: what the controls show first; an objective by its name in `OBJECTIVES`.

    Raises ValueError or FileNotFoundError if they cannot be had. Afterwards a wrong input is a sentence in the widget.
    """

    def __init__(
        self,
        model: str | Path | Source = "digits",
        K: int = 32,
        variance: str = "analytic",
        rival: str = "even",
        objective: str = "elbo",
        samples: bool = True,
    ):
        self._setting = False
        self._searches: OrderedDict[Asked, Exploration] = OrderedDict()
        self._sources: dict[str, Source | Path] = dict(shipped_sources())
        self._mine: dict[int, np.ndarray] = {}  # the reader's paths, one for each budget that he has tried
        self._seed = 0
        self._models: dict[str, Any] = {}
        self._drawing: threading.Event | None = None  # set it to cancel the samples under way
        self._timer: asyncio.TimerHandle | None = None
        self._one_search = threading.Lock()
        self._wanted: Asked | None = None  # the search that the screen waits for, if one runs in the background
        try:
            # Jupyter's: background threads hand their results over to it
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None  # a plain script: nothing runs in the background
        source = model if isinstance(model, Source) else None
        if source is None and str(model) not in self._sources:
            source = Source.open(str(model))
        if source is not None:
            self._sources[source.name] = source
        self._source = self._load(source.name if source else str(model))
        self._rival_before = rival if rival in strides.STRIDES else "even"
        self.exploration = self._search(self._source, variance, objective)
        self.view: View = self.exploration.at(K, *self._rival(rival, K))
        self._build(variance, rival, objective, samples)
        self._pictures = Pictures()
        self._repaint()

    # Controls ---------------------------------------------------------------------------------------------------------

    def _build(self, variance: str, rival: str, objective: str, samples: bool) -> None:
        wide, style = w.Layout(width="auto", flex="1 1 210px", max_width="330px"), {"description_width": "initial"}

        def make(
            kind: Callable[..., Any],
            description: str,
            tooltip: str,
            handler: Callable[[Any], None],
            on: str = "value",
            layout: Any = wide,
            **rest: Any,
        ) -> Any:
            control = kind(description=description, tooltip=tooltip, layout=layout, **rest)
            if not isinstance(control, (w.Button, w.ToggleButton)):
                control.style = style
            if kind is w.Button:
                control.on_click(handler)
            else:
                control.observe(handler, on)
            return control

        box = w.Layout(width="150px")
        button = w.Layout(width="auto", flex="0 0 auto")
        self.slider = make(
            w.SelectionSlider,
            "Steps K",
            "Number of steps, on a logarithmic scale: drag, or focus it and press the arrow keys",
            self._on_slider,
            "index",
            w.Layout(width="auto", flex="1 1 300px"),
            options=_stops(self.exploration.T),
            value=_stops(self.exploration.T)[0],
            readout=False,
        )
        self.number = make(
            w.IntText, "K =", "Type any number of steps from 1 to T", self._on_number, layout=box, value=1
        )
        self.model = make(
            w.Dropdown,
            "Model",
            "A model that ships, or a statistics file of your own",
            self._on_model,
            options=[*self._sources, OWN_FILE],
            value=self._source.name,
        )
        self.file = make(
            w.Text,
            "File",
            "A train.npz that ddpm_dp.measure(...).save wrote; test.npz and model.safetensors beside it are used too",
            self._on_file,
            layout=w.Layout(width="100%", display="none"),
            placeholder="path/to/train.npz, then Enter",
            continuous_update=False,
        )
        self.variance = make(
            w.Dropdown,
            "Reverse variance",
            "How wide each reverse step p(x_s | x_t) is",
            self._on_search,
            options=self._source.variances,
            value=variance,
        )
        self.objective = make(
            w.Dropdown,
            "Objective",
            "What the DP minimises: the negative ELBO, or the paper's weighted squared error",
            self._on_search,
            options=[(each.title, name) for name, each in OBJECTIVES.items()],
            value=objective,
        )
        self.rival = make(
            w.Dropdown,
            "Compare with",
            "A handcrafted path, or one that you edit: beat the DP",
            self._on_rival,
            options=[*strides.STRIDES, MINE],
            value=rival,
        )
        self.samples = make(
            w.Checkbox, "Samples", "Draw samples along both paths, from the same noise", self._on_samples,
            layout=w.Layout(width="110px"), value=samples, indent=False,
        )  # fmt: skip
        self.noise = make(w.Button, "New noise", "Draw other samples, from other noise", self._on_noise, layout=button)
        self.share = make(
            w.ToggleButton, "Share", "The Python, and the list for diffusers, that give what is on the screen",
            self._on_share, layout=button, value=False,
        )  # fmt: skip
        self.typed = make(
            w.Text, "Timesteps", "Your path from 0 to T, ascending: edit the numbers, then press Enter", self._on_typed,
            layout=w.Layout(width="100%"), continuous_update=False,
        )  # fmt: skip
        self.which = make(
            w.IntSlider, "Move the step number", "Which of your timesteps the next slider moves", self._on_which,
            layout=w.Layout(width="auto", flex="1 1 300px"), min=1, max=1,
        )  # fmt: skip
        self.where = make(
            w.IntSlider, "to timestep", "Where it goes, between its two neighbours: drag, or press the arrow keys",
            self._on_where, layout=w.Layout(width="auto", flex="1 1 300px"), min=0, max=1,
        )  # fmt: skip
        self.again = make(
            w.Button, "Start again", "Throw your edits of this budget away", self._on_again, layout=button
        )
        self.message = w.HTML()
        self.words = w.HTML()
        self.progress = w.FloatProgress(
            min=0, max=1, description="Sampling", tooltip="Samples are drawn in the background",
            layout=w.Layout(width="100%", visibility="hidden"), style=style,
        )  # fmt: skip
        picture = w.Layout(width="100%", height="auto", object_fit="contain")
        # No tooltip: ipywidgets 8.1 fails on one of an Image. What the pictures show is in the words above them.
        self.images = {name: w.Image(layout=picture) for name in ("curves", "steps", "prices", "samples")}
        row = w.Layout(display="flex", flex_flow="row wrap", align_items="center", width="100%")
        self.editor = w.VBox(
            [self.typed, w.HBox([self.which, self.where, self.again], layout=row)],
            layout=w.Layout(display="none", border="1px solid #ccc", padding="4px"),
        )
        self.shared = w.HTML(layout=w.Layout(display="none"))
        right = w.VBox([self.images["samples"], self.progress], layout=w.Layout(width="100%"))
        self.box = w.VBox(
            [
                w.HBox([self.slider, self.number], layout=row),
                w.HBox([self.model, self.variance, self.objective, self.rival], layout=row),
                self.file,
                w.HBox([self.samples, self.noise, self.share], layout=row),
                self.editor,
                self.message,
                self.words,
                self.shared,
                w.GridBox(
                    [self.images["curves"], self.images["steps"], self.images["prices"], right],
                    layout=w.Layout(
                        width="100%", grid_template_columns="repeat(auto-fit, minmax(min(100%, 480px), 1fr))"
                    ),
                ),
            ],
            layout=w.Layout(width="100%", max_width="1500px"),
        )

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """As any widget where a kernel runs; elsewhere one line that says so."""
        bundle = self.box._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        page = re.sub("`(.*?)`", r"<code>\1</code>", GUIDE)
        return data | {"text/plain": GUIDE, "text/html": f"<p><em>{page}</em></p>"}

    def frames(self, budgets: Sequence[int] = FRAMES, samples_up_to: int = 128) -> "HTML":
        """A slider over `budgets` for a page without a kernel, as IPython HTML: the screen, drawn beforehand.

        Samples, which take K evaluations of the network for each path, are drawn for budgets up to `samples_up_to`.
        """
        from IPython.display import HTML
        from tqdm.auto import tqdm

        drawn: dict[int, bytes] = {}
        if self._source.model:
            for K in tqdm([K for K in budgets if K <= samples_up_to], "sampling", unit="budget", leave=False):
                view = self.exploration.at(K, *self._rival(self.view.rival, K))
                picture = self._sample(self._source, view, self.exploration.variance, self._seed, threading.Event())
                if isinstance(picture, Exception):
                    raise picture
                assert picture is not None, "nobody cancels these"
                drawn[K] = picture
        return HTML(frames(self.exploration, budgets, self._rival_before, self.view.K, drawn))

    # Events -----------------------------------------------------------------------------------------------------------

    @says_what_is_wrong
    def _on_slider(self, event: Any) -> None:
        self._show(K=self.slider.value)

    @says_what_is_wrong
    def _on_number(self, event: Any) -> None:
        self._show(K=self.number.value)

    @says_what_is_wrong
    def _on_rival(self, event: Any) -> None:
        self._show(rival=self.rival.value)

    @says_what_is_wrong
    def _on_model(self, event: Any) -> None:
        self.file.layout.display = "flex" if self.model.value == OWN_FILE else "none"
        if self.model.value != OWN_FILE:
            self._take(self.model.value)

    @says_what_is_wrong
    def _on_file(self, event: Any) -> None:
        if self.file.value.strip():
            source = Source.open(self.file.value.strip())
            self._sources[source.name] = source
            self._take(source.name)

    @says_what_is_wrong
    def _on_search(self, event: Any) -> None:
        self._find()

    @says_what_is_wrong
    def _on_samples(self, event: Any) -> None:
        self._draw_samples()

    @says_what_is_wrong
    def _on_noise(self, event: Any) -> None:
        self._seed += 1
        self._set(self.samples, value=True)
        self._repaint_words()
        self._draw_samples()

    @says_what_is_wrong
    def _on_share(self, event: Any) -> None:
        self.shared.layout.display = "block" if self.share.value else "none"

    @says_what_is_wrong
    def _on_typed(self, event: Any) -> None:
        path = self.exploration.parse(self.typed.value)
        self._mine[len(path) - 1] = path
        self._show(K=len(path) - 1, rival=MINE)

    @says_what_is_wrong
    def _on_which(self, event: Any) -> None:
        self._repaint_editor()

    @says_what_is_wrong
    def _on_where(self, event: Any) -> None:
        path, i = self.view.other.copy(), self.which.value
        if 1 <= i < self.view.K:
            path[i] = np.clip(self.where.value, path[i - 1] + 1, path[i + 1] - 1)
            self._mine[self.view.K] = path
            self._show()

    @says_what_is_wrong
    def _on_again(self, event: Any) -> None:
        self._mine.pop(self.view.K, None)
        self._show()

    # From an event to the screen --------------------------------------------------------------------------------------

    def _rival(self, rival: str, K: int) -> tuple[Any, ...]:
        """The rival and, where it is the reader's own, that path: the stride that was there before, until edited."""
        if rival != MINE:
            self._rival_before = rival
            return (rival,)
        return rival, self._mine.get(K, self.exploration.path(self._rival_before, K))

    def _show(self, K: int | None = None, rival: str | None = None) -> None:
        """Put another budget or rival on the screen."""
        K = self.exploration.budget(self.view.K if K is None else K)
        self.view = self.exploration.at(K, *self._rival(rival or self.view.rival, K))
        self._repaint()

    def _load(self, name: str) -> Source:
        source = self._sources[name]
        if isinstance(source, Path):
            source = self._sources[name] = Source.open(source, name)
        return source

    def _take(self, name: str) -> None:
        """Another model: keep the budget and the variance where it has them."""
        try:
            self._source = self._load(name)
        except (ValueError, OSError):
            self._set(self.model, value=self._source.name if self._source.name in self.model.options else OWN_FILE)
            raise
        variances = self._source.variances
        keep = self.variance.value if self.variance.value in variances else "analytic"
        self._set(self.variance, options=variances, value=keep)
        self._mine = {}
        self._find()

    def _find(self) -> None:
        """The search that the controls ask for: at once, or in the background if it needs a table."""
        asked = (self._source, self.variance.value, self.objective.value)
        self._wanted = asked
        loop = self._loop
        if loop is None or asked in self._searches or is_quick(*asked):
            return self._found(asked, self._search(*asked))
        shown = self.exploration
        self._say(
            f"Searching {asked[1]} for {asked[0].name}: its table of {asked[0].T ** 2 // 2:,} steps takes a while. "
            f"Until then you see {shown.variance} for {shown.source.name}."
        )

        def work() -> None:
            found: Exploration | Exception
            with self._one_search:  # a table is large: one at a time
                if asked != self._wanted:
                    return
                try:
                    found = Exploration(*asked)
                    for name in (DP, *strides.STRIDES):
                        found.curve(name)
                except Exception as error:  # its sentence goes to the screen: nobody reads a thread's traceback
                    found = error
            loop.call_soon_threadsafe(self._found, asked, found)

        threading.Thread(target=work, daemon=True).start()

    def _found(self, asked: Asked, found: Exploration | Exception) -> None:
        if asked != self._wanted:
            return  # the reader has gone on to something else
        if isinstance(found, Exception):
            return self._say(str(found), wrong=True)
        self._say("")
        self.exploration = self._keep(asked, found)
        K = min(self.view.K, found.T)
        self.view = found.at(K, *self._rival(self.view.rival, K))
        self._repaint()

    def _search(self, source: Source, variance: str, objective: str) -> Exploration:
        key = (source, variance, objective)
        return self._keep(key, self._searches.get(key) or Exploration(*key))

    def _keep(self, key: Asked, found: Exploration) -> Exploration:
        self._searches[key] = found
        self._searches.move_to_end(key)
        if len(self._searches) > KEPT:
            self._searches.popitem(last=False)
        return found

    def _repaint(self) -> None:
        tried = {len(path) - 1: self.exploration.bits(path)[0] for path in self._mine.values()}
        for name, png in self._pictures.of(self.view, tried).items():
            self.images[name].value = png
        stops = _stops(self.exploration.T)
        if tuple(stops) != tuple(self.slider.options):
            self._set(self.slider, options=stops)
        self._set(self.slider, index=int(np.abs(np.log(np.array(stops) / self.view.K)).argmin()))
        self._set(self.number, value=self.view.K)
        self._set(self.rival, value=self.view.rival)
        self._repaint_editor()
        self._repaint_words()
        self._draw_samples(rest=REST)

    def _repaint_editor(self) -> None:
        self.editor.layout.display = "flex" if self.view.rival == MINE else "none"
        path = self.view.other
        self._set(self.typed, value=", ".join(map(str, path.tolist())))
        movable = self.view.K > 1
        self.which.disabled = self.where.disabled = not movable
        self._set(self.which, max=max(1, self.view.K - 1))
        self._set(self.where, max=self.exploration.T)
        self._set(self.where, value=int(path[self.which.value]))

    def _repaint_words(self) -> None:
        first, *others = (html.escape(sentence) for sentence in self.view.sentences)
        self.words.value = (
            f'<div style="line-height:1.4"><b style="font-size:115%">{first}</b> {" ".join(others)}</div>'
        )
        self.shared.value = _share(self.view.python(self._seed), self.view.diffusers())

    def _say(self, sentence: str, wrong: bool = False) -> None:
        color = "#a40000" if wrong else "#555"
        text = (
            f'<div role="status" style="color:{color};line-height:1.4">{html.escape(sentence)}</div>'
            if sentence
            else ""
        )
        self.message.value = text

    def _set(self, control: Any, **values: Any) -> None:
        """Change a control without its handler taking it for the reader's doing."""
        before, self._setting = self._setting, True
        try:
            for name, value in values.items():
                setattr(control, name, value)
        finally:
            self._setting = before

    # Samples, in the background ---------------------------------------------------------------------------------------

    def _draw_samples(self, rest: float = 0.0) -> None:
        """Cancel the samples under way; after `rest` seconds without another event, draw those of this view."""
        if self._drawing:
            self._drawing.set()
        if self._timer:
            self._timer.cancel()
        self.progress.layout.visibility = "hidden"
        self.images["samples"].layout.display = "flex" if self.samples.value else "none"
        if not self.samples.value:
            return
        if self._source.model is None:
            return self._say("There is no model.safetensors beside these statistics, so there are no samples.")
        self._drawing = cancelled = threading.Event()
        job = (self._source, self.view, self.exploration.variance, self._seed, cancelled)
        if self._loop is None:
            self._sampled(cancelled, self._sample(*job))
        else:
            start = threading.Thread(target=self._sample_in_background, args=(self._loop, *job), daemon=True).start
            self._timer = self._loop.call_later(rest, start)

    def _sample_in_background(
        self,
        loop: asyncio.AbstractEventLoop,
        source: Source,
        view: View,
        variance: str,
        seed: int,
        cancelled: threading.Event,
    ) -> None:
        result = self._sample(source, view, variance, seed, cancelled)
        loop.call_soon_threadsafe(self._sampled, cancelled, result)

    def _sample(
        self, source: Source, view: View, variance: str, seed: int, cancelled: threading.Event
    ) -> bytes | Exception | None:
        """A picture of samples along both paths; None if cancelled; an error if the model cannot draw them."""
        from ddpm_dp.models.trained import load  # here: torch takes seconds to import, and the curves need none
        from ddpm_dp.sampling import sample

        done, total = 0, sum(len(path) - 1 for path in view.paths.values())

        def step(s: int, x_s: "Tensor", xhat_0: "Tensor") -> None:
            nonlocal done
            if cancelled.is_set():
                raise Cancelled
            done += 1
            if self._loop and (done % max(1, total // 50) == 0):
                self._loop.call_soon_threadsafe(self._progressed, cancelled, done / total)

        try:
            assert source.model is not None, "who asks for samples has looked"
            if source.model not in self._models:
                self._models[source.model] = load(source.model)
            draw = partial(
                sample, self._models[source.model], n=SAMPLES, variance=variance, statistics=source.train, seed=seed,
                callback=step, progress=False,
            )  # fmt: skip
            drawn = {name: draw(path).numpy() for name, path in reversed(view.paths.items())}
            return sheet(drawn, view.K)
        except Cancelled:
            return None
        except Exception as error:  # its sentence goes to the screen: nobody reads a thread's traceback
            return error

    def _progressed(self, cancelled: threading.Event, share: float) -> None:
        if not cancelled.is_set():
            self.progress.layout.visibility = "visible"
            self.progress.value = share

    def _sampled(self, cancelled: threading.Event, result: bytes | Exception | None) -> None:
        if cancelled.is_set() or result is None:
            return
        self.progress.layout.visibility = "hidden"
        if isinstance(result, Exception):
            return self._say(f"No samples: {result}", wrong=True)
        self.images["samples"].value = result


def _stops(T: int) -> list[int]:
    """The slider's budgets: each from 1 to 64, then some 6% apart, so that 4..64 has half of its length."""
    beyond = np.round(64 * 1.06 ** np.arange(1, 200)).astype(int)
    return [*range(1, min(T, 64) + 1), *(int(K) for K in beyond if K < T), *([T] if T > 64 else [])]


def _share(python: str, diffusers: str) -> str:
    """Two texts, each with a button that copies it (where a page may not, it is selected, ready for Ctrl-C)."""
    copy = (
        "const a=this.parentNode.querySelector('textarea');a.select();"
        "try{navigator.clipboard.writeText(a.value)}catch(e){document.execCommand('copy')};"
        "this.textContent='Copied';setTimeout(()=>this.textContent='Copy',1500)"
    )

    def block(title: str, text: str, rows: int, name: str) -> str:
        return (
            f'<div class="ddpm-{name}"><b>{title}</b> <button type="button" onclick="{copy}" title="Copy: {title}">Copy'
            f'</button><br><textarea readonly rows="{rows}" aria-label="{title}" style="width:100%;'
            f'box-sizing:border-box;font-family:monospace;font-size:12px">{html.escape(text)}</textarea></div>'
        )

    return block("Python", python, python.count("\n") + 1, "python") + block(
        "Timesteps for diffusers (descending, from 0)", diffusers, 2, "diffusers"
    )

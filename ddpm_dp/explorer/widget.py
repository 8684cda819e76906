"""The explorer in a notebook: the page's front end beside a kernel, which draws new samples."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anywidget
import numpy as np
import traitlets

from ddpm_dp.checks import whole
from ddpm_dp.costs import step_costs
from ddpm_dp.explorer.bundle import packed, script, style, with_films
from ddpm_dp.explorer.data import BUDGETS, VARIANCES
from ddpm_dp.explorer.films import can_film, draw_films
from ddpm_dp.explorer.source import Source
from ddpm_dp.paths import as_path
from ddpm_dp.solver import solve
from ddpm_dp.strides import even

ELSEWHERE = "The explorer is live where this notebook runs: make lab. As a page by itself: make explorer."


def _number(text: str | int) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"The link has {text!r} where a whole number is expected.") from None


class Explorer(anywidget.AnyWidget):
    """The explorer of some models. Displays itself at the end of a cell.

    Args:
        models: names of models that ship, statistics files or their folders, or `Source`s (your own statistics, and
            your own model for the samples); the digits if there are none.
        link: what to show first, as links to a page have it behind the `#`: "view=explore&K=32".
        variances: the reverse variances to show, of those that a model can be priced with; the simplest first.

    Attributes:
        link: what is on the screen. Set it, and the screen follows.
        path: the timesteps of the path on the screen; see there.

    Raises ValueError or FileNotFoundError, in one sentence, if a model cannot be had or priced.

    >>> Explorer("digits", variances=("analytic",), link="view=explore&K=4").path
    array([   0,  182,  404,  864, 1000])
    """

    _esm = script("widget") + "export default { render: widget.render };\n"
    _css = style()
    packed = traitlets.Bytes().tag(sync=True)  # what the page knows of the models
    link = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, *models: str | Path | Source, link: str = "view=explore", variances: tuple[str, ...] = VARIANCES
    ):
        sources = [each if isinstance(each, Source) else Source.named(each) for each in models or ("digits",)]
        data = with_films(sources, variances)
        self._sources = {source.name: source for source in sources}
        self._families = {model["name"]: [each["name"] for each in model["families"]] for model in data["models"]}
        super().__init__(packed=packed(data), link=link)
        self.on_msg(self._draw)

    @property
    def path(self) -> np.ndarray:
        """The timesteps of the path on the screen: the reader's own where there is one of K steps, else the DP's.

        In the game ("Beat the DP"), whose answer is hidden, the even path where no stop was moved.
        """
        asked = {name: values[0] for name, values in parse_qs(self.link).items()}
        name = asked.get("model", next(iter(self._sources)))
        if name not in self._sources:
            raise ValueError(f"The link asks for the model {name}; there are {', '.join(self._sources)}.")
        source, families = self._sources[name], self._families[name]
        variance = asked.get("variance", families[-1])
        if variance not in families:
            raise ValueError(f"The link asks for the variance {variance}; there are {', '.join(families)}.")
        most = min(BUDGETS, source.T)
        K = whole(_number(asked.get("K", min(8, -(-most // 2)))), "K", most=most, what="steps")
        for text in filter(None, asked.get("mine", "").split("_")):
            path = as_path([0, *map(_number, text.split(".")), source.T], source.T)
            if len(path) == K + 1:
                return path
        if asked.get("view", "play") == "play":
            return even(source.train.noise, K)
        return solve(step_costs(source.train, variance), K).path(K)

    def _draw(self, widget: Any, asked: dict[str, Any], buffers: list[bytes]) -> None:
        """Answer the screen, which asks for films along some paths of K steps: with films, or with a fault."""
        try:
            source = self._sources[asked["model"]]
            if not can_film(source):
                raise ValueError(f"There is no model of {source.name}, or it does not make images.")
            paths = {name: as_path(path, source.T) for name, path in asked["paths"].items()}
            steps = sum(len(path) - 1 for path in paths.values())

            def told(step: int) -> None:
                self.send({"id": asked["id"], "says": f"Drawing: step {step} of {steps}"})

            films = draw_films(source, asked["variance"], [paths], asked["seed"], told)
        except KeyboardInterrupt:
            self.send({"id": asked["id"], "fault": "Drawing was interrupted."})
            return
        except Exception as error:  # whatever a model raises, the screen must not wait for ever
            said = str(error).strip().splitlines() or [type(error).__name__]
            self.send({"id": asked["id"], "fault": f"Drawing failed: {said[0]}"})
            return
        sheet = films.pop("sheet")
        self.send({"id": asked["id"], "films": films}, buffers=[sheet])

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """As any widget where a kernel runs; elsewhere one sentence, and in the book (docs/conf.py) the page."""
        shown = super()._repr_mimebundle_(**options)
        data, *rest = shown if isinstance(shown, tuple) else (shown,)
        page = f'<p data-ddpm-explorer="{escape(self.link)}"><em>{escape(ELSEWHERE)}</em></p>'
        return ({**(data or {}), "text/plain": ELSEWHERE, "text/html": page}, *rest)

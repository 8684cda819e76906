"""What may stand in a file, asked before anything is made of it: JSON of given types, arrays of given shapes."""

import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import numpy as np

Record = TypeVar("Record")
Layout = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]  # the type and the shape of each array of a file


def parsed(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError for anything else, for one nested too deep, and for NaN and infinities."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    try:
        content = json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("its JSON is nested too deep") from None
    if not isinstance(content, dict):
        raise ValueError(f"its JSON is a {type(content).__name__}; expected an object")
    return content


def typed(content: Mapping[str, Any], name: str, kind: Any) -> Any:
    """`content[name]`, if it is there and of that type: int, str, dict[str, float], tuple[int, ...], int | None, ...

    A whole number is also a float; True is no number. Raises ValueError, saying what was found.
    """
    if name not in content:
        raise ValueError(f"{name} is missing")
    if not _is(content[name], kind):
        words = getattr(kind, "__name__", str(kind)) if not typing.get_args(kind) else str(kind)
        raise ValueError(f"{name} = {_short(content[name])}; expected {words}")
    return content[name]


def record(kind: type[Record], content: object, name: str) -> Record:
    """A dataclass made of a JSON object, every field of its type. Raises ValueError for one that is not, is missing
    without a default, or unknown; and what the dataclass raises.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{name} = {_short(content)}; expected an object")
    hints, known = typing.get_type_hints(kind), {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(content.keys() - known.keys()):
        raise ValueError(f"{name}.{_short(unknown[0])} is not known")
    given = {}
    for each in known.values():
        if each.name in content or (each.default is MISSING and each.default_factory is MISSING):
            value = typed(content, each.name, hints[each.name])
            given[each.name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)


def whole_from(content: Mapping[str, Any], name: str, least: int, most: int) -> int:
    """A whole number of a JSON object, from `least` to `most`. Raises ValueError for anything else."""
    value = typed(content, name, int)
    if not least <= value <= most:
        raise ValueError(f"{name} = {_short(value)}; expected a whole number from {least} to {most}")
    return value


class Sizes:
    """Shapes that must agree, by letters: `require(layout, "cells.v.mass", "f", "n", "B")` binds n and B, or compares.

    A letter stands for one length throughout; what differs from part to part gets another `Sizes`, by `apart`.
    """

    def __init__(self, known: Mapping[str, int] | None = None):
        self.known = dict(known or {})

    def apart(self) -> "Sizes":
        return Sizes(self.known)

    def require(self, layout: Layout, name: str, kinds: str, *letters: str) -> None:
        """Raise ValueError unless the array is there, of that shape and of one of those kinds, letters of _KINDS."""
        if name not in layout:
            raise ValueError(f"{name} is missing")
        dtype, shape = layout[name]
        if dtype.kind not in kinds or dtype.itemsize > 8:
            raise ValueError(f"{name} has type {dtype}; expected {' or '.join(_KINDS[kind] for kind in kinds)}")
        dots = letters[-1:] == ("...",)
        letters = letters[:-1] if dots else letters
        expected = tuple(self.known.get(letter, letter) for letter in letters)
        fits = len(shape) >= len(letters) if dots else len(shape) == len(letters)
        if not fits or not all(self.known.get(a, b) == b for a, b in zip(letters, shape, strict=False)):
            raise ValueError(f"{name} has shape {shape}; expected ({', '.join(map(str, expected))})")
        self.known |= dict(zip(letters, shape, strict=False))


_KINDS = {"f": "floats", "i": "integers", "u": "integers without a sign", "b": "booleans"}


def _is(value: object, kind: Any) -> bool:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is(value, each) for each in inner)
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(_is(each, inner[0]) for each in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(_is(k, inner[0]) and _is(v, inner[1]) for k, v in value.items())
    if kind is Any:
        return True
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e308
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."

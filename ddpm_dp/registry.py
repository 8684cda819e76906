"""Names at the door, objects behind it: a registry turns the one into the other, and nobody else compares names."""

import inspect
from abc import ABCMeta
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar


class Named(Protocol):
    """What a registry holds: a thing with the name that users write, and one line that says what it is."""

    @property
    def name(self) -> str: ...

    @property
    def words(self) -> str: ...


Entry = TypeVar("Entry", bound=Named)


class Registry(Mapping[str, Entry]):
    """Things of one kind by their names, in the order in which menus and tables show them.

    `what` is the word for the kind, as a user writes it: the name of an argument. `registry[name]` is for code that
    knows the name to be there; `registry.named(name)` answers whatever a user typed.

    Raises ValueError if two things have one name.

    >>> from ddpm_dp.noise import SCHEDULES
    >>> SCHEDULES.named("cosine").name
    'cosine'
    >>> SCHEDULES.named("cosin")
    Traceback (most recent call last):
    ValueError: schedule = 'cosin' is not known; expected one of linear, cosine.
    """

    def __init__(self, what: str, entries: Iterable[Entry]):
        self.what = what
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            if entry.name in self._entries:
                raise ValueError(f"{what} = {entry.name!r} is there twice; give one of them another name.")
            self._entries[entry.name] = entry

    def named(self, name: str) -> Entry:
        """The thing of that name. Raises ValueError, with the names that are known, if there is none."""
        if not isinstance(name, str) or name not in self._entries:
            raise ValueError(f"{self.what} = {name!r} is not known; expected one of {', '.join(self)}.")
        return self._entries[name]

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class Whole(metaclass=ABCMeta):  # noqa: B024 (the abstract methods are its subclasses')
    """The base of a base class that says what each of its kind owes: annotated attributes and abstract methods.

    What a subclass lacks is told when it is defined, as a TypeError; nothing half-written waits to be found in use. A
    class that only others inherit from says so with `abstract=True`.

    >>> class Animal(Whole, abstract=True):
    ...     sound: str
    >>> class Cat(Animal):
    ...     legs = 4
    Traceback (most recent call last):
    TypeError: Cat lacks sound, which every Animal owes.
    """

    def __init_subclass__(cls, abstract: bool = False, **rest: Any):
        super().__init_subclass__(**rest)
        if abstract:
            return
        *_, kind = (base for base in cls.__mro__[1:] if issubclass(base, Whole) and base is not Whole)
        owed = [name for base in cls.__mro__[1:] for name in inspect.get_annotations(base)]
        lacks = [name for name in dict.fromkeys(owed) if not hasattr(cls, name)]
        lacks += [name for name in dir(cls) if getattr(getattr(cls, name, None), "__isabstractmethod__", False)]
        if lacks:
            raise TypeError(f"{cls.__name__} lacks {', '.join(lacks)}, which every {kind.__name__} owes.")

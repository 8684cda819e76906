"""The lecturer's side of a student's process."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from grading.data import Other, pack, unpack
from grading.worker import serve

COURSE = Path(__file__).resolve().parents[1]
PATIENCE = 4  # a call of so many seconds of processor time is given this many times that by the clock


class Cell(NamedTuple):
    """A code cell of a hand-in. `own`: it is the student's scratch work, not a cell of the problem set."""

    name: str
    source: str
    own: bool


class Ran(NamedTuple):
    """What became of a cell."""

    error: str | None
    printed: str
    pictures: list[str]


class Gone(Exception):
    """The student's process ended, or did not answer."""


def context(preload: Sequence[str]) -> Any:
    """Where processes come from: on Linux and macOS from one that has imported what is slow to import, once."""
    ways = multiprocessing.get_all_start_methods()
    chosen = multiprocessing.get_context("forkserver" if "forkserver" in ways else "spawn")
    if "forkserver" in ways:
        chosen.set_forkserver_preload(["grading.worker", *preload])
    return chosen


class Answers:
    """A student's cells in a process of their own, which can be asked for answers.

    A cell or call that ends the process, or does not come back, is remembered and left out when the others are run
    again, so that it costs its own part only.

    >>> answers = Answers(context([]), [Cell("f", "def f(x): return 2 * x", False)])
    >>> answers("f", 21), answers.ran["f"].error
    (42, None)
    >>> answers("g")
    Traceback (most recent call last):
        ...
    AssertionError: There is no function called g: run the cell that defines it, and keep its name.
    >>> answers.close()
    """

    def __init__(
        self,
        context: Any,
        cells: Sequence[Cell],
        *,
        library: bool = False,
        memory: int = 3 * 2**30,
        seconds: float = 60,
    ):
        self.context, self.cells, self.library, self.memory = context, list(cells), library, memory
        self.seconds = seconds  # of processor time for one cell
        self.ran: dict[str, Ran] = {}
        self._process: Any = None
        self._left_out: set[str] = set()

    def __call__(self, name: str, *arguments: Any, seconds: float = 5) -> Any:
        """What the student's function returns for these arguments (functions among them are called back here).

        Raises AssertionError, with a sentence for the student, if it returns nothing that is data.
        """
        functions = [value for value in arguments if callable(value)]
        sent = [Other("callback", str(functions.index(v))) if callable(v) else v for v in arguments]
        self._start()
        deadline = time.monotonic() + PATIENCE * seconds
        try:
            self._send("call", name, sent, seconds)
            while (answer := self._receive(deadline))[0] == "callback":
                self._send(*self._call_back(functions, *answer[1:]))
        except Gone as gone:
            raise AssertionError(f"{name} {gone}.") from None
        kind, value = answer
        assert kind == "value", value
        if isinstance(value, Other):
            raise AssertionError(f"{name} returns a {value.type}, {value.text}; expected numbers, a list or an array.")
        return value

    def close(self) -> None:
        """End the student's process, with all that it started."""
        if self._process is None:
            return
        self._connection.close()
        for end in (os.killpg if hasattr(os, "killpg") else None, os.kill):
            with contextlib.suppress(OSError, TypeError):
                end(self._process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        self._process.join(10)
        self._process = None

    # ------------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """A process in which all cells have been run, but for those that ended it before."""
        while self._process is None:
            self._connection, theirs = self.context.Pipe()
            closed = [
                str(COURSE / folder) for folder in ("grading/parts", "source", "submitted", "autograded", "graded")
            ]
            arguments = (theirs, self.memory, self.library, [*closed, str(COURSE / "gradebook.db")])
            self._process = self.context.Process(target=serve, args=arguments, daemon=True)
            self._process.start()
            theirs.close()
            for cell in self.cells:
                if cell.name in self._left_out:
                    continue
                try:
                    self._send("cell", cell.source, self.seconds)
                    self.ran[cell.name] = Ran(*self._receive(time.monotonic() + PATIENCE * self.seconds)[1:])
                except Gone as gone:
                    self.ran[cell.name] = Ran(f"this cell {gone}", "", [])
                    self._left_out.add(cell.name)
                    break

    def _send(self, *message: Any) -> None:
        try:
            self._connection.send_bytes(pack(list(message)))
        except OSError:
            self.close()
            raise Gone("ended the process of its notebook") from None

    def _receive(self, deadline: float) -> list:
        try:
            if self._connection.poll(max(0.0, deadline - time.monotonic())):
                message = unpack(self._connection.recv_bytes(128 * 2**20))
                if isinstance(message, list) and len(message) > 1:
                    return message
                self.close()
                raise Gone("answered with something that is no answer")
        except (EOFError, OSError, ValueError):
            self.close()
            raise Gone("ended the process of its notebook, or used up its memory") from None
        self.close()
        raise Gone("does not come back (is there a loop without an end?)")

    @staticmethod
    def _call_back(functions: Sequence[Callable], number: Any, arguments: Any) -> tuple:
        try:
            return "value", functions[number](*arguments)
        except Exception as error:
            return "error", str(error)


if sys.platform == "win32":  # no process groups: the process itself is ended
    os.killpg = None  # type: ignore[attr-defined]

"""The lecturer's side of a student's process."""

import base64
import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from grading.data import MOST, Other, pack, unpack
from grading.worker import PRINTED, serve

COURSE = Path(__file__).resolve().parents[1]
PATIENCE = 12  # a call of so many seconds of processor time is given this many times that by the clock
CLOSED = ("grading/parts", "source", "release", "submitted", "checked", "autograded", "graded", "feedback")


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
        from multiprocessing import forkserver

        chosen.set_forkserver_preload(["grading.worker", *preload])
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(COURSE), *filter(None, sys.path)])  # Python 3.11 forgets it
        try:
            forkserver.ensure_running()
        finally:
            os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
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
        try:
            with self._patience(seconds):
                self._send("call", name, sent, seconds)
                while (answer := self._receive())[0] == "callback" and len(answer) == 3:
                    self._send(*self._call_back(functions, *answer[1:]))
        except Gone as gone:
            raise AssertionError(f"{name} {gone}.") from None
        kind, value = answer if len(answer) == 2 else ("error", "something that is no answer")
        assert kind == "value", str(value)
        if isinstance(value, Other):
            raise AssertionError(f"{name} returns a {value.type}, {value.text}; expected numbers, a list or an array.")
        return value

    def close(self) -> None:
        """End the student's process, with all that it started."""
        if self._process is None:
            return
        self._connection.close()
        self._kill()
        self._process.join(10)
        self._process = None
        self._room.cleanup()

    # ------------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """A process in which all cells have been run, but for those that ended it before."""
        while self._process is None:
            self._connection, theirs = self.context.Pipe()
            self._room = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # the one place where it may write
            closed = [str(COURSE / name) for name in (*CLOSED, "gradebook.db")]
            arguments = (theirs, self.memory, self.library, closed, self._room.name)
            self._process = self.context.Process(target=serve, args=arguments, daemon=True)
            self._process.start()
            theirs.close()
            for cell in self.cells:
                if cell.name in self._left_out:
                    continue
                try:
                    with self._patience(self.seconds):
                        self._send("cell", cell.source, self.seconds)
                        self.ran[cell.name] = _ran(self._receive())
                except Gone as gone:
                    self.ran[cell.name] = Ran(f"this cell {gone}", "", [])
                    self._left_out.add(cell.name)
                    break

    @contextlib.contextmanager
    def _patience(self, seconds: float) -> Iterator[None]:
        """Hang up if this takes too long by the clock: whatever the other side does or leaves undone, we go on."""
        self._late, self._asked = False, seconds
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over, PATIENCE * seconds), daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()

    def _watch(self, over: threading.Event, seconds: float) -> None:
        for _ in range(10):
            if over.wait(seconds):
                return
            if not self._wants_to_compute():
                break
        self._hang_up()

    def _wants_to_compute(self) -> bool:
        """Whether the process has something to do: on a busy machine it is let wait for its turn. Linux knows."""
        with contextlib.suppress(OSError, AttributeError):
            return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
        return False

    def _hang_up(self) -> None:
        self._late = True
        if hasattr(socket, "AF_UNIX"):  # wakes who waits in `recv_bytes` or `send_bytes`
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as ours:
                ours.shutdown(socket.SHUT_RDWR)
        self._kill()

    def _kill(self) -> None:
        if (process := self._process) is None:
            return
        for end in (getattr(os, "killpg", None), os.kill):  # Windows has no process groups
            with contextlib.suppress(OSError, TypeError):
                end(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def _send(self, *message: Any) -> None:
        try:
            self._connection.send_bytes(pack(list(message)))
        except OSError:
            raise self._gone() from None

    def _receive(self) -> list:
        try:
            message = unpack(self._connection.recv_bytes(2 * MOST))
        except (EOFError, OSError):
            raise self._gone() from None
        except Exception:  # whatever a student's process may write
            message = None
        if self._late:
            raise self._gone()
        if isinstance(message, list) and len(message) > 1 and isinstance(message[0], str):
            return message
        self.close()
        raise Gone("answered with something that is no answer")

    def _gone(self) -> Gone:
        """Why the process is there no more; closes this side."""
        self._process.join(2)
        ended = self._process.exitcode
        self.close()
        if self._late:
            return Gone("does not come back (is there a loop without an end?)")
        if ended is not None and ended == -getattr(signal, "SIGXCPU", 0):
            return Gone(f"is not done after {self._asked:g} s of computing: is there a loop without an end?")
        return Gone("ended the process of its notebook, or used up its memory")

    @staticmethod
    def _call_back(functions: Sequence[Callable], number: Any, arguments: Any) -> tuple:
        try:
            return "value", functions[number](*arguments)
        except Exception as error:
            return "error", str(error)


def _ran(message: list) -> Ran:
    """What became of a cell; of what a student's process says about it, only what has the right form."""
    kind, error, printed, pictures = message if len(message) == 4 else ("", "something that is no answer", "", [])
    pictures = [picture for picture in pictures if _is_png(picture)] if isinstance(pictures, list) else []
    return Ran(None if kind == "cell" and error is None else str(error), str(printed)[:PRINTED], pictures)


def _is_png(picture: Any) -> bool:
    try:
        return base64.b64decode(picture, validate=True).startswith(b"\x89PNG\r\n")
    except (TypeError, ValueError):
        return False

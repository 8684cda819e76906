"""The student's side. It gets cells and calls, one message each, and answers with data. It knows no test.

But for the walls, everything here can be undone by who writes the cells: it keeps honest mistakes from costing more
than their part. What a student cannot touch is on the other side: points are given there, from data.
"""

import builtins
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import math
import os
import signal
import site
import sys
import tempfile
import time
import traceback
import types
import warnings
from pathlib import Path

from grading import walls
from grading.data import Other, pack, unpack

PRINTED = 10_000  # characters of a cell's output that are kept
KEPT = {"PATH", "LANG", "LC_ALL", "TMPDIR", "MPLBACKEND", "OMP_NUM_THREADS", "SYSTEMROOT"}  # of the environment


class TooSlow(BaseException):
    """Not an Exception, so that `except Exception` in a solution does not hide it."""


class NotYours(Exception):
    """The library was called where the work is the student's."""


def serve(connection, memory: int, library: bool, closed: list[str], room: str) -> None:
    """Answer messages until the other side hangs up.

    ("cell", source, seconds) -> ["cell", error or None, printed, pictures];
    ("call", name, arguments, seconds) -> ["value", answer] or ["error", sentence]; in between, where an argument is a
    function of the other side, ["callback", number, arguments] -> ["value", ...] or ["error", sentence].
    Files may be written in `room`, and none in a `closed` folder be read.
    """
    if os.name == "posix":
        os.setsid()  # one signal ends it with all that it started
    _limit_memory(memory)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.environ["MPLBACKEND"] = "agg"
    os.environ["TMPDIR"] = tempfile.tempdir = room
    os.chdir(room)
    for name in set(os.environ) - KEPT:  # what is printed here goes back to a student
        del os.environ[name]
    places = _library()
    if not library:
        closed, places = [*closed, *places], []
        _refuse_library()
    walls.build(
        [str(Path(__file__).parents[1]), *places, *site.getsitepackages(), site.getusersitepackages()], closed, room
    )
    _guard(closed)
    warnings.simplefilter("ignore")
    names: dict = {"__name__": "__main__", "__builtins__": builtins, "display": print}
    while True:
        try:
            kind, *rest = unpack(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(_cell(names, *rest) if kind == "cell" else _call(connection, names, *rest))


# Running --------------------------------------------------------------------------------------------------------------


def _cell(names: dict, source: str, seconds: float) -> bytes:
    printed, error = _Few(PRINTED), None
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            with _time(seconds):
                exec(_compiled(source), names)
        except TooSlow:
            error = f"this cell is not done after {seconds:g} s of computing"
        except BaseException as problem:  # SystemExit and KeyboardInterrupt, too: a cell costs its own part
            error = _words(problem)
    for name in [name for name, value in names.items() if hasattr(builtins, name) and not callable(value)]:
        del names[name]  # `sum = 0` would harm what comes later
    return pack(["cell", error, printed.getvalue(), _pictures()])


def _call(connection, names: dict, name: str, arguments: list, seconds: float) -> bytes:
    if not callable(names.get(name)):
        said = f"There is no function called {name}: run the cell that defines it, and keep its name."
        return pack(["error", said])
    arguments = [_argument(connection, value) for value in arguments]
    printed = _Few(PRINTED)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            with _time(seconds):
                return pack(["value", names[name](*arguments)])  # what is returned may compute, too: a generator
        except BaseException as problem:
            return pack(["error", _sentence(name, problem, seconds)])


def _sentence(name: str, problem: BaseException, seconds: float) -> str:
    if isinstance(problem, TooSlow):
        return f"{name} is not done after {seconds:g} s of computing: is there a loop without an end?"
    if isinstance(problem, MemoryError):
        return f"{name} needs more memory than there is: does it keep all of something that it could count?"
    if isinstance(problem, NotYours):
        return f"{name} calls {problem}: here the work is yours."
    if isinstance(problem, NotImplementedError):
        return f"{name} is not written yet."
    where = traceback.extract_tb(problem.__traceback__)[-1]
    line = f" (line {where.lineno} of its cell)" if where.filename == "<cell>" else ""
    return f"{name} stopped with {_words(problem)[:300]}{line}."


def _words(problem: BaseException) -> str:
    try:
        return "".join(traceback.format_exception_only(problem)).strip()[:1000]
    except Exception:  # its own words fail
        return type(problem).__name__


def _argument(connection, value):
    """An argument as the student's function sees it: Other("callback", number) is a function of the other side."""
    if not isinstance(value, Other):
        return value

    def ask(*arguments):
        connection.send_bytes(pack(["callback", int(value.text), list(arguments)]))
        kind, answer = unpack(connection.recv_bytes())
        if kind == "error":
            raise ValueError(answer)
        return answer

    return ask


def _compiled(source: str) -> types.CodeType:
    """A cell as Python; if it is none, without what only IPython understands: magics, shell lines, questions."""
    try:
        return compile(source, "<cell>", "exec")
    except SyntaxError:
        kept = []
        for line in source.split("\n"):
            begins = line.lstrip()
            if begins.startswith(("%", "!", "?")) or begins.rstrip().endswith("?"):
                line = line[: len(line) - len(begins)] + "pass"
            kept.append(line)
        return compile("\n".join(kept), "<cell>", "exec")


class _Few(io.StringIO):
    """Keeps the first characters and forgets the rest."""

    def __init__(self, most: int):
        super().__init__()
        self.left = most

    def write(self, text: str) -> int:
        super().write(text[: self.left])
        self.left = max(0, self.left - len(text))
        return len(text)


def _pictures() -> list[str]:
    """The figures that a cell left open, as PNG in base64; at most four."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    import base64

    pictures = []
    with contextlib.suppress(Exception):
        for number in pyplot.get_fignums()[:4]:
            file = io.BytesIO()
            pyplot.figure(number).savefig(file, format="png", dpi=80)
            pictures.append(base64.b64encode(file.getvalue()).decode())
    with contextlib.suppress(Exception):
        pyplot.close("all")
    return pictures


# Limits ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _time(seconds: float):
    """Raise TooSlow after so many seconds of processor time of this thread.

    A loop in C does not notice; it is ended, with its process, after twice that time of the whole process (SIGXCPU).
    """
    if not hasattr(signal, "SIGPROF"):  # Windows: the other side's clock is all there is
        yield
        return
    import resource

    ends = time.thread_time() + seconds  # other threads may run on: they cost their own part

    def stop(number, frame):
        if time.thread_time() > ends:
            raise TooSlow

    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + 2 * seconds) + 1, hard))
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)  # and every half second, should a bare `except` swallow it
    try:
        yield
    finally:
        ends = math.inf
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory(memory: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (900, 900))  # of all cells and calls; see also _time
        resource.setrlimit(resource.RLIMIT_FSIZE, (50 * 2**20, 50 * 2**20))


def _guard(closed: list[str]) -> None:
    """No file of a closed folder is opened, nothing is started, nobody is called or stopped: said by Python's hooks."""
    folders = [os.path.realpath(folder) + os.sep for folder in closed]
    files = ("open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.truncate", "os.link")
    never = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.kill", "socket.")

    def watch(event: str, arguments: tuple) -> None:
        if event in files and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path = os.path.realpath(os.fsdecode(arguments[0])) + os.sep
            if path.startswith(tuple(folders)):
                raise PermissionError(f"{Path(path).name} is not for reading here")
        elif event.startswith((*never, "sqlite3.")):
            raise PermissionError(f"{event} is not allowed here")

    sys.addaudithook(watch)


class _Refuses(types.ModuleType):
    """Stands for the library, and for all that is in it, where it must not do the work: it can be named, not called."""

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Refuses(f"{self.__name__}.{name}")

    def __call__(self, *arguments, **named):
        raise NotYours(self.__name__)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ddpm_dp":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = _Refuses(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module):
        pass


def _library() -> list[str]:
    """Where the library is, with the data that it ships."""
    found = importlib.util.find_spec("ddpm_dp")
    folders = [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
    return [str(place) for folder in folders for place in (folder, folder.parent / "data") if place.is_dir()]


def _refuse_library() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "ddpm_dp"]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Finder())

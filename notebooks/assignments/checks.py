"""What the test cells of all problem sets share: your function runs under guard, and its answer is judged in words.

A test does not trust what it calls. A call that takes too long, prints without end, changes its arguments or hands its
work to `ddpm_dp` costs its own part only. For grading, the lecturer's copy of this file takes the place of yours.
"""

import contextlib
import io
import os
import secrets
import signal
import sys
import warnings

import numpy as np


class TooSlow(BaseException):
    """Not an Exception, so that `except Exception` in a solution does not hide it."""


class NotYours(BaseException):
    """A solution called the library where it should do the work itself."""


class _Few(io.TextIOBase):
    """Passes on the first 2,000 characters. (nbgrader gives no points to a test cell that writes to stderr.)"""

    def __init__(self, stream):
        self.stream, self.left = stream, 2000

    def write(self, text):
        self.stream.write(text[: self.left])
        self.left = max(0, self.left - len(text))
        return len(text)


def guard(name, namespace, seconds=5, library=False):
    """The function called `name` in `namespace`, to be called safely.

    It gets copies of its arrays and lists, `seconds` of processor time a call, and no help from `ddpm_dp` unless
    `library` is true.
    """
    function = namespace.get(name)
    assert callable(function), f"There is no function called {name}: run the cell that defines it, and keep its name."

    def call(*arguments, **named):
        arguments = [_copy(value) for value in arguments]
        out = _Few(sys.stdout)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with _limit(seconds), _alone(not library):
                    return function(*arguments, **named)
            except TooSlow:
                problem = f"{name} is not done after {seconds} s of computing: is there a loop without an end?"
            except NotYours as error:
                problem = f"{name} calls {error}: here the work is yours."
            except (KeyboardInterrupt, SystemExit) as error:
                problem = f"{name} stopped with {error!r}."
        raise AssertionError(problem)

    return call


def _copy(value):
    if isinstance(value, np.ndarray):
        return value.copy()
    return list(value) if isinstance(value, list) else value


@contextlib.contextmanager
def _limit(seconds):
    """Raise TooSlow after so many seconds of processor time. (Windows has no such signal: there is no limit there.)"""
    if not hasattr(signal, "SIGPROF"):
        yield
        return

    def stop(number, frame):
        raise TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)  # and again every half second, should a bare `except` swallow it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def _alone(alone):
    """Raise NotYours when a function of ddpm_dp is called."""

    def watch(frame, event, argument):
        if event == "call" and str(frame.f_globals.get("__name__")).split(".")[0] == "ddpm_dp":
            raise NotYours(f"ddpm_dp's {frame.f_code.co_name}")

    before = sys.getprofile()
    if alone:
        sys.setprofile(watch)
    try:
        yield
    finally:
        if alone:
            sys.setprofile(before)


@contextlib.contextmanager
def fresh():
    """A random generator with a new seed; a test that fails says which. CHECKS_SEED in the environment sets it."""
    seed = int(os.environ.get("CHECKS_SEED") or secrets.randbits(32))
    try:
        yield np.random.default_rng(seed)
    except BaseException:
        print(f"This random example has seed {seed}: CHECKS_SEED={seed} in the environment brings it back.")
        raise


def close(yours, expected, what, hint="", rtol=1e-9, atol=1e-12):
    """Assert that a number or an array is the expected one (inf where inf is expected)."""
    assert yours is not None, f"{what} is None: does your function end with a return?"
    try:
        given = np.asarray(yours, dtype=float)
    except (TypeError, ValueError):
        raise AssertionError(f"{what} should be a number or an array of numbers; yours is {yours!r:.200}.") from None
    expected = np.asarray(expected, dtype=float)
    assert given.shape == expected.shape, f"{what} has shape {given.shape}, expected {expected.shape}. {hint}"
    assert not np.isnan(given).any(), f"{what} is not a number (NaN). {hint}"
    wrong = ~np.isclose(given, expected, rtol=rtol, atol=atol)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"[{', '.join(map(str, place))}]" if place else ""
        raise AssertionError(f"{what}{where} is {given[place]:.10g}, expected {expected[place]:.10g}. {hint}")


def path(yours, K, T):
    """Assert that this is a path of K steps from 0 to T, and return it as a list of whole numbers."""
    assert yours is not None, "Your path is None: does your function end with a return?"
    try:
        given = [float(t) for t in np.asarray(yours, dtype=float).ravel()]
    except (TypeError, ValueError):
        raise AssertionError(f"A path is a list of timesteps; yours is {yours!r:.200}.") from None
    assert all(t == int(t) for t in given if np.isfinite(t)), f"A path holds whole timesteps; yours is {given}."
    assert len(given) != K + 2, f"Your path {given} has K + 1 = {K + 1} steps: did you count the 0?"
    assert len(given) == K + 1, f"Your path {given} has {len(given) - 1} steps, expected K = {K}: K + 1 timesteps."
    assert given[0] != T or given[-1] != 0, f"Your path {given} runs downwards: write it from 0 up to T."
    assert given[0] == 0, f"Your path {given} starts at {given[0]:g}: every path starts at 0."
    assert given[-1] == T, f"Your path {given} ends at {given[-1]:g}, expected T = {T}, where sampling starts."
    assert (np.diff(given) > 0).all(), f"Your path {given} must rise at every step."
    return [int(t) for t in given]

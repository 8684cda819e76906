"""numba's compiler, with a cache that helps where it can and stops nobody where it cannot.

Compiled code is kept beside the package, or in the user's cache ($NUMBA_CACHE_DIR names another folder). Where none
can be written, none is known to be the user's, the disk is full or a file is damaged, the code is compiled in memory:
some seconds more at each start, the same answers. One line says so.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import caching

_said: set[str] = set()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with these options, without the GIL and with numpy's division: x / 0 is inf or nan, no exception.

    >>> @compiled()
    ... def twice(x):
    ...     return 2 * x
    >>> twice(3)
    6
    """

    def compiler(function: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, error_model="numpy", **options)(function)
        try:
            dispatcher._cache = _Cache(function)  # what cache=True does, with numba's own class
        except (RuntimeError, OSError):  # the first: numba has tried all its places
            _say("no folder for compiled code can be written; $NUMBA_CACHE_DIR may name one")
        return dispatcher

    return compiler


class _Files(caching.CompileResultCacheImpl):
    """Where numba looks for a place; but not in the folder "~", which it would make where nobody knows the user's.

    (By its name's end: in numba 0.61, the lowest that is allowed, it begins with an underscore.)
    """

    _locator_classes = [
        place
        for place in caching.CompileResultCacheImpl._locator_classes
        if not place.__name__.endswith("UserWideCacheLocator") or os.path.isabs(os.path.expanduser("~"))
    ]


class _Cache(caching.FunctionCache):
    _impl_class = _Files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What numba has kept; None, so that it compiles, where that cannot be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # for a damaged file pickle raises some ten kinds
            _say(f"{self.cache_path} holds a damaged file: {type(error).__name__}")
            try:
                self.flush()  # so that the new code is kept, and the next start is quick again
            except OSError:
                pass  # `save_overload` will say so
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep new code, if that can be done."""
        try:
            super().save_overload(sig, data)
        except Exception as error:  # no room, no right, a damaged index
            _say(f"{self.cache_path}: {error}")


def _say(why: str) -> None:
    """Once a process: it will be much the same of all functions."""
    if not _said:
        print(f"ddpm_dp compiles in memory, some seconds at each start ({why}).", file=sys.stderr)
    _said.add(why)

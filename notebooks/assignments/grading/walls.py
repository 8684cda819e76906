"""Walls around a student's process, which Linux holds: no code gets over them, be it Python or C.

Landlock (Linux 5.13 and later): files can be read where Python and the system have theirs, and nowhere else; written in
the process's own room; no program can be started, and no other process be looked into or (6.12) stopped. Seccomp: no
address can be called, not even that of the process which students' processes come from, and no file's rights changed.

Where there is no such thing, what is left is `worker._guard`, which Python code can get round: grade in a container.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

CREATE, ADD, RESTRICT = 444, 445, 446  # Landlock's system calls, on all architectures that are in use
RUN, WRITE, READ, READ_FOLDER, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
RIGHTS = {
    1: 13,
    2: 14,
}  # version of Landlock: so many rights on files (later ones: 15; those on devices are left alone)
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/opt", "/nix", "/etc", "/sys", "/dev/urandom", "/proc/cpuinfo")
SYSTEM += ("/proc/meminfo", "/proc/stat", *(f"/proc/self/{name}" for name in ("maps", "stat", "statm", "status")))

# Of each architecture its number for seccomp; the system calls socket, ptrace and io_uring_setup (which opens sockets,
# too), which fail; and those that change rights and owners of files, which do nothing.
CALLS = {
    "x86_64": (0xC000003E, (41, 101, 425), (90, 91, 92, 93, 94, 260, 268, 452)),
    "aarch64": (0xC00000B7, (198, 117, 425), (52, 53, 54, 55, 452)),
}


class _Rules(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scope", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


class _Line(ctypes.Structure):  # of a program for seccomp
    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("lines", ctypes.POINTER(_Line))]


def build(readable: Iterable[str], closed: Iterable[str], room: str) -> bool:
    """Build the walls around this process, for ever; returns whether they stand.

    readable: what may be read besides Python and the system, but for what is `closed` in it. room: where it may write.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    none, size = ctypes.c_size_t(0), ctypes.c_size_t
    if libc.prctl(38, 1, 0, 0, 0) != 0 or (version := libc.syscall(CREATE, None, none, 1)) < 1:  # no new privileges
        return False
    files = (1 << RIGHTS.get(version, 15)) - 1 & ~READ_FOLDER  # names may be listed, which an import needs
    rules = _Rules(files, 3, 3)
    known = size(24 if version >= 6 else 16 if version >= 4 else 8)
    if (ruleset := libc.syscall(CREATE, ctypes.byref(rules), known, 0)) < 0:
        return False
    shut = [Path(folder).resolve() for folder in closed]
    for folder in {Path(place).resolve() for place in (sys.prefix, sys.base_prefix, *SYSTEM, *readable)}:
        for path in _but_for(shut, folder):
            _allow(libc, ruleset, path, READ & files)
    for place in (room, "/dev/shm", "/dev/null"):
        _allow(libc, ruleset, Path(place), files & ~RUN)
    done = libc.syscall(RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return done and _refuse_calls(libc)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    rights &= -1 if path.is_dir() else WRITE | READ | TRUNCATE
    libc.syscall(ADD, ruleset, 1, ctypes.byref(_Beneath(rights, place)), 0)
    os.close(place)


def _but_for(closed: list[Path], path: Path) -> Iterator[Path]:
    """A folder, or what is in it, so that nothing closed is: as few paths as possible."""
    if path in closed or not any(path in other.parents for other in closed):
        if path not in closed:
            yield path
        return
    for inside in sorted(path.iterdir()):
        if not inside.is_symlink():
            yield from _but_for(closed, inside)


def _refuse_calls(libc: ctypes.CDLL) -> bool:
    """Have some system calls do nothing or fail with "not permitted", as do all of another architecture's numbers."""
    if platform.machine() not in CALLS:
        return False
    architecture, refused, idle = CALLS[platform.machine()]
    n = len(refused) + len(idle)  # a jump goes over so many lines; the last three are what becomes of a call
    lines = [
        _Line(0x20, 0, 0, 4),  # load the architecture
        _Line(0x15, 0, n + 4, architecture),  # another one: refused
        _Line(0x20, 0, 0, 0),  # load the number
        _Line(0x35, n + 2, 0, 0x40000000),  # numbers of x32: refused
        *(_Line(0x15, n + 1 - i, 0, call) for i, call in enumerate(refused)),
        *(_Line(0x15, len(idle) - i, 0, call) for i, call in enumerate(idle)),
        _Line(0x06, 0, 0, 0x7FFF0000),  # allowed
        _Line(0x06, 0, 0, 0x00050000),  # says that it is done, and does nothing
        _Line(0x06, 0, 0, 0x00050001),  # refused: EPERM
    ]
    program = _Program(len(lines), (_Line * len(lines))(*lines))
    return libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0

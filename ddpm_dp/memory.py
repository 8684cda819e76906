"""How much memory is free, and a sentence instead of a crash where that is not enough."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path("/")


def available_memory(device: Any = None) -> float:
    """Bytes that can be allocated without swapping: the least of what the machine has, and what the container, job or
    shell that runs this process lets it take. inf where the system does not say.

    device: a torch device; of CUDA, what is free there.
    """
    if device is not None and device.type == "cuda":
        import torch

        return float(torch.cuda.mem_get_info(device)[0])
    return min(_of_machine(), _of_process(), *_of_groups())


def _of_machine() -> float:
    try:
        with open(ROOT / "proc/meminfo") as lines:
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:  # macOS does not say what is free; more than all of it is too much anywhere
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return math.inf


def _of_process() -> float:
    """What `ulimit -v` leaves, which some shared machines set."""
    try:
        import resource
    except ImportError:  # Windows
        return math.inf
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    try:
        taken = int((ROOT / "proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        taken = 0
    return max(limit - taken, 0)


def _of_groups() -> Iterator[float]:
    """What control groups may still take, under version 2 and 1: that of this process, and all that it stands in.

    A container sees its own group as the root; a job of a batch system may see its place in the machine's tree.
    Pages of files that it has read count as taken, but the kernel gives those up before it refuses: they are free.
    """
    yield math.inf
    for controller, folder, limit, taken, files in (
        ("", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        place = PurePosixPath(_place(controller))
        for part in (place, *place.parents):
            try:
                group = ROOT / folder / part.relative_to("/")
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                free = int((group / limit).read_text()) - int((group / taken).read_text()) + int(stat.get(files, 0))
                yield max(free, 0)
            except (OSError, ValueError):  # no such version or group, or "max", no limit
                pass


def _place(controller: str) -> str:
    """Where this process stands in the tree of that controller, "" for version 2; the root if nobody says."""
    try:
        for line in (ROOT / "proc/self/cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if controller in controllers.split(",") and ".." not in place:
                return place
    except (OSError, ValueError):
        pass
    return "/"


def refuse_beyond_memory(needed: float, what: str, remedy: str, device: Any = None) -> None:
    """Raise ValueError if `what`, of `needed` bytes, does not fit; `remedy` is what to do then."""
    free = available_memory(device)
    if needed > free:
        raise ValueError(f"{what} takes {needed / 2**30:.3g} GiB and {free / 2**30:.3g} GiB are available: {remedy}.")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's and numpy's own, CUDA's, and what torch raises on a CPU.

    >>> ran_out(MemoryError()), ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory")), ran_out(OSError())
    (True, True, False)
    """
    words = ("allocate memory", "Storage size calculation overflowed", "CUDA out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(each in str(error) for each in words)
    )

"""How much memory is free, and a sentence instead of a crash where that is not enough."""

import math
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def available_memory() -> float:
    """Bytes that can be allocated without swapping (Linux): of the machine, and of the container if that is less.

    inf where the system does not say.
    """
    return min(_of_machine(), *_of_container())


def _of_machine() -> float:
    try:
        with open(ROOT / "proc/meminfo") as lines:
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return math.inf


def _of_container() -> Iterator[float]:
    """What its control group may still take, under version 2 and 1. A container sees its own group as the root.

    Pages of files that it has read count as taken, but the kernel gives those up before it refuses: they are free.
    """
    for folder, limit, taken, files in (
        ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            group = ROOT / folder
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            free = int((group / limit).read_text()) - int((group / taken).read_text()) + int(stat.get(files, 0))
            yield max(free, 0)
        except (OSError, ValueError):  # no such version, or "max", no limit
            yield math.inf


def refuse_beyond_memory(needed: int, what: str) -> None:
    """Raise ValueError if `what`, of `needed` bytes, does not fit."""
    free = available_memory()
    if needed > free:
        raise ValueError(
            f"{what} takes {needed / 2**30:.3g} GiB and {free / 2**30:.3g} GiB are available: "
            "use fewer timesteps or a smaller budget."
        )

"""How much memory is free, and a sentence instead of a crash where that is not enough."""

import math


def available_memory() -> float:
    """Bytes that can be allocated without swapping (Linux); inf where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return math.inf


def refuse_beyond_memory(needed: int, what: str) -> None:
    """Raise ValueError if `what`, of `needed` bytes, does not fit."""
    free = available_memory()
    if needed > free:
        raise ValueError(
            f"{what} takes {needed / 2**30:.3g} GiB and {free / 2**30:.3g} GiB are available: "
            "use fewer timesteps or a smaller budget."
        )

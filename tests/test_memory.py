"""memory.py: the machine's memory or the container's, whichever is less."""

import math

import pytest

from ddpm_dp import memory

GIB = 2**30
MACHINE = {"proc/meminfo": f"MemTotal: 99 kB\nMemAvailable:   {10 * 2**20} kB\n"}
SECOND = {
    "memory.max": f"{4 * GIB}\n",
    "memory.current": f"{3 * GIB}\n",
    "memory.stat": f"anon 5\ninactive_file {GIB}\n",
}
FIRST = {
    "memory.limit_in_bytes": f"{3 * GIB}\n",
    "memory.usage_in_bytes": f"{2 * GIB}\n",
    "memory.stat": "total_inactive_file 0\n",
}


def in_folder(folder, files):
    return {f"{folder}/{name}": text for name, text in files.items()}


@pytest.mark.parametrize(
    "files, free",
    [
        ({}, math.inf),
        (MACHINE, 10 * GIB),
        (MACHINE | in_folder("sys/fs/cgroup", SECOND), 2 * GIB),  # 4 - 3, and 1 of files that can be given up
        (MACHINE | in_folder("sys/fs/cgroup", SECOND | {"memory.max": "max\n"}), 10 * GIB),
        (MACHINE | in_folder("sys/fs/cgroup", SECOND | {"memory.max": f"{99 * GIB}\n"}), 10 * GIB),
        (MACHINE | in_folder("sys/fs/cgroup", SECOND | {"memory.current": f"{9 * GIB}\n"}), 0),
        (MACHINE | in_folder("sys/fs/cgroup/memory", FIRST), GIB),
        (in_folder("sys/fs/cgroup/memory", FIRST), GIB),
    ],
)
def test_available_memory_is_the_least_that_anyone_allows(tmp_path, monkeypatch, files, free):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    assert memory.available_memory() == free

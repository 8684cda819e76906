"""memory.py: the machine's memory or the container's, whichever is less."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

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
        ({}, 24 * GIB),  # no /proc, as on macOS: all that the machine has
        (MACHINE, 10 * GIB),
        (MACHINE | in_folder("sys/fs/cgroup", SECOND), 2 * GIB),  # 4 - 3, and 1 of files that can be given up
        (MACHINE | in_folder("sys/fs/cgroup", SECOND | {"memory.max": "max\n"}), 10 * GIB),
        (MACHINE | in_folder("sys/fs/cgroup", SECOND | {"memory.max": f"{99 * GIB}\n"}), 10 * GIB),
        (MACHINE | in_folder("sys/fs/cgroup", SECOND | {"memory.current": f"{9 * GIB}\n"}), 0),
        (MACHINE | in_folder("sys/fs/cgroup/memory", FIRST), GIB),
        (in_folder("sys/fs/cgroup/memory", FIRST), GIB),
        # A job that sees the machine's whole tree, where its own group or one above it has a limit.
        (MACHINE | {"proc/self/cgroup": "0::/user/job\n"} | in_folder("sys/fs/cgroup/user/job", SECOND), 2 * GIB),
        (MACHINE | {"proc/self/cgroup": "0::/user/job\n"} | in_folder("sys/fs/cgroup/user", SECOND), 2 * GIB),
        (MACHINE | {"proc/self/cgroup": "0::/user/job\n"} | in_folder("sys/fs/cgroup/other", SECOND), 10 * GIB),
        (
            MACHINE
            | {"proc/self/cgroup": "5:cpu,memory:/slurm/7\n0::/\n"}
            | in_folder("sys/fs/cgroup/memory/slurm/7", FIRST),
            GIB,
        ),
        (MACHINE | {"proc/self/cgroup": "no such line\n"} | in_folder("sys/fs/cgroup", SECOND), 2 * GIB),
    ],
)
def test_available_memory_is_the_least_that_anyone_allows(tmp_path, monkeypatch, files, free):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    sizes = {"SC_PHYS_PAGES": 24 * GIB // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert memory.available_memory() == free


def test_windows_does_not_say(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory.available_memory() == math.inf


def test_what_a_shell_allows_counts():
    """In a process of its own, as there is no way back from a limit."""
    program = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); from ddpm_dp import memory; "
    program += "print(memory.available_memory())"
    pytest.importorskip("resource")
    left = float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    assert 0 < left < GIB


@pytest.mark.parametrize(
    "error, expected",
    [
        (MemoryError(), True),
        (np.exceptions.ComplexWarning(), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), True),
        (RuntimeError("a shape is wrong"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_which_errors_say_that_memory_ran_out(error, expected):
    assert memory.ran_out(error) == expected


def test_what_torch_and_numpy_raise_says_that_memory_ran_out():
    for much in (lambda: torch.empty(2**50), lambda: torch.empty((2**40, 2**40)), lambda: np.empty(2**55)):
        with pytest.raises(Exception) as caught:
            much()
        assert memory.ran_out(caught.value), caught.value

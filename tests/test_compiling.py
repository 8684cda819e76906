"""compiling.py: numba's cache where it is whole, and compiling in memory where it is not."""

import errno
import importlib.util
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core import caching

from ddpm_dp import compiling
from tests.places import WORKED, places

PROGRAM = """
from ddpm_dp.compiling import compiled

@compiled()
def total(x):
    y = 0.0
    for i in range(len(x)):
        y += x[i]
    return y
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Loads a module of its own as if in a new process; `said()` is then what was printed about its cache."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(caching.config, "CACHE_DIR", "")
    (tmp_path / "sums.py").write_text(PROGRAM)

    def load():
        monkeypatch.setattr(compiling, "_said", set())
        spec = importlib.util.spec_from_file_location("sums", tmp_path / "sums.py")
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded.total

    return load


def cached(tmp_path: Path, suffix: str) -> Path:
    (file,) = (tmp_path / "__pycache__").glob(f"*{suffix}")
    return file


def hits(function) -> int:
    return sum(function.stats.cache_hits.values())


def test_whole_caches_are_used_in_silence(module, capsys):
    assert module()(np.ones(3)) == 3 and hits(again := module()) == 0
    assert again(np.ones(3)) == 3 and hits(again) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("left", [0, 0.5, 0.99])
def test_damaged_files_are_told_once_and_made_anew(module, tmp_path, capsys, suffix, left):
    module()(np.ones(3))
    file = cached(tmp_path, suffix)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(left * len(whole))])
    assert module()(np.ones(3)) == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "compiles in memory" in told and "holds a damaged file" in told
    repaired = module()
    assert repaired(np.ones(3)) == 3 and hits(repaired) == 1 and capsys.readouterr().err == ""


def test_a_full_disk_is_told_once(module, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_index", full)
    total = module()
    assert total(np.ones(3)) == 3 and total(np.ones(3, np.float32)) == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "No space left" in told


def test_no_place_that_can_be_written_is_told_once(module, monkeypatch, capsys):
    def refuse(*arguments):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", refuse)
    assert module()(np.ones(3)) == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "compiles in memory" in told


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="the users and rights of Linux")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs util-linux")
def test_a_read_only_package_works_for_a_user_without_a_home_or_a_name(tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # pytest's are for one user alone
    assert [came for _, came in places(tmp_path, 1)] == [WORKED] * 3

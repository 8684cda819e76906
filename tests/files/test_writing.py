"""files/writing.py: which file may be written, by whom, and whole or not at all."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ddpm_dp.files import claimed, finished, require_writable, write_whole

posix = pytest.mark.skipif(os.name == "nt", reason="devices, pipes and signals of POSIX")


def write(path: Path, text: str) -> Path:
    return write_whole(path, lambda temporary: temporary.write_text(text))


def test_a_link_stays_a_link(tmp_path):
    target = write(tmp_path / "far" / "target.txt", "old")
    (tmp_path / "link").symlink_to(target)
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and target.read_text() == "new"
    assert [file.name for file in target.parent.iterdir()] == ["target.txt"]


def test_a_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target.txt")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target.txt").read_text() == "new"


@posix
def test_what_is_no_file_is_not_replaced_by_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "to device").symlink_to(os.devnull)
    (tmp_path / "folder").mkdir()
    for path in (*(tmp_path / name for name in ("pipe", "circle", "to device", "folder")), Path(os.devnull)):
        before = path.lstat()
        for refuses in (lambda path=path: write(path, "x"), lambda path=path: require_writable(path)):
            with pytest.raises(OSError, match="cannot be written: it is (a folder|no ordinary file)"):
                refuses()
        assert os.path.samestat(before, path.lstat())


@posix
def test_files_are_as_readable_as_the_umask_says_and_the_umask_stays(tmp_path, monkeypatch):
    """It was set to 0 for a moment, in which another thread's new files could be written by everybody."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask is the whole process's"))
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert write(tmp_path / "whole", "x").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("link", [lambda file, to: to.hardlink_to(file), lambda file, to: to.symlink_to(file)])
def test_an_input_by_another_name_is_an_input(tmp_path, link):
    write(tmp_path / "input", "x")
    link(tmp_path / "input", tmp_path / "out")
    with pytest.raises(OSError, match=r"out is also an input \(.*input\), which writing would destroy"):
        require_writable(tmp_path / "out", [tmp_path / "input"])
    require_writable(tmp_path / "other", [tmp_path / "input", tmp_path / "absent"])


def test_a_finished_result_stays_and_another_file_is_refused(tmp_path):
    file = tmp_path / "out"
    assert not finished(file, False, lambda: True)
    write(file, "x")
    assert finished(file, False, lambda: True) and not finished(file, True, lambda: True)
    with pytest.raises(FileExistsError, match="out is there already"):
        finished(file, False, lambda: False)
    with pytest.raises(FileExistsError, match="is there already"):
        write_whole(file, lambda temporary: temporary.write_text("y"), replace=False)
    write_whole(file, lambda temporary: temporary.write_text("x"), replace=False)
    assert file.read_text() == "x" and [*tmp_path.iterdir()] == [file]


def test_one_process_at_a_time(tmp_path):
    """Two that open the file anew are two for the system, also in one process."""
    with claimed(tmp_path / "out"):
        (tmp_path / "link").symlink_to(tmp_path / "out")
        for name in ("out", "link"):
            with pytest.raises(OSError, match=f"Another process is writing .*{name} at this moment"):
                with claimed(tmp_path / name):
                    pass
    with claimed(tmp_path / "out"):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["link"]  # no lock stays behind


HOLD = """
import sys, time
from ddpm_dp.files import claimed
with claimed(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@posix
def test_a_killed_process_leaves_no_lock(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "out"], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline()
    with pytest.raises(OSError, match="Another process is writing"):
        with claimed(tmp_path / "out"):
            pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with claimed(tmp_path / "out"):
        pass


def test_no_two_ever_hold_it(tmp_path):
    """Taken and given back over and over, which removes the lock's file each time."""
    inside, most, failures = [0], [0], []

    def often() -> None:
        for _ in range(200):
            try:
                with claimed(tmp_path / "out"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    inside[0] -= 1
            except BlockingIOError:
                pass
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and not failures

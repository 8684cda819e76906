"""datasets/fashion.py: where its files are looked for, and what is refused; tiny files stand for the real ones."""

import gzip
import hashlib
import http.server
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from ddpm_dp import load_dataset
from ddpm_dp.datasets.fashion import FASHION_DEBIAN, FASHION_TEST, FASHION_TRAIN
from tests.datasets.same import assert_same

ROOM = "ddpm_dp.datasets.fashion."
TRAIN_FILE, TEST_FILE = FASHION_TRAIN[0], FASHION_TEST[0]


@pytest.fixture
def fashion(monkeypatch, tmp_path) -> dict[str, bytes]:
    """Two tiny .gz files by name, taken for the real ones; no folder of this machine is looked at, no network used."""
    files = {}
    for attribute, name, n in (("FASHION_TRAIN", TRAIN_FILE, 6), ("FASHION_TEST", TEST_FILE, 2)):
        pixels = np.random.default_rng(n).integers(0, 256, (n, 28, 28), dtype=np.uint8)
        idx = np.array([0x803, n, 28, 28], ">u4").tobytes() + pixels.tobytes()
        files[name] = gzip.compress(idx)
        monkeypatch.setattr(ROOM + attribute, (name, hashlib.sha256(idx).hexdigest()))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(ROOM + "FASHION_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/")
    monkeypatch.setattr(ROOM + "FASHION_DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DDPM_DP_DATA", raising=False)
    return files


def put(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, contents in files.items():
        (folder / name).write_bytes(contents)
    return folder


def test_an_idx_file_becomes_images(fashion, tmp_path):
    data = load_dataset("fashion-mnist", path=put(fashion, tmp_path / "given"))
    assert (data.train.shape, data.test.shape, data.levels) == ((6, 1, 28, 28), (2, 1, 28, 28), 256)
    pixels = np.random.default_rng(6).integers(0, 256, (6, 1, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(data.train, np.float32(2 * pixels.astype(np.float64) / 255 - 1))


def test_the_contents_count_not_the_packing(fashion, tmp_path):
    repacked = {name: gzip.compress(gzip.decompress(packed), 1, mtime=1) for name, packed in fashion.items()}
    assert repacked != fashion
    assert len(load_dataset("fashion-mnist", path=put(repacked, tmp_path / "given")).train) == 6


@pytest.mark.parametrize("place", ["data", "data/fashion-mnist", "debian", "cache/ddpm_dp/fashion-mnist"])
def test_the_places_where_it_is_looked_for(fashion, tmp_path, monkeypatch, place):
    monkeypatch.setenv("DDPM_DP_DATA", str(tmp_path / "data"))
    put(fashion, tmp_path / place)
    assert len(load_dataset("fashion-mnist").train) == 6


def test_a_given_folder_comes_first_and_alone(fashion, tmp_path):
    put(fashion, tmp_path / "debian")
    with pytest.raises(FileNotFoundError, match=f"given holds no {TRAIN_FILE}"):
        load_dataset("fashion-mnist", path=put({}, tmp_path / "given"))


@pytest.mark.parametrize("place", ["given", "debian", "cache/ddpm_dp/fashion-mnist"])
def test_a_truncated_or_foreign_file_is_refused_wherever_it_is(fashion, tmp_path, place):
    arguments = {"path": tmp_path / "given"} if place == "given" else {}
    folder = put(fashion | {TEST_FILE: fashion[TEST_FILE][:-100]}, tmp_path / place)
    with pytest.raises(ValueError, match=f"{TEST_FILE} is not a whole .gz file .* delete it"):
        load_dataset("fashion-mnist", **arguments)
    put({TEST_FILE: fashion[TRAIN_FILE]}, folder)
    with pytest.raises(ValueError, match=f"{TEST_FILE} does not hold Fashion-MNIST: SHA-256 .* expected .* delete it"):
        load_dataset("fashion-mnist", **arguments)


@pytest.fixture
def server(fashion, monkeypatch):
    """Serve `fashion` on this machine; a test may change the contents, or cut the bodies (not the promised lengths)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = fashion.get(self.path[1:])
            if body is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: self.server.cut])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.cut = None
        monkeypatch.setattr(ROOM + "FASHION_URL", f"http://127.0.0.1:{running.server_port}/")
        threading.Thread(target=running.serve_forever, args=(0.01,)).start()
        yield running
        running.shutdown()


def cached(tmp_path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (tmp_path / "cache").rglob("*") if file.is_file()}


def test_a_download_is_kept_and_used_again(fashion, server, tmp_path):
    first = load_dataset("fashion-mnist")
    assert cached(tmp_path) == fashion
    fashion.clear()  # the server has nothing any more
    assert_same(first, load_dataset("fashion-mnist"))


def test_a_download_that_breaks_off_leaves_nothing(server, tmp_path):
    server.cut = 1000
    with pytest.raises((ValueError, ConnectionError), match=TRAIN_FILE):  # which of the two: the Python version decides
        load_dataset("fashion-mnist")
    assert cached(tmp_path) == {}


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", gzip.compress(b"something else", mtime=0)])
def test_a_download_of_something_else_leaves_nothing(fashion, server, tmp_path, body):
    good = fashion[TEST_FILE]
    fashion[TEST_FILE] = body
    with pytest.raises(ValueError, match=f"{TEST_FILE} .* Fashion-MNIST.* try another network"):
        load_dataset("fashion-mnist")
    assert set(cached(tmp_path)) == {TRAIN_FILE}  # the first file was whole, and need not be fetched again
    fashion[TEST_FILE] = good
    assert len(load_dataset("fashion-mnist").test) == 2


def test_a_file_that_the_server_lacks(fashion, server, tmp_path):
    fashion.clear()
    with pytest.raises(ConnectionError, match="could not be downloaded .*404"):
        load_dataset("fashion-mnist")


def test_no_network_is_said_in_one_sentence(fashion, tmp_path):
    with pytest.raises(ConnectionError, match=r"could not be downloaded .* check the network, or put the file into"):
        load_dataset("fashion-mnist")
    assert cached(tmp_path) == {}


def test_a_silent_server_is_not_waited_for_without_end(fashion, monkeypatch):
    def silent(url, timeout):
        raise TimeoutError(f"no answer in {timeout} s")

    monkeypatch.setattr("urllib.request.urlopen", silent)
    with pytest.raises(ConnectionError, match="no answer in 30 s"):
        load_dataset("fashion-mnist")


@pytest.mark.skipif(not (FASHION_DEBIAN / TRAIN_FILE).is_file(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_real_fashion_mnist():
    data = load_dataset("fashion-mnist", path=FASHION_DEBIAN)
    assert (data.train.shape, data.test.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert (data.train.min(), data.train.max()) == (-1, 1)
    # The mean and the standard deviation on [0, 1] that are quoted everywhere: 0.2860 and 0.3530.
    assert round((data.train.mean(dtype=np.float64) + 1) / 2, 4) == 0.2860
    assert round(data.train.std(dtype=np.float64) / 2, 4) == 0.3530

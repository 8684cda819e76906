"""datasets.py: values on their grids, splits that never change, toys against closed forms, files refused by name."""

import gzip
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ddpm_dp import datasets
from ddpm_dp.datasets import Dataset, load_dataset

TOYS = ("swiss-roll", "two-moons", "gaussian-grid")


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def test_importing_needs_neither_torch_nor_the_libraries_that_only_some_data_need():
    code = "import sys, ddpm_dp.datasets; print({'torch', 'sklearn', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize("levels", [17, 256])
def test_a_grey_level_survives_the_way_to_float_and_back(levels):
    grey = np.arange(levels)
    x = datasets._from_levels(grey, levels)
    np.testing.assert_array_equal(x, np.float32(2 * grey / (levels - 1) - 1))
    np.testing.assert_array_equal(np.rint((x + 1) * (levels - 1) / 2), grey)
    assert (x.dtype, x[0], x[-1]) == (np.float32, -1, 1)


# --- Digits -----------------------------------------------------------------------------------------------------------


def test_digits_are_the_original_images_each_on_one_side_of_the_split():
    digits = load_dataset("digits")
    assert (digits.train.shape, digits.test.shape) == ((1437, 1, 8, 8), (360, 1, 8, 8))
    assert (digits.name, digits.shape, digits.levels, digits.train.dtype) == ("digits", (1, 8, 8), 17, np.float32)
    original = load_digits().images
    assert len(np.unique(original, axis=0)) == 1797  # no image occurs twice, so equal sets below mean a disjoint split
    both = np.concatenate([digits.train, digits.test])[:, 0]
    np.testing.assert_array_equal(np.unique(both, axis=0), np.unique(original / 8 - 1, axis=0))


def test_the_split_of_the_digits_never_changes():
    digits = load_dataset("digits")
    assert sha256(digits.train) == "5d70ecbce0ef92db019b0fa9ca0b086c1e26ed66584dd4ac1c1c807452e818d0"
    assert sha256(digits.test) == "0a113226fb93cec893427603ce72bb21006a6b51c52ca0fc058da92c7f056a83"


# --- Toys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_points_in_the_square_and_the_same_each_time(name):
    toy, again = load_dataset(name), load_dataset(name)
    assert (toy.train.shape, toy.test.shape, toy.shape, toy.levels) == ((10_000, 2), (2_000, 2), (2,), None)
    for part in (toy.train, toy.test):
        assert part.dtype == np.float32 and np.abs(part).max() < 1
    np.testing.assert_array_equal(toy.train, again.train)
    np.testing.assert_array_equal(toy.test, again.test)
    assert not set(map(bytes, toy.train)) & set(map(bytes, toy.test))


def swiss_roll_moments():
    """(t cos t, t sin t) + 0.5 noise for t uniform on [1.5 pi, 4.5 pi], over 17.5."""

    def mean(primitive):
        return (primitive(4.5 * np.pi) - primitive(1.5 * np.pi)) / (3 * np.pi)

    x, y = mean(lambda t: np.cos(t) + t * np.sin(t)), mean(lambda t: np.sin(t) - t * np.cos(t))
    half = mean(lambda t: t**3 / 6)
    wave = mean(lambda t: (t**2 / 4 - 1 / 8) * np.sin(2 * t) + t / 4 * np.cos(2 * t))
    xy = mean(lambda t: t / 4 * np.sin(2 * t) - (t**2 / 4 - 1 / 8) * np.cos(2 * t))
    return np.array([x, y]) / 17.5, np.array([half + wave + 0.25, half - wave + 0.25, xy]) / 17.5**2


def two_moons_moments():
    """Both arcs, (cos a, sin a) and (1 - cos a, 1/2 - sin a) with 0.1 noise, have equal moments about the centre."""
    return np.zeros(2), np.array([0.75 + 0.01, 0.5625 - 1 / np.pi + 0.01, 0.125 - 1 / np.pi]) / 2.2**2


def gaussian_grid_moments():
    return np.zeros(2), np.array([0.32 + 0.03**2, 0.32 + 0.03**2, 0])


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(
    "name, moments",
    [
        ("swiss-roll", swiss_roll_moments()),
        ("two-moons", two_moons_moments()),
        ("gaussian-grid", gaussian_grid_moments()),
    ],
)
def test_toys_have_the_moments_of_their_closed_forms(name, moments, part):
    x, y = getattr(load_dataset(name), part).astype(np.float64).T
    measured = np.array([x, y, x * x, y * y, x * y])
    error = measured.mean(1) - np.concatenate(moments)
    assert (np.abs(error) < 4 * measured.std(1) / np.sqrt(len(x))).all()


def test_the_noise_of_the_curves_is_what_it_says():
    t, a = np.linspace(1.5, 4.5, 3000) * np.pi, np.linspace(0, np.pi, 1000)
    roll = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    moons = np.concatenate([[np.cos(a), np.sin(a)], [1 - np.cos(a), 0.5 - np.sin(a)]], axis=1).T
    for points, curve, noise in (
        (load_dataset("swiss-roll").test * 17.5, roll, 0.5),
        (load_dataset("two-moons").test * 2.2 + [0.5, 0.25], moons, 0.1),
    ):
        squares = ((points[:, None] - curve) ** 2).sum(-1).min(1)
        # 4 standard errors of a mean of 2,000 squares, and 3 % for what lies beyond the ends of a curve
        assert squares.mean() == pytest.approx(noise**2, rel=4 * np.sqrt(2 / 2000) + 0.03)


def test_the_gaussian_grid_is_the_mixture_that_it_says():
    points = load_dataset("gaussian-grid").train.astype(np.float64)
    distance = np.linalg.norm(points[:, None] - datasets.GRID_MEANS, axis=-1)
    counts = np.bincount(distance.argmin(1), minlength=25)
    assert ((counts - 400) ** 2 / 400).sum() < 52  # chi-squared, 24 degrees of freedom: 99.9 %
    squares = (distance.min(1) / datasets.GRID_STD) ** 2  # chi-squared, 2 degrees of freedom: mean 2, variance 4
    assert abs(squares.mean() - 2) < 4 * 2 / 100
    assert abs(squares.var() - 4) < 4 * np.sqrt(128) / 100  # fourth central moment 144, less 4^2


# --- A folder or a zip of images --------------------------------------------------------------------------------------


def save_image(path: Path, seed: int, shape=(8, 8, 3)) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):  # so that order in the archive is not order of name
            archive.write(file, file.relative_to(folder))
    return target


def pixels_of(images: np.ndarray) -> set[bytes]:
    """The 8-bit pixels of each image, as a set of byte strings (height, width, channels)."""
    return {np.rint((image + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0).tobytes() for image in images}


def assert_same(a: Dataset, b: Dataset) -> None:
    np.testing.assert_array_equal(a.train, b.train)
    np.testing.assert_array_equal(a.test, b.test)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Eleven images, in the folder itself and below it, and files that are not images."""
    path = tmp_path / "photos"
    for i in range(11):
        save_image(path / ("deep/er" if i % 2 else ".") / f"{i}.{'PNG' if i % 3 else 'png'}", seed=i)
    (path / "labels.csv").write_text("not an image")
    (path / "._3.png").write_bytes(b"what macOS leaves behind")
    (path / "._photos.zip").write_bytes(b"what macOS leaves behind")
    (path / "__MACOSX").mkdir()
    (path / "__MACOSX" / "4.png").write_bytes(b"what macOS leaves behind")
    return path


def test_a_folder_gives_all_its_images_a_fifth_of_them_held_out(folder):
    data = load_dataset("images", path=folder, size=8)
    assert (data.train.shape, data.test.shape) == ((8, 3, 8, 8), (3, 3, 8, 8))
    assert (data.shape, data.levels, data.train.dtype) == ((3, 8, 8), 256, np.float32)
    originals = {np.asarray(Image.open(file)).tobytes() for file in folder.rglob("[0-9]*") if "MACOSX" not in str(file)}
    assert len(originals) == 11
    assert pixels_of(data.train) | pixels_of(data.test) == originals
    assert_same(data, load_dataset("images", path=str(folder), size=8))


def test_a_zip_gives_what_its_folder_gives(folder, tmp_path):
    data = load_dataset("images", path=folder, size=5)
    assert_same(data, load_dataset("images", path=zipped(folder, tmp_path / "photos.zip"), size=5))


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_a_split_that_is_there_is_used_from_folders_zips_and_a_zip_of_folders(tmp_path, held_out):
    folders, zips = tmp_path / "data" / "folders", tmp_path / "zips"
    train = {save_image(folders / "train" / "cat" / f"{i}.png", seed=i).tobytes() for i in range(5)}
    test = {save_image(folders / held_out / f"{i}.png", seed=5 + i).tobytes() for i in range(2)}
    save_image(folders / "preview.png", seed=9)
    data = load_dataset("images", path=folders, size=8)
    assert (pixels_of(data.train), pixels_of(data.test)) == (train, test)

    zips.mkdir()
    for part in ("train", held_out):
        zipped(folders / part, zips / f"{part}.zip")
    assert_same(data, load_dataset("images", path=zips, size=8))
    # Zipped with the folder that wraps it, as file managers do.
    assert_same(data, load_dataset("images", path=zipped(tmp_path / "data", tmp_path / "all.zip"), size=8))


@pytest.mark.parametrize("shape", [(8, 13, 3), (14, 8, 3)])
def test_the_largest_centred_square_is_kept_pixel_for_pixel(tmp_path, shape):
    pixels = [save_image(tmp_path / "two" / f"{i}.png", i, shape) for i in range(2)]
    data = load_dataset("images", path=tmp_path / "two", size=8)
    top, left = (shape[0] - 8) // 2, (shape[1] - 8) // 2
    squares = {square[top : top + 8, left : left + 8].tobytes() for square in pixels}
    assert pixels_of(data.train) | pixels_of(data.test) == squares


def test_resizing_averages_areas(tmp_path):
    pixels = [save_image(tmp_path / "two" / f"{i}.png", i) for i in range(2)]
    data = load_dataset("images", path=tmp_path / "two", size=2)
    expected = [2 * p.reshape(2, 4, 2, 4, 3).mean((1, 3)).transpose(2, 0, 1) / 255 - 1 for p in pixels]
    for image in (data.train[0], data.test[0]):
        assert min(np.abs(image - e).max() for e in expected) < 2 / 255  # PIL rounds twice: rows, columns


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_other_colour_modes_become_rgb(tmp_path, mode):
    save_image(tmp_path / "two" / "colour.png", 0)
    grey = np.random.default_rng(1).integers(0, 2, (8, 8), dtype=np.uint8) * 255
    Image.fromarray(grey).convert(mode).save(tmp_path / "two" / "other.tiff")
    data = load_dataset("images", path=tmp_path / "two", size=8)
    assert np.repeat(grey[..., None], 3, axis=2).tobytes() in pixels_of(data.train) | pixels_of(data.test)


@pytest.mark.parametrize("harm", ["truncated", "garbage", "empty"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_a_broken_image_is_refused_by_name(folder, tmp_path, harm, as_zip):
    good = (folder / "8.PNG").read_bytes()
    (folder / "8.PNG").write_bytes({"truncated": good[: len(good) // 2], "garbage": b"\0" * 500, "empty": b""}[harm])
    with pytest.raises(ValueError, match=r"8\.PNG in .*photos.* cannot be read as an image"):
        load_dataset("images", path=zipped(folder, tmp_path / "photos.zip") if as_zip else folder, size=8)


def test_a_zip_whose_bytes_were_changed_is_refused_by_the_name_inside(folder, tmp_path):
    archive = zipped(folder, tmp_path / "photos.zip")
    data = bytearray(archive.read_bytes())
    data[data.index((folder / "8.PNG").read_bytes()) + 90] ^= 1
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"8\.PNG in .*photos\.zip cannot be read .*CRC"):
        load_dataset("images", path=archive, size=8)


def test_sixteen_bit_images_are_refused_rather_than_cut_off(folder):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(folder / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png .* more than 8 bits"):
        load_dataset("images", path=folder, size=8)


@pytest.mark.parametrize("count", [0, 1])
def test_a_split_needs_two_images(tmp_path, count):
    (tmp_path / "notes.txt").write_text("no image")
    for i in range(count):
        save_image(tmp_path / f"{i}.png", i)
    with pytest.raises(ValueError, match=f"holds {count} images .* needs at least 2"):
        load_dataset("images", path=tmp_path, size=8)


def test_what_is_neither_a_folder_nor_a_zip_is_refused(folder, tmp_path):
    archive = zipped(folder, tmp_path / "photos.zip")
    archive.write_bytes(archive.read_bytes()[:-200])
    for path in (archive, folder / "labels.csv"):
        with pytest.raises(ValueError, match=f"{path.name} is neither a folder nor a whole zip"):
            load_dataset("images", path=path, size=8)


def test_an_archive_beside_what_was_unpacked_from_it_is_refused(folder, tmp_path):
    zipped(folder, tmp_path / "photos.zip")
    with pytest.raises(ValueError, match=r"photos\.zip lies beside a folder of its name"):
        load_dataset("images", path=tmp_path, size=8)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "64"])
def test_sizes_that_are_none_are_refused(folder, size):
    with pytest.raises(ValueError, match="whole number of pixels"):
        load_dataset("images", path=folder, size=size)


@pytest.mark.parametrize(
    "name, arguments, error, says",
    [
        ("mnist", {}, ValueError, "no data set 'mnist'; known are digits, fashion-mnist"),
        ("images", {"size": 8}, ValueError, "images needs path="),
        ("images", {"path": "."}, ValueError, "images needs path="),
        ("images", {"path": "no/such/place", "size": 8}, FileNotFoundError, "nothing at no/such/place"),
        ("fashion-mnist", {"path": "no/such/place"}, FileNotFoundError, "nothing at no/such/place"),
        ("digits", {"path": "."}, ValueError, "not read from a path"),
        ("digits", {"size": 8}, ValueError, "one size only"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(name, arguments, error, says):
    with pytest.raises(error, match=says):
        load_dataset(name, **arguments)


# --- Fashion-MNIST: tiny files that stand for the real ones -----------------------------------------------------------

TRAIN_FILE, TEST_FILE = datasets.FASHION_TRAIN[0], datasets.FASHION_TEST[0]


@pytest.fixture
def fashion(monkeypatch, tmp_path) -> dict[str, bytes]:
    """Two tiny .gz files by name, taken for the real ones; no folder of this machine is looked at, no network used."""
    files = {}
    for attribute, name, n in (("FASHION_TRAIN", TRAIN_FILE, 6), ("FASHION_TEST", TEST_FILE, 2)):
        pixels = np.random.default_rng(n).integers(0, 256, (n, 28, 28), dtype=np.uint8)
        idx = np.array([0x803, n, 28, 28], ">u4").tobytes() + pixels.tobytes()
        files[name] = gzip.compress(idx)
        monkeypatch.setattr(datasets, attribute, (name, hashlib.sha256(idx).hexdigest()))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(datasets, "FASHION_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/")
    monkeypatch.setattr(datasets, "FASHION_DEBIAN", tmp_path / "debian")
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
        monkeypatch.setattr(datasets, "FASHION_URL", f"http://127.0.0.1:{running.server_port}/")
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


@pytest.mark.skipif(
    not (datasets.FASHION_DEBIAN / TRAIN_FILE).is_file(), reason="needs Debian's package dataset-fashion-mnist"
)
def test_the_real_fashion_mnist():
    data = load_dataset("fashion-mnist", path=datasets.FASHION_DEBIAN)
    assert (data.train.shape, data.test.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert (data.train.min(), data.train.max()) == (-1, 1)
    # The mean and the standard deviation on [0, 1] that are quoted everywhere: 0.2860 and 0.3530.
    assert round((data.train.mean(dtype=np.float64) + 1) / 2, 4) == 0.2860
    assert round(data.train.std(dtype=np.float64) / 2, 4) == 0.3530

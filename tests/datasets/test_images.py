"""datasets/images.py: folders and zips, pixel for pixel, and files refused by name."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_dp import load_dataset
from tests.datasets.same import assert_same


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
    with pytest.raises(ValueError, match=r"size = .* pixels; expected a whole number"):
        load_dataset("images", path=folder, size=size)


@pytest.mark.parametrize("split", [False, True])
def test_sub_folders_are_classes_in_the_order_of_their_names(tmp_path, split):
    """Each image's label is its own folder's, wherever the split puts it; folders further down make no difference."""
    of_pixels = {}
    for i in range(20):
        name = ("10", "2", "deep/er")[i % 3]
        folder = tmp_path / "photos" / (("train", "val")[i > 12] if split else ".") / name
        of_pixels[save_image(folder / f"{i}.png", seed=i).tobytes()] = ("10", "2", "deep")[i % 3]
    data = load_dataset("images", path=tmp_path / "photos", size=8)
    assert data.classes == ("10", "2", "deep")
    assert len(data.train) + len(data.test) == len(of_pixels) == 20
    for images, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        for image, label in zip(images, labels, strict=True):
            (pixels,) = pixels_of(image[None])
            assert of_pixels[pixels] == data.classes[label]


def test_images_beside_the_sub_folders_or_in_one_alone_have_no_classes(folder, tmp_path):
    for i in range(4):
        save_image(tmp_path / "one" / "cat" / f"{i}.png", i)
    for path in (folder, tmp_path / "one"):
        data = load_dataset("images", path=path, size=8)
        assert (data.classes, data.train_labels, data.test_labels) == ((), None, None)

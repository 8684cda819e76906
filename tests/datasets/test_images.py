"""datasets/images.py: folders and zips, pixel for pixel, and files refused by name."""

import os
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_dp import load_dataset
from ddpm_dp.datasets import folders
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


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """A PNG of (height, width, 3) uint16, which PIL cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def everything(path: Path, size: int = 8) -> tuple[set[bytes], int]:
    data = load_dataset("images", path=path, size=size)
    return pixels_of(data.train) | pixels_of(data.test), len(data.train) + len(data.test)


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_sixteen_bits_in_grey_and_colour_are_read_alike(tmp_path, capsys, suffix):
    """The same levels, once in grey and once in colour, become the same pixels, their higher 8 bits; and it is said."""
    grey = np.random.default_rng(0).integers(0, 2**16, (8, 8), dtype=np.uint16)
    save_image(tmp_path / "two" / "eight.png", 1)
    if suffix == "pgm":
        (tmp_path / "two" / "deep.pgm").write_bytes(b"P5 8 8 65535\n" + grey.astype(">u2").tobytes())
    else:
        Image.fromarray(grey).save(tmp_path / "two" / f"deep.{suffix}")
    pixels, count = everything(tmp_path / "two")
    colour = np.repeat(grey[..., None], 3, axis=2)
    assert count == 2 and (colour >> 8).astype(np.uint8).tobytes() in pixels
    assert "1 with 16 bits a channel" in capsys.readouterr().out
    (tmp_path / "two" / f"deep.{suffix}").unlink()
    (tmp_path / "two" / "deep.png").write_bytes(png_of_16_bits(colour))
    assert everything(tmp_path / "two") == (pixels, 2)
    assert "1 with 16 bits a channel" in capsys.readouterr().out


def test_thirty_two_bits_are_refused(folder):
    Image.fromarray(np.full((8, 8), 2**20, np.int32)).save(folder / "deep.tiff")
    with pytest.raises(ValueError, match=r"deep\.tiff .* more than 16 bits"):
        load_dataset("images", path=folder, size=8)


def test_photos_are_turned_as_their_exif_tag_says(tmp_path, capsys):
    pixels = save_image(tmp_path / "two" / "upright.png", 0), save_image(tmp_path / "two" / "lying.png", 1)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn it by 90 degrees, clockwise
    Image.fromarray(pixels[1]).save(tmp_path / "two" / "lying.png", exif=exif)
    assert everything(tmp_path / "two")[0] == {pixels[0].tobytes(), np.rot90(pixels[1], -1).tobytes()}
    assert "1 turned as their EXIF tag says" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_set_on_white(tmp_path, capsys, mode):
    """Not shown in the colour that hides under it."""
    save_image(tmp_path / "two" / "opaque.png", 0)
    hidden = np.zeros((8, 8, 4), np.uint8)
    hidden[:4, :, 3] = 255  # black above, black that nobody can see below
    expected = np.where(hidden[..., 3:] == 255, 0, 255).repeat(3, axis=2).astype(np.uint8)
    if mode == "P":
        image = Image.fromarray((hidden[..., 3] == 0).astype(np.uint8), mode="P")
        image.putpalette([0] * 6)
        image.save(tmp_path / "two" / "other.png", transparency=1)
    else:
        Image.fromarray(hidden).convert(mode).save(tmp_path / "two" / "other.png")
    assert expected.tobytes() in everything(tmp_path / "two")[0]
    assert "1 with transparency, set on white" in capsys.readouterr().out


@pytest.mark.parametrize(
    "train, test", [("Train", "Test"), ("train", "valid"), ("TRAIN", "Validation"), ("training", "testing")]
)
def test_a_split_may_be_called_what_people_call_it(tmp_path, capsys, train, test):
    first = {save_image(tmp_path / train / f"{i}.png", i).tobytes() for i in range(6)}
    second = {save_image(tmp_path / test / f"{i}.png", 6 + i).tobytes() for i in range(1)}
    save_image(tmp_path / "Other" / "preview.png", 9)
    data = load_dataset("images", path=tmp_path, size=8)
    assert (pixels_of(data.train), pixels_of(data.test)) == (first, second)
    said = capsys.readouterr().out
    assert "6 + 1 images, split as they came; skipped: 1 outside of the split's two folders (Other/preview.png)" in said


@pytest.mark.parametrize(
    "name", ["{0}\\{1}", "C:\\photos\\{0}\\{1}", "/photos/{0}/{1}", "./{0}/{1}", "../{0}/{1}", "a/../{0}//{1}"]
)
def test_zips_from_any_system(tmp_path, name):
    parts = {"train": [save_image(tmp_path / f"{i}.png", i).tobytes() for i in range(6)]}
    parts["test"] = [save_image(tmp_path / "6.png", 6).tobytes()]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for i in range(7):
            inside = name.format("test" if i == 6 else "train", f"{i}.png")
            archive.writestr(zipfile.ZipInfo(inside), (tmp_path / f"{i}.png").read_bytes())
    data = load_dataset("images", path=tmp_path / "all.zip", size=8)
    assert (pixels_of(data.train), pixels_of(data.test)) == ({*parts["train"]}, {*parts["test"]})


def test_links_are_followed_once_and_nothing_is_read_twice(folder, tmp_path, capsys):
    """Two links back double a walk at every step: it would never end."""
    elsewhere = save_image(tmp_path / "elsewhere" / "linked.png", seed=20)
    before = everything(folder)
    for name, target in {"again": ".", "once more": ".", "deep/back": "..", "elsewhere": "../elsewhere"}.items():
        (folder / name).symlink_to(target, target_is_directory=True)
    (folder / "7 again.png").symlink_to("deep/er/7.PNG")
    (folder / "8 again.png").hardlink_to(folder / "8.PNG")
    (folder / "gone.png").symlink_to("nowhere.png")
    capsys.readouterr()
    assert everything(folder) == (before[0] | {elsewhere.tobytes()}, before[1] + 1)
    said = capsys.readouterr().out
    assert "5 met again behind links" in said and "1 links to nothing (gone.png)" in said


def test_copies_do_not_stand_on_both_sides(folder, capsys):
    before = everything(folder)
    (folder / "copy.png").write_bytes((folder / "8.PNG").read_bytes())
    assert everything(folder) == before
    assert "1 copies of others (copy.png)" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_that_is_named_like_an_image_is_passed_over(folder, capsys):
    before = everything(folder)
    os.mkfifo(folder / "pipe.png")
    assert everything(folder) == before
    assert "1 neither files nor folders (pipe.png)" in capsys.readouterr().out


def test_what_cannot_be_read_is_refused_by_name_and_number(folder, monkeypatch):
    """As the system would answer: the superuser, who runs tests in many a container, may read everything."""
    scandir, access = os.scandir, os.access

    def scan(path):
        if str(path).endswith("er"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("8.PNG") and access(path, mode))
    says = r"2 parts of .*photos cannot be read: 8\.PNG \(Permission denied\), deep/er \(Permission denied\); change"
    with pytest.raises(ValueError, match=says):
        load_dataset("images", path=folder, size=8)


def test_what_cannot_be_reached_is_not_said_to_be_missing(folder, monkeypatch):
    def refuse(path, **rest):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched, pytest.raises(OSError, match=r"photos cannot be read \(Permission denied\)"):
        patched.setattr(os, "stat", refuse)
        load_dataset("images", path=folder, size=8)
    archive = zipped(folder, folder.parent / "photos.zip")
    with monkeypatch.context() as patched, pytest.raises(OSError, match=r"photos\.zip cannot be read \(Permission"):
        patched.setattr(zipfile, "ZipFile", refuse)
        load_dataset("images", path=archive, size=8)


def test_folders_deeper_than_python_can_call_itself(tmp_path):
    deep = tmp_path / "deep"
    deep.mkdir()
    bottom = str(deep)
    for _ in range(1500):
        bottom += "/d"
        os.mkdir(bottom)
    try:
        save_image(deep / "0.png", 0)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(bottom + "/1.png")
        assert everything(deep)[1] == 2
    finally:
        subprocess.run(["rm", "-r", str(deep)], check=True)  # pytest cannot either


@pytest.mark.parametrize("honest", [True, False])
def test_a_bomb_is_refused_while_it_is_unpacked(tmp_path, monkeypatch, honest):
    """Whether or not the archive says how large it is: no more than the limit is ever there."""
    limit = 2**20
    monkeypatch.setattr(folders, "LARGEST", limit)
    save_image(tmp_path / "0.png", 0)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", (tmp_path / "0.png").read_bytes())
        archive.writestr("1.png", bytes(64 * limit))
    if not honest:
        bomb.write_bytes(bomb.read_bytes().replace(struct.pack("<I", 64 * limit), struct.pack("<I", 2 * limit)))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"1\.png in .*bomb\.zip cannot be read as an image \(more than 1 MiB\)"):
        load_dataset("images", path=bomb, size=8)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 * limit


def test_images_that_memory_cannot_hold_are_refused_before_they_are_read(folder):
    with pytest.raises(ValueError, match=r"11 images of size = 10000000 takes .* lower size"):
        load_dataset("images", path=folder, size=10**7)


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

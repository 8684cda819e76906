"""What a learning platform's archive holds, put where hand-ins are looked for: submitted/STUDENT/ps1/ps1.ipynb.

Names in the archives, by the platforms' own source code (`lib/content_zipper.rb` of Canvas,
`mod/assign/classes/downloader.php` of Moodle):

    Canvas   doejane_LATE_4711_98765_ps1-2.ipynb              name, LATE if it is, user, file
             LATE_anon_Xy7a2_98765_ps1.ipynb                  with anonymous grading
    Moodle   Jane Doe_4711_assignsubmission_file/ps1.ipynb    name, participant; older ones have `_` before the `/`
             Jane Doe_4711_assignsubmission_file_ps1.ipynb    where "download in folders" is off

An archive's own times say nothing: both platforms write the moment of the download there.
"""

import re
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

MOST = 50 * 2**20  # bytes of a notebook
AT = r"(?:^|/)"  # lecturers unpack an archive, and pack the folder again
PLATFORMS = [
    re.compile(AT + r"(?P<name>[^/]+?)(?:_(?P<number>\d+))?_assignsubmission_file(?:_?/(?:.*/)?|_)(?P<file>[^/]+)$"),
    re.compile(AT + r"(?:(?P<late>LATE)_)?(?P<name>anon)_(?P<number>[^_/]+)_(?P<order>\d+)_(?P<file>[^/]+)$"),
    re.compile(AT + r"(?P<name>[^/]+?)_(?:(?P<late>LATE)_)?(?P<number>\d+)_(?P<order>\d+)_(?P<file>[^/]+)$"),
]


class Collected(NamedTuple):
    """students: their folders' names. left: what was left in the archive, a sentence each."""

    students: list[str]
    left: list[str]


class _Entry(NamedTuple):
    info: zipfile.ZipInfo
    path: str
    file: str
    late: bool
    order: int  # Canvas counts files up, so the last has the largest number


def collect(archive: Path, name: str, submitted: Path) -> Collected:
    """Unpack the notebook of every student to submitted/STUDENT/name/, with the name that it had in handed_in_as.txt.

    A student's folder is called like the platform calls the student, in letters, digits and dashes, with the platform's
    number: two students of one name stay two. Who handed in no notebook gets an empty folder, and so a line in the
    table. Of several notebooks the one called like the problem set counts, of several of these the last.

    Raises ValueError if it is no archive, or not one of a platform.
    """
    if not zipfile.is_zipfile(archive):
        raise ValueError(f"{archive} is no zip file; expected what Canvas or Moodle gives for an assignment.")
    found: dict[str, list[_Entry]] = {}
    left = []
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            path = _path(info)
            if info.is_dir() or "__MACOSX" in path:
                continue
            match = next(filter(None, (platform.search(path) for platform in PLATFORMS)), None)
            if match is None or path.startswith("/") or ".." in PurePosixPath(path).parts:
                left.append(f"{path}: not named as Canvas or Moodle names hand-ins")
                continue
            fields = match.groupdict()
            student = "-".join(re.findall(r"\w+", f"{fields['name'][:60]}-{fields['number'] or ''}"))
            entries = found.setdefault(student, [])
            entry = _Entry(info, path, fields["file"], bool(fields.get("late")), int(fields.get("order") or 0))
            if not entry.file.lower().endswith(".ipynb"):
                left.append(f"{path}: not a notebook")
            elif info.file_size > MOST:
                left.append(
                    f"{path}: {info.file_size / 2**20:.0f} MB, more than a notebook of this problem set can have"
                )
            else:
                entries.append(entry)
        if not found:
            raise ValueError(f"{archive} holds no hand-in of Canvas or Moodle; its first name is {left[:1]}.")
        for student, entries in found.items():
            folder = submitted / student / name
            folder.mkdir(parents=True, exist_ok=True)
            entries.sort(key=lambda entry: (name in entry.file.lower(), entry.order, entry.file))
            left += [f"{entry.path}: {entries[-1].file} is taken" for entry in entries[:-1]]
            if entries:
                left += _unpack(packed, entries[-1], folder, name)
    return Collected(sorted(found), left)


def _path(info: zipfile.ZipInfo) -> str:
    """A name as it was meant. Without the flag that says UTF-8, Python reads the bytes of UTF-8 as cp437."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _unpack(packed: zipfile.ZipFile, entry: _Entry, folder: Path, name: str) -> list[str]:
    try:
        with packed.open(entry.info) as file:
            content = file.read(MOST)  # and no more, whatever size the archive says it has
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        return [f"{entry.path}: cannot be unpacked ({error})"]
    (folder / f"{name}.ipynb").write_bytes(content)
    (folder / "handed_in_as.txt").write_text(entry.path + "\n", encoding="utf-8")
    return []


def marked_late(folder: Path) -> bool:
    """Whether Canvas says in a hand-in's name that it came late."""
    file = folder / "handed_in_as.txt"
    if not file.is_file():
        return False
    path = file.read_text(encoding="utf-8").strip()
    match = next(filter(None, (platform.search(path) for platform in PLATFORMS)), None)
    return bool(match and match.groupdict().get("late"))

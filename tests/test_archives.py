"""What Canvas and Moodle give, as their source code names it, and what somebody may slip into an archive."""

import re
import zipfile
from pathlib import Path

import pytest

COURSE = Path(__file__).parents[1] / "notebooks" / "assignments"


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.syspath_prepend(str(COURSE))


def packed(file: Path, entries: dict[str, str], utf8_flag: bool = True) -> Path:
    """A zip of these entries. Ruby's library writes UTF-8 without the flag that says so; Python's always sets it."""
    stand_ins = {re.sub(r"[^\x00-\x7f]", lambda c: "~" * len(c[0].encode()), name): name for name in entries}
    with zipfile.ZipFile(file, "w") as archive:
        for ascii_name, name in stand_ins.items():
            archive.writestr(name if utf8_flag else ascii_name, entries[name])
    if not utf8_flag:
        raw = file.read_bytes()
        for ascii_name, name in stand_ins.items():
            raw = raw.replace(ascii_name.encode(), name.encode())
        file.write_bytes(raw)
    return file


def collected(tmp_path: Path, entries: dict[str, str], **how) -> tuple[dict[str, str | None], list[str]]:
    """What is in everybody's folder, and what was left."""
    from grading.archives import collect

    students, left = collect(packed(tmp_path / "a.zip", entries, **how), "ps1", tmp_path / "submitted")
    assert students == sorted(folder.name for folder in (tmp_path / "submitted").iterdir())
    outside = {file.name for file in tmp_path.iterdir()} - {"a.zip", "submitted"}
    assert not outside
    files = {student: tmp_path / "submitted" / student / "ps1" / "ps1.ipynb" for student in students}
    return {student: file.read_text() if file.is_file() else None for student, file in files.items()}, left


@pytest.mark.parametrize("utf8_flag", [True, False])
def test_canvas(tmp_path, utf8_flag):
    from grading.archives import marked_late

    entries = {
        "doejane_4711_98001_ps1.ipynb": "jane",
        "doejohn_LATE_4712_98002_ps1-2.ipynb": "john",  # Canvas counts hand-ins by -1, -2
        "garcíalópezmaría_4713_98003_ps1.ipynb": "maría",
        "王小明_LATE_4714_98004_my notes_1_2_ps1.ipynb": "小明",
        "doejane_4715_98005_ps1.ipynb": "another jane",
        "obrien_smith_4716_98006_PS1.IPYNB": "underscore",
        "LATE_anon_Xy7a2_98007_ps1.ipynb": "anonymous",
        "several_4717_98008_ps1.ipynb": "first",
        "several_4717_98010_scratch.ipynb": "scratch",
        "several_4717_98009_ps1.ipynb": "second",
        "nothing_4718_98011_ps1.pdf": "a picture of it",
    }
    files, left = collected(tmp_path, entries, utf8_flag=utf8_flag)
    assert files == {
        "doejane-4711": "jane",
        "doejohn-4712": "john",
        "garcíalópezmaría-4713": "maría",
        "王小明-4714": "小明",
        "doejane-4715": "another jane",
        "obrien_smith-4716": "underscore",
        "anon-Xy7a2": "anonymous",
        "several-4717": "second",
        "nothing-4718": None,
    }
    assert [student for student in files if marked_late(tmp_path / "submitted" / student / "ps1")] == [
        "anon-Xy7a2",
        "doejohn-4712",
        "王小明-4714",
    ]
    assert sorted(sentence.split(": ")[1] for sentence in left) == ["not a notebook"] + ["ps1.ipynb is taken"] * 2


@pytest.mark.parametrize("utf8_flag", [True, False])
def test_moodle(tmp_path, utf8_flag):
    entries = {
        "Jane Doe_4711_assignsubmission_file/ps1.ipynb": "folders",
        "John O'Brien-Smith_4712_assignsubmission_file_/ps1.ipynb": "folders of older versions",
        "Jürgen Müller_4713_assignsubmission_file_ps1.ipynb": "no folders",
        "Nguyễn Văn A_4714_assignsubmission_file/my work/part 1/ps1.ipynb": "sub-folders",
        "Participant_4715_assignsubmission_file/ps1 (1).ipynb": "blind marking",
        "Default group_assignsubmission_file/ps1.ipynb": "a team without a number",
        "Jane Doe_4711_assignsubmission_onlinetext/onlinetext.html": "no file",
        "again/Mary Major_4716_assignsubmission_file/ps1.ipynb": "unpacked and packed again",
        "__MACOSX/again/Mary Major_4716_assignsubmission_file/._ps1.ipynb": "by a Mac",
        "Only Zip_4717_assignsubmission_file/ps1.zip": "a zip in the zip",
    }
    files, left = collected(tmp_path, entries, utf8_flag=utf8_flag)
    assert files == {
        "Jane-Doe-4711": "folders",
        "John-O-Brien-Smith-4712": "folders of older versions",
        "Jürgen-Müller-4713": "no folders",
        "Nguyễn-Văn-A-4714": "sub-folders",
        "Participant-4715": "blind marking",
        "Default-group": "a team without a number",
        "Mary-Major-4716": "unpacked and packed again",
        "Only-Zip-4717": None,
    }
    assert sorted(sentence.split(": ")[0] for sentence in left) == [
        "Jane Doe_4711_assignsubmission_onlinetext/onlinetext.html",
        "Only Zip_4717_assignsubmission_file/ps1.zip",
    ]


def test_a_newer_archive_replaces_what_was_collected(tmp_path):
    collected(tmp_path, {"doejane_4711_98001_ps1.ipynb": "old", "doejohn_4712_98002_ps1.ipynb": "stays"})
    packed(tmp_path / "a.zip", {"doejane_LATE_4711_98003_ps1.ipynb": "new"})
    from grading.archives import collect, marked_late

    collect(tmp_path / "a.zip", "ps1", tmp_path / "submitted")
    texts = {file.parts[-3]: file.read_text() for file in tmp_path.glob("submitted/*/ps1/ps1.ipynb")}
    assert texts == {"doejane-4711": "new", "doejohn-4712": "stays"}
    assert marked_late(tmp_path / "submitted" / "doejane-4711" / "ps1")


def test_nothing_leaves_its_folder(tmp_path):
    """Paths that lead out (zip-slip), whatever their end looks like."""
    entries = {
        "fine_1_2_ps1.ipynb": "fine",
        "../../evil_3_4_ps1.ipynb": "up",
        "/tmp/evil_5_6_ps1.ipynb": "absolute",
        "..\\..\\evil_7_8_ps1.ipynb": "Windows",
        "a_9_assignsubmission_file/../../../b.ipynb": "up, within a folder",
        ".._10_11_ps1.ipynb": "a name of dots",
    }
    files, left = collected(tmp_path, entries)
    assert files == {"fine-1": "fine", "10": "a name of dots"}
    assert len(left) == 4 and all("not named as" in sentence for sentence in left)


def test_bombs_and_damage_cost_their_own_hand_in(tmp_path):
    from grading.archives import MOST, collect

    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fine_1_2_ps1.ipynb", "fine")
        archive.writestr("bomb_3_4_ps1.ipynb", bytes(MOST + 1))
        archive.writestr("liar_5_6_ps1.ipynb", bytes(MOST // 10))
        archive.writestr("hurt_7_8_ps1.ipynb", "ab" * 5000)
    raw = bytearray(file.read_bytes())
    central = raw.rindex(b"liar_5_6") - 46
    raw[central + 24 : central + 28] = (10).to_bytes(4, "little")  # "I unpack to ten bytes"
    raw[raw.index(b"hurt_7_8_ps1.ipynb") + 20] ^= 0xFF
    file.write_bytes(raw)
    assert file.stat().st_size < 200_000
    students, left = collect(file, "ps1", tmp_path / "submitted")
    assert students == ["bomb-3", "fine-1", "hurt-7", "liar-5"]
    assert [path.parts[-3] for path in tmp_path.glob("submitted/*/ps1/ps1.ipynb")] == ["fine-1"]
    assert "bomb_3_4_ps1.ipynb: 50 MB, more than a notebook of this problem set can have" in left
    assert sum("cannot be unpacked" in sentence for sentence in left) == 2


def test_what_is_no_archive_is_one_sentence(tmp_path):
    from grading.archives import collect

    (tmp_path / "a.zip").write_text("not a zip")
    with pytest.raises(ValueError, match="is no zip file; expected what Canvas or Moodle gives"):
        collect(tmp_path / "a.zip", "ps1", tmp_path / "submitted")
    with pytest.raises(ValueError, match="holds no hand-in of Canvas or Moodle"):
        collect(packed(tmp_path / "b.zip", {"notes.txt": "hello"}), "ps1", tmp_path / "submitted")

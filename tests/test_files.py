"""Files are written whole or not at all, and errors of the disk become sentences."""

import errno
import hashlib
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import retrieval
from retrieval.errors import LookalikeError, PictureError, explain_os_error
from retrieval.files import (
    clear_parts,
    first_of_each,
    inside,
    need_place,
    remove_tree,
    replace_file,
    replace_when_done,
    same_folder,
    sha256_of_file,
)
from retrieval.images import open_picture
from tests.made import link


@pytest.mark.parametrize(
    ("path", "is_inside"),
    [
        ("a.png", True),
        ("new/a.png", True),
        ("new/../a.png", True),
        ("../folder/a.png", True),
        ("../a.png", False),
        ("new/../../a.png", False),
        ("{tmp}/a.png", False),
        ("link/a.png", False),
        pytest.param(
            *("a\0.png", False),
            marks=pytest.mark.skipif(os.name == "nt", reason="Windows lets realpath have it"),
        ),
    ],
)
def test_what_leads_out_of_a_folder_is_not_inside(
    tmp_path: Path, path: str, is_inside: bool
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    if path.startswith("link"):
        link(folder / "link", tmp_path)
    assert (inside(folder, path.format(tmp=tmp_path)) is not None) == is_inside


def test_a_file_takes_its_place_when_it_is_done(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    with replace_when_done(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("before", [None, "as it was"], ids=["no file before", "a file before"])
@pytest.mark.parametrize(
    "error", [RuntimeError("stop"), KeyboardInterrupt()], ids=["an error", "Ctrl-C"]
)
def test_after_an_error_everything_is_as_it_was(
    tmp_path: Path, before: str | None, error: BaseException
) -> None:
    path = tmp_path / "file.txt"
    if before is not None:
        path.write_text(before)

    def stop_half_way() -> None:
        with replace_when_done(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        stop_half_way()
    assert os.listdir(tmp_path) == ([] if before is None else ["file.txt"])
    assert before is None or path.read_text() == before


def test_what_a_kill_has_left_of_a_file_goes_and_what_is_being_written_stays(
    tmp_path: Path,
) -> None:
    path = tmp_path / "[a] b.zip"
    names = [".[a] b.zip.0123abcd.part", ".other.zip.0123abcd.part", "[a] b.zip"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    with replace_when_done(path) as temporary:
        clear_parts(path, older_than=60)
        assert sorted(os.listdir(tmp_path)) == sorted([temporary.name, *names[1:]])


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, r"disk is full.*file\.txt.*Free some space"),
        (errno.EACCES, r"file\.txt may not be opened or written.*permissions"),
        (errno.EROFS, r"file\.txt may not be opened or written.*another folder"),
        (errno.EIO, r"file\.txt: Input/output error.*Check the disk"),
    ],
    ids=["full", "forbidden", "read-only", "broken"],
)
def test_a_disk_that_refuses_is_explained_and_leaves_nothing(
    tmp_path: Path, number: int, sentence: str
) -> None:
    with (
        pytest.raises(LookalikeError, match=sentence),
        replace_when_done(tmp_path / "file.txt"),
    ):
        raise OSError(number, os.strerror(number))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with (
        pytest.raises(LookalikeError, match=r"inside\.txt"),
        replace_when_done(tmp_path / "file" / "inside.txt"),
    ):
        pytest.fail("there is nothing to write to")


def test_nothing_is_written_by_what_tries_for_hours_where_windows_forbids_it() -> None:
    project = Path(retrieval.__file__).parent
    makers = re.compile(r"mkstemp|NamedTemporaryFile|TemporaryFile\(|SpooledTemporaryFile")
    found = [path for path in project.rglob("*.py") if makers.search(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize("number", [32, 33])
def test_a_file_that_another_program_holds_is_said_to_be_so(number: int, tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, "x")
    error.winerror = number  # type: ignore[attr-defined]
    sentence = str(explain_os_error(error, Path("a", "b.png")))
    assert sentence == "b.png is used by another program. Close it there, and try again."
    (tmp_path / "b.png").write_bytes(b"data")
    held = Held(tmp_path / "b.png")
    held.error = error
    with pytest.raises(PictureError, match=r"is used by another program"):
        open_picture(held)


class Held(type(Path())):  # type: ignore[misc]
    """A file that another program of Windows has opened for itself."""

    error: OSError

    def open(self, *_: object) -> None:  # type: ignore[override]
        raise self.error


def test_a_file_in_the_place_of_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for path in (tmp_path / "out" / "a.png", tmp_path / "out" / "deep" / "a.png"):
        with (
            pytest.raises(LookalikeError, match="a part of its path is a file"),
            replace_when_done(path),
        ):
            pass
    assert (tmp_path / "out").read_text() == "mine"


def test_what_is_missing_is_explained() -> None:
    sentence = str(explain_os_error(FileNotFoundError(errno.ENOENT, "x"), Path("a", "b.png")))
    assert sentence == "b.png does not exist. Check the name and try again."


@pytest.mark.parametrize("size", [0, 1, 3 * 2**20 + 7], ids=lambda size: f"{size} bytes")
def test_the_hash_is_sha_256(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert sha256_of_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[PermissionError]:
    """What the next moves meet, one each, as when a scanner holds a file."""
    held: list[PermissionError] = []
    replace = os.replace

    def held_at_first(source: Path, target: Path) -> None:
        if held:
            raise held.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", held_at_first)
    return held


def test_a_file_that_a_scanner_holds_for_a_moment_takes_its_place_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: list[PermissionError]
) -> None:
    held += [PermissionError(13, "held")] * 2
    monkeypatch.setattr("retrieval.files.TRIES", 3)
    monkeypatch.setattr("retrieval.files.time", SimpleNamespace(sleep=lambda _: None))
    with replace_when_done(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    held += [PermissionError(13, "held")] * 3
    with (
        pytest.raises(LookalikeError, match=r"Close it in other programs"),
        replace_when_done(tmp_path / "a.txt") as temporary,
    ):
        temporary.write_text("other")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_of_which_a_scanner_holds_a_file_is_moved_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: list[PermissionError]
) -> None:
    held += [PermissionError(13, "held")]
    monkeypatch.setattr("retrieval.files.TRIES", 2)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "photo.png").write_bytes(b"x")
    replace_file(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.rglob("*")] == ["b", "photo.png"]


def test_one_folder_may_be_written_in_several_ways(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    link(tmp_path / "A", tmp_path / "a")  # as macOS and Windows have it by themselves
    assert same_folder(tmp_path / "a", tmp_path / "A")
    assert not same_folder(tmp_path / "a", tmp_path / "b")
    assert not same_folder(tmp_path / "a", tmp_path / "gone")
    assert same_folder(tmp_path / "gone", tmp_path / "gone")
    assert not same_folder(tmp_path / "a", tmp_path / "a\0")


@pytest.mark.parametrize(
    ("folder", "reached"),
    [
        (r"C:\Users\Me\.lookalike", r"\\?\C:\Users\Me\.lookalike"),
        (r"\\nas\photos\x", r"\\?\UNC\nas\photos\x"),
    ],
)
def test_windows_reaches_what_lies_deep(
    folder: str, reached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = []
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr(os.path, "abspath", str)
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: removed.append(path))
    remove_tree(folder)  # type: ignore[arg-type]
    assert removed == [reached]


def test_no_folder_is_removed_by_what_windows_does_not_reach_deep_with() -> None:
    project = Path(retrieval.__file__).parent
    found = [path.name for path in project.rglob("*.py") if "rmtree(" in path.read_text("utf-8")]
    assert found == ["files.py"]


def test_a_folder_that_is_removed_is_gone_with_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.png").write_bytes(b"x")
    remove_tree(tmp_path / "a")
    remove_tree(tmp_path / "a")  # nothing to be done
    assert list(tmp_path.iterdir()) == []


def test_a_place_for_a_result_is_tried_and_no_trace_left(tmp_path: Path) -> None:
    need_place(tmp_path / "new" / "deeper" / "result.csv")
    (tmp_path / "kept.csv").write_text("before")
    need_place(tmp_path / "kept.csv", ".csv")
    refused = (tmp_path / "kept.csv", tmp_path / "kept.csv" / "x.json", tmp_path / ("x" * 300))
    for path in (tmp_path, *refused):
        with pytest.raises(LookalikeError):
            need_place(path, ".json")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.csv"]
    assert (tmp_path / "kept.csv").read_text() == "before"


def test_a_result_takes_the_place_of_nothing_but_such_a_result(tmp_path: Path) -> None:
    path = tmp_path / "result.csv"
    for before in ("", "class,mAP\n", "\ufeffclass,mAP\n"):
        path.write_text(before, encoding="utf-8")
        need_place(path, ".csv", mark=b"class,mAP")
    path.write_text("filename,label\n")
    with pytest.raises(LookalikeError, match="no such result of this program"):
        need_place(path, ".csv", mark=b"class,mAP")
    assert path.read_text() == "filename,label\n"


def test_of_equal_files_the_first_counts(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abcde"]
    for path, data in zip(paths, (b"one", b"two", b"one", b"longer"), strict=False):
        path.write_bytes(data)
    assert first_of_each(paths) == [0, 1, 0, 3, 4]  # the last is not there


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files, and few may link.")
def test_no_device_gives_way_to_a_result_and_a_link_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(LookalikeError, match="is no file"):
        need_place(tmp_path / "pipe.json", ".json")
    (tmp_path / "linked.json").symlink_to(tmp_path / "kept.json")
    for text in ("first", "second"):
        with replace_when_done(tmp_path / "linked.json") as temporary:
            temporary.write_text(text)
        assert (tmp_path / "linked.json").is_symlink()
        assert (tmp_path / "kept.json").read_text() == text

"""Folders: which pictures are found in them, and what is passed over."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from retrieval.errors import LookalikeError, PictureError
from retrieval.folders import JUNCTION, find_images, lies_passed_over, require_pictures, walk
from retrieval.images import open_picture
from tests.made import link


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder)]


def test_pictures_are_found_in_sorted_order_and_with_suffixes_in_any_case(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "z/2.HeiC", "z/1.webp", "m/n/o.TIFF", "c.avif")
    touch(tmp_path, "d.MPO")
    there = ["a.png", "b.JPG", "c.avif", "d.MPO", "m/n/o.TIFF", "z/1.webp", "z/2.HeiC"]
    assert found(tmp_path) == there


def test_hidden_files_and_folders_and_other_suffixes_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "._a.png", ".hidden/b.png", "notes.txt", "png", "c.png.part", "d.svg")
    assert found(tmp_path) == ["a.png"]


def test_bins_and_other_folders_of_the_system_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "$RECYCLE.BIN/S-1/$R1.jpg", "System Volume Information/a.png")
    touch(tmp_path, "trip/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "lost+found/b.png")
    touch(tmp_path, "#recycle/c.png", "recycle/d.png")
    assert found(tmp_path) == ["recycle/d.png"]


def test_of_a_library_of_photos_only_the_originals_are_found(tmp_path: Path) -> None:
    library = "Photos Library.photoslibrary"
    touch(tmp_path, f"{library}/originals/0/a.heic", f"{library}/resources/derivatives/a.jpg")
    touch(
        tmp_path, f"{library}/Masters/2015/b.jpg", f"{library}/c.png", "originals/resources/d.png"
    )
    originals = [f"{library}/Masters/2015/b.jpg", f"{library}/originals/0/a.heic"]
    assert found(tmp_path) == [*originals, "originals/resources/d.png"]
    assert [library + "/" + name for name in found(tmp_path / library)] == originals
    assert lies_passed_over(f"x/{library}/resources/a.jpg")
    assert not lies_passed_over(f"x/{originals[0]}")


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("takeout-001.ZIP", "It holds zips or other archives: unpack them there"),
        ("2024/trip.rar", "It holds zips or other archives: unpack them there"),
        ("DCIM/IMG_1.CR3", "It holds cameras' raw files, .* export them as JPEG"),
        ("letter.txt", "Choose another folder"),
    ],
)
def test_of_a_folder_without_a_picture_is_said_what_it_holds_instead(
    tmp_path: Path, name: str, cure: str
) -> None:
    touch(tmp_path, name)
    with pytest.raises(LookalikeError, match=rf"There is no picture in .*\. {cure}") as said:
        require_pictures(tmp_path)
    assert ("Choose" in str(said.value)) == (name == "letter.txt")
    require_pictures(touch(tmp_path, "a.png"))


@pytest.mark.parametrize(
    "hidden", [{"st_file_attributes": 0x22}, {"st_flags": 0x8000}], ids=["Windows", "macOS"]
)
def test_what_the_system_hides_by_a_mark_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: dict[str, int]
) -> None:
    touch(tmp_path, "a.png", "b.png", "sub/c.png", "aside/d.png")
    original = os.stat

    def marked(path: Path | str, **how: bool) -> object:
        status = original(path, **how)
        marks = hidden if Path(path).name in ("b.png", "aside") else dict.fromkeys(hidden, 0x20)
        return SimpleNamespace(st_mode=status.st_mode, st_size=1, **marks)

    monkeypatch.setattr("retrieval.folders.MARKS_HIDE", True)
    monkeypatch.setattr(os, "stat", marked)
    monkeypatch.setattr(os, "lstat", lambda path: marked(path, follow_symlinks=False))
    assert found(tmp_path) == ["a.png", "sub/c.png"]


def test_a_junction_of_windows_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png", "around/a.png", "sub/b.png")

    def as_on_windows(path: str) -> object:
        tag = JUNCTION if Path(path).name == "around" else 0
        mode = os.stat(path).st_mode
        return SimpleNamespace(st_mode=mode, st_file_attributes=0x10, st_reparse_tag=tag)

    monkeypatch.setattr("retrieval.folders.MARKS_HIDE", True)
    monkeypatch.setattr(os, "lstat", as_on_windows)
    assert [names for _, names in walk(tmp_path)] == [["a.png"], ["b.png"]]


def test_what_the_app_keeps_is_passed_over_in_a_folder_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "in" / "app"
    touch(tmp_path, "a.png", "in/app/visitors/b.png", "in/app 2/c.png")
    monkeypatch.setattr("retrieval.folders.KEPT_BY_US", (home, home / "visitors"))
    assert found(tmp_path) == ["a.png", "in/app 2/c.png"]
    assert found(tmp_path / "in" / ".." / "in") == ["app 2/c.png"]
    touch(home, "c.png")
    assert found(home) == ["c.png"]
    assert found(home / "visitors") == ["b.png"]  # a visitor's own is built all the same


def test_a_folder_that_is_called_like_a_picture_is_entered_and_not_taken_for_one(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "album.jpg/a.png")
    assert found(tmp_path) == ["album.jpg/a.png"]


def test_symbolic_links_are_followed_only_to_files_inside_of_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "outside/secret.png", "pictures/a.png", "pictures/sub/b.png")
    pictures = tmp_path / "pictures"
    link(pictures / "in.png", pictures / "a.png")
    link(pictures / "out.png", tmp_path / "outside" / "secret.png")
    link(pictures / "folder", tmp_path / "outside")
    link(pictures / "around", pictures)
    link(pictures / "broken.png", pictures / "gone.png")
    link(pictures / "loop.png", pictures / "loop.png")
    assert found(pictures) == ["a.png", "in.png", "sub/b.png"]


def test_a_file_that_cannot_be_measured_is_named_and_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png", "long.png")
    measure = Path.stat

    def as_on_windows(path: Path, **options: bool) -> os.stat_result:
        """Say of a path that is too long what Windows says."""
        if path.name == "long.png":
            raise FileNotFoundError(errno.ENOENT, "The system cannot find the path specified")
        return measure(path, **options)

    monkeypatch.setattr(Path, "stat", as_on_windows)
    assert found(tmp_path) == ["a.png", "long.png"]


def test_a_folder_that_is_itself_a_link_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.png")
    link(tmp_path / "alias", tmp_path / "real")
    assert found(tmp_path / "alias") == ["a.png"]


@pytest.mark.parametrize(
    ("mode", "expected", "reported"),
    [(0o000, ["a.png", "z.png"], ["closed"]), (0o400, ["a.png", "z.png", "closed/b.png"], [])],
    ids=["cannot be listed", "can be listed but not entered"],
)
def test_a_folder_that_may_not_be_read_is_reported_or_its_files_are_and_the_others_are_searched(
    unprivileged: Path, mode: int, expected: list[str], reported: list[str]
) -> None:
    touch(unprivileged, "a.png", "closed/b.png", "z.png")
    (unprivileged / "closed").chmod(mode)
    errors: list[OSError] = []
    try:
        paths = list(find_images(unprivileged, errors.append))
        if mode:
            with pytest.raises(PictureError, match="permissions"):
                open_picture(unprivileged / "closed" / "b.png")
    finally:
        (unprivileged / "closed").chmod(0o700)
    assert [path.relative_to(unprivileged).as_posix() for path in paths] == expected
    assert [Path(error.filename).name for error in errors] == reported


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    reported: list[OSError] = []
    assert list(find_images(tmp_path / "gone", reported.append)) == []
    assert [Path(error.filename).name for error in reported] == ["gone"]

"""The library: which collection a folder of pictures belongs to."""

import errno
import os
import re
import shutil
import sqlite3
import struct
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.database import DamagedError, connection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import index_folder
from retrieval.library import (
    claim_folder,
    clear_bare,
    collection_for,
    find_collection,
    folder_of,
    folders_in,
    name_unlike,
    need_library,
    new_folder,
    unused_name,
)
from retrieval.schema import DATABASE, THUMBNAILS, lay_out_thumbnails
from retrieval.store import held_alone
from retrieval.trash import TRASH, delete_discarded, discard, restore
from tests.made import extracted, link, mean_colour, save_hues


def made_on_the_page(library: Path, name: str, root: Path, embedder: Embedder) -> Path:
    """Make a collection as the page does: a name that is taken gets a number."""
    folder = new_folder(library, name)
    Collection.create(folder, name, root, embedder).close()
    return folder


def test_two_that_come_at_once_get_names_of_their_own(
    embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [made_on_the_page(tmp_path, "red", tmp_path / "red", embedder) for _ in range(2)]

    def find(*given: Any) -> str:
        time.sleep(0.1)  # the other one looks for one meanwhile
        return unused_name(*given)

    def come(folder: Path) -> str:
        with Collection(folder) as collection:
            name_unlike(tmp_path, collection)
            return collection.name

    monkeypatch.setattr("retrieval.library.unused_name", find)
    with ThreadPoolExecutor() as threads:
        assert sorted(threads.map(come, folders)) == ["red", "red 2"]


@pytest.fixture
def years(tmp_path: Path) -> list[Path]:
    """Two folders of one name."""
    folders = [tmp_path / place / "2023" for place in ("here", "there")]
    for folder in folders:
        folder.mkdir(parents=True)
    return folders


def test_a_folder_that_is_known_under_another_key_is_not_taken_twice(
    collections: Path, years: list[Path], embedder: Embedder
) -> None:
    made = [made_on_the_page(collections, "2023", year, embedder) for year in years]
    for year, folder in zip(years, made, strict=True):
        with collection_for(collections, year, None, embedder) as collection:
            assert collection.folder == folder
    assert folders_in(collections) == sorted(made)


def test_a_collection_is_found_by_the_name_that_it_was_given_later(
    collections: Path, years: list[Path], embedder: Embedder
) -> None:
    folder = made_on_the_page(collections, "2023", years[0], embedder)
    with Collection(folder) as running:
        running.rename("Iceland")  # the page has it open, and nothing is in the file itself yet
        with collection_for(collections, years[0], "Iceland", embedder) as collection:
            assert collection.folder == folder
        with collection_for(collections, years[0], None, embedder) as collection:
            assert collection.folder == folder


def test_what_lies_in_the_place_of_a_name_is_told_by_the_name_that_it_has_now(
    collections: Path, years: list[Path], embedder: Embedder
) -> None:
    with collection_for(collections, years[0], "holiday", embedder) as collection:
        for called, told in (("holiday", "holiday"), ("beach", "beach in the place of holiday")):
            collection.rename(called)
            sentence = f"There is already a collection {told}, of another folder"
            with pytest.raises(LookalikeError, match=sentence):
                collection_for(collections, years[1], "holiday", embedder)


def test_another_name_or_model_is_another_collection(
    collections: Path, years: list[Path], embedder: Embedder
) -> None:
    folder = made_on_the_page(collections, "2023", years[0], embedder)
    with collection_for(collections, years[0], "again", embedder) as collection:
        assert collection.folder == folder_of(collections, "again")
    with collection_for(collections, years[0], None, mean_colour("1" * 64)) as collection:
        assert collection.folder not in (folder, folder_of(collections, "again"))
    assert len(folders_in(collections)) == 3


def test_a_network_drive_that_does_not_answer_is_no_folder(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stat(path: Path, **_: object) -> None:
        raise OSError(errno.EHOSTDOWN, "Host is down")

    drive = tmp_path / "drive"
    drive.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("os.stat", stat)
        with pytest.raises(LookalikeError, match=r"There is no folder .*drive"):
            collection_for(tmp_path / "library", drive, None, embedder)


def test_what_lies_in_a_collection_itself_or_is_damaged_is_passed_over(
    collections: Path, years: list[Path], embedder: Embedder
) -> None:
    ruins = collections / "a ruin"
    ruins.mkdir()
    (ruins / "collection.sqlite").write_bytes(b"noise" * 1_000)
    kept = collections / "kept"
    Collection.create(kept, "kept", kept / "originals", embedder).close()
    (kept / "originals").mkdir()
    with collection_for(collections, kept / "originals", None, embedder) as collection:
        assert collection.folder == collections / "originals"
    with collection_for(collections, years[0], None, embedder) as collection:
        assert collection.folder == collections / "2023"


def test_a_name_with_accents_is_found_however_a_disk_writes_it(
    collections: Path, tmp_path: Path, embedder: Embedder
) -> None:
    apart = unicodedata.normalize("NFD", "Köln")
    root = tmp_path / apart
    root.mkdir()
    with collection_for(collections, root, None, embedder) as made:
        assert made.folder.name == "Köln"
        kept = made.folder
    for name in ("Köln", apart):
        assert find_collection(collections, name) == kept
        with collection_for(collections, root, name, embedder) as collection:
            assert collection.folder == kept
    kept.rename(kept.with_name("Ko-ln"))  # as an earlier version called it
    assert find_collection(collections, "Köln") == kept.with_name("Ko-ln")


@pytest.fixture
def album(tmp_path: Path, collections: Path, embedder: Embedder) -> Path:
    """A folder that is searched in place, of which one picture was taken out."""
    folder = save_hues(tmp_path / "Photos 2024", {f"{hue}.png": hue for hue in range(0, 120, 10)})
    with collection_for(collections, folder, None, embedder) as collection:
        list(index_folder(collection, folder, embedder, find_changes(collection, folder)))
        collection.exclude(["0.png"])
    return folder


@pytest.mark.parametrize("name", [None, "Photos 2024"])
def test_a_collection_goes_on_with_its_folder_when_that_was_renamed(
    album: Path, collections: Path, embedder: Embedder, name: str | None
) -> None:
    (kept,) = folders_in(collections)
    now = album.rename(album.with_name("Photos"))
    with Collection(kept) as collection, pytest.raises(LookalikeError, match="renamed or moved"):
        find_changes(collection, album)
    save_hues(now, {"10.png": 15.5, "new.png": 230})  # changed and new since
    before = extracted(embedder)
    with collection_for(collections, now, name, embedder) as collection:
        assert (collection.folder, collection.name) == (kept, "Photos 2024")
        changes = find_changes(collection, now)
        assert sorted(path.name for path in changes.to_read) == ["10.png", "new.png"]
        assert (changes.unchanged, changes.vanished) == (10, ())
    assert extracted(embedder) == before
    assert folders_in(collections) == [kept]


@pytest.mark.parametrize("grain", [100, 10**7, 2 * 10**9], ids=["NTFS", "exFAT", "FAT"])
def test_a_collection_goes_on_with_its_folder_on_a_disk_that_keeps_times_less_exactly(
    album: Path, collections: Path, tmp_path: Path, embedder: Embedder, grain: int
) -> None:
    (kept,) = folders_in(collections)
    now = album.rename(tmp_path / "stick")
    for path in now.iterdir():
        os.utime(path, ns=(path.stat().st_mtime_ns // grain * grain,) * 2)
    before = extracted(embedder)
    with collection_for(collections, now, None, embedder) as collection:
        assert collection.folder == kept
        list(index_folder(collection, now, embedder, find_changes(collection, now)))
        assert "0.png" not in collection.listing.files()
    assert extracted(embedder) == before


def lay_elsewhere(folder: Path, seconds: float) -> Path:
    """Move a folder to where its files have other dates, as on a disk that copied them."""
    now = folder.rename(folder.with_name("New disk"))
    for path in now.iterdir():
        time = path.stat().st_mtime + seconds
        os.utime(path, (time, time))
    return now


@pytest.mark.parametrize("seconds", [3600, 10**7], ids=["an hour off", "copied anew"])
@pytest.mark.parametrize("kept", [11, 2, 0], ids=["most are in", "few are in", "none is in"])
def test_a_collection_goes_on_with_its_folder_on_a_disk_with_other_dates(
    album: Path, collections: Path, embedder: Embedder, seconds: float, kept: int
) -> None:
    (folder,) = folders_in(collections)
    with Collection(folder) as collection:
        collection.exclude([f"{10 * hue}.png" for hue in range(1, 12 - kept)])
    now = lay_elsewhere(album, seconds)
    before = extracted(embedder)
    with collection_for(collections, now, None, embedder) as collection:
        assert collection.folder == folder
        changes = find_changes(collection, now)
        assert (changes.new, len(changes.touched), changes.vanished) == (0, kept, ())
        list(index_folder(collection, now, embedder, changes))
        assert collection.listing.count() == (kept, 0)
    assert extracted(embedder) == before
    assert folders_in(collections) == [folder]


def test_other_photos_of_the_names_and_sizes_of_those_that_were_taken_out_are_others(
    album: Path, collections: Path, embedder: Embedder
) -> None:
    (folder,) = folders_in(collections)
    with Collection(folder) as collection:
        collection.exclude([f"{hue}.png" for hue in range(10, 120, 10)])
    for path in album.iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    now = lay_elsewhere(album, 3600)
    with collection_for(collections, now, None, embedder) as collection:
        assert collection.folder != folder


def test_what_was_taken_out_and_deleted_keeps_no_folder_from_being_known_again(
    album: Path, collections: Path, embedder: Embedder
) -> None:
    (folder,) = folders_in(collections)
    gone = [f"{hue}.png" for hue in range(0, 80, 10)]
    with Collection(folder) as collection:
        collection.exclude(gone)
    for name in gone:
        (album / name).unlink()
    with collection_for(collections, lay_elsewhere(album, 3600), None, embedder) as collection:
        assert collection.folder == folder


def test_a_copy_beside_a_folder_is_another_one_and_is_not_read_for_it(
    album: Path,
    collections: Path,
    tmp_path: Path,
    embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder,) = folders_in(collections)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in album.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
        os.utime(copy / path.name, (1, 1))
    monkeypatch.setattr("retrieval.relocated.sha256_of_file", pytest.fail)
    with collection_for(collections, copy, None, embedder) as collection:
        assert collection.folder != folder


def test_a_folder_that_is_named_in_another_way_is_the_same_one(
    album: Path, collections: Path, embedder: Embedder
) -> None:
    (kept,) = folders_in(collections)
    # It has moved, and its old name leads there: as other letters do on macOS.
    now = album.rename(album.with_name("Photos"))
    link(album, now)
    with collection_for(collections, now, None, embedder) as collection:
        assert collection.folder == kept
    assert folders_in(collections) == [kept]


def test_a_drive_that_windows_cannot_look_up_keeps_no_other_folder_from_being_searched(
    album: Path,
    collections: Path,
    tmp_path: Path,
    embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    realpath = os.path.realpath

    def away(path: str | Path, **options: bool) -> str:
        if Path(path).is_relative_to(album):
            raise OSError(errno.ENETUNREACH, "The network location cannot be reached", str(path))
        return realpath(path, **options)

    (kept,) = folders_in(collections)
    other = save_hues(tmp_path / "other", {"a.png": 0})
    monkeypatch.setattr(os.path, "realpath", away)
    with Collection(kept) as collection:
        assert collection.in_place
        assert collection.root == album
    with collection_for(collections, other, None, embedder) as collection:
        assert collection.folder != kept


@pytest.mark.parametrize("root", [r"C:\Users\Me\Pictures", "/home/me/pictures", r"\\nas\photos"])
def test_a_folder_of_another_system_is_no_part_of_the_collection(
    collections: Path, embedder: Embedder, root: str
) -> None:
    with Collection.create(collections / "a", "a", None, embedder) as collection:
        collection.store.note({"root": root})
        assert collection.in_place
        assert not collection.keeps_originals


@pytest.mark.parametrize("case", ["a copy", "other photos", "another model", "another name"])
def test_a_folder_that_only_looks_like_that_of_a_collection_gets_one_of_its_own(
    album: Path, collections: Path, embedder: Embedder, case: str
) -> None:
    other = album.with_name("Photos")
    shutil.copytree(album, other)  # with their times
    if case != "a copy":
        shutil.rmtree(album)
    if case == "other photos":  # frames of another film, say, of the same names and sizes
        for path in other.iterdir():
            path.write_bytes(path.read_bytes()[:-1] + b"?")
            os.utime(path, (1, 1))
    name = "mine" if case == "another name" else None
    model = mean_colour("1" * 64) if case == "another model" else embedder
    with collection_for(collections, other, name, model) as collection:
        assert collection.listing.count() == (0, 0)
    assert len(folders_in(collections)) == 2


def test_whether_collections_can_be_kept_is_tried_and_a_full_disk_can_be_searched(
    unprivileged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    library = unprivileged / "collections"
    need_library(library)
    assert list(library.iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", full)
        need_library(library)
    monkeypatch.setattr(os, "access", lambda *_: True)  # as Windows answers
    library.chmod(0o500)
    with pytest.raises(LookalikeError, match=r"cannot be kept in .*Permission denied.*LOOKALIKE"):
        need_library(library)


def test_a_collection_whose_making_was_killed_is_made_all_the_same(
    collections: Path, years: list[Path], embedder: Embedder
) -> None:
    folder = folder_of(collections, "2023")
    folder.mkdir()
    sqlite3.connect(folder / DATABASE).execute("PRAGMA journal_mode = WAL").connection.close()
    with collection_for(collections, years[0], None, embedder) as collection:
        assert collection.folder == folder
        assert collection.root == years[0].resolve()


@pytest.mark.parametrize("name", [None, "2023"])
@pytest.mark.parametrize("photos", ["originals", "removed"])
@pytest.mark.parametrize("records", ["empty", "gone"])
def test_a_collection_that_has_lost_its_records_and_keeps_photos_is_not_taken_for_another(
    collections: Path,
    years: list[Path],
    embedder: Embedder,
    records: str,
    photos: str,
    name: str | None,
) -> None:
    folder = folder_of(collections, "2023")
    Collection.create(folder, "2023", folder / "originals", embedder).close()
    save_hues(folder / photos, {"only.png": 0})
    os.truncate(folder / DATABASE, 0)
    if records == "gone":
        (folder / DATABASE).unlink()
    with pytest.raises(DamagedError, match=r"check --repair --name 2023"):
        collection_for(collections, years[0], name, embedder)
    with pytest.raises(DamagedError):
        Collection.create(folder, "2023", None, embedder, url="memory://2023")


@pytest.mark.parametrize("kept", ["", "originals", "small pictures", "being made"])
def test_what_a_kill_left_of_a_collection_that_was_being_made_goes_unless_it_holds_something(
    collections: Path, kept: str
) -> None:
    folder = folder_of(collections, "left")
    folder.mkdir()
    with connection(folder / THUMBNAILS) as database, database:
        lay_out_thumbnails(database)
        if kept == "small pictures":
            database.execute("INSERT INTO thumbnails VALUES ('0', x'00')")
    with connection(folder / DATABASE):
        pass  # killed here
    if kept == "originals":
        (folder / kept).mkdir()
    with held_alone(folder, lambda: "left") if kept == "being made" else nullcontext():
        assert clear_bare(collections) == [folder] * bool(kept)
    assert folder.exists() == bool(kept)


@pytest.mark.parametrize("whole", [False, True], ids=["no page", "a page"])
@pytest.mark.parametrize("begun", [False, True], ids=["to be begun", "begun"])
def test_what_a_kill_left_before_anything_was_written_goes_with_its_journal(
    collections: Path, years: list[Path], embedder: Embedder, begun: bool, whole: bool
) -> None:
    folder = folder_of(collections, "2023")

    def leave() -> None:
        folder.mkdir()
        with connection(folder / THUMBNAILS) as database, database:
            lay_out_thumbnails(database)
        with connection(folder / DATABASE):
            pass
        if not whole:
            os.truncate(folder / DATABASE, 0)
        magic = bytes.fromhex("d9d505f920a163d7") if begun else bytes(8)
        # No page in it yet, a nonce, no page before, and the sizes of sectors and pages.
        head = magic + struct.pack(">5I", 0, 1, 0, 512, 16384)
        (folder / f"{DATABASE}-journal").write_bytes(head.ljust(512, b"\0"))

    leave()
    assert clear_bare(collections) == []
    assert not folder.exists()
    leave()
    with collection_for(collections, years[0], None, embedder) as collection:
        assert collection.folder == folder


def test_a_place_that_was_claimed_and_that_a_kill_left_empty_is_given_up(collections: Path) -> None:
    left, claimed, photos = (claim_folder(collections, name) for name in ("a", "b", "c"))
    (photos / "photo.png").touch()
    (collections / "note.txt").touch()
    for path in (left, photos, collections / "note.txt"):
        os.utime(path, (1, 1))
    assert clear_bare(collections) == []
    assert sorted(collections.iterdir()) == [claimed, photos, collections / "note.txt"]


def test_a_name_of_letters_that_take_much_room_can_lie_in_the_bin(collections: Path) -> None:
    folder = folder_of(collections, "𐍈" * 100)  # four bytes each
    folder.mkdir(parents=True)
    delete_discarded(discard(folder))
    earlier = collections / ("𐍈" * 60)
    earlier.mkdir()
    back = restore(discard(earlier))
    assert earlier.name.startswith(back.name)
    delete_discarded(discard(back))
    assert list((collections / TRASH).iterdir()) == []


@pytest.fixture
def in_bin(collections: Path) -> Path:
    """The place in the bin of what was called "trip", and holds a photo."""
    (collections / "trip").mkdir(parents=True)
    (collections / "trip" / "photo.png").touch()
    return discard(collections / "trip")


@pytest.mark.parametrize("onto_another", [True, False], ids=["elsewhere", "Windows"])
@pytest.mark.parametrize("takes", ["claims", "fills"])
def test_what_is_brought_back_takes_no_place_that_another_one_takes_just_now(
    collections: Path,
    in_bin: Path,
    monkeypatch: pytest.MonkeyPatch,
    takes: str,
    onto_another: bool,
) -> None:
    theirs: list[Path] = []
    plain = os.replace

    def late(source: Path, target: Path) -> None:
        if not theirs and takes == "claims":
            theirs.append(claim_folder(collections, "trip"))
        elif not theirs:
            theirs.append(target)
            (target / "theirs").touch()
        if target.exists() and not onto_another:
            raise PermissionError(errno.EACCES, "Access is denied")
        plain(source, target)

    monkeypatch.setattr(os, "replace", late)
    ours = restore(in_bin)
    assert {ours.name, theirs[0].name} == {"trip", "trip-2"}
    assert [path.name for path in ours.iterdir()] == ["photo.png"]
    assert [path.name for path in theirs[0].iterdir()] == ["theirs"] * (takes == "fills")


def test_what_is_brought_back_on_windows_is_claimed_while_its_place_is_free_for_a_moment(
    collections: Path, in_bin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs: list[Path] = []
    plain = os.replace

    def as_on_windows(source: Path, target: Path) -> None:
        if not target.exists() and not theirs:
            theirs.append(claim_folder(collections, "trip"))
        if target.exists():
            raise PermissionError(errno.EACCES, "Access is denied")
        plain(source, target)

    monkeypatch.setattr(os, "replace", as_on_windows)
    ours = restore(in_bin)
    assert {ours.name, theirs[0].name} == {"trip", "trip-2"}
    assert [path.name for path in ours.iterdir()] == ["photo.png"]


def test_a_place_that_is_given_up_while_it_is_claimed_is_claimed_anew(
    collections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, gone = Path.mkdir, []

    def after_the_other(path: Path, *arguments: Any, **named: Any) -> None:
        if path == collections / "trip" and not gone:
            gone.append(path)
            raise FileExistsError(errno.EEXIST, "It was there, and is not any more")
        plain(path, *arguments, **named)

    collections.mkdir(exist_ok=True)
    monkeypatch.setattr(Path, "mkdir", after_the_other)
    assert claim_folder(collections, "trip") == collections / "trip"


@pytest.mark.parametrize(
    "name", ["Photos of the summer holiday with the whole family in Italy 2024", "CON"]
)
def test_collections_that_are_called_alike_are_found_by_the_names_that_are_listed(
    collections: Path, embedder: Embedder, name: str
) -> None:
    made = []
    for _ in range(2):
        made.append(claim_folder(collections, name))
        Collection.create(made[-1], name, None, embedder).close()
    with pytest.raises(LookalikeError) as raised:
        find_collection(collections, None)
    listed = re.findall(r'"([^"]+)"', str(raised.value))
    assert {find_collection(collections, one) for one in listed} == set(made)

"""The collections of a running app: made, built, renamed, deleted and brought back."""

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval import removed, settings, trash
from retrieval.building import Builders, Building
from retrieval.changes import Changes, find_changes
from retrieval.collection import Collection
from retrieval.embedding import Aspects, Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import Bounds, Step, index_folder
from retrieval.library import find_collection
from retrieval.removals import NotAllBackError
from retrieval.removed import bring_back, still_here, take_away
from retrieval.schema import DATABASE, ORIGINALS, REMOVED
from retrieval.trash import TRASH, discarded, empty_trash
from retrieval.workspace import UNDO_SECONDS, Workspace
from tests.made import by_hue, mean_colour, save_hues, wait_for


def build(workspace: Workspace, key: str, root: Path) -> Building:
    workspace.build(key, root, Bounds())
    return finished(workspace, key)


def finished(workspace: Workspace, key: str) -> Building:
    def state() -> Building:
        found = workspace.building(key)
        assert found is not None
        return found

    wait_for(lambda: state().finished)
    return state()


def test_a_folder_is_searched_in_place_and_found_again_by_the_next_run(
    workspace: Workspace, wheel: Path, tiny_files: Path, collections: Path
) -> None:
    key = workspace.create("wheel", wheel)
    assert build(workspace, key, wheel).problem is None
    workspace.rename(key, "  The   wheel ")
    workspace.stop()
    again = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    again.open_library(collections)
    collection = again.shelf.searcher(key).collection
    assert (collection.name, collection.listing.count()) == ("The wheel", (6, 0))
    assert not collection.unfinished
    assert find_collection(collections, "The wheel") == collection.folder
    again.stop()


def test_the_same_folder_is_not_taken_twice(workspace: Workspace, wheel: Path) -> None:
    workspace.create("wheel", wheel)
    with pytest.raises(LookalikeError, match=r"searched already, as wheel"):
        workspace.create("again", wheel)


def test_of_a_folder_without_a_picture_no_collection_is_made(
    workspace: Workspace, collections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "papers"
    (folder / "2024").mkdir(parents=True)
    (folder / "2024" / "letter.txt").write_text("no picture")
    with pytest.raises(LookalikeError, match=r"There is no picture in papers\. Choose another"):
        workspace.create("papers", folder)
    assert workspace.shelf.keys() == []
    assert not list(collections.iterdir())
    # Of what is slow nobody knows yet.
    monkeypatch.setattr("retrieval.folders.PICTURE_SECONDS", -1.0)
    assert workspace.create("papers", folder) == "papers"


@pytest.mark.parametrize(
    ("number", "made"), [(errno.EACCES, False), (errno.EIO, True)], ids=["closed", "a bad disk"]
)
def test_a_folder_that_a_disk_does_not_tell_of_is_not_taken_for_empty(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    made: bool,
) -> None:
    def walk(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[tuple[str, list[str]]]:
        yield str(folder), []
        on_error(OSError(number, "", str(folder / "inner")))

    monkeypatch.setattr("retrieval.folders.walk", walk)
    (tmp_path / "disk").mkdir()
    if made:
        workspace.create("disk", tmp_path / "disk")
    else:
        with pytest.raises(LookalikeError, match="may not be opened were passed over"):
            workspace.create("disk", tmp_path / "disk")
    assert len(workspace.shelf.keys()) == made


def test_a_folder_that_was_renamed_goes_on_as_the_collection_that_it_is(
    workspace: Workspace, wheel: Path
) -> None:
    key = workspace.create("wheel", wheel)
    build(workspace, key, wheel)
    now = wheel.rename(wheel.with_name("colours"))
    assert workspace.create("colours", now) == key
    assert not workspace.look(key).any
    with pytest.raises(LookalikeError, match=r"searched already, as wheel"):
        workspace.create("again", now)
    assert workspace.shelf.keys() == [key]


def test_nothing_more_is_built_of_a_collection_that_is_just_being_deleted(
    workspace: Workspace, wheel: Path
) -> None:
    key = workspace.create("wheel", wheel)
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Changes:
        begun.set()
        assert go_on.wait(20)
        return workspace.look(key)

    workspace.build(key, wheel, Bounds(), slowly)
    assert begun.wait(20)
    deleting = threading.Thread(target=workspace.delete, args=(key,))
    deleting.start()
    wait_for(lambda: workspace.building(key) is None)
    with pytest.raises(LookalikeError, match=r"not here any more"):
        workspace.build(key, wheel, Bounds())
    go_on.set()
    deleting.join()
    assert workspace.building(workspace.create("wheel", wheel)) is None


def test_two_apps_that_make_a_collection_of_one_name_get_one_each(
    workspace: Workspace, wheel: Path, collections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder, mkdir, theirs = workspace.embedder, Path.mkdir, []

    def after_the_other(path: Path, *arguments: Any, **named: Any) -> None:
        if path == collections / "trip" and not theirs:
            theirs.append(path)
            Collection.create(path, "Trip", wheel, embedder).close()
        mkdir(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", after_the_other)
    key = workspace.create("trip")
    assert key == "trip-2"
    assert workspace.shelf.searcher(key).collection.keeps_originals


def test_two_collections_of_one_name_get_folders_of_their_own_and_a_number(
    workspace: Workspace,
) -> None:
    keys = [workspace.create("trip"), workspace.create("trip")]
    assert workspace.shelf.names() == {keys[0]: "trip", keys[1]: "trip 2"}


def test_no_collection_is_given_the_name_of_another(workspace: Workspace) -> None:
    lake, trip = workspace.create("lake"), workspace.create("trip")
    with pytest.raises(LookalikeError, match=r"Another collection is called lake\. Choose"):
        workspace.rename(trip, " lake ")
    workspace.rename(trip, "trip")
    assert workspace.shelf.names() == {lake: "lake", trip: "trip"}


@pytest.mark.parametrize("name", ["", "   ", "\n"])
def test_a_collection_needs_a_name(workspace: Workspace, name: str) -> None:
    with pytest.raises(LookalikeError, match=r"needs a name"):
        workspace.rename(workspace.create("trip"), name)


def test_deleting_is_undone_with_everything(workspace: Workspace, wheel: Path) -> None:
    key = workspace.create("wheel", wheel)
    build(workspace, key, wheel)
    place = workspace.delete(key)
    assert workspace.shelf.keys() == []
    assert workspace.bin() == [(place, "wheel")]
    with pytest.raises(LookalikeError, match=r"not here any more"):
        workspace.shelf.searcher(key)
    assert workspace.undo(place) == key
    assert workspace.shelf.searcher(key).collection.listing.count() == (6, 0)
    with pytest.raises(LookalikeError, match=r"not in the bin"):
        workspace.undo(place)
    assert len(list(wheel.rglob("*.png"))) == 6  # the pictures were never touched


def test_what_was_deleted_comes_back_beside_a_new_one_of_that_name(workspace: Workspace) -> None:
    place = workspace.delete(workspace.create("trip"))
    workspace.create("trip")
    assert workspace.undo(place) == "trip-2"
    assert workspace.shelf.names() == {"trip": "trip", "trip-2": "trip 2"}


def test_what_was_deleted_comes_back_beside_no_other_one_of_its_folder(
    workspace: Workspace, wheel: Path
) -> None:
    place = workspace.delete(workspace.create("wheel", wheel))
    again = workspace.create("again", wheel)
    with pytest.raises(LookalikeError, match=r"searchable anew meanwhile, as again\. Delete"):
        workspace.undo(place)
    workspace.delete(again)
    key = workspace.undo(place)
    assert workspace.shelf.keys() == [key]


def test_the_bin_is_emptied_after_a_day(workspace: Workspace, collections: Path) -> None:
    workspace.delete(workspace.create("trip"))
    empty_trash(collections, older_than=3600)
    assert len(discarded(collections)) == 1
    empty_trash(collections, older_than=-2)
    assert discarded(collections) == []


def test_what_is_in_the_bin_can_be_deleted_for_good(
    workspace: Workspace, collections: Path
) -> None:
    place, other = (workspace.delete(workspace.create(name)) for name in ("trip", "lake"))
    workspace.empty(place)
    assert [path.name for path in discarded(collections)] == [other]
    with pytest.raises(LookalikeError, match=r"not in the bin"):
        workspace.empty(place)
    workspace.forget_old()  # the other one is younger than a day
    assert [path.name for path in discarded(collections)] == [other]
    make_older(collections / TRASH / trash.AGES)
    workspace.forget_old()
    assert discarded(collections) == []


def test_what_was_deleted_while_the_clock_was_behind_is_not_gone_when_it_is_set_right(
    workspace: Workspace, kept: str, collections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = time.time() - 3 * UNDO_SECONDS
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: behind)
        take_out(workspace, kept, "warm/red.png")
        workspace.forget_old()
    workspace.forget_old()
    workspace.let_in(kept, ["warm/red.png"])
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: behind)
        place = workspace.delete(kept)
        workspace.forget_old()
    workspace.forget_old()
    assert workspace.undo(place) == kept


def test_what_was_taken_out_is_let_in_again_where_it_is_now_also_when_another_came_to_its_place(
    workspace: Workspace, wheel: Path
) -> None:
    key = workspace.create("wheel", wheel)
    build(workspace, key, wheel)
    collection = workspace.shelf.searcher(key).collection
    take_out(workspace, key, "warm/red.png")
    for place in ("cold/red.png", "cold/away/red.png"):  # it moves twice
        (wheel / place).parent.mkdir(exist_ok=True)
        where = collection.excluded.paths().pop()
        (wheel / where).rename(wheel / place)
        by_hue(300 + len(place)).save(wheel / where)
        build(workspace, key, wheel)
        assert collection.excluded.paths() == {place}
    workspace.let_in(key, ["warm/red.png"])
    build(workspace, key, wheel)
    assert "cold/away/red.png" in collection.listing.files()
    assert collection.excluded.paths() == set()
    take_out(workspace, key, "warm/red.png")  # the other one
    workspace.let_in(key, ["warm/red.png"])
    assert collection.excluded.paths() == set()


@pytest.mark.parametrize("another", [True, False], ids=["another came", "its place is empty"])
def test_what_was_taken_out_is_let_in_again_where_another_program_has_seen_it_move(
    workspace: Workspace, wheel: Path, another: bool
) -> None:
    key = workspace.create("wheel", wheel)
    build(workspace, key, wheel)
    collection = workspace.shelf.searcher(key).collection
    take_out(workspace, key, "warm/red.png")
    (wheel / "warm/red.png").rename(wheel / "cold/red.png")
    if another:
        by_hue(300).save(wheel / "warm/red.png")
    with Collection(collection.folder) as same:  # as `python -m retrieval index` does
        changes = find_changes(same, wheel)
        for _ in index_folder(same, wheel, workspace.embedder, changes):
            pass
    assert "cold/red.png" not in collection.listing.files()
    workspace.let_in(key, ["warm/red.png"])
    build(workspace, key, wheel)
    assert "cold/red.png" in collection.listing.files()
    assert collection.excluded.paths() == set()


def test_pictures_are_taken_out_and_let_in_again(
    workspace: Workspace, wheel: Path, tmp_path: Path
) -> None:
    key = workspace.create("kept")
    collection = workspace.shelf.searcher(key).collection
    assert collection.root is not None
    assert collection.keeps_originals
    wheel.rename(collection.root)
    build(workspace, key, collection.root)
    red = next(
        picture for picture in collection.listing.pictures() if picture.path == "warm/red.png"
    )
    assert workspace.take_out(key, [red.id]) == ["warm/red.png"]
    assert not (collection.root / "warm/red.png").exists()
    build(workspace, key, collection.root)
    assert collection.listing.count() == (5, 0)
    workspace.let_in(key, ["warm/red.png"])
    build(workspace, key, collection.root)
    assert collection.listing.count() == (6, 0)


@pytest.fixture
def kept(workspace: Workspace, wheel: Path) -> str:
    """The key of a collection that holds the only copies of its photos."""
    key = workspace.create("kept")
    wheel.rename(originals(workspace, key))
    build(workspace, key, originals(workspace, key))
    return key


def originals(workspace: Workspace, key: str) -> Path:
    return workspace.shelf.searcher(key).collection.folder / ORIGINALS


def take_out(workspace: Workspace, key: str, path: str) -> None:
    pictures = workspace.shelf.searcher(key).collection.listing.pictures()
    ids = [picture.id for picture in pictures if picture.path == path]
    assert workspace.take_out(key, ids) == [path]


def make_older(notes: Path) -> None:
    """Say of what was met in a bin so far that it has lain there for more than a day."""
    noted = json.loads(notes.read_bytes())
    noted["ages"] = dict.fromkeys(noted["ages"], UNDO_SECONDS + 9)
    notes.write_text(json.dumps(noted))


def test_what_was_taken_out_stays_for_a_day_whatever_is_opened_meanwhile(
    workspace: Workspace, kept: str, tiny_files: Path, collections: Path
) -> None:
    take_out(workspace, kept, "warm/red.png")
    other = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    other.open_library(collections)
    other.forget_taken_out()
    other.stop()
    workspace.undo(workspace.delete(kept))
    workspace.let_in(kept, ["warm/red.png"])
    build(workspace, kept, originals(workspace, kept))
    assert workspace.shelf.searcher(kept).collection.listing.count() == (6, 0)


def test_what_was_taken_out_a_day_ago_goes_and_is_offered_no_more(
    workspace: Workspace, kept: str
) -> None:
    collection = workspace.shelf.searcher(kept).collection
    take_out(workspace, kept, "warm/red.png")
    workspace.forget_taken_out()
    make_older(collection.folder / removed.AGES)
    take_out(workspace, kept, "warm/orange.png")
    workspace.forget_taken_out()
    assert collection.excluded.paths() == {"warm/orange.png"}
    assert [path.name for path in (collection.folder / REMOVED).rglob("*.png")] == ["orange.png"]
    workspace.let_in(kept, ["warm/orange.png"])


def test_a_photo_that_a_scanner_holds_for_a_moment_is_taken_out_all_the_same(
    workspace: Workspace, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, replace = [PermissionError(13, "held")], os.replace

    def move(*paths: Any) -> None:
        if held:
            raise held.pop()
        replace(*paths)

    monkeypatch.setattr("retrieval.files.TRIES", 2)
    monkeypatch.setattr(os, "replace", move)
    take_out(workspace, kept, "warm/red.png")
    assert not (originals(workspace, kept) / "warm/red.png").exists()


def test_a_photo_that_could_not_be_moved_when_it_was_taken_out_goes_after_a_day_as_well(
    workspace: Workspace, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = workspace.shelf.searcher(kept).collection
    photo = originals(workspace, kept) / "warm/red.png"
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(FileNotFoundError(2, "")))
        take_out(workspace, kept, "warm/red.png")
    workspace.forget_taken_out()
    assert photo.exists()  # it can still be let in
    make_older(collection.folder / removed.AGES)
    workspace.forget_taken_out()
    assert not photo.exists()
    assert collection.excluded.paths() == set()
    assert collection.listing.count() == (5, 0)


def test_what_an_earlier_version_took_out_stays_for_a_day_more(
    workspace: Workspace, kept: str
) -> None:
    collection = workspace.shelf.searcher(kept).collection
    take_out(workspace, kept, "warm/red.png")
    folder = collection.folder / REMOVED
    place = next(folder.iterdir())
    (place / "warm").rename(folder / "warm")  # as it was laid out
    workspace.forget_taken_out()
    workspace.let_in(kept, ["warm/red.png"])
    assert (originals(workspace, kept) / "warm/red.png").exists()


def add_again(workspace: Workspace, kept: str, path: str) -> None:
    """Take in a photo that lies at a path where one was taken out, as adding it does."""
    workspace.shelf.searcher(kept).collection.excluded.readmit([path])
    build(workspace, kept, originals(workspace, kept))


def test_photos_of_one_name_that_are_taken_out_do_not_replace_each_other(
    workspace: Workspace, kept: str
) -> None:
    photos, path = originals(workspace, kept), "warm/red.png"
    first = (photos / path).read_bytes()
    take_out(workspace, kept, path)
    by_hue(300).save(photos / path)
    second = (photos / path).read_bytes()
    add_again(workspace, kept, path)
    take_out(workspace, kept, path)
    workspace.let_in(kept, [path])
    assert (photos / path).read_bytes() == second
    workspace.let_in(kept, [path])
    assert (photos / path).read_bytes() == second
    assert (photos / "warm/red (2).png").read_bytes() == first


def test_a_photo_that_was_added_again_meanwhile_is_not_brought_back_beside_itself(
    workspace: Workspace, kept: str
) -> None:
    photos, path = originals(workspace, kept), "warm/red.png"
    collection = workspace.shelf.searcher(kept).collection
    data = (photos / path).read_bytes()
    take_out(workspace, kept, path)
    (photos / path).write_bytes(data)
    add_again(workspace, kept, path)
    workspace.let_in(kept, [path])
    build(workspace, kept, photos)
    assert collection.listing.count() == (6, 0)
    assert [file.name for file in photos.rglob("red*")] == ["red.png"]
    assert not [*(collection.folder / REMOVED).rglob("*.png")]


def test_a_photo_is_not_brought_back_to_where_another_one_was_taken_out(
    workspace: Workspace, kept: str
) -> None:
    photos, path = originals(workspace, kept), "warm/red.png"
    shutil.copy(photos / path, photos / "warm/red (2).png")
    build(workspace, kept, photos)
    take_out(workspace, kept, "warm/red (2).png")
    take_out(workspace, kept, path)
    by_hue(300).save(photos / path)
    collection = workspace.shelf.searcher(kept).collection
    add_again(workspace, kept, path)
    workspace.let_in(kept, [path])
    build(workspace, kept, photos)
    assert collection.listing.count() == (7, 0)
    assert collection.excluded.paths() == {"warm/red (2).png"}


def test_photos_that_cannot_be_brought_back_are_told_and_the_others_come(
    workspace: Workspace, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = workspace.shelf.searcher(kept).collection
    take_out(workspace, kept, "warm/red.png")
    shutil.rmtree(collection.folder / REMOVED)
    take_out(workspace, kept, "warm/orange.png")
    with pytest.raises(LookalikeError, match=r"^1 of the photos is not here any more"):
        workspace.let_in(kept, ["warm/red.png", "warm/orange.png"])
    assert (originals(workspace, kept) / "warm/orange.png").exists()
    assert collection.excluded.paths() == set()
    assert collection.unfinished
    take_out(workspace, kept, "cold/blue.png")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "")))
        with pytest.raises(LookalikeError, match=r"^1 of the photos cannot be moved back"):
            workspace.let_in(kept, ["cold/blue.png"])
    assert collection.excluded.paths() == {"cold/blue.png"}
    workspace.let_in(kept, ["cold/blue.png"])


def test_what_was_taken_out_of_a_folder_and_is_in_it_no_more_is_told_and_the_others_come(
    workspace: Workspace, wheel: Path
) -> None:
    key = workspace.create("wheel", wheel)
    build(workspace, key, wheel)
    collection = workspace.shelf.searcher(key).collection
    paths = ["warm/red.png", "warm/orange.png", "cold/blue.png"]
    for path in paths:
        take_out(workspace, key, path)
    (wheel / paths[0]).unlink()
    (wheel / paths[1]).rename(wheel / "cold/carrot.png")  # which nobody has looked for yet
    with pytest.raises(NotAllBackError, match=r"^1 of the photos is in the folder no more") as told:
        workspace.let_in(key, paths)
    assert told.value.back == paths[1:]
    build(workspace, key, wheel)
    assert {"cold/carrot.png", "cold/blue.png"} <= set(collection.listing.files())
    assert collection.excluded.paths() == set()
    with pytest.raises(LookalikeError, match=r"^1 of the photos is in the folder no more"):
        workspace.let_in(key, paths[:1])


def test_undo_while_the_disk_of_a_folder_is_away_counts_as_soon_as_it_is_there(
    workspace: Workspace, wheel: Path
) -> None:
    key = workspace.create("wheel", wheel)
    build(workspace, key, wheel)
    collection = workspace.shelf.searcher(key).collection
    take_out(workspace, key, "warm/red.png")
    away = wheel.rename(wheel.with_name("away"))
    for is_mounted in (False, True):  # an empty folder is where the disk appears
        if is_mounted:
            wheel.mkdir()
        workspace.let_in(key, ["warm/red.png"])
        assert collection.excluded.paths() == set()
    wheel.rmdir()
    away.rename(wheel)
    build(workspace, key, wheel)
    assert collection.listing.count() == (6, 0)


@pytest.mark.parametrize("where", ["../../../wedding.png", "{home}/wedding.png", "../wedding.png"])
def test_no_record_of_a_collection_moves_a_file_out_of_its_folder(
    workspace: Workspace, kept: str, tmp_path: Path, where: str
) -> None:
    collection = workspace.shelf.searcher(kept).collection
    path = where.format(home=tmp_path)
    place = originals(workspace, kept) / path
    by_hue(300).save(place)  # somebody's own
    before = {file for file in tmp_path.rglob("*.png") if REMOVED not in file.parts}
    with collection.store.change() as database:  # as programs before this one opened a bundle
        database.execute("UPDATE pictures SET path = ? WHERE path = 'warm/red.png'", [path])
    take_out(workspace, kept, path)
    assert {file for file in tmp_path.rglob("*.png") if REMOVED not in file.parts} == before
    with pytest.raises(LookalikeError, match=r"^1 of the photos is not here"):
        workspace.let_in(kept, [path])
    assert {file for file in tmp_path.rglob("*.png") if REMOVED not in file.parts} == before


def test_nothing_is_moved_into_a_collection_from_out_of_what_was_taken_out(
    workspace: Workspace, kept: str
) -> None:
    take_out(workspace, kept, "warm/red.png")
    folder = workspace.shelf.searcher(kept).collection.folder
    by_hue(300).save(folder / "wedding.png")
    with pytest.raises(LookalikeError, match=r"^1 of the photos is not here"):
        workspace.let_in(kept, ["../../wedding.png"])
    assert (folder / "wedding.png").exists()


def test_only_what_is_still_here_can_be_brought_back(workspace: Workspace, kept: str) -> None:
    (originals(workspace, kept) / "warm/red.png").unlink()
    paths = ["warm/orange.png", "warm/red.png"]
    assert workspace.undoable(kept, paths) == paths[:1]
    for path in paths:
        take_out(workspace, kept, path)
    assert workspace.undoable(kept, paths) == paths[:1]
    workspace.let_in(kept, paths[:1])
    build(workspace, kept, originals(workspace, kept))
    assert workspace.shelf.searcher(kept).collection.listing.count() == (5, 0)


def test_a_new_collection_holds_up_nobody_else_while_another_is_busy(
    workspace: Workspace, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Thread(target=workspace.create, args=("new",))
    asked = threading.Event()
    names = workspace.shelf.names

    def noted(visitor: str = "") -> dict[str, str]:
        asked.set()
        return names(visitor)

    def others() -> None:
        _ = workspace.embedder  # as each search
        workspace.shelf.hide_shipped(False)  # under the lock of the shelf

    monkeypatch.setattr(workspace.shelf, "names", noted)
    with workspace.shelf.searcher(kept).collection.store.view():  # as while it is packed
        waiting.start()
        assert asked.wait(20)  # it comes to ask for that one's name
        free = threading.Thread(target=others)
        free.start()
        free.join(20)
        assert not free.is_alive()
        assert waiting.is_alive()
    waiting.join()
    assert len(workspace.shelf.keys()) == 2


def test_what_was_taken_out_one_by_one_is_looked_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{i:03}.png" for i in range(200)]
    for name in names:
        (tmp_path / name).touch()
        take_away(tmp_path, tmp_path, [name])
    asked: list[object] = []
    isfile = os.path.isfile

    def noted(path: Any) -> bool:
        if str(path).startswith(str(tmp_path)):
            asked.append(path)
        return isfile(path)

    monkeypatch.setattr(os.path, "isfile", noted)
    assert still_here(tmp_path, tmp_path, [*names, "gone.png"]) == names
    assert bring_back(tmp_path, tmp_path, names, ()) == ([], [])
    assert len(asked) < 5 * len(names)


def test_what_was_taken_out_is_not_looked_through_for_photos_that_are_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{i:03}.png" for i in range(20)]
    for name in names:
        (tmp_path / name).touch()
    take_away(tmp_path, tmp_path, names[5:])
    walked: list[object] = []
    walk = os.walk

    def noted(path: Any, **options: Any) -> Any:
        if str(path).startswith(str(tmp_path)):  # not by a thread that another test has left
            walked.append(path)
        return walk(path, **options)

    monkeypatch.setattr(os, "walk", noted)
    assert still_here(tmp_path, tmp_path, names[:5]) == names[:5]
    assert not walked
    assert still_here(tmp_path, tmp_path, [*names, "gone.png"]) == names
    assert walked


def test_a_photo_added_to_a_collection_without_photos_comes_back(
    workspace: Workspace, kept: str
) -> None:
    collection = workspace.shelf.searcher(kept).collection
    photos = originals(workspace, kept)
    (photos / "warm/red.png").unlink()
    collection.store.note({"root": ""})  # as it is opened from a file without its photos
    paths = ["warm/orange.png", "warm/red.png"]
    assert workspace.undoable(kept, paths) == paths[:1]
    take_out(workspace, kept, paths[0])
    workspace.let_in(kept, paths[:1])
    workspace.build(
        kept, photos, Bounds(), lambda: replace(find_changes(collection, photos), vanished=())
    )
    assert finished(workspace, kept).problem is None
    assert collection.listing.count() == (6, 0)


def test_a_picture_that_is_taken_out_while_its_copy_waits_stops_no_run(
    workspace: Workspace, tmp_path: Path
) -> None:
    embedder = workspace.embedder
    collection = Collection.create(tmp_path / "rootless", "rootless", None, embedder)
    key = workspace.shelf.serve(collection)
    photos = save_hues(tmp_path / "more", {"a.png": 0})
    list(index_folder(collection, photos, embedder, find_changes(collection, photos)))
    by_hue(0).save(photos / "z.png")  # the same bytes
    save_hues(photos, {f"b{hue}.png": hue for hue in range(10, 210, 5)})
    steps = index_folder(collection, photos, embedder, find_changes(collection, photos))
    while next(steps).done == 0:  # it knows which contents it need not compute
        pass
    take_out(workspace, key, "a.png")
    assert list(steps)[-1].ready == 41
    assert collection.listing.count() == (41, 0)
    take_out(workspace, key, "b10.png")
    assert (
        len(collection.listing.known_contents()) == 40
    )  # where nothing is read it is forgotten at once


def ruined(workspace: Workspace, folder: Path) -> Workspace:
    """Damage the collection in a folder, and return the workspace of the next start."""
    workspace.stop()
    (folder / DATABASE).write_bytes(b"noise" * 1_000)
    model = workspace.model_path
    following = Workspace(model, settings.pca_path(model), gpu=False)
    following.open_library(folder.parent)
    return following


def test_a_damaged_collection_is_found_in_the_bin_with_its_photos_which_stay(
    workspace: Workspace, kept: str, collections: Path
) -> None:
    folder = originals(workspace, kept).parent
    before, workspace = workspace, ruined(workspace, folder)
    with pytest.raises(LookalikeError):
        before.shelf.searcher(kept).collection.listing.count()
    assert "Do not delete" in workspace.shelf.refused[kept]
    place = workspace.delete(kept)
    assert workspace.bin() == [(place, "kept")]
    empty_trash(collections, older_than=-2)
    assert workspace.bin() == [(place, "kept")]
    assert workspace.undo(place) == kept
    assert len(list((folder / ORIGINALS).rglob("*.png"))) == 6


def test_a_damaged_collection_is_mended_and_searched_again(workspace: Workspace, kept: str) -> None:
    folder = originals(workspace, kept).parent
    workspace = ruined(workspace, folder)
    assert workspace.shelf.damaged == {kept}
    workspace.mend(kept)
    assert (workspace.shelf.damaged, workspace.shelf.refused) == (set(), {})
    build(workspace, kept, folder / ORIGINALS)
    assert workspace.shelf.searcher(kept).collection.listing.count() == (6, 0)
    with pytest.raises(LookalikeError, match=r"not here any more"):
        workspace.mend(kept)


def test_a_damaged_collection_without_photos_leaves_the_bin_in_its_time(
    workspace: Workspace, wheel: Path, collections: Path
) -> None:
    key = workspace.create("wheel", wheel)
    place = workspace.delete(key)
    (discarded(collections)[0] / DATABASE).write_bytes(b"noise" * 1_000)
    assert workspace.bin() == [(place, "wheel")]
    empty_trash(collections, older_than=-2)
    assert workspace.bin() == []
    assert [path.name for path in collections.iterdir()] == [".trash"]


def test_a_folder_that_is_gone_gets_a_sentence_without_its_place(
    workspace: Workspace, wheel: Path
) -> None:
    key = workspace.create("wheel", wheel)
    wheel.rename(wheel.with_name("elsewhere"))
    problem = build(workspace, key, wheel).problem
    assert problem is not None
    assert "no folder wheel" in problem
    assert str(wheel.parent) not in problem


def test_two_apps_do_not_build_the_same_collection_at_once(
    workspace: Workspace, wheel: Path
) -> None:
    key = workspace.create("wheel", wheel)
    with (
        Collection(workspace.shelf.searcher(key).collection.folder) as other,
        other.building(),
    ):
        assert "already working on wheel" in (build(workspace, key, wheel).problem or "")
    assert build(workspace, key, wheel).problem is None


class Work:
    """Steps that wait until the test lets them go."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.gates = [threading.Event() for _ in range(total)]
        self.closed = False

    def __call__(self) -> Generator[Step, None, None]:
        try:
            yield Step(0, self.total, 0, 0)
            for i, gate in enumerate(self.gates):
                assert gate.wait(20)
                yield Step(i + 1, self.total, i + 1, 0)
        finally:
            self.closed = True


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with Collection.create(tmp_path / "c", "c", None, mean_colour()) as collection:
        yield collection


def test_cancelling_stops_after_the_batch_at_hand_and_is_remembered(
    collection: Collection,
) -> None:
    builders, work = Builders(), Work(3)
    builders.start("c", collection, work)
    work.gates[0].set()
    wait_for(lambda: builders.state("c").step.done == 1)  # type: ignore[union-attr]
    builders.cancel("c")
    assert builders.state("c").stopping  # type: ignore[union-attr]
    work.gates[1].set()
    wait_for(lambda: builders.state("c").finished)  # type: ignore[union-attr]
    state = builders.state("c")
    assert state is not None
    assert (state.cancelled, state.step.done, state.problem) == (True, 2, None)
    assert not state.stopping
    assert work.closed
    assert collection.unfinished
    again = Work(1)
    again.gates[0].set()
    builders.start("c", collection, again)
    wait_for(lambda: builders.state("c").finished)  # type: ignore[union-attr]
    assert not collection.unfinished


def test_what_comes_while_a_collection_is_built_is_built_after_it(collection: Collection) -> None:
    builders, first, passed_over, second = Builders(), Work(1), Work(1), Work(2)
    builders.start("a", collection, first)
    builders.start("a", collection, passed_over)
    builders.start("a", collection, second)  # finds what the one before would have found
    for gate in (*first.gates, *second.gates):
        gate.set()
    wait_for(lambda: builders.state("a").finished)  # type: ignore[union-attr]
    assert builders.state("a").step.done == 2  # type: ignore[union-attr]
    assert (first.closed, passed_over.closed, second.closed) == (True, False, True)
    assert not collection.unfinished
    again, never = Work(2), Work(1)
    builders.start("a", collection, again)
    builders.start("a", collection, never)
    wait_for(lambda: builders.state("a").step.total)  # type: ignore[union-attr]
    builders.cancel("a")
    again.gates[0].set()
    wait_for(lambda: builders.state("a").finished)  # type: ignore[union-attr]
    assert builders.state("a").cancelled  # type: ignore[union-attr]
    assert not never.closed
    assert collection.unfinished


def test_what_is_asked_for_right_after_stopping_is_built(collection: Collection) -> None:
    builders, stopped, given_up, work = Builders(), Work(2), Work(1), Work(1)
    builders.start("c", collection, stopped)
    wait_for(lambda: builders.state("c").step.total)  # type: ignore[union-attr]
    builders.start("c", collection, given_up)
    builders.cancel("c")
    builders.start("c", collection, work)
    for gate in (*stopped.gates, *work.gates):
        gate.set()
    wait_for(lambda: builders.state("c").finished)  # type: ignore[union-attr]
    assert (stopped.closed, given_up.closed, work.closed) == (True, False, True)
    assert not builders.state("c").cancelled  # type: ignore[union-attr]
    assert not collection.unfinished


def test_one_that_is_stopped_while_it_waits_can_be_gone_on_with(
    collection: Collection, tmp_path: Path
) -> None:
    builders, first = Builders(), Work(1)
    builders.start("a", collection, first)
    with Collection.create(tmp_path / "d", "d", None, mean_colour()) as other:
        builders.start("b", other, Work(1))
        assert other.unfinished
        builders.cancel("b")
        wait_for(lambda: builders.state("b").finished)  # type: ignore[union-attr]
        assert other.unfinished
        first.gates[0].set()
        builders.stop()


def test_one_is_built_after_the_other(collection: Collection, tmp_path: Path) -> None:
    builders, first, second = Builders(), Work(1), Work(1)
    builders.start("a", collection, first)
    with Collection.create(tmp_path / "d", "d", None, mean_colour()) as other:
        builders.start("b", other, second)
        wait_for(lambda: builders.state("a").step.total)  # type: ignore[union-attr]
        assert builders.state("b").waiting  # type: ignore[union-attr]
        builders.cancel("b")
        wait_for(lambda: builders.state("b").cancelled)  # type: ignore[union-attr]
        first.gates[0].set()
        wait_for(lambda: builders.state("a").finished)  # type: ignore[union-attr]
        builders.start("b", other, second)
        second.gates[0].set()
        wait_for(lambda: builders.state("b").finished)  # type: ignore[union-attr]
        assert builders.state("b").step.done == 1  # type: ignore[union-attr]
        builders.stop()


def test_a_visitor_does_not_wait_for_the_owners_collection(
    collection: Collection, tmp_path: Path
) -> None:
    builders, first, theirs = Builders(), Work(1), Work(1)
    with Collection.create(tmp_path / "other", "other", None, mean_colour()) as other:
        builders.start("first", collection, first)
        wait_for(lambda: builders.state("first").step.total)  # type: ignore[union-attr]
        builders.start("theirs", other, theirs, private=True)
        theirs.gates[0].set()
        wait_for(lambda: getattr(builders.state("theirs"), "finished", False))
        assert not builders.state("first").finished  # type: ignore[union-attr]
        first.gates[0].set()
        wait_for(lambda: getattr(builders.state("first"), "finished", False))


def test_of_visitors_the_one_that_has_had_least_is_next_after_each_batch(
    collection: Collection, tmp_path: Path
) -> None:
    builders, slow, quick = Builders(), Work(3), Work(1)
    quick.gates[0].set()
    with Collection.create(tmp_path / "other", "other", None, mean_colour()) as other:
        builders.start("slow", collection, slow, private=True)
        wait_for(lambda: builders.state("slow").step.total)  # type: ignore[union-attr]
        builders.start("quick", other, quick, private=True)
        wait_for(lambda: builders.state("quick").waiting)  # type: ignore[union-attr]
        slow.gates[0].set()
        wait_for(lambda: builders.state("quick").finished)  # type: ignore[union-attr]
        assert builders.state("slow").step.done == 1  # type: ignore[union-attr]
        for gate in slow.gates:
            gate.set()
        wait_for(lambda: builders.state("slow").finished)  # type: ignore[union-attr]
        assert builders.state("slow").step.done == 3  # type: ignore[union-attr]


def test_what_is_stopped_between_two_turns_stops_and_keeps_nobody_waiting(
    collection: Collection, tmp_path: Path
) -> None:
    builders, first, second = Builders(), Work(2), Work(1)
    with Collection.create(tmp_path / "other", "other", None, mean_colour()) as other:
        builders.start("first", collection, first, private=True)
        wait_for(lambda: builders.state("first").step.total)  # type: ignore[union-attr]
        builders.start("second", other, second, private=True)
        first.gates[0].set()
        wait_for(lambda: builders.state("second").step.total)  # type: ignore[union-attr]
        builders.cancel("first")
        wait_for(lambda: builders.state("first").cancelled)  # type: ignore[union-attr]
        second.gates[0].set()
        wait_for(lambda: builders.state("second").finished)  # type: ignore[union-attr]
        builders.start("first", collection, first, private=True)
        first.gates[1].set()
        wait_for(lambda: builders.state("first").step.done == 2)  # type: ignore[union-attr]
        builders.stop()


def test_what_is_forgotten_leaves_nothing_behind(collection: Collection) -> None:
    builders, work = Builders(), Work(1)
    work.gates[0].set()
    builders.start("one", collection, work)
    wait_for(lambda: getattr(builders.state("one"), "finished", False))
    builders.forget("one")
    assert builders.state("one") is None
    assert not builders._runs


def test_what_is_forgotten_while_it_is_built_says_nothing_of_the_next_one(
    collection: Collection, tmp_path: Path
) -> None:
    builders, forgotten, work = Builders(), Work(2), Work(1)
    builders.start("one", collection, forgotten)
    wait_for(lambda: builders.state("one").step.total)  # type: ignore[union-attr]
    forgetting = threading.Thread(target=builders.forget, args=("one",))
    forgetting.start()
    wait_for(lambda: builders.state("one") is None, 15)
    with Collection.create(tmp_path / "d", "d", None, mean_colour()) as other:
        builders.start("one", other, work)
        forgotten.gates[0].set()
        forgetting.join()
        wait_for(lambda: builders.state("one").step.total)  # type: ignore[union-attr]
        assert not builders.state("one").finished  # type: ignore[union-attr]
        work.gates[0].set()
        wait_for(lambda: builders.state("one").finished)  # type: ignore[union-attr]
        assert not builders.state("one").cancelled  # type: ignore[union-attr]


def broken(error: Exception) -> Generator[Step, None, None]:
    yield Step(0, 2, 0, 0)
    raise error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OverflowError("int too large"), "Something went wrong"),
        (OSError(errno.EHOSTDOWN, "Host is down", "/nas/photos"), "photos: Host is down. Check"),
    ],
    ids=["ours", "the disk's"],
)
def test_an_error_ends_what_is_built_and_what_came_meanwhile_is_built_after_it(
    collection: Collection,
    error: Exception,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    builders = Builders()
    builders.start("c", collection, lambda: broken(error))
    wait_for(lambda: builders.state("c").finished)  # type: ignore[union-attr]
    problem = builders.state("c").problem  # type: ignore[union-attr]
    assert problem is not None
    assert problem.startswith(sentence)
    assert ("OverflowError" in capsys.readouterr().err) == isinstance(error, OverflowError)
    assert collection.unfinished
    first, second = Work(1), Work(1)

    def fails() -> Generator[Step, None, None]:
        yield from first()
        raise error

    builders.start("c", collection, fails)
    builders.start("c", collection, second)
    for gate in (*first.gates, *second.gates):
        gate.set()
    wait_for(lambda: builders.state("c").finished)  # type: ignore[union-attr]
    assert second.closed
    assert builders.state("c").problem is None  # type: ignore[union-attr]
    assert not collection.unfinished


def test_a_new_picture_is_searchable_while_the_rest_is_read(
    workspace: Workspace, wheel: Path
) -> None:
    key = workspace.create("wheel", wheel)
    for number in range(40):
        by_hue(9 * number, (400, 300)).save(wheel / f"{number}.png")
    workspace.build(key, wheel, Bounds())
    searcher = workspace.shelf.searcher(key)
    wait_for(lambda: len(searcher.embeddings().ids) > 0)
    assert finished(workspace, key).step.done == 46
    assert len(searcher.embeddings().ids) == 46


def test_warming_up_reads_the_vectors_and_runs_the_network_before_anybody_asks(
    workspace: Workspace, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = workspace.create("wheel", wheel)
    build(workspace, key, wheel)
    shapes: list[tuple[int, ...]] = []
    describe = type(workspace.embedder).describe_pictures

    def note(self: Embedder, pictures: np.ndarray) -> Aspects:
        shapes.append(pictures.shape)
        return describe(self, pictures)

    monkeypatch.setattr(type(workspace.embedder), "describe_pictures", note)
    workspace.warm_up()
    assert len(shapes) == 1
    calibrated = workspace.shelf.searcher(key).calibration()
    monkeypatch.setattr("retrieval.search.calibrate", lambda _: pytest.fail("once more"))
    assert workspace.shelf.searcher(key).calibration() == calibrated

"""Which collections are served: in which order, to whom, and what comes and goes meanwhile."""

import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.indexing import index_folder
from retrieval.library import folder_of
from retrieval.schema import DATABASE, THUMBNAILS
from retrieval.workspace import Workspace
from tests.made import mean_colour, wait_for


def test_a_collection_that_another_program_makes_is_served_without_a_new_start(
    workspace: Workspace, wheel: Path, collections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)
    mine = workspace.create("mine")
    bare = collections / "begun"
    bare.mkdir()
    sqlite3.connect(bare / DATABASE).close()  # a program has just begun with it
    assert workspace.shelf.keys() == [mine]
    with Collection.create(collections / "theirs", "Theirs", wheel, workspace.embedder) as theirs:
        list(index_folder(theirs, wheel, workspace.embedder, find_changes(theirs, wheel)))
    assert workspace.shelf.keys() == [mine, "theirs"]
    assert workspace.shelf.names() == {mine: "mine", "theirs": "Theirs"}
    assert workspace.shelf.searcher("theirs").collection.listing.count() == (6, 0)
    assert workspace.shelf.refused == {}
    workspace.delete("theirs")
    assert workspace.shelf.keys() == [mine]


def test_what_another_program_makes_with_another_model_is_told(
    workspace: Workspace, wheel: Path, collections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)
    assert workspace.shelf.keys() == []
    Collection.create(collections / "theirs", "Theirs", wheel, mean_colour()).close()
    (collections / "ruin").mkdir()
    (collections / "ruin" / DATABASE).write_bytes(b"no database at all" * 99)
    assert workspace.shelf.keys() == []
    assert set(workspace.shelf.refused) == {"theirs", "ruin"}
    assert workspace.shelf.damaged == {"ruin"}


def test_what_is_refused_for_a_reason_that_passes_is_served_without_a_new_start(
    workspace: Workspace, collections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)
    folder = collections / "held"
    Collection.create(folder, "Held", None, workspace.embedder).close()
    (folder / THUMBNAILS).rename(folder / "away")
    (folder / THUMBNAILS).mkdir()  # which cannot be opened
    assert workspace.shelf.keys() == []
    assert (set(workspace.shelf.refused), workspace.shelf.damaged) == ({"held"}, set())
    (folder / THUMBNAILS).rmdir()
    (folder / "away").rename(folder / THUMBNAILS)
    wait_for(lambda: workspace.shelf.keys() == ["held"])
    assert workspace.shelf.refused == {}


def test_while_one_is_deleted_slowly_the_others_go_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)
    keys = [workspace.create("one"), workspace.create("two")]
    begun, go_on = threading.Event(), threading.Event()
    close = Collection.close

    def slowly(self: Collection) -> None:
        begun.set()
        assert go_on.wait(20)
        close(self)

    monkeypatch.setattr(Collection, "close", slowly)
    deleting = threading.Thread(target=workspace.delete, args=(keys[0],))
    deleting.start()
    assert begun.wait(20)
    asked = time.monotonic()
    assert workspace.shelf.keys() == [keys[1]]
    made = workspace.create("three")
    assert time.monotonic() - asked < 15
    go_on.set()
    deleting.join()
    monkeypatch.setattr(Collection, "close", close)
    assert workspace.shelf.keys() == [keys[1], made]


def test_the_library_is_not_looked_through_at_each_click(
    workspace: Workspace, wheel: Path, collections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 60.0)
    assert workspace.shelf.keys() == []
    Collection.create(collections / "theirs", "Theirs", wheel, workspace.embedder).close()
    assert workspace.shelf.keys() == []


def test_collections_that_come_while_others_look_are_served_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)
    opened: list[str] = []
    plain = Collection.__init__

    def counted(self: Collection, folder: Path, read_only: bool = False) -> None:
        opened.append(folder.name)
        plain(self, folder, read_only)

    monkeypatch.setattr(Collection, "__init__", counted)
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            workspace.shelf.keys()
            time.sleep(0.001)

    looking = [threading.Thread(target=look) for _ in range(3)]
    for thread in looking:
        thread.start()
    keys = [workspace.create(f"number {i}") for i in range(20)]
    done.set()
    for thread in looking:
        thread.join()
    assert sorted(opened) == sorted(keys)


def test_whoever_only_asks_waits_for_none_that_is_being_made_nor_meets_it(
    workspace: Workspace, collections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)
    shelf, embedder, key = workspace.shelf, workspace.embedder, workspace.create("one")
    made, go_on = threading.Event(), threading.Event()

    def make() -> Collection:
        collection = Collection.create(collections / "two", "two", None, embedder)
        made.set()
        assert go_on.wait(20)
        return collection

    coming = threading.Thread(target=shelf.serve_new, args=(make,))
    coming.start()
    assert made.wait(20)
    told: list[dict[str, str]] = []
    asking = threading.Thread(target=lambda: told.append(shelf.names()))
    asking.start()
    asking.join(10)
    assert told == [{key: "one"}]
    go_on.set()
    coming.join()
    assert shelf.names() == {key: "one", "two": "two"}


def test_collections_stand_in_one_order_whatever_is_started_anew(
    workspace: Workspace, collections: Path, tiny_files: Path, wheel: Path
) -> None:
    shipped = Collection.create(wheel / "shipped", "Starter", None, workspace.embedder)
    shipped.close()

    def serve_shipped(workspace: Workspace) -> None:
        workspace.shelf.serve(Collection(wheel / "shipped", read_only=True), key="@shipped")

    serve_shipped(workspace)
    made = [workspace.create(name) for name in ("zoo", "album", "Lake")]
    assert workspace.shelf.keys() == [*made, "@shipped"]
    workspace.undo(workspace.delete("album"))
    assert workspace.shelf.keys() == [*made, "@shipped"]
    workspace.stop()
    again = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    again.shelf.serve(Collection(collections / "Lake"), first=True)
    again.open_library(collections)
    serve_shipped(again)
    assert again.shelf.keys() == ["Lake", "zoo", "album", "@shipped"]
    again.stop()


def test_the_shipped_one_is_hidden_as_long_as_there_is_another_also_over_a_start(
    workspace: Workspace, collections: Path, tiny_files: Path, wheel: Path
) -> None:
    Collection.create(wheel / "shipped", "Starter", None, workspace.embedder).close()

    def serve_shipped(workspace: Workspace) -> None:
        workspace.shelf.serve(Collection(wheel / "shipped", read_only=True), key="@shipped")

    serve_shipped(workspace)
    workspace.shelf.hide_shipped(True)
    assert (workspace.shelf.keys(), workspace.shelf.hideable, workspace.shelf.hidden) == (
        ["@shipped"],
        "",
        "",
    )
    album = workspace.create("album")
    assert (workspace.shelf.keys(), workspace.shelf.hideable) == ([album], "@shipped")
    assert workspace.shelf.hidden == "Starter"
    with pytest.raises(LookalikeError):
        workspace.shelf.searcher("@shipped")
    again = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    again.open_library(collections)
    serve_shipped(again)
    assert again.shelf.keys() == [album]
    again.shelf.hide_shipped(False)
    assert again.shelf.keys() == [album, "@shipped"]
    again.stop()
    place = workspace.delete(album)
    assert workspace.shelf.keys() == ["@shipped"]
    workspace.undo(place)
    assert workspace.shelf.keys()[0] == album


def test_a_collection_of_another_model_or_in_ruins_is_told_and_the_rest_served(
    workspace: Workspace, collections: Path, tmp_path: Path
) -> None:
    Collection.create(folder_of(collections, "other"), "other", None, mean_colour()).close()
    (collections / "ruins").mkdir()
    (collections / "ruins" / "collection.sqlite").write_bytes(b"noise" * 1_000)
    (collections / "ruins" / "thumbnails.sqlite").write_bytes(b"")
    key = workspace.create("good")
    workspace.open_library(collections)
    assert workspace.shelf.keys() == [key]
    assert "another model" in workspace.shelf.refused["other"]
    assert "is damaged" in workspace.shelf.refused["ruins"]
    workspace.delete("ruins")
    assert "ruins" not in workspace.shelf.refused


def test_private_collections_are_seen_and_changed_by_their_visitor_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "v-1"
    key = workspace.shelf.serve(Collection.create(folder, "mine", None, workspace.embedder), "me")
    public = workspace.create("public")
    assert workspace.shelf.keys("me") == [key, public]
    assert workspace.shelf.keys("you") == workspace.shelf.keys() == [public]
    for visitor in ("you", ""):
        with pytest.raises(LookalikeError, match=r"not here any more"):
            workspace.shelf.searcher(key, visitor)
        assert not workspace.shelf.may_edit(key, visitor, owner=True)
    assert workspace.shelf.may_edit(key, "me", owner=False)
    assert workspace.shelf.may_edit(public, "", owner=True)
    assert not workspace.shelf.may_edit(public, "me", owner=False)


def test_a_collection_is_not_hidden_by_the_shipped_one(
    workspace: Workspace, wheel: Path, tmp_path: Path
) -> None:
    embedder = workspace.embedder
    with Collection.create(tmp_path / "collection", "shipped", None, embedder) as shipped:
        key = workspace.create("collection")
        assert workspace.shelf.serve(shipped, key="@shipped") != key
        assert workspace.shelf.searcher(key).collection.name == "collection"
        workspace.delete(key)


def test_what_cannot_be_moved_to_the_bin_is_still_there(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(source: Path, target: Path) -> None:
        raise PermissionError(13, "used by another process")

    key = workspace.create("trip")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", held)
        with pytest.raises(LookalikeError):
            workspace.delete(key)
    assert workspace.shelf.searcher(key).collection.listing.count() == (0, 0)
    workspace.delete(key)
    with pytest.raises(LookalikeError, match=r"not here any more"):
        workspace.shelf.searcher(key)

"""Collections that are refused, or damaged while the app runs: mended, deleted and brought back.

Files are as Windows has them: what the app itself holds open, nobody can move.
"""

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.checking import Finding, check_collection
from retrieval.collection import Collection
from retrieval.database import DamagedError
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import Bounds, index_folder
from retrieval.records import Entry
from retrieval.schema import DATABASE, ORIGINALS, THUMBNAILS
from retrieval.trash import discard
from retrieval.workspace import Workspace
from tests.held import hold_open_files
from tests.made import by_hue


@pytest.fixture
def workspace(tiny_files: Path) -> Iterator[Workspace]:
    """A workspace without a library yet."""
    workspace = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    yield workspace
    workspace.stop()


def index(collection: Collection, embedder: Embedder) -> None:
    root = collection.root
    assert root is not None
    for _ in index_folder(collection, root, embedder, find_changes(collection, root)):
        pass


@pytest.fixture
def kept(tiny_files: Path, collections: Path, wheel: Path) -> Path:
    """The folder of a collection that holds the only copies of its photos."""
    folder = collections / "kept"
    embedder = open_embedder(tiny_files, settings.pca_path(tiny_files), gpu=False)
    with Collection.create(folder, "Kept", folder / ORIGINALS, embedder) as collection:
        wheel.rename(folder / ORIGINALS)
        index(collection, embedder)
    return folder


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def lose_a_fact(folder: Path) -> None:
    execute(folder / DATABASE, "DELETE FROM facts WHERE key = 'fingerprint'")


def lose_a_table(folder: Path) -> None:
    execute(folder / DATABASE, "DROP TABLE facts")


def come_from_later(folder: Path) -> None:
    execute(folder / DATABASE, "UPDATE facts SET value = '99' WHERE key = 'format_version'")


def be_of_another_model(folder: Path) -> None:
    execute(folder / DATABASE, "UPDATE facts SET value = 'other' WHERE key = 'fingerprint'")


def spoil_the_thumbnails(folder: Path) -> None:
    (folder / THUMBNAILS).write_bytes(b"noise" * 1_000)


@pytest.mark.parametrize(
    "harm",
    [lose_a_fact, lose_a_table, come_from_later, be_of_another_model, spoil_the_thumbnails],
    ids=lambda harm: harm.__name__,
)
def test_what_is_refused_is_deleted_and_brought_back_as_it_is_and_mended_where_it_is_damaged(
    workspace: Workspace,
    kept: Path,
    harm: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harm(kept)
    workspace.open_library(kept.parent)
    assert workspace.shelf.keys() == []
    hold_open_files(monkeypatch)
    place = workspace.delete("kept")
    assert [found for found, _ in workspace.bin()] == [place]
    assert workspace.undo(place) == "kept"
    assert workspace.shelf.refused.keys() == {"kept"}
    if harm in (come_from_later, be_of_another_model):
        assert workspace.shelf.damaged == set()
        return
    assert workspace.shelf.damaged == {"kept"}
    workspace.mend("kept")
    assert workspace.shelf.refused == {}
    collection = workspace.shelf.searcher("kept").collection
    index(collection, workspace.embedder)
    assert collection.listing.count() == (6, 0)


@pytest.fixture
def served(workspace: Workspace, kept: Path) -> Collection:
    """The same, as the workspace serves it."""
    workspace.open_library(kept.parent)
    return workspace.shelf.searcher("kept").collection


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE contents SET embedding = x'00' WHERE id = 1",
        "UPDATE contents SET embedding = x'0000c07f0000c07f' WHERE id = 1",
        "UPDATE contents SET embedding = x'ffff7f7fffff7f7f' WHERE id = 1",
        "DELETE FROM contents WHERE id = 1",
    ],
    ids=["short", "no numbers", "torn", "no content"],
)
def test_damage_that_is_met_while_it_is_served_can_be_mended_then(
    workspace: Workspace,
    served: Collection,
    kept: Path,
    harm: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execute(kept / DATABASE, harm)
    workspace.shelf.withdraw_damaged()
    assert workspace.shelf.keys() == ["kept"]  # nobody has met it
    with pytest.raises(DamagedError):
        served.embeddings()
    workspace.shelf.withdraw_damaged()
    assert (workspace.shelf.keys(), workspace.shelf.damaged) == ([], {"kept"})
    assert "Do not delete its folder" in workspace.shelf.refused["kept"]
    hold_open_files(monkeypatch)
    workspace.mend("kept")
    assert (workspace.shelf.keys(), workspace.shelf.refused) == (["kept"], {})
    again = workspace.shelf.searcher("kept").collection
    index(again, workspace.embedder)
    assert len(again.embeddings().ids) == 6


@pytest.mark.parametrize("value", ["'abc'", "x'00'"])
def test_a_number_that_is_none_is_damage_when_pictures_are_listed(
    workspace: Workspace, kept: Path, value: str
) -> None:
    execute(kept / DATABASE, f"UPDATE pictures SET content = {value} WHERE id = 2")
    workspace.open_library(kept.parent)
    with pytest.raises(DamagedError):
        workspace.shelf.searcher("kept").collection.listing.sample(4)
    workspace.shelf.withdraw_damaged()
    assert workspace.shelf.damaged == {"kept"}


@pytest.mark.parametrize(
    "harm", ["DELETE FROM contents WHERE id = 1", "DROP TABLE facts"], ids=["a row", "a table"]
)
def test_what_a_command_mends_while_the_app_runs_is_served_again(
    workspace: Workspace,
    served: Collection,
    kept: Path,
    harm: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)
    execute(kept / DATABASE, harm)
    with pytest.raises(DamagedError):
        served.embeddings()
    workspace.shelf.withdraw_damaged()
    opened: list[Path] = []
    plain = Collection.__init__

    def counted(self: Collection, folder: Path, read_only: bool = False) -> None:
        opened.append(folder)
        plain(self, folder, read_only)

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "__init__", counted)
        for _ in range(3):
            assert (workspace.shelf.keys(), workspace.shelf.damaged, opened) == ([], {"kept"}, [])
    check_collection(kept, repair=True, embedder=lambda: workspace.embedder)
    assert (workspace.shelf.keys(), workspace.shelf.refused) == (["kept"], {})


def test_what_is_refused_and_gone_is_forgotten(workspace: Workspace, kept: Path) -> None:
    spoil_the_thumbnails(kept)
    workspace.open_library(kept.parent)
    assert workspace.shelf.damaged == {"kept"}
    shutil.rmtree(kept)
    assert (workspace.shelf.keys(), workspace.shelf.refused) == ([], {})
    with pytest.raises(LookalikeError, match=r"not here any more"):
        workspace.delete("kept")


def test_a_page_that_was_not_looked_at_since_can_have_it_mended(
    workspace: Workspace, served: Collection, kept: Path
) -> None:
    execute(kept / DATABASE, "DELETE FROM facts WHERE key = 'root'")
    with pytest.raises(DamagedError):
        _ = served.root
    workspace.mend("kept")
    assert workspace.shelf.searcher("kept").collection.keeps_originals


def test_what_a_visitor_keeps_is_left_to_its_end(
    workspace: Workspace, kept: Path, tmp_path: Path
) -> None:
    workspace.open_library(kept.parent)
    theirs = Collection.create(tmp_path / "v-1", "theirs", None, workspace.embedder)
    key = workspace.shelf.serve(theirs, "me")
    execute(theirs.folder / DATABASE, "DROP TABLE pictures")
    with pytest.raises(DamagedError):
        theirs.listing.count()
    workspace.shelf.withdraw_damaged()
    assert key in workspace.shelf.keys("me")


def test_while_one_is_mended_it_is_neither_mended_nor_deleted(
    workspace: Workspace, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_the_thumbnails(kept)
    workspace.open_library(kept.parent)
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)

    def while_mended(*arguments: object, **named: object) -> list[Finding]:
        for act in (workspace.mend, workspace.delete):
            with pytest.raises(LookalikeError, match=r"already working on kept\. Wait until"):
                act("kept")
        (kept / THUMBNAILS).touch()  # as if it were whole already
        assert workspace.shelf.keys() == []
        return check_collection(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("retrieval.workspace.check_collection", while_mended)
    workspace.mend("kept")
    assert workspace.shelf.keys() == ["kept"]
    workspace.delete("kept")
    assert (workspace.shelf.keys(), workspace.shelf.refused) == ([], {})


def test_a_folder_can_be_searched_beside_a_collection_that_is_damaged(
    workspace: Workspace, served: Collection, kept: Path, tmp_path: Path
) -> None:
    execute(kept / DATABASE, "DELETE FROM facts WHERE key = 'root'")
    assert workspace.create("photos", tmp_path) == "photos"


@pytest.mark.skipif(os.name == "nt", reason="Windows moves no file that is open.")
@pytest.mark.parametrize("file", [DATABASE, THUMBNAILS])
def test_nothing_is_written_to_what_was_set_aside_meanwhile(
    workspace: Workspace, served: Collection, kept: Path, file: str
) -> None:
    table = "contents" if file == DATABASE else "thumbnails"
    execute(kept / file, f"ALTER TABLE {table} RENAME TO lost")
    assert any(finding.repaired for finding in check_collection(kept, repair=True))
    with pytest.raises(LookalikeError, match=r"Reload the page, or try again"):
        workspace.rename("kept", "Lost")
    with pytest.raises(LookalikeError, match=r"Reload the page, or try again"):
        served.exclude(["warm/red.png"])
    with Collection(kept) as collection:
        assert (collection.name, collection.excluded.paths()) == ("Kept", set())
        collection.rename("Kept on")
        assert collection.name == "Kept on"


def test_a_disk_that_does_not_answer_for_a_moment_ends_nothing(
    workspace: Workspace, served: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)
    plain = os.stat

    def fail(path: Path, *given: object, **named: object) -> os.stat_result:
        if Path(path).name in (DATABASE, THUMBNAILS):
            raise OSError(errno.EIO, "Input/output error")
        return plain(path, *given, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", fail)
        assert served.store.is_in_place
    assert workspace.shelf.searcher("kept").collection is served


def wait_until_built(workspace: Workspace, key: str) -> None:
    end = time.monotonic() + 60
    while (state := workspace.building(key)) is not None and not state.finished:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(os.name == "nt", reason="Windows moves no file that is open.")
def test_what_another_program_deleted_and_made_anew_is_taken_for_no_other(
    workspace: Workspace, served: Collection, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows the one before until it looks around."""
    discard(kept)
    with Collection.create(kept, "Another", None, workspace.embedder) as another:
        another.write([Entry("new.png", 1, 1, "", None, "?")], [])
    assert workspace.shelf.searcher("kept").collection is served
    with pytest.raises(LookalikeError, match="not here any more"):
        workspace.delete("kept")
    assert kept.is_dir()
    monkeypatch.setattr("retrieval.shelf.LOOK_SECONDS", 0.0)
    assert workspace.shelf.names() == {"kept": "Another"}
    workspace.build("kept", kept, Bounds())
    wait_until_built(workspace, "kept")
    assert workspace.building("kept") is not None
    discard(kept)
    with Collection.create(kept, "A third", None, workspace.embedder):
        pass
    assert workspace.shelf.names() == {"kept": "A third"}
    assert workspace.building("kept") is None
    discard(kept)
    assert workspace.shelf.keys() == []


def test_what_is_done_to_a_collection_that_has_ended_is_refused_in_a_sentence(
    workspace: Workspace, served: Collection, kept: Path, tmp_path: Path
) -> None:
    theirs = Collection.create(tmp_path / "v-1", "theirs", None, workspace.embedder)
    private = workspace.shelf.serve(theirs, "me")
    for key in ("kept", private):
        workspace.shelf.require(key)
        workspace.rename(key, "Still here")
        workspace.delete(key)
        acts: list[Callable[[], object]] = [
            lambda key=key: workspace.shelf.require(key),
            lambda key=key: workspace.rename(key, "Gone"),
            lambda key=key: workspace.look(key),
            lambda key=key: workspace.take_out(key, [1]),
            lambda key=key: workspace.let_in(key, ["warm/red.png"]),
            lambda key=key: workspace.build(key, kept, Bounds()),
        ]
        for act in acts:
            with pytest.raises(LookalikeError, match=r"not here any more. Reload"):
                act()


def test_one_that_is_refused_has_not_ended(workspace: Workspace, kept: Path) -> None:
    lose_a_table(kept)
    workspace.open_library(kept.parent)
    workspace.shelf.require("kept")


def test_a_picture_that_is_taken_out_while_it_waits_to_be_read_again_stays_out(
    workspace: Workspace, served: Collection, kept: Path
) -> None:
    for path in (kept / ORIGINALS / "warm").iterdir():
        by_hue(300).save(path)
    changes = find_changes(served, kept / ORIGINALS)
    assert len(changes.to_read) == 3
    steps = index_folder(served, kept / ORIGINALS, workspace.embedder, changes, batch=1)
    next(steps)  # begun
    (red,) = (picture.id for picture in served.listing.pictures() if picture.path == "warm/red.png")
    workspace.take_out("kept", [red])
    for _ in steps:
        pass
    assert (served.listing.count(), served.listing.problems()) == ((5, 0), [])
    workspace.let_in("kept", ["warm/red.png"])
    index(served, workspace.embedder)
    assert served.listing.count() == (6, 0)

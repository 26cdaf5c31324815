"""Collections that are refused, or damaged while the app runs: mended, deleted and brought back.

Files are as Windows has them: what the app itself holds open, nobody can move.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder, open_embedder
from retrieval.indexing import index_folder
from retrieval.schema import DATABASE, ORIGINALS, THUMBNAILS
from retrieval.workspace import Workspace
from tests.held import hold_open_files


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
    assert workspace.keys() == []
    hold_open_files(monkeypatch)
    place = workspace.delete("kept")
    assert [found for found, _ in workspace.bin()] == [place]
    assert workspace.undo(place) == "kept"
    assert workspace.refused.keys() == {"kept"}
    if harm in (come_from_later, be_of_another_model):
        assert workspace.damaged == set()
        return
    assert workspace.damaged == {"kept"}
    workspace.mend("kept")
    assert workspace.refused == {}
    collection = workspace.searcher("kept").collection
    index(collection, workspace.embedder)
    assert collection.count() == (6, 0)

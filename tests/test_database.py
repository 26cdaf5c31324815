"""SQLite's addresses of files, and its errors in sentences that people can act on."""

import sqlite3
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest

from retrieval.collection import Collection
from retrieval.database import ENDS, DamagedError, address, connection, explained, set_aside
from retrieval.errors import LookalikeError
from retrieval.schema import DATABASE, ORIGINALS, THUMBNAILS
from tests.made import mean_colour


def test_thumbnails_lie_in_small_pages_and_rows_in_large_ones(tmp_path: Path) -> None:
    for name, size in ((DATABASE, 16384), (THUMBNAILS, 4096), (f".{THUMBNAILS}.new", 4096)):
        with connection(tmp_path / name) as database:
            database.execute("CREATE TABLE some (thing)")
            assert database.execute("PRAGMA page_size").fetchone() == (size,)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PureWindowsPath(r"C:\pictures\50% off?"), "file:///C:/pictures/50%25%20off%3F"),
        (PureWindowsPath(r"\\nas\share\x"), "file:////nas/share/x"),
        (PurePosixPath("/pictures/x"), "file:///pictures/x"),
        (PurePosixPath("/pictures/é #1"), "file:///pictures/%C3%A9%20%231"),
    ],
    ids=["drive", "network drive", "posix", "letters"],
)
def test_the_address_of_a_file_names_no_host(path: PurePath, expected: str) -> None:
    assert address(path) == expected


def failing(code: int, reason: str = "reason") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(reason)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (failing(sqlite3.SQLITE_FULL), "The disk is full"),
        (failing(sqlite3.SQLITE_IOERR_READ), "does not answer"),
        (failing(sqlite3.SQLITE_BUSY_SNAPSHOT), "Another program is using"),
        (failing(sqlite3.SQLITE_PROTOCOL, "locking protocol"), "network drives .* LOOKALIKE_HOME"),
        (failing(sqlite3.SQLITE_READONLY_DIRECTORY), "may not be changed here"),
        (failing(sqlite3.SQLITE_ERROR, "invalid uri authority: nas"), "invalid uri authority"),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), "just been closed"),
        (MemoryError(), "not enough memory"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_whole_database_is_never_said_to_be_damaged(
    tmp_path: Path, error: Exception, sentence: str
) -> None:
    with pytest.raises(LookalikeError, match=sentence) as caught, explained(tmp_path):
        raise error
    assert not isinstance(caught.value, DamagedError)


@pytest.mark.parametrize(
    "error",
    [
        failing(sqlite3.SQLITE_NOTADB),
        failing(sqlite3.SQLITE_CORRUPT_INDEX),
        failing(sqlite3.SQLITE_ERROR, "no such table: facts"),
        sqlite3.OperationalError("Could not decode to UTF-8 column 'path'"),
        UnicodeDecodeError("utf-8", b"malformed (pic\xf4ures)", 14, 15, "invalid byte"),
    ],
    ids=["no database", "corrupt", "no table", "no text", "a name that is no text"],
)
def test_who_is_told_of_damage_is_told_to_keep_the_photos(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(DamagedError, match=r"untouched.*check --repair"), explained(tmp_path):
        raise error
    (tmp_path / ORIGINALS).mkdir()
    with pytest.raises(DamagedError, match=r"Do not delete.*check --repair"), explained(tmp_path):
        raise error


def test_a_mistake_of_ours_keeps_its_traceback(tmp_path: Path) -> None:
    with (
        pytest.raises(sqlite3.ProgrammingError),
        explained(tmp_path),
        sqlite3.connect(":memory:") as database,
    ):
        database.execute("SELECT ?", ())


def test_who_comes_after_the_end_of_a_collection_is_not_told_of_damage(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c", "c", None, mean_colour())
    collection.close()
    with pytest.raises(LookalikeError, match=r"just been closed"):
        collection.listing.count()


def test_what_is_set_aside_takes_what_belongs_to_it_along(tmp_path: Path) -> None:
    for end in ENDS:
        (tmp_path / f"{DATABASE}{end}").touch()
    assert set_aside(tmp_path / DATABASE) == f"{DATABASE}.broken"
    assert {path.name for path in tmp_path.iterdir()} == {f"{DATABASE}.broken{end}" for end in ENDS}

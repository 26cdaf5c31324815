"""SQLite as the collections use it: safe against kills, and its errors in sentences."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path, PurePath
from urllib.parse import quote

from retrieval.errors import LookalikeError, explain_os_error
from retrieval.open_files import are_some_left
from retrieval.schema import KEPT, THUMBNAILS
from retrieval.settings import PYTHON

BUSY_SECONDS = 10
ENDS = ("", "-wal", "-shm", "-journal")  # of the names of what a database may consist of
# What SQLite says of a damaged file may quote a name in it that is no text any more, which Python
# fails to decode.
FAILURES = (sqlite3.Error, UnicodeDecodeError)


class DamagedError(LookalikeError):
    """A file of a collection is no whole database any more."""


class UnwritableError(LookalikeError):
    """A collection lies where this program may write nothing."""


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """Open a database, making it where there is none; any thread may use what is returned.

    Args:
        read_only: take it for one that nobody changes, and write nothing, not even beside it.

    Raises:
        DamagedError: when the file is no database.
        UnwritableError: when nothing may be written there.
        LookalikeError: when it cannot be opened.
    """
    with explained(path.parent):
        if read_only:
            uri = f"{address(path.absolute())}?immutable=1"
            return sqlite3.connect(uri, uri=True, check_same_thread=False)
        database = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
        try:
            database.execute(f"PRAGMA page_size = {page_bytes(path)}")
            # Rows that a replacement pushes out are noted like deleted ones (`retrieval.outbox`).
            database.execute("PRAGMA recursive_triggers = ON")
            # Readers go on while one writes; a kill loses nothing that was committed.
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            # The system's folder for temporary files may be memory, and be full while the disk is
            # not. What one statement changes or sorts is held instead, so none is to do all.
            database.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            database.close()  # or Windows would let nobody set the file aside
            raise
        return database


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a database that is there, to be read only; also where nothing may be written.

    Raises:
        DamagedError, LookalikeError: as `connect` does.
    """
    try:
        return connect(path)
    except UnwritableError:
        require_settled(path)
        return connect(path, read_only=True)


def require_settled(path: Path) -> None:
    """Refuse to read a database as it lies there, where the last of it waits beside it.

    Raises:
        UnwritableError: when a program that wrote it was killed, or has it open.
    """
    with suppress(FileNotFoundError):
        if beside(path, "-wal").stat().st_size:
            raise UnwritableError(
                f"The collection {path.parent.name} may not be changed here, and the program that "
                "was at it last did not close it, so it cannot be read whole. Copy its folder to "
                "another disk, or let this program write where it lies."
            )


def page_bytes(path: Path) -> int:
    """Return how many bytes a page of a new database has.

    A picture's row fits a page of 4 KB once and leaves half of it empty; with four times that,
    reading all vectors takes half as long (100,000: 0.8 s to 0.4). Thumbnails are read one by one,
    and each would leave half of its second page empty.
    """
    return 4096 if THUMBNAILS in path.name else 16384


def address(path: PurePath) -> str:
    """Return the URI by which SQLite opens an absolute path, such as file:///C:/pictures/x.

    A drive of Windows stands where the path of a URI does, and so does the computer of a network
    drive (file:////nas/share/x): what would stand for a host, SQLite refuses.
    """
    place = path.as_posix()
    return "file://" + quote(
        os.fsencode(place if place.startswith("/") else f"/{place}"), safe="/:"
    )


@contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database and close it in the end, which SQLite's own `with` does not do."""
    database = connect(path)
    try:
        yield database
    finally:
        database.close()


def is_bare(path: Path) -> bool:
    """Whether a database has no table: one that a kill has left while it was made."""
    # Read only, or it would get into the way of who makes it. But what a kill has left half written
    # is no database until it is taken back, which SQLite does where it may write and nobody else
    # is at it.
    mode = "rw" if beside(path, "-journal").exists() else "ro"
    uri = f"{address(path.absolute())}?mode={mode}"
    with suppress(*FAILURES), closing(sqlite3.connect(uri, uri=True)) as database:
        return not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return False


def beside(path: Path, end: str) -> Path:
    """Return where SQLite keeps what belongs to a database, by one of `ENDS`."""
    return path.with_name(path.name + end)


def set_aside(path: Path) -> str:
    """Give a database that is broken another name beside it, and return that.

    Raises:
        LookalikeError: when another program holds it.
    """
    name, number = f"{path.name}.broken", 2
    while os.path.lexists(path.with_name(name)):
        name, number = f"{path.name}.broken-{number}", number + 1
    try:
        for end in ENDS:  # or the next database would be given the changes of this
            with suppress(FileNotFoundError):
                os.rename(beside(path, end), path.with_name(name + end))
    except PermissionError as error:
        raise LookalikeError(
            f"{path.name} of {path.parent.name} is used by another program. End the app, and try "
            "again."
        ) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    return name


def made_anew(path: Path) -> Path:
    """Return where a database is made that is to take the place of a broken one."""
    return path.with_name(f".{path.name}.new")


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn SQLite's errors about the collection in a folder into sentences.

    Raises:
        DamagedError: when a file is no database, or not all of one.
        UnwritableError: when nothing may be written there.
        LookalikeError: for everything else that people can mend.
    """
    try:
        yield
    except sqlite3.ProgrammingError as error:
        if "closed" not in str(error):
            raise
        raise LookalikeError(
            "This collection has just been closed. Reload the page, or try again."
        ) from error
    except UnicodeDecodeError as error:
        raise damaged(folder) from error
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            raise damaged(folder) from error
        kind = UnwritableError if _is_unwritable(error) else LookalikeError
        raise kind(_sentence(error, folder.name)) from error
    except MemoryError as error:
        raise LookalikeError(
            f"There is not enough memory for the collection {folder.name}. Close other programs "
            "and try again."
        ) from error


def damaged(folder: Path) -> DamagedError:
    """Return what to raise when the collection in a folder is damaged; its photos are safe."""
    if kept := [name for name in KEPT if os.path.isdir(folder / name)]:
        photos = (
            ". Do not delete its folder, where the photos lie that it was given, in "
            f"{' and '.join(kept)}"
        )
    else:
        photos = "; photos that are searched in their own folder are untouched"
    return DamagedError(
        f"The collection {folder.name} is damaged{photos}. Mend it under “My pictures”, or with: "
        f"{PYTHON} -m retrieval check --repair --name {folder.name}"
    )


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    reason = str(error)
    match _code(error):
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return True
        case sqlite3.SQLITE_ERROR:
            return reason.startswith(("no such table", "no such column", "unsupported file"))
    return "decode" in reason  # a text of bytes that are none, which Python notices


def _is_unwritable(error: sqlite3.DatabaseError) -> bool:
    refusals = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
    return _code(error) in refusals and are_some_left()


def _sentence(error: sqlite3.DatabaseError, name: str) -> str:
    if _is_unwritable(error):
        return f"The collection {name} may not be changed here. Check its permissions."
    match _code(error):
        case sqlite3.SQLITE_FULL:
            return "The disk is full. Free some space and try again; what was finished is kept."
        case sqlite3.SQLITE_IOERR:
            return (
                f"The disk is full or does not answer, so the collection {name} cannot be used. "
                "Free some space, or connect the disk, and try again; what was finished is kept."
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"Another program is using the collection {name}. Try again in a moment."
        case sqlite3.SQLITE_CANTOPEN:
            return (
                f"The collection {name} cannot be opened: this system lets a program have no more "
                "files open at once. Let it have more (by “ulimit -n” in a terminal), or delete "
                "collections that you do not need."
            )
        case sqlite3.SQLITE_PROTOCOL | sqlite3.SQLITE_NOLFS:
            return (
                f"The collection {name} lies on a disk that databases cannot work on, as many "
                "network drives are. Move it to a disk of this computer, and say where by the "
                "environment variable LOOKALIKE_HOME."
            )
    return (
        f"The collection {name} cannot be used ({error}). Try again, and check it with: "
        f"{PYTHON} -m retrieval check --name {name}"
    )


def _code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's number of an error without its details; 0 for one that is Python's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF

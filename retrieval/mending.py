"""Mending the files of a collection: what is no whole database is set aside, and made anew of what
can still be read of it.

Nothing is deleted. The new file is made beside the old one and takes its place when it is whole.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from retrieval.collection import Collection, model_facts
from retrieval.database import (
    FAILURES,
    DamagedError,
    address,
    connect,
    connection,
    explained,
    made_anew,
    set_aside,
)
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, PictureError, explain_os_error
from retrieval.exact import ZEROS
from retrieval.files import replace_file
from retrieval.indexing import Bounds, compute, decode
from retrieval.model import ModelCard
from retrieval.outbox import Outbox
from retrieval.records import Entry
from retrieval.schema import (
    COLUMNS,
    DATABASE,
    EXCLUDED_FILES,
    FORMAT_VERSION,
    KEPT,
    ORIGINALS,
    THUMBNAILS,
    columns_of,
    lay_out,
    lay_out_thumbnails,
)
from retrieval.thumbnails import read_photo

MODEL_FACTS = ("fingerprint", "embedder", "dimension", "card")
NUMBERS = ("format_version", "revision", "dimension")
FACTS = ("name", "root", *MODEL_FACTS, "format_version", "revision")
LEFT = "left_places"  # where moves came from, if there were any
UNNAMED = "a model whose name is lost"
UNKNOWN = "a folder that is not known any more"
# What the columns hold: a page that was torn gives rows of anything.
Kinds = Mapping[str, type | UnionType]
Row = tuple[Any, ...]
CONTENTS: Kinds = {
    "id": int,
    "sha256": str,
    "width": int,
    "height": int,
    "taken": str | None,
    "embedding": bytes,
    "colour": bytes,
    "texture": bytes,
    "sketch": bytes,
}
PICTURES: Kinds = {
    "id": int,
    "path": str,
    "size": int,
    "modified": int,
    "label": str,
    "content": int | None,
    "problem": str | None,
    "details": str,
}
EXCLUDED: Kinds = {"path": str}
FILES_OUT: Kinds = {"path": str, "size": int, "sha256": str}
JPEG: Kinds = {"jpeg": bytes}
NOTED: Kinds = {"key": str, "value": str}
# Windows sets nothing aside that is open, be it here or in a program that would change it.
OPEN_FILES_MOVE = os.name != "nt"
ALIKE = 0.95  # cosine; what one model makes of a photo on two machines is as like as 0.99 or more
COMPARED = 3  # photos that are computed anew to know whose the vectors are
LOOKED_FOR = 1_000  # pictures of which a photo is looked for, at most
MISSES = 100_000  # ids in a row that cannot be read, after which there is no more to come


@dataclass(frozen=True)
class Mended:
    """What became of records that were made anew."""

    aside: str  # the name of what was set aside
    returning: bool  # whether pictures that were taken out may come back, their names being lost
    homeless: bool  # whether it is not known any more where the photos are
    doubtful: bool  # whether nothing but the width of its vectors says that they are of the model


class _NothingReadError(LookalikeError):
    """Neither pictures nor where their photos are can be read."""


def mend_database(folder: Path, embedder: Callable[[], Embedder] | None = None) -> Mended:
    """Make the records anew of what can be read of them.

    What is lost is read again when the collection is built.

    Args:
        embedder: opens the model, for a collection that does not say any more what it was made
            with; its vectors are kept where they may be of that model.

    Raises:
        LookalikeError: when neither its pictures can be read nor where its photos are.
    """
    path = folder / DATABASE
    returning = homeless = doubtful = False

    def fill(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
        nonlocal returning, homeless, doubtful
        facts = _facts(old)
        _refuse_newer(folder, facts)
        lay_out(new, {})
        excluded, returning = _from_both_ends(old, "excluded", EXCLUDED)
        new.executemany("INSERT OR IGNORE INTO excluded VALUES (?)", excluded)
        new.execute(EXCLUDED_FILES)
        # Earlier versions had it not.
        rows, _ = _from_both_ends(old, "excluded_files", FILES_OUT)
        new.executemany("INSERT OR IGNORE INTO excluded_files VALUES (?, ?, ?)", rows)
        _copy(old, new, "contents", CONTENTS)
        _copy(old, new, "pictures", PICTURES)
        new.execute(
            "DELETE FROM pictures WHERE problem IS NULL "
            "AND content NOT IN (SELECT id FROM contents)"
        )
        facts = {fact: facts[fact] for fact in facts.keys() - set(lacking_facts(facts))}
        if any(os.path.isdir(folder / kept) for kept in KEPT):
            facts.setdefault("root", ORIGINALS)
        elif "url" in facts:
            facts.setdefault("root", "")
        elif "root" not in facts:
            homeless = True
            # A folder that is gone is followed to where it is now (`retrieval.relocated`).
            facts["root"] = str((folder / UNKNOWN).absolute())
        if homeless and not new.execute("SELECT count(*) FROM pictures").fetchone()[0]:
            raise _NothingReadError
        doubtful = _tell_model(facts, new, folder, embedder)
        facts = {"name": folder.name} | facts
        facts |= {
            "format_version": str(FORMAT_VERSION),
            "revision": str(int(time.time())),  # more than it was, so that nobody takes it for that
            "unfinished": "1",
        }
        for key in ("moving_uri", "moving_name"):  # what was noted of a move is lost
            facts.pop(key, None)
        new.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())

    try:
        aside = _renew(path, fill)
    except _NothingReadError as error:
        aside = set_aside(path)
        raise LookalikeError(
            f"Nothing can be read of the records of {folder.name}, so they were set aside as "
            f"{aside}. Make them again with: python -m retrieval index FOLDER --name {folder.name} "
            "(pictures that were taken out come back then)"
        ) from error
    return Mended(aside, returning, homeless, doubtful)


def lacking_facts(facts: Mapping[str, object]) -> list[str]:
    """Return the facts that should be there, and are not or say nothing."""
    lacking = [fact for fact in FACTS if not _says_something(fact, facts.get(fact))]
    return lacking if _are_places(facts.get(LEFT, "[]")) else [*lacking, LEFT]


def _are_places(value: object) -> bool:
    """Whether this is what `retrieval.moving` notes of places: address and name, or None, each."""
    with suppress(ValueError, TypeError):
        return all(
            place is None or [type(part) for part in place] == [str, str]
            for place in json.loads(str(value))
        )
    return False


def _says_something(fact: str, value: object) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    if fact == "card":
        with suppress(ValueError):
            return isinstance(json.loads(value), dict)
        return False
    return fact not in NUMBERS or (value.isascii() and value.isdigit())


def width_of(database: sqlite3.Connection) -> int:
    """Return how many numbers more than half of the vectors have; 0 where there are none such."""
    lengths = database.execute(
        "SELECT length(embedding), count(*) FROM contents "
        f"WHERE length(embedding) > 0 AND NOT {ZEROS} GROUP BY 1 ORDER BY 2 DESC"
    ).fetchall()
    if not lengths or 2 * lengths[0][1] <= sum(n for _, n in lengths) or lengths[0][0] % 4:
        return 0
    return int(lengths[0][0]) // 4


def _refuse_newer(folder: Path, facts: Mapping[str, str]) -> None:
    version = facts.get("format_version", "")
    if version.isdigit() and int(version) > FORMAT_VERSION:
        raise LookalikeError(
            f"The collection {folder.name} was made by a newer version of this program. Update it."
        )


def _tell_model(
    facts: dict[str, str],
    new: sqlite3.Connection,
    folder: Path,
    embedder: Callable[[], Embedder] | None,
) -> bool:
    """Put what is lost of what was noted of the model into `facts`.

    Vectors that are not of that model are dropped, and read again as all that is lost; the pictures
    stay.

    Returns:
        Whether nothing but the width of the vectors says that they are of that model.
    """
    if facts.keys() >= set(MODEL_FACTS):
        return False
    width, model = width_of(new), embedder() if embedder else None
    if "fingerprint" in facts and (model is None or facts["fingerprint"] != model.fingerprint):
        # Of another model, which could be opened to say more.
        facts.update({"embedder": UNNAMED, "dimension": str(width), "card": "{}"} | facts)
        return False
    if model is None:
        raise _NothingReadError
    doubtful = False
    if "fingerprint" not in facts:
        fits = _may_be_of(facts, width, model)
        same = _makes_the_same(model, new, folder / facts["root"]) if fits else False
        if same is False:
            new.execute("UPDATE contents SET embedding = x'', texture = x''")
            facts.pop("milvus", None)
        doubtful = same is None and width > 0 and not {"card", "embedder"} & facts.keys()
    facts.update(model_facts(model))
    return doubtful


def _may_be_of(facts: Mapping[str, str], width: int, model: Embedder) -> bool:
    """Whether vectors of so many numbers may be of a model, by what is left of the facts."""
    card = facts.get("card")
    return (
        width in (0, model.dimension)
        and card_fingerprint(card or json.dumps(model.card.to_metadata())) == model.card.fingerprint
        and (card is not None or facts.get("embedder", model.describe()) == model.describe())
    )


def _makes_the_same(model: Embedder, new: sqlite3.Connection, root: Path) -> bool | None:
    """Whether a model makes the vectors that are kept of photos that are here, by a few of them.

    None where none can be read.
    """
    query = (
        "SELECT path, sha256, embedding FROM pictures JOIN contents ON content = contents.id "
        f"WHERE length(embedding) = ? AND NOT {ZEROS} LIMIT {LOOKED_FOR}"
    )
    compared = 0
    for path, sha256, embedding in new.execute(query, (4 * model.dimension,)):
        data = read_photo(root, path)
        if hashlib.sha256(data).hexdigest() != sha256:
            continue
        with suppress(PictureError, MemoryError):
            _, made = compute([decode(Entry(path, 0, 0, "", sha256), data, model, Bounds())], model)
            kept = np.frombuffer(embedding, COLUMNS["subject"][1])
            # One that is torn may be of any length.
            if any(ALIKE < float(content.embedding @ kept) < 1 / ALIKE for content in made):
                return True
            compared += len(made)
        if compared == COMPARED:
            break
    return False if compared else None


def card_fingerprint(card: str) -> str:
    """Return the fingerprint of the model that a card is of; "" where it does not say."""
    try:
        return ModelCard.from_metadata(json.loads(card)).fingerprint
    except (LookalikeError, TypeError):
        return ""


def note_all_anew(collection: Collection) -> None:
    """Have all of a collection told to its Milvus again, after its records were made anew.

    What had still to be told is not known any more.
    """
    if place := collection.place:
        with collection.store.transaction() as database:
            collection.settle_at(database, place)
            Outbox(collection.store).note_all(database)


def mend_thumbnails(folder: Path) -> str:
    """Make the file of thumbnails anew of what can be read of it; return what was set aside."""
    with explained(folder), closing(connect(folder / DATABASE)) as records:
        known = [sha256 for (sha256,) in records.execute("SELECT sha256 FROM contents")]

    def fill(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
        lay_out_thumbnails(new)
        new.executemany("INSERT INTO thumbnails VALUES (?, ?)", _thumbnails(old, known))

    return _renew(folder / THUMBNAILS, fill)


def _renew(path: Path, fill: Callable[[sqlite3.Connection, sqlite3.Connection], None]) -> str:
    """Put a new database in the place of a broken one; return what that is called now.

    Args:
        fill: is given the old one, to be read as far as it goes, and the new one.
    """
    new, whole = made_anew(path), False
    _delete(new)  # of a run that was killed
    try:
        with _unchanged(path):
            with (
                explained(path.parent),
                closing(_open_old(path)) as old,
                connection(new) as database,
            ):
                with database:
                    fill(old, database)
                # Closing tries this too, but says nothing where the disk is too full for it.
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            whole = True
            aside = set_aside(path)
        replace_file(new, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        # Once the old one is set aside there is nothing but the new one; `store.put_in_place` sees
        # to it where it did not get there.
        if path.exists() or not whole:
            _delete(new)
    return aside


@contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    """Keep other programs from changing a database until it is copied and set aside.

    One that waits for it meanwhile finds then that it is another file (`Store.transaction`).
    """
    if not OPEN_FILES_MOVE or not path.is_file():
        yield
        return
    with ExitStack() as stack:
        with suppress(DamagedError), explained(path.parent):  # nobody else can change it either
            # Closed before the new file is in its place, whose log it would delete as its own.
            held = stack.enter_context(closing(connect(path)))
            held.execute("BEGIN IMMEDIATE")
        yield


def _delete(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + end).unlink()


def _open_old(path: Path) -> sqlite3.Connection:
    """Open a database that may be damaged, to be read only; an empty one where there is none."""
    if not path.is_file():
        return sqlite3.connect(":memory:")
    old = sqlite3.connect(f"{address(path.absolute())}?mode=ro", uri=True)
    # Where what says of one table is damaged, the others are read all the same.
    old.execute("PRAGMA writable_schema = ON")
    return old


def _facts(old: sqlite3.Connection) -> dict[str, str]:
    return dict(_from_both_ends(old, "facts", NOTED)[0])


def _from_both_ends(old: sqlite3.Connection, table: str, kinds: Kinds) -> tuple[list[Row], bool]:
    """Return the rows of a table, which its first column orders, that can be read, and whether some
    are lost.

    Those before the damage, and those behind it, read backwards; some may come twice.
    """
    rows: list[Row] = []
    for way in ("ASC", "DESC"):
        try:
            for row in old.execute(f"{_selected(table, kinds)} ORDER BY {next(iter(kinds))} {way}"):
                rows.append(row)
        except FAILURES:
            continue
        whole = [row for row in rows if _is_whole(row, kinds)]
        return whole, len(whole) < len(rows)
    return [row for row in rows if _is_whole(row, kinds)], True


def _selected(table: str, kinds: Kinds) -> str:
    """Return the query for columns of a table.

    A text that passes for bytes, or bytes that pass for a text, as by one bit, is read as it was.
    """

    def column(name: str, kind: type | UnionType) -> str:
        if kind in (int, int | None):
            return name
        wrong, right = ("text", "BLOB") if kind is bytes else ("blob", "TEXT")
        return f"CASE typeof({name}) WHEN '{wrong}' THEN CAST({name} AS {right}) ELSE {name} END"

    return f"SELECT {', '.join(column(*pair) for pair in kinds.items())} FROM {table}"


def _is_whole(row: Row, kinds: Kinds) -> bool:
    return all(map(isinstance, row, kinds.values()))


def _until_damage(old: sqlite3.Connection, query: str, *values: object) -> Iterator[Row]:
    """Yield the rows of an answer up to the first that cannot be read."""
    with suppress(*FAILURES):
        yield from old.execute(query, values)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str, kinds: Kinds) -> None:
    columns: list[str] = []
    with suppress(*FAILURES):
        there = columns_of(old, table)
        columns = [column for column in kinds if column in there]
    if "id" in columns:
        names, values = ", ".join(columns), ", ".join("?" * len(columns))
        rows = _readable(old, table, {column: kinds[column] for column in columns})
        new.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({values})", rows)


def _readable(old: sqlite3.Connection, table: str, kinds: Kinds) -> Iterator[Row]:
    """Yield the rows of a table that can be read; some may come twice.

    A page that is damaged takes the rows on it along, and those after it are found by their ids.
    """
    query = f"{_selected(table, kinds)} WHERE id"

    def is_whole(row: Row) -> bool:
        return _is_whole(row, kinds)

    start, misses, backwards = 1, 0, False
    while misses < MISSES:
        recent: deque[int] = deque(maxlen=3)
        came = 0
        try:
            for row in old.execute(f"{query} >= ? ORDER BY id", (start,)):
                recent.append(row[0])
                came += 1
                if is_whole(row):
                    yield row
            return
        except FAILURES:
            # An id that is damaged itself would lead back, or beyond all others: not one in three.
            # Where more are, so many rows have so many ids at least.
            last = sorted(recent)[(len(recent) - 1) // 2] if recent else 0
            last = max(last, start + came - 1)
            if last >= start:
                start, misses = last + 1, 0
            if not backwards:  # what such an id has hidden
                backwards = True
                yield from filter(is_whole, _until_damage(old, f"{query} > 0 ORDER BY id DESC"))
            # Python looks a row ahead, so the one before the damage may not have come.
            yield from filter(is_whole, _until_damage(old, f"{query} = ?", start))
            start, misses = start + 1, misses + 1


def _thumbnails(old: sqlite3.Connection, known: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    query = f"{_selected('thumbnails', JPEG)} WHERE sha256 = ?"
    for sha256 in known:
        with suppress(*FAILURES):
            row = old.execute(query, (sha256,)).fetchone()
            if row and isinstance(row[0], bytes):
                yield sha256, row[0]

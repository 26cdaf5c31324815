"""Mending the files of a collection: what is no whole database is set aside, and made anew of what
can still be read of it.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from retrieval.collection import Collection
from retrieval.database import FAILURES, connect, explained, set_aside
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.folders import is_picture
from retrieval.lost_facts import NothingReadError, lacking_facts, tell_model
from retrieval.outbox import Outbox
from retrieval.salvage import Kinds, copy_rows, from_both_ends, renew, selected
from retrieval.schema import (
    DATABASE,
    FORMAT_VERSION,
    KEPT,
    ORIGINALS,
    THUMBNAILS,
    lay_out_all,
    lay_out_thumbnails,
)
from retrieval.settings import PYTHON

UNKNOWN = "a folder that is not known any more"
# What the columns hold.
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
RECORDS = {
    "facts": NOTED,
    "contents": CONTENTS,
    "pictures": PICTURES,
    "excluded": EXCLUDED,
    "excluded_files": FILES_OUT,
}


@dataclass(frozen=True)
class Mended:
    """What became of records that were made anew."""

    aside: str  # the name of what was set aside
    returning: bool  # whether pictures that were taken out may come back, their names being lost
    homeless: bool  # whether it is not known any more where the photos are
    doubtful: bool  # whether nothing but the width of its vectors says that they are of the model


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
        lay_out_all(new)
        names, returning = from_both_ends(old, "excluded", EXCLUDED)
        # Where the page of an index has come in the place of theirs, texts are read that are none.
        excluded = [(name,) for (name,) in names if is_picture(name)]
        returning = returning or len(excluded) < len(names)
        new.executemany("INSERT OR IGNORE INTO excluded VALUES (?)", excluded)
        # Earlier versions had it not.
        rows, _ = from_both_ends(old, "excluded_files", FILES_OUT)
        new.executemany("INSERT OR IGNORE INTO excluded_files VALUES (?, ?, ?)", rows)
        copy_rows(old, new, "contents", CONTENTS)
        copy_rows(old, new, "pictures", PICTURES)
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
            raise NothingReadError
        doubtful = tell_model(facts, new, folder, embedder)
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
        aside = renew(path, lay_out_all, RECORDS, fill)
    except NothingReadError as error:
        aside = set_aside(path)
        raise LookalikeError(
            f"Nothing can be read of the records of {folder.name}, so they were set aside as "
            f"{aside}. Make them again with: {PYTHON} -m retrieval index FOLDER --name "
            f"{folder.name} (pictures that were taken out come back then)"
        ) from error
    return Mended(aside, returning, homeless, doubtful)


def _refuse_newer(folder: Path, facts: Mapping[str, str]) -> None:
    version = facts.get("format_version", "")
    if version.isdigit() and int(version) > FORMAT_VERSION:
        raise LookalikeError(
            f"The collection {folder.name} was made by a newer version of this program. Update it."
        )


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

    tables = {"thumbnails": {"sha256": str}}
    return renew(folder / THUMBNAILS, lay_out_thumbnails, tables, fill)


def _facts(old: sqlite3.Connection) -> dict[str, str]:
    return dict(from_both_ends(old, "facts", NOTED)[0])


def _thumbnails(old: sqlite3.Connection, known: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    query = f"{selected('thumbnails', JPEG)} WHERE sha256 = ?"
    for sha256 in known:
        with suppress(*FAILURES):
            row = old.execute(query, (sha256,)).fetchone()
            if row and isinstance(row[0], bytes):
                yield sha256, row[0]

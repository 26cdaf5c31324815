"""How a collection is laid out in its two files, and how an older one is brought up to that."""

import sqlite3
from collections.abc import Mapping

from retrieval.records import Aspect

FORMAT_VERSION = 3
DATABASE = "collection.sqlite"
THUMBNAILS = "thumbnails.sqlite"
ORIGINALS = "originals"  # beside them: the photos that were handed to a collection
REMOVED = "removed"  # and those of them that were taken out (`retrieval.removed`)
KEPT = (ORIGINALS, REMOVED)  # folders of a collection with copies of photos

SCHEMA = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE contents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    taken TEXT,
    embedding BLOB NOT NULL,
    colour BLOB NOT NULL DEFAULT x'',
    texture BLOB NOT NULL DEFAULT x'',
    sketch BLOB NOT NULL DEFAULT x''
);
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    label TEXT NOT NULL,
    content INTEGER REFERENCES contents (id),
    problem TEXT,
    details TEXT NOT NULL DEFAULT '',
    CHECK ((content IS NULL) <> (problem IS NULL))
);
CREATE TABLE excluded (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX pictures_of_content ON pictures (content);
"""

# Beside `excluded`, which versions of this format fill by its one column: made when it is needed.
EXCLUDED_FILES = (
    "CREATE TABLE IF NOT EXISTS excluded_files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, "
    "sha256 TEXT NOT NULL) WITHOUT ROWID"
)

# Where each aspect is kept, and how: half precision is plenty for colours and texture, and the
# subject is kept as it was computed.
COLUMNS: dict[Aspect, tuple[str, str]] = {
    "subject": ("embedding", "<f4"),
    "colour": ("colour", "<f2"),
    "texture": ("texture", "<f2"),
    "sketch": ("sketch", "<f2"),
}

# What versions before this one had not: table, column and its kind.
ADDED = (
    ("contents", "colour", "BLOB NOT NULL DEFAULT x''"),
    ("contents", "texture", "BLOB NOT NULL DEFAULT x''"),
    ("contents", "sketch", "BLOB NOT NULL DEFAULT x''"),
    ("pictures", "details", "TEXT NOT NULL DEFAULT ''"),
)


def lay_out_all(database: sqlite3.Connection) -> None:
    """Make the tables in an empty database, without facts, also what is made when it is needed."""
    lay_out(database, {})
    database.execute(EXCLUDED_FILES)


def lay_out(database: sqlite3.Connection, facts: Mapping[str, str]) -> bool:
    """Make the tables, and write the facts, unless there are tables already; say whether it did."""
    database.execute("BEGIN IMMEDIATE")
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables:
        for statement in SCHEMA.split(";\n"):
            database.execute(statement)
        database.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
    return not tables


def lay_out_thumbnails(database: sqlite3.Connection) -> None:
    """Make the table of the thumbnails, unless it is there already."""
    database.execute("BEGIN IMMEDIATE")
    database.execute(
        "CREATE TABLE IF NOT EXISTS thumbnails (sha256 TEXT PRIMARY KEY, jpeg BLOB) WITHOUT ROWID"
    )


def upgrade(database: sqlite3.Connection) -> None:
    """Bring the tables of an older version up to this one, in the transaction of the caller."""
    for table, column, kind in ADDED:
        if column not in columns_of(database, table):
            database.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    database.execute("CREATE TABLE IF NOT EXISTS excluded (path TEXT PRIMARY KEY) WITHOUT ROWID")
    database.execute(
        "UPDATE facts SET value = ? WHERE key = 'format_version'", (str(FORMAT_VERSION),)
    )


def columns_of(database: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns."""
    return {row[1] for row in database.execute(f"PRAGMA table_info({table})")}

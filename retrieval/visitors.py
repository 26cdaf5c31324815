"""Private collections of visitors: theirs alone, bounded, and deleted after some hours."""

import os
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from retrieval.captions import find_tables
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.files import inside, modified_of, remove_tree
from retrieval.folders import find_images
from retrieval.incoming import TableBounds
from retrieval.paths import name_of
from retrieval.schema import ORIGINALS
from retrieval.settings import VISITOR_IDLE_SECONDS, VISITOR_TABLE_BYTES, VISITOR_TABLES
from retrieval.trash import TRASH
from retrieval.uploads import Uploads
from retrieval.workspace import Workspace

SWEEP_SECONDS = 60
REMEMBERED = 4  # times as many pictures as may be kept: those, and the ones taken out
TABLES = TableBounds(count=VISITOR_TABLES, bytes=VISITOR_TABLE_BYTES)
Version = tuple[int, int, int]  # of a file: its number on the disk, its bytes, and its time


@dataclass(frozen=True)
class VisitorBounds:
    """What a visitor may keep, and for how long."""

    hours: float
    pictures: int  # of one visitor, in all
    collections: int  # of one visitor
    total: int  # collections of all visitors
    tables: TableBounds = TABLES  # of one collection

    @property
    def at_one_address(self) -> int:
        """How many there may be from one network address, whose cookies may all be made up."""
        return max(self.collections, self.total // 2)


class Visitors:
    """Makes and deletes the private collections; safe to use from several threads."""

    def __init__(
        self, workspace: Workspace, uploads: Uploads, folder: Path, bounds: VisitorBounds
    ) -> None:
        self.bounds = bounds
        self._workspace = workspace
        self._shelf = workspace.shelf
        self._uploads = uploads
        self._folder = folder
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}  # passing() when a collection is deleted
        self._addresses: dict[str, str] = {}  # where a collection was made from
        self._stopping = threading.Event()

    def create(self, visitor: str, name: str, address: str = "") -> str:
        """Make an empty private collection and return its key, which nobody else can guess.

        Where there is no place left, the one that nobody has used for longest gives way.

        Args:
            address: the visitor's own in the network; "" where it is not known.

        Raises:
            LookalikeError: when this visitor, or all together, have as many as are allowed.
        """
        if not visitor:
            raise LookalikeError(
                "Your browser refuses cookies, by which your pictures are kept "
                "yours. Allow them for this page and try again."
            )
        with self._lock:
            if len(self.keys(visitor)) >= self.bounds.collections:
                raise LookalikeError(
                    f"You can keep {self.bounds.collections} collections here at a time. Delete "
                    "one, then make another."
                )
            self._make_room(address)
            folder = self._folder / f"v-{secrets.token_hex(16)}"
            collection = Collection.create(folder, name, None, self._workspace.embedder)
            key = self._shelf.serve(collection, visitor)
            self._ends[key] = passing() + self.bounds.hours * 3600
            self._addresses[key] = address
        return key

    def keys(self, visitor: str) -> list[str]:
        """Return the keys of a visitor's own collections."""
        keys = self._shelf.keys(visitor)
        return [key for key in keys if self._shelf.is_private(key)]

    def room(self, visitor: str) -> int:
        """Return how many more pictures a visitor may add.

        What could not be read takes room as well. So does what was taken out, beyond several times
        as much as a visitor may keep.
        """
        held = passed = 0
        for key in self.keys(visitor):
            collection = self._shelf.searcher(key, visitor).collection
            originals = self.originals(key)
            waiting = {name_of(path, originals) for path in find_images(originals)}
            held += sum(collection.listing.count()) + len(
                waiting - collection.listing.files().keys()
            )
            passed += len(collection.excluded.paths())
        most = self.bounds.pictures
        return max(0, min(most - held, REMEMBERED * most - held - passed))

    def originals(self, key: str) -> Path:
        """Return where a collection's photos wait until they have been read."""
        return self._folder / key / ORIGINALS

    def tables(self, key: str) -> dict[Path, Version]:
        """Return the tables that wait with a collection's photos."""
        found = {}
        for path in find_tables(self.originals(key)):
            with suppress(OSError):
                found[path] = _version(path)
        return found

    def drop_originals(self, key: str, tables: Mapping[Path, Version]) -> None:
        """Delete the photos and tables that were read: what is kept is thumbnails, vectors, and
        what the tables said.

        What has come meanwhile stays until it has been read.

        Args:
            tables: those that were there before they were read.
        """
        originals = self.originals(key)
        searcher = self._shelf.searcher(key, self._shelf.visitor(key))
        for path, read in searcher.collection.listing.files().items():
            if inside(originals, path):
                with suppress(OSError):
                    status = (originals / path).stat()
                    # Another one may have come to its place, and what may pass is tried again.
                    if read == (status.st_size, modified_of(status)):
                        (originals / path).unlink()
        for table, version in tables.items():
            with suppress(OSError):
                if _version(table) == version:
                    table.unlink()
        for parent, _, _ in os.walk(originals, topdown=False):
            with suppress(OSError):  # something is in it
                if parent != str(originals):
                    os.rmdir(parent)

    def delete(self, key: str) -> None:
        """Delete a collection for good."""
        place = self._workspace.delete(key)
        self._ends.pop(key, None)
        self._addresses.pop(key, None)
        remove_tree(self._folder / TRASH / place)

    def hours_left(self, key: str) -> float:
        """Return after how many hours a collection is deleted."""
        return max(0.0, self._ends.get(key, 0.0) - passing()) / 3600

    def sweep(self) -> None:
        """Delete what has had its time."""
        now = passing()
        for key, end in list(self._ends.items()):
            if now >= end:
                # One that somebody has just deleted, or whose files are held, must not keep the
                # others from their turn.
                with suppress(LookalikeError):
                    self.delete(key)
        self._uploads.sweep(older_than=1800)

    def start(self) -> None:
        """Sweep from now on, in the background."""
        threading.Thread(target=self._run, name="sweep visitors", daemon=True).start()

    def stop(self) -> None:
        """Stop sweeping, and delete everything."""
        self._stopping.set()
        for key in list(self._ends):
            with suppress(LookalikeError):
                self.delete(key)

    def _make_room(self, address: str) -> None:
        """See that there is a place for one more collection from an address."""
        neighbours = [
            key for key, known in list(self._addresses.items()) if address and known == address
        ]
        if len(neighbours) >= self.bounds.at_one_address:
            others, which = neighbours, "collections from your network"
        elif len(self._ends) >= self.bounds.total:
            others, which = list(self._ends), "visitors' collections"
        else:
            return
        idle = {key: self._idle_seconds(key) for key in others}
        for key in sorted(others, key=idle.__getitem__, reverse=True):
            if idle[key] < VISITOR_IDLE_SECONDS:
                break
            with suppress(LookalikeError):  # just deleted, or its files are held
                self.delete(key)
                return
        raise LookalikeError(
            f"There are as many {which} as fit on this computer. Try again in half an hour, or run "
            "Lookalike on your own."
        )

    def _idle_seconds(self, key: str) -> float:
        if self._uploads.is_sending(self._shelf.visitor(key)):
            return 0.0
        return self._shelf.idle_seconds(key)

    def _run(self) -> None:
        while not self._stopping.wait(SWEEP_SECONDS):
            self.sweep()


def passing() -> float:
    """Return a number of seconds that grows while a laptop sleeps, too, however its clock is put.

    `time.monotonic` stands still then on Linux and on a Mac, which have other clocks for it.
    """
    if sys.platform == "win32":
        return time.monotonic()
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _version(path: Path) -> Version:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns

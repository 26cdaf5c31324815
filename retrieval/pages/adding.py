"""Taking pictures into collections: those that are sent, packed ones, and what a folder holds."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from retrieval import settings
from retrieval.captions import count_rows, find_tables
from retrieval.changes import Changes, find_changes
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.files import composed
from retrieval.indexing import Bounds
from retrieval.pages import library_markup, opened_markup, words
from retrieval.pages.counting import counted
from retrieval.records import PASSING
from retrieval.removals import NotAllBackError
from retrieval.schema import ORIGINALS
from retrieval.taking import Taken, below_first, without
from retrieval.thumbnails import folder_of_photos
from retrieval.unbundling import photos_of, unpack_bundle
from retrieval.uploads import Uploads
from retrieval.visitors import Version, Visitors
from retrieval.workspace import Workspace

BACK_SECONDS = 2.0  # that pictures which come back are waited for
BACK_PAUSE = 10  # times as long as was waited for a visitor's, nobody waits for another's


@dataclass(frozen=True)
class Returned:
    """What came of putting back pictures that were taken out."""

    paths: tuple[str, ...]  # of those that come back
    is_there: bool  # whether they have been read again
    why_not: NotAllBackError | None = None  # what keeps the others; None where there are none


class Adding:
    """Makes collections and fills them; says what there is to say as HTML, "" for nothing."""

    def __init__(self, workspace: Workspace, uploads: Uploads, visitors: Visitors) -> None:
        self.workspace = workspace
        self.shelf = workspace.shelf
        self.uploads = uploads
        self.visitors = visitors
        self._taking: Counter[str] = Counter()  # uploads, by the keys of where they go
        self._added: dict[str, int] = {}  # pictures that came last, by the keys of where they went
        self._captioned: dict[str, str] = {}  # what came of tables, by the same keys
        self._unread: set[str] = set()  # keys of what was made of an upload and is yet to be read
        self._next_wait = 0.0  # for pictures of a visitor that come back, on the clock

    def make(self, name: str, visitor: str, owner: bool, address: str = "") -> str:
        """Make a collection of an upload; return what there is to say of it.

        A folder of which there is one already, dropped again, is taken into that.

        Args:
            address: the visitor's own in the network; "" where it is not known.
        """
        brought = self.uploads.title(name, visitor)
        if again := self._made_of(brought, name, visitor, owner):
            return self.add(name, again, visitor, again=True)
        title = brought or words.UNTITLED
        # Photos are often dropped in several goes, and all would be called the same.
        title = self.workspace.unused_name(title, visitor)
        if owner:
            key = self.workspace.create(title)
        else:
            key = self.visitors.create(visitor, title, address)
        with counted(self._taking, key):
            try:
                taken, tables = self._take(name, key, visitor, strip=True)
            except LookalikeError:
                if not self.shelf.searcher(key, visitor).collection.unfinished:
                    self._discard(key)  # nothing of it came; else "Go on" is offered
                raise
            if not taken.files:
                self._discard(key)
                alone = words.TAKEN_TABLE_ALONE
                return _told(alone if taken.is_of_tables else _none_in(brought), taken)
            self._unread.add(key)
            return self._settle(key, taken, tables, visitor, brought)

    def is_reading(self, visitor: str, owner: bool) -> bool:
        """Whether what was made of an upload of who asks is just being read for the first time."""
        states = (
            self.workspace.building(key)
            for key in list(self._unread)
            if self.shelf.may_edit(key, visitor, owner)
        )
        return any(state is not None and not state.finished for state in states)

    def give_up_unreadable(self, visitor: str, owner: bool) -> str:
        """Delete the collections that were made of nothing that can be read; say what was in them.

        Only what who asks may delete, and nothing of which something may still come: what is to be
        read again, or added.
        """
        told = ""
        for key in list(self._unread):
            try:
                self.shelf.require(key)
                if not self.shelf.may_edit(key, visitor, owner):
                    continue
                collection = self.shelf.searcher(key, visitor).collection
                state = self.workspace.building(key)
                waits = state is None or not state.finished or collection.unfinished
                if waits or self.uploads.is_sending(visitor):
                    continue
                self._unread.remove(key)
                passes = any(
                    modified == PASSING for _, modified in collection.listing.files().values()
                )
                if collection.listing.count()[0] or collection.excluded.paths() or passes:
                    continue
                problems, name = collection.listing.problems(), collection.name
                self._discard(key)
                told += _told(_none_in(name), Taken(skipped=problems))
            except (LookalikeError, KeyError):  # deleted, or given up for another page, just now
                self._unread.discard(key)
        return told

    def add(self, name: str, key: str, visitor: str, again: bool = False) -> str:
        """Take an upload into a collection; return what there is to say of it.

        Args:
            again: whether it is the folder that the collection was made of, dropped anywhere.
        """
        brought = self.uploads.title(name, visitor)
        with counted(self._taking, key):
            taken, tables = self._take(name, key, visitor, strip=again)
            told = self._settle(key, taken, tables, visitor, brought, again)
            self._added[key] = taken.files
            return told

    def open_bundle(self, bundle: Path, owner: bool) -> str:
        """Make a collection of a packed one, whose file goes; return what there is to say of it.

        Raises:
            LookalikeError: when who asks is not the owner, or it cannot be opened.
        """
        if not owner or self.shelf.library is None:
            raise LookalikeError(words.OPEN_NOT_YOURS)
        folder = unpack_bundle(bundle, self.shelf.library, self.workspace.embedder)
        with suppress(OSError):  # it goes with its upload
            bundle.unlink()
        self.workspace.open_arrived(folder)
        collection = self.shelf.searcher(folder.name).collection
        text = words.OPENED.format(
            name=collection.name, pictures=words.pictures(collection.listing.count()[0])
        )
        if missing := photos_of(collection).missing:
            text += " " + words.OPENED_MISSING.format(n=f"{missing:,}")
        if collection.unfinished:  # photos that were edited after they had been read
            self.build(folder.name, "")
        return library_markup.notice(text)

    def build(
        self,
        key: str,
        visitor: str,
        changes: Changes | None = None,
        new: Iterable[Path] = (),
        returning: int = 0,
    ) -> None:
        """Bring a collection up to date with where its pictures lie, in the background.

        Args:
            new: tables that have just come, of which is told what came of them.
            returning: how many pictures it brings back that were taken out; 0 for news.
        """
        collection = self.shelf.searcher(key, visitor).collection
        self._outdate(key)
        bounds = Bounds()
        originals = collection.folder / ORIGINALS
        if changes is not None:
            self._apply(key, collection, changes)
            return
        if collection.in_place:
            folder = folder_of_photos(collection)
            self.workspace.build(key, folder, bounds, returning=returning)
            return

        def only_added() -> Changes:
            """Leave out what is not here: that a known photo is elsewhere is no change."""
            if not originals.is_dir():
                return Changes((), (), 0, ())
            found = find_changes(collection, originals)
            # What looks like a moved file is a copy of one that need not be here.
            copies = (originals / move.new.path for move in found.moved)
            to_read = tuple(dict.fromkeys((*found.to_read, *copies)))  # some are there already
            return replace(found, vanished=(), moved=(), to_read=to_read)

        if self.shelf.is_private(key):
            bounds = Bounds(settings.MAX_UPLOAD_BYTES, settings.MAX_UPLOAD_PIXELS)
            tables: dict[Path, Version] = {}

            def look() -> Changes:
                tables.update(self.visitors.tables(key))  # first: one that comes later is not read
                return only_added()

            def afterwards() -> None:
                self._count_captions(key, collection, new)
                self.visitors.drop_originals(key, tables)

            self.workspace.build(key, originals, bounds, look, afterwards, returning)
        else:
            count = partial(self._count_captions, key, collection, new)
            self.workspace.build(key, originals, bounds, only_added, count, returning)

    def _apply(self, key: str, collection: Collection, changes: Changes) -> None:
        folder, found = folder_of_photos(collection), changes
        if out := collection.excluded.paths().intersection(changes.let_in):
            collection.mark_unfinished(True)  # first: wherever this ends, "Go on" reads them
            self.workspace.let_in(key, out, as_now=True)

        def look() -> Changes:
            # Copies that were taken out lay elsewhere, so where they are now is yet to be seen.
            return find_changes(collection, folder) if out and not collection.in_place else found

        self.workspace.build(key, folder, Bounds(), look)

    def bring_back(self, key: str, paths: Sequence[str], visitor: str) -> Returned:
        """Put back pictures that were taken out; return which, and whether they are there again.

        Mostly they are, since they are known; else the card says how far it is.

        Raises:
            LookalikeError: when none of the photos can be brought back, or some are held.
        """
        why_not = None
        try:
            self.workspace.let_in(key, paths)
        except NotAllBackError as error:
            paths, why_not = error.back, error
        self.build(key, visitor, returning=len(paths))
        begun, private = time.monotonic(), self.shelf.is_private(key)
        waited, most = 0.0, BACK_SECONDS
        if private and begun < self._next_wait:
            most = 0.0
        while (state := self.workspace.building(key)) and not state.finished:
            if waited >= (most / 5 if state.waiting else most):
                break  # others wait for this one to be answered
            time.sleep(0.05)
            waited = time.monotonic() - begun
        if private and most:
            self._next_wait = begun + waited * (1 + BACK_PAUSE)
        is_there = bool(state and state.finished and not state.cancelled and not state.problem)
        return Returned(tuple(paths), is_there, why_not)

    def take_out(self, key: str, ids: Iterable[int]) -> list[str]:
        """Take pictures out, as `Workspace.take_out` does; what came last is said no more."""
        paths = self.workspace.take_out(key, ids)
        if paths:
            self._outdate(key)
        return paths

    def _outdate(self, key: str) -> None:
        """Say no more what came to a collection last: its numbers are others now."""
        self._added.pop(key, None)
        self._captioned.pop(key, None)

    def captioned(self, key: str) -> str:
        """Return what came of the tables that were added to a collection last, in a sentence."""
        return self._captioned.get(key, "")

    def _count_captions(self, key: str, collection: Collection, tables: Iterable[Path]) -> None:
        known = {composed(path) for path in collection.listing.files()}
        said = []
        for table in tables:
            with suppress(OSError):  # it is gone, or held by another program
                told = count_rows(table, collection.folder / ORIGINALS, known)
                said.append(words.captions_for(*told, table.name))
        self._captioned[key] = " ".join(said)
        self._forget_deleted()

    def _forget_deleted(self) -> None:
        """Forget the news of collections that have been deleted since, however they were."""
        for key in {*list(self._added), *list(self._captioned)}:  # copies: others add to them
            try:
                self.shelf.require(key)
            except LookalikeError:
                self._outdate(key)

    def added(self, key: str) -> int:
        """Return how many pictures were added to a collection, where nothing was done since."""
        return self._added.get(key, 0)

    def is_taking(self, key: str) -> bool:
        """Whether an upload is just being taken into a collection, which is built after that."""
        return key in self._taking

    def _discard(self, key: str) -> None:
        """Delete a collection into which nothing came: there is nothing to bring back."""
        if self.shelf.is_private(key):
            self.visitors.delete(key)
        else:
            self.workspace.empty(self.workspace.delete(key))

    def _take(self, name: str, key: str, visitor: str, strip: bool) -> tuple[Taken, set[Path]]:
        """Take an upload in; return what came of it, and where its tables lie now."""
        collection = self.shelf.searcher(key, visitor).collection
        folder = self._originals(key, visitor)
        room = tables = None
        if self.shelf.is_private(key):
            room, tables = self.visitors.room(visitor), self.visitors.bounds.tables
        before = _tables_in(folder)
        taken = self.uploads.take(name, visitor, collection, folder, strip, room, tables)
        after = _tables_in(folder) if taken.tables else {}
        # One that makes way for a new one of its name is told of no more.
        return taken, {table for version, table in after.items() if version not in before}

    def _settle(
        self,
        key: str,
        taken: Taken,
        tables: Iterable[Path],
        visitor: str,
        brought: str,
        again: bool = False,
    ) -> str:
        name = self.shelf.searcher(key, visitor).collection.name
        nothing_new = words.TAKEN_NOTHING_NEW.format(name=name)
        if not taken.files and not taken.tables:
            none = words.TAKEN_NO_TABLE if taken.is_of_tables else _none_in(brought)
            return _told(nothing_new if taken.known else none, taken)
        self.build(key, visitor, new=tables)
        known = ""
        if taken.known:
            known = words.TAKEN_KNOWN.format(pictures=words.pictures(taken.known))
        text = words.TAKEN_ABOUT.format(name=name)  # several of them may stand there
        if again and taken.files:
            text = words.ADDED.format(pictures=words.pictures(taken.files), name=name)
        elif again:
            text, known = nothing_new, ""
        if again or known or taken.skipped or taken.others:
            return _told(f"{text} {known}".strip(), taken)
        return ""

    def _made_of(self, folder: str, name: str, visitor: str, owner: bool) -> str:
        """Return the key of the collection that was made of the folder of an upload; "" for none.

        It was called so at first, or is now, perhaps with a number, and most of what came lies in
        it as it is.
        """
        sizes = self.uploads.sizes(name, visitor) if folder else {}
        called = re.compile(rf"{re.escape(composed(folder))}( \d+)?")
        keys = self.shelf.keys(visitor) if sizes else []
        for searcher in self.shelf.searchers(keys, visitor):
            key, collection = searcher.key, searcher.collection
            private = self.shelf.is_private(key)
            if private == owner or not self.shelf.may_edit(key, visitor, owner):
                continue
            with suppress(LookalikeError):  # damaged, or deleted just now
                names = map(composed, (collection.first_name, collection.name))
                is_its = any(map(called.fullmatch, names))
                if is_its and (private or collection.keeps_originals) and _holds(collection, sizes):
                    return key
        return ""

    def _originals(self, key: str, visitor: str) -> Path:
        collection = self.shelf.searcher(key, visitor).collection
        if collection.in_place:
            raise LookalikeError(words.ADD_IN_PLACE.format(name=collection.name))
        return collection.folder / ORIGINALS


def _tables_in(folder: Path) -> dict[tuple[int, int], Path]:
    """Return the tables in a folder by what makes each another one: its number and its time."""
    found = {}
    for table in find_tables(folder):
        with suppress(OSError):  # gone just now
            status = table.stat()
            found[status.st_ino, status.st_mtime_ns] = table
    return found


def _holds(collection: Collection, sizes: Mapping[str, int]) -> bool:
    """Whether most of some pictures are those of a collection, by their paths and sizes."""
    outer = below_first(collection)
    sizes = {without(PurePosixPath(path), outer).as_posix(): sizes[path] for path in sizes}
    known = {path: size for path, (size, _) in collection.listing.files().items()}
    held = {path: known[path] for path in sizes.keys() & known.keys()}
    for path in sizes.keys() - known.keys():  # sent before the program ended, and yet to be read
        with suppress(OSError):
            held[path] = (collection.folder / ORIGINALS / path).stat().st_size
    same = sum(sizes[path] == size for path, size in held.items())
    return bool(same) and 2 * same >= max(len(held), min(len(sizes), len(known)))


def _none_in(brought: str) -> str:
    """Say that there was no picture in the folder or zip of that name; "" for files alone."""
    return words.TAKEN_NONE.format(name=brought or words.TAKEN_THIS)


def _told(text: str, taken: Taken) -> str:
    """Say what was left out of an upload."""
    parts = [text] if text else []
    if taken.others:
        parts.append(words.TAKEN_OTHERS.format(files=words.files(taken.others)))
    items, skipped = taken.skipped, len(taken.skipped) + taken.unnamed
    if skipped:
        parts.append(words.TAKEN_SKIPPED.format(n=f"{skipped:,}"))
    if taken.unnamed:  # the list can only count what is in it
        items = items[: opened_markup.LISTED - 1]
        items.append((words.AND_MORE.format(n=f"{skipped - len(items):,}"), ""))
    return library_markup.notice(" ".join(parts), items=items)

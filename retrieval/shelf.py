"""The collections that one running app serves: in which order, to whom, and why not others."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retrieval.building import Builders
from retrieval.collection import Collection
from retrieval.database import damaged, is_bare
from retrieval.embedding import Embedder
from retrieval.errors import COLLECTION_GONE, BusyError, LookalikeError, explain_os_error
from retrieval.library import clear_bare, folders_in
from retrieval.refusals import Refusals
from retrieval.schema import DATABASE
from retrieval.search import Searcher

LOOK_SECONDS = 3.0  # between two looks at what other programs have put into the library
# An empty file in the library says that the collection that ships with the app is not shown.
WITHOUT_SHIPPED = ".without-shipped"


class Shelf:
    """The collections of a running app, ready to search; safe to use from several threads.

    What comes or goes does so under `_lock`, and so are its files made or moved away, lest a look
    around meets them halfway. The lock guards all that is noted here, but for three notes that are
    single steps: that a private one was asked for, that one is no longer being deleted or mended,
    and that a damaged one has been closed.

    Whoever only asks does not wait for the lock, which may be held for long: one dict is read at a
    time, a copy of it where it is gone through. To close what was served, and to wait until it is
    built no more, may take long as well, and is done without the lock. Under it the model may be
    opened and a builder told to stop: both have locks of their own, under which nobody waits for
    this one.
    """

    def __init__(self, embedder: Callable[[], Embedder], builders: Builders) -> None:
        """Begin with none.

        Args:
            embedder: returns the model that all are searched with.
            builders: are stopped where they build what goes.
        """
        self._embedder = embedder
        self._builders = builders
        self._lock = threading.RLock()
        self._searchers: dict[str, Searcher] = {}
        self._places: dict[str, tuple[bool, bool, float, str]] = {}  # what they are sorted by
        self._visitors: dict[str, str] = {}  # whose a private collection is, by its key
        self._asked: dict[str, float] = {}  # time.monotonic() when theirs was last asked for
        self.library: Path | None = None  # where they lie, but for visitors' and the shipped one
        self._refusals = Refusals()
        self._leaving: set[str] = set()  # keys of those that are just being deleted or mended
        self._looked = 0.0  # time.monotonic() when the library was last looked through
        self._shipped = ""  # the key of the one that came with the app
        self._without_shipped = False

    def serve(
        self, collection: Collection, visitor: str = "", key: str = "", first: bool = False
    ) -> str:
        """Make a collection searchable and return the key by which pages name it.

        The key says nothing of where the collection lies. With a `visitor` it is theirs alone.
        The collection is closed when it is refused, and by `close`.

        Args:
            key: for one that does not lie in the library; by default the name of its folder.
            first: whether it comes before all others.

        Raises:
            LookalikeError: when the collection was made with another model or PCA.
        """
        key = key or collection.folder.name
        try:
            searcher = Searcher(collection, self._embedder(), key)
            place = (not first, collection.read_only, collection.created, key)
        except BaseException:
            collection.close()  # or Windows would let nobody mend, move or delete it
            raise
        with self._lock:
            if visitor:
                self._visitors[key] = visitor
                self._asked[key] = time.monotonic()
            self._places[key] = place
            self._searchers[key] = searcher
            if collection.read_only:
                self._shipped = key
            self._refusals.forget(key)
        return key

    def serve_new(self, make: Callable[[], Collection]) -> str:
        """Make a collection in the library and serve it, before a look around can meet it."""
        with self._lock:
            return self.serve(make())

    def fill(self, library: Path) -> None:
        """Serve the collections that lie in a folder; `refused` tells of those that do not fit.

        What a kill has left there of one that was just being made is deleted.
        """
        self.library = library
        self._without_shipped = os.path.exists(library / WITHOUT_SHIPPED)
        for folder in clear_bare(library):
            self.open_folder(folder)

    def _look_around(self) -> None:
        """Serve what another program, such as a command, has put into the library meanwhile.

        What was refused is tried again, where the reason may have passed, and forgotten, where it
        is gone.
        """
        if self.library is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        # Whatever comes or goes here does so under this lock, and may take long.
        if not self._lock.acquire(blocking=False):
            return
        replaced: list[Collection] = []
        try:
            begun = self._looked = time.monotonic()
            self._without_shipped = os.path.exists(self.library / WITHOUT_SHIPPED)
            replaced = self._withdraw_replaced()
            again = False
            self._refusals.forget_gone(self.library, self._leaving)
            for folder in folders_in(self.library):
                known = folder.name in self._searchers or folder.name in self._leaving
                if known or not self._refusals.should_try(folder) or is_bare(folder / DATABASE):
                    continue  # a bare one is just being made
                again = again or folder.name in self._refusals
                self.open_folder(folder)
            if again:
                # Of one that another program holds it takes seconds, in which the pages wait.
                ended = time.monotonic()
                self._looked = ended + 10 * (ended - begun)
        finally:
            self._lock.release()
            for collection in replaced:
                collection.close()

    def open_folder(self, folder: Path) -> None:
        """Serve one collection of the library, or tell in `refused` why it does not fit.

        One that is served already stays as it is.
        """
        with self._lock:
            if folder.name in self._searchers:
                return
            try:
                self.serve(Collection(folder))
            except LookalikeError as error:
                self._refusals.note(folder, error)

    def withdraw_damaged(self) -> None:
        """Serve no more those of the library in which damage was met; `refused` tells of them."""
        for key, searcher in list(self._searchers.items()):
            collection = searcher.collection
            # Those of visitors, which go soon, and the shipped one lie elsewhere.
            if not collection.store.is_damaged or collection.folder.parent != self.library:
                continue
            self._builders.cancel(key)
            with self._lock:
                if self._searchers.get(key) is not searcher:
                    continue
                del self._searchers[key]
                self._refusals.note(collection.folder, damaged(collection.folder), closed=False)
            collection.close()  # which may write what was only in the log
            self._refusals.note_closed(collection.folder)

    def _withdraw_replaced(self) -> list[Collection]:
        """Serve no more those that another program has deleted or replaced; return them.

        Whoever holds the lock closes them after it, which may take long. What lies in their places
        now is served by `_look_around`.
        """
        replaced = []
        for key, searcher in list(self._searchers.items()):
            collection = searcher.collection
            if collection.folder.parent != self.library or collection.store.is_in_place:
                continue
            self._builders.let_go(key)
            del self._searchers[key]
            replaced.append(collection)
        return replaced

    @contextmanager
    def deleting(self, key: str) -> Iterator[Path]:
        """Serve a collection no more; yield its folder, of which nothing is open, to be moved away.

        Where that is refused by a LookalikeError it is served again.

        Raises:
            BusyError: when another window is deleting or mending it.
            LookalikeError: when it is not served any more.
        """
        replaced: list[Collection] = []
        try:
            with self._lock:
                replaced = self._withdraw_replaced()  # the page shows what was there before
                searcher = self._searchers.get(key)
                folder = searcher.collection.folder if searcher else self._refused_folder(key)
                self._leave(key)
                self._searchers.pop(key, None)
                visitor = self._visitors.pop(key, "")
                self._asked.pop(key, None)
                self._places.pop(key, None)
                refusal = self._refusals.forget(key)
        finally:
            for collection in replaced:
                collection.close()
        try:
            self._builders.forget(key)  # waits for the batch at hand
            if searcher:
                searcher.collection.close()  # waits for a Milvus that just builds its index
            with self._lock:
                try:
                    yield folder
                except LookalikeError:
                    # Windows moves no folder of which another program holds a file.
                    if visitor:
                        self.serve(Collection(folder), visitor)
                    elif searcher:
                        self.open_folder(folder)
                    elif refusal:
                        self._refusals.note(folder, refusal)
                    raise
        finally:
            self._leaving.discard(key)

    @contextmanager
    def mending(self, key: str) -> Iterator[Path]:
        """Yield the folder of a damaged collection, to be mended, and serve it then.

        Raises:
            BusyError: when another window is deleting or mending it.
            LookalikeError: when it is not one of these, or is refused still.
        """
        self.withdraw_damaged()
        with self._lock:
            folder = self._refused_folder(key)
            self._leave(key)
        try:
            self._builders.forget(key)
            yield folder
        finally:
            self._leaving.discard(key)
        self.open_folder(folder)
        if refusal := self._refusals.error(key):
            raise refusal

    def close(self) -> None:
        """Close the collections."""
        for searcher in self.served():
            searcher.collection.close()

    # Which there are, and for whom.

    def keys(self, visitor: str = "") -> list[str]:
        """Return the keys of the collections that a visitor sees, in the order of all pages.

        The one that is served as the first, then those made first; the shipped one comes last. So a
        new one takes no place from another, and the next start changes nothing.
        """
        self._look_around()
        gone = (True, True, 0.0, "")  # deleted just now
        keys = sorted(list(self._searchers), key=lambda key: self._places.get(key, gone))
        return [key for key in keys if self._is_seen(key, visitor)]

    def searcher(self, key: str, visitor: str = "") -> Searcher:
        """Return the collection with this key, ready to search.

        Raises:
            LookalikeError: when it is not served (any more), or is another visitor's.
        """
        # First, since whose it was is forgotten after it has gone.
        is_seen = self._is_seen(key, visitor)
        searcher = self._searchers.get(key)
        if searcher is None or not is_seen:
            raise LookalikeError(COLLECTION_GONE)
        if key in self._visitors:
            self._asked[key] = time.monotonic()
        return searcher

    def serves(self, key: str) -> bool:
        """Whether a collection is served, to whomever."""
        return key in self._searchers

    def require(self, key: str) -> None:
        """Refuse the key of a collection that has ended, such as one on a page that is old.

        Raises:
            LookalikeError: when it is neither served, to whomever, nor one of the refused.
        """
        if not self.serves(key) and key not in self._refusals:
            raise LookalikeError(COLLECTION_GONE)

    def searchers(self, keys: Iterable[str], visitor: str = "") -> list[Searcher]:
        """Return those of some collections that are still there, and that a visitor sees."""
        held = []
        for key in keys:
            with suppress(LookalikeError):  # deleted just now
                held.append(self.searcher(key, visitor))
        return held

    def served(self) -> list[Searcher]:
        """Return all, to whomever they are shown."""
        return list(self._searchers.values())

    def lasting(self) -> list[Searcher]:
        """Return those that are not visitors', which are of no folder and may go at any moment."""
        return [one for one in self.served() if not self.visitor(one.key)]

    def names(self, visitor: str = "") -> dict[str, str]:
        """Return what the collections that a visitor sees are called, by their keys."""
        found = {}
        for searcher in self.searchers(self.keys(visitor), visitor):
            with suppress(LookalikeError):  # damaged, or closed just now
                found[searcher.key] = searcher.collection.name
        return found

    @property
    def refused(self) -> dict[str, str]:
        """Why a collection of the library cannot be searched, by its key."""
        return self._refusals.sentences

    @property
    def damaged(self) -> set[str]:
        """Those of the refused ones that can be mended."""
        return self._refusals.damaged

    @property
    def hideable(self) -> str:
        """The key of the collection that ships with the app, if there are others to show, or ""."""
        return self._shipped if len(self.lasting()) > 1 else ""

    @property
    def hidden(self) -> str:
        """The name of the collection that ships with the app, where it is not shown; "" else."""
        key = self.hideable if self._without_shipped else ""
        return self._searchers[key].collection.name if key else ""

    def hide_shipped(self, hide: bool) -> None:
        """Show the collection that ships with the app to nobody, or to all again; for good.

        Raises:
            LookalikeError: when that cannot be noted.
        """
        assert self.library is not None
        mark = self.library / WITHOUT_SHIPPED
        with self._lock:  # a look around may just have read what was so before
            try:
                if hide:
                    mark.touch()
                else:
                    mark.unlink(missing_ok=True)
            except OSError as error:
                raise explain_os_error(error, mark) from error
            self._without_shipped = hide

    def idle_seconds(self, key: str) -> float:
        """Return for how long a private collection was neither asked for nor built."""
        state = self._builders.state(key)
        if state is not None and not state.finished:
            return 0.0
        last = max(self._asked.get(key, 0.0), state.ended if state else 0.0)
        return time.monotonic() - last

    def is_private(self, key: str) -> bool:
        """Whether a collection is seen by one visitor only."""
        return key in self._visitors

    def visitor(self, key: str) -> str:
        """Return the visitor whose a private collection is; "" for one that all see."""
        return self._visitors.get(key, "")

    def may_edit(self, key: str, visitor: str, owner: bool) -> bool:
        """Whether who asks may change a collection: the owner the public ones, visitors theirs."""
        if key in self._visitors:
            return bool(visitor) and self._visitors[key] == visitor
        searcher = self._searchers.get(key)
        return owner and (searcher is None or not searcher.collection.read_only)

    def _refused_folder(self, key: str) -> Path:
        if self.library is None or key not in self._refusals:
            raise LookalikeError(COLLECTION_GONE)
        return self.library / key

    def _leave(self, key: str) -> None:
        """Mark that a collection is just being deleted or mended, unless it is already."""
        if key in self._leaving:
            raise BusyError(
                f"Another window is already working on {key}. Wait until it has finished, and try "
                "again."
            )
        self._leaving.add(key)

    def _is_seen(self, key: str, visitor: str) -> bool:
        if key == self._shipped and self._without_shipped and self.hideable:
            return False
        return self._visitors.get(key, "") in ("", visitor)

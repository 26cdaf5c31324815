"""What one running app serves: a model, opened once, and the collections searched with it."""

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

import numpy as np

from retrieval.background import Once
from retrieval.building import Builders, Building
from retrieval.changes import Changes, find_changes
from retrieval.checking import check_collection
from retrieval.collection import Collection
from retrieval.copies import find_copies
from retrieval.database import DamagedError, damaged, is_bare
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import COLLECTION_GONE, BusyError, LookalikeError, explain_os_error
from retrieval.files import composed, same_folder
from retrieval.folders import require_pictures
from retrieval.indexing import Bounds, Step, index_folder
from retrieval.library import claim_folder, clear_bare, folders_in, unused_name
from retrieval.paths import require_text
from retrieval.refusals import Refusals
from retrieval.relocated import follow
from retrieval.removals import Removals, undoable
from retrieval.schema import DATABASE, ORIGINALS
from retrieval.search import Searcher
from retrieval.trash import (
    delete_discarded,
    discard,
    empty_trash,
    find_discarded,
    has_photos,
    list_discarded,
    restore,
)

UNDO_SECONDS = 24 * 3600  # that what was deleted or taken out can be brought back
LOOK_SECONDS = 3.0  # between two looks at what other programs have put into the library
# An empty file in the library says that the collection that ships with the app is not shown.
WITHOUT_SHIPPED = ".without-shipped"


class Workspace:
    """The model and the collections of a running app; safe to use from several threads."""

    def __init__(
        self,
        model: Path,
        pca: Path | None,
        gpu: bool = True,
        texture: Path | None = None,
        milvus: str = "",
    ) -> None:
        """Serve with the model in a file, and the PCAs of its features and textures.

        Args:
            milvus: the address of the Milvus where the vectors of new collections are to be,
                visitors' own excepted; "" keeps them beside the records.
        """
        self.milvus = milvus
        self._model = model
        self._pca = pca
        self._gpu = gpu
        self._texture = texture
        self._lock = threading.RLock()
        self._embedder: Embedder | None = None
        self._naming = threading.Lock()  # while a collection gets a name that no other one has
        self._removals = Removals()
        self._searchers: dict[str, Searcher] = {}
        self._places: dict[str, tuple[bool, bool, float, str]] = {}  # what they are sorted by
        self._visitors: dict[str, str] = {}  # whose a private collection is, by its key
        self._asked: dict[str, float] = {}  # time.monotonic() when theirs was last asked for
        self._builders = Builders()
        self.copies = Once(find_copies)
        self.library: Path | None = None
        self._refusals = Refusals()
        self._leaving: set[str] = set()  # keys of those that are just being deleted or mended
        self._looked = 0.0  # time.monotonic() when the library was last looked through
        self._shipped = ""  # the key of the one that came with the app
        self._without_shipped = False

    @property
    def refused(self) -> dict[str, str]:
        """Why a collection of the library cannot be searched, by its key."""
        return self._refusals.sentences

    @property
    def damaged(self) -> set[str]:
        """Those of the refused ones that can be mended."""
        return self._refusals.damaged

    @property
    def model_path(self) -> Path:
        """The file of the model."""
        return self._model

    @property
    def embedder(self) -> Embedder:
        """The model and its PCA; opening takes a moment, the first time."""
        with self._lock:
            if self._embedder is None:
                self._embedder = open_embedder(self._model, self._pca, self._gpu, self._texture)
            return self._embedder

    def warm_up(self) -> None:
        """Compute and look around once, in a thread, so that the first visitor need not wait."""
        side = self.embedder.card.preprocessing.side
        self.embedder.describe_pictures(np.zeros((1, side, side, 3), np.uint8))
        for key in self.keys():
            with suppress(LookalikeError):  # deleted meanwhile, or Milvus does not answer
                self.searcher(key).calibration()

    # Which collections there are.

    def serve(
        self, collection: Collection, visitor: str = "", key: str = "", first: bool = False
    ) -> str:
        """Make a collection searchable and return the key by which pages name it.

        The key says nothing of where the collection lies. With a `visitor` it is theirs alone.
        The collection is closed when it is refused, and when the workspace stops.

        Args:
            key: for one that does not lie in the library; by default the name of its folder.
            first: whether it comes before all others.

        Raises:
            LookalikeError: when the collection was made with another model or PCA.
        """
        key = key or collection.folder.name
        try:
            searcher = Searcher(collection, self.embedder, key)
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

    def open_library(self, library: Path) -> None:
        """Serve the collections that lie in a folder; `refused` tells of those that do not fit.

        New collections go there as well. What lies in its bin for long is deleted, and so is what a
        kill has left of one that was just being made.
        """
        self.library = library
        self._without_shipped = os.path.exists(library / WITHOUT_SHIPPED)
        empty_trash(library, UNDO_SECONDS)
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

    def mend(self, key: str) -> bool:
        """Make a damaged collection anew of what can be read of it, and serve it.

        Returns:
            Whether pictures that were taken out may come back.

        Raises:
            LookalikeError: when it is not one of these, or cannot be mended.
        """
        self.withdraw_damaged()
        with self._lock:
            folder = self._refused_folder(key)
            self._leave(key)
        try:
            self._builders.forget(key)
            findings = check_collection(folder, repair=True, embedder=lambda: self.embedder)
        finally:
            self._leaving.discard(key)
        self.open_folder(folder)
        if refusal := self._refusals.error(key):
            raise refusal
        return any(finding.returning for finding in findings)

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
        searcher = self._searchers.get(key)
        if searcher is None or not self._is_seen(key, visitor):
            raise LookalikeError(COLLECTION_GONE)
        if key in self._visitors:
            self._asked[key] = time.monotonic()
        return searcher

    def require(self, key: str) -> None:
        """Refuse the key of a collection that has ended, such as one on a page that is old.

        Raises:
            LookalikeError: when it is neither served, to whomever, nor one of the refused.
        """
        if key not in self._searchers and key not in self._refusals:
            raise LookalikeError(COLLECTION_GONE)

    def searchers(self, keys: Iterable[str], visitor: str = "") -> list[Searcher]:
        """Return those of some collections that are still there, and that a visitor sees."""
        held = []
        for key in keys:
            with suppress(LookalikeError):  # deleted just now
                held.append(self.searcher(key, visitor))
        return held

    def names(self, visitor: str = "") -> dict[str, str]:
        """Return what the collections that a visitor sees are called, by their keys."""
        found = {}
        for searcher in self.searchers(self.keys(visitor), visitor):
            with suppress(LookalikeError):  # damaged, or closed just now
                found[searcher.key] = searcher.collection.name
        return found

    @property
    def hideable(self) -> str:
        """The key of the collection that ships with the app, if there are others to show, or ""."""
        return self._shipped if len(self._lasting()) > 1 else ""

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
        state = self.building(key)
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

    # Making and changing them.

    def unused_name(self, title: str, visitor: str = "", key: str = "") -> str:
        """Return a name that a visitor sees on no other collection: with a number, if need be.

        Args:
            key: of the collection that is to be called so, if it is there already.
        """
        return unused_name(title, self._other_names(visitor, key))

    def _other_names(self, visitor: str, key: str) -> set[str]:
        names = self.names(visitor)
        return {composed(name) for other, name in names.items() if other != key}

    def create(self, name: str, root: Path | None = None) -> str:
        """Make an empty collection in the library and return its key.

        Its name gets a number where another one is called so. For a folder that was renamed or
        moved no other one is made: its own goes on with it.

        Args:
            root: the folder to be searched in place; None for one that is handed its photos.

        Raises:
            LookalikeError: when that folder is searched already, or there is no picture in it.
        """
        assert self.library is not None
        if root is not None:
            require_text(root.resolve(), name)
            name_there = self._searched_as(root.resolve())
            if name_there is not None:
                raise LookalikeError(
                    f"That folder is searched already, as {name_there}. Choose another folder, or "
                    "look for changes there."
                )
            for searcher in self._lasting():
                with suppress(DamagedError):
                    if follow(searcher.collection, root, self.embedder):
                        return searcher.key
            require_pictures(root)
        with self._naming:
            # Asks each for its name, which may take long while one is read or written.
            name = self.unused_name(name)
            with self._lock:
                folder = claim_folder(self.library, name)
                originals = folder / ORIGINALS
                return self.serve(
                    Collection.create(folder, name, root or originals, self.embedder, self.milvus)
                )

    def _lasting(self) -> list[Searcher]:
        """Return those that are not visitors', which are of no folder and may go at any moment."""
        return [one for one in list(self._searchers.values()) if not self.visitor(one.key)]

    def _searched_as(self, root: Path) -> str | None:
        """Return the name of the collection that a folder is searched as; None for none."""
        for searcher in self._lasting():
            with suppress(DamagedError):  # it keeps nobody from making another one
                if same_folder(searcher.collection.root, root):
                    return searcher.collection.name
        return None

    def rename(self, key: str, name: str) -> None:
        """Change what people call a collection.

        Raises:
            LookalikeError: when it is no name, another collection is called so, or this one is not
                served any more.
        """
        name = " ".join(name.split())[:80]
        if not name:
            raise LookalikeError("A collection needs a name. Type one.")
        collection = self._collection(key)
        with self._naming:
            if composed(name) in self._other_names(self.visitor(key), key):
                raise LookalikeError(f"Another collection is called {name}. Choose another name.")
            collection.rename(name)

    def delete(self, key: str) -> str:
        """Put a collection into the bin of its library; return the name of its place there.

        Pictures that are searched in place are not touched.

        Raises:
            BusyError: when another window is deleting or mending it.
            LookalikeError: when it is not served any more, or cannot be moved just now.
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
                    return discard(folder).name
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

    def undo(self, place: str) -> str:
        """Take a collection out of the library's bin; return its key.

        Its name gets a number where another one is called so by now.

        Raises:
            LookalikeError: when it is not in the bin any more, cannot be moved just now, or its
                folder has been made searchable anew meanwhile.
        """
        lying = self._in_bin(place)
        root = None
        with suppress(LookalikeError), Collection(lying, read_only=True) as collection:
            root = collection.root
        name = self._searched_as(root) if root else None
        if name is not None:
            raise LookalikeError(
                f"Its folder has been made searchable anew meanwhile, as {name}. Delete that one, "
                "and undo this then."
            )
        folder = restore(lying)
        self.open_arrived(folder)
        return folder.name

    def open_arrived(self, folder: Path) -> None:
        """Serve a collection that has just come into the library, as `open_folder` does.

        Its name gets a number where another one is called so.
        """
        self.open_folder(folder)
        searcher = self._searchers.get(folder.name)
        if searcher is None:  # refused
            return
        collection = searcher.collection
        with self._naming:
            name = self.unused_name(collection.name, key=folder.name)
            if name != collection.name:
                collection.rename(name)

    def empty(self, place: str) -> None:
        """Delete for good what lies at a place in the library's bin.

        Raises:
            LookalikeError: when it is not there any more, or cannot be deleted just now.
        """
        delete_discarded(self._in_bin(place))

    def has_photos_in_bin(self, place: str) -> bool:
        """Whether copies of photos lie in a collection of the bin, which `empty` deletes too."""
        return has_photos(self._in_bin(place))

    def _in_bin(self, place: str) -> Path:
        assert self.library is not None
        return find_discarded(self.library, place)

    def forget_old(self) -> None:
        """Delete for good what can be brought back no more.

        For the first app on these collections only: in another one it may just be brought back.
        """
        if self.library is not None:
            empty_trash(self.library, UNDO_SECONDS)
        self.forget_taken_out()

    def bin(self) -> list[tuple[str, str]]:
        """Return place and name of each collection that `undo` can bring back, the latest first."""
        return list_discarded(self.library) if self.library else []

    def take_out(self, key: str, ids: Iterable[int]) -> list[str]:
        """Take pictures out of a collection; return their paths, by which `let_in` undoes it.

        Raises:
            LookalikeError: when the collection is not served any more.
        """
        paths = self._removals.take_out(self._collection(key), ids)
        self._builders.outdate(key)
        return paths

    def undoable(self, key: str, paths: Iterable[str]) -> list[str]:
        """Return those of some pictures that `let_in` brings back when they have been taken out.

        Raises:
            LookalikeError: when the collection is not served any more.
        """
        return undoable(self._collection(key), paths)

    def let_in(self, key: str, paths: Iterable[str], as_now: bool = False) -> None:
        """Undo `take_out`; building brings the pictures back.

        Args:
            as_now: whether these are the paths at which they are passed over now, and not those
                that `take_out` returned.

        Raises:
            LookalikeError: when some of the photos cannot be brought back (the others are let in),
                or the collection is not served any more.
        """
        self._removals.let_in(self._collection(key), paths, as_now)

    def forget_taken_out(self) -> None:
        """Delete for good the photos that were taken out for long, which `let_in` cannot undo then.

        For the first app on these collections only: in another one they may just be let in.
        """
        for searcher in list(self._searchers.values()):
            self._removals.forget_old(searcher.collection, UNDO_SECONDS)

    # Building.

    def building(self, key: str) -> Building | None:
        """Return how the building of a collection stands; None when it was never started."""
        return self._builders.state(key)

    def look(self, key: str, let_in: AbstractSet[str] = frozenset()) -> Changes:
        """Compare a collection with its folder.

        Args:
            let_in: paths that are passed over, and are looked at as if they were not.

        Raises:
            LookalikeError: when it is not served any more, or its photos are not here.
        """
        collection = self._collection(key)
        if collection.root is None:
            raise LookalikeError(
                f"The photos of {collection.name} are not here, so there is nothing to compare it "
                "with. Add pictures instead."
            )
        changes = find_changes(collection, collection.root, let_in)
        self._builders.forget_failure(key)
        return changes

    def build(
        self,
        key: str,
        root: Path,
        bounds: Bounds,
        changes: Callable[[], Changes] | None = None,
        afterwards: Callable[[], None] | None = None,
        returning: int = 0,
    ) -> None:
        """Bring a collection up to date with a folder, in the background.

        What is done is searchable while the rest goes on. `building` tells how it stands.

        Args:
            changes: finds what is to be done; None compares the collection with the folder.
            afterwards: called when all of it is done.
            returning: how many pictures it brings back that were taken out; 0 for news.

        Raises:
            LookalikeError: when the collection is not served any more.
        """
        collection = self._collection(key)

        def work() -> Generator[Step, None, None]:
            found = changes() if changes else find_changes(collection, root)
            yield from index_folder(collection, root, self.embedder, found, bounds=bounds)
            if afterwards:
                afterwards()

        self._builders.start(key, collection, work, self.is_private(key), returning)
        if key not in self._searchers:  # deleted just now
            self._builders.forget(key)
            raise LookalikeError(COLLECTION_GONE)

    def cancel(self, key: str) -> None:
        """Stop building a collection after the batch at hand; what is done is kept."""
        self._builders.cancel(key)

    def stop(self) -> None:
        """Stop building after the batch at hand, and close the collections."""
        self._builders.stop()
        for searcher in list(self._searchers.values()):
            searcher.collection.close()

    def _collection(self, key: str) -> Collection:
        return self.searcher(key, self.visitor(key)).collection

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

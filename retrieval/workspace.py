"""What one running app serves: a model, opened once, and the collections searched with it."""

import threading
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
from retrieval.database import DamagedError
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import COLLECTION_GONE, LookalikeError
from retrieval.files import composed, same_folder
from retrieval.folders import require_pictures
from retrieval.indexing import Bounds, Step, index_folder
from retrieval.library import claim_folder, unused_name
from retrieval.paths import require_text
from retrieval.relocated import follow
from retrieval.removals import Removals, undoable
from retrieval.schema import ORIGINALS
from retrieval.shelf import Shelf
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


class Workspace:
    """A running app's model, and what is done to its collections; safe to use from several threads.

    Which of these there are, and who sees them, is asked of its `shelf`.
    """

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
        self._opening = threading.Lock()  # while the model is opened
        self._embedder: Embedder | None = None
        self._naming = threading.Lock()  # while a collection gets a name that no other one has
        self._removals = Removals()
        self._builders = Builders()
        self.shelf = Shelf(lambda: self.embedder, self._builders)
        self.copies = Once(find_copies)

    @property
    def model_path(self) -> Path:
        """The file of the model."""
        return self._model

    @property
    def embedder(self) -> Embedder:
        """The model and its PCA; opening takes a moment, the first time."""
        with self._opening:
            if self._embedder is None:
                self._embedder = open_embedder(self._model, self._pca, self._gpu, self._texture)
            return self._embedder

    def warm_up(self) -> None:
        """Compute and look around once, in a thread, so that the first visitor need not wait."""
        side = self.embedder.card.preprocessing.side
        self.embedder.describe_pictures(np.zeros((1, side, side, 3), np.uint8))
        keys = self.shelf.keys()
        for key in keys:
            with suppress(LookalikeError):  # deleted meanwhile, or Milvus does not answer
                self.shelf.searcher(key).calibration()

    # Making and changing collections.

    def open_library(self, library: Path) -> None:
        """Serve the collections that lie in a folder, where new ones go as well.

        What lies in its bin for long is deleted.
        """
        empty_trash(library, UNDO_SECONDS)
        self.shelf.fill(library)

    def mend(self, key: str) -> bool:
        """Make a damaged collection anew of what can be read of it, and serve it.

        Returns:
            Whether pictures that were taken out may come back.

        Raises:
            LookalikeError: when it is not one of these, or cannot be mended.
        """
        with self.shelf.mending(key) as folder:
            findings = check_collection(folder, repair=True, embedder=lambda: self.embedder)
        return any(finding.returning for finding in findings)

    def unused_name(self, title: str, visitor: str = "", key: str = "") -> str:
        """Return a name that a visitor sees on no other collection: with a number, if need be.

        Args:
            key: of the collection that is to be called so, if it is there already.
        """
        return unused_name(title, self._other_names(visitor, key))

    def _other_names(self, visitor: str, key: str) -> set[str]:
        names = self.shelf.names(visitor)
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
        library = self.shelf.library
        assert library is not None
        if root is not None:
            require_text(root.resolve(), name)
            name_there = self._searched_as(root.resolve())
            if name_there is not None:
                raise LookalikeError(
                    f"That folder is searched already, as {name_there}. Choose another folder, or "
                    "look for changes there."
                )
            for searcher in self.shelf.lasting():
                with suppress(DamagedError):
                    if follow(searcher.collection, root, self.embedder):
                        return searcher.key
            require_pictures(root)
        with self._naming:
            # Asks each for its name, which may take long while one is read or written.
            name = self.unused_name(name)

            def make() -> Collection:
                folder = claim_folder(library, name)
                originals = folder / ORIGINALS
                return Collection.create(
                    folder, name, root or originals, self.embedder, self.milvus
                )

            return self.shelf.serve_new(make)

    def _searched_as(self, root: Path) -> str | None:
        """Return the name of the collection that a folder is searched as; None for none."""
        for searcher in self.shelf.lasting():
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
            if composed(name) in self._other_names(self.shelf.visitor(key), key):
                raise LookalikeError(f"Another collection is called {name}. Choose another name.")
            collection.rename(name)

    def delete(self, key: str) -> str:
        """Put a collection into the bin of its library; return the name of its place there.

        Pictures that are searched in place are not touched.

        Raises:
            BusyError: when another window is deleting or mending it.
            LookalikeError: when it is not served any more, or cannot be moved just now.
        """
        with self.shelf.deleting(key) as folder:
            return discard(folder).name

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
        """Serve a collection that has just come into the library, as `Shelf.open_folder` does.

        Its name gets a number where another one is called so.
        """
        self.shelf.open_folder(folder)
        try:
            collection = self._collection(folder.name)
        except LookalikeError:  # refused
            return
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
        assert self.shelf.library is not None
        return find_discarded(self.shelf.library, place)

    def forget_old(self) -> None:
        """Delete for good what can be brought back no more.

        For the first app on these collections only: in another one it may just be brought back.
        """
        if self.shelf.library is not None:
            empty_trash(self.shelf.library, UNDO_SECONDS)
        self.forget_taken_out()

    def bin(self) -> list[tuple[str, str]]:
        """Return place and name of each collection that `undo` can bring back, the latest first."""
        return list_discarded(self.shelf.library) if self.shelf.library else []

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
            NotAllBackError: when some of the photos are gone; the others are let in.
            LookalikeError: when all are, or some cannot be moved just now (the others are let in),
                or the collection is not served any more.
        """
        self._removals.let_in(self._collection(key), paths, as_now)

    def forget_taken_out(self) -> None:
        """Delete for good the photos that were taken out for long, which `let_in` cannot undo then.

        For the first app on these collections only: in another one they may just be let in.
        """
        for searcher in self.shelf.served():
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

        self._builders.start(key, collection, work, self.shelf.is_private(key), returning)
        if not self.shelf.serves(key):  # deleted just now
            self._builders.forget(key)
            raise LookalikeError(COLLECTION_GONE)

    def cancel(self, key: str) -> None:
        """Stop building a collection after the batch at hand; what is done is kept."""
        self._builders.cancel(key)

    def stop(self) -> None:
        """Stop building after the batch at hand, and close the collections."""
        self._builders.stop()
        self.shelf.close()

    def _collection(self, key: str) -> Collection:
        return self.shelf.searcher(key, self.shelf.visitor(key)).collection

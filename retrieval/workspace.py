"""What one running app serves: a model, opened once, and the collections searched with it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from retrieval.collection import DATABASE, Collection
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import Bounds, Step, find_changes, index_folder
from retrieval.search import Searcher


@dataclass(frozen=True)
class Building:
    """How a collection that is being built stands."""

    step: Step
    started: float  # time.monotonic()
    finished: bool = False
    problem: str | None = None  # a sentence, when it had to stop

    def seconds_left(self, now: float) -> float | None:
        """Estimate from the pace so far; None while there is none yet."""
        if not self.step.done or self.finished:
            return None
        return (now - self.started) / self.step.done * (self.step.total - self.step.done)


class Workspace:
    """The model and the collections of a running app; safe to use from several threads."""

    def __init__(self, model: Path, pca: Path | None, gpu: bool = True) -> None:
        self._model = model
        self._pca = pca
        self._gpu = gpu
        self._lock = threading.Lock()
        self._searchers: dict[str, Searcher] = {}
        self._visitors: dict[str, str] = {}  # whose a private collection is, by its key
        self.refused: dict[str, str] = {}  # why a collection cannot be searched, by its key
        self._buildings: dict[str, Building] = {}
        self._stopping = threading.Event()
        self._builders: list[threading.Thread] = []

    @cached_property
    def embedder(self) -> Embedder:
        """The model and its PCA; opening takes a moment, the first time."""
        with self._lock:
            return open_embedder(self._model, self._pca, self._gpu)

    def serve(self, collection: Collection, visitor: str = "") -> str:
        """Make a collection searchable and return the key by which pages name it.

        The key says nothing of where the collection lies. With a `visitor` it is theirs alone.

        Raises:
            LookalikeError: when the collection was made with another model or PCA.
        """
        key = collection.folder.name
        searcher = Searcher(collection, self.embedder, key)
        if visitor:
            self._visitors[key] = visitor
        self._searchers[key] = searcher
        return key

    def open_library(self, library: Path) -> None:
        """Serve the collections that lie in a folder; `refused` tells of those that do not fit."""
        for folder in sorted(path.parent for path in library.glob(f"*/{DATABASE}")):
            if folder.name in self._searchers:
                continue
            try:
                self.serve(Collection(folder))
            except LookalikeError as error:
                self.refused[folder.name] = str(error)

    def keys(self, visitor: str = "") -> list[str]:
        """Return the keys of the collections that a visitor sees, the first served first."""
        return [key for key in list(self._searchers) if self._is_seen(key, visitor)]

    def searcher(self, key: str, visitor: str = "") -> Searcher:
        """Return the collection with this key, ready to search.

        Raises:
            LookalikeError: when it is not served (any more), or is another visitor's.
        """
        searcher = self._searchers.get(key)
        if searcher is None or not self._is_seen(key, visitor):
            raise LookalikeError("That collection is not here any more. Reload the page.")
        return searcher

    def _is_seen(self, key: str, visitor: str) -> bool:
        return self._visitors.get(key, "") in ("", visitor)

    def building(self, key: str) -> Building | None:
        """Return how the building of a collection stands; None when it was never started."""
        return self._buildings.get(key)

    def build(self, key: str, root: Path, bounds: Bounds) -> None:
        """Bring a collection up to date with a folder, in the background.

        What is done is searchable while the rest goes on. `building` tells how it stands.
        """
        step = Step(0, 0, 0, 0)
        self._buildings[key] = Building(step, time.monotonic())
        # A daemon, so that closing the app never waits; every batch is a transaction of its own.
        thread = threading.Thread(
            target=self._build, args=(key, root, bounds), name=f"build {key}", daemon=True
        )
        self._builders.append(thread)
        thread.start()

    def stop(self) -> None:
        """Stop building after the batch at hand, and close the collections."""
        self._stopping.set()
        for thread in self._builders:
            thread.join(timeout=30)
        for searcher in self._searchers.values():
            searcher.collection.close()

    def _build(self, key: str, root: Path, bounds: Bounds) -> None:
        collection = self._searchers[key].collection
        with self._told_of(key):
            changes = find_changes(collection, root)
            for step in index_folder(collection, root, self.embedder, changes, bounds=bounds):
                self._buildings[key] = replace(self._buildings[key], step=step)
                if self._stopping.is_set():
                    break

    @contextmanager
    def _told_of(self, key: str) -> Iterator[None]:
        """Tell the page how it ended; nobody else listens to a thread."""
        problem: str | None = "Something went wrong while reading the pictures. Start again."
        try:
            yield
            problem = None
        except LookalikeError as error:
            problem = str(error)
        finally:
            self._buildings[key] = replace(self._buildings[key], finished=True, problem=problem)

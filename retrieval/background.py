"""What takes long and depends on a collection alone: computed in the background, once."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from retrieval.collection import Collection
from retrieval.errors import LookalikeError

T = TypeVar("T")
WRONG = "Something went wrong. Open this page again to have another try."


class Task(Generic[T]):
    """One computation, for one revision of a collection."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.done = threading.Event()
        self.result: T | None = None
        self.problem: str | None = None  # a sentence, when it came to nothing


class Once(Generic[T]):
    """Results of one kind, held as long as their collections; safe to use from several threads."""

    def __init__(self, compute: Callable[[Collection], T]) -> None:
        """Take what computes a result from a collection."""
        self._compute = compute
        self._lock = threading.Lock()
        # One at a time: two would share the same processors, and both seem slow.
        self._turn = threading.Semaphore(1)
        # By the opened collection, not by its name: another one of that name begins anew.
        self._tasks: WeakKeyDictionary[Collection, Task[T]] = WeakKeyDictionary()

    def ask(self, collection: Collection, patience: float = 0.0, again: bool = False) -> Task[T]:
        """Return how it stands for the collection as it is now; start it where nobody has.

        Args:
            patience: seconds to wait for it, so that what is quick comes at once.
            again: whether to have another try at what came to nothing.

        Raises:
            LookalikeError: when the collection is gone.
        """
        revision = collection.revision
        with self._lock:
            task = self._tasks.get(collection)
            failed = task is not None and task.problem is not None
            if task is None or task.revision != revision or (failed and again):
                task = self._tasks[collection] = Task(revision)
                # A daemon, so that closing the app never waits.
                threading.Thread(target=self._run, args=(collection, task), daemon=True).start()
        if patience:
            task.done.wait(patience)
        return task

    def _run(self, collection: Collection, task: Task[T]) -> None:
        problem: str | None = WRONG
        try:
            with self._turn:
                # While it waited the collection may have changed, and nobody asks for it any more.
                if self._tasks.get(collection) is task:
                    task.result = self._compute(collection)
            problem = None
        except LookalikeError as error:
            problem = str(error)
        finally:
            task.problem = problem
            task.done.set()

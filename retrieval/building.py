"""Building collections in the background: started, watched, cancelled and resumed from pages."""

import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

from retrieval.collection import Collection
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.indexing import Step

NOTHING = Step(0, 0, 0, 0)
Work = Callable[[], Generator[Step, None, None]]


@dataclass(frozen=True)
class Building:
    """How a collection that is being built stands."""

    step: Step = NOTHING
    started: float = 0.0  # time.monotonic(), when the first picture was begun
    ended: float = 0.0  # the same clock; 0 while it goes on
    waiting: bool = False  # for another collection to be finished
    cancelled: bool = False
    problem: str | None = None  # a sentence, when it had to stop

    @property
    def finished(self) -> bool:
        """Whether nothing goes on any more, for whatever reason."""
        return self.ended > 0

    def rate(self, now: float) -> float:
        """Return pictures per second so far."""
        seconds = (self.ended or now) - self.started
        return self.step.done / seconds if seconds > 0 else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Estimate from the pace so far; None while there is none yet."""
        rate = self.rate(now)
        if self.finished or not rate:
            return None
        return (self.step.total - self.step.done) / rate


class Builders:
    """The threads that build, one collection after the other; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # One at a time: two would share the same processors and both seem slow. But visitors do not
        # wait for the owner's, which may take hours, nor the owner for theirs, which may be many.
        self._turns = {private: threading.Semaphore(1) for private in (False, True)}
        self._states: dict[str, Building] = {}
        self._cancels: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._next: dict[str, Work] = {}  # to be done after what goes on

    def state(self, key: str) -> Building | None:
        """Return how the building of a collection stands; None when it was never started."""
        return self._states.get(key)

    def start(self, key: str, collection: Collection, work: Work, private: bool = False) -> None:
        """Build in the background; where the collection is being built already, once more after.

        Args:
            work: makes the steps; it is closed after the step at hand when building is cancelled.
            private: whether it is a visitor's; of those, too, one is built at a time.
        """
        # Also when it is stopped or killed while it waits there is something left to do.
        with suppress(LookalikeError):
            collection.mark_unfinished(True)
        with self._lock:
            state = self._states.get(key)
            if state is not None and not state.finished:
                self._next[key] = work
                return
            self._states[key] = Building(waiting=True, started=time.monotonic())
            self._cancels[key] = threading.Event()
            # A daemon, so that closing the app never waits; every batch is a transaction.
            thread = threading.Thread(
                target=self._run,
                args=(key, collection, work, private),
                name=f"build {key}",
                daemon=True,
            )
            self._threads[key] = thread
            thread.start()

    def cancel(self, key: str, wait: float = 0.0) -> None:
        """Stop after the batch at hand; what is done is kept.

        Args:
            wait: seconds to wait for the end of it.
        """
        with self._lock:
            thread = self._threads.get(key)
            if thread is None:
                return
            self._cancels[key].set()
            self._next.pop(key, None)
        thread.join(wait)

    def forget(self, key: str) -> None:
        """Stop, and remember nothing of it."""
        self.cancel(key, wait=60)
        with self._lock:
            self._states.pop(key, None)
            thread = self._threads.get(key)
            if thread is not None and not thread.is_alive():  # else it is asked for until it ends
                del self._threads[key], self._cancels[key]

    def stop(self) -> None:
        """Stop everything after the batch at hand."""
        for cancel in list(self._cancels.values()):
            cancel.set()
        for thread in list(self._threads.values()):
            thread.join(timeout=30)

    def _run(self, key: str, collection: Collection, work: Work | None, private: bool) -> None:
        turn, cancel = self._turns[private], self._cancels[key]
        while work is not None:
            problem, cancelled = self._build(key, collection, work, turn, cancel)
            with self._lock:  # so that nothing is added between the look and the end
                work = self._next.pop(key, None)
                if work is None or cancelled:
                    ended = time.monotonic()
                    self._tell(key, problem=problem, cancelled=cancelled, ended=ended)
                    return
                self._states[key] = Building(waiting=True, started=time.monotonic())

    def _build(
        self,
        key: str,
        collection: Collection,
        work: Work,
        turn: threading.Semaphore,
        cancel: threading.Event,
    ) -> tuple[str | None, bool]:
        """Build when it is this one's turn; return the problem, and whether it was cancelled."""
        while not turn.acquire(timeout=0.2):
            if cancel.is_set():
                self._tell(key, waiting=False)
                return None, True
        problem, cancelled = None, False
        try:
            self._tell(key, waiting=False)
            collection.mark_unfinished(True)
            with closing(work()) as steps:  # not closed some time later: it holds a lock
                for step in steps:
                    if not step.done:
                        self._tell(key, started=time.monotonic())
                    self._tell(key, step=step)
                    if cancel.is_set() and step.done < step.total:
                        cancelled = True
                        break
            if not cancelled:
                collection.mark_finished()
        except LookalikeError as error:
            problem = str(error)
        except OSError as error:  # a network drive that does not answer, say
            problem = str(explain_os_error(error, str(error.filename or collection.folder)))
        except Exception:  # whoever looks at the page learns of it; nobody listens to a thread
            traceback.print_exc()
            problem = (
                "Something went wrong while reading the pictures; what was finished is kept. Go "
                "on, and if it happens again, the terminal says more."
            )
        finally:
            turn.release()
        return problem, cancelled

    def _tell(self, key: str, **changes: Any) -> None:
        state = self._states.get(key)
        if state is not None:  # not forgotten meanwhile
            self._states[key] = replace(state, **changes)

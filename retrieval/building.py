"""Building collections in the background: started, watched, cancelled and resumed from pages."""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from retrieval.collection import Collection
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.indexing import Step

NOTHING = Step(0, 0, 0, 0)
# Seconds that the pace is judged by: some batches of photos on two cores. Files that are known
# already go by at hundreds a second, and a computer that sleeps reads none.
LATELY = 20.0
SOON = 3.0  # seconds before which a pace is a matter of chance
# A step so long, and so many times as long as those before it, was a sleep of the computer, where
# the clock goes on in it.
SLEEP, LONGER = 60.0, 10
Work = Callable[[], Generator[Step, None, None]]


@dataclass(frozen=True)
class Building:
    """How a collection that is being built stands."""

    step: Step = NOTHING
    since: tuple[float, int] = (0.0, 0)  # time.monotonic() `LATELY` ago, and pictures done by then
    ended: float = 0.0  # the same clock; 0 while it goes on
    waiting: bool = False  # for another collection to be finished
    stopping: bool = False  # after the batch at hand
    cancelled: bool = False
    problem: str | None = None  # a sentence, when it had to stop
    returning: int = 0  # so many pictures of it were there before, and are no news
    outdated: bool = False  # pictures were taken out since, so its figures are told no more
    before: int = 0  # pictures that one read which ended early, and which this one goes on from

    @property
    def done(self) -> int:
        """How many pictures have been read, with those before it was stopped."""
        return self.before + self.step.done

    @property
    def total(self) -> int:
        """Of how many; 0 until that is known."""
        return self.before + self.step.total if self.step.total else 0

    @property
    def left_to(self) -> int:
        """How many pictures one that goes on from here need not count anew."""
        ended_early = self.cancelled or self.problem is not None
        return self.done if ended_early and not self.outdated else 0

    @property
    def finished(self) -> bool:
        """Whether nothing goes on any more, for whatever reason."""
        return self.ended > 0

    def rate(self, now: float) -> float:
        """Return pictures per second of late."""
        then, done = self.since
        return (self.step.done - done) / (now - then) if now > then else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Estimate from the pace of late; None while that says little."""
        rate = self.rate(now)
        if self.finished or not rate or now - self.since[0] < SOON:
            return None
        return (self.step.total - self.step.done) / rate


class Pace:
    """Where a run stood a while ago."""

    def __init__(self) -> None:
        self._stood: deque[tuple[float, int]] = deque()

    def since(self, now: float, done: int) -> tuple[float, int]:
        """Take down how many are done; return when and what to count from."""
        if not done or self._has_slept(now):  # before, it was looked for what there is
            self._stood.clear()
        self._stood.append((now, done))
        # At least two, or there is no pace: a batch may take longer than that.
        while len(self._stood) > 2 and self._stood[1][0] <= now - LATELY:
            self._stood.popleft()
        return self._stood[0]

    def _has_slept(self, now: float) -> bool:
        if len(self._stood) < 2:
            return False
        (first, _), (last, _) = self._stood[0], self._stood[-1]
        usual = (last - first) / (len(self._stood) - 1)
        return now - last > max(SLEEP, LONGER * usual)


class Turns:
    """One at a time goes on: the one whose wait, less the time that it has had, is longest.

    By the time alone whoever begins one after the other, each of which has had none, would always
    come first. Safe to use from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free = threading.Condition()
        self._taken_at: float | None = None  # by the clock; None when nobody goes on
        # When those that wait began to, later by what each has had; the earliest comes first.
        self._waiting: dict[object, float] = {}
        self._had: dict[object, float] = {}  # seconds, of those that have not ended

    def take(self, who: object, seconds: float) -> bool:
        """Wait for a turn for so long; return whether it came."""
        with self._free:
            self._waiting.setdefault(who, self._clock() + self._had.get(who, 0.0))
            if not self._free.wait_for(lambda: self._is_next(who), seconds):
                return False
            del self._waiting[who]
            self._taken_at = self._clock()
            return True

    def give_back(self, who: object) -> None:
        """End the turn that one has."""
        with self._free:
            assert self._taken_at is not None
            spent = self._clock() - self._taken_at
            self._had[who] = self._had.get(who, 0.0) + spent
            self._taken_at = None
            self._free.notify_all()

    def forget(self, who: object) -> None:
        """Wait no more for one that has ended."""
        with self._free:
            self._waiting.pop(who, None)
            self._had.pop(who, None)
            self._free.notify_all()

    def _is_next(self, who: object) -> bool:
        earliest = min(self._waiting, key=self._waiting.__getitem__)
        return self._taken_at is None and who is earliest


@dataclass(eq=False)
class _Run:
    """A thread that builds one collection, and what it was asked for."""

    collection: Collection
    turns: Turns
    shares: bool  # whether each batch is a turn of its own
    state: Building
    cancel: threading.Event = field(default_factory=threading.Event)
    next: tuple[Work, int] | None = None  # to be done after what goes on, and `returning` of it
    thread: threading.Thread = field(default_factory=threading.Thread)

    def stop(self) -> None:
        """Stop after the batch at hand; what is asked for from now on comes after it."""
        self.cancel.set()
        self.next = None

    def tell(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)


class Builders:
    """The threads that build, one collection after the other; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # One at a time: two would share the same processors and both seem slow. But visitors do not
        # wait for the owner's, which may take hours, nor the owner for theirs, which may be many;
        # and these take turns with each batch, since pictures can be made that take minutes.
        self._turns = {private: Turns() for private in (False, True)}
        self._runs: dict[str, _Run] = {}  # the last one of each collection

    def state(self, key: str) -> Building | None:
        """Return how the building of a collection stands; None when it was never started."""
        run = self._runs.get(key)
        if run is None:
            return None
        state = run.state
        return replace(state, stopping=run.cancel.is_set() and not state.finished)

    def start(
        self,
        key: str,
        collection: Collection,
        work: Work,
        private: bool = False,
        returning: int = 0,
    ) -> None:
        """Build in the background; where the collection is being built already, once more after.

        Args:
            work: makes the steps; it is closed after the step at hand when building is cancelled.
            private: whether it is a visitor's; of those, too, one batch is read at a time.
            returning: how many pictures it brings back that were taken out; 0 for news.
        """
        # Also when it is stopped or killed while it waits there is something left to do.
        with suppress(LookalikeError):
            collection.mark_unfinished(True)
        with self._lock:
            run = self._runs.get(key)
            if run is not None and not run.state.finished:
                is_news = run.next is not None and not run.next[1]
                run.next = work, 0 if is_news else returning
                return
            before = run.state.left_to if run is not None else 0
            state = Building(waiting=True, returning=returning, before=before)
            run = self._runs[key] = _Run(collection, self._turns[private], private, state)
            # A daemon, so that closing the app never waits; every batch is a transaction.
            run.thread = threading.Thread(
                target=self._run, args=(run, work), name=f"build {key}", daemon=True
            )
            run.thread.start()

    def cancel(self, key: str) -> None:
        """Stop after the batch at hand; what is done is kept."""
        with self._lock:
            if run := self._runs.get(key):
                run.stop()

    def forget(self, key: str) -> None:
        """Stop, and remember nothing of it; waits for the batch at hand."""
        if run := self._drop(key):
            run.thread.join(60)

    def let_go(self, key: str) -> None:
        """Do the same without waiting: the collection is not what it was."""
        self._drop(key)

    def _drop(self, key: str) -> _Run | None:
        with self._lock:
            run = self._runs.pop(key, None)
            if run is not None:
                run.stop()
            return run

    def forget_failure(self, key: str) -> None:
        """Say no more why a run has ended before it read anything, such as a disk that was away."""
        with self._lock:
            if (run := self._runs.get(key)) and run.state.finished and run.state.step is NOTHING:
                run.tell(problem=None)

    def outdate(self, key: str) -> None:
        """Note that pictures were taken out of a collection since it was built."""
        with self._lock:
            if (run := self._runs.get(key)) and run.state.finished:
                run.tell(outdated=True)

    def stop(self) -> None:
        """Stop everything after the batch at hand."""
        with self._lock:
            runs = list(self._runs.values())
            for run in runs:
                run.stop()
        for run in runs:
            run.thread.join(timeout=30)

    def _run(self, run: _Run, work: Work) -> None:
        while True:
            problem, cancelled = self._build(run, work)
            with self._lock:  # so that nothing is added between the look and the end
                if run.next is None:
                    run.tell(problem=problem, cancelled=cancelled, ended=time.monotonic())
                    return
                (work, returning), run.next = run.next, None
                before = replace(run.state, problem=problem, cancelled=cancelled).left_to
                run.state = Building(waiting=True, returning=returning, before=before)
                run.cancel = threading.Event()

    def _build(self, run: _Run, work: Work) -> tuple[str | None, bool]:
        """Build when it is this one's turn; return the problem, and whether it was cancelled."""
        problem, cancelled = None, False
        if not _take_turn(run):
            run.tell(waiting=False)
            return None, True
        has_turn = True
        try:
            run.tell(waiting=False)
            run.collection.mark_unfinished(True)
            with closing(work()) as steps:  # not closed some time later: it holds a lock
                pace = Pace()
                for step in steps:
                    run.tell(step=step, since=pace.since(time.monotonic(), step.done))
                    if run.shares and step.done < step.total:
                        run.turns.give_back(run)
                        has_turn = _take_turn(run)
                    if run.cancel.is_set() and step.done < step.total:
                        cancelled = True
                        break
            if not cancelled:
                run.collection.mark_finished()
        except LookalikeError as error:
            problem = str(error)
        except OSError as error:  # a network drive that does not answer, say
            problem = str(explain_os_error(error, str(error.filename or run.collection.folder)))
        except Exception:  # whoever looks at the page learns of it; nobody listens to a thread
            traceback.print_exc()
            problem = (
                "Something went wrong while reading the pictures; what was finished is kept. Go "
                "on, and if it happens again, the terminal says more."
            )
        finally:
            if has_turn:
                run.turns.give_back(run)
            run.turns.forget(run)
        return problem, cancelled


def _take_turn(run: _Run) -> bool:
    """Wait until it is the turn of this one; return whether it came before a stop."""
    while not run.turns.take(run, seconds=0.2):
        if run.cancel.is_set():
            run.turns.forget(run)
            return False
    return True

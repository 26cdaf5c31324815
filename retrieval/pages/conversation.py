"""What one page asks: all that its visitor has done there, in the order in which it was done.

Requests overtake each other, and some take long: an upload has to be described, a web address to be
fetched. So each tells its number, and one that comes late is put where it belongs, among the last
few. So what was done last counts, and what was done shortly before it is not lost.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from retrieval.errors import LookalikeError
from retrieval.pages.asking import PLAIN, Asked, Options

# In which a late one finds its place. A page has seldom more than three under way, and each may
# keep an upload of its own.
MOST_STEPS = 5


@dataclass(frozen=True)
class Step:
    """One thing that a visitor has done."""

    change: Callable[[Asked], Asked]  # what it makes of the query before
    options: Options | None = None  # as they stood then; None: as the step before has left them
    number: int | None = None  # the page counts what is done there; None: the latest
    anew: bool = False  # the pictures of the query before do not count


def unchanged(asked: Asked) -> Asked:
    """Return the query as it is: the change of a step that is about the options alone."""
    return asked


@dataclass(frozen=True)
class _Standing:
    """A step, and how the search stands after it."""

    number: int
    step: Step
    asked: Asked
    options: Options


class Conversation:
    """The query and the options of one page; safe to use from several threads."""

    def __init__(self) -> None:
        begin = Step(unchanged)
        self._standings: tuple[_Standing, ...] = (_Standing(0, begin, Asked(), PLAIN),)
        self._turns = 0
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Conversation":
        """Return a new one: Gradio copies the first for each page."""
        return Conversation()

    @property
    def stands(self) -> tuple[Asked, Options]:
        """The query and the options as they stand, which belong together."""
        last = self._standings[-1]
        return last.asked, last.options

    @property
    def asked(self) -> Asked:
        """The query as it stands."""
        return self.stands[0]

    @property
    def options(self) -> Options:
        """The options as they stand."""
        return self.stands[1]

    def next_turn(self) -> int:
        """Return the number of an answer, which is made while something is being done."""
        self._turns += 1
        return self._turns

    @contextmanager
    def doing(self, step: Step | None = None) -> Iterator[tuple[Asked, Options]]:
        """Do one thing, and yield how the search then stands, with all that was done later.

        Without a step it stands as before. It stays so until the block ends, so that answers leave
        in the order of what they answer. What cannot be done, or be answered, has not been done.

        Raises:
            LookalikeError: when the step cannot be done.
        """
        with self._lock:
            before = self._standings
            try:
                if step is not None:
                    self._standings = _with_step(before, step)
                yield self._standings[-1].asked, self._standings[-1].options
            except BaseException:
                self._standings = before
                raise


def _with_step(standings: tuple[_Standing, ...], step: Step) -> tuple[_Standing, ...]:
    """Return how a search stood after each step, with one more in its place."""
    number = standings[-1].number + 1 if step.number is None else step.number
    if number < standings[0].number:
        return standings  # what began anew since has left nothing of it
    earlier = tuple(one for one in standings if one.number <= number)
    last = earlier[-1]
    asked, options = step.change(last.asked), step.options or last.options
    done = _Standing(number, step, asked, options)
    kept = (done,) if step.anew and step.options else _and_then(earlier, done)
    for later in standings[len(earlier) :]:
        with suppress(LookalikeError):  # of which its visitor was told when it was done
            asked = later.step.change(asked)
        options = later.step.options or options
        kept = _and_then(kept, replace(later, asked=asked, options=options))
    return kept[-MOST_STEPS:]


def _and_then(standings: tuple[_Standing, ...], last: _Standing) -> tuple[_Standing, ...]:
    """Add one that comes after these.

    Of options that are changed several times in a row only the last count: a slider that is dragged
    would leave no place for an upload that is still on its way. The first of all stays, since what
    is late is put behind it.
    """
    in_a_row = standings[-1].step.change is last.step.change is unchanged
    if in_a_row and last.step.options and len(standings) > 1:
        standings = standings[:-1]
    return (*standings, last)

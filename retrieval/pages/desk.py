"""What lies open on one visitor's page of collections, while several of its requests are answered.

Some take minutes: a folder is compared, a zip unpacked. Meanwhile other buttons are pressed, and a
look each second follows what is being built. So there is one desk for each page, which nobody
copies: what is done is put on it as it stands by then, and every answer shows what lies on it last.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from retrieval.changes import Changes

MOST_ENDED = 20  # buttons whose end an answer tells again, since it may be shown before theirs


@dataclass(frozen=True)
class Opened:
    """What lies open on a visitor's page."""

    key: str = ""  # of the card
    view: str = ""  # what is open in it
    start: int = 0  # the first picture of the page shown
    changes: Changes | None = None
    inside: str = ""  # HTML of what is open, where it takes long to make
    notice: str = ""  # HTML above the collections
    passing: str = ""  # the same, which goes with whatever is done next
    removed: tuple[str, ...] = ()  # paths that were taken out last
    deleted: str = ""  # the place in the bin that the notice is about

    @property
    def place(self) -> tuple[str, str, int, Changes | None]:
        """What is in use, whatever is said above it."""
        return self.key, self.view, self.start, self.changes

    def turned_to(self, other: "Opened") -> "Opened":
        """Return it with what is in use in another one, and what is said here."""
        key, view, start, changes = other.place
        inside = other.inside
        return replace(self, key=key, view=view, start=start, changes=changes, inside=inside)


class Desk:
    """What lies open on one page; safe to use from several threads."""

    def __init__(self) -> None:
        self.opened = Opened()
        # The page's numbers of the buttons that were answered last, be it by a refusal.
        self.ended: deque[int] = deque(maxlen=MOST_ENDED)
        self._turns = 0
        self._lock = threading.RLock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Desk":
        """Return a new one: Gradio copies the first for each page."""
        return Desk()

    @contextmanager
    def held(self) -> Iterator[Opened]:
        """Yield what lies open, which stays so until the block ends but for what it puts there.

        An answer is made within, so that answers leave in the order of what they show.
        """
        with self._lock:
            yield self.opened

    def next_turn(self) -> int:
        """Return the number of an answer, which is made while the desk is held."""
        self._turns += 1
        return self._turns

    def answer(self, change: Callable[[Opened], Opened], number: int = 0) -> None:
        """Change what lies open, as the answer to a button; its number is 0 where it has none."""
        with self._lock:
            self.opened = change(self.opened)
            if number:
                self.ended.append(number)

    def announce(self, told: str) -> None:
        """Put a notice (HTML) above those that have not been read yet; a passing one goes."""
        with self._lock:
            # The latest comes first, as what is brought into view; nothing is said twice.
            before = self.opened.notice.replace(told, "") if told else self.opened.notice
            self.opened = replace(self.opened, notice=told + before, passing="")

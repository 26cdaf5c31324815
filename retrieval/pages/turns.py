"""Whose turn it is, where several visitors' work goes on side by side and nobody's waits for all.

One who asks for much waits for what they asked for themselves, and takes one place of those that
there are; the owner takes none of the visitors'.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval import settings

OWNER = "owner"


@dataclass(frozen=True)
class Asker:
    """Who asks for something."""

    visitor: str  # "" for one without a cookie; all of these are one
    address: str = ""  # the visitor's own in the network; "" where it is not known
    owner: bool = False

    @property
    def counted(self) -> tuple[str, ...]:
        """For whom the time counts: whoever has an address can make up as many visitors."""
        if self.owner:
            return (OWNER,)
        return tuple(name for name in (self.visitor, self.address) if name)

    def is_same(self, other: "Asker") -> bool:
        """Whether one waits for the other: two of their uploads may go into one collection.

        All owners are one, and so is a visitor who has just given the password.
        """
        if self.owner == other.owner:
            return self.owner or self.visitor == other.visitor
        return self.visitor == other.visitor != ""


class Turns:
    """Chooses what is done next among what waits: of the one whose wait, less the time that they
    have had, is longest. What one asks for is done in its order."""

    def __init__(self, owners: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nobody having had a turn.

        Args:
            owners: how much of the owner's may be at work at once; of a visitor it is one.
        """
        self._owners = owners
        self._clock = clock
        self._begun: dict[Any, tuple[float, Asker]] = {}  # of what was at work when last seen
        # Seconds, of those who have something here; who waits for nothing more begins anew.
        self._had: dict[str, float] = {}
        self._waited: set[str] = set()  # those who did after the last look

    def next(
        self,
        waiting: Sequence[tuple[Any, Asker, float]],
        at_work: Sequence[tuple[Any, Asker]],
        most: int,
    ) -> Any | None:
        """Return what is to be begun now; None while nothing may be.

        Args:
            waiting: each with who asked for it, and when, by the clock.
            most: how many visitors may be at work; the owner comes beside them.
        """
        self._count(at_work)
        askers = [who for _, who, _ in waiting] + [who for _, who in at_work]
        here = {name for who in askers for name in who.counted}
        for name in self._had.keys() - here:
            del self._had[name]
        busy = [who for _, who in at_work]
        is_full = sum(not who.owner for who in busy) >= most
        free = [
            (since + sum(self._had.get(name, 0.0) for name in who.counted), number)
            for number, (_, who, since) in enumerate(waiting)
            if (who.owner or not is_full) and self._may_begin(who, busy)
        ]
        chosen = min(free)[1] if free else None
        self._waited = {
            name
            for number, (_, who, _) in enumerate(waiting)
            for name in who.counted
            if number != chosen
        }
        return None if chosen is None else waiting[chosen][0]

    def _may_begin(self, who: Asker, busy: Sequence[Asker]) -> bool:
        return sum(map(who.is_same, busy)) < (self._owners if who.owner else 1)

    def _count(self, at_work: Sequence[tuple[Any, Asker]]) -> None:
        """Count the time of what has ended since the last look."""
        now, still = self._clock(), dict(at_work)
        for item in self._begun.keys() - still.keys():
            begun, who = self._begun.pop(item)
            for name in self._waited.intersection(who.counted):
                self._had[name] = self._had.get(name, 0.0) + now - begun
        for item, who in still.items():
            self._begun.setdefault(item, (now, who))


def is_too_much(asker: Asker, waiting: Sequence[Asker], most_of_one: int) -> bool:
    """Whether nothing more may wait of who asks: neither one visitor nor all fill the queue.

    Args:
        most_of_one: how much of one visitor may wait; of the owner as much as of all visitors.
    """
    if asker.owner:
        return sum(who.owner for who in waiting) >= settings.MAX_QUEUE
    mine = sum(who.is_same(asker) for who in waiting)
    return mine >= most_of_one or sum(not who.owner for who in waiting) >= settings.MAX_QUEUE

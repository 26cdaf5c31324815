"""Whose turn it is, where several visitors' work goes on side by side and nobody's waits for all.

One who asks for much waits for what they asked for themselves, and takes one place of those that
there are; the owner takes none of the visitors'.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval import settings

OWNER = "owner"
UNKNOWN = "unknown"  # the group of visitors whose names may be made up
Name = tuple[str, str]  # among whom, and which
# Seconds: nobody is kept out for longer because of what they have had, or others had of theirs.
REMEMBERED = 5.0


@dataclass(frozen=True)
class Asker:
    """Who asks for something."""

    visitor: str  # "" for one without a cookie; all of these are one
    # Who may have made up the visitor: whoever has an address in the network, or a cookie that is
    # not known here, can be as many as they like. "" for nobody.
    group: str = ""
    owner: bool = False

    @property
    def counted(self) -> tuple[Name, ...]:
        """For whom the time counts: for a group, and within it for the visitor."""
        if self.owner:
            return ((OWNER, ""),)
        if not self.group:
            return (("", self.visitor),)
        return ("", self.group), (self.group, self.visitor)

    def is_same(self, other: "Asker") -> bool:
        """Whether one waits for the other: two of their uploads may go into one collection.

        All owners are one, and so is a visitor who has just given the password.
        """
        if self.owner == other.owner:
            return self.owner or self.visitor == other.visitor
        return self.visitor == other.visitor != ""


class Turns:
    """Chooses what is done next among what waits: of the one who has had least of an equal share.

    Fair queueing: those who have something here at a time are to be at work for equally long
    (Demers, Keshav and Shenker 1989), a group as much as a visitor who is in none. What one asks
    for is done in its order.
    """

    def __init__(
        self, owners: int = 1, each: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with nobody having had a turn.

        Args:
            owners: how much of the owner's may be at work at once.
            each: how much of one visitor's.
        """
        self._owners = owners
        self._each = each
        self._clock = clock
        self._looked = clock()
        # By how many seconds those who have something here have had more than an equal share of
        # the work since they came, or less. Whoever comes begins with neither.
        self._ahead: dict[Name, float] = {}
        self._busy: Counter[Name] = Counter()  # how much of each was at work since the last look

    def next(
        self,
        waiting: Sequence[tuple[Any, Asker, float]],
        at_work: Sequence[tuple[Any, Asker]],
        most: int,
    ) -> Any | None:
        """Return what is to be begun now; None while nothing may be.

        To be asked whenever something has come or ended.

        Args:
            waiting: each with who asked for it, and when, by the clock.
            most: how many visitors may be at work; the owner comes beside them.
        """
        self._share_out()
        busy = [who for _, who in at_work]
        here = {name for who in (*busy, *(who for _, who, _ in waiting)) for name in who.counted}
        self._ahead = {name: self._ahead.get(name, 0.0) for name in here}
        is_full = sum(not who.owner for who in busy) >= most
        free = [
            ([self._ahead[name] for name in who.counted], since, number)
            for number, (_, who, since) in enumerate(waiting)
            if (who.owner or not is_full) and self._may_begin(who, busy)
        ]
        chosen = waiting[min(free)[2]] if free else None
        if chosen:
            busy.append(chosen[1])
        self._busy = Counter(name for who in busy for name in who.counted)
        return chosen[0] if chosen else None

    def _share_out(self) -> None:
        """Count the time since the last look: what each has had of it, and what was to be had."""
        passed = self._clock() - self._looked
        self._looked += passed
        for whole in {whole for whole, _ in self._ahead}:
            parts = [name for name in self._ahead if name[0] == whole]
            equal = sum(self._busy[name] for name in parts) / len(parts)
            for name in parts:
                ahead = self._ahead[name] + passed * (self._busy[name] - equal)
                self._ahead[name] = min(max(ahead, -REMEMBERED), REMEMBERED)

    def _may_begin(self, who: Asker, busy: Sequence[Asker]) -> bool:
        return sum(map(who.is_same, busy)) < (self._owners if who.owner else self._each)


def is_too_much(asker: Asker, waiting: Sequence[Asker], most_of_one: int) -> bool:
    """Whether nothing more may wait of who asks: neither one visitor nor all fill the queue.

    Nor do all of a group, who may be one and the same: a quarter of it is left to others.

    Args:
        most_of_one: how much of one visitor may wait; of the owner as much as of all visitors.
    """
    most = settings.MAX_QUEUE
    if asker.owner:
        return sum(who.owner for who in waiting) >= most
    others = [who for who in waiting if not who.owner]
    mine = sum(who.is_same(asker) for who in others)
    ours = sum(who.group == asker.group != "" for who in others)
    return mine >= most_of_one or ours >= math.ceil(most * 3 / 4) or len(others) >= most

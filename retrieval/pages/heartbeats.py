"""Heartbeats: the connection that a page of Gradio's holds for as long as it is open.

A browser has six connections to one place, for all of its pages together, and each page holds one,
though nobody has looked at it for days: a seventh page would not even be loaded. So of one browser
only the heartbeats of the pages that were used last are held. That of another one ends in order,
which the page does not mind: it works on as before. So it is with those of everybody together, or
whoever opens very many would keep all others out.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from retrieval.pages.asgi import Asgi, Message, Noting, Receive, Send, answer_until
from retrieval.pages.counting import counted
from retrieval.settings import MAX_CONNECTIONS

MOST = 3  # of a browser's six
MOST_IN_ALL = MAX_CONNECTIONS // 2


@dataclass(eq=False)
class _Beat:
    visitor: str
    session: str
    used: int  # the larger, the later
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Heartbeats:
    """The heartbeats that are held, of all visitors."""

    def __init__(self, keep: Callable[[str], None], most: int = MOST_IN_ALL) -> None:
        """Hold none yet, and no more than may be.

        Args:
            keep: keeps what a page has been doing, which Gradio takes for closed by now.
            most: how many are held of all visitors together.
        """
        self._keep = keep
        self._most = most
        self._clock = itertools.count()
        self._held: dict[str, list[_Beat]] = {}
        self._listening: Counter[str] = Counter()

    def use(self, visitor: str, session: str) -> None:
        """Note that a page is being used."""
        for beat in self._held.get(visitor, []):
            if beat.session == session:
                beat.used = next(self._clock)

    def listening(self, session: str) -> AbstractContextManager[None]:
        """Let a page be until the block ends: it waits for answers, which Gradio would give up."""
        return counted(self._listening, session)

    async def hold(
        self,
        app: Asgi,
        scope: Message,
        receive: Receive,
        send: Send,
        visitor: str,
        session: str,
    ) -> bool:
        """Have `app` answer a heartbeat until its page is closed, or has to make room.

        Args:
            visitor: the browser; "" where it is not known: then it makes room for all alone.

        Returns:
            Whether it had to make room.
        """
        held = self._held.setdefault(visitor, [])
        if visitor and len(held) >= MOST:
            self._end_one(held)
        elif sum(map(len, self._held.values())) >= self._most:
            self._end_one(itertools.chain.from_iterable(self._held.values()))
        mine = _Beat(visitor, session, next(self._clock))
        self._held.setdefault(visitor, held).append(mine)
        answer = Noting(send)
        try:
            await answer_until(mine.ended, app, scope, receive, answer)
        finally:
            self._let_go(mine)
        if mine.ended.is_set():
            self._keep(session)
            if answer.unfinished:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        return mine.ended.is_set()

    def _end_one(self, beats: Iterable[_Beat]) -> None:
        """End the one whose page has not been used for longest, unless all wait for answers."""
        idle = (beat for beat in beats if beat.session not in self._listening)
        if oldest := min(idle, key=lambda beat: beat.used, default=None):
            self._let_go(oldest)
            oldest.ended.set()

    def _let_go(self, beat: _Beat) -> None:
        held = self._held.get(beat.visitor, [])
        if beat in held:
            held.remove(beat)
        if not held:
            self._held.pop(beat.visitor, None)

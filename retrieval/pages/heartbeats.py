"""Heartbeats: the connection that a page of Gradio's holds for as long as it is open.

A browser has six connections to one place, for all of its pages together, and each page holds one,
though nobody has looked at it for days: a seventh page would not even be loaded. So of one browser
only the heartbeats of the pages that were used last are held. That of another one ends in order,
which the page does not mind: it works on as before.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from retrieval.pages.asgi import Asgi, Message, Receive, Send
from retrieval.pages.counting import counted

MOST = 3  # of a browser's six


@dataclass(eq=False)
class _Beat:
    session: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Heartbeats:
    """The heartbeats that are held, of all visitors."""

    def __init__(self, keep: Callable[[str], None]) -> None:
        """Args:
        keep: keeps what a page has been doing, which Gradio takes for closed by now.
        """
        self._keep = keep
        # Of each visitor; the one whose page has not been used for longest comes first.
        self._held: dict[str, list[_Beat]] = {}
        self._listening: Counter[str] = Counter()

    def use(self, visitor: str, session: str) -> None:
        """Note that a page is being used."""
        self._held.get(visitor, []).sort(key=lambda beat: beat.session == session)

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
            visitor: the browser; "" where it is not known, and makes no room.

        Returns:
            Whether it had to make room.
        """
        mine, held = _Beat(session), self._held.setdefault(visitor, [])
        idle = [beat for beat in held if beat.session not in self._listening]
        if visitor and idle and len(held) >= MOST:
            held.remove(idle[0])
            idle[0].ended.set()
        held.append(mine)
        unfinished = False

        async def note(message: Message) -> None:
            nonlocal unfinished
            unfinished = message["type"] != "http.response.body" or message.get("more_body", False)
            await send(message)

        beating = asyncio.ensure_future(app(scope, receive, note))
        ending = asyncio.ensure_future(mine.ended.wait())
        try:
            await asyncio.wait((beating, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            beating.cancel()
            if mine in held:
                held.remove(mine)
            if not held:
                self._held.pop(visitor, None)
        with suppress(asyncio.CancelledError):
            await beating
        if mine.ended.is_set():
            self._keep(session)
            if unfinished:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        return mine.ended.is_set()

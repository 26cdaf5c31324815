"""Connections: how many there may be at once, and how long one may keep the server waiting.

Uvicorn waits for ever for the head of a request, for the rest of one, and for whoever does not
fetch an answer. When as many do so as the system lets a program open files, nobody else gets in,
and it says so in its log thousands of times a second.
"""

import asyncio
import contextlib
import sys
from typing import Any

HEAD_SECONDS = 20.0  # until the head of a request has come
SILENT_SECONDS = 60.0  # between two pieces of a request, or of an answer that is fetched
MOST = 4_000  # connections; a page has one all the time, and some more while it loads
# Files beyond those: what the rest of the program needs, and 2,048 connections that may be taken in
# before the first of them is looked at.
SPARE = 2_048 + 256


def watch_connections(
    config: Any,
    most: int = MOST,
    head_seconds: float = HEAD_SECONDS,
    silent_seconds: float = SILENT_SECONDS,
) -> None:
    """Have the server of this configuration of Uvicorn, which runs, bound its connections.

    When there are too many, one that has not asked for anything yet gives way, the oldest first.
    """
    files = _files_allowed(most + SPARE)
    bound = min(most, max(files - SPARE, files // 2))
    base: Any = config.http_protocol_class
    headless: dict[Any, None] = {}

    class Patient(base):  # type: ignore[misc]
        """Uvicorn's own protocol, which hangs up on who is silent when it is their turn."""

        _timer: asyncio.TimerHandle | None = None
        _unfetched: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._expect()
            if len(self.connections) > bound:
                oldest = next(iter(headless))  # at worst this one
                headless.pop(oldest)
                oldest.transport.abort()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._expect()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unfetched = self._later(silent_seconds)

        def resume_writing(self) -> None:
            super().resume_writing()
            _stop(self._unfetched)

        def connection_lost(self, exc: Exception | None) -> None:
            headless.pop(self, None)
            _stop(self._timer)
            _stop(self._unfetched)
            super().connection_lost(exc)

        def _expect(self) -> None:
            """Wait for what is to come next, if anything is."""
            if self.cycle is None or self.cycle.response_complete:
                if self not in headless:  # more of a head that has begun does not make it longer
                    headless[self] = None
                    _stop(self._timer)
                    self._timer = self._later(head_seconds)
                return
            headless.pop(self, None)
            _stop(self._timer)
            if self.cycle.more_body:
                self._timer = self._later(silent_seconds)

        def _later(self, seconds: float) -> asyncio.TimerHandle:
            return asyncio.get_running_loop().call_later(seconds, self._hang_up)

        def _hang_up(self) -> None:
            if self.flow.read_paused:  # it is us who take our time
                self._timer = self._later(silent_seconds)
            else:
                self.transport.abort()

    config.http_protocol_class = Patient


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _files_allowed(wanted: int) -> int:
    """Return how many files this program may have open, after asking for so many."""
    if sys.platform == "win32":  # no such bound
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unbounded = resource.RLIM_INFINITY
    if soft != unbounded and soft < wanted:
        most = wanted if hard == unbounded else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS has another bound beside this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return wanted if soft == unbounded else soft

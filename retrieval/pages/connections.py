"""Connections: how many there may be at once, and how long one may keep the server waiting.

Uvicorn waits forever for the head of a request, for the rest of one, and for whoever does not
fetch an answer. When as many do so as the system lets a program open files, nobody else gets in,
and it says so in its log thousands of times a second.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from retrieval.pages.asgi import header_of
from retrieval.pages.sessions import own_address
from retrieval.settings import MAX_CONNECTIONS, OWNER_BYTES

HEAD_SECONDS = 20.0  # until the head of a request has come
SILENT_SECONDS = 60.0  # between two pieces of a request, or of an answer that is fetched
WHOLE_SECONDS = 3_600.0  # until a request has come whole: 50 MB at 14 KB a second
SLOWEST = 14_000  # bytes a second of a larger file on its way into a collection
# Files beyond those: what the rest of the program needs, and 2,048 connections that may be taken in
# before the first of them is looked at.
SPARE = 2_048 + 256


class _Resets(logging.Filter):
    """Passes over what asyncio says on Windows of each browser that ends a connection abruptly."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is of anything else."""
        error = record.exc_info[1] if record.exc_info else None
        is_reset = isinstance(error, ConnectionResetError | ConnectionAbortedError)
        return not (is_reset and "_call_connection_lost" in record.getMessage())


RESETS = _Resets()


def first_free(ports: Iterable[int]) -> int:
    """Return the first port on which no program of this computer listens.

    For Windows: Gradio asks in a way that is granted there for a port in use, too, and takes five
    seconds to find out.

    Raises:
        OSError: when there is none.
    """
    for port in ports:
        with socket.socket() as probe:
            if sys.platform == "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise OSError("every port is taken")


def watch_connections(
    config: Any,
    most: int = MAX_CONNECTIONS,
    head_seconds: float = HEAD_SECONDS,
    silent_seconds: float = SILENT_SECONDS,
    whole_seconds: float = WHOLE_SECONDS,
    address_of: Callable[[str], str] = own_address,
) -> None:
    """Have the server of this configuration of Uvicorn, which runs, bound its connections.

    When there are too many, one that has not asked for anything yet gives way, the oldest first;
    where all have, the oldest one of the address that has the most.

    Args:
        address_of: what of a peer's address in the network is its own; "" where others share it,
            who cannot be told apart: they count as one address. Tests come from their own machine.
    """
    logging.getLogger("asyncio").addFilter(RESETS)
    files = _files_allowed(most + SPARE)
    bound = min(most, max(files - SPARE, files // 2))
    headless: dict[Any, None] = {}
    of_addresses: dict[str, dict[Any, None]] = {}

    # Always on h11, which comes with Uvicorn: its faster parser, where somebody has installed that,
    # goes through a request in another order.
    class Patient(H11Protocol):
        """Uvicorn's own protocol, which hangs up on who is silent when it is their turn."""

        _timer: asyncio.TimerHandle | None = None
        _unfetched: asyncio.TimerHandle | None = None
        _coming: Any = None  # the request whose body was last waited for
        _whole_by = 0.0  # on the loop's clock
        _address = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # Tell of whatever the network does not take: where none of it is fetched, closing
            # waits for that, too.
            transport.set_write_buffer_limits(0)
            self._expect()
            self._address = address_of(self.client[0]) if self.client else ""
            of_addresses.setdefault(self._address, {})[self] = None
            if len(self.connections) > bound:
                oldest = next(iter(headless))  # at worst this one
                if oldest is self:
                    crowd = max(of_addresses.values(), key=len)
                    oldest = next(iter(crowd))
                oldest._forget()
                oldest.transport.abort()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._expect()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.transport.is_closing():
                return
            # What came along with the request that is now answered has begun another, or the rest
            # of this one is still to come. Who is to ask anew, Uvicorn waits for by itself.
            if self._is_coming() or not self.cycle.response_complete:
                self._unset_keepalive_if_required()
                self._expect()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._expect_fetching()

        def resume_writing(self) -> None:
            super().resume_writing()
            _stop(self._unfetched)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            _stop(self._timer)
            _stop(self._unfetched)
            super().connection_lost(exc)

        def _forget(self) -> None:
            """Count this connection no more among those that may give way."""
            headless.pop(self, None)
            neighbours = of_addresses.get(self._address, {})
            neighbours.pop(self, None)
            if not neighbours:
                of_addresses.pop(self._address, None)

        def _is_coming(self) -> bool:
            """Whether the body of a request is on its way, be it answered already or not."""
            return self.conn.their_state is h11.SEND_BODY

        def _expect(self) -> None:
            """Wait for what is to come next, if anything is."""
            if self._is_coming():
                now = self.loop.time()
                if self._coming is not self.cycle:
                    self._coming = self.cycle
                    self._whole_by = now + max(whole_seconds, self._told_bytes() / SLOWEST)
                headless.pop(self, None)
                _stop(self._timer)
                self._timer = self._later(min(silent_seconds, self._whole_by - now))
            elif self.cycle is None or self.cycle.response_complete:
                if self not in headless:  # more of a head that has begun does not make it longer
                    headless[self] = None
                    _stop(self._timer)
                    self._timer = self._later(head_seconds)
            else:
                headless.pop(self, None)
                _stop(self._timer)

        def _told_bytes(self) -> int:
            """Return how long a file on its way into a collection says that it is."""
            if "/uploads/" not in self.scope["path"]:
                return 0
            told = header_of(self.scope, b"content-length")
            return min(int(told), OWNER_BYTES) if told.isascii() and told.isdigit() else 0

        def _later(self, seconds: float) -> asyncio.TimerHandle:
            return self.loop.call_later(seconds, self._hang_up)

        def _hang_up(self) -> None:
            if self.flow.read_paused:  # it is us who take our time
                self._timer = self._later(silent_seconds)
            else:
                self.transport.abort()

        def _expect_fetching(self) -> None:
            """Hang up when none of what waits to be fetched has been, for a while."""
            waiting = self.transport.get_write_buffer_size()

            def look_again() -> None:
                if self.transport.get_write_buffer_size() < waiting:
                    self._expect_fetching()
                else:
                    self.transport.abort()

            _stop(self._unfetched)
            self._unfetched = self.loop.call_later(silent_seconds, look_again)

    config.http_protocol_class = Patient
    # Nothing here speaks it, and its protocol would take a connection over from this one.
    config.ws_protocol_class = None


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

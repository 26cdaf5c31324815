"""Connections: how many there may be at once, and how long one may keep the server waiting.

Uvicorn waits forever for the head of a request, for the rest of one, and for whoever does not
fetch an answer. When as many do so as the system lets a program open files, nobody else gets in,
and it says so in its log thousands of times a second.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from retrieval.open_files import allow_files
from retrieval.pages.asgi import header_of
from retrieval.pages.sessions import own_address
from retrieval.settings import MAX_CONNECTIONS, OWNER_BYTES

SLOWEST = 14_000  # bytes a second of a larger file on its way into a collection
# Files beyond those: what the rest of the program will need, and 2,048 connections that may be
# taken in before the first of them is looked at.
SPARE = 2_048 + 256
# The chunks in which a request of no told length may come: so many of any size, and beyond those
# one for so many bytes. Each takes some 25 microseconds in which nobody else is answered, and what
# the network hands over at once has room for 43,000 of a byte.
ANY_CHUNKS, CHUNK_BYTES = 500, 512

Connection = TypeVar("Connection")


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


@dataclass(frozen=True)
class Patience:
    """For how many seconds a connection may keep the server waiting."""

    head: float = 20.0  # until the head of a request has come
    silent: float = 60.0  # between two pieces of a request, or of an answer that is fetched
    whole: float = 3_600.0  # until a request has come whole: 50 MB at 14 KB a second


class Crowd(Generic[Connection]):
    """Who is connected, and who of them gives way when there are too many.

    That is one that has not asked for anything yet, the oldest first; where all have, the oldest
    one of the address that has the most.
    """

    def __init__(self, bound: int, address_of: Callable[[str], str]) -> None:
        """Make room for a number of connections.

        Args:
            bound: how many there may be.
            address_of: see `watch_connections`.
        """
        self._bound = bound
        self._address_of = address_of
        self._addresses: dict[Connection, str] = {}
        self._of_addresses: dict[str, dict[Connection, None]] = {}  # the same, the oldest first
        self._silent: dict[Connection, None] = {}  # who is to ask for something, the oldest first

    def enter(self, connection: Connection, host: str) -> None:
        """Count a connection from an address in the network, "" where it has none."""
        address = self._address_of(host) if host else ""
        self._addresses[connection] = address
        self._of_addresses.setdefault(address, {})[connection] = None

    def note_silent(self, connection: Connection) -> None:
        """Note that it is a connection's turn to ask for something."""
        self._silent[connection] = None

    def note_asking(self, connection: Connection) -> None:
        """Note that a connection has asked for something."""
        self._silent.pop(connection, None)

    def is_silent(self, connection: Connection) -> bool:
        """Whether a connection has not asked for anything, though it is its turn."""
        return connection in self._silent

    def leave(self, connection: Connection) -> None:
        """Count a connection no more, if it still is."""
        self._silent.pop(connection, None)
        address = self._addresses.pop(connection, "")
        neighbours = self._of_addresses.get(address, {})
        neighbours.pop(connection, None)
        if not neighbours:
            self._of_addresses.pop(address, None)

    def one_too_many(self) -> Connection | None:
        """Return who is to give way to the one that has come last; None while there is room."""
        if len(self._addresses) <= self._bound:
            return None
        newcomer = next(reversed(self._addresses))
        for silent in self._silent:
            if silent is not newcomer:
                return silent
        largest = max(self._of_addresses.values(), key=len)
        return next(iter(largest))


class CountedConnection(h11.Connection):
    """A connection of h11, which reads no request that comes in crumbs."""

    def __init__(self, hang_up: Callable[[], None]) -> None:
        """Read what a browser or program says.

        Args:
            hang_up: ends the connection on which there are too many chunks.
        """
        super().__init__(h11.SERVER)
        self._hang_up = hang_up
        self._chunks, self._bytes = 0, 0  # of the request that comes

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what comes next; nothing more, once there were too many chunks."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks, self._bytes = 0, 0
        elif isinstance(event, h11.Data):
            self._bytes += len(event.data)
            self._chunks += event.chunk_end  # pieces that the network makes of one are none
            if self._chunks > ANY_CHUNKS + self._bytes // CHUNK_BYTES:
                self._hang_up()
                return h11.NEED_DATA
        return event


# Always on h11, which comes with Uvicorn: its faster parser, where somebody has installed that,
# goes through a request in another order.
class PatientProtocol(H11Protocol):
    """Uvicorn's own protocol, which hangs up on who is silent when it is their turn."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        patience: Patience,
        crowd: "Crowd[PatientProtocol]",
    ) -> None:
        """Wait for a connection, of all those of a server.

        Args:
            config, server_state, app_state, _loop: what Uvicorn hands over.
            patience: for how long each is waited for.
            crowd: the others.
        """
        super().__init__(config, server_state, app_state, _loop)
        self.conn = CountedConnection(lambda: self.transport.abort())
        self._patience = patience
        self._crowd = crowd
        self._timer: asyncio.TimerHandle | None = None
        self._unfetched: asyncio.TimerHandle | None = None
        self._coming: object = None  # the request whose body was last waited for
        self._whole_by = 0.0  # on the loop's clock

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request, and make room for it."""
        super().connection_made(transport)
        # Tell of whatever the network does not take: where none of it is fetched, closing
        # waits for that, too.
        transport.set_write_buffer_limits(0)
        self._crowd.enter(self, self.client[0] if self.client else "")
        self._expect()
        other = self._crowd.one_too_many()
        if other is not None:
            self._crowd.leave(other)
            other.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request, and wait for what follows."""
        super().data_received(data)
        self._expect()

    def on_response_complete(self) -> None:
        """Wait for the rest of a request that is answered already, or for another one."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        # What came along with the request that is now answered has begun another, or the rest
        # of this one is still to come. Who is to ask anew, Uvicorn waits for by itself.
        if self._is_coming() or not self.cycle.response_complete:
            self._unset_keepalive_if_required()
            self._expect()

    def pause_writing(self) -> None:
        """Wait for what is sent to be fetched."""
        super().pause_writing()
        self._expect_fetching()

    def resume_writing(self) -> None:
        """Wait no more, since all has been fetched."""
        super().resume_writing()
        _stop(self._unfetched)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._crowd.leave(self)
        _stop(self._timer)
        _stop(self._unfetched)
        super().connection_lost(exc)

    def _is_coming(self) -> bool:
        """Whether the body of a request is on its way, be it answered already or not."""
        return self.conn.their_state is h11.SEND_BODY

    def _expect(self) -> None:
        """Wait for what is to come next, if anything is."""
        if self._is_coming():
            now = self.loop.time()
            if self._coming is not self.cycle:
                self._coming = self.cycle
                self._whole_by = now + max(self._patience.whole, self._told_bytes() / SLOWEST)
            self._crowd.note_asking(self)
            _stop(self._timer)
            self._timer = self._later(min(self._patience.silent, self._whole_by - now))
        elif self.cycle is None or self.cycle.response_complete:
            if not self._crowd.is_silent(self):  # more of a head does not make it longer
                self._crowd.note_silent(self)
                _stop(self._timer)
                self._timer = self._later(self._patience.head)
        else:
            self._crowd.note_asking(self)
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
            self._timer = self._later(self._patience.silent)
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
        self._unfetched = self.loop.call_later(self._patience.silent, look_again)


def watch_connections(
    config: Any,
    most: int = MAX_CONNECTIONS,
    patience: Patience = Patience(),
    address_of: Callable[[str], str] = own_address,
) -> None:
    """Have the server of this configuration of Uvicorn, which runs, bound its connections.

    Args:
        most: how many there may be at once; see `Crowd`.
        patience: for how long one may keep the server waiting.
        address_of: what of a peer's address in the network is its own; "" where others share it,
            who cannot be told apart: they count as one address. Tests come from their own machine.
    """
    files = allow_files()
    crowd = Crowd[PatientProtocol](min(most, max(files - SPARE, files // 2)), address_of)
    config.http_protocol_class = partial(PatientProtocol, patience=patience, crowd=crowd)
    # Nothing here speaks it, and its protocol would take a connection over from this one.
    config.ws_protocol_class = None


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()

"""Connections: who says nothing, or does not listen, keeps nobody else out."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import h11
import pytest
import uvicorn

from retrieval.pages.connections import (
    ANY_CHUNKS,
    CHUNK_BYTES,
    SLOWEST,
    CountedConnection,
    Crowd,
    Patience,
    first_free,
    watch_connections,
)
from retrieval.pages.logs import RESETS
from retrieval.pages.sessions import own_address

PIECES = 400  # of 64 KB
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
END = b"0\r\n\r\n"  # of an answer
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Mute(asyncio.Protocol):
    """What takes over who asks for another protocol, and says nothing."""

    def __init__(self, **_: Any) -> None:
        pass


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was sent; some words ask for more than the network holds, or to be refused.

    The refusal comes before what is sent has.
    """
    body, more = b"", True
    while more and body != b"refuse":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if body == b"in pieces":
        for _ in range(PIECES):
            await send({"type": "http.response.body", "body": bytes(2**16), "more_body": True})
    elif body == b"all of it":
        body = bytes(PIECES * 2**16)
    elif body == b"some more":
        body = bytes(2**15)
    await send({"type": "http.response.body", "body": body})


@contextmanager
def server(
    most: int = 100,
    head: float = 60,
    silent: float = 60,
    whole: float = 60,
    address_of: Callable[[str], str] = own_address,
) -> Iterator[uvicorn.Server]:
    config = uvicorn.Config(echo, port=0, log_level="critical", lifespan="off", ws=Mute)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    watch_connections(running.config, most, Patience(head, silent, whole), address_of)
    try:
        yield running
    finally:
        running.should_exit = running.force_exit = True
        thread.join()


def connect(running: uvicorn.Server) -> socket.socket:
    place = running.servers[0].sockets[0].getsockname()
    return socket.create_connection(place, timeout=20)


def answer_on(connection: socket.socket) -> bytes:
    """Return an answer as it comes, head and all."""
    received = b""
    while not received.endswith(END):
        piece = connection.recv(1_000)
        assert piece, "it was hung up"
        received += piece
    return received


def is_over(connection: socket.socket) -> bool:
    """Whether the server has hung up, waiting for it for a while."""
    try:
        while connection.recv(2**16):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def pass_over(running: uvicorn.Server, seconds: float) -> None:
    """Have a server believe that so much time has gone by since it was sent the last piece."""
    loop = running.servers[0].get_loop()
    now = loop.time

    async def jump() -> None:
        await asyncio.sleep(0.02)  # in which the network brings the last piece
        loop.time = lambda: now() + seconds  # type: ignore[method-assign]
        await asyncio.sleep(0)  # whoever was waited for too long is hung up on

    asyncio.run_coroutine_threadsafe(jump(), loop).result(20)


def send_until_over(connection: socket.socket, byte: bytes) -> None:
    """Send one byte after the other until the server has hung up, waiting for it for a while."""
    end = time.monotonic() + 20
    with suppress(ConnectionError):
        while True:
            connection.sendall(byte)
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("come", "asking", "gives_way"),
    [
        ("a1 a2", "", None),
        ("a1 a2 a3 a4", "", "a1"),
        ("a1 a2 a3 a4", "a1", "a2"),
        ("a1 b1 b2 a2", "a1 b1 b2", "a1"),
        ("a1 b1 b2 b3", "a1 b1 b2", "b1"),
        ("a1 b1 b2 c1", "a1 b1 b2", "b1"),
        ("b1 a1 a2 c1", "b1 a2", "a1"),
        ("a1 a2 a3 a4", "a1 a2 a3 a4", "a1"),
    ],
    ids=[
        "nobody while there is room",
        "the oldest that is silent",
        "nobody who asks while another is silent",
        "the oldest of the address with the most of as many",
        "the newcomer's neighbour",
        "nobody who is alone at an address",
        "who is silent, whoever has the most",
        "the oldest of one address",
    ],
)
def test_who_gives_way(come: str, asking: str, gives_way: str | None) -> None:
    crowd = Crowd[str](3, address_of=lambda host: host)
    for one in come.split():
        crowd.enter(one, one[0])
        crowd.note_silent(one)
    for one in asking.split():
        crowd.note_asking(one)
    assert crowd.one_too_many() == gives_way


def test_who_has_left_neither_counts_nor_gives_way() -> None:
    crowd = Crowd[str](2, address_of=lambda host: host)
    for one in ("a1", "a2", "b1"):
        crowd.enter(one, one[0])
    crowd.leave("a1")
    crowd.leave("a1")  # as who is hung up on does once more
    assert crowd.one_too_many() is None
    crowd.enter("b2", "b")
    assert crowd.one_too_many() == "b1"


def test_who_is_asked_again_is_the_last_of_the_silent_to_give_way() -> None:
    crowd = Crowd[str](2, address_of=lambda host: host)
    for one in ("a1", "a2"):
        crowd.enter(one, one[0])
        crowd.note_silent(one)
    crowd.note_asking("a1")
    crowd.note_silent("a1")
    crowd.enter("a3", "a")
    assert crowd.one_too_many() == "a2"


def test_those_who_ask_for_nothing_give_way_to_those_who_ask() -> None:
    with server(most=5) as running, ExitStack() as stack:
        silent = [stack.enter_context(connect(running)) for _ in range(20)]
        asking = stack.enter_context(connect(running))
        asking.sendall(GET)
        assert asking.recv(100).startswith(b"HTTP/1.1 200")
        assert [is_over(connection) for connection in silent[:16]] == [True] * 16


def test_who_holds_all_connections_gives_way_to_newcomers_and_others_do_not() -> None:
    addresses = iter(["one", "many", "many", "many", "many", "another", "many", "another"])
    with server(most=5, address_of=lambda _: next(addresses)) as running, ExitStack() as stack:
        holding = []
        for asked in range(1, 6):
            holding.append(stack.enter_context(connect(running)))
            holding[-1].sendall(HEAD)
            until(lambda: len(running.server_state.tasks) == asked)  # noqa: B023
        for _ in range(3):
            newcomer = stack.enter_context(connect(running))
            newcomer.sendall(GET)
            assert newcomer.recv(100).startswith(b"HTTP/1.1 200")
            newcomer.sendall(HEAD)
            until(lambda: len(running.server_state.tasks) == 5)
        assert [is_over(connection) for connection in holding[1:4]] == [True] * 3
        for connection in (holding[0], holding[4]):
            connection.settimeout(0.3)
            assert not is_over(connection)


def test_of_those_behind_one_proxy_the_oldest_gives_way_to_newcomers() -> None:
    with server(most=3, address_of=lambda _: "") as running, ExitStack() as stack:
        holding = []
        for asked in range(1, 4):
            holding.append(stack.enter_context(connect(running)))
            holding[-1].sendall(HEAD)
            until(lambda: len(running.server_state.tasks) == asked)  # noqa: B023
        newcomer = stack.enter_context(connect(running))
        newcomer.sendall(GET)
        assert newcomer.recv(100).startswith(b"HTTP/1.1 200")
        assert is_over(holding[0])


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP", HEAD + b"four", GET + HEAD + b"four"],
    ids=["head", "half", "body", "body after another"],
)
def test_a_request_that_does_not_come_is_not_waited_for(said: bytes) -> None:
    with server(head=0.3, silent=0.3) as running, connect(running) as connection:
        connection.sendall(said)
        assert is_over(connection)


def test_a_head_that_comes_letter_by_letter_is_not_waited_for() -> None:
    with server(head=0.5) as running, connect(running) as connection:
        send_until_over(connection, b"G")
        assert not running.server_state.connections


def test_a_slow_request_is_taken() -> None:
    with server(whole=1_000) as running, connect(running) as connection:
        connection.sendall(HEAD)
        for byte in b"123456789":
            pass_over(running, 25)
            connection.sendall(bytes([byte]))
        assert b"123456789" in answer_on(connection)


def test_no_other_protocol_takes_a_connection_over() -> None:
    with server() as running, connect(running) as connection:
        connection.sendall(UPGRADE)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200")


def test_a_request_that_is_refused_before_it_is_here_may_still_come() -> None:
    upload = HEAD.replace(b"9", b"%d" % (6 + 8)) + b"refuse"
    with server(most=5, whole=1_000) as running, ExitStack() as stack:
        connection = stack.enter_context(connect(running))
        connection.sendall(upload)
        answer_on(connection)
        silent = [stack.enter_context(connect(running)) for _ in range(20)]
        for byte in b"12345678":
            pass_over(running, 25)
            connection.sendall(bytes([byte]))
        connection.sendall(GET)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
        assert is_over(silent[0])


@pytest.mark.parametrize("first", [b"", b"6\r\nrefuse\r\n"], ids=["taken", "refused"])
def test_a_request_that_comes_in_crumbs_is_not_read(first: bytes) -> None:
    with server() as running, connect(running) as connection:
        connection.sendall(CHUNKED + first)
        if first:
            answer_on(connection)
        with suppress(ConnectionError):
            connection.sendall(b"1\r\na\r\n" * 2 * ANY_CHUNKS)
        assert is_over(connection)


@pytest.mark.parametrize(
    ("chunk", "times"),
    [(b"a", ANY_CHUNKS), (bytes(CHUNK_BYTES), 3 * ANY_CHUNKS), (bytes(2**14), 40)],
    ids=["few", "small", "large"],
)
def test_a_request_that_comes_in_chunks_is_read_whole_and_so_is_the_next(
    chunk: bytes, times: int
) -> None:
    with server() as running, connect(running) as connection:
        for _ in range(2):
            connection.sendall(CHUNKED + (b"%x\r\n%b\r\n" % (len(chunk), chunk)) * times + END)
            received = b""
            while not received.endswith(END):
                received += connection.recv(2**20)
            assert received.count(chunk) >= times


def test_a_long_chunk_that_the_network_brings_in_crumbs_is_one() -> None:
    hung_up: list[bool] = []
    connection = CountedConnection(lambda: hung_up.append(True))
    size = 3 * ANY_CHUNKS
    received = []
    for byte in CHUNKED + b"%x\r\n%b\r\n" % (size, b"a" * size) + END:
        connection.receive_data(bytes([byte]))
        while (event := connection.next_event()) is not h11.NEED_DATA:
            received.append(event)
    assert isinstance(received[-1], h11.EndOfMessage)
    assert not hung_up


@pytest.mark.parametrize("refused", [True, False])
def test_a_request_that_comes_for_ever_is_not_waited_for(refused: bool) -> None:
    with server(whole=0.5) as running, connect(running) as connection:
        connection.sendall(HEAD.replace(b"9", b"9999") + (b"refuse" if refused else b"x"))
        send_until_over(connection, b"x")
        assert not running.server_state.connections


def test_a_large_upload_may_take_as_long_as_one_that_is_slow() -> None:
    told = b"POST /uploads/name HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (12 * SLOWEST)
    with server(whole=0.5) as running, connect(running) as connection:
        connection.sendall(told)
        for _ in range(6):
            pass_over(running, 1)
            connection.sendall(bytes(2 * SLOWEST))
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_an_upload_is_not_waited_for_because_it_says_that_it_is_endless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retrieval.pages.connections.OWNER_BYTES", SLOWEST // 2)
    told = b"POST /uploads/name HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % 10**18
    with server(whole=0.1) as running, connect(running) as connection:
        connection.sendall(told)
        send_until_over(connection, b"x")
        assert not running.server_state.connections


@pytest.mark.parametrize("after", [b"", GET], ids=["alone", "and asks for more"])
@pytest.mark.parametrize("how", [b"in pieces", b"all of it"])
def test_an_answer_that_nobody_fetches_is_given_up(how: bytes, after: bytes) -> None:
    with server(silent=1) as running, connect(running) as connection:
        connection.sendall(HEAD + how)
        connection.recv(1)
        connection.sendall(after)
        state = running.server_state
        until(lambda: not state.connections and not state.tasks)


def test_the_rest_of_an_answer_that_nobody_fetches_is_given_up() -> None:
    with server(silent=0.3) as running, connect(running) as connection:
        state = running.server_state
        until(lambda: bool(state.connections))
        (protocol,) = state.connections
        while not protocol.transport.get_write_buffer_size():
            answered = state.total_requests
            connection.sendall(HEAD + b"some more")
            # The network may take no more after the head of an answer.
            until(
                lambda: (
                    state.total_requests > answered  # noqa: B023
                    or protocol.transport.get_write_buffer_size() > 0
                )
            )
        until(lambda: not state.connections)


@pytest.mark.parametrize("how", [b"in pieces", b"all of it"])
def test_an_answer_that_is_fetched_slowly_comes_whole(how: bytes) -> None:
    with server(silent=2) as running, connect(running) as connection:
        connection.sendall(HEAD.replace(b"Host", b"Connection: close\r\nHost") + how)
        received = 0
        while piece := connection.recv(2**16):
            received += len(piece)
            time.sleep(0.005)
        assert received > PIECES * 2**16


def test_a_port_on_which_somebody_listens_is_passed_over() -> None:
    with socket.socket() as taken, socket.socket() as free:
        for each in (taken, free):
            each.bind(("127.0.0.1", 0))
        taken.listen()
        in_use, port = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        assert first_free([in_use, port]) == port
        with pytest.raises(OSError, match="port"):
            first_free([in_use])


@pytest.mark.parametrize(
    ("error", "where", "is_told"),
    [
        (ConnectionResetError(10054, "reset"), "_call_connection_lost", False),
        (ConnectionResetError(10054, "reset"), "_read_ready", True),
        (ValueError("a bug"), "_call_connection_lost", True),
    ],
)
def test_a_browser_that_ends_a_connection_abruptly_is_no_matter_to_tell_of(
    error: Exception, where: str, is_told: bool
) -> None:
    said = (type(error), error, None)
    text = f"Exception in callback _ProactorBasePipeTransport.{where}(None)"
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, text, None, said)
    assert RESETS.filter(record) is is_told

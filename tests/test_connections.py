"""Connections: who says nothing, or does not listen, keeps nobody else out."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import uvicorn

from retrieval.pages.connections import watch_connections

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was sent; nine bytes ask for more than the network holds."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(400 if len(body) == 9 else 0):
        await send({"type": "http.response.body", "body": bytes(2**16), "more_body": True})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def server(most: int = 100, head: float = 60, silent: float = 60) -> Iterator[uvicorn.Server]:
    running = uvicorn.Server(uvicorn.Config(echo, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    watch_connections(running.config, most, head, silent)
    try:
        yield running
    finally:
        running.should_exit = running.force_exit = True
        thread.join()


def connect(running: uvicorn.Server) -> socket.socket:
    place = running.servers[0].sockets[0].getsockname()
    return socket.create_connection(place, timeout=20)


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


def test_those_who_ask_for_nothing_give_way_to_those_who_ask() -> None:
    with server(most=5) as running, ExitStack() as stack:
        silent = [stack.enter_context(connect(running)) for _ in range(20)]
        for connection in silent:
            connection.settimeout(0.2)
        asking = stack.enter_context(connect(running))
        asking.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asking.recv(100).startswith(b"HTTP/1.1 200")
        assert [is_over(connection) for connection in silent[:16]] == [True] * 16


@pytest.mark.parametrize("said", [b"", b"GET / HTTP", HEAD + b"four"], ids=["head", "half", "body"])
def test_a_request_that_does_not_come_is_not_waited_for(said: bytes) -> None:
    with server(head=0.3, silent=0.3) as running, connect(running) as connection:
        connection.sendall(said)
        assert is_over(connection)


def test_a_head_that_comes_letter_by_letter_is_not_waited_for() -> None:
    with server(head=0.5) as running, connect(running) as connection:
        for _ in range(100):
            with suppress(OSError):  # it has hung up
                connection.sendall(b"G")
            time.sleep(0.02)
        assert not running.server_state.connections


def test_a_slow_request_is_taken() -> None:
    with server(head=0.5, silent=0.5) as running, connect(running) as connection:
        for byte in b"12345678":
            connection.sendall(
                (HEAD.replace(b"9", b"8") if byte == ord("1") else b"") + bytes([byte])
            )
            time.sleep(0.2)
        assert b"12345678" in connection.recv(1_000)


def test_an_answer_that_nobody_fetches_is_given_up() -> None:
    with server(silent=0.3) as running, connect(running) as connection:
        connection.sendall(HEAD + b"ask a lot")
        until(lambda: bool(running.server_state.connections))
        until(lambda: not running.server_state.connections)
        assert not running.server_state.tasks


def test_an_answer_that_is_fetched_comes_whole() -> None:
    with server(silent=0.5) as running, connect(running) as connection:
        connection.sendall(HEAD.replace(b"Host", b"Connection: close\r\nHost") + b"ask a lot")
        received = 0
        while piece := connection.recv(2**16):
            received += len(piece)
        assert received > 400 * 2**16

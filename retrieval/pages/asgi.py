"""Requests and answers as ASGI has them: what is read of them, and made of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip")


def header_of(scope: Mapping[str, Any], name: bytes) -> str:
    """Return the first header of a name, in small letters, of a request; "" where there is none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def path_of(scope: Message) -> str:
    """Return the path of a request, without that of what the app is mounted below."""
    path: str = scope.get("path", "")
    return path.removeprefix(scope.get("root_path", "").rstrip("/"))


def name_asked(scope: Message) -> str:
    """Return the name by which a request asks for this app, without the port; "" for none.

    Raises:
        ValueError: when it is no name at all.
    """
    return urlsplit(f"//{header_of(scope, b'host')}").hostname or ""


def is_secure(scope: Message) -> bool:
    """Whether a browser has sent a request over an encrypted connection."""
    # Of several proxies the first is the one that the browser spoke to.
    told = header_of(scope, b"x-forwarded-proto").split(",")[0].strip()
    if scope.get("scheme") == "https" or told == "https":
        return True
    # A proxy may not say so. Browsers send this where a connection is encrypted, or leads nowhere
    # else than to their own computer (https://www.w3.org/TR/fetch-metadata/#http-headerdef).
    return bool(header_of(scope, b"sec-fetch-site")) and not _names_this_computer(scope)


def _names_this_computer(scope: Message) -> bool:
    try:
        name = name_asked(scope)
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:  # no address in numbers
        return False


def asked_for(scope: Message, name: str) -> list[str]:
    """Return all values of a name in the address, the empty ones too."""
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return query.get(name, [])


async def send_whole(body: bytes, kind: bytes, status: int, send: Send) -> None:
    """Answer a request with all that there is to say, of a media type."""
    headers = with_length([(b"content-type", kind)], len(body))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Noting:
    """Sends an answer, and knows how far it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.unfinished = False  # begun, and without its end yet

    async def __call__(self, message: Message) -> None:
        self.begun = True
        self.unfinished = message["type"] != "http.response.body" or message.get("more_body", False)
        await self._send(message)


async def answer_until(
    ended: asyncio.Event, app: Asgi, scope: Message, receive: Receive, send: Send
) -> None:
    """Have `app` answer a request until it is done, or until the event."""
    answering = asyncio.ensure_future(app(scope, receive, send))
    ending = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait((answering, ending), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
        answering.cancel()
    with suppress(asyncio.CancelledError):
        await answering


def replayed(body: bytes, receive: Receive) -> Receive:
    """Hand over a body that was read already, then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def with_length(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    """Return headers that say how many bytes the body has, in place of what they said of that."""
    others = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*others, (b"content-length", str(length).encode())]

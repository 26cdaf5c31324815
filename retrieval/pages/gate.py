"""The gate before Gradio: what of its interface is open, how much it takes, and who gets in where.

Gradio has many routes that this app has no use for (proxies, code editors, recordings), reads a
request however large it is, opens any address or path that is named as a file, and tells pages
apart by a word that the browser thinks up, which whoever learns it may use as well.
"""

import json
import math
import re
import traceback
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from retrieval import settings
from retrieval.errors import explain_os_error
from retrieval.pages import words
from retrieval.pages.handover import Handover
from retrieval.pages.markup import duration
from retrieval.pages.pace import Pace
from retrieval.pages.sessions import (
    LOOPBACK,
    Access,
    Asgi,
    Message,
    Receive,
    Send,
    own_address_of,
    visitor_of_scope,
)
from retrieval.temporary import make_room

API = "/gradio_api/"
OPEN = re.compile(
    r"info|openapi\.json|startup-events|app_id|login_check|user|token|theme\.css"
    r"|upload|upload_progress|file=.+|queue/(join|data|status)|heartbeat/[^/]+|cancel|reset"
    r"|call/(v2/)?[^/]+(/[^/]+)?|mcp(/.*)?"
)
DEAR = re.compile(r"/(bundles/.+\.lookalike|copies/.+\.csv|maps/[^/]+/[^/]+\.json)")
SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)  # what pages call themselves
MAX_UNREAD = 100  # answers that a page has not fetched, each of up to some 100 KB


class _RefusedError(Exception):
    """The request goes no further."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Gate:
    """Lets requests through to Gradio; plain ASGI, so that streams stay streams."""

    def __init__(
        self,
        app: Asgi,
        handover: Handover,
        access: Access,
        unread: Callable[[str], int] = lambda session: 0,
    ) -> None:
        """Args:
        unread: says how many answers wait for a page.
        """
        self.app = app
        self.handover = handover
        self.access = access
        self.unread = unread
        self.sessions = Sessions()
        self.pace = Pace(settings.VISITOR_REQUESTS)
        self.downloads = Pace(settings.VISITOR_DOWNLOADS)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a sentence."""
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        path = scope.get("path", "").removeprefix(scope.get("root_path", "").rstrip("/"))
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if path.startswith(API):
                await self._pass(path.removeprefix(API).rstrip("/"), scope, receive, send_noting)
            else:
                if scope["method"] == "POST" and path.rstrip("/") == "/uploads":
                    self._keep_pace(scope, visitor_of_scope(scope), self.pace)
                elif DEAR.fullmatch(path):
                    self._keep_pace(scope, "", self.downloads)
                await self.app(scope, receive, send_noting)
        except Exception as error:
            if begun:
                raise
            sentence, status = words.WENT_WRONG, 500
            if isinstance(error, _RefusedError):
                sentence, status = str(error), error.status
            elif isinstance(error, OSError) and error.errno:
                sentence, status = str(explain_os_error(error, "What was sent")), 507
                _drop_parts()
            else:
                traceback.print_exc()
            await _refuse(sentence, status, send)

    async def _pass(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        if not OPEN.fullmatch(name):
            raise _RefusedError(words.NO_ADDRESS, 404)
        visitor = visitor_of_scope(scope)
        if name == "queue/data":
            # Of two, one library takes the first and another the last.
            sessions = _asked_for(scope, "session_hash")
            if len(sessions) != 1:
                raise _RefusedError(words.NO_REQUEST, 400)
            self._admit(sessions[0], visitor)
            scope = {**scope, "query_string": urlencode({"session_hash": sessions[0]}).encode()}
        elif name.startswith("heartbeat/"):
            self._admit(name.removeprefix("heartbeat/"), visitor)
        elif name == "upload_progress" and not any(_asked_for(scope, "upload_id")):
            # The camera asks after an upload that it has not begun, and Gradio makes it wait for
            # three seconds to be told that there is none.
            await _send_done(send)
            return
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        self._keep_pace(scope, visitor, self.pace)
        if name == "upload":
            if not await run_in_threadpool(has_room):
                raise _RefusedError(words.NO_ROOM, 507)
            most = settings.MAX_UPLOAD_BYTES + settings.MAX_REQUEST_BYTES
            await self.app(scope, _uploaded(receive, most), self._naming(visitor, send))
        elif name.startswith("mcp"):
            # All of it first: what is raised while it is read, its library answers in its own way.
            body = await _body(receive, settings.MAX_REQUEST_BYTES)
            await self.app(_from_elsewhere(scope), _replayed(body, receive), send)
        else:
            body = self._checked(await _body(receive, settings.MAX_REQUEST_BYTES), visitor)
            scope = {**scope, "headers": _with_length(scope["headers"], len(body))}
            await self.app(scope, _replayed(body, receive), _politely(send))

    def _keep_pace(self, scope: Message, visitor: str, pace: Pace) -> None:
        """Refuse a visitor who asks too often; the owner may ask as often as they like.

        Args:
            visitor: "" where all of a network address count as one.
        """
        request = Request(scope)
        if self.access.is_owner(request):
            return
        # Who has no cookie is known by the address: a program, or a browser that refuses them.
        # Cookies can be made up, so what holds in any case is the bound of the queue, and of what
        # an address may fetch.
        address = own_address_of(request) or (request.client.host if request.client else "")
        seconds = pace.seconds_to_wait(visitor or f"at {address}")
        if seconds:
            raise _RefusedError(words.TOO_OFTEN.format(time=duration(math.ceil(seconds))), 429)

    def _admit(self, session: str, visitor: str) -> None:
        if not SESSION.fullmatch(session):
            raise _RefusedError(words.NO_REQUEST, 400)
        if not self.sessions.admits(session, visitor):
            raise _RefusedError(words.OTHERS_SESSION, 403)

    def _checked(self, body: bytes, visitor: str) -> bytes:
        """Return a request that Gradio may have: whole, of this visitor, naming no files to it."""
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _RefusedError(words.NO_REQUEST, 400) from error
        if not isinstance(request, dict):
            raise _RefusedError(words.NO_REQUEST, 400)
        session = request.get("session_hash")
        if isinstance(session, str):
            self._admit(session, visitor)
            if self.unread(session) > MAX_UNREAD:
                raise _RefusedError(words.BUSY, 429)
        # Where a file is named Gradio would look for it, or fetch it; the handlers see to that.
        return json.dumps(_without_meta(request)).encode()

    def _naming(self, visitor: str, send: Send) -> Send:
        """Answer an upload with names in place of paths, or a refusal with a sentence of ours."""
        started: list[Message] = []
        body = b""

        async def send_names(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                started.append(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            start = started[0]
            if start["status"] != 200:
                large = start["status"] == 413 or body.decode() == words.LARGE_REQUEST
                sentence = words.LARGE_REQUEST if large else words.NO_REQUEST
                await _refuse(sentence, 413 if large else start["status"], send)
                return
            paths = [Path(path) for path in json.loads(body)]
            if len(paths) > 1:  # a page sends one at a time, and many would push out all others
                for path in paths:
                    path.unlink(missing_ok=True)
                await _refuse(words.NO_REQUEST, 400, send)
                return
            names = [self.handover.offer(path, visitor) for path in paths]
            answer = json.dumps(names).encode()
            await send({**start, "headers": _with_length(start["headers"], len(answer))})
            await send({"type": "http.response.body", "body": answer})

        return send_names


def has_room() -> bool:
    """Whether one more upload fits in what temporary files may take, the oldest of which give way.

    A page needs its upload no more once it has been answered, nor a file that it has downloaded.
    """
    most = settings.TEMPORARY_BYTES - settings.MAX_UPLOAD_BYTES
    return make_room(settings.TEMPORARY, most, settings.TEMPORARY_SPARED)


class Sessions:
    """Which page belongs to whom: to the browser that first used its name."""

    def __init__(self, most: int = 100_000) -> None:
        """Args:
        most: pages that are remembered; those unused for longest are forgotten.
        """
        self._most = most
        self._visitors: OrderedDict[str, str] = OrderedDict()

    def admits(self, session: str, visitor: str) -> bool:
        """Whether a visitor may use the page of this name."""
        known = self._visitors.setdefault(session, visitor)
        self._visitors.move_to_end(session)
        while len(self._visitors) > self._most:
            self._visitors.popitem(last=False)
        return known == visitor


def _without_meta(value: Any) -> Any:
    """Take from whatever is named as a file the mark by which Gradio knows it."""
    if isinstance(value, list):
        return [_without_meta(item) for item in value]
    if isinstance(value, dict):
        marked = "path" in value and "meta" in value
        return {
            key: _without_meta(item)
            for key, item in value.items()
            if not (marked and key == "meta")
        }
    return value


async def _body(receive: Receive, most: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusedError(words.NO_REQUEST, 400)
        body += message.get("body", b"")
        if len(body) > most:
            raise _RefusedError(words.LARGE_REQUEST, 413)
        if not message.get("more_body"):
            return bytes(body)


def _uploaded(receive: Receive, most: int) -> Receive:
    """Pass an upload on until it is too large or breaks off.

    Gradio deletes what has come of it for this error alone.
    """
    receive_bounded = _bounded(receive, most)

    async def receive_upload() -> Message:
        try:
            message = await receive_bounded()
        except _RefusedError as error:
            raise MultiPartException(str(error)) from error
        if message["type"] == "http.disconnect":
            raise MultiPartException(words.NO_REQUEST)
        return message

    return receive_upload


def _drop_parts() -> None:
    """Delete uploads that are not whole, which Gradio leaves behind when the disk is full.

    Whatever else is on its way then could not be written either.
    """
    for part in settings.RECEIVED.glob("tmp*"):
        if part.is_file():
            part.unlink(missing_ok=True)


def _politely(send: Send) -> Send:
    """Say in words of ours that too many wait."""
    busy = False

    async def send_politely(message: Message) -> None:
        nonlocal busy
        if message["type"] == "http.response.start" and message["status"] == 503:
            busy = True
            await _refuse(words.BUSY, 503, send)
        elif not busy:
            await send(message)

    return send_politely


def _asked_for(scope: Message, name: str) -> list[str]:
    """Return all values of a name in the address, the empty ones too."""
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return query.get(name, [])


async def _send_done(send: Send) -> None:
    """Say of an upload, as Gradio does, that all of it is here."""
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'data: {"msg": "done"}\n\n'})


def _from_elsewhere(scope: Message) -> Message:
    """Note in the headers of another computer's request where it comes from.

    Gradio calls an assistant's tools from here, with the headers that the assistant sent: one that
    says `Host: localhost` would be taken for the owner.
    """
    host = (scope.get("client") or ("",))[0]
    if host in LOOPBACK:
        return scope
    return {**scope, "headers": [*scope["headers"], (b"x-forwarded-for", host.encode())]}


async def _refuse(sentence: str, status: int, send: Send) -> None:
    """Answer with a sentence: Gradio's page shows the one field, its Python client the other."""
    body = json.dumps({"detail": sentence, "error": sentence}).encode()
    headers = [(b"content-type", b"application/json")]
    headers = _with_length(headers, len(body))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _bounded(receive: Receive, most: int) -> Receive:
    """Pass a request's body on, and refuse it when it becomes too large."""
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise _RefusedError(words.LARGE_REQUEST, 413)
        return message

    return receive_bounded


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Hand over a body that was read already, then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _with_length(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    others = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*others, (b"content-length", str(length).encode())]

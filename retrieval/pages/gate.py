"""The gate before Gradio: what of its interface is open, how much it takes, and who gets in where.

Gradio has many routes that this app has no use for (proxies, code editors, recordings), reads a
request however large it is, and opens any address or path that is named as a file.
"""

import errno
import json
import math
import re
import secrets
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gradio.route_utils import FnIndexInferError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from retrieval import settings
from retrieval.errors import FULL, explain_os_error
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.asgi import (
    LOOPBACK,
    Asgi,
    Message,
    Noting,
    Receive,
    Send,
    asked_for,
    header_of,
    is_secure,
    path_of,
    replayed,
    send_whole,
    with_length,
)
from retrieval.pages.handover import Handover
from retrieval.pages.heartbeats import Heartbeats
from retrieval.pages.markup import duration
from retrieval.pages.open_pages import OpenPages
from retrieval.pages.origins import is_asked_by_a_name_of_ours, is_of_another_site
from retrieval.pages.pace import Pace
from retrieval.pages.receiving import (
    DONE,
    EVENTS,
    FORM,
    Arriving,
    Room,
    Telling,
    drop_parts,
    guard_uploads,
)
from retrieval.pages.sessions import known_since, own_address_of, visitor_of_scope

API = "/gradio_api/"
OPEN = re.compile(
    r"info|openapi\.json|startup-events|app_id|login_check|user|token|theme\.css"
    r"|upload|upload_progress|file=.+|queue/(join|data|status)|heartbeat/[^/]+|cancel|reset"
    r"|call/(v2/)?[^/]+(/[^/]+)?|mcp(/(http|schema))?"
)
# Beside Gradio's interface: the page, what it loads, and what is ours.
BESIDE = re.compile(
    r"/?|/config/?|/(theme\.css|favicon\.ico|manifest\.json|robots\.txt)"
    r"|/(assets|static|files|thumbnails|originals|problems|bundles|copies|maps)/.+"
)
DEAR = re.compile(r"/(bundles/.+\.lookalike|copies/.+\.csv|maps/[^/]+/[^/]+\.json)")
# Where looking does something: it takes a place among a visitor's open pages, or has much computed
# or read. Small pictures and the page itself every site may show or lead to.
OWN = re.compile(
    rf"{API}(heartbeat/.+|queue/data|upload_progress|mcp(/.*)?)/?|/(originals|problems)/.+|{DEAR.pattern}"
)
NAMED = "call/v2/"  # begins a call whose values have names, as "Use via API" shows it
PAGE = re.compile(r"/?|/config/?")  # which Gradio lays out anew for each who opens it
PLAIN = b"text/plain; charset=utf-8"
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
UPLOADS = re.compile(r"/uploads(/[^/]*)?")  # where our own page sends files
SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)  # what pages call themselves
MAX_DEPTH = 50  # lists in lists of a request; a page sends a few
# Of what ends a request while it comes.
STATUSES = {words.LARGE_REQUEST: 413, words.NO_ROOM: 507, words.NO_REQUEST: 400}
# Calls of tools at once. Each holds one of the few threads of the server until it is answered, and
# needs another for the picture that it sends on.
MAX_TOOLS = 8


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
        forget: Callable[[str], None] = lambda session: None,
        keep: Callable[[str], None] = lambda session: None,
        in_order: Callable[[str, dict[str, Any]], list[Any]] = lambda name, named: [
            *named.values()
        ],
        has_tools: bool = True,
    ) -> None:
        """Guard an app of Gradio.

        Args:
            unread: says how many answers wait for a page.
            forget: forgets what a page has been doing.
            keep: keeps it as that of an open page.
            in_order: returns the named values of a call as the list that its endpoint takes, or
                raises a TypeError.
            has_tools: whether assistants may call it.
        """
        self.app = app
        self.handover = handover
        self.access = access
        self.unread = unread
        self.pages = OpenPages(forget)
        self.heartbeats = Heartbeats(keep)
        self.pace = Pace(settings.VISITOR_REQUESTS)
        self.pace_of_address = Pace(settings.ADDRESS_REQUESTS)
        self.downloads = Pace(settings.VISITOR_DOWNLOADS)
        self.openings = Pace(settings.VISITOR_REQUESTS)
        self.first_openings = Pace(settings.FIRST_OPENINGS)
        self.room = Room()
        self.arriving = Arriving(settings.ARRIVING_BYTES)
        self.telling = Telling()
        self.calls_arriving = Arriving(settings.ARRIVING_CALL_BYTES)
        self._in_order = in_order
        self._has_tools = has_tools
        self._tools = 0  # calls of them that are under way
        guard_uploads()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a sentence."""
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        path = path_of(scope)
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = Noting(send)
        try:
            if UNPRINTABLE.search(path):  # a line's end passes for the end of many a pattern
                raise _RefusedError(words.NO_ADDRESS, 404)
            if not self.access.is_public and not is_asked_by_a_name_of_ours(scope):
                await send_whole(words.OTHER_NAME.encode(), PLAIN, 421, send)
                return
            acts = scope["method"] not in ("GET", "HEAD") or OWN.fullmatch(path)
            if acts and is_of_another_site(scope):
                raise _RefusedError(words.OTHER_SITE, 403)
            if path.startswith(API):
                await self._pass(path.removeprefix(API).rstrip("/"), scope, receive, answer)
            else:
                if scope["method"] not in ("GET", "HEAD"):
                    # Gradio's own login, for one, takes forms of any size.
                    if not UPLOADS.fullmatch(path):
                        raise _RefusedError(words.NO_ADDRESS, 404)
                    if path.rstrip("/") == "/uploads":
                        self._keep_pace(scope, visitor_of_scope(scope), self.pace)
                elif not BESIDE.fullmatch(path):
                    raise _RefusedError(words.NO_ADDRESS, 404)
                elif DEAR.fullmatch(path) or PAGE.fullmatch(path):
                    # Behind a proxy all have its address, so there their cookies have to tell.
                    own = own_address_of(Request(scope))
                    visitor = "" if own else visitor_of_scope(scope)
                    if DEAR.fullmatch(path):
                        self._keep_pace(scope, visitor, self.downloads)
                    else:
                        if own or visitor:
                            self._keep_pace(scope, visitor, self.openings)
                        if not own and not known_since(scope):  # anybody's first, or made up
                            self._keep_pace(scope, "", self.first_openings, words.BUSY)
                        # Gradio would look for a page, or what it has kept, of the name in there.
                        scope = {**scope, "query_string": b""}
                await self.app(scope, receive, answer)
        except Exception as error:
            if answer.begun:
                if not isinstance(error.__cause__, HTTPException):
                    raise
                # Gradio finds out that there is no such page while it answers, and has said so.
                await send({"type": "http.response.body", "body": b""})
                return
            sentence, status = words.WENT_WRONG, 500
            if isinstance(error, _RefusedError):
                sentence, status = str(error), error.status
            elif isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                sentence, status = words.NO_ADDRESS, 404
            elif isinstance(error, OSError) and error.errno:
                sentence, status = str(explain_os_error(error, "What was sent")), 507
                if error.errno in FULL:
                    drop_parts()
            else:
                traceback.print_exc()
            is_read = "text/html" in header_of(scope, b"accept") and not path.startswith(API)
            is_upload = path.rstrip("/") == f"{API}upload"
            await (_refuse_plainly if is_read or is_upload else _refuse)(sentence, status, send)

    async def _pass(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        is_tool = name.startswith("mcp")
        if not OPEN.fullmatch(name) or (is_tool and not self._has_tools):
            raise _RefusedError(words.NO_ADDRESS, 404)
        visitor = visitor_of_scope(scope)
        if name == "queue/data":
            # Of two, one library takes the first and another the last.
            sessions = asked_for(scope, "session_hash")
            if len(sessions) != 1:
                raise _RefusedError(words.NO_REQUEST, 400)
            self._admit(sessions[0], visitor, scope)
            scope = {**scope, "query_string": urlencode({"session_hash": sessions[0]}).encode()}
            if scope["method"] == "GET":
                with self.heartbeats.listening(sessions[0]):
                    await self.app(scope, receive, send)
                return
        elif name.startswith("heartbeat/"):
            session = name.removeprefix("heartbeat/")
            self._admit(session, visitor, scope)
            if scope["method"] == "GET":  # which lasts as long as the page is open, or is used
                with self.pages.held_open(session) as stay:
                    hold = self.heartbeats.hold
                    if await hold(self.app, scope, receive, send, visitor, session):
                        stay()
                return
        elif name in ("upload", "upload_progress"):
            uploads = [upload for upload in asked_for(scope, "upload_id") if upload]
            if name == "upload_progress" and not uploads:
                # The camera asks after an upload that it has not begun, and Gradio makes it wait
                # for three seconds to be told that there is none.
                await send_whole(DONE, EVENTS, 200, send)
                return
            for upload in uploads:
                if not SESSION.fullmatch(upload):
                    raise _RefusedError(words.NO_REQUEST, 400)
                self.arriving.note_progress(upload)
            if name == "upload_progress" and scope["method"] == "GET":
                if len(uploads) > 1:
                    raise _RefusedError(words.NO_REQUEST, 400)
                await self.telling.tell(self.app, scope, receive, send, visitor, uploads[0])
                return
        elif name == "info":
            self._keep_pace(scope, visitor, self.pace)
            # Else everybody is told the address by which the first one has asked.
            scope = {**scope, "query_string": b"page="}
        if scope["method"] != "POST":
            if name in ("mcp", "mcp/http"):
                # Gradio would lay out a page of its own for a browser, and hold a stream open for
                # an assistant, on which nothing ever comes: there need not be one.
                raise _RefusedError(words.FOR_ASSISTANTS, 405)
            await self.app(scope, receive, send)
            return
        self._keep_pace(scope, visitor, self.pace)
        own = own_address_of(Request(scope))
        # Of one address, or from behind one proxy, visitors may be made up without end.
        if own or not known_since(scope):
            self._keep_pace(scope, "", self.pace_of_address, words.BUSY)
        if name == "upload":
            if not await self.room.has_room():
                raise _RefusedError(words.NO_ROOM, 507)
            if not FORM.fullmatch(header_of(scope, b"content-type")):
                raise _RefusedError(words.NO_REQUEST, 400)
            most = settings.MAX_UPLOAD_BYTES + settings.MAX_REQUEST_BYTES
            with self.arriving.counted(receive, most, visitor, own) as counted:
                await self.app(scope, counted, self._naming(visitor, send))
        elif is_tool:
            # All of it first: what is raised while it is read, its library answers in its own way.
            most = settings.MAX_TOOL_BYTES
            with self.calls_arriving.counted(receive, most, visitor, own) as counted:
                try:
                    body = await _body(counted, most)
                except MultiPartException as error:
                    raise _RefusedError(error.message, STATUSES[error.message]) from error
            _read(body)  # of a number of very many digits the library makes an error of its own
            if self._tools >= MAX_TOOLS:
                raise _RefusedError(words.BUSY, 429)
            self._tools += 1
            try:
                await self.app(_from_elsewhere(scope), replayed(body, receive), send)
            finally:
                self._tools -= 1
        else:
            body = await _body(receive, settings.MAX_REQUEST_BYTES)
            body = self._checked(name, body, visitor, scope)
            scope = {**scope, "headers": with_length(scope["headers"], len(body))}
            if name.startswith(NAMED):
                scope["path"] = scope["path"].replace(f"/{NAMED}", "/call/", 1)
            try:
                await self.app(scope, replayed(body, receive), _politely(send))
            except (FnIndexInferError, LookupError, TypeError, ValueError) as error:
                # Nothing of ours runs before it has waited in the queue: there is no such event.
                raise _RefusedError(words.NO_REQUEST, 400) from error

    def _keep_pace(
        self, scope: Message, visitor: str, pace: Pace, sentence: str = words.TOO_OFTEN
    ) -> None:
        """Refuse a visitor who asks too often; the owner may ask as often as they like.

        Args:
            visitor: "" where all of a network address count as one.
            sentence: what they are told.
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
            raise _RefusedError(sentence.format(time=duration(math.ceil(seconds))), 429)

    def _admit(self, session: str, visitor: str, scope: Message) -> None:
        if not SESSION.fullmatch(session):
            raise _RefusedError(words.NO_REQUEST, 400)
        if not self.pages.admits(session, visitor, own_address_of(Request(scope))):
            raise _RefusedError(words.OTHERS_SESSION, 403)
        self.heartbeats.use(visitor, session)

    def _checked(self, name: str, body: bytes, visitor: str, scope: Message) -> bytes:
        """Return a request that Gradio may have: whole, of this visitor, naming no files to it."""
        request = _read(body)
        if not isinstance(request, dict):
            raise _RefusedError(words.NO_REQUEST, 400)
        if name.startswith(NAMED):
            # Gradio would take the session, too, for one of the values.
            try:
                request = {"data": self._in_order(name.removeprefix(NAMED), request)}
            except TypeError as error:
                raise _RefusedError(words.NO_REQUEST, 400) from error
        session = request.get("session_hash")
        if session is None and name.startswith("call/"):
            # Gradio would make up one for each, of which nobody here knows.
            session = request["session_hash"] = secrets.token_urlsafe(16)
        if isinstance(session, str):
            self._admit(session, visitor, scope)
            if self.unread(session) > settings.MAX_UNREAD:
                raise _RefusedError(words.BUSY, 429)
        if name == "queue/join" and not isinstance(request.get("event_data"), dict):
            request["event_data"] = {}  # in which handlers look for what they need
        # Where a file is named Gradio would look for it, or fetch it; the handlers see to that. It
        # knows files by a mark, and in what is told of an event by the path alone.
        request = _without("meta", request)
        if "event_data" in request:
            request["event_data"] = _without("path", request["event_data"])
        # Half a sign of two, which JSON can say and no file or database takes, becomes a "?".
        return json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")

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
                said = body.decode()
                large = start["status"] == 413 or said == words.LARGE_REQUEST
                sentence, status = words.NO_REQUEST, start["status"]
                if large:
                    sentence, status = words.LARGE_REQUEST, 413
                elif said == words.NO_ROOM:
                    sentence, status = words.NO_ROOM, 507
                await _refuse_plainly(sentence, status, send)
                return
            paths = [Path(path) for path in json.loads(body)]
            if len(paths) > 1:  # a page sends one at a time, and many would push out all others
                for path in paths:
                    path.unlink(missing_ok=True)
                await _refuse_plainly(words.NO_REQUEST, 400, send)
                return
            names = [self.handover.offer(path, visitor) for path in paths]
            answer = json.dumps(names).encode()
            await send({**start, "headers": with_length(start["headers"], len(answer))})
            await send({"type": "http.response.body", "body": answer})

        return send_names


def _without(mark: str, value: Any, depth: int = 0) -> Any:
    """Take from whatever has a path the mark by which Gradio knows it for a file."""
    if depth > MAX_DEPTH:
        raise _RefusedError(words.NO_REQUEST, 400)
    if isinstance(value, list):
        return [_without(mark, item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            key: _without(mark, item, depth + 1)
            for key, item in value.items()
            if not (key == mark and "path" in value)
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
            break
    # Text is read at once; nobody else is answered while a request of very many values is.
    if sum(map(body.count, b"[{,")) > settings.MAX_REQUEST_VALUES:
        raise _RefusedError(words.NO_REQUEST, 400)
    return bytes(body)


def _read(body: bytes) -> Any:
    """Return what JSON says."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(words.NO_REQUEST, 400) from error


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


def _from_elsewhere(scope: Message) -> Message:
    """Note in the headers of another computer's request where it comes from.

    Gradio calls an assistant's tools from here, with the headers that the assistant sent: one that
    says `Host: localhost` would be taken for the owner. Those requests are not encrypted, though,
    and belong to a session that all assistants share, which is no browser's.
    """
    left_out = {b"cookie"}
    if is_secure(scope):
        left_out.add(b"x-forwarded-proto")
        scope = {**scope, "scheme": "https"}
    kept = [(name, value) for name, value in scope["headers"] if name not in left_out]
    scope = {**scope, "headers": kept}
    host = (scope.get("client") or ("",))[0]
    if host in LOOPBACK:
        return scope
    return {**scope, "headers": [*scope["headers"], (b"x-forwarded-for", host.encode())]}


async def _refuse(sentence: str, status: int, send: Send) -> None:
    """Answer with a sentence: Gradio's page shows the one field, its Python client the other."""
    body = json.dumps({"detail": sentence, "error": sentence}).encode()
    await send_whole(body, b"application/json", status, send)


async def _refuse_plainly(sentence: str, status: int, send: Send) -> None:
    """Answer with the sentence alone: to a browser that shows it in place of a page, or an upload.

    Of an upload's answer Gradio's page shows all there is.
    """
    await send_whole(sentence.encode(), PLAIN, status, send)

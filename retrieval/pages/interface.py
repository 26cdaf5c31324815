"""Gradio's interface: what of it is open to visitors, and how much of it they may take.

Gradio has many routes that this app has no use for (proxies, code editors, recordings), reads a
request however large it is, and opens any address or path that is named as a file.
"""

import json
import re
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gradio.route_utils import FnIndexInferError
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.asgi import (
    LOOPBACK,
    Asgi,
    Message,
    Receive,
    Send,
    asked_for,
    header_of,
    is_secure,
    replayed,
    send_whole,
    with_length,
)
from retrieval.pages.bodies import as_json, read_json, whole_body, without
from retrieval.pages.counting import counted
from retrieval.pages.handover import Handover
from retrieval.pages.heartbeats import Heartbeats
from retrieval.pages.open_pages import OpenPages
from retrieval.pages.paces import Paces
from retrieval.pages.receiving import DONE, EVENTS, FORM, Arriving, Room, Telling, guard_uploads
from retrieval.pages.refusing import RefusedError, refuse, refuse_plainly
from retrieval.pages.sessions import own_address_of, visitor_of_scope
from retrieval.pages.turns import OWNER

API = "/gradio_api/"
OPEN = re.compile(
    r"info|openapi\.json|startup-events|app_id|login_check|user|token|theme\.css"
    r"|upload|upload_progress|file=.+|queue/(join|data|status)|heartbeat/[^/]+|cancel|reset"
    r"|call/(v2/)?[^/]+(/[^/]+)?|mcp(/(http|schema))?"
)
NAMED = "call/v2/"  # begins a call whose values have names, as "Use via API" shows it
CALLED = re.compile(r"call/(v2/)?[^/]+/(?P<event>[^/]+)")  # which has the answer to it
SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)  # what pages call themselves
# Of what ends a request while it comes.
STATUSES = {words.LARGE_REQUEST: 413, words.NO_ROOM: 507, words.NO_REQUEST: 400}
# Calls of tools at once, of all strangers, and of the owner. Each holds one of the few threads of
# the server until it is answered, and needs another for the picture that it sends on.
MAX_TOOLS = 8
MAX_TOOLS_AT_ONE_ADDRESS = MAX_TOOLS // 2


def _take_in_order(name: str, named: dict[str, Any]) -> list[Any]:
    return [*named.values()]


@dataclass(frozen=True)
class Hooks:
    """What the interface asks of the app behind it, and tells it.

    Attributes:
        unread: says how many answers wait for a page.
        page_of: returns the page that has asked for an event, by the event's name; "" for none.
        forget: forgets what a page has been doing.
        keep: keeps it as that of an open page.
        in_order: returns the named values of a call as the list that its endpoint takes, or raises
            a TypeError.
        has_tools: whether assistants may call it.
    """

    unread: Callable[[str], int] = lambda session: 0
    page_of: Callable[[str], str] = lambda event: ""
    forget: Callable[[str], None] = lambda session: None
    keep: Callable[[str], None] = lambda session: None
    in_order: Callable[[str, dict[str, Any]], list[Any]] = _take_in_order
    has_tools: bool = True


class Interface:
    """Lets calls of Gradio's interface through to it; plain ASGI, so that streams stay streams."""

    def __init__(
        self, app: Asgi, handover: Handover, access: Access, paces: Paces, hooks: Hooks
    ) -> None:
        """Stand before an app of Gradio."""
        self._app = app
        self._handover = handover
        self._access = access
        self._paces = paces
        self._hooks = hooks
        self._pages = OpenPages(hooks.forget)
        self._heartbeats = Heartbeats(hooks.keep)
        self._room = Room()
        self._arriving = Arriving(settings.ARRIVING_BYTES)
        self._telling = Telling()
        self._calls_arriving = Arriving(settings.ARRIVING_CALL_BYTES)
        self._tools: Counter[str] = Counter()  # calls of them under way, by who has made them
        guard_uploads()

    async def __call__(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on by the name of what it asks for, which follows `API`.

        Raises:
            RefusedError: when it goes no further.
        """
        is_tool = name.startswith("mcp")
        if not OPEN.fullmatch(name) or (is_tool and not self._hooks.has_tools):
            raise RefusedError(words.NO_ADDRESS, 404)
        if scope["method"] == "POST":
            self._paces.keep_requests(scope)
            take = self._upload if name == "upload" else self._tool if is_tool else self._event
            await take(name, scope, receive, send)
            return
        if name in ("mcp", "mcp/http"):
            # Gradio would lay out a page of its own for a browser, and hold a stream open for an
            # assistant, on which nothing ever comes: there need not be one.
            raise RefusedError(words.FOR_ASSISTANTS, 405)
        if name == "info":
            self._paces.keep(scope, visitor_of_scope(scope), self._paces.requests)
            # Else everybody is told the address by which the first one has asked.
            scope = {**scope, "query_string": b"page="}
        if called := CALLED.fullmatch(name):
            # Where it knows no event of the name, Gradio takes it for that of a page.
            page = self._hooks.page_of(called["event"])
            if not page:
                raise RefusedError(words.NO_ADDRESS, 404)
            self._admit(page, scope)
        goes_on = {"queue/data": self._answers, "upload_progress": self._progress}
        listen = self._heartbeat if name.startswith("heartbeat/") else goes_on.get(name)
        if listen is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "GET":
            await listen(name, scope, receive, send)
        else:  # of what only goes on, there is no head alone
            raise RefusedError(words.NO_REQUEST, 405)

    # What a page listens to.

    async def _answers(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        # Of two, one library takes the first and another the last.
        sessions = asked_for(scope, "session_hash")
        if len(sessions) != 1:
            raise RefusedError(words.NO_REQUEST, 400)
        self._admit(sessions[0], scope)
        scope = {**scope, "query_string": urlencode({"session_hash": sessions[0]}).encode()}
        with self._heartbeats.listening(sessions[0]):
            await self._app(scope, receive, send)

    async def _heartbeat(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        """Answer for as long as the page is open, or is used."""
        session, visitor = name.removeprefix("heartbeat/"), visitor_of_scope(scope)
        self._admit(session, scope)
        with self._pages.held_open(session) as stay:
            if await self._heartbeats.hold(self._app, scope, receive, send, visitor, session):
                stay()

    async def _progress(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        uploads = self._noted_uploads(scope)
        if not uploads:
            # The camera asks after an upload that it has not begun, and Gradio makes it wait for
            # three seconds to be told that there is none.
            await send_whole(DONE, EVENTS, 200, send)
            return
        if len(uploads) > 1:
            raise RefusedError(words.NO_REQUEST, 400)
        visitor = visitor_of_scope(scope)
        await self._telling.tell(self._app, scope, receive, send, visitor, uploads[0])

    # What a page, a program or an assistant sends.

    async def _upload(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        self._noted_uploads(scope)
        if not await self._room.has_room():
            raise RefusedError(words.NO_ROOM, 507)
        if not FORM.fullmatch(header_of(scope, b"content-type")):
            raise RefusedError(words.NO_REQUEST, 400)
        visitor, own = visitor_of_scope(scope), own_address_of(Request(scope))
        most = settings.MAX_UPLOAD_BYTES + settings.MAX_REQUEST_BYTES
        with self._arriving.counted(receive, most, visitor, own) as bounded:
            await self._app(scope, bounded, self._naming(visitor, send))

    async def _tool(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        if not await self._room.has_room():  # for its picture
            raise RefusedError(words.NO_ROOM, 507)
        # All of it first: what is raised while it is read, its library answers in its own way.
        visitor, own = visitor_of_scope(scope), own_address_of(Request(scope))
        most = settings.MAX_TOOL_BYTES
        with self._calls_arriving.counted(receive, most, visitor, own) as bounded:
            try:
                body = await whole_body(bounded, most)
            except MultiPartException as error:
                raise RefusedError(error.message, STATUSES[error.message]) from error
        # Of what cannot be read its library makes errors of its own, as of a number of very many
        # digits, and what it cannot say again it leaves unanswered.
        body = as_json(read_json(body))
        scope = {**scope, "headers": with_length(scope["headers"], len(body))}
        caller = OWNER if self._access.is_owner(Request(scope)) else own
        if self._are_too_many(caller):
            raise RefusedError(words.BUSY, 429)
        with counted(self._tools, caller):
            await self._app(_from_elsewhere(scope), replayed(body, receive), send)

    def _are_too_many(self, caller: str) -> bool:
        """Whether so many calls of tools are under way that one more has to wait.

        Args:
            caller: `OWNER`, or a network address; "" where others may well share it.
        """
        if caller == OWNER:
            return self._tools[OWNER] >= MAX_TOOLS
        if caller and self._tools[caller] >= MAX_TOOLS_AT_ONE_ADDRESS:
            return True
        return self._tools.total() - self._tools[OWNER] >= MAX_TOOLS

    async def _event(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        body = self._checked(name, await whole_body(receive, settings.MAX_REQUEST_BYTES), scope)
        scope = {**scope, "headers": with_length(scope["headers"], len(body))}
        if name.startswith(NAMED):
            scope["path"] = scope["path"].replace(f"/{NAMED}", "/call/", 1)
        try:
            await self._app(scope, replayed(body, receive), _politely(send))
        except (FnIndexInferError, LookupError, TypeError, ValueError) as error:
            # Nothing of ours runs before it has waited in the queue: there is no such event.
            raise RefusedError(words.NO_REQUEST, 400) from error

    def _admit(self, session: str, scope: Message) -> None:
        """Refuse whoever names a page of another visitor's."""
        visitor = visitor_of_scope(scope)
        if not SESSION.fullmatch(session):
            raise RefusedError(words.NO_REQUEST, 400)
        if not self._pages.admits(session, visitor, own_address_of(Request(scope))):
            raise RefusedError(words.OTHERS_SESSION, 403)
        self._heartbeats.use(visitor, session)

    def _noted_uploads(self, scope: Message) -> list[str]:
        """Return by which names a request asks how far an upload is, or begins one."""
        uploads = [upload for upload in asked_for(scope, "upload_id") if upload]
        for upload in uploads:
            if not SESSION.fullmatch(upload):
                raise RefusedError(words.NO_REQUEST, 400)
            self._arriving.note_progress(upload)
        return uploads

    def _checked(self, name: str, body: bytes, scope: Message) -> bytes:
        """Return a request that Gradio may have: whole, of this visitor, naming no files to it."""
        request = read_json(body)
        if not isinstance(request, dict):
            raise RefusedError(words.NO_REQUEST, 400)
        if name.startswith(NAMED):
            # Gradio would take the session, too, for one of the values.
            try:
                request = {"data": self._hooks.in_order(name.removeprefix(NAMED), request)}
            except TypeError as error:
                raise RefusedError(words.NO_REQUEST, 400) from error
        session = request.get("session_hash")
        if session is None and name.startswith("call/"):
            # Gradio would make up one for each, of which nobody here knows.
            session = request["session_hash"] = secrets.token_urlsafe(16)
        if isinstance(session, str):
            self._admit(session, scope)
            if self._hooks.unread(session) > settings.MAX_UNREAD:
                raise RefusedError(words.BUSY, 429)
        event = request.get("event_id")  # that is to be cancelled
        if isinstance(event, str) and (page := self._hooks.page_of(event)):
            self._admit(page, scope)
        if name == "queue/join" and not isinstance(request.get("event_data"), dict):
            request["event_data"] = {}  # in which handlers look for what they need
        # Where a file is named Gradio would look for it, or fetch it; the handlers see to that. It
        # knows files by a mark, and in what is told of an event by the path alone.
        request = without("meta", request)
        if "event_data" in request:
            request["event_data"] = without("path", request["event_data"])
        return as_json(request)

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
                await refuse_plainly(sentence, status, send)
                return
            paths = [Path(path) for path in json.loads(body)]
            if len(paths) > 1:  # a page sends one at a time, and many would push out all others
                for path in paths:
                    path.unlink(missing_ok=True)
                await refuse_plainly(words.NO_REQUEST, 400, send)
                return
            names = [self._handover.offer(path, visitor) for path in paths]
            answer = json.dumps(names).encode()
            await send({**start, "headers": with_length(start["headers"], len(answer))})
            await send({"type": "http.response.body", "body": answer})

        return send_names


def _politely(send: Send) -> Send:
    """Say in words of ours that too many wait."""
    busy = False

    async def send_politely(message: Message) -> None:
        nonlocal busy
        if message["type"] == "http.response.start" and message["status"] == 503:
            busy = True
            await refuse(words.BUSY, 503, send)
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

"""The gate before Gradio: what is open to whom, how often, and what is said of what is not."""

import errno
import re
import traceback

from starlette.exceptions import HTTPException

from retrieval.errors import FULL, explain_os_error
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.asgi import (
    Asgi,
    Message,
    Noting,
    Receive,
    Send,
    header_of,
    path_of,
    send_whole,
)
from retrieval.pages.handover import Handover
from retrieval.pages.interface import API, Hooks, Interface
from retrieval.pages.origins import (
    is_asked_by_a_name_of_ours,
    is_of_another_site,
    names_no_address,
)
from retrieval.pages.paces import Paces
from retrieval.pages.receiving import drop_parts
from retrieval.pages.refusing import PLAIN, RefusedError, refuse, refuse_plainly
from retrieval.pages.sessions import has_too_many_cookies, visitor_of_scope

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
PAGE = re.compile(r"/?|/config/?")  # which Gradio lays out anew for each who opens it
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
SENT = re.compile(r"/uploads(/[^/]*)?|/password")  # where our own page sends what
# By which Gradio's own second server says where the page is asked for. There is none here.
OF_GRADIO = b"x-gradio-server"


class Gate:
    """Lets requests through to Gradio; plain ASGI, so that streams stay streams."""

    def __init__(
        self, app: Asgi, handover: Handover, access: Access, hooks: Hooks | None = None
    ) -> None:
        """Guard an app of Gradio."""
        self.app = app
        self.access = access
        self.paces = Paces(access)
        self.interface = Interface(app, handover, access, self.paces, hooks or Hooks())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a sentence."""
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, answer = path_of(scope), Noting(send)
        try:
            await self._pass(path, scope, receive, answer)
        except Exception as error:
            if answer.begun:
                if not isinstance(error.__cause__, HTTPException):
                    raise
                # Gradio finds out that there is no such page while it answers, and has said so.
                await send({"type": "http.response.body", "body": b""})
                return
            sentence, status = _explained(error)
            is_read = "text/html" in header_of(scope, b"accept") and not path.startswith(API)
            is_upload = path.rstrip("/") == f"{API}upload"
            await (refuse_plainly if is_read or is_upload else refuse)(sentence, status, send)

    async def _pass(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        looks = scope["method"] in ("GET", "HEAD")
        if UNPRINTABLE.search(path):  # a line's end passes for the end of many a pattern
            raise RefusedError(words.NO_ADDRESS, 404)
        if not self.access.is_public and not is_asked_by_a_name_of_ours(scope):
            await send_whole(words.OTHER_NAME.encode(), PLAIN, 421, send)
            return
        if names_no_address(scope):
            raise RefusedError(words.NO_REQUEST, 400)
        if has_too_many_cookies(scope):
            raise RefusedError(words.MANY_COOKIES, 431)
        scope = {**scope, "headers": [one for one in scope["headers"] if one[0] != OF_GRADIO]}
        if (not looks or OWN.fullmatch(path)) and is_of_another_site(scope):
            raise RefusedError(words.OTHER_SITE, 403)
        if path.startswith(API):
            await self.interface(path.removeprefix(API).rstrip("/"), scope, receive, send)
            return
        # Gradio's own login, for one, takes forms of any size.
        if not (BESIDE if looks else SENT).fullmatch(path):
            raise RefusedError(words.NO_ADDRESS, 404)
        if not looks and path.rstrip("/") in ("/uploads", "/password"):
            self.paces.keep(scope, visitor_of_scope(scope), self.paces.requests)
        elif looks and DEAR.fullmatch(path):
            self.paces.keep_downloads(scope)
        elif looks and PAGE.fullmatch(path):
            self.paces.keep_openings(scope)
            # Gradio would look for a page, or what it has kept, of the name in there.
            scope = {**scope, "query_string": b""}
        await self.app(scope, receive, send)


def _explained(error: Exception) -> tuple[str, int]:
    """Return what is said of what has kept a request from being answered, and the status."""
    if isinstance(error, RefusedError):
        return str(error), error.status
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return words.NO_ADDRESS, 404
    if isinstance(error, OSError) and error.errno:
        if error.errno in FULL:
            drop_parts()
        return str(explain_os_error(error, "What was sent")), 507
    traceback.print_exception(error)
    return words.WENT_WRONG, 500

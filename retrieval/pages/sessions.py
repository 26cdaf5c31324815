"""Who is asking: a visitor, told apart by a cookie, or the owner of the app."""

import hmac
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import gradio as gr

COOKIE = "lookalike"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


class VisitorCookie:
    """Gives each browser that opens the page a name of its own that nobody can guess.

    Plain ASGI, so that streams stay streams. The cookie ends with the browser's session.
    """

    def __init__(self, app: Asgi) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on; the page itself brings the cookie along, unless it is there."""
        if scope["type"] != "http" or scope["path"] != "/" or _cookie(_header(scope, b"cookie")):
            await self.app(scope, receive, send)
            return
        # Inside the frame of a Space the page is a third party, which needs the longer form.
        secure = scope["scheme"] == "https" or _header(scope, b"x-forwarded-proto") == "https"
        place = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
        cookie = f"{COOKIE}={secrets.token_urlsafe(24)}; Path=/; HttpOnly; {place}".encode()

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"set-cookie", cookie)]
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def visitor_of(request: Any) -> str:
    """Return the name of the browser that sent a request of Gradio or Starlette; "" without one.

    Programs have none: they see what everybody sees.
    """
    inner = request.request if isinstance(request, gr.Request) else request
    return _cookie(inner.headers.get("cookie", "")) if inner else ""


def visitor_of_scope(scope: Message) -> str:
    """Return the name of the browser that sent a request, before anything has read it."""
    return _cookie(_header(scope, b"cookie"))


class Access:
    """Knows the owner: whoever sits at this computer, or has given the password.

    On a shared link or a Space everybody comes through a tunnel, so there only the password counts.
    """

    def __init__(self, password: str | None, public: bool, patience: float = 1.0) -> None:
        """Args:
        password: the owner's, None for none.
        public: whether strangers' requests may look like those of this computer; it may become
            False when there is no way for strangers after all.
        patience: seconds that a wrong password costs the first time.
        """
        self.has_password = bool(password)
        self.is_public = public
        self._password = (password or "").encode()
        self._patience = patience
        self._wrong = 0
        self._turn = threading.Lock()
        self._owners: set[str] = set()

    def is_owner(self, request: Any) -> bool:
        """Whether a request of Gradio or Starlette comes from the owner."""
        inner = request.request if isinstance(request, gr.Request) else request
        if inner is None:
            return False
        if visitor_of(inner) in self._owners:
            return True
        return not self.is_public and is_of_this_computer(inner)

    def enter(self, request: Any, password: str) -> bool:
        """Take whoever knows the password for the owner from now on; slow down who does not."""
        visitor = visitor_of(request)
        # One after the other, or many wrong ones at once would cost no more than a single one.
        with self._turn:
            right = hmac.compare_digest(password.encode(), self._password) and self.has_password
            if right and visitor:
                self._wrong = 0
                self._owners.add(visitor)
                return True
            self._wrong += 1
            time.sleep(min(5.0, self._patience * self._wrong))
            return False


def is_of_this_computer(request: Any) -> bool:
    """Whether a request of Starlette was made here, and by a page of ours.

    Another site in the same browser could send requests here, or have its name point here: both
    show in the headers that a browser does not let it change.
    """
    host = request.client.host if request.client else ""
    if host not in LOOPBACK or any(name in request.headers for name in FORWARDED):
        return False
    origin = request.headers.get("origin")
    names = [urlsplit("//" + request.headers.get("host", "")).hostname]
    if origin:
        names.append(urlsplit(origin).hostname)
    return all(name in LOOPBACK for name in names)


def _header(scope: Message, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _cookie(header: str) -> str:
    try:
        kept = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return kept.value if kept and len(kept.value) >= 32 else ""

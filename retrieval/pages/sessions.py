"""Who is asking: a visitor, told apart by a cookie, or the owner of the app."""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

import gradio as gr

COOKIE = "lookalike"
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


def _header(scope: Message, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _cookie(header: str) -> str:
    try:
        kept = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return kept.value if kept and len(kept.value) >= 32 else ""

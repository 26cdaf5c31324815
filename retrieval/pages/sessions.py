"""Who is asking: a visitor, told apart by a cookie or by a network address."""

import base64
import hmac
import ipaddress
import re
import secrets
import time
from typing import Any

import gradio as gr

from retrieval.pages.asgi import Asgi, Message, Receive, Send, header_of, is_secure
from retrieval.pages.pace import Pace

# Under the name for encrypted pages a browser takes no cookie that another site of the same domain
# has set: on gradio.live everybody can have one. After it follows when the cookie was made, in
# nanoseconds: tabs that are opened at once get one each, and all are to go by the earliest.
COOKIES = {False: "lookalike", True: "__Host-lookalike"}
SECRET = secrets.token_bytes(32)
KNOWN_A_MINUTE = 10  # visitors who can be known so: fewer than tries are spared for them
SIGNED = 22  # letters, of 6 bits each


class VisitorCookie:
    """Gives each browser that opens the page a name of its own that nobody can guess.

    Gradio's client for Python, which asks for the configuration instead, keeps a cookie as well.
    Plain ASGI, so that streams stay streams. The cookie ends with the browser's session.
    """

    def __init__(self, app: Asgi) -> None:
        self.app = app
        self._known = Pace(KNOWN_A_MINUTE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on; the page itself brings the cookie along, unless it is there."""
        opens = scope["type"] == "http" and scope["path"] in ("/", "/config")
        if not opens or visitor_of_scope(scope):
            await self.app(scope, receive, send)
            return
        # Inside the frame of a Space the page is a third party, which needs the longer form.
        secure = is_secure(scope)
        place = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
        made, token = f"{time.time_ns():016x}", secrets.token_urlsafe(24)
        # One of very many that are asked for at once is as good as made up.
        is_known = not self._known.seconds_to_wait(own_address((scope.get("client") or ("",))[0]))
        name = token + (_signed(made, token) if is_known else "")
        cookie = f"{COOKIES[secure]}-{made}={name}; Path=/; HttpOnly; {place}".encode()

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Or a proxy's memory would give everybody the same name.
                alone = [(b"set-cookie", cookie), (b"cache-control", b"private, no-cache")]
                message["headers"] = [*message["headers"], *alone]
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def visitor_of(request: Any) -> str:
    """Return the name of the browser that sent a request of Gradio or Starlette; "" without one.

    Few programs have one: they see what everybody sees.
    """
    inner = plain(request)
    return visitor_of_scope(inner.scope) if inner else ""


def visitor_of_scope(scope: Message) -> str:
    """Return the name of the browser that sent a request, before anything has read it."""
    return _cookie(scope)[1]


def _signed(made: str, token: str) -> str:
    """Return the end of a visitor's name, which shows that it was given out in this run."""
    signature = hmac.digest(SECRET, f"{made} {token}".encode(), "sha256")
    return base64.urlsafe_b64encode(signature)[:SIGNED].decode()


def known_for(request: Any) -> float:
    """Return for how many seconds a browser has had its name; 0 where it may be made up."""
    inner = plain(request)
    made, name = _cookie(inner.scope) if inner else ("", "")
    if not hmac.compare_digest(_signed(made, name[:-SIGNED]), name[-SIGNED:]):
        return 0.0
    return time.time() - int(made, 16) / 1e9


def plain(request: Any) -> Any:
    """Return Starlette's request, which Gradio's holds."""
    return request.request if isinstance(request, gr.Request) else request


def own_address_of(request: Any) -> str:
    """Return the network address that a request comes from; "" where others may well share it."""
    inner = plain(request)
    return own_address(inner.client.host if inner and inner.client else "")


def own_address(host: str) -> str:
    """Return what of a network address is its host's own; "" where others may well share it.

    Tunnels, proxies and containers that do not say whom they speak for have addresses that lead
    nowhere else. Of a long one the first half counts: whoever has one has all that begin so.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            half = ipaddress.ip_network((int(address) >> 64 << 64, 64))
            return str(half) if address.is_global else ""
        address = address.ipv4_mapped
    return str(address) if address.is_global else ""


def _cookie(scope: Message) -> tuple[str, str]:
    """Return when the earliest cookie of ours was made, and what it holds; "" where there is none.

    Whatever runs beside us on the same host may have set others, of any form: Python's own reader
    stops at the first that it does not understand.
    """
    name = COOKIES[is_secure(scope)]
    ours = re.compile(rf"{name}-([0-9a-f]{{16}})=([\w-]{{32,64}})", re.ASCII)
    cookies = header_of(scope, b"cookie").split(";")
    found = [(one[1], one[2]) for one in map(ours.fullmatch, map(str.strip, cookies)) if one]
    # Of two that were made at once the last, as ever.
    return min(reversed(found), key=lambda cookie: cookie[0], default=("", ""))

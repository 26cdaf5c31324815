"""Who is asking: a visitor, told apart by a cookie or by a network address."""

import base64
import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import gradio as gr

from retrieval.pages.asgi import Asgi, Message, Receive, Send, header_of, is_secure
from retrieval.pages.pace import Pace

# Under the name for encrypted pages a browser takes no cookie that another site of the same domain
# has set: on gradio.live everybody can have one. After it follows when the cookie was made, in
# nanoseconds: tabs that are opened at once get one each, and all are to go by the earliest. Another
# cookie shows since when a name is known here, rather than made up. A third is the owner's: where
# nothing is encrypted another site can have set the others, so they say nothing of rights.
COOKIES = {False: "lookalike", True: "__Host-lookalike"}
SECRET = secrets.token_bytes(32)
KNOWN_A_MINUTE = 10  # visitors who become known so: fewer than tries are spared for them
SIGNED = 22  # letters, of 6 bits each
# Bytes of all the cookies of a request: twice what many a proxy lets through. Ours have some 500,
# and those of whatever else runs at the same name come along.
MAX_COOKIES = 2**14


class VisitorCookie:
    """Gives each browser that opens the page a name of its own that nobody can guess.

    Gradio's client for Python, which asks for the configuration instead, keeps a cookie as well.
    Plain ASGI, so that streams stay streams. The cookie ends with the browser's session.
    """

    def __init__(self, app: Asgi) -> None:
        self.app = app
        self._known = Pace(KNOWN_A_MINUTE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on; the page itself brings what is missing of the cookies along."""
        opens = scope["type"] == "http" and scope["path"] in ("/", "/config")
        if not opens or known_since(scope):
            await self.app(scope, receive, send)
            return
        now, given = f"{time.time_ns():016x}", []
        made, name = _cookie(scope)
        if not name:
            made, name = now, secrets.token_urlsafe(24)
            given.append(f"{made}={name}")
        # One of very many that are asked for at once is as good as made up, until it comes again.
        if not self._known.seconds_to_wait(own_address((scope.get("client") or ("",))[0])):
            given.append(f"known-{made}={_signed(now, name)}")
        cookies = [cookie_of_ours(scope, one) for one in given]

        async def send_with_cookies(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Or a proxy's memory would give everybody the same name.
                alone = [(b"cache-control", b"private, no-cache")]
                alone += [(b"set-cookie", cookie.encode()) for cookie in cookies]
                message["headers"] = [*message["headers"], *alone]
            await send(message)

        await self.app(scope, receive, send_with_cookies)


def cookie_of_ours(scope: Message, given: str, seconds: int = 0) -> str:
    """Return the header that gives a browser a cookie, as "name=value", which no script reads.

    Args:
        seconds: how long it is kept; 0 for until the browser is closed.
    """
    secure = is_secure(scope)
    # Inside the frame of a Space the page is a third party, which needs the longer form.
    place = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
    kept = f"Max-Age={seconds}; " if seconds else ""
    return f"{COOKIES[secure]}-{given}; Path=/; {kept}HttpOnly; {place}"


def visitor_of(request: Any) -> str:
    """Return the name of the browser that sent a request of Gradio or Starlette; "" without one.

    Few programs have one: they see what everybody sees.
    """
    inner = plain(request)
    return visitor_of_scope(inner.scope) if inner else ""


def visitor_of_scope(scope: Message) -> str:
    """Return the name of the browser that sent a request, before anything has read it."""
    return _cookie(scope)[1]


def rights_of(scope: Message) -> set[str]:
    """Return what a request shows for the owner's right: also what others made up and planted."""
    return {one[1] for one in _ours(scope, r"owner=([\w-]{43})")}


def devices_of(request: Any) -> list[tuple[str, str]]:
    """Return the numbers of the owner's browser that a request shows, each with its signature."""
    inner = plain(request)
    found = _ours(inner.scope, r"device=([0-9a-f]{32})([0-9a-f]{64})") if inner else ()
    return [(one[1], one[2]) for one in found]


def known_for(request: Any) -> float:
    """Return for how many seconds a browser has had its name; 0 where it may be made up."""
    inner = plain(request)
    since = known_since(inner.scope) if inner else ""
    return time.time() - int(since, 16) / 1e9 if since else 0.0


def known_since(scope: Message) -> str:
    """Return when a browser was found to have its name, as in cookies; "" where it was not."""
    name = visitor_of_scope(scope)
    signed = _ours(scope, rf"known-[0-9a-f]{{16}}=(([0-9a-f]{{16}})[\w-]{{{SIGNED}}})")
    found = (one[2] for one in signed if hmac.compare_digest(one[1], _signed(one[2], name)))
    return min(found, default="")


def _signed(when: str, name: str) -> str:
    """Return a time with a signature, which shows that in this run a visitor was seen then."""
    signature = hmac.digest(SECRET, f"{when} {name}".encode(), "sha256")
    return when + base64.urlsafe_b64encode(signature)[:SIGNED].decode()


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
    """Return when the earliest name of ours was given, and the name; "" where there is none."""
    found = [(one[1], one[2]) for one in _ours(scope, r"([0-9a-f]{16})=([\w-]{32,64})")]
    # Of two that were made at once the last, as ever.
    return min(reversed(found), key=lambda cookie: cookie[0], default=("", ""))


def _ours(scope: Message, rest: str) -> Iterator[re.Match[str]]:
    """Find our cookies of a form, in the order of a request.

    Whatever runs beside us on the same host may have set others, of any form: Python's own reader
    stops at the first that it does not understand.
    """
    ours = re.compile(f"{COOKIES[is_secure(scope)]}-{rest}", re.ASCII)
    return filter(None, map(ours.fullmatch, _like_ours(header_of(scope, b"cookie"))))


@lru_cache(maxsize=64)  # a request's are looked at up to ten times
def _like_ours(cookies: str) -> tuple[str, ...]:
    """Return the cookies of a header that have a name like ours."""
    names = tuple(COOKIES.values())
    return tuple(one for part in cookies.split(";") if (one := part.strip()).startswith(names))


def has_too_many_cookies(scope: Message) -> bool:
    """Whether a request brings more of them than are read."""
    return sum(len(value) for name, value in scope["headers"] if name == b"cookie") > MAX_COOKIES

"""Who is asking: a visitor, told apart by a cookie, or the owner of the app."""

import base64
import hmac
import ipaddress
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import gradio as gr

from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.markup import duration
from retrieval.pages.pace import Pace

# Under the name for encrypted pages a browser takes no cookie that another site of the same domain
# has set: on gradio.live everybody can have one. After it follows when the cookie was made, in
# nanoseconds: tabs that are opened at once get one each, and all are to go by the earliest.
COOKIES = {False: "lookalike", True: "__Host-lookalike"}
SECRET = secrets.token_bytes(32)
MAX_WRONG = 10_000  # who have tried a wrong password, that are remembered
KNOWN_SECONDS = 60.0  # for which a visitor has to be known to be one who is not made up
KNOWN_A_MINUTE = 10  # visitors who can be known so: fewer than tries are spared for them
SIGNED = 22  # letters, of 6 bits each
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


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
                message["headers"] = [*message["headers"], (b"set-cookie", cookie)]
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def visitor_of(request: Any) -> str:
    """Return the name of the browser that sent a request of Gradio or Starlette; "" without one.

    Few programs have one: they see what everybody sees.
    """
    inner = _plain(request)
    return visitor_of_scope(inner.scope) if inner else ""


def visitor_of_scope(scope: Message) -> str:
    """Return the name of the browser that sent a request, before anything has read it."""
    return _cookie(scope)[1]


def _signed(made: str, token: str) -> str:
    """Return the end of a visitor's name, which shows that it was given out in this run."""
    signature = hmac.digest(SECRET, f"{made} {token}".encode(), "sha256")
    return base64.urlsafe_b64encode(signature)[:SIGNED].decode()


def _known_for(request: Any) -> float:
    """Return for how many seconds a browser has had its name; 0 where it may be made up."""
    inner = _plain(request)
    made, name = _cookie(inner.scope) if inner else ("", "")
    if not hmac.compare_digest(_signed(made, name[:-SIGNED]), name[-SIGNED:]):
        return 0.0
    return time.time() - int(made, 16) / 1e9


def _plain(request: Any) -> Any:
    """Return Starlette's request, which Gradio's holds."""
    return request.request if isinstance(request, gr.Request) else request


def own_address_of(request: Any) -> str:
    """Return the network address that a request comes from; "" where others may well share it."""
    inner = _plain(request)
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


class Access:
    """Knows the owner: whoever sits at this computer, or has given the password.

    On a shared link or a Space everybody comes through a tunnel, so there only the password counts.
    """

    def __init__(
        self,
        password: str | None,
        public: bool,
        tries: int = 20,
        tries_in_all: int = 120,
        tries_spared: int = 30,
    ) -> None:
        """Args:
        password: the owner's, None for none.
        public: whether strangers' requests may look like those of this computer; it may become
            False when there is no way for strangers after all.
        tries: passwords of one address, or visitor, that are looked at in a minute.
        tries_in_all: those of everybody, since whoever has many addresses can make up as many
            visitors.
        tries_spared: those that stay for who has tried no wrong one, and is hardly made up: has an
            address of their own, or has opened the page some time before.
        """
        self.has_password = bool(password)
        self.is_public = public
        self._password = (password or "").encode()
        self._pace = Pace(tries)
        self._pace_in_all = Pace(tries_in_all)
        self._pace_spared = Pace(tries_spared)
        self._wrong: OrderedDict[str, None] = OrderedDict()  # who has tried one, the latest last
        self._owners: set[str] = set()

    def is_owner(self, request: Any) -> bool:
        """Whether a request of Gradio or Starlette comes from the owner."""
        inner = _plain(request)
        if inner is None:
            return False
        if visitor_of(inner) in self._owners:
            return True
        return not self.is_public and is_of_this_computer(inner)

    def enter(self, request: Any, password: str | None) -> bool:
        """Take whoever knows the password for the owner from now on.

        Raises:
            LookalikeError: when too many are tried; this one was not looked at. Nobody is kept
                waiting, since that would hold up the pages of all others. Also when it is right,
                and the browser keeps no cookie to know the owner by.
        """
        who = own_address_of(request) or visitor_of(request)
        # One who tries without end takes none of the others' tries.
        seconds = self._pace.seconds_to_wait(who)
        if not seconds:
            seconds = self._pace_in_all.seconds_to_wait("")
            if seconds and who not in self._wrong and self._is_hardly_made_up(request):
                seconds = self._pace_spared.seconds_to_wait("")
        if seconds:
            wait = duration(math.ceil(seconds))
            raise LookalikeError(words.PASSWORDS_TRIED.format(time=wait))
        visitor = visitor_of(request)
        typed = (password or "").encode("utf-8", "replace")  # half a sign is none
        right = hmac.compare_digest(typed, self._password) and self.has_password
        if right and not visitor:
            raise LookalikeError(words.PASSWORD_NO_COOKIE)
        if right:
            self._owners.add(visitor)
        else:
            self._wrong[who] = None
            while len(self._wrong) > MAX_WRONG:
                self._wrong.popitem(last=False)
        return right

    def _is_hardly_made_up(self, request: Any) -> bool:
        return bool(own_address_of(request)) or _known_for(request) >= KNOWN_SECONDS


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


def header_of(scope: Mapping[str, Any], name: bytes) -> str:
    """Return the first header of a name, in small letters, of a request; "" where there is none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def is_secure(scope: Message) -> bool:
    """Whether a browser has sent a request over an encrypted connection."""
    # Of several proxies the first is the one that the browser spoke to.
    told = header_of(scope, b"x-forwarded-proto").split(",")[0].strip()
    return scope.get("scheme") == "https" or told == "https"


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

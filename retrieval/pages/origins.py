"""Which pages may ask for what: those of this app, and of no other site in the same browser.

To a browser `a.gradio.live` and `b.gradio.live` are one site, as are two ports of one computer: it
sends our cookies along with what any page of it asks for.
"""

import ipaddress
import os
import re
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from gradio import route_utils, routes

from retrieval.pages.asgi import FORWARDED, Message, Receive, Send, header_of, name_asked

PORTS = {"http": 80, "https": 443}
# Names that nobody outside of a network can have (RFC 6762, 6761, 8375; ICANN on .internal, 2024).
PRIVATE = (".localhost", ".local", ".lan", ".home.arpa", ".internal")
# What may stand in a header as an address: the name of a computer or its number, and a port. An
# underscore stands in names that containers have.
ADDRESS = re.compile(r"(?P<name>[\w.~-]{1,255}|\[[\w:.%~-]{1,255}\])(:\d{0,5})?", re.ASCII)
MAX_ADDRESSES = 2_000  # letters of all in a request; a chain of proxies has a few


def names_no_address(scope: Message) -> bool:
    """Whether a request says that it asks at what cannot be an address.

    Gradio makes a web address of it, at places where nothing is said of one that cannot be: of an
    event that was asked for so no end would ever be told.
    """
    told = [value for name, value in scope["headers"] if name in (b"host", b"x-forwarded-host")]
    if sum(map(len, told)) > MAX_ADDRESSES:
        return True
    parts = (part.strip() for value in told for part in value.decode("latin-1").split(","))
    return not all(map(_is_address, filter(None, parts)))


def _is_address(text: str) -> bool:
    found = ADDRESS.fullmatch(text)
    if not found:
        return False
    name = found["name"]
    with suppress(ValueError):
        if name.startswith("["):
            ipaddress.IPv6Address(name.strip("[]"))
        elif not name.strip("0123456789."):
            ipaddress.IPv4Address(name)
        return True
    return False


def is_asked_by_a_name_of_ours(scope: Message) -> bool:
    """Whether a request to an app that is not public names this computer, and no site of others.

    Any site may have its name point here, and its pages then read what is answered. They cannot do
    so by a number, nor by a name that is given out in one's own network alone.
    """
    try:
        name = name_asked(scope)
    except ValueError:
        return False
    name = name.rstrip(".")
    own = {socket.gethostname().lower(), os.environ.get("GRADIO_SERVER_NAME", "").lower()}
    if "." not in name or name in own or name.endswith(PRIVATE):
        return True
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return False


def is_of_another_site(scope: Message) -> bool:
    """Whether a request was made by a page that is not ours; programs say nothing of the kind.

    A browser says so itself, where the connection is encrypted or leads to the same computer. Else
    it names the page's origin, which is to be what it has asked.
    """
    told = header_of(scope, b"sec-fetch-site")
    if told:
        return told not in ("same-origin", "none")
    origin = header_of(scope, b"origin")
    if not origin:
        return False
    asked = [header_of(scope, b"host"), *header_of(scope, b"x-forwarded-host").split(",")]
    return not any(_is_at(origin, host.strip(), scope) for host in asked if host)


def _is_at(origin: str, host: str, scope: Message) -> bool:
    """Whether a page of an origin, as `http://name:7860`, has been asked for at a host."""
    try:
        page, ours = urlsplit(origin), urlsplit(f"//{host}")
        usual = PORTS.get(page.scheme)
        if not page.hostname or page.hostname != ours.hostname:
            return False
        # Many a proxy leaves out the port that the browser has asked.
        passed_on = any(header_of(scope, name.encode()) for name in FORWARDED)
        return (page.port or usual) == (ours.port or usual) or (passed_on and ours.port is None)
    except ValueError:
        return False


class NoOtherSites(route_utils.CustomCORSMiddleware):
    """In place of Gradio's, which lets every site read what a visitor gets, cookies and all."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on: a browser lets the page's own site read the answer in any case."""
        await self.app(scope, receive, send)


def guard_origins() -> None:
    """Have Gradio put this in the place of its own, from now on."""
    routes.CustomCORSMiddleware = NoOtherSites  # type: ignore[attr-defined]

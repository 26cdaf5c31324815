"""A public link to this app, through Gradio's tunnel, and what is said about it in the terminal.

The app is launched without `share`: a page that Gradio shares takes its scripts from another
server, while ours is to load nothing from elsewhere. The tunnel itself does not care.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gradio import networking, tunneling
from gradio.exceptions import ChecksumMismatchError, ShareCertificateWriteError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.shelf import Shelf

SHOWN = 5  # names of collections


@dataclass(frozen=True)
class Server:
    """Where a launched app listens."""

    host: str
    port: int
    address: str  # for the browser on this computer
    token: str  # Gradio's secret for the tunnel


def share(
    server: Server,
    shelf: Shelf,
    access: Access,
    tell: Callable[[str], None],
    seconds: float = settings.SHARE_SECONDS,
) -> threading.Thread:
    """Make a public link to a launched app in the background, and tell of it, or why there is none.

    Without a link nobody comes through a tunnel, so whoever sits here is the owner again, unless
    they come through a proxy.

    Args:
        seconds: how long the tunnel's program may be silent before it is stopped.
    """

    def work() -> None:
        patience = threading.Timer(seconds, _stop_waiting)
        patience.daemon = True
        patience.start()
        try:
            link = networking.setup_tunnel(server.host, server.port, server.token, None, None)
        except Exception as error:  # it raises whatever went wrong inside
            close_tunnels()
            access.is_public = settings.PUBLIC
            tell(f"{_reason(error)} {words.SHARE_GOES_ON.format(address=server.address)}")
        else:
            tell(describe(f"https://{link.partition('://')[2]}", shelf, access))
        finally:
            patience.cancel()

    tell(words.SHARE_WAIT)
    thread = threading.Thread(target=work, name="share", daemon=True)
    thread.start()
    return thread


def describe(link: str, shelf: Shelf, access: Access) -> str:
    """Return what is printed with a link: what whoever has it can and can't do."""
    names = list(shelf.names().values())
    listed = ", ".join(names[:SHOWN])
    if len(names) > SHOWN:
        listed += words.SHARE_MORE.format(n=len(names) - SHOWN)
    return words.SHARED.format(
        link=link,
        names=listed,
        collections=settings.VISITOR_COLLECTIONS,
        pictures=settings.VISITOR_PICTURES,
        hours=f"{settings.VISITOR_HOURS:g}",
        fetch="" if settings.FETCH_FOR_VISITORS else words.SHARE_NO_FETCHING,
        owner=words.SHARE_PASSWORD if access.has_password else words.SHARE_NO_PASSWORD,
    )


def robots_route() -> Route:
    """Serve `robots.txt`: a link is for those who were given it, not for search engines."""

    def robots(_: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /")

    return Route("/robots.txt", robots)


def close_tunnels() -> None:
    """End the tunnels' programs: from now on no link leads here."""
    while tunneling.CURRENT_TUNNELS:
        tunnel = tunneling.CURRENT_TUNNELS.pop()
        process, tunnel.proc = tunnel.proc, None
        if process is not None:
            with process:
                process.kill()


def _stop_waiting() -> None:
    """Stop a tunnel's program that has said nothing yet; then Gradio gives up on it."""
    for tunnel in tunneling.CURRENT_TUNNELS:
        if tunnel.url is None and tunnel.proc is not None:
            tunnel.proc.terminate()


def _reason(error: Exception) -> str:
    """Return in a sentence why there is no link."""
    if isinstance(error, ShareCertificateWriteError):
        return words.SHARE_NO_FOLDER
    if isinstance(error, ChecksumMismatchError | OSError):
        # What is there is not the program, or may not run; the next time it is downloaded anew.
        with suppress(OSError):  # a virus scanner lets nobody touch it
            Path(tunneling.BINARY_PATH).unlink()
        return words.SHARE_BLOCKED
    if isinstance(error, ValueError):  # what its program's log says
        return words.SHARE_NO_ANSWER
    return words.SHARE_OFFLINE

"""Pictures from the web: an address that somebody typed in, fetched within bounds, from the public
internet only.

Whoever types an address decides where the server connects to, so every address is treated as
hostile (OWASP calls the attack server-side request forgery). A host name is resolved once, all that
it resolves to is judged, and the connection is made to the very address that was judged: a name
that points elsewhere a moment later gains nothing. Each redirect starts again from the beginning.
"""

import contextlib
import http.client
import io
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Container
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import certifi
import idna

from retrieval.errors import LookalikeError

IPAddress = IPv4Address | IPv6Address

WEB_PORTS = frozenset((80, 443))
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_ADDRESS = 4096  # characters
MAX_REDIRECTS = 3
PIECE = 64 * 2**10  # bytes
# What a server may send beyond the picture: its headers, and the sizes between small chunks.
OVERHEAD = 2**20  # bytes
REDIRECTS = (301, 302, 303, 307, 308)

# What ipaddress takes for public in some of the Pythons we support, and is not.
NOT_PUBLIC = (
    ip_network("192.0.0.0/24"),  # IETF's own; Oracle's cloud answers for its machines at .192
    ip_network("168.63.129.16/32"),  # Azure's platform, seen from inside of it
    ip_network("3fff::/20"),  # documentation
)
GLOBAL_UNICAST = IPv6Network("2000::/3")  # all of IPv6 that has been given out (RFC 4291)
NAT64 = IPv6Network("64:ff9b::/96")  # IPv4 inside of IPv6 (RFC 6052)

HEADERS = {
    "User-Agent": "Lookalike/1.0 (picture search; one picture, at a person's request)",
    "Accept": "image/jpeg, image/png, image/webp, image/gif, image/*;q=0.5",
    "Accept-Encoding": "identity",
    "Connection": "close",
}

SAVE_IT = "Save the picture on this device and choose it here instead."
# One sentence for a name that does not exist, a host that may not be reached and an address that
# is no address: which of them it was would tell a stranger about the network that we stand in.
UNREACHABLE = (
    "There is no public website at that address. Check its spelling, or the connection; or save "
    "the picture on this device and choose it here."
)
TOO_SLOW = f"The website takes too long to send the picture. Try again later. {SAVE_IT}"
BROKEN = f"The website's answer is broken or cut short. Try again. {SAVE_IT}"


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the public internet, and not to any network of our own.

    False for private, loopback, link-local (where clouds keep their metadata), shared, multicast,
    reserved, unspecified and documentation addresses. IPv4 that hides in IPv6 (mapped, 6to4, NAT64)
    is judged as what it is.
    """
    if isinstance(address, IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            hidden = IPv4Address(int(address) & 0xFFFFFFFF)
        if hidden is not None:
            return is_public(hidden)
        if address not in GLOBAL_UNICAST:
            return False
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved)
        and not any(address in network for network in NOT_PUBLIC)
    )


def fetch_picture(
    address: str,
    max_bytes: int,
    timeout: float,
    allowed: Callable[[IPAddress], bool] = is_public,
    ports: Container[int] = WEB_PORTS,
) -> bytes:
    """Fetch the picture at a web address, without proxies, cookies or passwords.

    Args:
        address: as a person types it; without http:// or https:// it gets the latter.
        max_bytes: the largest picture that is taken.
        timeout: seconds for all of it, looking up names and following redirects included.
        allowed: which addresses may be connected to; tests allow their own machine here.
        ports: which ports may be connected to.

    Returns:
        The bytes that the website calls a picture. They are as untrusted as any upload.

    Raises:
        LookalikeError: with a sentence saying why there is no picture, and what to do. Addresses
            that may not be reached and names that do not exist share one sentence.
    """
    deadline = _Deadline(timeout)
    url = _complete(address)
    try:
        for _ in range(MAX_REDIRECTS + 1):
            answer = _ask(url, max_bytes, deadline, allowed, ports)
            if isinstance(answer, bytes):
                return answer
            url = answer.url
    except TimeoutError as error:
        raise LookalikeError(TOO_SLOW) from error
    except ssl.SSLCertVerificationError as error:
        raise LookalikeError(
            f"The website cannot prove that it is the one it says (its certificate). {SAVE_IT}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise LookalikeError(BROKEN) from error
    raise LookalikeError(f"The website keeps pointing to other addresses. {SAVE_IT}")


def trusting_context() -> ssl.SSLContext:
    """Return what encrypted connections are made with: this machine's certificates and certifi's.

    Python from python.org has none of its own on macOS.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class _Deadline:
    """The moment at which everything must be done."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left; raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Redirect:
    def __init__(self, url: str) -> None:
        self.url = url


def _complete(address: str) -> str:
    """Turn what a person typed into a URL of http or https."""
    text = address.strip()
    if not text:
        raise LookalikeError("The address is empty. Paste the address of a picture.")
    # urlsplit drops line breaks and tabs in silence, so that what is judged is not what was typed.
    # Half a sign (a surrogate) is no text, and has no bytes.
    if len(text) > MAX_ADDRESS or re.search(r"[\x00-\x1f\x7f\\\ud800-\udfff]", text):
        raise LookalikeError(UNREACHABLE)
    # "data:..." has a scheme, "example.org:443/cat.jpg" has a port.
    if not re.match(r"[a-z][a-z0-9+.-]*:(?!\d+(?:[/?#]|$))", text, re.IGNORECASE):
        text = "https://" + text.lstrip("/")
    return text


def _ask(
    url: str,
    max_bytes: int,
    deadline: _Deadline,
    allowed: Callable[[IPAddress], bool],
    ports: Container[int],
) -> bytes | _Redirect:
    """Make one request; return the picture, or where to ask instead."""
    scheme, host, port, target = _take_apart(url, ports)
    addresses = _resolve(host, port, deadline)
    # One address that may not be reached spoils the name: an honest one has none.
    if not addresses or not all(allowed(candidate) for candidate in addresses):
        raise LookalikeError(UNREACHABLE)
    connection = http.client.HTTPConnection(host, port)
    connection.default_port = DEFAULT_PORTS[scheme]  # else Host gets ":443"
    with contextlib.closing(_connect(addresses, port, deadline)) as plain:
        sock = _secure(plain, host, deadline) if scheme == "https" else plain
        with contextlib.closing(sock), contextlib.closing(connection):
            # With a socket of its own http.client connects nowhere, looks nothing up, and knows of
            # no proxy.
            connection.sock = _BoundedSocket(sock, deadline, 2 * max_bytes + OVERHEAD)
            connection.request("GET", target, headers=HEADERS)
            response = connection.getresponse()
            if response.status in REDIRECTS and (location := response.headers.get("Location")):
                # http.client reads headers as Latin-1; what is meant is UTF-8 or escaped.
                readable = location.strip().encode("latin-1").decode("utf-8", "replace")
                try:
                    return _Redirect(urljoin(url, readable))
                except ValueError as error:
                    raise LookalikeError(UNREACHABLE) from error
            _require_picture(response, max_bytes)
            return _read(response, max_bytes)


def _take_apart(url: str, ports: Container[int]) -> tuple[str, str, int, str]:
    """Return scheme, host, port and request target of a URL that may be asked for."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise LookalikeError(UNREACHABLE) from error
    if parts.scheme not in DEFAULT_PORTS:
        raise LookalikeError(
            "Only addresses that begin with http:// or https:// can be fetched. " + SAVE_IT
        )
    if "@" in parts.netloc:
        raise LookalikeError(
            "Addresses with a name and password in them are not fetched. " + SAVE_IT
        )
    port = port if port is not None else DEFAULT_PORTS[parts.scheme]
    if port not in ports:
        raise LookalikeError(
            "Only the usual ports of the web, 80 and 443, can be reached. " + SAVE_IT
        )
    target = quote(parts.path or "/", safe="/%:=&~+!$,;'@()*")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:=&?~+!$,;'@()*[]")
    return parts.scheme, _plain_host(parts.hostname or ""), port, target


def _plain_host(host: str) -> str:
    """Return a host name in ASCII, or an IP address in its one usual form.

    Signs become what browsers make of them (UTS #46). Python's own codec follows the standard of
    2003, by which straße.de is strasse.de: another one's website.

    Other forms of IPv4 (2130706433, 0x7f.1, 0177.0.0.1), which the system's resolver would take,
    are refused: nobody who means well writes them.
    """
    if ":" in host:
        try:
            address = IPv6Address(host)
        except ValueError as error:
            raise LookalikeError(UNREACHABLE) from error
        if address.scope_id is not None:  # "fe80::1%eth0" names a network card of ours
            raise LookalikeError(UNREACHABLE)
        return str(address)
    try:
        readable = idna.uts46_remap(host, std3_rules=False).removesuffix(".")
    except UnicodeError as error:
        raise LookalikeError(UNREACHABLE) from error
    name = ".".join(map(_plain_label, readable.split(".")))
    if not re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", name):
        raise LookalikeError(UNREACHABLE)
    # What ends in a number is an IPv4 address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    if re.fullmatch(r"\d+|0x[0-9a-f]*", name.rpartition(".")[2]):
        try:
            return str(IPv4Address(name))
        except ValueError as error:
            raise LookalikeError(UNREACHABLE) from error
    return name


def _plain_label(label: str) -> str:
    """Return a part of a host name in ASCII; emoji too, which `idna` would refuse."""
    return label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"


def _resolve(host: str, port: int, deadline: _Deadline) -> list[IPAddress]:
    """Return the addresses of a host, none when it has none."""
    with contextlib.suppress(ValueError):
        return [ip_address(host)]
    # The system's resolver takes no time limit, so it gets a thread of its own, which is left
    # behind when it takes too long.
    answers: queue.SimpleQueue[list[IPAddress]] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([ip_address(str(entry[4][0])) for entry in found])
        except (OSError, ValueError):
            answers.put([])

    threading.Thread(target=look_up, name="look up a host", daemon=True).start()
    try:
        return answers.get(timeout=deadline.left())
    except queue.Empty:
        raise TimeoutError from None


def _connect(addresses: list[IPAddress], port: int, deadline: _Deadline) -> socket.socket:
    """Return a connection to the first of the addresses that answers."""
    for i, address in enumerate(addresses):
        sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
        try:
            # What remains is shared, so that a dead first address leaves time for the next.
            sock.settimeout(deadline.left() / (len(addresses) - i))
            sock.connect((str(address), port))
            return sock
        except OSError:
            sock.close()
    deadline.left()
    raise LookalikeError(
        f"The website does not answer. Check the address, or try again later. {SAVE_IT}"
    )


def _secure(plain: socket.socket, host: str, deadline: _Deadline) -> ssl.SSLSocket:
    """Return the connection encrypted, with the certificate checked against the name typed in."""
    context = trusting_context()
    plain.settimeout(deadline.left())
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError:
        raise
    except ssl.SSLError as error:
        raise LookalikeError(
            "No encrypted connection to the website can be made. Try the address with http:// "
            f"before it. {SAVE_IT}"
        ) from error


class _BoundedSocket:
    """What http.client needs of a socket; each read has only the time and bytes that are left.

    A socket's own timeout starts anew with every byte, so that a server that sends one a second is
    never too slow for it.
    """

    def __init__(self, sock: socket.socket, deadline: _Deadline, max_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._max_bytes = max_bytes

    def sendall(self, data: Any) -> None:
        self._sock.settimeout(self._deadline.left())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb", "http.client only reads from the file"
        return io.BufferedReader(_BoundedStream(self._sock, self._deadline, self._max_bytes))

    def close(self) -> None:
        """Leave the socket open: http.client lets go of it before the body has been read."""


class _BoundedStream(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: _Deadline, max_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._left = max_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left())
        received = self._sock.recv_into(buffer)
        self._left -= received
        if self._left < 0:
            raise http.client.HTTPException("more bytes than a picture and its headers have")
        return received


def _require_picture(response: http.client.HTTPResponse, max_bytes: int) -> None:
    """Refuse an answer that is no picture, or too large a one, before its body is read."""
    status = response.status
    if status in (404, 410):
        raise LookalikeError(
            "The website has nothing at that address. Check its spelling, or copy it again."
        )
    if status in (401, 402, 403, 406, 429, 451):
        raise LookalikeError(f"The website does not hand that picture to programs. {SAVE_IT}")
    if status != 200:
        raise LookalikeError(
            f"The website answers with an error ({status}). Try again later. {SAVE_IT}"
        )
    kind = response.headers.get_content_type()
    if not response.headers.get("Content-Type") or not kind.startswith("image/"):
        if kind in ("text/html", "application/xhtml+xml"):
            raise LookalikeError(
                "That address leads to a web page, not to a picture. Open it, click the picture "
                "with the right button or hold a finger on it, choose “Copy image address”, and "
                "paste that."
            )
        raise LookalikeError(
            f"That address leads to a file that the website does not call a picture. {SAVE_IT}"
        )
    if kind == "image/svg+xml":
        raise LookalikeError(
            "That address leads to a drawing (SVG), which cannot be searched with. Save it as PNG "
            "and choose it here."
        )
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise LookalikeError(f"The website packs its pictures in a way we do not take. {SAVE_IT}")
    if response.length is not None and response.length > max_bytes:
        raise LookalikeError(_too_large(max_bytes))


def _read(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    body = bytearray()
    try:
        while piece := response.read(PIECE):
            body += piece
            if len(body) > max_bytes:
                raise LookalikeError(_too_large(max_bytes))
    except ValueError as error:  # a chunk of a negative length, which http.client tries to read
        raise LookalikeError(BROKEN) from error
    if response.length:  # the rest of what was announced
        raise http.client.IncompleteRead(b"", response.length)
    if not body:
        raise LookalikeError(f"The website sent an empty file. {SAVE_IT}")
    return bytes(body)


def _too_large(max_bytes: int) -> str:
    return (
        f"The picture has more than {max_bytes / 2**20:,.0f} MB, which is too much to fetch. Save "
        "it on this device, make it smaller, and choose it here."
    )

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import LookalikeError
from retrieval.fetching import UNREACHABLE, fetch_picture, is_public
from tests.made import by_hue, encode

PNG = encode(by_hue(0), "PNG")
MEGABYTE = 2**20
INSIDE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # Alibaba's metadata
    "127.0.0.1",
    "168.63.129.16",  # Azure's platform
    "169.254.169.254",  # metadata of most clouds
    "172.16.0.1",
    "192.0.0.192",  # Oracle's metadata
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",  # Amazon's metadata
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
OUTSIDE = ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


class Website(ThreadingHTTPServer):
    """A website on this machine whose answers are functions, by path; keeps what it was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.answers: dict[str, Callable[[Visit], None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def port(self) -> int:
        return self.server_address[1]

    def address(self, path: str = "/cat.png") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever is fetched from may be hung up on; that is no failure of a test."""


class Visit(BaseHTTPRequestHandler):
    server: Website

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        self.server.answers[self.path.partition("?")[0]](self)

    def log_message(self, *_: object) -> None:
        pass


def answer(
    body: bytes = PNG, status: int = 200, kind: str | None = "image/png", **headers: str
) -> Callable[[Visit], None]:
    def give(visit: Visit) -> None:
        visit.send_response(status)
        if kind:
            visit.send_header("Content-Type", kind)
        for name, value in headers.items():
            visit.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
            visit.send_header("Content-Length", str(len(body)))
        visit.end_headers()
        visit.wfile.write(body)

    return give


@contextmanager
def running(website: Website) -> Iterator[Website]:
    thread = threading.Thread(target=website.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield website
    finally:
        website.shutdown()
        thread.join()
        website.server_close()


@pytest.fixture
def website() -> Iterator[Website]:
    with running(Website()) as site:
        site.answers["/cat.png"] = answer()
        yield site


class AnyPort:
    def __contains__(self, _: object) -> bool:
        return True


def fetch(address: str, max_bytes: int = MEGABYTE, timeout: float = 20.0) -> bytes:
    """Fetch from this machine too, at any port."""
    return fetch_picture(address, max_bytes, timeout, lambda _: True, AnyPort())


def point(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let every name be at the first of `answers`, then at the second ...; return what is asked."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(0, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_picture_comes_back_byte_by_byte(website: Website) -> None:
    assert fetch(website.address()) == PNG


def test_a_picture_of_exactly_the_bound_comes_back_and_one_byte_more_does_not(
    website: Website,
) -> None:
    large = PNG + bytes(MEGABYTE - len(PNG))
    website.answers["/large.png"] = answer(large)
    assert fetch(website.address("/large.png")) == large
    with pytest.raises(LookalikeError, match="more than 1 MB"):
        fetch(website.address("/large.png"), max_bytes=MEGABYTE - 1)


def test_a_picture_in_chunks_comes_back_byte_by_byte(website: Website) -> None:
    def give(visit: Visit) -> None:
        visit.protocol_version = "HTTP/1.1"
        visit.send_response(200)
        visit.send_header("Content-Type", "image/png")
        visit.send_header("Transfer-Encoding", "chunked")
        visit.end_headers()
        for piece in (PNG[:7], PNG[7:]):
            visit.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        visit.wfile.write(b"0\r\n\r\n")

    website.answers["/chunks.png"] = give
    assert fetch(website.address("/chunks.png")) == PNG


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_of_the_inside_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fe80::1%25lo]",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "\uff11\uff12\uff17.0.0.1",  # digits of full width
        "127\u30020\u30020\u30021",
        "169.254.169.254",
        "10.255.255.1",
    ],
)
def test_this_machine_and_its_network_are_refused_in_every_notation(
    host: str, website: Website
) -> None:
    with pytest.raises(LookalikeError) as error:
        fetch_picture(f"http://{host}:{website.port}/cat.png", MEGABYTE, 20, ports=AnyPort())
    assert str(error.value) == UNREACHABLE
    assert not website.asked


@pytest.mark.parametrize("form", ["16843009", "0x01.1.1.1", "1.1", "1.1.1.1.1", "01.1.1.1"])
def test_odd_notations_of_public_addresses_are_refused(form: str) -> None:
    with pytest.raises(LookalikeError, match="no public website"):
        fetch_picture(f"http://{form}/", MEGABYTE, 20, lambda _: pytest.fail("was judged"))


def test_a_name_that_does_not_exist_reads_the_same_as_one_that_may_not_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sentences = set()
    for addresses in ([], ["10.0.0.1"], ["169.254.169.254"], ["1.1.1.1", "10.0.0.1"]):
        point(monkeypatch, addresses)
        with pytest.raises(LookalikeError) as error:
            fetch_picture("http://pictures.test/cat.png", MEGABYTE, 20)
        sentences.add(str(error.value))
    assert sentences == {UNREACHABLE}


def test_a_name_is_looked_up_once_and_connected_to_where_it_was_judged(
    website: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = point(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    judged = []

    def allowed(address: Any) -> bool:
        judged.append(str(address))
        return True

    address = f"http://pictures.test:{website.port}/cat.png"
    assert fetch_picture(address, MEGABYTE, 20, allowed, AnyPort()) == PNG
    assert asked == ["pictures.test"]
    assert judged == ["127.0.0.1"]
    assert website.asked[0][1]["Host"] == f"pictures.test:{website.port}"


def test_the_second_address_is_tried_when_the_first_does_not_answer(
    website: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(monkeypatch, ["127.0.0.2", "127.0.0.1"])  # nobody listens on the first
    assert fetch(f"http://pictures.test:{website.port}/cat.png") == PNG


def test_proxies_and_cookies_play_no_part(
    website: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    website.answers["/first"] = answer(b"", 302, Location="/cat.png", Set_Cookie="id=1")
    assert fetch(website.address("/first")) == PNG
    names = {name.lower() for _, headers in website.asked for name in headers}
    assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("/cat.png?size=2#top", "/cat.png?size=2"),
        ("/my cat.png", "/my%20cat.png"),
        ("/my%20cat.png", "/my%20cat.png"),
        ("/katze-süß.png", "/katze-s%C3%BC%C3%9F.png"),
        ("", "/"),
    ],
    ids=["query and fragment", "space", "escaped space", "umlauts", "no path"],
)
def test_a_path_is_asked_for_as_a_browser_would(typed: str, asked: str, website: Website) -> None:
    website.answers[asked.partition("?")[0]] = answer()
    assert fetch(website.address(typed)) == PNG
    assert website.asked[0][0] == asked


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("straße.de", "xn--strae-oqa.de"),
        ("FAẞ.de", "xn--fa-hia.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("日本語。jp", "xn--wgv71a119e.jp"),
        ("💩.la", "xn--ls8h.la"),
        ("my_pictures.Example.org.", "my_pictures.example.org"),
    ],
)
def test_a_name_with_any_signs_is_looked_up_as_browsers_do(
    typed: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = point(monkeypatch, ["10.0.0.1"])
    with pytest.raises(LookalikeError):
        fetch_picture(f"https://{typed}/a.jpg", MEGABYTE, 20)
    assert names == [asked]


def test_redirects_are_followed_three_times_and_not_four(website: Website) -> None:
    for i in range(1, 5):
        website.answers[f"/{i}"] = answer(b"", 301, Location=f"/{i - 1}" if i > 1 else "/cat.png")
    assert fetch(website.address("/3")) == PNG
    with pytest.raises(LookalikeError, match="keeps pointing to other addresses"):
        fetch(website.address("/4"))


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("http://10.0.0.1/", UNREACHABLE),
        ("http://2130706433/", UNREACHABLE),
        ("//192.168.0.1/cat.png", UNREACHABLE),
        ("file:///etc/passwd", "begin with http:// or https://"),
        ("http://me:secret@example.org/", "name and password"),
    ],
)
def test_a_redirect_is_judged_like_the_first_address(
    location: str, sentence: str, website: Website
) -> None:
    website.answers["/away"] = answer(b"", 302, Location=location)
    with pytest.raises(LookalikeError, match=sentence):
        fetch_picture(
            website.address("/away"), MEGABYTE, 20, lambda ip: str(ip) == "127.0.0.1", AnyPort()
        )


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("", "address is empty"),
        ("   ", "address is empty"),
        ("ftp://example.org/cat.png", "begin with http:// or https://"),
        ("file:///etc/passwd", "begin with http:// or https://"),
        ("data:image/png;base64,AAAA", "begin with http:// or https://"),
        ("javascript:alert(1)", "begin with http:// or https://"),
        ("gopher://example.org:70/_", "begin with http:// or https://"),
        ("https://me:secret@example.org/cat.png", "name and password"),
        ("http://example.org@10.0.0.1/", "name and password"),
        ("http://example.org:22/", "80 and 443"),
        ("example.org:8080/cat.png", "80 and 443"),
        ("http://example.org:0/", "80 and 443"),
        ("http://example.org:99999/", "no public website"),
        ("http://[::1/", "no public website"),
        ("http:///cat.png", "no public website"),
        ("http://exam ple.org/", "no public website"),
        ("http://example.org\\@10.0.0.1/", "no public website"),
        ("http://exa\nmple.org/", "no public website"),
        ("http://example.org/cat.png\r\nX-Injected: 1", "no public website"),
        ("http://" + "a" * 64 + ".org/", "no public website"),
        ("http://example..org/", "no public website"),
        ("http://" + "\u00fc" * 60 + ".org/", "no public website"),
        ("http://example.org/\ud800.png", "no public website"),
        ("http://exam\ud800ple.org/", "no public website"),
        ("http://example.org/" + "a" * 5000, "no public website"),
    ],
)
def test_what_is_no_web_address_is_refused_unasked(
    address: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = point(monkeypatch, ["1.1.1.1"])
    with pytest.raises(LookalikeError, match=sentence):
        fetch_picture(address, MEGABYTE, 20)
    assert not asked


@pytest.mark.parametrize(
    ("give", "sentence"),
    [
        (answer(b"<p>", kind="text/html; charset=utf-8"), "Copy image address"),
        (answer(b"%PDF", kind="application/pdf"), "does not call a picture"),
        (answer(kind=None), "does not call a picture"),
        (answer(kind="image/svg+xml"), "drawing"),
        (answer(b"", 404), "nothing at that address"),
        (answer(b"", 403), "does not hand that picture to programs"),
        (answer(b"", 503), "error \\(503\\)"),
        (answer(b"", 302), "error \\(302\\)"),
        (answer(b""), "empty file"),
        (answer(Content_Encoding="gzip"), "packs its pictures"),
        (answer(Content_Length=str(len(PNG) + 1)), "cut short"),
        (answer(Content_Length=str(10 * MEGABYTE)), "more than 1 MB"),
        (answer(b"zz\r\n", Transfer_Encoding="chunked"), "cut short"),
        (answer(b"-5\r\nabc", Transfer_Encoding="chunked"), "cut short"),
        (lambda visit: visit.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"), "broken"),
        (lambda visit: visit.wfile.write(b""), "broken"),
    ],
    ids=[
        *("web page", "document", "no type", "svg", "missing", "forbidden", "error", "to nowhere"),
        *("empty", "gzip", "cut short", "announced too large", "bad chunks"),
        *("a chunk of a negative length", "other protocol", "silence"),
    ],
)
def test_an_answer_that_is_no_picture_gets_a_sentence(
    give: Callable[[Visit], None], sentence: str, website: Website
) -> None:
    def over_http_1_1(visit: Visit) -> None:
        visit.protocol_version = "HTTP/1.1"
        visit.close_connection = True
        give(visit)

    website.answers["/cat.png"] = over_http_1_1
    with pytest.raises(LookalikeError, match=sentence):
        fetch(website.address())


@pytest.mark.parametrize("chunk", [None, b"-1\r\n", b"ffffffffff\r\n"])
def test_a_picture_without_end_is_cut_at_the_bound(chunk: bytes | None, website: Website) -> None:
    sent = 0

    def give(visit: Visit) -> None:
        nonlocal sent
        visit.protocol_version = "HTTP/1.1" if chunk else "HTTP/1.0"
        visit.send_response(200)
        visit.send_header("Content-Type", "image/png")
        if chunk:
            visit.send_header("Transfer-Encoding", "chunked")
        visit.end_headers()
        if chunk:
            visit.wfile.write(chunk)
        while sent < 64 * MEGABYTE:
            sent += visit.wfile.write(bytes(MEGABYTE))

    website.answers["/cat.png"] = give
    with pytest.raises(LookalikeError, match=r"more than 1 MB|broken"):
        fetch(website.address())
    assert sent < 32 * MEGABYTE


@pytest.mark.parametrize("where", ["status", "headers", "body"])
def test_a_server_that_sends_a_byte_at_a_time_is_too_slow_as_a_whole(
    where: str, website: Website
) -> None:
    def give(visit: Visit) -> None:
        if where != "status":
            visit.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n")
        if where == "body":
            visit.wfile.write(b"Content-Length: 1000\r\n\r\n")
        for _ in range(200):
            visit.wfile.write(b"a")
            time.sleep(0.05)

    website.answers["/cat.png"] = give
    started = time.monotonic()
    with pytest.raises(LookalikeError, match="takes too long"):
        fetch(website.address(), timeout=0.3)
    assert time.monotonic() - started < 9


def test_a_name_that_takes_too_long_to_look_up_does_not_hold_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> list[Any]:
        ended.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    started = time.monotonic()
    with pytest.raises(LookalikeError, match="takes too long"):
        fetch("http://pictures.test/cat.png", timeout=0.2)
    assert time.monotonic() - started < 15
    ended.set()


def test_a_website_that_is_down_gets_a_sentence() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with pytest.raises(LookalikeError, match="does not answer"):
        fetch(f"http://127.0.0.1:{port}/cat.png")


@pytest.fixture
def encrypted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    """The website by https, as pictures.test; every name leads to it."""
    point(monkeypatch, ["127.0.0.1"])
    site = Website()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    site.socket = context.wrap_socket(site.socket, server_side=True)
    site.answers["/cat.png"] = answer()
    with running(site):
        yield site


def test_https_is_spoken_with_the_name_that_was_typed(
    encrypted: Website, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # this machine trusts it
    assert fetch(f"pictures.test:{encrypted.port}/cat.png") == PNG
    assert encrypted.asked[0][1]["Host"] == f"pictures.test:{encrypted.port}"


def test_a_certificate_of_another_name_is_refused(
    encrypted: Website, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(LookalikeError, match="certificate"):
        fetch(f"https://other.test:{encrypted.port}/cat.png")
    assert not encrypted.asked


def test_a_certificate_that_nobody_vouches_for_is_refused(encrypted: Website) -> None:
    with pytest.raises(LookalikeError, match="certificate"):
        fetch(f"https://pictures.test:{encrypted.port}/cat.png")
    assert not encrypted.asked


def test_a_website_without_encryption_gets_a_sentence(website: Website) -> None:
    with pytest.raises(LookalikeError, match="No encrypted connection"):
        fetch(f"https://127.0.0.1:{website.port}/cat.png")

"""Which pages may ask: those of the app, in whatever way its visitors have come to it."""

import httpx
import pytest

from retrieval.pages.origins import (
    is_asked_by_a_name_of_ours,
    is_of_another_site,
    names_no_address,
)


def scope(**headers: str) -> dict[str, object]:
    raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    return {"type": "http", "headers": raw}


LINK = "abc.gradio.live"
PROXY = {"x_forwarded_for": "9.8.7.6"}


@pytest.mark.parametrize(
    "headers",
    [
        {"host": LINK},
        {"host": LINK, "origin": f"https://{LINK}", "sec_fetch_site": "same-origin"},
        {"host": LINK, "sec_fetch_site": "none"},
        {"host": LINK, "origin": f"https://{LINK}", **PROXY},
        {"host": f"{LINK}:443", "origin": f"https://{LINK}"},
        {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860"},
        {"host": "[::1]:7860", "origin": "http://[::1]:7860"},
        {"host": "Pictures.local", "origin": "http://pictures.local"},
        # Proxies that ask the app under a name of their own.
        {"host": "127.0.0.1:7860", "origin": "https://a.b", "sec_fetch_site": "same-origin"},
        {"host": "app:7860", "origin": "https://a.b", "x_forwarded_host": "a.b"},
        {"host": "app:7860", "origin": "https://a.b", "x_forwarded_host": "a.b, proxy"},
        {"host": "a.b", "origin": "http://a.b:8080", **PROXY},
    ],
    ids=[
        *("program", "link", "typed", "older browser", "port said", "here", "six", "capitals"),
        *("proxy", "proxy says whose", "two proxies", "proxy without the port"),
    ],
)
def test_a_page_of_ours_and_a_program_may_ask(headers: dict[str, str]) -> None:
    assert not is_of_another_site(scope(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": LINK, "origin": "https://evil.gradio.live", "sec_fetch_site": "same-site"},
        {"host": LINK, "origin": "https://evil.example", "sec_fetch_site": "cross-site"},
        {"host": LINK, "sec_fetch_site": "cross-site"},
        {"host": LINK, "origin": "https://evil.gradio.live", **PROXY},
        {"host": LINK, "origin": "null"},
        {"host": LINK, "origin": "https://[", **PROXY},
        {"host": LINK, "origin": f"https://{LINK}:99999"},
        {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:5000"},
        {"host": "localhost:7860", "origin": "http://localhost"},
        {"host": "a.b", "origin": "http://a.b:8080"},
        {"host": "app:7860", "origin": "https://evil.example", "x_forwarded_host": "a.b"},
    ],
    ids=[
        *("neighbour", "foreign", "form", "older browser", "sandbox", "broken", "no port"),
        *("another port", "the usual port", "port", "behind a proxy"),
    ],
)
def test_a_page_of_another_site_may_not(headers: dict[str, str]) -> None:
    assert is_of_another_site(scope(**headers))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:7860", True),
        ("localhost:7860", True),
        ("[::1]:7860", True),
        ("192.168.1.7:7860", True),
        ("[fe80::1]", True),
        ("laptop:7860", True),
        ("Laptop.local:7860", True),
        ("laptop.fritz.box", False),
        ("evil.example:7860", False),
        ("evil.example.:7860", False),
        ("127.0.0.1.evil.example", False),
        ("[", False),
        ("", True),
    ],
)
def test_an_app_that_is_not_public_answers_to_no_name_of_the_internet(
    host: str, expected: bool
) -> None:
    scope = {"headers": [(b"host", host.encode())] if host else []}
    assert is_asked_by_a_name_of_ours(scope) is expected


ADDRESSES = [
    *("127.0.0.1:7860", "localhost:7860", "[::1]:7860", "[::1]", "[fe80::1%25eth0]:7860"),
    *("[::ffff:1.2.3.4]:80", "laptop", "Laptop.local:7860", "my_service:7860", "xn--bcher-kva.de"),
    *("user-name.hf.space", "abc.gradio.live", "a.b.", "1.example", "0x7f.example", "a:"),
]


@pytest.mark.parametrize("host", ADDRESSES)
def test_honest_proxies_name_any_address_and_of_each_a_web_address_can_be_made(host: str) -> None:
    assert not names_no_address(scope(host=host))
    assert not names_no_address(scope(host="app:7860", x_forwarded_host=host))
    assert not names_no_address(scope(host=host, x_forwarded_host=f"{host}, proxy:80,"))
    httpx.URL(f"http://{host}/queue/join")  # as Gradio does


NO_ADDRESSES = [
    *("[v1.x]", "[", "[]", "[1.2.3.4]", "[::g]", "a]b[", "999.1.1.1", "256.1.1.1:80", "01.1.1.1"),
    *("1", ".", "\N{SNOWMAN}", "ä", "a b", "a/b", "a?b", "user@a", "a:b", "a:123456", "http://a"),
    *("a\x00", "a\x1fb", "x" * 256, "a," * 1_001),
]


@pytest.mark.parametrize("host", NO_ADDRESSES, ids=lambda host: ascii(host[:20]))
def test_what_cannot_be_an_address_is_seen(host: str) -> None:
    assert names_no_address(scope(host=host))
    assert names_no_address(scope(host="app", x_forwarded_host=host))
    assert names_no_address(scope(host="app", x_forwarded_host=f"a.b, {host}"))


def test_who_names_no_address_at_all_may_ask() -> None:
    assert not names_no_address(scope())
    assert not names_no_address(scope(host="", x_forwarded_host=""))

"""Which pages may ask: those of the app, in whatever way its visitors have come to it."""

import pytest

from retrieval.pages.origins import is_asked_by_a_name_of_ours, is_of_another_site


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

"""Who is asking: the owner at this computer or with the password, and visitors by their cookie."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.access import Access, is_of_this_computer
from retrieval.pages.asgi import Message, Receive, Send, is_secure
from retrieval.pages.entering import password_route
from retrieval.pages.gate import Gate
from retrieval.pages.handover import Handover
from retrieval.pages.heartbeats import Heartbeats
from retrieval.pages.interface import Hooks
from retrieval.pages.open_pages import OpenPages
from retrieval.pages.sessions import VisitorCookie, known_for, own_address_of, visitor_of

NAME = "a" * 32
FIRST, SECOND = "18" + "0" * 14, "18" + "0" * 13 + "1"


def request(client: str = "127.0.0.1", **headers: str) -> Request:
    headers = {"host": "127.0.0.1:7860", **headers}
    raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    return Request({"type": "http", "headers": raw, "client": (client, 5), "path": "/"})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request(), True),
        (request(host="localhost:7860"), True),
        (request(client="::1", host="[::1]:7860"), True),
        (request(origin="http://localhost:7860"), True),
        (request(client="192.168.1.7"), False),
        (request(host="evil.example"), False),
        (request(origin="https://evil.example"), False),
        (request(origin="null"), False),
        (request(origin="http://["), False),
        (request(host="["), False),
        (request(x_forwarded_for="8.8.8.8"), False),
        (request(forwarded="for=8.8.8.8"), False),
    ],
    ids=[
        "local",
        "name",
        "six",
        "origin",
        "lan",
        "rebinding",
        "foreign",
        "null",
        "malformed origin",
        "malformed host",
        "proxy",
        "forwarded",
    ],
)
def test_only_a_page_of_this_computer_is_the_owners(asked: Request, expected: bool) -> None:
    assert is_of_this_computer(asked) is expected
    assert Access(None, public=False).is_owner(asked) is expected
    assert not Access(None, public=True).is_owner(asked)


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("9.8.7.6", "9.8.7.6"),
        ("::ffff:9.8.7.6", "9.8.7.6"),
        ("2a01:4f8:1:2:3:4:5:6", "2a01:4f8:1:2::/64"),
        ("2a01:4f8:1:2::9", "2a01:4f8:1:2::/64"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("10.16.3.9", ""),
        ("172.17.0.1", ""),
        ("testclient", ""),
    ],
)
def test_an_address_that_many_may_share_is_nobodys_own(client: str, expected: str) -> None:
    assert own_address_of(request(client)) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "look.example", "x-forwarded-proto": "https"}, True),
        ({"host": "look.example", "x-forwarded-proto": "https, http"}, True),
        ({"host": "look.example", "sec-fetch-site": "none"}, True),
        ({"host": "look.example:8443", "sec-fetch-site": "same-origin"}, True),
        ({"host": "look.example"}, False),
        ({"host": "127.0.0.1:7860", "sec-fetch-site": "none"}, False),
        ({"host": "127.0.0.2", "sec-fetch-site": "none"}, False),
        ({"host": "[::1]", "sec-fetch-site": "none"}, False),
        ({"host": "[::1]:7860", "sec-fetch-site": "none"}, False),
        ({"host": "localhost", "sec-fetch-site": "none"}, False),
        ({"host": "look.localhost:7860", "sec-fetch-site": "none"}, False),
        ({"host": "[", "sec-fetch-site": "none"}, True),
    ],
)
def test_a_browser_tells_that_a_connection_is_encrypted_where_the_proxy_does_not(
    headers: dict[str, str], expected: bool
) -> None:
    """By the cookie that it gets then no other site of the domain can pass for it."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert is_secure({"scheme": "http", "headers": raw}) is expected


def test_the_password_lets_in_one_browser() -> None:
    access = Access("secret", public=True)
    mine, theirs = (
        request(cookie=f"lookalike-{FIRST}={NAME}"),
        request(cookie=f"lookalike-{FIRST}={'b' * 32}"),
    )
    for wrong in ("", "Secret", "se cret", "ü"):
        assert not access.enter(mine, wrong)
    assert not access.is_owner(mine)
    mine = showing(access.enter(mine, "secret"), mine)
    assert access.is_owner(mine)
    assert not access.is_owner(theirs)


def showing(right: str, asked: Request) -> Request:
    """The request as the browser sends it that has got the owner's cookie."""
    assert re.fullmatch(r"[\w-]{43}", right)
    cookie = f"{asked.headers['cookie']}; lookalike-owner={right}"
    return request(**{**asked.headers, "cookie": cookie})


def test_a_name_that_another_site_has_planted_before_the_password_makes_nobody_an_owner() -> None:
    """`evil.example.org` sets cookies for all of example.org, and knows what is in them."""
    access = Access("secret", public=True)
    planted = f"lookalike-{'0' * 16}={'e' * 32}"
    made_up = f"lookalike-owner={'e' * 43}"
    thief = request("9.8.7.6", cookie=f"{planted}; {made_up}")
    mine = request(cookie=f"{planted}; {made_up}; lookalike-{FIRST}={NAME}")
    assert visitor_of(mine) == visitor_of(thief) == "e" * 32
    assert not access.is_owner(mine)
    first, second = (access.enter(mine, "secret") for _ in range(2))
    assert first != second
    for right in (first, second):  # several devices
        assert access.is_owner(showing(right, mine))
        assert access.is_owner(showing(right, request(cookie="x=y")))
    assert not access.is_owner(mine)
    assert not access.is_owner(thief)
    assert not Access("secret", public=True).is_owner(showing(first, mine))  # of another run


@pytest.fixture
def own_page() -> TestClient:
    """The page of an app whose password is "secrét"."""
    access = Access("secrét", public=True)
    who = Route("/", lambda asked: PlainTextResponse(str(access.is_owner(asked))))
    app = Gate(Starlette(routes=[who, password_route(access)]), Handover(), access)
    return TestClient(VisitorCookie(app), headers={"x-lookalike": "1"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "prefix", "place"),
    [
        ("http://photos.example.org", "", "SameSite=Lax"),
        ("https://photos.example.org", "__Host-", "SameSite=None; Secure; Partitioned"),
    ],
    ids=["plain", "encrypted"],
)
def test_the_password_brings_a_cookie_of_its_own_and_leaves_the_visitor_who_they_are(
    own_page: TestClient, address: str, prefix: str, place: str
) -> None:
    own_page.base_url = address
    assert own_page.get("/").text == "False"
    before = dict(own_page.cookies)
    wrong = own_page.post("/password", content="secret")
    assert (wrong.status_code, wrong.json()["error"]) == (403, words.PASSWORD_WRONG)
    assert "set-cookie" not in wrong.headers
    right = own_page.post("/password", content=" secrét\n".encode())
    assert (right.status_code, right.text) == (204, "")
    given = re.escape(f"Path=/; HttpOnly; {place}")
    owner, device = right.headers.get_list("set-cookie")
    assert re.fullmatch(rf"{prefix}lookalike-owner=[\w-]{{43}}; {given}", owner)
    year = given.replace("HttpOnly", "Max-Age=31536000;\\ HttpOnly")
    assert re.fullmatch(rf"{prefix}lookalike-device=[0-9a-f]{{96}}; {year}", device)
    assert own_page.get("/").text == "True"
    assert before.items() < dict(own_page.cookies).items()
    own_page.cookies = before
    assert own_page.get("/").text == "False"


@pytest.mark.parametrize(
    ("method", "body", "headers", "status"),
    [
        ("POST", "secrét", {"x-lookalike": "1", "origin": "http://evil.example.org"}, 403),
        ("POST", "secrét", {"x-lookalike": "1", "sec-fetch-site": "same-site"}, 403),
        ("POST", "secrét", {}, 403),
        ("POST", "secrét" + " " * 10_000, {"x-lookalike": "1"}, 403),
        ("POST", "\ud83d", {"x-lookalike": "1"}, 403),
        ("GET", "", {"x-lookalike": "1"}, 404),
        ("PUT", "secrét", {"x-lookalike": "1"}, 405),
    ],
    ids=["sibling", "its browser says so", "form", "too long", "half a sign", "read", "put"],
)
def test_a_password_is_taken_from_our_own_page_alone(
    own_page: TestClient, method: str, body: str, headers: dict[str, str], status: int
) -> None:
    own_page.headers = {"host": "photos.example.org", **headers}
    content = body.encode("utf-8", "surrogatepass")
    answer = own_page.request(method, "/password", content=content)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


def test_too_many_passwords_are_told_with_the_time_to_wait(own_page: TestClient) -> None:
    answers = [own_page.post("/password", content="wrong") for _ in range(21)]
    assert [answer.status_code for answer in answers] == [403] * 20 + [429]
    assert answers[-1].json()["error"].startswith("Too many passwords are being tried.")


@pytest.mark.parametrize("kept", ["two words\n", "two words\r\n", " two words", "two words"])
@pytest.mark.parametrize("typed", ["two words", "two words ", "two words\n"])
def test_spaces_and_line_ends_around_a_password_do_not_count(kept: str, typed: str) -> None:
    mine = request(cookie=f"lookalike-{FIRST}={NAME}")
    assert Access(kept, public=True).enter(mine, typed)


def test_a_password_of_spaces_is_none() -> None:
    access = Access(" \n", public=True)
    assert not access.has_password
    assert not access.enter(request(cookie=f"lookalike-{FIRST}={NAME}"), "")


def test_passwords_are_tried_so_often_and_nobody_waits_in_the_queue_meanwhile() -> None:
    access = Access("secret", public=True, tries=3)
    mine = request(cookie=f"lookalike-{FIRST}={NAME}")
    started = time.perf_counter()
    assert [access.enter(mine, "wrong") for _ in range(3)] == [""] * 3
    with pytest.raises(LookalikeError, match=r"Wait 20 seconds"):
        access.enter(mine, "secret")
    assert time.perf_counter() - started < 1
    assert not access.is_owner(mine)


def test_whoever_tries_without_end_takes_the_owners_tries_not_along() -> None:
    access = Access("secret", public=True, tries=3, tries_in_all=5)
    mine, theirs = (request(cookie=f"lookalike-{FIRST}={letter * 32}") for letter in ("a", "b"))
    for _ in range(3):
        assert not access.enter(theirs, "wrong")
    for _ in range(20):
        with pytest.raises(LookalikeError, match="Too many passwords"):
            access.enter(theirs, "wrong")
    assert access.enter(mine, "secret")
    # Those who make up visitors are held by the bound of all.
    made_up = (request(cookie=f"lookalike-{FIRST}={i:032}") for i in range(9))
    assert not access.enter(next(made_up), "wrong")
    with pytest.raises(LookalikeError, match="Too many passwords"):
        access.enter(next(made_up), "wrong")


def test_made_up_visitors_do_not_keep_out_who_has_an_address_of_their_own() -> None:
    access = Access("secret", public=True, tries=3, tries_in_all=5, tries_spared=2)
    for n in range(9):
        made_up = request(cookie=f"lookalike-{'0' * 16}={n:054}")
        with suppress(LookalikeError):
            assert not access.enter(made_up, "wrong")
    mine = request("9.8.7.6", cookie=f"lookalike-{FIRST}={NAME}")
    assert not access.enter(mine, "wrong")
    with pytest.raises(LookalikeError, match="Too many passwords"):  # one is spared for each
        access.enter(mine, "secret")
    assert access.enter(request("9.8.7.5", cookie=f"lookalike-{FIRST}={NAME}"), "secret")
    with pytest.raises(LookalikeError, match="Too many passwords"):  # and so many for all
        access.enter(request("9.8.7.4", cookie=f"lookalike-{FIRST}={NAME}"), "secret")


def test_a_long_password_is_tried_by_the_owner_however_many_wrong_ones_others_try() -> None:
    access = Access("sixteen letters!", public=True, tries=3, tries_in_all=5, tries_spared=0)
    for n in range(9):
        assert not access.enter(request(cookie=f"lookalike-{FIRST}={n:032}"), "wrong")
    mine = request(cookie=f"lookalike-{FIRST}={NAME}")
    for _ in range(2):
        assert not access.enter(mine, "wrong")
    assert access.enter(mine, "sixteen letters!")
    with pytest.raises(LookalikeError, match="Too many passwords"):  # of one, as ever
        access.enter(mine, "wrong")


def test_what_others_try_slows_no_browser_on_which_the_password_was_given_before() -> None:
    before = Access("secret", public=True).make_device()  # and the app has been started anew since
    access = Access("secret", public=True, tries=3, tries_in_all=5, tries_spared=2)
    addresses = (f"9.8.7.{n}" for n in range(99))

    def of(device: str) -> Request:
        return request(
            next(addresses), cookie=f"lookalike-{FIRST}={NAME}; lookalike-device={device}"
        )

    other = Access("another", public=True).make_device()
    made_up = "0" * 32 + before[32:]
    for _ in range(7):
        assert not access.enter(of(""), "wrong")
    for stranger in ("", other, made_up, before[:32], "0" * 96):
        with pytest.raises(LookalikeError, match="Too many passwords"):
            access.enter(of(stranger), "secret")
    assert not access.is_owner(of(before))
    for typed in ("wrong", "wrong", "secret"):
        planted_beside = of(f"{made_up}; lookalike-device={before}")
        assert bool(access.enter(planted_beside, typed)) == (typed == "secret")
    with pytest.raises(LookalikeError, match="Too many passwords"):  # of one, as ever
        access.enter(of(before), "secret")


def of_browser(client: TestClient) -> Request:
    """A request with all the cookies that a browser has got."""
    cookies = "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)
    return request(cookie=cookies, x_forwarded_proto="https")


def test_behind_a_proxy_they_do_not_keep_out_who_has_opened_the_page_a_while_ago(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/")
    mine = of_browser(client)
    older = re.sub("[0-9a-f]{16}(?==)|(?<==)[0-9a-f]{16}", "0" * 16, mine.headers["cookie"])
    access = Access("secret", public=True, tries=3, tries_in_all=5)
    for n in range(9):
        made_up = request(cookie=f"lookalike-{'0' * 16}={n:054}")
        with suppress(LookalikeError):
            assert not access.enter(made_up, "wrong")
    for too_soon in (mine, request(cookie=older, x_forwarded_proto="https")):
        with pytest.raises(LookalikeError, match="Too many passwords"):
            access.enter(too_soon, "secret")
    later = time.time() + 61
    monkeypatch.setattr("retrieval.pages.sessions.time", SimpleNamespace(time=lambda: later))
    assert access.enter(mine, "secret")


def test_a_browser_that_was_not_known_at_first_becomes_so_when_it_comes_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It got its name among very many, say, or before the app was started anew."""
    client.cookies.set(f"__Host-lookalike-{FIRST}", NAME)
    assert known_for(of_browser(client)) == 0
    client.get("/")
    mine = of_browser(client)
    assert visitor_of(mine) == NAME
    assert 0 <= known_for(mine) < 60
    assert "set-cookie" not in client.get("/").headers
    later = time.time() + 61
    monkeypatch.setattr("retrieval.pages.sessions.time", SimpleNamespace(time=lambda: later))
    assert 60 < known_for(mine) < 120
    another = mine.headers["cookie"].replace(NAME, "b" * 32)
    assert known_for(request(cookie=another, x_forwarded_proto="https")) == 0


def test_names_asked_for_by_the_hundred_do_not_keep_out_who_has_opened_the_page_before(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookies = []
    for n in range(101):
        client.get("/config" if n else "/")
        cookies.append(of_browser(client))
        client.cookies.clear()
    assert len({visitor_of(one) for one in cookies} - {""}) == 101  # each has a name all the same
    later = time.time() + 61
    monkeypatch.setattr("retrieval.pages.sessions.time", SimpleNamespace(time=lambda: later))
    access = Access("secret", public=True, tries_in_all=5)
    mine, *theirs = cookies
    for one in theirs:
        with suppress(LookalikeError):
            assert not access.enter(one, "wrong")
    assert access.enter(mine, "secret")


def test_how_long_to_wait_is_said_as_people_do() -> None:
    access = Access("secret", public=True, tries=60)
    mine = request(cookie=f"lookalike-{FIRST}={NAME}")
    for _ in range(60):
        assert not access.enter(mine, "wrong")
    with pytest.raises(LookalikeError, match="Wait a second"):
        access.enter(mine, "wrong")


def test_without_a_password_nobody_gets_in_by_an_empty_one() -> None:
    access = Access(None, public=True)
    assert not access.enter(request(cookie=f"lookalike-{FIRST}={NAME}"), "")


def test_on_an_encrypted_page_a_cookie_that_another_site_can_set_does_not_count() -> None:
    """`a.gradio.live` may set cookies for all of gradio.live, but none with this prefix."""
    planted, own = f"lookalike-{FIRST}={NAME}", f"__Host-lookalike-{SECOND}={'b' * 32}"
    assert visitor_of(request(cookie=planted, x_forwarded_proto="https")) == ""
    both = request(cookie=f"{planted}; {own}", x_forwarded_proto="https")
    assert visitor_of(both) == "b" * 32
    assert (
        visitor_of(request(cookie=f"{planted}; {own}", x_forwarded_proto="https, http")) == "b" * 32
    )
    assert visitor_of(request(cookie=both.headers["cookie"])) == NAME


def test_of_two_cookies_the_earlier_counts_in_whatever_order_they_come() -> None:
    early, late = f"lookalike-{FIRST}={NAME}", f"lookalike-{SECOND}={'b' * 32}"
    for cookie in (early, f"{early}; {late}", f"x=y; {late}; {early}"):
        assert visitor_of(request(cookie=cookie)) == NAME


@pytest.mark.parametrize(
    "other", ['prefs={"theme":"dark"}', "name=José", "last visit=1", "=", "", 'x="a;b']
)
def test_cookies_of_others_do_not_hide_ours_whatever_is_in_them(other: str) -> None:
    ours = f"lookalike-{FIRST}={NAME}"
    for cookie in (f"{other}; {ours}", f"{ours}; {other}"):
        assert visitor_of(request(cookie=cookie)) == NAME


@pytest.mark.parametrize(
    "cookie",
    [
        *("", "other=x", "lookalike", "=;;,", f"lookalike-{FIRST}=short", f"lookalike={NAME}"),
        *(f"lookalike-0={NAME}", f"{FIRST}={NAME}", f"-{FIRST}={NAME}"),
    ],
)
def test_what_is_no_cookie_of_ours_is_no_visitor(cookie: str) -> None:
    assert visitor_of(request(cookie=cookie)) == ""


@pytest.fixture
def client() -> Any:
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("page"))])
    return TestClient(VisitorCookie(app), base_url="https://space.example")  # type: ignore[arg-type]


def test_each_browser_gets_a_name_of_its_own_and_keeps_it(client: TestClient) -> None:
    first = client.get("/").headers["set-cookie"]
    assert "HttpOnly" in first
    assert "SameSite=None; Secure; Partitioned" in first
    assert "set-cookie" not in client.get("/").headers
    assert "set-cookie" not in client.get("/config").headers
    client.cookies.clear()
    assert "set-cookie" in client.get("/config").headers
    client.cookies.clear()
    assert client.get("/").headers["set-cookie"] != first


def statuses_of(path: str, address: str, cookies: Iterable[str]) -> set[int]:
    """Ask for a path with one cookie after the other."""
    statuses: set[int] = set()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        statuses.add(200)

    async def send(message: Message) -> None:
        statuses.add(message.get("status", 429))

    async def run() -> None:
        gate = Gate(app, Handover(), Access(None, public=True))
        for cookie in cookies:
            asked = request(address, cookie=cookie)
            await gate({**asked.scope, "path": path, "method": "GET"}, asked.receive, send)

    asyncio.run(run())
    return statuses


@pytest.mark.parametrize("path", ["/maps/key/map.json", "/", "/config"])
@pytest.mark.parametrize(
    ("address", "refused"), [("9.8.7.6", True), ("10.0.0.1", False)], ids=["their own", "a proxy's"]
)
def test_made_up_cookies_bring_more_of_what_is_computed_only_from_behind_a_proxy(
    address: str, refused: bool, path: str
) -> None:
    made_up = (f"lookalike-{FIRST}={n:032}" for n in range(2 * settings.VISITOR_REQUESTS))
    assert statuses_of(path, address, made_up) == ({200, 429} if refused else {200})


@pytest.mark.parametrize("path", ["/", "/config"])
def test_a_page_is_opened_so_often_by_one_and_by_anybody_for_the_first_time(path: str) -> None:
    times = 2 * settings.VISITOR_REQUESTS
    assert statuses_of(path, "10.0.0.1", [f"lookalike-{FIRST}={NAME}"] * times) == {200, 429}
    assert statuses_of(path, "10.0.0.1", [""] * times) == {200}
    assert statuses_of(path, "9.8.7.6", [""] * times) == {200, 429}
    # A class that opens it at once.
    assert statuses_of(path, "9.8.7.6", [""] * 90) == {200}


@pytest.mark.parametrize("path", ["/", "/config"])
def test_behind_a_proxy_all_who_are_not_known_yet_open_the_page_so_often_together(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(settings, "FIRST_OPENINGS", 100)
    client.get("http://space.example/")
    known = of_browser(client).headers["cookie"]
    made_up = (f"lookalike-{FIRST}={n:032}" for n in range(101))
    assert statuses_of(path, "10.0.0.1", [""] * 101) == {200, 429}
    assert statuses_of(path, "10.0.0.1", made_up) == {200, 429}
    assert statuses_of(path, "10.0.0.1", [known] * 101) == {200}


@pytest.mark.parametrize(
    ("visitor", "address"),
    [
        (lambda n: "me", "9.8.7.6"),
        (lambda n: "me", ""),
        (lambda n: f"made up {n}", "9.8.7.6"),
        (lambda n: "", "9.8.7.6"),
        (lambda n: "", ""),
    ],
    ids=["a visitor", "behind a proxy", "made up cookies", "a program", "a program behind a proxy"],
)
def test_who_opens_page_after_page_takes_the_place_of_their_own(
    visitor: Callable[[int], str], address: str
) -> None:
    forgotten: list[str] = []
    sessions = OpenPages(forgotten.append, of_visitor=3, of_address=3)
    assert sessions.admits("another's", "another", "1.2.3.4")
    for n in range(5):
        assert sessions.admits(f"page-{n}", visitor(n), address)
    assert forgotten == ["page-0", "page-1"]
    assert sessions.admits("page-2", visitor(2), address)  # is in use, and stays
    assert sessions.admits("page-5", visitor(5), address)
    assert forgotten[2:] == ["page-3"]
    assert not sessions.admits("another's", "me", address)
    assert sessions.admits("another's", "another", "1.2.3.4")


def test_a_page_that_was_closed_gives_way_before_those_that_are_open() -> None:
    forgotten: list[str] = []
    sessions = OpenPages(forgotten.append, of_visitor=3, of_address=3)
    assert sessions.admits("open", "me", "9.8.7.6")
    for n in range(5):  # one that is loaded again and again
        assert sessions.admits(f"page-{n}", "me", "9.8.7.6")
        with sessions.held_open(f"page-{n}"):
            pass
    assert forgotten == ["page-1", "page-2", "page-3"]
    # One that has another connection still is open.
    with sessions.held_open("open"):
        with sessions.held_open("open"):
            pass
        assert sessions.admits("page-5", "me", "9.8.7.6")
    assert forgotten[3:] == ["page-4"]
    # One that has given way already, or belongs to nobody, is let be.
    with sessions.held_open("page-1"):
        pass
    assert sessions.admits("page-6", "me", "9.8.7.6")
    assert forgotten[4:] == ["open"]


def test_the_gate_sees_that_a_page_was_closed() -> None:
    forgotten: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        pass  # the heartbeat ends at once

    async def run() -> None:
        gate = Gate(app, Handover(), Access(None, public=True), Hooks(forget=forgotten.append))
        for n in range(settings.PAGES_OF_VISITOR + 1):
            asked = request(cookie=f"lookalike-{FIRST}={NAME}")
            path = "/gradio_api/" + (f"heartbeat/page-{n}" if n else "queue/data")
            scope = {**asked.scope, "path": path, "query_string": b"session_hash=open"}
            await gate({**scope, "method": "GET"}, asked.receive, _unheard)

    asyncio.run(run())
    assert forgotten == [f"page-{settings.PAGES_OF_VISITOR - 1}"]


def test_a_page_whose_heartbeat_made_room_is_not_taken_for_closed() -> None:
    forgotten: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def run() -> None:
        gate = Gate(app, Handover(), Access(None, public=True), Hooks(forget=forgotten.append))
        asked, tasks = request(cookie=f"lookalike-{FIRST}={NAME}"), []
        for n in range(settings.PAGES_OF_VISITOR + 2):
            scope = {**asked.scope, "path": f"/gradio_api/heartbeat/page-{n}", "method": "GET"}
            tasks.append(asyncio.create_task(gate(scope, asked.receive, _unheard)))
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
    assert forgotten == ["page-0", "page-1"]


def heartbeats_of(
    *pages: str, before_last: Callable[[Heartbeats], None], most: int = 100
) -> dict[str, list[str]]:
    """Open pages one after another ("VISITOR PAGE"), and return what became of those that ended.

    Args:
        before_last: what is done before the last one is opened.
        most: how many are held of all together.
    """
    ended: dict[str, list[str]] = {}
    kept: list[str] = []
    beats = Heartbeats(kept.append, most)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(60)

    async def run() -> None:
        tasks = []
        for page in pages:
            if page == pages[-1]:
                before_last(beats)
            visitor, _, session = page.rpartition(" ")
            said = ended.setdefault(session, [])

            async def send(message: Message, said: list[str] = said) -> None:
                said.append(message["type"] if not message.get("more_body") else "more")

            held = beats.hold(app, {}, _unasked, send, visitor, session)
            tasks.append(asyncio.create_task(held, name=session))
            await asyncio.sleep(0.02)
        done, pending = await asyncio.wait(tasks, timeout=0.05)
        for task in pending:
            ended.pop(task.get_name())
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()

    asyncio.run(run())
    assert kept == list(ended)
    return ended


async def _unasked() -> Message:
    raise AssertionError("a heartbeat sends nothing")


WHOLE = ["http.response.start", "http.response.body"]


def test_of_one_browser_the_heartbeat_of_the_page_unused_for_longest_makes_room() -> None:
    def use(beats: Heartbeats) -> None:
        beats.use("me", "a")
        beats.use("you", "b")  # not theirs

    pages = ("me a", "me b", "you x", "me c", "me d")
    assert heartbeats_of(*pages, before_last=use) == {"b": WHOLE}
    # Of programs without a cookie nobody knows which belong together.
    assert heartbeats_of(" a", " b", " c", " d", before_last=use) == {}


def test_of_everybody_together_only_so_many_heartbeats_are_held() -> None:
    pages = (" a", "me b", "you c", " d", "me e")
    ended = heartbeats_of(*pages, most=3, before_last=lambda beats: beats.use("me", "b"))
    assert ended == {"a": WHOLE, "c": WHOLE}


def test_a_page_that_waits_for_an_answer_makes_no_room() -> None:
    with ExitStack() as stack:

        def listen(beats: Heartbeats) -> None:
            stack.enter_context(beats.listening("a"))
            stack.enter_context(beats.listening("b"))
            with beats.listening("b"):
                pass

        pages = ("me a", "me b", "me c", "me d")
        assert heartbeats_of(*pages, before_last=listen) == {"c": WHOLE}


async def _unheard(message: Message) -> None:
    pass


def test_a_class_of_thirty_at_one_address_loses_no_page() -> None:
    forgotten: list[str] = []
    sessions = OpenPages(forgotten.append)
    for tab in range(10):
        for n in range(30):
            assert sessions.admits(f"page-{n}-{tab}", f"visitor {n}", "9.8.7.6")
    assert not forgotten


def test_of_very_many_pages_those_unused_for_longest_are_forgotten() -> None:
    sessions = OpenPages(most=3)
    for n in range(4):
        assert sessions.admits(f"page-{n}", f"visitor {n}")
    assert not sessions.admits("page-1", "me")
    assert sessions.admits("page-0", "me")


@pytest.mark.parametrize(
    ("client", "expected"), [("127.0.0.1", True), ("192.168.1.7", False)], ids=["here", "lan"]
)
def test_an_assistant_elsewhere_is_no_owner_though_its_tools_are_called_from_here(
    client: str, expected: bool
) -> None:
    """Gradio calls a tool with a request of its own that has the headers it was sent."""
    access = Access(None, public=False)
    called: list[Request] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        called.append(Request({**scope, "client": ("127.0.0.1", 5)}))

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Message) -> None:
        raise AssertionError(f"answered without the app: {message}")

    scope = {
        **request(client, host="localhost:7860").scope,
        "path": "/gradio_api/mcp/",
        "method": "POST",
    }
    asyncio.run(Gate(app, Handover(), access)(scope, receive, send))
    assert [access.is_owner(inner) for inner in called] == [expected]

"""Strangers who mean ill: what is closed, whose is whose, and what no answer tells."""

import http.client
import io
import json
import math
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from retrieval import settings
from retrieval.errors import COLLECTION_GONE
from retrieval.pages import words
from retrieval.pages.gate import BESIDE
from retrieval.pages.interface import API, OPEN
from tests.made import by_hue, encode, save_hues
from tests.serving import Served, serving
from tests.visitor import JSON, Visitor, strings_of

SECRET = "do not tell anybody"
PICTURE = encode(by_hue(200), "PNG")
META = {"_type": "gradio.FileData"}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>window.hacked = 1</script></svg>'
HTML = b"<!doctype html><script>window.hacked = 1</script>"


@pytest.fixture(scope="module")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A public app with six pictures, and a secret beside what it serves."""
    home = tmp_path_factory.mktemp("somebody")
    pictures = save_hues(home / "colours", {f"kind/{hue}.png": hue for hue in range(0, 360, 60)})
    for place in (home, pictures, home / "received", home / "downloads"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "secret.txt").write_text(SECRET)
    for folder in (home / "received", pictures):
        with suppress(OSError):  # Windows without developer mode; who needs it skips, and says so
            (folder / "link.png").symlink_to(home / "secret.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKALIKE_REQUESTS", "100000")  # a minute, for tests/test_bounds.py to see to
        with serving(tiny_model, pictures, home, public=True) as served:
            yield served
            # All that strangers can ask for has an answer that was thought of.
            assert "Traceback" not in served.log
            assert "Traceback" not in served.log


@pytest.fixture
def other(served: Served) -> Iterator[Visitor]:
    other = Visitor(served.address)
    yield other
    other.close()


def raw(served: Served, target: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    """Ask for a target as it stands; clients that mean well would tidy it up."""
    place = urllib.parse.urlsplit(served.address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    connection._validate_path = lambda _: None  # type: ignore[attr-defined]
    connection.request(method, target, headers=headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


# Paths.

STEPS = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "%252e%252e%252f", "..\\", "..%5c", "....//")


def climbing(file: str) -> list[str]:
    """Return ways to say "that file, from the root of the disk"."""
    plain = file.lstrip("/")
    quoted = urllib.parse.quote(file, safe="")
    return [
        *(step * 12 + plain for step in STEPS),
        *(
            file,
            "/" + file,
            quoted,
            "/" + quoted,
            "%2f" + plain,
            f"file://{file}",
            f"x/../..{file}",
        ),
        *(f"{file}%00.jpg", f"C:{file}", f"C:%5c{plain}", f"\\\\localhost\\c${file}", f"~{file}"),
    ]


def test_no_route_that_takes_a_name_gives_out_a_file_of_the_disk(served: Served) -> None:
    places = [
        *(served.home / "secret.txt", served.home / "received" / "secret.txt"),
        *(served.home / "received" / "link.png", served.home / "downloads" / "secret.txt"),
        served.home / "collections" / "colours" / "collection.sqlite",
    ]
    asked = 0
    for path, methods in served.routes:
        if "{" not in path or "GET" not in methods:
            continue
        for place in places:
            for way in climbing(str(place)):
                target = re.sub(r"{[^}]*}", lambda _, way=way: way, path)  # type: ignore[misc]
                if "{" not in target and "heartbeat" not in target:
                    status, _, body = raw(served, target)
                    assert SECRET.encode() not in body, target
                    assert b"SQLite format 3" not in body, target
                    assert status < 500, (status, target)
                    asked += 1
    assert asked > 1_000


def test_only_the_routes_that_the_app_uses_are_open(served: Served) -> None:
    """Gradio brings proxies, code editors, recordings and monitors; they are not even there."""
    theirs = [(path, methods) for path, methods in served.routes if path.startswith(API)]
    closed = [path for path, _ in theirs if not OPEN.fullmatch(path.removeprefix(API).rstrip("/"))]
    for name in ("proxy={url_path:path}", "process_recording", "vibe-code", "component_server"):
        assert API + name in closed
    beside = {path for path, _ in served.routes if not path.startswith(API)}
    ours = {"/uploads", "/uploads/{name}", "/password"}
    shut = {path for path in beside if not BESIDE.fullmatch(path)} - ours
    assert {"/openapi.json", "/login", "/logout", "/monitoring/{key}"} <= shut
    assert shut.isdisjoint({"/", "/config", "/assets/{path:path}", "/theme.css", "/robots.txt"})
    for path in (*closed, *shut):
        for method in ("GET", "POST", "PUT", "DELETE"):
            status, _, body = raw(served, path, method)
            assert status in (404, 405), path
            assert words.NO_ADDRESS.encode() in body


@pytest.mark.parametrize("query", ["page=x", "page=", "page=search", "deep_link=x"])
def test_whatever_page_is_asked_for_ours_opens(visitor: Visitor, query: str) -> None:
    for path in ("/", "/config"):
        answer = visitor.http.get(f"{path}?{query}")
        assert answer.status_code == 200
        assert words.TITLE in answer.text


def test_the_page_comes_compressed_and_pictures_and_streams_do_not(visitor: Visitor) -> None:
    visitor.http.headers["accept-encoding"] = "gzip"
    for path in ("/", "/config"):
        answer = visitor.http.get(path)
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) < len(answer.content) / 3
        for accepted in ("identity", "gzip;q=0", "br, gzip; q=0.00, identity"):
            plain = visitor.http.get(path, headers={"accept-encoding": accepted})
            assert "content-encoding" not in plain.headers
            assert len(plain.content) == int(plain.headers["content-length"])
        assert visitor.http.get(path, headers={"accept-encoding": "gzip;q=0.5"}).headers[
            "content-encoding"
        ]
    found = visitor.search(visitor.send(PICTURE))["output"]["data"][0]
    picture = visitor.http.get(found[0]["thumbnail"])
    assert picture.status_code == 200
    assert "content-encoding" not in picture.headers


def test_an_app_that_nobody_uses_hardly_keeps_the_processor_busy(served: Served) -> None:
    """Gradio's own queue takes 4 % of a core for as long as it is open."""
    least = 1.0
    for _ in range(10):  # of several, since what others have asked for may still be going on
        before = served.busy
        time.sleep(2)
        least = min(least, (served.busy - before) / 2)
        if least < 0.03:
            return
    raise AssertionError(f"{100 * least:.0f} % of a core")


@pytest.mark.parametrize("sign", ["%0a", "%0D%0A", "%00", "%7f"])
@pytest.mark.parametrize(
    "path", ["copies/colours.csv", f"maps/colours/{'0' * 32}.json", "bundles/colours.lookalike"]
)
def test_no_sign_that_nobody_sees_gets_past_a_bound(served: Served, path: str, sign: str) -> None:
    status, _, body = raw(served, f"/{path}{sign}")
    assert (status, json.loads(body)["error"]) == (404, words.NO_ADDRESS)


@pytest.mark.parametrize(
    "target",
    [
        "gradio_api/file=http://127.0.0.1:22/",
        "gradio_api/file=https://example.org/a.png",
        "gradio_api/proxy=http://127.0.0.1:22/",
        "gradio_api/../gradio_api/proxy=http://127.0.0.1:22/",
        "gradio_api//proxy=http://127.0.0.1:22/",
        "gradio_api/file/http://127.0.0.1:22/",
    ],
)
def test_the_server_is_no_way_to_other_addresses(served: Served, target: str) -> None:
    status, headers, _ = raw(served, "/" + target)
    assert status == 404
    assert "location" not in headers


# Whose is whose.


def test_an_upload_is_reached_by_who_sent_it_alone(visitor: Visitor, other: Visitor) -> None:
    sent = visitor.send(PICTURE)
    name = sent["path"]
    mine = visitor.http.get(f"/gradio_api/file={name}")
    assert mine.content == PICTURE
    assert mine.headers["content-type"] == "image/png"
    assert other.http.get(f"/gradio_api/file={name}").status_code == 404
    assert other.http.get(f"/files/{name}").status_code == 404
    assert error_of(other.search(sent)) == words.NOT_SENT
    assert visitor.search(sent)["success"]


@pytest.mark.parametrize("place", ["received/link.png", "secret.txt", "colours/kind/0.png"])
def test_no_path_of_the_server_is_taken_for_an_upload(
    served: Served, visitor: Visitor, place: str
) -> None:
    path = served.home / place
    if not path.exists():
        pytest.skip("This account may not make symbolic links (Windows without developer mode).")
    for named in (str(path), f"x/../{path}", path.as_uri(), str(path.relative_to(served.home))):
        for sent in ({"path": named, "meta": META}, {"path": named}, {"path": named, "url": named}):
            assert error_of(visitor.search(sent)) == words.NOT_SENT


@pytest.mark.parametrize("count", [3, {"path": "http://127.0.0.1:9/x", "meta": META}])
def test_no_address_is_fetched_for_a_visitor(visitor: Visitor, count: Any) -> None:
    sent = {"path": "http://127.0.0.1:9/x.png", "url": "http://127.0.0.1:9/x.png", "meta": META}
    assert error_of(visitor.search(sent, count)) in (words.NO_FETCHING, words.NO_NUMBER)


def test_another_visitors_page_can_neither_be_used_nor_listened_to_nor_ended(
    served: Served, visitor: Visitor, other: Visitor
) -> None:
    with visitor.http.stream("GET", f"/gradio_api/heartbeat/{visitor.session}") as alive:
        assert alive.status_code == 200
        thief = other.session
        other.session = visitor.session
        assert other.join("on_load", []).status_code == 403
        assert other.http.get(
            "/gradio_api/queue/data", params={"session_hash": visitor.session}
        ).json() == {"detail": words.OTHERS_SESSION, "error": words.OTHERS_SESSION}
        for way in ("call/search", "cancel"):
            body = {"data": [], "session_hash": visitor.session, "fn_index": 0, "event_id": "x"}
            assert other.http.post(f"/gradio_api/{way}", json=body).status_code == 403
        assert other.http.get(f"/gradio_api/heartbeat/{visitor.session}").status_code == 403
        # Of two names Gradio takes the last.
        for names in ([thief, visitor.session], []):
            params = [("session_hash", name) for name in names]
            answer = other.http.get("/gradio_api/queue/data", params=params)
            assert (answer.status_code, answer.json()["detail"]) == (400, words.NO_REQUEST)
        other.session = thief
    assert visitor.search(visitor.send(PICTURE))["success"]


@pytest.mark.parametrize("origin", ["https://evil.gradio.live", "http://127.0.0.1:5000", "null"])
def test_a_page_of_another_site_does_nothing_in_a_visitors_name_and_reads_nothing(
    visitor: Visitor, origin: str
) -> None:
    for headers in ({"origin": origin}, {"origin": origin, "sec-fetch-site": "same-site"}):
        for path in ("gradio_api/queue/join", "gradio_api/upload", "uploads", "gradio_api/mcp"):
            answer = visitor.http.post(f"/{path}", json={}, headers=headers)
            assert answer.status_code == 403
            said = answer.text if path.endswith("/upload") else answer.json()["error"]
            assert said == words.OTHER_SITE
        seen = visitor.http.get("/config", headers=headers)
        wanted = {**headers, "access-control-request-method": "POST"}
        asked = visitor.http.options("/uploads", headers=wanted)
        for answer in (seen, asked):
            assert not [name for name in answer.headers if name.startswith("access-control")]
    own = str(visitor.http.base_url).rstrip("/")
    answer = visitor.http.post("/gradio_api/queue/join", json={}, headers={"origin": own})
    assert answer.status_code != 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_only_leads_here_and_has_nothing_computed_or_counted(
    visitor: Visitor, site: str
) -> None:
    # As `<img>`, `no-cors` and links do, of which only this tells whose they are.
    foreign = {"sec-fetch-site": site}
    fetched = (
        *("bundles/colours.lookalike?photos=1", "copies/colours.csv", "problems/colours.csv"),
        *("originals/colours/1", f"maps/colours/{'0' * 32}.json"),
    )
    kept_open = ("heartbeat/evil", "heartbeat/evil/", "queue/data?session_hash=evil", "mcp/sse")
    for path in (*fetched, *(f"gradio_api/{each}" for each in (*kept_open, "upload_progress"))):
        answer = visitor.http.get(f"/{path}", headers=foreign)
        assert (answer.status_code, answer.json()["error"]) == (403, words.OTHER_SITE), path
    for headers in ({"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {}):
        for path in fetched:
            assert words.OTHER_SITE not in visitor.http.get(f"/{path}", headers=headers).text, path
    for path in ("", "?in=colours", "thumbnails/colours/x.jpg"):
        assert visitor.http.get(f"/{path}", headers=foreign).status_code in (200, 404), path


def test_who_opens_page_after_page_loses_what_was_done_on_their_own_alone(
    visitor: Visitor, other: Visitor
) -> None:
    for one in (visitor, other):
        one.ask("on_upload", one.filled("on_upload", query=one.send(PICTURE)))
    first = visitor.session
    for _ in range(settings.PAGES_OF_VISITOR):
        visitor.session = secrets.token_hex(6)
        visitor.ask("on_load_1", [None])
    visitor.session = first
    for one, has_results in ((other, True), (visitor, False)):
        said = one.outcome("on_save", one.filled("on_save", **{"save-kind": words.SAVE_KINDS[0]}))
        assert said["success"] is has_results


def test_a_program_that_names_no_page_gets_its_answer(visitor: Visitor) -> None:
    with httpx.Client(base_url=visitor.http.base_url) as program:
        begun = program.post("/gradio_api/call/search", json={"data": [None, 3, ""]}).json()
        told = program.get(f"/gradio_api/call/search/{begun['event_id']}").text
    assert told.startswith("event: error")
    assert words.NO_FILE in told
    sent = {"data": [visitor.send(PICTURE), 3, ""]}
    begun = visitor.http.post("/gradio_api/call/search", json=sent).json()
    told = visitor.http.get(f"/gradio_api/call/search/{begun['event_id']}").text
    assert told.startswith("event: complete")
    assert "180.png" in told


def test_an_event_is_fetched_and_cancelled_by_who_has_asked_for_it_alone(
    visitor: Visitor, other: Visitor
) -> None:
    picture = visitor.send(PICTURE)
    begun = [visitor.join("search", [picture, 5, ""]).json()["event_id"] for _ in range(3)]
    for event in begun:
        for way in ("call/search", "call/v2/search", "call/nothing"):
            answer = other.http.get(f"/gradio_api/{way}/{event}")
            assert (answer.status_code, answer.json()["detail"]) == (403, words.OTHERS_SESSION)
        body = {"session_hash": other.session, "fn_index": 0, "event_id": event}
        assert other.http.post("/gradio_api/cancel", json=body).status_code == 403
    # Gradio takes what is no event for the name of a page.
    for nobodys in (visitor.session, "x"):
        answer = other.http.get(f"/gradio_api/call/search/{nobodys}")
        assert (answer.status_code, answer.json()["detail"]) == (404, words.NO_ADDRESS)
    told = [said for said in visitor.messages() if said["msg"] == "process_completed"]
    assert [said["event_id"] for said in told] == begun
    assert all("180.png" in str(said["output"]) for said in told)
    body = {"session_hash": visitor.session, "fn_index": 0, "event_id": begun[0]}
    assert visitor.http.post("/gradio_api/cancel", json=body).json() == {"success": True}


def test_no_other_site_shows_the_page_in_a_frame(visitor: Visitor) -> None:
    policy = visitor.page.headers["content-security-policy"]
    assert policy.endswith("; frame-ancestors 'self'")


@pytest.fixture
def key(visitor: Visitor) -> Iterator[str]:
    """The key of a private collection of `visitor`."""
    answer = visitor.add_pictures({"mine/a.png": PICTURE, "mine/b.png": encode(by_hue(20), "PNG")})
    key = re.findall(r"v-[0-9a-f]{32}", answer["output"]["data"][0])[-1]
    yield key
    visitor.outcome("on_act", [None], {"act": "delete-for-good", "key": key})


def test_a_private_collection_is_not_there_for_others(
    visitor: Visitor, other: Visitor, key: str
) -> None:
    visitor.finish(key)
    sent = visitor.send(PICTURE)
    rows = visitor.search(sent, 5, key)["output"]["data"][0]
    theirs = other.send(PICTURE)
    for called in (key, "mine"):
        refused = error_of(other.search(theirs, 5, called))
        assert refused.startswith(words.NO_COLLECTION)
        assert "mine" not in refused
        rows = visitor.search(sent, 5, called)["output"]["data"][0]
        assert [row["picture"] for row in rows] == ["a.png", "b.png"]
    everything = json.dumps(other.search(theirs, 200)["output"])
    assert key not in everything
    for place in (
        *(rows[0]["thumbnail"], f"problems/{key}.csv", f"bundles/{key}.lookalike?photos=1"),
        *(f"maps/{key}/{'0' * 32}.json", f"copies/{key}.csv", f"originals/{key}/1"),
    ):
        assert other.http.get(f"/{place}").status_code in (403, 404), place
    for act in ("delete", "name", "remove", "download", "pictures", "cancel", "look", "problems"):
        event = {"act": act, "key": key, "ids": [1], "value": "taken", "start": 0}
        said = other.ask("on_act", [None], event)
        assert words.NOT_YOURS in log_of(said)
        assert key not in json.dumps(said[-1])
    for name in ("on_open", "on_open_1", "on_tick_2"):
        assert key not in json.dumps(other.ask(name, other.filled(name)))
    assert words.NOT_YOURS in log_of(other.hand_over({"c.png": PICTURE}, key))
    # It is all there still.
    rows = visitor.search(sent, 5, key)["output"]["data"][0]
    assert [row["picture"] for row in rows] == ["a.png", "b.png"]
    # When it has ended, its own visitor is not told that it was somebody else's.
    visitor.ask("on_act", [None], {"act": "delete-for-good", "key": key})
    for act in ("delete-for-good", "remove", "rename"):
        assert COLLECTION_GONE in log_of(
            visitor.ask("on_act", [None], {"act": act, "key": key, "ids": [1]})
        )


def test_results_to_take_away_are_for_who_asked_for_them(visitor: Visitor, other: Visitor) -> None:
    visitor.ask("on_upload", visitor.filled("on_upload", query=visitor.send(PICTURE)))
    for kind, start in zip(
        words.SAVE_KINDS, (b"PK", b"\xef\xbb\xbf", b"\x89PNG", b"%PDF"), strict=True
    ):
        address = visitor.outcome("on_save", visitor.filled("on_save", **{"save-kind": kind}))[
            "output"
        ]["data"][0]
        assert re.fullmatch(r"files/[\w-]{22}/lookalike\.\w{3}", address)
        assert visitor.http.get(f"/{address}").content.startswith(start)
        assert other.http.get(f"/{address}").status_code == 404


# What no answer tells.


def places_of(served: Served) -> list[str]:
    """Return what would give away where things lie on the server."""
    return [
        *(str(served.home), str(settings.PROJECT), tempfile.gettempdir() + "/", "/tmp/"),
        *(str(Path.home()), "site-packages", "Traceback", 'File "'),
    ]


def check_silent(served: Served, what: str, *answers: Any) -> None:
    for answer in answers:
        for text in strings_of(answer):
            for place in places_of(served):
                assert place not in text, f"{what} tells {place}: {text[:300]}"


def test_no_answer_header_or_error_names_a_path_of_the_server(
    served: Served, visitor: Visitor, key: str
) -> None:
    def look(what: str, answer: Any) -> None:
        check_silent(served, what, list(answer.headers.values()), answer.text)

    visitor.finish(key)
    for place in ("/", "/config", "/gradio_api/info", "/gradio_api/openapi.json", "/theme.css"):
        look(place, visitor.http.get(place))
    for place in (f"/problems/{key}.csv", f"/copies/{key}.csv", f"/bundles/{key}.lookalike"):
        look(place, visitor.http.get(place))
    for data, name in (
        *((PICTURE, "a.png"), (SVG, "a.svg"), (b"", "a.jpg"), (PICTURE[:60], "../../a.png")),
        (encode(by_hue(3, (64, 64)), "HEIF"), "a.heic"),
        (PICTURE, "x" * 300 + ".png"),
    ):
        answer = visitor.http.post("/gradio_api/upload", files={"files": (name, data, "image/png")})
        look("upload", answer)
        if answer.status_code == 200:
            sent = {"path": answer.json()[0], "meta": META}
            check_silent(served, "search", visitor.search(sent))
            check_silent(
                served,
                "on_upload",
                visitor.ask("on_upload", visitor.filled("on_upload", query=sent)),
            )
    for kind in words.SAVE_KINDS:
        check_silent(
            served,
            "on_save",
            visitor.ask("on_save", visitor.filled("on_save", **{"save-kind": kind})),
        )
    for act in ("pictures", "problems", "rename", "download", "look", "apply", "search", "undo"):
        check_silent(served, act, visitor.ask("on_act", [None], {"act": act, "key": key}))
    for number in range(len(visitor.config["dependencies"])):
        check_silent(served, f"event {number}", visitor.ask_number(number, [], {"key": "x"}))
    for place in ("/nothing", "/gradio_api/file=x", "/files/x", "/static/../x", "/originals/x/1"):
        look(place, visitor.http.get(place))


# Requests that are none.


@pytest.mark.parametrize("way", ["queue/join", "call/search", "cancel", "reset"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[1, 2]", 400),
        (b'"text"', 400),
        (b"\xff\xfe\x00", 400),
        (b"[" * 1_900, 400),
        (b'{"data":' * 1_900, 400),
        (b'{"data":' + b"[" * 600 + b"]" * 600 + b"}", 400),
        (b'{"data":' + b'[{"a":' * 60 + b"1" + b"}]" * 60 + b"}", 400),
        (b'{"data": ["' + b"x" * settings.MAX_REQUEST_BYTES + b'"]}', 413),
        (b'{"data": [' + b"[]," * settings.MAX_REQUEST_VALUES + b"1]}", 400),
    ],
    ids=[
        *("empty", "cut", "list", "text", "binary", "deep list", "deep", "whole deep list"),
        *("whole and less deep", "large", "very many values"),
    ],
)
def test_what_is_no_request_gets_a_sentence(
    visitor: Visitor, way: str, body: bytes, status: int
) -> None:
    for content in (body, iter([body])):  # with its length, and in pieces without
        answer = visitor.http.post(f"/gradio_api/{way}", content=content, headers=JSON)
        assert answer.status_code == status
        assert answer.json()["detail"] in (words.NO_REQUEST, words.LARGE_REQUEST)


@pytest.mark.parametrize("unit", [b"[]", b"{}", b"0", b'{"a":[]}'])
def test_no_request_takes_long_to_read(served: Served, visitor: Visitor, unit: bytes) -> None:
    """While one is read nobody else is answered."""
    for way, most in (("queue/join", 2**16), ("mcp", 2**20)):
        values = b",".join([unit] * ((most - 1_000) // (len(unit) + 1)))
        body = b'{"session_hash": "%s", "data": [%s]}' % (visitor.session.encode(), values)
        before = served.busy
        answer = visitor.http.post(f"/gradio_api/{way}", content=body, headers=JSON)
        assert (answer.status_code, answer.json()["detail"]) == (400, words.NO_REQUEST)
        assert served.busy - before < 0.5


def test_an_upload_without_end_is_cut_off_and_leaves_nothing(
    served: Served, visitor: Visitor
) -> None:
    before = sorted((served.home / "received").rglob("*"))
    part = b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.png"\r\n\r\n'

    def endless() -> Iterator[bytes]:
        yield part
        for _ in range(2 * settings.MAX_UPLOAD_BYTES // 2**20):
            yield bytes(2**20)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = visitor.http.post("/gradio_api/upload", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert answer.text == words.LARGE_REQUEST  # all of which Gradio's page shows
    assert sorted((served.home / "received").rglob("*")) == before


@pytest.mark.parametrize("way", ["run/search", "api/search", "run/predict"])
def test_nobody_gets_past_the_queue(visitor: Visitor, way: str) -> None:
    answer = visitor.http.post(f"/gradio_api/{way}", json={"data": [], "fn_index": 0})
    assert (answer.status_code, answer.json()["detail"]) == (404, words.NO_ADDRESS)


def test_many_files_in_one_upload_are_refused_and_leave_nothing(
    served: Served, visitor: Visitor
) -> None:
    before = sorted((served.home / "received").rglob("*.png"))
    files = [("files", (f"{i}.png", PICTURE, "image/png")) for i in range(5)]
    answer = visitor.http.post("/gradio_api/upload", files=files)
    assert (answer.status_code, answer.text) == (400, words.NO_REQUEST)
    assert sorted((served.home / "received").rglob("*.png")) == before


def test_what_a_stranger_calls_the_server_is_what_nobody_else_is_told(visitor: Visitor) -> None:
    path = "/gradio_api/info"
    for query in ("", "?page=", "?page=x", "?all_endpoints=true", "?all_endpoints="):
        stranger = visitor.http.get(path + query, headers={"host": "evil.example"})
        assert "http://evil.example" in stranger.text
        assert "evil" not in visitor.http.get(path).text


@pytest.mark.parametrize("told", ["host", "x-forwarded-host"])
@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/gradio_api/queue/join"])
def test_who_asks_at_what_cannot_be_an_address_is_refused_in_a_sentence(
    served: Served, visitor: Visitor, told: str, path: str
) -> None:
    before = served.log
    method = "POST" if "join" in path else "GET"
    for host in (b"[v1.x]", b"999.1.1.1", b"\xe2\x98\x83", b"a:b"):
        asked = {"data": [None, 5, ""], "fn_index": visitor.number("search")}
        body = {**asked, "session_hash": visitor.session} if method == "POST" else None
        answer = visitor.http.request(method, path, json=body, headers={told.encode(): host})
        assert (answer.status_code, words.NO_REQUEST in answer.text) == (400, True), host
    assert served.log == before


def test_gradios_second_server_of_which_there_is_none_is_not_believed(visitor: Visitor) -> None:
    for told in ("http://[v1.x]/", "https://evil.example/"):
        answer = visitor.http.get("/config", headers={"x-gradio-server": told})
        assert (answer.status_code, "evil" in answer.text) == (200, False)


def test_the_progress_of_no_upload_is_told_at_once(visitor: Visitor) -> None:
    took = []
    for _ in range(3):  # the machine may be busy, and hold up one of them
        started = time.perf_counter()
        answer = visitor.http.get("/gradio_api/upload_progress", params={"upload_id": ""})
        assert (answer.status_code, answer.text.strip()) == (200, 'data: {"msg": "done"}')
        took.append(time.perf_counter() - started)
    assert min(took) < 2


@pytest.mark.parametrize("name", ["x" * 65, "a b", "", "ä"], ids=["long", "space", "none", "sign"])
def test_a_page_has_a_short_plain_name(visitor: Visitor, name: str) -> None:
    body = {"data": [], "fn_index": 0, "session_hash": name}
    answer = visitor.http.post("/gradio_api/queue/join", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (400, words.NO_REQUEST)


def test_a_page_that_does_not_listen_is_not_answered_for_ever(visitor: Visitor) -> None:
    for _ in range(settings.MAX_UNREAD):
        answer = visitor.join("on_load", [])
        if answer.status_code == 429:
            break
        time.sleep(0.1)  # so that the queue does not fill
    assert (answer.status_code, answer.json()["detail"]) == (429, words.BUSY)


@pytest.mark.parametrize("number", [-1, 10**9, "x", None, math.inf, math.nan, [], {}], ids=str)
def test_an_event_that_there_is_not_gets_a_sentence(
    served: Served, visitor: Visitor, number: Any
) -> None:
    body = json.dumps({"data": [], "fn_index": number, "session_hash": visitor.session})
    for way in ("queue/join", "call/nothing", "call/v2/search", "cancel", "reset"):
        answer = visitor.http.post(f"/gradio_api/{way}", content=body, headers=JSON)
        assert answer.status_code < 500, way
    nobody = visitor.http.get(f"/gradio_api/queue/data?session_hash={visitor.session}-not")
    assert nobody.status_code == 200  # with a word in it
    assert "Traceback" not in served.log


def test_too_few_values_are_no_bug_of_ours(served: Served, visitor: Visitor) -> None:
    assert error_of(visitor.outcome("search", [])) == words.NO_REQUEST
    assert "Traceback" not in served.log


@pytest.mark.parametrize(
    "body",
    [
        b'{"files": 1e400, "bytes": 1}',
        b'{"files": 1, "bytes": 1, "others": -1e400}',
        b'{"files": NaN, "bytes": 1}',
        b'{"files": -1, "bytes": 1}',
        b'{"files": 1, "bytes": 1' + b"0" * 4_000 + b"}",
        b"[" * 9_000,
        b'{"files": "\\ud800", "bytes": 1}',
    ],
    ids=[
        "infinite",
        "infinitely many others",
        "no number",
        "negative",
        "endless",
        "deep",
        "half a sign",
    ],
)
def test_an_upload_that_cannot_be_is_refused(visitor: Visitor, body: bytes) -> None:
    answer = visitor.http.post("/uploads", content=body, headers={"x-lookalike": "1"})
    assert (answer.status_code, answer.json()["error"]) == (400, "Reload the page and try again.")


def test_forms_are_taken_nowhere_but_where_files_are_sent(visitor: Visitor) -> None:
    """Gradio's login is open to anybody, takes files, and keeps them in memory."""
    for place in ("login", "login/", "", "config", "files/x", "thumbnails/x/y.jpg"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            files = {"username": ("a.png", PICTURE, "image/png")}
            answer = visitor.http.request(method, f"/{place}", files=files)
            assert (answer.status_code, answer.json()["detail"]) == (404, words.NO_ADDRESS)


PART = b'--x\r\ncontent-disposition: form-data; name="files"%s\r\n\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        # Python takes three seconds for 80 KB of this, and for ten times as much a hundred times
        # as long, in which nobody else is answered.
        ("; charset=punycode", PART % b"" + b"a" * 10**5 + b"-" + b"b" * 10**5),
        ("; charset=punycode", PART % b'; filename="a.png"' + PICTURE),
        ("", PART % b"" + b"kept in memory"),
        ("", PART % b'; filename="a.png"' + PICTURE + b"\r\n" + PART % b"" + b"and more"),
    ],
    ids=["slow text", "slow name", "text", "text after a file"],
)
def test_an_upload_is_a_file_and_nothing_else(
    served: Served, visitor: Visitor, kind: str, body: bytes
) -> None:
    before, busy = sorted((served.home / "received").rglob("*")), served.busy
    answer = visitor.http.post(
        "/gradio_api/upload?upload_id=x",
        content=body + b"\r\n--x--\r\n",
        headers={"content-type": f"multipart/form-data; boundary=x{kind}"},
    )
    assert (answer.status_code, answer.text) == (400, words.NO_REQUEST)
    assert served.busy - busy < 2
    assert sorted((served.home / "received").rglob("*")) == before


@pytest.mark.parametrize("way", ["upload_progress", "upload"])
def test_how_far_an_upload_is_goes_by_a_short_name(visitor: Visitor, way: str) -> None:
    place, method = f"/gradio_api/{way}?upload_id={'x' * 65}", "GET"
    files = {"files": ("a.png", PICTURE, "image/png")} if way == "upload" else None
    answer = visitor.http.request("POST" if files else method, place, files=files)
    said = answer.text if files else answer.json()["detail"]
    assert (answer.status_code, said) == (400, words.NO_REQUEST)


def test_an_address_that_is_too_long_costs_nobody_their_upload(
    served: Served, visitor: Visitor
) -> None:
    coming = served.home / "received" / "tmp-of-somebody"
    coming.parent.mkdir(exist_ok=True)
    coming.write_bytes(PICTURE)
    assert visitor.http.get("/static/" + "a" * 5_000).status_code == 404
    assert coming.exists()
    coming.unlink()


PICTURES = [None, 3, True, "x", [], {}, [{}], {"path": None}, {"path": []}, {"url": "data:,"}]
COUNTS = [None, "", "x", [], {}, True, 1e400, -1e400, float("nan"), 10**30, -5, 0.5]
COLLECTIONS = [None, 3, [], {}, "nothing", "../x", "\0", "x" * 10_000]


def test_arguments_of_any_type_get_an_answer_or_a_sentence(visitor: Visitor) -> None:
    good = visitor.send(PICTURE)
    for arguments in (
        *([picture, 3, ""] for picture in PICTURES),
        *([good, count, ""] for count in COUNTS),
        *([good, 3, collection] for collection in COLLECTIONS),
        *([], [good], [good] * 9, [good, 3, "", None]),
    ):
        said = visitor.outcome("search", arguments)["output"]
        assert "data" in said or re.match(r"[A-Z].+\.$", said["error"]), arguments


def test_half_a_sign_is_a_text_like_any_other(visitor: Visitor, key: str) -> None:
    """JSON can say it, but no text can be written that has it."""
    half = "\ud800"
    sent = {"path": half, "meta": META}
    assert error_of(visitor.search(sent)) == words.NOT_SENT
    assert error_of(visitor.search(visitor.send(PICTURE), 3, half)).startswith(words.NO_COLLECTION)
    for act in ("name", "delete", half):
        event = {"act": act, "key": key, "value": half}
        assert visitor.outcome("on_act", [None], event)["success"]
    for dependency in visitor.config["dependencies"]:
        values = [half] * len(dependency["inputs"])
        visitor.ask_number(dependency["id"], values, {"key": half, "id": half, "value": half})


def test_events_of_the_page_bear_nonsense(served: Served, visitor: Visitor) -> None:
    """No handler is meant for programs, but nothing keeps a program from calling one."""
    junk = [None, "x", -1, 10**30, [], {}, {"path": "/etc/passwd", "meta": META}, ["x"]]
    events: list[Any] = [
        *(None, 3, {}),
        {"key": [], "id": {}, "act": "name", "value": None, "ids": "x", "box": 3, "start": "x"},
        {"key": "x", "id": 10**30, "act": "remove", "ids": None, "box": [{}] * 4, "start": 10**400},
    ]
    for number, dependency in enumerate(visitor.config["dependencies"]):
        n = len(dependency["inputs"])
        for turn, event in enumerate(events):
            value = junk[(number + turn) % len(junk)]
            said = visitor.ask_number(dependency["id"], [value] * n, event)
            check_silent(served, dependency["api_name"], said)
    assert visitor.search(visitor.send(PICTURE))["success"]


STUMBLING = """
import asyncio
import gradio as gr
import retrieval.pages.server  # which tells Gradio how to be
from retrieval.pages.blocks import App

class Stumbling(gr.Textbox):
    is_template = True

    def preprocess(self, payload):
        raise {error}

with App() as app:
    text = Stumbling()
    text.submit(lambda value: None, text, None)
try:
    asyncio.run(app.process_api(app.fns[0], ["x"]))
except gr.Error as error:
    print(error.message)
"""


@pytest.mark.parametrize(
    ("error", "sentence", "written"),
    [
        ("TypeError('junk')", words.NO_REQUEST, False),
        ("RuntimeError('a bug')", words.WENT_WRONG, True),
    ],
    ids=["junk", "bug"],
)
def test_a_bug_where_values_are_read_is_written_down_and_junk_is_not(
    error: str, sentence: str, written: bool
) -> None:
    command = [sys.executable, "-c", STUMBLING.format(error=error)]
    run = subprocess.run(command, cwd=settings.PROJECT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == sentence
    assert ("Traceback" in run.stderr) is written


# Files that are not what they seem.


@pytest.mark.parametrize(
    ("data", "name"),
    [
        *((SVG, "a.svg"), (SVG, "a.svg.svgz"), (HTML, "a.html"), (HTML, "a.xhtml"), (HTML, "a.js")),
        *((HTML, "a.png"), (SVG, "a.jpg"), (b"<x/>", "a.xml"), (HTML, "a"), (HTML, "a.png.htm")),
    ],
)
def test_an_upload_is_never_shown_as_a_page(visitor: Visitor, data: bytes, name: str) -> None:
    sent = visitor.send(data, name, "text/html")
    answer = visitor.http.get(f"/gradio_api/file={sent['path']}")
    kind, how = answer.headers["content-type"], answer.headers["content-disposition"]
    assert kind.startswith("image/") or how.startswith("attachment")
    assert kind in ("image/png", "image/jpeg", "application/octet-stream")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert error_of(visitor.search(sent)).startswith("This is not a picture that can be read.")


def test_pictures_that_would_fill_the_memory_are_refused(visitor: Visitor) -> None:
    bomb = encode(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 2**20
    assert "megapixels" in error_of(visitor.search(visitor.send(bomb)))
    answer = visitor.add_pictures({"a.zip": zipped({"bomb.png": bomb, "good.png": PICTURE})})
    key = re.findall(r"v-[0-9a-f]{32}", answer["output"]["data"][0])[-1]
    visitor.finish(key)
    csv = visitor.http.get(f"/problems/{key}.csv").text
    assert "bomb.png" in csv
    assert "megapixels" in csv
    visitor.outcome("on_act", [None], {"act": "delete-for-good", "key": key})


def test_a_bundle_is_not_for_visitors(visitor: Visitor) -> None:
    said = visitor.hand_over({"a.lookalike": zipped({"manifest.json": b"{}"})})
    assert words.OPEN_NOT_YOURS in log_of(said)


NAMES = [
    'a"; filename="evil.exe',
    "a\r\nset-cookie: lookalike=stolen",
    "a\r\n\r\n<script>window.hacked = 1</script>",
    "\u202egnp.exe",
    "日本 🐈",
    "../../etc/passwd",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_collections_name_cannot_write_headers(visitor: Visitor, key: str, name: str) -> None:
    visitor.finish(key)
    visitor.outcome("on_act", [None], {"act": "name", "key": key, "value": name})
    for place in (f"/problems/{key}.csv", f"/bundles/{key}.lookalike", f"/copies/{key}.csv"):
        answer = visitor.worked_out(place)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        # Or a proxy that keeps what does not say so hands it to all, also to whom it is not for.
        assert answer.headers["cache-control"] == "private, no-store"
        how = answer.headers["content-disposition"]
        assert re.fullmatch(r"attachment; filename\*=utf-8''[\w.%~-]+", how), how


@pytest.mark.parametrize("name", [*NAMES, "a\0.png", "x" * 400 + ".png"])
def test_a_files_name_cannot_write_headers(visitor: Visitor, name: str) -> None:
    answer = visitor.http.post("/gradio_api/upload", files={"files": (name, PICTURE, "image/png")})
    if answer.status_code != 200:
        assert re.match("[A-Z].+", answer.text)
        return
    back = visitor.http.get("/gradio_api/file=" + urllib.parse.quote(answer.json()[0]))
    assert back.status_code == 200
    assert "set-cookie" not in back.headers
    assert re.match(r"(inline|attachment); filename", back.headers["content-disposition"])


# Small things that tests need.


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_path_in_what_is_told_of_an_event_is_not_looked_for(visitor: Visitor) -> None:
    for more in ({"path": "/etc"}, {"box": [{"path": "/etc"}]}):
        said = visitor.outcome("tell_refusal", [], {"told": "x", **more})
        assert said["success"], said


def error_of(outcome: dict[str, Any]) -> str:
    assert not outcome["success"], outcome
    return str(outcome["output"]["error"])


def log_of(said: list[dict[str, Any]]) -> str:
    """Return the toasts among what was said."""
    return " ".join(message["log"] for message in said if message["msg"] == "log")


def test_what_is_no_request_writes_nothing_into_the_hosts_terminal(served: Served) -> None:
    before = served.log
    upgrade = {"connection": "Upgrade", "upgrade": "websocket"}
    assert httpx.get(f"{served.address}nope", headers=upgrade).status_code == 404
    form = {"content-type": "multipart/form-data; boundary=there"}
    httpx.post(f"{served.address}gradio_api/upload", content=b"--elsewhere\r\n", headers=form)
    address = urllib.parse.urlsplit(served.address)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        assert b"400" in connection.recv(1000)
    assert served.log == before

"""What assistants do with the app's tool, over plain HTTP as their clients send it (MCP)."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from retrieval.pages import words
from retrieval.pages.interface import MAX_TOOLS
from tests.made import by_hue, encode, need, save_hues
from tests.serving import Served, serving
from tests.visitor import JSON, Visitor

CURE = 'pip install "gradio[mcp]"'
mcp = need("mcp", CURE)
streams = need("mcp.client.streamable_http", CURE)

PICTURE = encode(by_hue(200), "PNG")


@pytest.fixture(scope="module")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A public app with six pictures."""
    pictures = save_hues(
        tmp_path_factory.mktemp("colours"), {f"kind/{hue}.png": hue for hue in range(0, 360, 60)}
    )
    home = tmp_path_factory.mktemp("home")
    with serving(tiny_model, pictures, home, public=True) as served:
        yield served


def post(served: Served, method: str, params: dict[str, Any], **headers: str) -> httpx.Response:
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return httpx.post(
        f"{served.address.rstrip('/')}/gradio_api/mcp/",
        content=json.dumps(asked),  # as Python writes it, so that a test may send half a sign
        headers={**JSON, "accept": "application/json, text/event-stream", **headers},
        timeout=60,
    )


def ask(served: Served, method: str, **params: Any) -> dict[str, Any]:
    """Return the result of a request."""
    answer = post(served, method, params)
    assert answer.status_code == 200
    line = next(line for line in answer.text.splitlines() if line.startswith("data: "))
    result: dict[str, Any] = json.loads(line.removeprefix("data: "))["result"]
    return result


def call(served: Served, **arguments: Any) -> tuple[str, bool]:
    """Call the tool; return what it says, and whether it has worked."""
    result = ask(served, "tools/call", name="search", arguments=arguments)
    (content,) = result["content"]
    return content["text"], not result["isError"]


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_searching_is_the_only_tool_and_says_what_it_takes(served: Served) -> None:
    (tool,) = ask(served, "tools/list")["tools"]
    assert tool["name"] == "search"
    assert tool["description"].startswith("Find the pictures that look most like the given one")
    taken = tool["inputSchema"]
    assert {name: kind["type"] for name, kind in taken["properties"].items()} == {
        **{"picture": "string", "count": "integer", "collection": "string"}
    }
    assert taken["required"] == ["picture"]


def test_a_picture_in_a_data_url_is_searched_with(served: Served) -> None:
    said, worked = call(served, picture=data_url(PICTURE), count=2)
    assert worked
    assert "'picture': 'kind/180.png'" in said
    assert "'picture': 'kind/240.png'" in said
    assert said.count("'similarity'") == 2


def test_the_client_of_assistants_does_without_a_stream_of_its_own(served: Served) -> None:
    async def search() -> str:
        address = f"{served.address}gradio_api/mcp/"
        async with (
            streams.streamablehttp_client(address) as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            (tool,) = (await session.list_tools()).tools
            asked = {"picture": data_url(PICTURE), "count": 1}
            return str(await session.call_tool(tool.name, asked))

    assert "'picture': 'kind/180.png'" in asyncio.run(search())


@pytest.mark.parametrize("origin", [{}, {"origin": "https://abc.gradio.live"}], ids=["", "origin"])
def test_an_assistant_searches_through_a_link(served: Served, origin: dict[str, str]) -> None:
    asked = {"name": "search", "arguments": {"picture": data_url(PICTURE), "count": 1}}
    link = {"host": "abc.gradio.live", "x-forwarded-proto": "https", "x-forwarded-for": "9.8.7.6"}
    answer = post(served, "tools/call", asked, **link, **origin)
    assert "'picture': 'kind/180.png'" in answer.text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"picture": data_url(b"no picture")}, "This is not a picture that can be read."),
        ({"picture": data_url(PICTURE[:60])}, "damaged"),
        ({"picture": "data:image/png;base64,%%%"}, "The file is empty."),
        ({"picture": "http://127.0.0.1:1/a.png"}, "Web addresses are switched off here."),
        ({"picture": data_url(PICTURE), "collection": "none"}, "There is no such collection."),
        ({"picture": data_url(PICTURE), "collection": "x" * 70_000}, words.LARGE_REQUEST),
        ({"picture": data_url(PICTURE), "count": "many"}, "'many' is not of type 'integer'"),
        ({}, "'picture' is a required property"),
    ],
    ids=["no picture", "half", "no data", "address", "collection", "large", "count", "nothing"],
)
def test_what_cannot_be_searched_with_is_refused_in_a_sentence(
    served: Served, arguments: dict[str, Any], sentence: str
) -> None:
    said, worked = call(served, **arguments)
    assert not worked
    assert sentence in said


def test_a_picture_that_is_too_large_is_refused_and_fills_no_log(served: Served) -> None:
    large = {"name": "search", "arguments": {"picture": data_url(bytes(2 * 2**20))}}
    answer = post(served, "tools/call", large)
    assert answer.status_code == 413
    assert answer.json()["error"] == words.LARGE_REQUEST
    assert "Traceback" not in served.log


def test_requests_that_are_none_are_answered_and_fill_no_log(served: Served) -> None:
    before = len(served.log)
    for method in ("completion/complete", "initialize", "tools/call", "no such method"):
        assert "Invalid request parameters" in post(served, method, {}).text
    address = f"{served.address.rstrip('/')}/gradio_api/mcp/"
    for told in (
        {"method": "notifications/nothing", "params": {}},
        *({"id": 1, "result": {}}, {"id": 1, "error": {"code": 1, "message": "x"}}, {"id": "x"}),
    ):
        accept = {"accept": "application/json, text/event-stream"}
        answer = httpx.post(address, json={"jsonrpc": "2.0", **told}, headers=accept, timeout=60)
        assert answer.status_code in (202, 400)
    assert ask(served, "tools/list")["tools"]  # after which all of it has been looked at
    assert served.log[before:] == ""


def test_a_call_at_what_cannot_be_an_address_is_refused_and_waits_for_nothing(
    served: Served,
) -> None:
    asked = {"name": "search", "arguments": {"picture": data_url(PICTURE), "count": 1}}
    for headers in ({"host": "[v1.x]"}, {"x-forwarded-host": "999.1.1.1"}):
        answer = post(served, "tools/call", asked, **headers)
        assert (answer.status_code, answer.json()["error"]) == (400, words.NO_REQUEST)


def test_what_an_assistant_calls_a_tool_sets_up_no_terminal(served: Served) -> None:
    before = served.log
    for name in (
        "x\nLookalike is open at http://evil.example/",
        "\x1b[2J\x1b]0;evil\a",
        "x" * 9_000,
    ):
        asked = ask(served, "tools/call", name=name, arguments={})
        assert asked["isError"] is True
    assert served.log == before


def test_half_a_sign_is_answered_as_any_other_text(served: Served) -> None:
    before = served.log
    said, worked = call(served, picture="\udfff")
    assert (worked, "Invalid file data format" in said) == (False, True)
    said, worked = call(served, picture=data_url(PICTURE), collection="\ud800")
    assert not worked
    assert said.startswith(words.NO_COLLECTION)
    assert served.log == before


def test_where_the_disk_takes_no_picture_an_assistant_reads_so_and_no_path(served: Served) -> None:
    received = served.home / "received"
    aside = received.rename(served.home / "aside")
    received.write_bytes(b"")  # where a folder should be
    try:
        said, worked = call(served, picture=data_url(PICTURE + b" "))
    finally:
        received.unlink()
        aside.rename(received)
    assert not worked
    assert "What was sent" in said
    assert str(served.home) not in said
    assert "Errno" not in said


def test_pictures_of_assistants_take_no_more_room_than_temporary_files_may(served: Served) -> None:
    large = served.home / "received" / "large"
    with large.open("wb") as file:
        file.truncate(2 * 2**30)  # sparse: it takes no room
    asked = {"name": "search", "arguments": {"picture": data_url(PICTURE), "count": 1}}
    until = time.monotonic() + 60
    try:
        while (answer := post(served, "tools/call", asked)).status_code == 200:
            assert time.monotonic() < until  # what was found is not looked at again at once
            time.sleep(0.2)
    finally:
        large.unlink()
    assert (answer.status_code, answer.json()["error"]) == (507, words.NO_ROOM)
    while post(served, "tools/call", asked).status_code == 507:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_no_answer_tells_a_path_of_the_server_or_takes_one(served: Served) -> None:
    said = [
        call(served, picture=picture)[0]
        for picture in (
            data_url(PICTURE),
            data_url(b"no picture"),
            data_url(PICTURE, "image/../../../../from-an-assistant"),
            "file:///etc/hostname",
            "received/file.png",
            "data:",
        )
    ]
    said += [json.dumps(ask(served, f"{kind}/list")) for kind in ("tools", "resources", "prompts")]
    said.append(json.dumps(ask(served, "tools/call", name="on_load", arguments={})))
    for text in said:
        assert str(served.home.parent) not in text
        assert "Traceback" not in text
    assert not [path for path in served.home.parent.rglob("*from-an-assistant*")]
    hostile = call(served, picture=str(served.home / "app.log"))
    assert hostile[1] is False
    assert "Launching" not in hostile[0]


def test_an_assistant_that_keeps_cookies_searches_as_well(served: Served, visitor: Visitor) -> None:
    visitor.http.get("/")
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.http.cookies.items())
    assert cookies
    asked = {"name": "search", "arguments": {"picture": data_url(PICTURE), "count": 1}}
    answer = post(served, "tools/call", asked, cookie=cookies)
    assert "'picture': 'kind/180.png'" in answer.text


def test_no_page_is_laid_out_for_a_browser_that_comes_by(served: Served) -> None:
    script = "%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E"
    for path in (
        "mcp",
        "mcp/",
        "mcp/http",
        f"mcp/{script}/gradio_api/mcp",
        "mcp/sse",
        "mcp/x/http/",
    ):
        for accept in ("text/html", "*/*", "text/event-stream"):
            answer = httpx.get(f"{served.address}gradio_api/{path}", headers={"accept": accept})
            assert answer.status_code in (404, 405), path
            assert answer.headers["content-type"] == "application/json"
            assert "script" not in answer.text


def test_more_calls_of_tools_than_there_are_threads_keep_nobody_waiting(
    served: Served, visitor: Visitor
) -> None:
    asked = {"name": "search", "arguments": {"picture": data_url(PICTURE), "count": 1}}
    with ThreadPoolExecutor(48) as pool:
        calls = [pool.submit(post, served, "tools/call", asked) for _ in range(48)]
        assert visitor.search(visitor.send(PICTURE))["success"]
        answers = [call.result() for call in calls]
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["error"] == words.BUSY
        else:
            assert answer.status_code == 200
    assert sum("'picture': 'kind/180.png'" in answer.text for answer in answers) >= MAX_TOOLS


def test_an_assistant_sees_no_collection_of_a_visitor(served: Served, visitor: Visitor) -> None:
    visitor.add_pictures({"mine.png": encode(by_hue(33), "PNG")})
    (folder,) = (served.home / "visitors").glob("v-*")
    visitor.finish(folder.name)
    assert "mine.png" in str(visitor.search(visitor.send(PICTURE), 9))
    assert "mine.png" not in call(served, picture=data_url(PICTURE), count=9)[0]
    for called in (folder.name, "My photos"):
        said, worked = call(served, picture=data_url(PICTURE), collection=called)
        assert not worked
        assert said.startswith(words.NO_COLLECTION)
        assert "My photos" not in said

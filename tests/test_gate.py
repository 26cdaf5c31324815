"""The gate before Gradio, without Gradio behind it."""

import asyncio

import pytest

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.asgi import Message, Receive, Send
from retrieval.pages.gate import Gate
from retrieval.pages.handover import Handover
from retrieval.pages.interface import Hooks
from retrieval.pages.pace import Pace
from retrieval.pages.sessions import visitor_of_scope

BEHIND_A_PROXY = "10.0.0.1"


class Asked:
    """A request, and what it was answered."""

    def __init__(self, method: str, path: str, client: str, body: bytes = b"", **headers: str):
        raw = {"host": "space.example", **headers}
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "client": (client, 5),
            "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
        }
        self._body = [body] if body else []
        self.is_read = False
        self.status, self.kind, self.said = 0, b"", ""

    async def receive(self) -> Message:
        """Bring what there is of the body, and never the rest."""
        self.is_read = True
        if not self._body:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": self._body.pop(), "more_body": True}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.kind = dict(message["headers"])[b"content-type"]
        else:
            self.said += message["body"].decode()


async def nobody(scope: Message, receive: Receive, send: Send) -> None:
    """Take whatever gets past the gate."""


async def no_body() -> Message:
    """Bring a request that says nothing."""
    return {"type": "http.request", "body": b"{}"}


def gate(hooks: Hooks | None = None) -> Gate:
    return Gate(nobody, Handover(), Access(None, public=True), hooks)


def test_where_there_are_no_tools_no_call_of_one_is_read() -> None:
    for method in ("GET", "POST"):
        asked = Asked(method, "/gradio_api/mcp/", BEHIND_A_PROXY, bytes(100))
        asyncio.run(gate(Hooks(has_tools=False))(asked.scope, asked.receive, asked.send))
        assert (asked.status, asked.is_read) == (404, False)


def test_calls_of_tools_that_do_not_end_give_way_to_others() -> None:
    held = settings.ARRIVING_CALL_BYTES // settings.MAX_TOOL_BYTES
    body = bytes(settings.MAX_TOOL_BYTES)

    async def run() -> None:
        guard = gate()
        calls = [
            Asked("POST", "/gradio_api/mcp", BEHIND_A_PROXY, body, cookie=f"lookalike-{n:048x}")
            for n in range(held + 2)
        ]
        tasks = [asyncio.create_task(guard(call.scope, call.receive, call.send)) for call in calls]
        await asyncio.wait(tasks[:2], timeout=20)
        assert [call.status for call in calls] == [507, 507] + [0] * held
        assert words.NO_ROOM in calls[0].said
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


def test_a_strangers_calls_of_tools_leave_others_and_the_owner_room() -> None:
    async def held(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def run() -> None:
        guard = Gate(held, Handover(), Access(None, public=False))
        clients = ["9.8.7.6"] * 9 + ["7.7.7.7"] * 9 + ["127.0.0.1"] * 9 + [BEHIND_A_PROXY]
        calls = [Asked("POST", "/gradio_api/mcp", client, host="127.0.0.1") for client in clients]
        tasks = [asyncio.create_task(guard(call.scope, no_body, call.send)) for call in calls]
        await asyncio.sleep(0.2)
        told = [call.status for call in calls]
        assert told == ([0] * 4 + [429] * 5) * 2 + [0] * 8 + [429] + [429]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize("client", ["9.8.7.6", BEHIND_A_PROXY], ids=["address", "proxy"])
def test_who_makes_up_visitors_is_held_to_what_an_address_may_ask(client: str) -> None:
    guard, said = gate(), []
    # In no time, or a slow machine would let them have more meanwhile.
    guard.paces.requests_of_address = Pace(settings.ADDRESS_REQUESTS, clock=lambda: 0.0)
    for n in range(settings.ADDRESS_REQUESTS + 50):
        asked = Asked("POST", "/gradio_api/cancel", client, cookie=f"lookalike-{n:016x}={n:032x}")
        asyncio.run(guard(asked.scope, no_body, asked.send))
        said.append(asked.status)
    assert 429 not in said[: settings.ADDRESS_REQUESTS]
    assert said[settings.ADDRESS_REQUESTS :] == [429] * 50


@pytest.mark.parametrize(
    "body",
    [b'{"count": ' + b"9" * 5_000 + b"}", b"[" * 100_000, b"{"],
    ids=["a long number", "depth", "half"],
)
@pytest.mark.parametrize("path", ["/gradio_api/mcp", "/gradio_api/queue/join"])
def test_what_is_no_json_that_can_be_read_goes_no_further(path: str, body: bytes) -> None:
    asked = Asked("POST", path, BEHIND_A_PROXY)

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    asyncio.run(gate()(asked.scope, receive, asked.send))
    assert asked.status in (400, 413)


def test_of_an_upload_one_page_is_told_how_far_it_is() -> None:
    async def held(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def run() -> None:
        guard = Gate(held, Handover(), Access(None, public=True))
        asking = [Asked("GET", "/gradio_api/upload_progress", BEHIND_A_PROXY) for _ in range(3)]
        for asked in asking:
            asked.scope["query_string"] = b"upload_id=one"
        tasks = [asyncio.create_task(guard(one.scope, one.receive, one.send)) for one in asking]
        done, pending = await asyncio.wait(tasks, timeout=0.1)
        assert (done, [one.status for one in asking]) == ({*tasks[:2]}, [200, 200, 0])
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("client", "sentence"),
    [("9.8.7.6", words.TOO_OFTEN.split("{")[0]), (BEHIND_A_PROXY, words.BUSY)],
    ids=["one who asks too often", "one of many"],
)
def test_who_may_not_open_the_page_just_now_reads_why(
    monkeypatch: pytest.MonkeyPatch, client: str, sentence: str
) -> None:
    monkeypatch.setattr(settings, "VISITOR_REQUESTS", 3)
    monkeypatch.setattr(settings, "FIRST_OPENINGS", 3)

    async def run() -> Asked:
        guard = gate()
        for _ in range(4):
            last = Asked("GET", "/", client, accept="text/html,*/*;q=0.8")
            await guard(last.scope, last.receive, last.send)
        return last

    asked = asyncio.run(run())
    assert (asked.status, asked.kind) == (429, b"text/plain; charset=utf-8")
    assert asked.said.startswith(sentence)


OURS = f"lookalike-{1:016x}={2:032x}"


@pytest.mark.parametrize(
    ("cookies", "status"),
    [
        ([f"{OURS}; others={'x' * 16_000}"], 0),
        ([f"others={'x' * 16_000}; {OURS}"], 0),
        ([";" * 16_385], 431),
        (["x" * 9_000, "x" * 9_000], 431),
    ],
    ids=["before", "after", "too many", "in two parts"],
)
def test_cookies_of_others_are_read_along_up_to_a_bound(cookies: list[str], status: int) -> None:
    asked = Asked("GET", "/thumbnails/a/b.jpg", BEHIND_A_PROXY)
    brought = [(b"cookie", cookie.encode()) for cookie in cookies]
    asked.scope["headers"] = [(b"host", b"a.b"), *brought]
    asyncio.run(gate()(asked.scope, asked.receive, asked.send))
    assert asked.status == status
    assert (words.MANY_COOKIES in asked.said) is bool(status)
    assert status or visitor_of_scope(asked.scope) == f"{2:032x}"

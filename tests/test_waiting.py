"""What waits: each kind of work has room of its own, and answers that nobody fetches go."""

import asyncio
import json
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest

from retrieval import settings
from retrieval.pages import sessions, waiting, words
from retrieval.pages.asgi import Message
from retrieval.pages.waiting import IN_TURN, guard_queue

OWNER = 32 * "o"  # the owner's name, as the cookie has it
SINCE = f"{1:016x}"


def known_cookie(name: str) -> str:
    """Return the cookies of a visitor whose name is no made up one."""
    return f"lookalike-{SINCE}={name}; lookalike-known-{SINCE}={sessions._signed(SINCE, name)}"


class Served:
    """A page with something that takes long, and something that does not."""

    def __init__(self) -> None:
        guard_queue(lambda request: OWNER in request.headers.get("cookie", ""))
        with gr.Blocks() as app:
            said = gr.Textbox()
            gr.Button().click(self._take_long, api_name="slow", concurrency_limit=1)
            gr.Button().click(self._take_turns, api_name="save", concurrency_limit=1)
            gr.Button().click(lambda: "at once", None, said, api_name="quick")
            gr.Button().click(self._count, api_name="count")
            gr.Button().click(
                self._take_turns, api_name="turn", concurrency_id=IN_TURN, concurrency_limit=2
            )
            gr.Button().click(self._go_step_by_step, None, said, api_name="steps")
        app.queue(max_size=100)
        app.run_startup_events()
        self.queue = app._queue
        self.counted = self.steps = 0
        self.begun: list[str] = []  # the pages whose turn has come
        self.may_end: dict[str, threading.Event] = defaultdict(threading.Event)
        self.seconds = 0.5  # that the slow one takes, or less
        self.go_on = threading.Event()
        self.kept = app._queue.pending_messages_per_session
        self._numbers = {fn.api_name: fn._id for fn in app.fns.values()}
        self.app = app.app
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app.app), base_url="http://testserver/gradio_api"
        )

    def _take_long(self) -> None:
        self.go_on.wait(self.seconds)

    def _take_turns(self, request: gr.Request) -> None:
        page = str(request.session_hash)
        self.begun.append(page)
        assert self.may_end[page].wait(20)

    def _go_step_by_step(self) -> Iterator[str]:
        self.counted += 1  # how often it was begun
        for step in range(100):
            yield str(step)
            self.steps = step
            time.sleep(0.01)

    def _count(self) -> None:
        self.counted += 1

    async def join(self, name: str, page: str) -> int:
        """Ask for something as a page, and return the status."""
        return (await self._join(name, page, {})).status_code

    async def ask_as(self, visitor: str, *pages: str, name: str = "turn") -> list[int]:
        """Ask for a turn as a visitor, from some pages, and return the statuses."""
        cookie = {"cookie": known_cookie(visitor * 32)}
        return [(await self._join(name, page, cookie)).status_code for page in pages]

    async def number(self, name: str, page: str, number: int) -> str:
        """Ask for something that the page has given a number, and return by what name it goes."""
        answer = await self._join(name, page, {"x-lookalike-action": str(number)})
        return str(answer.json()["event_id"])

    async def _join(self, name: str, page: str, headers: dict[str, str]) -> httpx.Response:
        asked = {"data": [], "fn_index": self._numbers[name], "session_hash": page}
        return await self._http.post("queue/join", json=asked, headers=headers)

    async def cancel(self, name: str, page: str, times: int = 1) -> None:
        """Cancel the first thing that a page has asked for."""
        asked = {"fn_index": self._numbers[name], "session_hash": page}
        [event] = self.queue.pending_event_ids_session[page]
        for _ in range(times):
            answer = await self._http.post("cancel", json={**asked, "event_id": event})
            assert answer.json() == {"success": True}

    @asynccontextmanager
    async def broken_off(self, page: str) -> AsyncIterator[None]:
        """Tell a page what there is, and have its network fail when the block ends."""
        begun, gone = asyncio.Event(), asyncio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            begun.set()

        query = f"session_hash={page}".encode()
        asked = {"type": "http", "method": "GET", "path": "/gradio_api/queue/data", "headers": []}
        telling = asyncio.create_task(
            self.app({**asked, "query_string": query, "server": ("here", 80)}, receive, send)
        )
        await asyncio.wait_for(begun.wait(), 20)
        yield
        gone.set()
        await telling

    async def told(self, page: str) -> list[dict[str, Any]]:
        """Return what a page is told until it has been told all."""
        answer = await self._http.get("queue/data", params={"session_hash": page})
        lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]


async def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def test_what_takes_long_keeps_nobody_from_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MAX_QUEUE", 4)  # of which one visitor may have half

    async def run() -> None:
        served = Served()
        served.seconds = 60
        assert await served.join("slow", "at work") == 200
        await until(lambda: any(served.queue.active_jobs))
        statuses = [await served.join("slow", f"page-{n}") for n in range(5)]
        assert statuses == [200, 200, 503, 503, 503]
        assert await served.join("quick", "another") == 200
        assert (await served.told("another"))[-2]["output"]["data"] == ["at once"]
        served.go_on.set()

    asyncio.run(run())


def test_answers_that_nobody_fetches_are_dropped_and_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def run() -> None:
        served = Served()
        await served.join("quick", "gone")
        await served.join("quick", "late")
        await until(lambda: not any(answers.empty() for answers in served.kept.values()))
        now[0] = 0.5 * waiting.UNFETCHED_SECONDS
        assert (await served.told("late"))[-1]["msg"] == "close_stream"
        now[0] = 1.2 * waiting.UNFETCHED_SECONDS
        assert await served.join("quick", "late") == 200
        assert list(served.kept) == ["late"]
        assert (await served.told("late"))[-2]["output"]["data"] == ["at once"]

    asyncio.run(run())


def test_pages_that_give_way_to_others_stop_nothing() -> None:
    async def run() -> None:
        served = Served()
        served.kept.max_size = 20
        for n in range(4):
            assert await served.join("slow", f"page-{n}") == 200
        for n in range(22):
            assert await served.join("quick", f"another-{n}") == 200
        await asyncio.sleep(1.2)  # the next of the slow ones has begun, and its page is not kept
        assert await served.join("quick", "late") == 200
        assert (await served.told("late"))[-2]["output"]["data"] == ["at once"]

    asyncio.run(run())


def test_of_all_pages_the_one_that_last_asked_longest_ago_gives_way() -> None:
    async def run() -> None:
        served = Served()
        served.kept.max_size = 3
        for page in ("first", "second", "third", "first", "fourth"):
            assert await served.join("quick", page) == 200
        assert list(served.kept) == ["third", "first", "fourth"]

    asyncio.run(run())


def test_what_was_asked_for_by_pages_that_gave_way_is_kept_no_more() -> None:
    async def run() -> None:
        served = Served()
        served.kept.max_size = 3
        for n in range(5):
            assert await served.join("quick", f"page-{n}") == 200
        assert await served.join("quick", "page-4") == 200
        assert list(served.queue.pending_event_ids_session) == [f"page-{n}" for n in (2, 3, 4)]

    asyncio.run(run())


def heartbeats() -> int:
    """Return for how many pages Gradio has a heartbeat among what they are told."""
    tasks = (task.get_coro() for task in asyncio.all_tasks())
    return sum(getattr(coro, "__qualname__", "").endswith(".heartbeat") for coro in tasks)


def test_two_streams_of_a_page_that_both_break_off_leave_nothing() -> None:
    async def run() -> None:
        served = Served()
        await served.join("slow", "page")
        async with served.broken_off("page"), served.broken_off("page"):
            await until(lambda: heartbeats() == 2)
        await until(lambda: heartbeats() == 0)
        served.go_on.set()

    asyncio.run(run())


def test_who_asks_at_what_cannot_be_an_address_is_told_the_end_all_the_same() -> None:
    """Behind the gate, which lets none through: Gradio meets a fault before it can tell any."""

    async def run() -> None:
        served = Served()
        answer = await served._join("quick", "page", {"host": "[v1.x]"})
        assert answer.status_code == 200
        end = (await asyncio.wait_for(served.told("page"), 20))[-2]
        assert (end["msg"], end["success"]) == ("process_completed", False)
        assert end["output"]["error"] == words.WENT_WRONG

    asyncio.run(run())


def test_what_is_sent_again_because_its_answer_was_lost_is_done_once() -> None:
    async def run() -> None:
        served = Served()
        first = await served.number("count", "page", 1)
        await until(lambda: served.counted == 1)  # it is done, and waits to be fetched
        assert await served.number("count", "page", 1) == first
        second = await served.number("count", "page", 2)
        assert await served.number("count", "another", 1) not in (first, second)
        await served.told("another")
        ended = [told for told in await served.told("page") if told["msg"] == "process_completed"]
        assert [told["event_id"] for told in ended] == [first, second]
        assert served.counted == 3

    asyncio.run(run())


def test_what_was_told_or_stopped_before_it_is_sent_again_is_done_anew() -> None:
    async def run() -> None:
        served = Served()
        first = await served.number("count", "page", 1)
        await served.told("page")  # by a connection that may have been lost as well
        assert await served.number("count", "page", 1) != first
        await served.told("page")
        assert served.counted == 2
        stopped = await served.number("slow", "page", 2)
        await asyncio.sleep(0.1)
        await served.queue.clean_events(session_hash="page")
        assert await served.number("slow", "page", 2) != stopped

    asyncio.run(run())


def test_of_what_a_page_has_sent_only_the_last_few_are_known_again() -> None:
    async def run() -> None:
        served = Served()
        first = await served.number("count", "page", 0)
        for n in range(1, waiting.MOST_JOINED + 1):
            await served.number("count", "page", n)
        assert await served.number("count", "page", 0) != first
        assert len(served.kept["page"].joined) == waiting.MOST_JOINED

    asyncio.run(run())


def test_nothing_is_counted_for_a_page_that_nobody_sees() -> None:
    async def run() -> None:
        served = Served()
        for _ in range(3):
            assert await served.join("quick", "page") == 200
            assert (await served.told("page"))[-2]["output"]["data"] == ["at once"]
        assert len(served.queue.event_analytics) == 1
        assert served.queue.compute_analytics_summary([{"function": "quick"}]) == {"functions": {}}

    asyncio.run(run())


def test_a_visitor_waits_for_what_they_asked_for_themselves_and_nobody_else_does() -> None:
    async def run() -> None:
        served = Served()
        assert await served.ask_as("a", *(f"a{n}" for n in range(8))) == [200] * 8
        await until(lambda: served.begun == ["a0"])
        await served.ask_as("b", "b0")
        await until(lambda: served.begun == ["a0", "b0"])
        await served.ask_as("c", "c0")  # only two are at work
        await served.ask_as("o", "o0")  # beside the owner
        await until(lambda: served.begun == ["a0", "b0", "o0"])
        served.may_end["b0"].set()
        await until(lambda: len(served.begun) == 4)  # what begins with another may be seen first
        assert served.begun[3] == "c0"
        for page in ("a0", *(f"a{n}" for n in range(1, 8)), "o0", "c0"):
            served.may_end[page].set()
        await until(lambda: len(served.begun) == 11)
        assert [page for page in served.begun if page < "b"] == [f"a{n}" for n in range(8)]

    asyncio.run(run())


def test_whatever_is_done_one_at_a_time_is_taken_in_turn_too() -> None:
    async def run() -> None:
        served = Served()
        await served.ask_as("a", *(f"a{n}" for n in range(6)), name="save")
        await until(lambda: served.begun == ["a0"])
        await served.ask_as("b", "b0", name="save")
        await served.ask_as("o", "o0", name="save")
        await until(lambda: served.begun == ["a0", "o0"])  # beside it
        served.may_end["a0"].set()
        await until(lambda: served.begun == ["a0", "o0", "b0"])
        for page in ("o0", "b0", *(f"a{n}" for n in range(1, 6))):
            served.may_end[page].set()
        await until(lambda: len(served.begun) == 8)

    asyncio.run(run())


def test_one_visitor_fills_no_queue_and_visitors_not_the_owners(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "MAX_QUEUE", 10)

    async def run() -> None:
        served = Served()
        statuses = await served.ask_as("a", *(f"a{n}" for n in range(12)))
        assert statuses.count(200) in (8, 9)  # the first may have begun
        assert (await served.ask_as("b", "b0"), await served.ask_as("c", "c0")) == ([200], [200])
        await until(lambda: served.begun == ["a0", "b0"])
        statuses = await served.ask_as("d", *(f"d{n}" for n in range(8)))
        assert 503 in statuses
        assert await served.ask_as("o", "o0") == [200]
        await until(lambda: "o0" in served.begun)
        for page in [f"{visitor}{n}" for visitor in "abcdo" for n in range(12)]:
            served.may_end[page].set()
        await until(lambda: not served.queue.event_queue_per_concurrency_id[IN_TURN].queue)

    asyncio.run(run())


def test_what_is_cancelled_keeps_its_place_until_it_has_ended() -> None:
    async def run() -> None:
        served = Served()
        await served.ask_as("a", "a0", "a1", "a2")
        await until(lambda: served.begun == ["a0"])
        await served.cancel("turn", "a0")
        await served.cancel("turn", "a1")  # which waits, and is taken out
        for page in ("a0", "a1"):
            assert [said["msg"] for said in await served.told(page)][-2:] == [
                "process_completed",
                "close_stream",
            ]
        await asyncio.sleep(0.2)
        assert served.begun == ["a0"]
        for page in ("a0", "a2"):
            served.may_end[page].set()
        await until(lambda: served.begun == ["a0", "a2"])

    asyncio.run(run())


def test_what_was_cancelled_again_and_again_is_told_to_its_end_each_time() -> None:
    async def run() -> None:
        served = Served()
        await served.join("slow", "at work")
        await served.join("slow", "page")
        await served.cancel("slow", "page", times=3)
        for _ in range(2):
            assert (await served.told("page"))[-1]["msg"] == "close_stream"
            await served.queue.clean_events(session_hash="page")  # as when a stream breaks off
        served.go_on.set()

    asyncio.run(run())


def test_what_goes_step_by_step_ends_when_it_is_cancelled_and_is_not_begun_again() -> None:
    async def run() -> None:
        served = Served()
        await served.join("steps", "page")
        await until(lambda: served.steps > 2)
        await served.cancel("steps", "page")
        await until(lambda: not any(served.queue.active_jobs))
        assert (served.counted, served.steps < 50) == (1, True)

    asyncio.run(run())

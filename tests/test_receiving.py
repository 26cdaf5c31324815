"""Uploads to Gradio's route: what form they have, and how much of them is kept."""

import asyncio
import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from gradio import routes
from starlette.formparsers import MultiPartException

from retrieval import settings
from retrieval.pages import receiving, words
from retrieval.pages.asgi import Message, Receive, Send
from retrieval.pages.receiving import DONE, FORM, MAX_PROGRESS, Arriving, Room, Telling


def test_all_uploads_together_are_bounded_while_they_come() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(100), "more_body": True}

    async def come() -> None:
        arriving = Arriving(250)
        with arriving.counted(receive, 1_000, "one") as one:
            await one()
            with arriving.counted(receive, 1_000, "another") as another:
                await another()
                with pytest.raises(MultiPartException, match="Too many pictures"):
                    await another()
            await one()  # the other has made room
            with pytest.raises(MultiPartException, match="Too many pictures"):
                await one()
        with arriving.counted(receive, 150) as large:
            await large()
            with pytest.raises(MultiPartException, match=words.LARGE_REQUEST):
                await large()

    asyncio.run(come())


async def hundred() -> dict[str, Any]:
    return {"type": "http.request", "body": bytes(100), "more_body": True}


async def nothing() -> dict[str, Any]:
    await asyncio.sleep(60)
    raise AssertionError("waited for to the end")


@pytest.mark.parametrize("address", ["9.8.7.6", ""], ids=["an address", "a visitor"])
def test_uploads_that_do_not_end_give_way_to_others(address: str) -> None:
    async def run() -> None:
        arriving, pieces = Arriving(550), [hundred() for _ in range(5)]

        async def once_then_nothing() -> dict[str, Any]:
            return await (pieces.pop() if pieces else nothing())

        with ExitStack() as held:
            slow = [
                held.enter_context(
                    arriving.counted(
                        once_then_nothing, 1_000, f"made up {n}" if address else "slow", address
                    )
                )
                for n in range(5)
            ]
            for receive in slow:
                await receive()
            waiting = asyncio.ensure_future(slow[0]())
            with arriving.counted(hundred, 1_000, "another", "1.2.3.4") as another:
                assert len((await another())["body"]) == 100
                with pytest.raises(MultiPartException, match="Too many pictures"):
                    await asyncio.wait_for(waiting, 5)
                assert len((await another())["body"]) == 100

    asyncio.run(run())


@pytest.mark.parametrize(
    ("visitors", "address", "most"),
    [
        (["me"] * 60, "", settings.UPLOADS_OPEN),
        ([f"made up {n}" for n in range(60)], "9.8.7.6", settings.UPLOADS_OPEN_AT_ONE_ADDRESS),
        ([""] * 60, "", 60),
        ([f"visitor {n}" for n in range(60)], "", 60),
    ],
    ids=["a visitor", "an address", "programs behind a proxy", "visitors behind a proxy"],
)
def test_of_so_many_uploads_of_one_the_newest_are_taken(
    visitors: list[str], address: str, most: int
) -> None:
    async def run() -> None:
        arriving, taken = Arriving(settings.ARRIVING_BYTES), []
        with ExitStack() as held:
            coming = [
                held.enter_context(arriving.counted(hundred, 1_000, visitor, address))
                for visitor in visitors
            ]
            for number, receive in enumerate(coming):
                with suppress(MultiPartException):
                    await receive()
                    taken.append(number)
        assert taken == list(range(60 - most, 60))

    asyncio.run(run())


def test_the_oldest_of_a_visitor_may_be_that_of_an_address_as_well() -> None:
    arriving = Arriving(settings.ARRIVING_BYTES)
    mine, others = settings.UPLOADS_OPEN, settings.UPLOADS_OPEN_AT_ONE_ADDRESS
    visitors = ["me"] * mine + [f"visitor {n}" for n in range(others - mine)] + ["me"]
    with ExitStack() as held:
        for visitor in visitors:
            held.enter_context(arriving.counted(hundred, 1_000, visitor, "9.8.7.6"))
        assert len(arriving._coming) == others
    assert not arriving._coming


def test_of_too_many_uploads_the_slowest_gives_way_and_none_that_has_just_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(receiving.time, "monotonic", lambda: now)

    async def run() -> None:
        nonlocal now
        arriving, sent = Arriving(settings.ARRIVING_BYTES, most_at_once=3), {1: 5, 2: 1, 3: 4}
        with ExitStack() as held:
            old = {n: held.enter_context(arriving.counted(hundred, 1_000)) for n in sent}
            for number, pieces in sent.items():
                for _ in range(pieces):
                    await old[number]()
            now += receiving.SLOW_AFTER + 1
            young = held.enter_context(arriving.counted(hundred, 1_000))
            with pytest.raises(MultiPartException, match="Too many pictures"):
                await old[2]()
            held.enter_context(arriving.counted(hundred, 1_000))
            with pytest.raises(MultiPartException, match="Too many pictures"):
                await old[3]()
            for receive in (old[1], young):
                await receive()
        assert (arriving._coming, arriving._bytes) == ({}, 0)

    asyncio.run(run())


def test_many_who_come_at_once_have_one_look_for_room_made() -> None:
    looks = []

    def look() -> bool:
        time.sleep(0.05)
        looks.append(len(looks) == 0)
        return looks[-1]

    async def run() -> None:
        room = Room(look)
        assert await asyncio.gather(*(room.has_room() for _ in range(200))) == [True] * 200
        assert looks == [True]
        await asyncio.sleep(receiving.LOOKS_PAUSE * 0.05 + 0.5)  # for a slow machine's look
        while await room.has_room():
            await asyncio.sleep(0.1)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_how_far_uploads_are_is_forgotten_after_so_many_others() -> None:
    arriving = Arriving(settings.ARRIVING_BYTES)
    progress = routes.file_upload_statuses
    for number in range(MAX_PROGRESS + 5):
        name = f"upload-{number}"
        progress.track(name)  # as Gradio does
        arriving.note_progress(name)
    known = [name for name in progress._statuses if name.startswith("upload-")]
    assert len(known) == MAX_PROGRESS
    assert "upload-0" not in progress._signals
    for name in known:
        progress.stop_tracking(name)


def told_of(*asking: str, begins: bool = True) -> dict[int, tuple[list[str], str]]:
    """Ask one after another ("VISITOR UPLOAD") how far uploads are that get no further.

    Args:
        begins: whether the answers begin, as soon as there are such uploads.

    Returns:
        Of those that ended, by their number: the kinds of messages that came, and what they said.
    """
    telling, came = Telling(most=10), [([], []) for _ in asking]

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(60)

    async def run() -> dict[int, tuple[list[str], str]]:
        tasks = []
        for one, (kinds, said) in zip(asking, came, strict=True):
            visitor, _, upload = one.rpartition(" ")

            async def send(message: Message, kinds: Any = kinds, said: Any = said) -> None:
                kinds.append(message["type"].rpartition(".")[2])
                said.append(message.get("body", b"").decode())

            told = telling.tell(app, {}, nothing, send, visitor, upload)
            tasks.append(asyncio.create_task(told, name=str(len(tasks))))
            await asyncio.sleep(0)
        done, pending = await asyncio.wait(tasks, timeout=0.05)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        numbers = sorted(int(task.get_name()) for task in done if task.result() is None)
        return {number: (came[number][0], "".join(came[number][1])) for number in numbers}

    ended = asyncio.run(run())
    assert not telling._told
    return ended


WHOLE = (["start", "body"], DONE.decode())


@pytest.mark.parametrize("begins", [True, False], ids=["an upload", "none of that name"])
@pytest.mark.parametrize(
    ("asking", "ended"),
    [
        (["a x", "b x", " y", " y"], {0, 2}),
        ([f"me {n}" for n in range(settings.UPLOADS_OPEN + 2)], {0, 1}),
        ([f" {n}" for n in range(12)], {0, 1}),
        ([f"{n} {n}" for n in range(11)], {0}),
    ],
    ids=["of one upload", "of a visitor", "of programs", "of all"],
)
def test_of_pages_that_are_told_how_far_uploads_are_the_newest_remain(
    asking: list[str], ended: set[int], begins: bool
) -> None:
    assert told_of(*asking, begins=begins) == dict.fromkeys(ended, WHOLE)


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("multipart/form-data; boundary=----WebKitFormBoundaryAbc123", True),
        ("multipart/form-data; boundary=---------------------------123", True),
        ("multipart/form-data;boundary=0123456789abcdef", True),
        ('multipart/form-data; boundary="a b"', True),
        ("multipart/form-data; boundary=x; charset=punycode", False),
        ("multipart/form-data; charset=punycode; boundary=x", False),
        ("multipart/form-data; boundary=", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_a_form_names_its_boundary_and_no_character_set(kind: str, taken: bool) -> None:
    assert bool(FORM.fullmatch(kind)) is taken

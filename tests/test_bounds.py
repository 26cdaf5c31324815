"""What a public page bears: how often a visitor may ask, how many may wait, how much is kept."""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

from retrieval.collection import Collection
from retrieval.pages import words
from tests.bench_load import crowd, report_on
from tests.made import encode, pattern, save_patterns
from tests.serving import Served, serving
from tests.visitor import Visitor

REQUESTS = 40  # a minute


@pytest.fixture(scope="module")
def served(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Path]]:
    """A public page with patterns, on which one may ask 40 times a minute."""
    pictures = save_patterns(tmp_path_factory.mktemp("pictures"), 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKALIKE_REQUESTS", str(REQUESTS))
        with serving(tiny_model, pictures, tmp_path_factory.mktemp("home"), True) as served:
            yield served, pictures


def test_who_asks_too_often_is_told_how_long_to_wait_and_others_go_on(
    served: tuple[Served, Path],
) -> None:
    address = served[0].address
    hasty, calm = Visitor(address), Visitor(address)
    data = encode(pattern("dots", 1), "PNG")
    picture = hasty.send(data)

    def ask() -> httpx.Response:
        hasty.session = secrets.token_hex(6)  # one page would not be answered for so long
        return hasty.join("search", [picture, 1, ""])

    answers = (ask() for _ in range(20 * REQUESTS))
    # On a busy machine as many of one may wait as do, and the queue says so (503).
    refused = next(answer for answer in answers if answer.status_code not in (200, 503))
    assert refused.status_code == 429
    assert "a lot at once. Wait" in refused.json()["detail"]
    assert calm.search(calm.send(data))["success"]
    hasty.close()
    calm.close()


def test_who_fetches_too_much_of_what_is_computed_is_told_so_and_others_go_on(
    served: tuple[Served, Path],
) -> None:
    """Here all have one address, as behind a proxy."""
    address = served[0].address
    key = served[1].name

    def fetch(path: str, name: str) -> httpx.Response:
        cookie = {"cookie": f"lookalike-{'0' * 16}={name}"}
        return httpx.get(f"{address.rstrip('/')}/{path}", headers=cookie, timeout=60)

    hasty, calm = secrets.token_hex(16), secrets.token_hex(16)
    for path in (f"bundles/{key}.lookalike", f"copies/{key}.csv", f"maps/{key}/{'0' * 32}.json"):
        answers = (fetch(path, hasty) for _ in range(REQUESTS))
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert "a lot at once. Wait" in refused.json()["detail"]
        assert fetch(path, calm).status_code != 429
    # A page with hundreds of small pictures is never told so.
    with Collection(served[0].home / "collections" / key) as collection:
        sha256 = collection.listing.pictures()[0].sha256
    small = {
        fetch(f"thumbnails/{key}/{sha256}.jpg", hasty).status_code for _ in range(5 * REQUESTS)
    }
    assert small == {200}


def test_a_program_that_asks_too_often_keeps_no_other_from_searching(
    served: tuple[Served, Path],
) -> None:
    patience = {"timeout": 60}
    hasty, calm = (
        Client(served[0].address, verbose=False, httpx_kwargs=patience) for _ in range(2)
    )
    path = served[0].home / "asked.png"
    path.write_bytes(encode(pattern("dots", 3), "PNG"))

    def search(client: Client, times: int) -> list[int]:
        asked = (handle_file(path), 1, "")
        return [len(client.predict(*asked, api_name="/search")) for _ in range(times)]

    with pytest.raises(httpx.HTTPStatusError, match="429"):
        search(hasty, 20 * REQUESTS)
    assert search(calm, 1) == [1]
    hasty.close()
    calm.close()


def test_temporary_files_take_no_more_room_than_they_may_and_the_oldest_give_way(
    served: tuple[Served, Path],
) -> None:
    visitor = Visitor(served[0].address)
    received = served[0].home / "received"
    received.mkdir(exist_ok=True)
    large = received / "large"
    with large.open("wb") as file:
        file.truncate(2 * 2**30)  # sparse: it takes no room
    data = encode(pattern("dots", 2), "PNG")
    with pytest.raises(httpx.HTTPStatusError, match="507") as refused:
        visitor.send(data)
    assert refused.value.response.text == words.NO_ROOM
    # What nobody can still be waiting for gives way.
    long_ago = time.time() - 120
    os.utime(large, (long_ago, long_ago))
    until = time.monotonic() + 60
    while True:  # what was found is not looked at again at once
        try:
            sent = visitor.send(data)
            break
        except httpx.HTTPStatusError:
            assert time.monotonic() < until
            time.sleep(0.2)
    assert visitor.search(sent)["success"]
    assert not large.exists()
    visitor.close()


def test_several_search_at_once_and_each_gets_an_answer_of_their_own(
    served: tuple[Served, Path],
) -> None:
    running, root = served
    pictures = {
        path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.jpg"))
    }
    report = report_on(running.address, running.process, pictures, 6, 4.0, rush=12, rush_seconds=2)
    assert report.wrong == {}
    assert report.rush_wrong == {}
    assert report.recovered
    assert report.searches >= 6
    assert 0 < report.p50_ms <= report.p99_ms


def test_more_than_may_wait_are_refused_in_words(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = save_patterns(tmp_path / "pictures", 2)
    monkeypatch.setenv("LOOKALIKE_QUEUE", "2")
    (tmp_path / "home").mkdir()
    with serving(tiny_model, pictures, tmp_path / "home", True) as running:
        files = {
            path.relative_to(pictures).as_posix(): path.read_bytes()
            for path in sorted(pictures.rglob("*.jpg"))
        }
        tally = crowd(running.address, files, 12, 3.0)
        assert tally.wrong == {}
        assert len(tally.answered) > 0
        assert set(tally.refused) == {words.BUSY}


def test_who_hangs_up_in_the_middle_of_an_upload_leaves_nothing(
    served: tuple[Served, Path],
) -> None:
    running = served[0]

    def received() -> list[tuple[str, list[str], list[str]]]:
        """Return what is there; what goes meanwhile is no error."""
        return sorted(os.walk(running.home / "received"))

    before = received()
    host, port = running.address.removeprefix("http://").rstrip("/").split(":")
    head = (
        "POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="files"; filename="half.jpg"\r\n\r\n'
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + bytes(300_000))
        until = time.monotonic() + 60
        while received() == before:
            assert time.monotonic() < until, "the upload never began"
            time.sleep(0.02)
    until = time.monotonic() + 60
    while received() != before:
        assert time.monotonic() < until, "what had come is still there"
        time.sleep(0.02)
    assert "Traceback" not in running.log

"""Pictures that are sent: uploads, and web addresses, which other servers may be slow to answer."""

import threading
from pathlib import Path

import pytest
from starlette.requests import Request

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.pages import handover, words
from retrieval.pages.access import Access
from retrieval.pages.handover import Handover

ADDRESS = "https://example.org/cat.jpg"


def asked_from(client: str) -> Request:
    headers = [(b"host", b"localhost")]
    return Request({"type": "http", "headers": headers, "client": (client, 5), "path": "/"})


def test_one_web_address_of_strangers_is_waited_for_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, end = threading.Event(), threading.Event()

    def slowly(*_: object) -> bytes:
        begun.set()
        end.wait(20)
        return b"picture"

    monkeypatch.setattr(settings, "FETCH_FOR_VISITORS", True)
    monkeypatch.setattr(handover, "fetch_picture", slowly)
    access, pictures = Access(None, public=False), list[bytes]()
    stranger, owner = asked_from("9.8.7.6"), asked_from("127.0.0.1")
    asked = Handover()
    first = threading.Thread(
        target=lambda: pictures.append(asked.read_picture(ADDRESS, stranger, access))
    )
    first.start()
    begun.wait(20)
    with pytest.raises(LookalikeError, match=words.BUSY):
        asked.read_picture(ADDRESS, stranger, access)
    end.set()
    assert asked.read_picture(ADDRESS, owner, access) == b"picture"
    first.join()
    assert asked.read_picture(ADDRESS, stranger, access) == pictures[0] == b"picture"


def test_who_offers_much_pushes_out_their_own_and_no_other_visitors(tmp_path: Path) -> None:
    picture = tmp_path / "cat.jpg"
    picture.touch()
    offered = Handover(most=5, of_one=2)
    others = offered.offer(picture, "other")
    first, second, third = (offered.offer(picture, "me") for _ in range(3))
    assert offered.find(others, "other") == picture
    assert [offered.find(name, "me") for name in (second, third)] == [picture] * 2
    with pytest.raises(LookalikeError, match=words.NOT_SENT):
        offered.find(first, "me")


def test_the_oldest_is_forgotten_when_all_offer_too_much(tmp_path: Path) -> None:
    picture = tmp_path / "cat.jpg"
    picture.touch()
    offered = Handover(most=3, of_one=2)
    first, *later = (offered.offer(picture, f"visitor {number}") for number in range(4))
    with pytest.raises(LookalikeError, match=words.NOT_SENT):
        offered.find(first, "visitor 0")
    for number, name in enumerate(later, 1):
        assert offered.find(name, f"visitor {number}") == picture

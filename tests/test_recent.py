"""Uploads that outlive their page: for their browser, for a while, and so many bytes."""

from dataclasses import replace

from retrieval.pages.asking import KEPT_UPLOADS, Part
from retrieval.pages.recent import RecentUploads

UPLOAD = Part("your picture", token="aa", jpeg=b"1234")


def tokens(recent: RecentUploads, visitor: str) -> str:
    return "".join(token for token in "abcdefgh" if recent.find(visitor, token))


def test_a_browser_gets_its_own_and_who_has_no_name_gets_none() -> None:
    recent = RecentUploads()
    recent.keep("anna", UPLOAD)
    recent.keep("", UPLOAD)
    assert recent.find("anna", "aa") == UPLOAD
    assert recent.find("anna", "bb") is recent.find("ben", "aa") is recent.find("", "aa") is None


def test_they_are_forgotten_after_a_while() -> None:
    recent = RecentUploads(seconds=-1)
    recent.keep("anna", UPLOAD)
    assert recent.find("anna", "aa") is None


def test_of_one_browser_a_few_are_kept_those_sent_last() -> None:
    recent = RecentUploads()
    recent.keep("ben", replace(UPLOAD, token="a"))
    for token in "abcdef":
        recent.keep("anna", replace(UPLOAD, token=token))
    assert KEPT_UPLOADS == 6
    assert recent.find("anna", "a")  # it is in use, and so none of the oldest
    recent.keep("anna", replace(UPLOAD, token="g"))
    assert (tokens(recent, "anna"), tokens(recent, "ben")) == ("acdefg", "a")


def test_of_all_browsers_the_oldest_make_room() -> None:
    recent = RecentUploads(most_bytes=10)
    for visitor in ("anna", "ben", "cleo"):
        recent.keep(visitor, replace(UPLOAD, token="a"))
    assert [tokens(recent, visitor) for visitor in ("anna", "ben", "cleo")] == ["", "a", "a"]

"""A query and its options stand in the address, and come back from it."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from retrieval.embedding import Aspects
from retrieval.errors import LookalikeError
from retrieval.pages import visiting
from retrieval.pages.asking import (
    KEPT_UPLOADS,
    MOST_PARTS,
    Address,
    Asked,
    Options,
    Part,
    Wish,
    bounded_box,
    read_address,
    read_megapixels,
    write_address,
    write_megapixels,
)
from retrieval.pages.search_options import SearchOptions
from retrieval.pages.search_page import MOST_ADDRESS
from retrieval.query import Filters, Weights

ASPECTS = Aspects(*(np.ones((1, 1), np.float32) for _ in range(3)))
CAT = Part("cat.jpg", aspects=ASPECTS, placed=("pets", 3))
DOG = Part("dog.jpg", aspects=ASPECTS, wanted=False, placed=("pets", 4))
UPLOAD = Part("Your picture", aspects=ASPECTS, token="abc123", crop=(0.1, 0.2, 0.5, 1.0))

ALL = Options(
    "pets",
    48,
    Weights(1, 0.5, 0),
    Filters("cats & dogs", "trips/Köln", "portrait", 2.5, "2024-01-01", "2024-12-31", "50 % grün"),
    "newest",
    "never",
)


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        ((), Options()),
        ((CAT,), Options("pets")),
        ((UPLOAD, DOG, CAT), Options(weights=Weights(0, 1, 0))),
        ((CAT, replace(UPLOAD, quarters=3, crop=None)), Options()),
        ((CAT, replace(UPLOAD, quarters=1)), ALL),
    ],
    ids=["nothing", "a picture", "several in their order", "turned", "everything"],
)
def test_an_address_brings_back_what_was_asked(parts: tuple[Part, ...], options: Options) -> None:
    address = read_address(write_address(Asked(parts), options))
    assert address == Address(wishes_of(parts), options, of_all=not options.choice)


def wishes_of(parts: tuple[Part, ...]) -> tuple[Wish, ...]:
    return tuple(
        Wish(part.placed, part.wanted, part.token, part.quarters, part.crop) for part in parts
    )


@pytest.mark.parametrize(
    "query",
    [
        "match=1-0.0000001-0",
        "match=0.0000001-0-0",
        "match=nan-nan-nan",
        "match=inf-0-0",
        f"like=pets:{'9' * 5_000}",
        "like=pets:99999999999999999999",
    ],
)
def test_an_address_that_somebody_has_made_up_is_no_error(query: str) -> None:
    address = read_address(f"?in=pets&{query}")
    assert address.parts == ()
    assert address.options == Options("pets")


def test_an_address_tells_all_collections_from_none_named() -> None:
    everywhere = Options(filters=Filters(label="dog"))
    assert read_address(write_address(Asked(), everywhere)).of_all
    assert read_address("?label=dog") == Address((), everywhere)


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("31.12.2024", "2024-12-31"),
        ("2024/7/3", "2024-07-03"),
        ("0212", "0212"),
        ("hello", ""),
        ("2024-13", ""),
        ("2024-07-31T12:00", ""),
    ],
)
def test_a_date_in_a_link_is_read_as_one_in_its_field(written: str, understood: str) -> None:
    filters = read_address(f"?since={written}&until={written}").options.filters
    assert (filters.since, filters.until) == (understood, understood)


@pytest.mark.parametrize(
    ("written", "megapixels"),
    [
        *(
            (written, 2.5)
            for written in ("2.5", "2,5", " 2.50 ", "2.5 MP", "2,5mp", "2.5 megapixels")
        ),
        *((written, 2) for written in ("2", "2.", "2 Mpx", "02", "2 megapixel")),
        *((written, 0.5) for written in (".5", ",5", "0.5")),
        *((written, 0) for written in ("", "  ", "0", None)),
        *((written, None) for written in ("-5", "e", "1e999", "nan", "inf", "two", "MP", ".", "½")),
        *((written, None) for written in ("1.000,5", "1 000", "2.5 MB", "1000000", "9" * 10**6)),
        ("0.00001", 0.00001),
        ("999999.9999991", 999999.999999),
    ],
)
def test_a_size_is_read_as_people_write_it_or_is_none(
    written: str | None, megapixels: float | None
) -> None:
    assert read_megapixels(written) == megapixels
    if megapixels:
        assert read_megapixels(write_megapixels(megapixels)) == megapixels
        address = write_address(Asked(), Options(filters=Filters(megapixels=megapixels)))
        assert read_address(address).options.filters.megapixels == megapixels


def test_a_query_has_so_many_pictures_that_its_address_brings_all_of_them_back() -> None:
    asked = Asked().only(UPLOAD)
    longest = "圖" * 60
    for number in range(1, MOST_PARTS):
        asked = asked.adding(Part("", placed=(longest, number)))
    with pytest.raises(LookalikeError, match="Take one away"):
        asked.adding(Part("", placed=(longest, MOST_PARTS)))
    # What is asked with already may be wished for otherwise, and the upload be cropped.
    asked = asked.adding(Part("", wanted=False, placed=(longest, 1)))
    asked = asked.adding(replace(UPLOAD, crop=None))
    address = write_address(asked, replace(ALL, choice=longest))
    assert len(address) < MOST_ADDRESS
    assert read_address(address) == Address(wishes_of(asked.parts), replace(ALL, choice=longest))


def test_of_a_link_with_too_many_pictures_the_first_count_and_everything_else() -> None:
    likes = "&".join(f"like=a:{number}" for number in range(1000))
    address = read_address(f"?in=pets&{likes}&n=48")
    assert address.options == Options("pets", 48)
    assert [wish.placed for wish in address.parts] == [("a", i) for i in range(MOST_PARTS)]


@pytest.mark.parametrize(
    "query",
    [
        "?like=pets",
        "?like=pets:x&unlike=:&crop=0-0-1-1&turn=1",
        "?n=many&match=2-0-0&mp=inf&shape=round&order=best&clean=maybe",
        "?match=0-0-0&n=nan",
        "?since=hello&until=31.13.2024&upload=&crop=&n=",
        "?%ff%fe=%00",
        "?__theme=dark",
    ],
    ids=["no id", "broken", "nonsense", "nothing counts", "no dates", "no text", "Gradio's own"],
)
def test_what_makes_no_sense_in_a_link_is_left_out(query: str) -> None:
    address = read_address(query)
    assert address.options == Options()
    assert address.parts == ()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-1, 0.5, 2, 0.75), (0, 0.5, 1, 0.75)),
        ((0.5, 0.5, 0.505, 1), None),
        ((0.8, 0, 0.2, 1), None),
    ],
    ids=["beyond the edges", "a line", "inside out"],
)
def test_a_box_is_brought_into_the_picture(
    box: tuple[float, ...], expected: tuple[float, ...] | None
) -> None:
    assert bounded_box(box) == expected


@pytest.mark.parametrize("turn", ["", "0", "4", "-1", "1.0", "one", "\u0661"])
def test_a_turn_in_a_link_that_is_none_is_left_out(turn: str) -> None:
    (wish,) = read_address(f"?upload=abc123&turn={turn}&crop=0.1-0.2-0.5-1").parts
    assert wish == Wish(token="abc123", crop=UPLOAD.crop)


def test_a_picture_is_wanted_or_not_but_not_both_and_keeps_its_place() -> None:
    unwanted = Part("cat.jpg", aspects=ASPECTS, wanted=False, placed=("pets", 3))
    asked = Asked().only(CAT).adding(DOG).adding(unwanted)
    assert [(part.name, part.wanted) for part in asked.parts] == [
        ("cat.jpg", False),
        ("dog.jpg", False),
    ]


def test_an_upload_that_is_turned_or_cut_keeps_its_place_and_is_kept_once() -> None:
    asked = Asked().only(CAT).adding(UPLOAD).adding(DOG)
    for quarters in (1, 2, 3, 0, 1):
        asked = asked.adding(replace(UPLOAD, quarters=quarters))
    turned = replace(UPLOAD, quarters=1)
    assert (asked.parts, asked.uploads) == ((CAT, turned, DOG), (turned,))


def test_the_latest_uploads_are_kept_for_the_back_button() -> None:
    asked = Asked()
    for number in range(KEPT_UPLOADS + 3):
        asked = asked.only(Part("Your picture", token=f"upload {number}"))
    asked = asked.emptied()
    assert asked.parts == ()
    assert [part.token for part in asked.uploads] == [
        f"upload {number}" for number in range(KEPT_UPLOADS + 2, 2, -1)
    ]


CONTROLS = (
    *("choice", "label", "folder", "subject", "colour", "texture", "shape", "count"),
    *("megapixels", "since", "until", "words", "order", "cleaning"),
)


@pytest.fixture
def options() -> SearchOptions:
    """Those of a page, whose controls are only keys here."""
    made = object.__new__(SearchOptions)
    vars(made).update({"choice": "choice", **{f"_{name}": name for name in CONTROLS}})
    return made


@pytest.mark.parametrize(
    "junk", ["x", [], {}, True, -1, 0.5, 10**400, 1e400, -1e400, float("nan"), {"path": "/x"}]
)
def test_what_only_a_program_sends_for_the_options_is_read_as_something(
    options: SearchOptions, junk: object
) -> None:
    read = options.read(dict.fromkeys(CONTROLS, junk))
    assert 0 <= read.weights.total <= 3
    assert 0 <= read.filters.megapixels < math.inf
    assert read == options.read(dict.fromkeys(CONTROLS, junk))  # and nothing of it is a NaN


def test_of_a_made_up_kind_a_page_keeps_little(options: SearchOptions) -> None:
    read = options.read(dict.fromkeys(CONTROLS) | dict.fromkeys(CONTROLS[:3], "x" * 10**6))
    assert {len(read.choice), len(read.filters.label), len(read.filters.folder)} == {5_000}


@pytest.mark.parametrize(
    ("query", "here", "leads_to"),
    [
        ("?in=gone", ["corel"], "corel"),
        ("?in=gone&like=gone:3", ["corel"], "corel"),
        ("?in=gone", ["corel", "mine"], ""),
        ("?in=gone", [], ""),
        ("?in=", ["corel"], ""),  # one that comes later is to be among them
        ("?in=corel", ["corel", "mine"], "corel"),
    ],
)
def test_an_address_of_a_collection_that_has_gone_leads_to_the_only_other_one(
    query: str, here: list[str], leads_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visiting, "warn", lambda error: None)  # there is no page to be told
    shelf: Any = SimpleNamespace(
        keys=lambda visitor: here, names=lambda visitor: {key: key.title() for key in here}
    )
    visits = visiting.Visits(shelf, *[cast(Any, None)] * 2)
    assert visits.follow(read_address(query), "anybody")[1].choice == leads_to

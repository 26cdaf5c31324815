"""The pages as their handlers answer a browser, without one."""

import asyncio
import base64
import inspect
import io
import json
import re
import shutil
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import gradio as gr
import gradio.routes
import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request

from retrieval import captions, indexing, settings, sheets
from retrieval.building import Building
from retrieval.changes import Changes
from retrieval.collection import Collection
from retrieval.errors import COLLECTION_GONE
from retrieval.pages import results_markup, words
from retrieval.pages.access import Access
from retrieval.pages.asking import Options
from retrieval.pages.conversation import Conversation, Step
from retrieval.pages.desk import Desk, Opened
from retrieval.pages.handover import Handover
from retrieval.pages.library_page import LibraryPage
from retrieval.pages.search_page import SearchPage
from retrieval.pages.server import Unremembered, make_library
from retrieval.pages.waiting import guard_queue
from retrieval.removed import taken_out
from retrieval.schema import DATABASE, ORIGINALS
from retrieval.search import GONE
from retrieval.workspace import Workspace
from tests.made import by_hue, encode, pattern, save_hues
from tests.serving import Served, serving
from tests.visitor import Visitor


@pytest.fixture(scope="module")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An app of an owner with one collection."""
    home = tmp_path_factory.mktemp("home")
    pictures = save_hues(home / "wheel", {"warm/red.png": 0, "warm/gold.png": 50})
    with serving(tiny_model, pictures, home, public=False) as served:
        yield served


def answer(visitor: Visitor, name: str, event: Any = None, **given: Any) -> dict[str, Any]:
    """Return what an event sets, by `elem_id` or label: the properties, or the value alone."""
    said = visitor.outcome(name, visitor.filled(name, **given), event)
    assert said["success"], said
    dependency = next(d for d in visitor.config["dependencies"] if d["api_name"] == name)
    return dict(zip(outputs(visitor, dependency), said["output"]["data"], strict=True))


def outputs(visitor: Visitor, dependency: dict[str, Any]) -> list[str | None]:
    components = {c["id"]: c["props"] for c in visitor.config["components"]}
    props = [components[id_] for id_ in dependency["outputs"]]
    return [prop.get("elem_id") or prop.get("label") for prop in props]


def add(visitor: Visitor, *files: str) -> str:
    """Make a collection of pictures of about one colour, and return its key."""
    before = keys(visitor)
    visitor.add_pictures({name: encode(by_hue(120 + i), "PNG") for i, name in enumerate(files)})
    (key,) = keys(visitor) - before
    visitor.finish(key)
    return key


def keys(visitor: Visitor) -> set[str]:
    return {key for _, key in answer(visitor, "on_load")["collection"]["choices"]} - {""}


def kinds(set_: dict[str, Any]) -> list[str]:
    return [value for _, value in set_["Kind"]["choices"]]


def test_the_kinds_are_those_of_what_is_searched_also_of_pictures_that_came_later(
    visitor: Visitor,
) -> None:
    assert kinds(answer(visitor, "on_load")) == ["", "warm"]
    key = add(visitor, "Leaves/green/a.png", "Leaves/pale/b.png")
    shown = answer(visitor, "on_return", collection="")
    assert kinds(shown) == ["", "green", "pale", "warm"]
    assert kinds(answer(visitor, "on_choice", collection=key)) == ["", "green", "pale"]


def test_a_tab_that_is_opened_while_the_page_fills_leaves_the_collection_alone(
    visitor: Visitor,
) -> None:
    first = answer(visitor, "on_load")["collection"]["value"]
    assert first
    # What Gradio sends then is what stood in the page before the answer had come.
    assert "value" not in answer(visitor, "on_return")["collection"]
    assert answer(visitor, "on_return", collection=first)["collection"]["value"] == first


def test_a_filter_that_the_next_collection_has_not_is_dropped_and_others_stay(
    visitor: Visitor,
) -> None:
    key = add(visitor, "Moss/green/a.png", "Moss/pale/b.png")
    answer(visitor, "on_load")
    shown = answer(visitor, "on_choice", collection=key, Kind="warm", Shape="landscape")
    assert shown["Kind"]["value"] == ""
    assert len(names(shown["results"])) == 2
    assert "shape=landscape" in shown["results"]
    shown = answer(visitor, "on_choice", collection=key, Kind="green")
    assert "value" not in shown["Kind"]
    assert len(names(shown["results"])) == 1


def test_below_a_look_around_are_counted_those_that_pass_the_filters(visitor: Visitor) -> None:
    key = add(visitor, "Fern/green/a.png", "Fern/green/b.png", "Fern/pale/c.png")
    answer(visitor, "on_load")
    shown = answer(visitor, "on_choice", collection=key)
    assert shown["truth"].startswith('<div class="lk-truth">3 pictures of Fern')
    shown = answer(visitor, "on_choice", collection=key, Kind="green")
    assert shown["truth"].startswith('<div class="lk-truth">2 pictures of Fern')


def test_words_of_captions_are_asked_for_where_there_are_captions(visitor: Visitor) -> None:
    field = "Words in the caption"
    assert not answer(visitor, "on_load")[field]["visible"]
    said = visitor.add_pictures(
        {"Told/a.png": encode(by_hue(10), "PNG"), "Told/b.csv": b"filename,title\na.png,a fox\n"}
    )
    assert said["success"]
    key = next(
        key for name, key in answer(visitor, "on_load")["collection"]["choices"] if name == "Told"
    )
    visitor.finish(key)
    assert answer(visitor, "on_choice", collection=key)[field]["visible"]


def test_two_collections_are_never_called_the_same(visitor: Visitor) -> None:
    for hue in (11, 12):
        visitor.add_pictures({f"{hue}.png": encode(by_hue(hue), "PNG")})
    offered = [name for name, _ in answer(visitor, "on_load")["collection"]["choices"]]
    assert "My photos" in offered
    assert "My photos 2" in offered


def test_how_a_building_ended_is_told_for_a_minute() -> None:
    state = Building(indexing.Step(3, 3, 3, 0), ended=100.0)
    assert "New in \u2068Garden\u2069: 3 pictures." in results_markup.building(
        state, "Garden", 130.0
    )
    assert results_markup.building(state, "Garden", 161.0) == ""
    for step, said in (
        (indexing.Step(3, 3, 2, 1), "\u2069: 2 pictures; 1 could not be read."),
        (indexing.Step(2, 2, 0, 2), "\u2069 could be read (2 files)."),
    ):
        assert said in results_markup.building(replace(state, step=step), "Garden", 130.0)


def test_a_link_to_a_collection_of_somebody_else_leaves_a_page_that_works(visitor: Visitor) -> None:
    add(visitor, "Grass/a.png", "Grass/b.png")  # or there would be nothing to choose
    answer(visitor, "on_load")
    shown = answer(visitor, "on_visit", {"query": "?in=gone&n=30&label=blue"})
    assert shown["collection"]["value"] == ""
    assert shown["Kind"]["value"] == "blue"  # what is filtered by can be seen, and be undone
    # Nor does a page get stuck that still holds what has gone meanwhile.
    answer(visitor, "on_choice", collection="gone", count=30)


def test_an_address_of_a_collection_that_is_gone_says_so_and_what_is_shown_instead(
    visitor: Visitor,
) -> None:
    key = add(visitor, "Lichen/a.png", "Lichen/b.png")
    everything = words.LINK_GONE.format(name=words.ALL_COLLECTIONS)
    for query, told in (
        ("?in=gone", [everything]),
        ("?in=gone&like=gone:3", [everything]),
        (f"?in={key}&like=gone:3", [words.LINK_GONE.format(name="Lichen")]),
        (f"?in=gone&like={key}:1", [everything]),
        (f"?in={key}&like={key}:1", []),
    ):
        said = visitor.ask("on_visit", visitor.filled("on_visit"), {"query": query})
        assert sentences(said) == told, query
    first = answer(visitor, "on_load")["collection"]["value"]
    visitor.http.params = httpx.QueryParams({"in": "gone"})
    visitor.session = "followed"
    (sentence,) = sentences(visitor.ask("on_load", visitor.filled("on_load")))
    assert "is not here" in sentence
    assert answer(visitor, "on_load")["collection"]["value"] == first


def test_an_address_of_all_collections_opens_all_of_them(visitor: Visitor) -> None:
    key = add(visitor, "Fern/warm/a.png", "Fern/warm/b.png")
    answer(visitor, "on_load")
    address = address_of(answer(visitor, "on_choice", collection="", Kind="warm"))
    visitor.http.params = httpx.QueryParams({name: value for name, (value,) in address.items()})
    visitor.session = "reloaded"
    shown = answer(visitor, "on_load")
    assert shown["collection"]["value"] == ""
    assert shown["Kind"]["value"] == "warm"
    assert f'data-key="{key}"' in shown["results"]
    assert address_of(shown) == address


def test_a_program_calls_a_collection_by_its_name_and_is_told_the_names(visitor: Visitor) -> None:
    key = add(visitor, "Tea time 2024/a.png", "Tea time 2024/b.png")
    sent = visitor.send(encode(by_hue(120), "PNG"))
    assert key != "Tea time 2024"
    for called in (key, "Tea time 2024"):
        rows = visitor.search(sent, 9, called)["output"]["data"][0]
        assert [row["picture"] for row in rows] == ["a.png", "b.png"]
    refused = visitor.search(sent, 9, "Tea")["output"]["error"]
    assert "“wheel”" in refused
    assert "“Tea time 2024”" in refused


def test_a_program_may_name_what_it_calls_with_as_the_page_shows_it(visitor: Visitor) -> None:
    named: dict[str, Any] = {"picture": visitor.send(encode(by_hue(10), "PNG")), "count": 1}
    begun = visitor.http.post("/gradio_api/call/v2/search", json=named)
    event = begun.json()["event_id"]
    said = visitor.http.get(f"/gradio_api/call/search/{event}").text
    ((found,),) = json.loads(said.partition("data: ")[2].partition("\n")[0])
    assert set(found) == {"picture", "label", "similarity", "thumbnail"}
    for wrong in ({"photo": ""}, {"picture": None, "session_hash": "abc"}):
        assert visitor.http.post("/gradio_api/call/v2/search", json=wrong).status_code == 400
    assert visitor.http.post("/gradio_api/call/v2/on_load", json={}).status_code == 400


def test_two_tabs_that_were_opened_at_once_both_go_on_with_what_is_theirs(visitor: Visitor) -> None:
    key = add(visitor, "Twig/a.png", "Twig/b.png")
    # The other tab had asked before the first one's cookie was there, and its own comes late.
    late = httpx.get(str(visitor.http.base_url)).cookies
    assert late
    visitor.http.cookies.update(late)
    for session in (visitor.session, "other-tab"):
        visitor.session = session
        assert key in keys(visitor)


def names(html: str) -> list[str]:
    return re.findall(r'lk-name"[^>]*>(.*?)<', html)


def test_the_options_count_before_anything_is_searched_for(visitor: Visitor) -> None:
    key = add(visitor, "Jar/blue/b.png", "Jar/blue/a.png", "Jar/green/c.png")
    shown = answer(visitor, "on_visit", {"query": f"?in={key}&label=blue&order=name"})
    assert names(shown["results"]) == ["a.png", "b.png"]
    for order in ("kind", "folder"):
        shown = answer(visitor, "on_visit", {"query": f"?in={key}&order={order}"})
        assert names(shown["results"])[-1] == "c.png"
    shown = answer(visitor, "on_visit", {"query": f"?in={key}&n=2"})
    assert len(names(shown["results"])) == 2
    shown = answer(visitor, "on_visit", {"query": f"?in={key}&label=red"})
    assert "No picture passes" in shown["results"]
    assert 'data-do="unfilter"' in shown["results"]


def sentences(said: list[dict[str, Any]]) -> list[str]:
    return [one["log"] for one in said if one["msg"] == "log"]


def test_a_page_whose_search_is_forgotten_says_so(visitor: Visitor) -> None:
    # Gradio forgets what a page had asked an hour after it has gone to sleep.
    name = visitor.changing("Shape")
    (sentence,) = sentences(visitor.ask(name, visitor.filled(name)))
    assert "its search was forgotten" in sentence
    answer(visitor, "on_load")
    assert "lk-grid" in answer(visitor, name)["results"]


def test_a_forgotten_search_is_told_by_every_control_and_replaced_by_none(visitor: Visitor) -> None:
    key = add(visitor, "Slept/a.png", "Slept/b.png")
    visitor.session = "slept-for-long"
    said = visitor.ask("on_choice", visitor.filled("on_choice", collection=key))
    assert sentences(said) == [words.FORGOTTEN]
    assert "lk-" not in str(said)
    said = visitor.ask("on_why", visitor.filled("on_why"), {"key": key, "id": 1})
    assert sentences(said) == [words.FORGOTTEN]
    said = visitor.ask("on_save", visitor.filled("on_save"))
    assert words.FORGOTTEN in str(said)


def test_a_query_outlives_another_tab_and_another_collection_that_cannot_be_searched_so(
    visitor: Visitor,
) -> None:
    key = answer(visitor, "on_load")["collection"]["value"]
    answer(visitor, visitor.event("pick"), {"key": key, "id": 1})
    nothing_counts = {"collection": key, words.SUBJECT: 0}
    for event in ("on_return", "on_choice"):
        said = visitor.ask(event, visitor.filled(event, **nothing_counts))
        assert sentences(said) == [words.NOTHING_COUNTS]
        assert "A look around" not in str(said)
    shown = answer(visitor, "on_return", collection=key)
    assert address_of(shown)["like"] == [f"{key}:1"]


def test_a_link_of_which_one_picture_is_gone_searches_with_the_others(visitor: Visitor) -> None:
    key = add(visitor, "Linked/a.png", "Linked/b.png", "Linked/c.png")
    answer(visitor, "on_load")
    for n, upload in ((1, ""), (2, "&upload=0123456789ab")):
        link = f"?in={key}&like={key}:1&unlike={key}:99{upload}"
        said = visitor.ask("on_visit", visitor.filled("on_visit"), {"query": link})
        assert sentences(said) == [words.searched_without(n)]
    shown = answer(visitor, "on_again")
    assert address_of(shown) == {"in": [key], "like": [f"{key}:1"]}
    assert shown["collection"]["value"] == key  # which an answer that came late may have set
    # Nothing is left to search for.
    link = f"?in={key}&like={key}:99&unlike={key}:1"
    said = visitor.ask("on_visit", visitor.filled("on_visit"), {"query": link})
    assert sentences(said) == [GONE]
    assert "A look around" in answer(visitor, "on_again")["results"]


def test_a_picture_that_cannot_be_read_leaves_the_one_before_in_its_place(visitor: Visitor) -> None:
    answer(visitor, "on_load")
    broken = visitor.send(b"no picture")
    assert answer(visitor, "on_upload", query=broken)["query"] is None
    shown = answer(visitor, "on_upload", query=visitor.send(encode(by_hue(10), "PNG")))
    assert "upload" in address_of(shown)
    assert answer(visitor, "on_upload", query=broken)["query"]["url"].startswith("data:image/jpeg")


@pytest.mark.parametrize(
    ("written", "is_one"),
    [
        ("31.7.2024", True),
        ("2024-7-3", True),
        ("2024", True),
        ("", True),
        ("July 2024", False),
        ("2024-13", False),
    ],
)
def test_a_date_is_understood_or_refused(visitor: Visitor, written: str, is_one: bool) -> None:
    answer(visitor, "on_load")
    name = visitor.changing("Taken since")
    shown = answer(visitor, name, **{"Taken since": written})
    assert (words.NO_DATE in shown["since-refusal"]) is not is_one
    assert ("data-address" in str(shown["results"])) is is_one  # else those of before stay


def test_of_what_makes_no_sense_only_the_field_that_was_left_is_told(visitor: Visitor) -> None:
    answer(visitor, "on_load")
    wrong = {"At least, in megapixels": -3, "Taken since": "July 2024"}
    places = {"megapixels-refusal": words.NO_MEGAPIXELS, "since-refusal": words.NO_DATE}
    for label, (place, sentence) in zip(wrong, places.items(), strict=True):
        shown = answer(visitor, visitor.changing(label), **wrong)
        assert sentence in shown[place]
        assert [name for name in shown if str(name).endswith("-refusal")] == [place]
    assert answer(visitor, visitor.changing("Taken until"), **wrong)["until-refusal"] == ""


def test_what_is_wrong_with_a_field_is_said_no_more_once_an_address_has_set_it(
    visitor: Visitor,
) -> None:
    answer(visitor, "on_load")
    shown = answer(visitor, "on_visit", {"query": "?in=&since=2024"})
    assert shown["Taken since"] == "2024"
    assert {shown[f"{name}-refusal"] for name in ("megapixels", "since", "until")} == {""}


def test_where_there_is_no_result_one_can_still_start_over(visitor: Visitor) -> None:
    key = add(visitor, "Lone/a.png")
    answer(visitor, "on_choice", collection=key)
    shown = answer(visitor, visitor.event("pick"), {"key": key, "id": 1}, collection=key)
    assert words.ALONE_TITLE in shown["results"]
    for act in ("back", "remove"):  # of the chip
        assert f'data-do="{act}"' in shown["results"]
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


@pytest.mark.parametrize(
    ("written", "mp"),
    [("2,5", ["2.5"]), ("2 MP", ["2"]), (1.5, ["1.5"]), (0, []), ("", []), (None, [])],
)
def test_a_size_is_searched_with(
    visitor: Visitor, written: str | float | None, mp: list[str]
) -> None:
    answer(visitor, "on_load")
    label = "At least, in megapixels"
    shown = answer(visitor, visitor.changing(label), **{label: written})
    assert address_of(shown).get("mp", []) == mp
    assert shown["megapixels-refusal"] == ""


@pytest.mark.parametrize("written", [-3, "-3", "e", "1e999", "two", True])
def test_what_is_no_size_is_refused(visitor: Visitor, written: str | float) -> None:
    answer(visitor, "on_load")
    label = "At least, in megapixels"
    shown = answer(visitor, visitor.changing(label), **{label: written})
    assert words.NO_MEGAPIXELS in shown["megapixels-refusal"]
    assert "data-address" not in str(shown["results"])  # those of before stay


def test_the_upload_leaves_the_page_with_its_chip(visitor: Visitor) -> None:
    key = answer(visitor, "on_load")["collection"]["value"]
    shown = answer(visitor, "on_upload", query=visitor.send(encode(by_hue(10), "PNG")))
    (token,) = address_of(shown)["upload"]
    answer(visitor, visitor.event("more"), {"key": key, "id": 1})
    remove = visitor.event("remove")
    # First the chip of the other picture: the upload stays as it is.
    assert answer(visitor, remove, {"key": key, "id": 1})["query"] == {"__type__": "update"}
    assert answer(visitor, remove, {"key": "", "id": token})["query"] is None


def test_a_turned_upload_is_the_same_one_to_its_chip_and_to_the_way_back(visitor: Visitor) -> None:
    answer(visitor, "on_load")
    before = address_of(answer(visitor, "on_upload", query=visitor.send(encode(by_hue(10), "PNG"))))
    shown = answer(visitor, "on_upload", query=visitor.send(encode(by_hue(120), "PNG")))
    (token,) = address_of(shown)["upload"]
    crop = visitor.event("crop")
    for quarters in (1, 2, 3, 0, 1, 2, 3):
        shown = answer(visitor, crop, {"box": None, "quarters": quarters})
        assert "query" not in shown  # the page has turned it, and may show another one by now
        asked = address_of(shown)
        assert (asked["upload"], asked.get("turn")) == (
            [token],
            [str(quarters)] if quarters else None,
        )
    visitor.session = "anew"  # which knows the last six of this browser
    for address in (f"?upload={token}&turn=3&crop=0-0-0.5-0.5", f"?upload={before['upload'][0]}"):
        shown = answer(visitor, "on_visit", {"query": address})
        assert unescape(shown["results"]).count(address.removeprefix("?").partition("&")[0])
    asked = address_of(answer(visitor, "on_visit", {"query": f"?upload={token}&turn=3"}))
    assert (asked["upload"], asked["turn"]) == ([token], ["3"])
    remove = visitor.event("remove")
    assert answer(visitor, remove, {"key": "", "id": token})["query"] is None


def test_what_makes_no_sense_as_a_turn_is_refused_or_a_turn(visitor: Visitor) -> None:
    answer(visitor, "on_load")
    answer(visitor, "on_upload", query=visitor.send(encode(by_hue(10), "PNG")))
    crop = visitor.event("crop")
    for told, turn in ((7, ["3"]), (-1, ["3"]), (True, ["1"]), ("2", ["2"]), (10**18, None)):
        asked = address_of(answer(visitor, crop, {"box": None, "quarters": told}))
        assert asked.get("turn") == turn, told
    for told in (None, "x", [], {}, float("nan"), 10**400):
        said = visitor.ask(crop, visitor.filled(crop), {"box": None, "quarters": told})
        assert [one["output"]["error"] for one in said if "output" in one] == [words.NO_REQUEST]


def test_an_answer_with_the_upload_in_it_stays_small_whatever_was_uploaded(
    visitor: Visitor,
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (640, 4000, 3), np.uint8)
    loud = visitor.send(encode(Image.fromarray(pixels), "JPEG", quality=95))
    (token,) = address_of(answer(visitor, "on_upload", query=loud))["upload"]
    shown = answer(visitor, "on_visit", {"query": f"?upload={token}"})
    assert shown["query"]["url"].startswith("data:image/jpeg")
    assert len(json.dumps(shown)) < 300_000


def test_an_upload_is_a_file_and_no_web_address_which_would_keep_others_waiting(
    visitor: Visitor,
) -> None:
    said = visitor.ask("on_upload", visitor.filled("on_upload", query={"path": "http://a.b/c.png"}))
    assert words.NOT_SENT in sentences(said)


def test_the_only_picture_of_a_collection_is_not_called_none(visitor: Visitor) -> None:
    key = add(visitor, "Lonely/a.png")
    shown = answer(visitor, "on_visit", {"query": f"?in={key}&like={key}:1"})
    assert "nothing else here to compare with" in shown["results"]


def test_what_passes_the_filters_and_is_searched_with_is_not_called_none(visitor: Visitor) -> None:
    key = add(visitor, "Kinds/red/a.png", "Kinds/blue/b.png", "Kinds/blue/c.png")
    red = answer(visitor, "on_visit", {"query": f"?in={key}&label=red"})["results"]
    (id_,) = set(re.findall(r'data-id="(\d+)"', red))
    shown = answer(visitor, "on_visit", {"query": f"?in={key}&label=red&like={key}:{id_}"})
    assert "No other picture passes" in shown["results"]
    assert "No picture here has all" not in shown["results"]
    all_ = "".join(f"&like={key}:{number}" for number in (1, 2, 3))
    shown = answer(visitor, "on_visit", {"query": f"?in={key}{all_}"})
    assert "No other picture here" in shown["results"]


def test_an_upload_of_an_earlier_page_is_told_from_a_wrong_link(visitor: Visitor) -> None:
    said = visitor.ask("on_visit", visitor.filled("on_visit"), {"query": "?upload=0123456789ab"})
    (sentence,) = [one["log"] for one in said if one["msg"] == "log"]
    assert "about an uploaded picture. Of each browser the last six are kept" in sentence


def test_another_page_of_a_browser_goes_on_with_its_upload_and_no_other_browser_does(
    visitor: Visitor, served: Served
) -> None:
    shown = answer(visitor, "on_upload", query=visitor.send(encode(by_hue(10), "PNG")))
    (token,) = address_of(shown)["upload"]
    visitor.session = "another"
    again = answer(visitor, "on_visit", {"query": f"?upload={token}"})
    assert address_of(again)["upload"] == [token]
    other = Visitor(served.address)
    shown = answer(other, "on_visit", {"query": f"?upload={token}"})
    assert "upload" not in address_of(shown)
    other.close()


def copied(visitor: Visitor) -> tuple[str, str]:
    """Make a collection of a picture, two copies and others; return its key and the results."""
    before = keys(visitor)
    dots = pattern("dots", 1)
    files = {"b.png": dots, "old/c.png": dots, "a.png": dots.resize((80, 60))}
    files |= {f"{seed}.png": pattern("checks", seed) for seed in range(3)}
    folder = f"Twins{len(before)}"  # the same one again would come to the collection before
    pictures = {f"{folder}/{name}": encode(image, "PNG") for name, image in files.items()}
    visitor.add_pictures(pictures)
    (key,) = keys(visitor) - before
    visitor.finish(key)
    shown = answer(visitor, "on_visit", {"query": f"?in={key}"})
    like = re.findall(r'data-id="(\d+)"[^>]*aria-label="2\.png', shown["results"])[0]
    shown = answer(visitor, "on_visit", {"query": f"?in={key}&like={key}:{like}"})
    return key, shown["results"]


def test_the_copies_in_a_result_are_shown_each_with_a_way_to_look_at_it(visitor: Visitor) -> None:
    key, results = copied(visitor)
    (id_,) = re.findall(
        r'class="lk-copies" data-do="copies" data-key="\w+" data-id="(\d+)"', results
    )
    dialog = answer(visitor, visitor.event("copies"), {"key": key, "id": int(id_)})["why"]
    assert re.findall("<h2>(.*?)</h2>", dialog) == ["3 copies"]
    assert sorted(re.findall("<b>(.*?)</b>", dialog)) == ["a.png", "b.png", "c.png"]
    assert re.findall("the very same file as (.*?)<", dialog) == ["b.png"]
    assert "in old" in dialog
    links = re.findall('<a href="(.*?)"', dialog)
    assert [visitor.http.get(f"/{link}").status_code for link in links] == [200] * 3
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


def test_a_badge_whose_result_is_gone_says_so(visitor: Visitor) -> None:
    key, _ = copied(visitor)
    name = visitor.event("copies")
    (sentence,) = sentences(visitor.ask(name, visitor.filled(name), {"key": key, "id": 10**6}))
    assert "not in the collection any more" in sentence


def test_a_picture_is_shown_in_large_with_its_file_to_the_owner_alone(visitor: Visitor) -> None:
    key, results = copied(visitor)
    asked, other = list(dict.fromkeys(re.findall(r'data-id="(\d+)"', results)))[:2]

    def look(id_: str) -> str:
        event = {"key": key, "id": int(id_)}
        return str(answer(visitor, visitor.event("look"), event)["why"])

    for id_ in (asked, other):
        dialog = look(id_)
        assert f'<img src="originals/{key}/{id_}?part=1"' in dialog
        # What is searched with is not asked why it resembles itself.
        assert ("Why this match?" in dialog) == (id_ == other)
    visitor.http.headers["x-forwarded-for"] = "203.0.113.7"  # from elsewhere
    dialog = look(other)
    assert "originals/" not in dialog
    assert f'<img src="thumbnails/{key}/' in dialog


def test_of_several_pictures_the_one_that_is_like_the_result_explains_it(visitor: Visitor) -> None:
    before = keys(visitor)
    hues = {"Why/red.png": 0, "Why/green.png": 120, "Why/lime.png": 100, "Why/rose.png": 350}
    visitor.add_pictures({name: encode(by_hue(hue), "PNG") for name, hue in hues.items()})
    (key,) = keys(visitor) - before
    visitor.finish(key)
    shown = answer(visitor, "on_visit", {"query": f"?in={key}"})["results"]
    ids = {name: id_ for id_, name in re.findall(r'data-id="(\d+)" aria-label="(\w+)\.', shown)}
    both = f"&like={key}:{ids['red']}&like={key}:{ids['green']}"
    answer(visitor, "on_visit", {"query": f"?in={key}{both}"})
    for result, like in (("lime", "green"), ("rose", "red")):
        dialog = answer(visitor, "on_why", {"key": key, "id": int(ids[result])})["why"]
        captions = re.findall("<figcaption>(.*?)</figcaption>", dialog)
        assert captions == [f"{like}.png", f"{result}.png"]
        assert "Of the 2 pictures you search with" in dialog


def run_test(visitor: Visitor, key: str) -> dict[str, Any]:
    """Press the button that tests a collection, and return what the page then shows."""
    answer(visitor, "on_wait")
    return answer(visitor, "on_test", **{"test-collection": key})


def test_a_picked_query_is_looked_up_in_the_collection_of_the_report(visitor: Visitor) -> None:
    sorted_ = ("Hay/one/a.png", "Hay/one/b.png", "Hay/two/c.png", "Hay/two/d.png")
    key = add(visitor, *sorted_, *(f"Hay/{number}.png" for number in range(10)))
    report = run_test(visitor, key)["test-result"]
    (named,) = re.findall('data-key="(.*?)"', report)
    assert named == key
    pick = next(
        d["api_name"]
        for d in visitor.config["dependencies"]
        if d["api_name"].startswith("on_pick") and "test-found" in outputs(visitor, d)
    )
    id_, nearest = re.findall(r'data-id="(\d+)" data-nearest="([\d ]+)"', report)[0]
    told = {"key": named, "id": id_, "nearest": nearest.split()}
    found = answer(visitor, pick, told)["test-found"]
    assert f"thumbnails/{key}/" in found
    # Pictures without a kind took no part in the test.
    assert set(re.findall(r"<small>(\w)\.png</small>", found)) <= set("abcd")
    assert found.count("<li") == 3
    assert f"{found.count('is-right')} of 3 right" in report
    assert answer(visitor, pick, {**told, "key": "gone"})["test-found"] == ""


def test_a_class_that_looks_like_a_formula_is_none_in_the_table(visitor: Visitor) -> None:
    key = add(visitor, "Odd/=1+1/a.png", "Odd/=1+1/b.png", "Odd/plain/c.png", "Odd/plain/d.png")
    links = run_test(visitor, key)["test-downloads"]
    (data,) = re.findall(r'data:text/csv[^"]*?base64,([^"]+)', links)
    table = base64.b64decode(data).decode("utf-8-sig")
    assert [line.split(",")[0] for line in table.splitlines()[1:3]] == ["'=1+1", "plain"]


def test_following_a_building_leaves_the_results_of_a_search_alone(visitor: Visitor) -> None:
    key = add(visitor, "Reed/a.png", "Reed/b.png")
    answer(visitor, "on_load")
    assert "A look around" in answer(visitor, "on_tick")["results"]
    answer(visitor, visitor.event("pick"), {"key": key, "id": 1})
    assert "lk-" not in str(answer(visitor, "on_tick")["results"])


def test_what_is_typed_while_a_building_ends_is_left_in_its_field(visitor: Visitor) -> None:
    answer(visitor, "on_load")
    shown = answer(visitor, "on_tick", Kind="warm")
    for field in ("Kind", "Folder", "Words in the caption"):
        assert "visible" in shown[field]
        assert "value" not in shown[field]


def numbered(
    visitor: Visitor, number: int, name: str, event: Any = None, **given: Any
) -> dict[str, Any]:
    """Do what the page has given this number, however late it comes."""
    visitor.http.headers["x-lookalike-action"] = str(number)
    try:
        return answer(visitor, name, event, **given)
    finally:
        del visitor.http.headers["x-lookalike-action"]


def address_of(shown: dict[str, Any]) -> dict[str, list[str]]:
    (address,) = re.findall('data-address="(.*?)"', shown["results"])
    return parse_qs(unescape(address).removeprefix("?"), keep_blank_values=True)


def test_a_chip_is_taken_away_for_what_it_showed_when_something_earlier_is_late(
    visitor: Visitor,
) -> None:
    key = answer(visitor, "on_load")["collection"]["value"]
    numbered(visitor, 2, "on_visit", {"query": f"?in={key}&like={key}:1&like={key}:2"})
    numbered(visitor, 4, visitor.event("remove"), {"key": key, "id": 1})
    less = numbered(visitor, 3, visitor.event("less"), {"key": key, "id": 1})
    asked = address_of(less)
    assert asked["like"] == [f"{key}:2"]
    assert "unlike" not in asked


def test_what_arrives_twice_under_its_number_has_been_done_once(visitor: Visitor) -> None:
    """A page sends again what it has no answer to, also where the answer alone was lost."""
    key = answer(visitor, "on_load")["collection"]["value"]
    sent = visitor.send(encode(by_hue(10), "PNG"))
    given = {"query": sent}
    for _ in range(2):
        asked = address_of(numbered(visitor, 2, "on_upload", **given))
        assert len(asked["upload"]) == 1
    for number, name, event in (
        (3, visitor.event("crop"), BOX),
        (4, visitor.event("more"), {"key": key, "id": 1}),
        (5, visitor.event("less"), {"key": key, "id": 2}),
        (6, visitor.event("remove"), {"key": key, "id": 1}),
    ):
        once, twice = (address_of(numbered(visitor, number, name, event)) for _ in range(2))
        assert once == twice
    # Nor when something later has been done meanwhile.
    assert address_of(numbered(visitor, 4, visitor.event("more"), {"key": key, "id": 1})) == twice
    for _ in range(2):
        assert "upload" not in address_of(numbered(visitor, 7, visitor.event("back")))


BOX = {"box": [0, 0, 0.5, 0.5]}


def test_a_box_cuts_the_picture_that_it_was_drawn_on_and_no_other(visitor: Visitor) -> None:
    answer(visitor, "on_load")
    one, two, three = (visitor.send(encode(by_hue(hue), "PNG")) for hue in (10, 120, 240))
    first = address_of(numbered(visitor, 2, "on_upload", query=one))["upload"]
    second = address_of(numbered(visitor, 3, "on_upload", query=two))["upload"]
    shown = numbered(visitor, 5, visitor.event("crop"), BOX)
    assert address_of(shown)["upload"] == second
    assert "crop" in address_of(shown)
    late = address_of(numbered(visitor, 4, "on_visit", {"query": f"?upload={first[0]}"}))
    assert late["upload"] == first
    assert "crop" not in late
    # A picture that has been sent shows at once, so the box was drawn on it.
    numbered(visitor, 8, visitor.event("crop"), BOX)
    late = address_of(numbered(visitor, 7, "on_upload", query=three))
    assert late["upload"] not in (first, second)
    assert "crop" in late


def test_a_turn_counts_for_the_picture_that_was_turned_and_for_no_other(visitor: Visitor) -> None:
    answer(visitor, "on_load")
    one, two = (visitor.send(encode(by_hue(hue), "PNG")) for hue in (10, 120))
    turn = visitor.event("crop"), {"box": None, "quarters": 1}
    # The picture was shown at once, and turned before it had been answered.
    first = address_of(numbered(visitor, 2, "on_upload", query=one))["upload"]
    numbered(visitor, 4, *turn)
    late = address_of(numbered(visitor, 3, "on_upload", query=two))
    assert (late["upload"] != first, late["turn"]) == (True, ["1"])
    # A later picture, or none, has taken its place.
    second = address_of(numbered(visitor, 6, "on_upload", query=one))
    assert (second["upload"], address_of(numbered(visitor, 5, *turn))) == (first, second)
    numbered(visitor, 8, visitor.event("clear"))
    assert "upload" not in address_of(numbered(visitor, 7, *turn))


def test_saved_is_what_the_page_shows_also_where_the_controls_say_something_else(
    visitor: Visitor,
) -> None:
    key = add(visitor, *(f"Row/{number}.png" for number in range(5)))
    answer(visitor, "on_load")
    answer(visitor, "on_visit", {"query": f"?in={key}&like={key}:1&n=2"})
    said = visitor.outcome("on_save", visitor.filled("on_save", **{"save-kind": "Table (CSV)"}))
    assert said["success"], said
    table = visitor.http.get(f"/{said['output']['data'][0]}").text
    assert len(table.splitlines()) == 1 + 2


def test_a_sheet_says_what_its_results_are_unlike_and_how_filtered_and_sorted(
    visitor: Visitor,
) -> None:
    key = add(visitor, *(f"Sheet/{name}.png" for name in "abcd"))
    answer(visitor, "on_load")
    told = []
    for rest in ("", "&order=name", f"&unlike={key}:2&order=name&mp=0.0001"):
        answer(visitor, "on_visit", {"query": f"?in={key}&like={key}:1{rest}"})
        kind = {"save-kind": words.SAVE_KINDS[2]}
        said = visitor.outcome("on_save", visitor.filled("on_save", **kind))
        saved = visitor.http.get(f"/{said['output']['data'][0]}").content
        told.append(notes_on(Image.open(io.BytesIO(saved))))
    assert told == [2, 3, 5]  # the collection and the date, and what is said besides


def test_small_copies_that_stand_in_for_photos_which_are_away_are_called_so_to_the_owner(
    visitor: Visitor, served: Served
) -> None:
    key = add(visitor, *(f"Trunk/{name}.png" for name in "abc"))
    photos = served.home / "collections" / key / ORIGINALS
    answer(visitor, "on_load")
    answer(visitor, "on_visit", {"query": f"?in={key}&like={key}:1"})

    def told() -> tuple[list[str], bool]:
        kind = visitor.filled("on_save", **{"save-kind": words.SAVE_KINDS[0]})
        saved = sentences(visitor.ask("on_save", kind))
        dialog = answer(visitor, visitor.event("look"), {"key": key, "id": 2})["why"]
        return saved, words.ORIGINAL_AWAY in unescape(dialog)

    assert told() == ([], False)
    away = photos.rename(photos.with_name("away"))
    assert told() == ([words.saved_small(2)], True)
    shutil.copytree(away, photos)
    (photos / "b.png").unlink()
    assert told() == ([words.SAVED_SMALL_ONE], True)
    visitor.http.headers["x-forwarded-for"] = "203.0.113.7"  # from elsewhere
    assert told() == ([], False)
    visitor.http.headers.pop("x-forwarded-for")
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


def notes_on(sheet: Image.Image) -> int:
    """Count the lines below the title of a sheet, right of its query."""
    scale = sheet.width / sheets.PAGE_WIDTH
    ink = np.asarray(sheet.convert("L"))[:, round(70 * scale) :] < 180
    bases = [sheets.MARGIN + 13.5 + 4.8 * i for i in range(5)]
    return sum(ink[round((y - 2.5) * scale) : round(y * scale)].any() for y in bases)


def test_a_picture_that_came_before_the_page_was_filled_is_searched_with(visitor: Visitor) -> None:
    numbered(visitor, 2, "on_upload", query=visitor.send(encode(by_hue(10), "PNG")))
    shown = numbered(visitor, 1, "on_load")
    assert "upload" in address_of(shown)
    assert address_of(shown)["in"] == [shown["collection"]["value"]]


def test_a_choice_that_is_late_leaves_the_kinds_to_the_later_one(visitor: Visitor) -> None:
    early = add(visitor, "Early/one/a.png", "Early/two/b.png")
    later = add(visitor, "Later/three/a.png", "Later/four/b.png")
    numbered(visitor, 101, "on_load")
    numbered(visitor, 103, "on_choice", collection=later)
    late = numbered(visitor, 102, "on_choice", collection=early)
    assert kinds(late) == ["", "four", "three"]


def test_what_a_page_keeps_holds_no_request_and_nothing_that_a_button_told(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "COLLECTIONS", tmp_path)
    workspace = Workspace(tiny_model, None, gpu=False)
    page = SearchPage(workspace, Access(None, public=True), Handover())
    # Neither Gradio's state nor its controls are needed to tell how a page stands.
    vars(page).update(conversation="stands", options=SimpleNamespace(read=lambda _: Options()))
    conversation = Conversation()
    part, _ = page.parts.of_upload(encode(by_hue(10), "PNG"), "auto")
    with conversation.doing(Step(lambda asked: asked.only(part), Options(), 1)):
        pass
    held = []
    for change in (page.changes.crop, page.changes.clean, page.changes.remove):
        request = gr.Request(
            Request({"type": "http", "headers": [], "path": "/", "scheme": "http"})
        )
        event = gr.EventData(None, {"box": [0, 0, 0.5, 0.5], "key": "", "id": "a"})
        page._asking(change)({"stands": conversation}, request, event)
        held += [weakref.ref(request), weakref.ref(event)]
    del request, event
    assert len(conversation._standings) == 2 + 3
    assert [one() for one in held] == [None] * 6
    workspace.stop()


def test_a_collection_whose_damage_shows_while_the_app_runs_is_mended_on_its_card(
    visitor: Visitor, served: Served
) -> None:
    key = add(visitor, "Garden/a.png", "Garden/b.png")
    path = served.home / "collections" / key / DATABASE
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE contents SET embedding = x'00'")
    assert 'data-act="mend"' not in visitor.finish(key)
    sent = visitor.send(encode(by_hue(120), "PNG"))
    assert "is damaged" in str(visitor.search(sent, 5, key)["output"])
    assert f'data-act="mend" data-key="{key}"' in visitor.finish(key)
    said = visitor.outcome("on_act", [None], {"act": "mend", "key": key})
    assert words.MENDED.format(name=key) in said["output"]["data"][0]
    assert 'data-act="mend"' not in visitor.finish(key)
    assert len(visitor.search(sent, 5, key)["output"]["data"][0]) == 2
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


def test_damage_that_shows_while_the_app_runs_takes_no_other_collection_along(
    visitor: Visitor, served: Served
) -> None:
    key = add(visitor, "Garden/a.png", "Garden/b.png")
    with closing(sqlite3.connect(served.home / "collections" / key / DATABASE)) as database:
        database.execute("DROP TABLE pictures")
    every = visitor.filled("on_choice", collection="")
    assert "Mend it under" in str(visitor.ask("on_choice", every))
    shown = answer(visitor, "on_choice", collection="")
    assert "lk-tile" in shown["results"]
    assert key not in keys(visitor)
    assert f'data-act="mend" data-key="{key}"' in visitor.finish(key)
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


@pytest.fixture
def owned(
    tiny_model: Path, wheel: Path, collections: Path
) -> Iterator[tuple[LibraryPage, str, gr.Request]]:
    """The page of a library with the wheel, searched in place, and a request of its owner."""
    workspace = Workspace(tiny_model, None, gpu=False)
    workspace.open_library(collections)
    key = workspace.create("Wheel", wheel)
    page = make_library(workspace, None, False)
    scope = {"type": "http", "path": "/", "scheme": "http", "client": ("127.0.0.1", 1)}
    request = gr.Request(Request({**scope, "headers": [(b"host", b"localhost")]}))
    yield page, key, request
    page.visitors.stop()
    workspace.stop()


def test_what_is_said_stands_in_the_card_that_lies_open_or_above_all_where_that_is_gone(
    owned: tuple[LibraryPage, str, gr.Request],
) -> None:
    page, key, request = owned
    for opened in (key, "deleted elsewhere"):
        desk = Desk()
        desk.answer(lambda _, of=opened: Opened(of, "pictures", notice="<p>Left out: 1</p>"))  # type: ignore[misc]
        assert page.on_return(desk, request)[0].count("<p>Left out: 1</p>") == 1


def test_what_took_long_takes_no_place_that_was_filled_meanwhile(
    owned: tuple[LibraryPage, str, gr.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, key, request = owned
    look = gr.EventData(None, {"key": key, "act": "look"})
    desk = Desk()
    page.on_work(desk, look, request)
    assert desk.opened.view == "changes"
    # Something else is opened while the folder is looked through.
    desk, slow = Desk(), page.workspace.look

    def look_slowly(key: str, *_: object) -> Changes:
        desk.answer(lambda _: Opened(key, "rename"))
        return slow(key)

    monkeypatch.setattr(page.workspace, "look", look_slowly)
    page.on_work(desk, look, request)
    assert desk.opened == Opened(key, "rename")
    # What is said of an upload that was unpacked meanwhile closes nothing either.
    desk.announce("<p>Left out: 1</p>")
    desk.announce("<p>Left out: 2</p>")
    desk.announce("<p>Left out: 1</p>")
    assert desk.opened == Opened(key, "rename", notice="<p>Left out: 1</p><p>Left out: 2</p>")


def test_what_took_long_is_shown_although_something_was_said_meanwhile_and_both_can_be_read(
    owned: tuple[LibraryPage, str, gr.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, key, request = owned
    desk, slow = Desk(), page.workspace.look
    desk.announce("<p>read</p>")

    def look_slowly(key: str, *_: object) -> Changes:
        desk.announce("<p>Left out: 1</p>")
        return slow(key)

    monkeypatch.setattr(page.workspace, "look", look_slowly)
    page.on_work(desk, gr.EventData(None, {"key": key, "act": "look"}), request)
    assert (desk.opened.key, desk.opened.view) == (key, "changes")
    assert desk.opened.changes is not None
    assert desk.opened.notice == "<p>Left out: 1</p><p>read</p>"


def test_what_a_long_one_says_is_read_also_where_something_else_was_opened_meanwhile(
    owned: tuple[LibraryPage, str, gr.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, key, request = owned
    desk = Desk()
    monkeypatch.setattr(
        page.workspace, "mend", lambda key: desk.answer(lambda _: Opened(key, "rename"))
    )
    page.on_work(desk, gr.EventData(None, {"key": key, "act": "mend"}), request)
    assert (desk.opened.key, desk.opened.view) == (key, "rename")
    assert words.MENDED.format(name=key) in desk.opened.notice


def test_what_an_earlier_look_has_found_goes_when_the_folder_has_gone(
    owned: tuple[LibraryPage, str, gr.Request], wheel: Path
) -> None:
    page, key, request = owned
    look, desk = gr.EventData(None, {"key": key, "act": "look"}), Desk()
    page.on_work(desk, look, request)
    assert desk.opened.view == "changes"
    wheel.rename(wheel.with_name("elsewhere"))
    with pytest.warns(UserWarning, match="There is no folder wheel any more"):  # the page's toast
        page.on_work(desk, look, request)
    assert (desk.opened.key, desk.opened.view) == ("", "")


def act(page: LibraryPage, desk: Desk, request: gr.Request, act: str, key: str) -> str:
    """Press a button of a card; return what the page shows then."""
    event = gr.EventData(None, {"key": key, "act": act})
    on = page.on_work if act in ("look", "readmit") else page.on_act
    return unescape(str(on(desk, event, request)[0]))


def read_in(page: LibraryPage, key: str) -> Collection:
    """Read in what lies in a collection's folder; return the collection."""
    page.adding.build(key, "")
    ended(page, key)
    return page.workspace.shelf.searcher(key).collection


def ended(page: LibraryPage, key: str) -> Building:
    """Wait until a collection is not being built any more; return how that stands."""
    for _ in range(2000):
        if (state := page.workspace.building(key)) and state.finished:
            return state
        time.sleep(0.01)
    raise AssertionError("it takes too long")


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "copies"])
def test_what_was_taken_out_is_let_in_again_by_apply_and_by_nothing_before(
    owned: tuple[LibraryPage, str, gr.Request], in_place: bool
) -> None:
    page, key, request = owned
    if in_place:
        page.adding.build(key, "")
        ended(page, key)
    else:
        key = take(page, request, "Reed/a.png", encode(by_hue(9), "PNG"))
        take(page, request, "b.png", encode(by_hue(200), "PNG"), key)
    collection = page.workspace.shelf.searcher(key).collection
    first, *others = collection.listing.pictures()
    page.workspace.take_out(key, [first.id])
    desk = Desk()
    assert "Left out, since you took them out: 1." in act(page, desk, request, "look", key)
    shown = act(page, desk, request, "readmit", key)
    assert f"1 that you took out, let in again</summary><ul><li>{first.path}</li>" in shown
    assert 'data-act="apply"' in shown
    for text in ("Left out, since", 'data-act="readmit"', "1 new<", words.CHANGES_NONE):
        assert text not in shown
    act(page, desk, request, "close", key)  # it is not wanted after all
    assert collection.excluded.paths() == {first.path}
    assert "Left out, since you took them out: 1." in act(page, desk, request, "look", key)
    act(page, desk, request, "readmit", key)
    act(page, desk, request, "apply", key)
    assert ended(page, key).problem is None
    assert collection.excluded.paths() == set()
    assert [one.path for one in collection.listing.pictures()] == [
        first.path,
        *(one.path for one in others),
    ]
    assert words.CHANGES_NONE in act(page, desk, request, "look", key)


def test_what_was_taken_out_and_moved_is_offered_and_let_in_once_where_it_is_now(
    owned: tuple[LibraryPage, str, gr.Request], wheel: Path
) -> None:
    page, key, request = owned
    collection = read_in(page, key)
    first = next(one for one in collection.listing.pictures() if one.path == "warm/red.png")
    page.workspace.take_out(key, [first.id])
    (wheel / "warm/red.png").rename(wheel / "cold/scarlet.png")
    shown = act(page, desk := Desk(), request, "readmit", key)
    assert "1 that you took out, let in again</summary><ul><li>cold/scarlet.png</li>" in shown
    for text in ("Left out, since", "1 new<", "warm/red.png"):
        assert text not in shown
    act(page, desk, request, "apply", key)
    ended(page, key)
    assert "cold/scarlet.png" in collection.listing.files()
    assert collection.excluded.paths() == set()


def test_undo_says_how_many_are_back_and_which_are_in_the_folder_no_more(
    owned: tuple[LibraryPage, str, gr.Request], wheel: Path
) -> None:
    page, key, request = owned
    collection = read_in(page, key)
    first, second, *_ = collection.listing.pictures()
    paths = tuple(page.workspace.take_out(key, [first.id, second.id]))
    (wheel / first.path).unlink()
    desk = Desk()
    desk.answer(lambda _: Opened(key=key, removed=paths))
    with pytest.warns(UserWarning, match="^1 of the photos is in the folder no more"):
        shown = act(page, desk, request, "unremove", key)
    assert words.came_back(1, collection.name) in shown
    assert second.path in collection.listing.files()
    desk.answer(lambda _: Opened(key=key, removed=paths[:1]))
    with pytest.warns(UserWarning, match="^1 of the photos is in the folder no more"):
        shown = act(page, desk, request, "unremove", key)
    assert words.came_back(1, collection.name) not in shown


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "copies"])
def test_what_was_taken_out_and_is_gone_is_not_promised_to_come_in_again(
    owned: tuple[LibraryPage, str, gr.Request], wheel: Path, in_place: bool
) -> None:
    page, key, request = owned
    if in_place:
        page.adding.build(key, "")
        ended(page, key)
    else:
        key = take(page, request, "Fern/a.png", encode(by_hue(9), "PNG"))
        for n in (1, 2):
            take(page, request, f"{n}.png", encode(by_hue(100 * n), "PNG"), key)
    collection = page.workspace.shelf.searcher(key).collection
    first, second = list(collection.listing.pictures())[:2]
    for one in (first, second):
        page.workspace.take_out(key, [one.id])
    shown = act(page, desk := Desk(), request, "look", key)
    assert "Left out, since you took them out: 2." in shown
    lies = wheel / first.path if in_place else taken_out(collection.folder)[first.path]
    lies.unlink()
    shown = act(page, desk, request, "readmit", key)
    assert f"1 that you took out, let in again</summary><ul><li>{second.path}</li></ul>" in shown
    assert first.path not in shown
    act(page, desk, request, "apply", key)
    assert ended(page, key).problem is None
    shown = act(page, desk, request, "look", key)
    assert words.CHANGES_NONE in shown
    for text in ("Left out, since", 'data-act="readmit"'):
        assert text not in shown


def test_what_is_let_in_again_is_read_by_the_next_app_where_this_one_is_killed(
    owned: tuple[LibraryPage, str, gr.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, key, request = owned
    collection = read_in(page, key)
    (first, *_) = collection.listing.pictures()
    page.workspace.take_out(key, [first.id])
    act(page, desk := Desk(), request, "readmit", key)

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for last in (True, False):  # before they are let in, and after it
        with monkeypatch.context() as patch:
            patch.setattr(page.workspace, "let_in" if last else "build", kill)
            with pytest.raises(KeyboardInterrupt):
                act(page, desk, request, "apply", key)
        assert collection.unfinished
        assert first.path not in collection.listing.files()
        assert (first.path in collection.excluded.paths()) == last
    act(page, Desk(), request, "resume", key)
    ended(page, key)
    assert first.path in collection.listing.files()


def test_a_folder_that_was_away_is_not_said_to_be_missing_once_it_has_been_looked_through(
    owned: tuple[LibraryPage, str, gr.Request], wheel: Path
) -> None:
    page, key, request = owned
    away = wheel.rename(wheel.with_name("elsewhere"))
    page.adding.build(key, "")
    assert ended(page, key).problem
    assert "There is no folder wheel any more" in page.on_return(Desk(), request)[0]
    away.rename(wheel)
    shown = act(page, Desk(), request, "look", key)
    assert "There is no folder wheel any more" not in shown
    assert "6 new" in shown
    assert 'data-act="resume"' in shown  # what was begun is yet to be done


def test_a_folder_of_a_user_who_is_not_there_is_no_folder(visitor: Visitor) -> None:
    said = visitor.outcome("on_folder", [None, "~nobody-here/Pictures"])["output"]["data"]
    assert "There is no folder ~nobody-here/Pictures." in str(said[-1])


def test_a_search_of_a_collection_that_has_ended_does_not_go_on_in_the_others(
    visitor: Visitor,
) -> None:
    key = add(visitor, "Chaff/a.png")
    answer(visitor, "on_visit", {"query": f"?in={key}"})
    visitor.ask("on_act", [None], {"act": "delete", "key": key})
    name = visitor.changing("Shape")
    said = visitor.ask(name, visitor.filled(name, collection=key, Shape="wide"))
    assert sentences(said) == [COLLECTION_GONE]
    dropped = visitor.send(encode(by_hue(10), "PNG"))
    said = visitor.ask("on_upload", visitor.filled("on_upload", collection=key, query=dropped))
    assert sentences(said) == [COLLECTION_GONE]


def test_what_is_saved_of_a_collection_that_has_ended_is_nothing_of_the_others(
    visitor: Visitor,
) -> None:
    key = add(visitor, "Stubble/a.png", "Stubble/b.png")
    ((id_, *_), *_) = [
        re.findall(
            r'data-id="(\d+)"', answer(visitor, "on_visit", {"query": f"?in={key}"})["results"]
        )
    ]
    answer(visitor, "on_visit", {"query": f"?in={key}&like={key}:{id_}"})
    visitor.ask("on_act", [None], {"act": "delete", "key": key})
    said = visitor.outcome("on_save", visitor.filled("on_save"))
    assert said["output"]["error"] == COLLECTION_GONE


def test_a_page_that_shows_a_collection_that_has_ended_is_told_so(
    visitor: Visitor, served: Served
) -> None:
    key = add(visitor, "Straw/a.png")
    visitor.ask("on_act", [None], {"act": "delete", "key": key})
    for act in ("search", "resume", "look", "name", "remove", "delete", "rename", "unremove"):
        said = visitor.ask("on_act", [None], {"act": act, "key": key, "ids": [1], "value": "new"})
        assert sentences(said) == [COLLECTION_GONE], act
    assert sentences(visitor.hand_over({"c.png": encode(by_hue(120), "PNG")}, key)) == [
        COLLECTION_GONE
    ]
    assert "Traceback" not in served.log


def test_undo_is_offered_of_what_it_can_bring_back_and_the_rest_told_beforehand(
    visitor: Visitor, served: Served
) -> None:
    key = add(visitor, "Pond/a.png", "Pond/b.png", "Pond/c.png")
    (served.home / "collections" / key / "originals" / "b.png").unlink()
    shown = visitor.outcome("on_act", [None], {"act": "pictures", "key": key})["output"]["data"][0]
    assert words.PICTURE_ALONE in shown
    marks = dict(re.findall(r'value="(\d+)" aria-label="Mark (.\.png)"', shown))
    ids = {name: int(id_) for id_, name in marks.items()}

    def take_out(*names: str) -> str:
        event = {"act": "remove", "key": key, "ids": [ids[name] for name in names]}
        shown = visitor.outcome("on_act", [None], event)["output"]["data"][0]
        return unescape(str(shown))

    both = take_out("a.png", "b.png")
    assert words.REMOVED_FOR_GOOD.format(n=1) in both
    assert 'data-act="unremove"' in both
    back = {"act": "unremove", "key": key}
    shown = str(visitor.outcome("on_act", [None], back)["output"]["data"][0])
    assert words.came_back(1, "Pond") in shown
    assert "Mark a.png" in shown  # the list stays open
    assert "2 pictures" in visitor.finish(key)
    said = str(visitor.add_pictures({"d.png": encode(by_hue(200), "PNG")}, key))
    assert words.came_back(1, "Pond") not in said
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


def test_undo_and_apply_of_a_page_that_was_left_for_long_say_what_to_do(visitor: Visitor) -> None:
    key = add(visitor, "Pond/a.png")
    for act, sentence in (
        ("unremove", words.REMOVED_FORGOTTEN),
        ("apply", words.CHANGES_FORGOTTEN),
    ):
        said = visitor.ask("on_act", [None], {"act": act, "key": key})
        assert sentence in sentences(said)
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


def test_an_upload_without_pictures_leaves_nothing_to_bring_back(
    visitor: Visitor, served: Served
) -> None:
    before = set((served.home / "collections").rglob("*"))
    visitor.add_pictures({"notes/notes.csv": b"filename,label\na.png,a\n"})
    assert set((served.home / "collections").rglob("*")) - before <= {
        served.home / "collections" / ".trash"
    }


def test_of_an_upload_of_which_nothing_can_be_read_no_collection_is_left(
    visitor: Visitor, served: Served
) -> None:
    before = keys(visitor)
    visitor.add_pictures({"Wreck/a.jpg": b"none", "Wreck/b &.png": b"nor this"})
    shown = unescape(visitor.finish(""))
    assert words.TAKEN_NONE.format(name="Wreck") in shown
    for name in ("a.jpg", "b &.png"):
        assert name in shown
    assert keys(visitor) == before
    folder = served.home / "collections"
    assert not [path for path in folder.rglob("*") if "Wreck" in path.name]
    # One that had a picture stays whatever comes later.
    key = add(visitor, "Moor/a.png")
    visitor.add_pictures({"c.jpg": b"none"}, key)
    assert "1 could not be read" in visitor.finish(key)
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


def test_what_could_not_be_read_for_a_reason_that_passes_is_kept(
    owned: tuple[LibraryPage, str, gr.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, before, request = owned

    def no_memory(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(indexing, "decode", no_memory)
    upload = page.uploads.begin("me", 1, 9, page.bounds(request))
    with page.uploads.receiving(upload, "me", "Full/a.png") as receiver:
        receiver.write(b"a picture")
    page.adding.make(upload, "me", owner=True)
    (key,) = set(page.workspace.shelf.keys()) - {before}
    while not (state := page.workspace.building(key)) or not state.finished:
        time.sleep(0.01)
    assert page.adding.give_up_unreadable("me", owner=True) == ""
    assert page.workspace.shelf.searcher(key).collection.listing.count() == (0, 1)
    assert words.LIBRARY_NONE in page.on_return(Desk(), request)[0]


def take(page: LibraryPage, request: gr.Request, name: str, data: bytes, key: str = "") -> str:
    """Make a collection of a file of the owner's, or add it to that of `key`; return the key."""
    before = set(page.workspace.shelf.keys())
    upload = page.uploads.begin("me", 1, len(data), page.bounds(request))
    with page.uploads.receiving(upload, "me", name) as receiver:
        receiver.write(data)
    if key:
        page.adding.add(upload, key, "me")
    else:
        page.adding.make(upload, "me", owner=True)
        (key,) = set(page.workspace.shelf.keys()) - before
    while not (state := page.workspace.building(key)) or not state.finished:
        time.sleep(0.01)
    return key


def asked_by(client: str, **headers: str) -> gr.Request:
    scope = {"type": "http", "path": "/", "scheme": "http", "client": (client, 1)}
    told = {"host": "localhost", **headers}
    raw = [(name.encode(), value.encode()) for name, value in told.items()]
    return gr.Request(Request({**scope, "headers": raw}))


def test_what_came_of_a_table_is_said_to_who_may_change_the_collection_and_then_forgotten(
    owned: tuple[LibraryPage, str, gr.Request],
) -> None:
    page, _, request = owned
    key = take(page, request, "Fen/a.png", encode(by_hue(9), "PNG"))
    take(page, request, "dear.csv", b"filename,price\na.png,9\n", key)
    assert "dear.csv" in page.on_return(Desk(), request)[0]
    seen = page.on_return(Desk(), asked_by("192.0.2.1"))[0]
    assert ("Fen" in seen, "dear.csv" in seen) == (True, False)
    page.workspace.delete(key)
    assert page.adding.captioned(key)
    take(page, request, "Moor/a.png", encode(by_hue(99), "PNG"))
    assert (page.adding.captioned(key), page.adding.added(key)) == ("", 0)


def test_what_came_last_is_said_no_more_once_pictures_are_taken_out(
    owned: tuple[LibraryPage, str, gr.Request],
) -> None:
    page, _, request = owned
    key = take(page, request, "Heath/a.png", encode(by_hue(9), "PNG"))
    take(page, request, "b.png", encode(by_hue(200), "PNG"), key)
    take(page, request, "told.csv", b"filename,price\na.png,9\nb.png,8\n", key)
    assert "Captions for 2 pictures" in page.on_return(Desk(), request)[0]
    (one, _) = page.workspace.shelf.searcher(key).collection.listing.pictures()
    event = gr.EventData(None, {"key": key, "act": "remove", "ids": [one.id]})
    shown = page.on_act(Desk(), event, request)[0]
    assert "1 picture taken out of Heath" in shown
    assert "told.csv" not in shown


def test_what_is_new_is_told_no_more_once_pictures_are_taken_out(
    owned: tuple[LibraryPage, str, gr.Request],
) -> None:
    page, _, request = owned
    key = take(page, request, "Dune/a.png", encode(by_hue(9), "PNG"))

    def told() -> str:
        state = page.workspace.building(key)
        assert state is not None
        return results_markup.building(state, "Dune", state.ended)

    assert "New in" in told()
    (one,) = page.workspace.shelf.searcher(key).collection.listing.pictures()
    page.workspace.take_out(key, [one.id])
    assert told() == ""


def test_pictures_of_visitors_that_come_back_are_waited_for_a_tenth_of_the_time(
    owned: tuple[LibraryPage, str, gr.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, _, _ = owned
    monkeypatch.setattr("retrieval.pages.adding.BACK_SECONDS", 0.5)
    monkeypatch.setattr(page.workspace, "build", lambda *_: None)
    monkeypatch.setattr(page.workspace, "building", lambda _: Building())  # it never ends
    visitor = "a" * 32
    request = asked_by("192.0.2.1", cookie=f"lookalike-{'0' * 16}={visitor}")
    key = page.visitors.create(visitor, "Mine")
    back = gr.EventData(None, {"key": key, "act": "unremove"})

    def press() -> float:
        desk, begun = Desk(), time.monotonic()
        desk.answer(lambda _: Opened(key=key, removed=("a.png",)))
        page.on_act(desk, back, request)
        return time.monotonic() - begun

    assert press() >= 0.5
    assert press() < 0.4


def test_which_pictures_were_there_already_is_said(visitor: Visitor) -> None:
    key = add(visitor, "Moor/a.png")
    known, new = encode(by_hue(120), "PNG"), encode(by_hue(200), "PNG")
    said = str(visitor.add_pictures({"a.png": known, "b.png": new}, key))
    known_one = words.TAKEN_KNOWN.format(pictures="1 picture")
    assert f"{words.TAKEN_ABOUT.format(name='Moor')} {known_one}" in said
    assert "1 picture added. 2 pictures ready." in visitor.finish(key)
    said = str(visitor.add_pictures({"a.png": known, "c.txt": b"none"}, key))
    assert words.TAKEN_NOTHING_NEW.format(name="Moor") in said
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


def test_what_came_of_a_table_is_said_on_its_card(visitor: Visitor) -> None:
    key = add(visitor, "Fen/a.png", "Fen/b.png")
    table = b"filename,title\na.png,heron\nb.png,reed\nc.png,fox\n"
    visitor.add_pictures({"liste.csv": table}, key)
    said = words.captions_for(2, 1, [], "liste.csv")
    assert said == "Captions for 2 pictures, from liste.csv; 1 row has no picture here."
    assert said in visitor.finish(key)
    visitor.add_pictures({"liste.csv": table[:-10]}, key)  # edited, it takes the place of that
    shown = visitor.finish(key)
    assert words.captions_for(2, 0, [], "liste.csv") in shown
    assert said not in shown
    visitor.add_pictures({"d.png": encode(by_hue(200), "PNG")}, key)
    assert said not in visitor.finish(key)
    visitor.add_pictures({"list.csv": b"filename,title\nFen/z.png,fox\n"}, key)
    assert words.captions_for(0, 1, [], "list.csv") in visitor.finish(key)
    assert "none of its rows names a picture" in words.captions_for(0, 1, [], "list.csv")
    for table, parts in (
        (b"name,title\nFen/a.png,heron\n", ("No captions from new.csv.", captions.NO_FILENAME)),
        (b"", ("No captions from new.csv.", captions.NO_COLUMNS)),
        (b"filename,label\na.png,B\xe4r\n", ("Captions for 1 picture", captions.LETTERS)),
        (
            b"filename," + b",".join(b"c%d" % n for n in range(100)) + b"\na.png" + b",x" * 100,
            ("Captions for 1 picture", "Only 40 of its 101 columns are read, without"),
        ),
        (b'filename,title\na.png,"x\n', ("new.csv", "Row 2 cannot be read")),
    ):
        visitor.add_pictures({"new.csv": table}, key)
        card = visitor.finish(key)
        assert all(escape(part) in card for part in (*parts, "Then add it again.")), parts
        assert "take the table away" not in card
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


@pytest.mark.parametrize(
    "table", [b"filename,title\na.png,heron\n", b'filename,title\na.png,"x\n'], ids=["", "broken"]
)
def test_a_table_that_comes_alone_is_not_said_to_lack_pictures(
    visitor: Visitor, table: bytes
) -> None:
    key = add(visitor, "Mere/b.png")
    before = keys(visitor)
    said = str(visitor.add_pictures({"birds.csv": table}))  # beside the cards
    assert words.TAKEN_TABLE_ALONE in said
    assert keys(visitor) == before
    on_card = str(visitor.add_pictures({"birds.csv": table}, key)) + visitor.finish(key)
    is_broken = table.endswith(b'"x\n')
    assert ("Then add it again." in said and "birds.csv" in said) is is_broken
    assert (words.TAKEN_NO_TABLE in on_card and "Then add it again." in on_card) is is_broken
    for text in (said, on_card):
        assert "There was no picture" not in text
    # With other files it is about pictures.
    beside = {"birds.csv": table, "birds.zip": b"no zip"}
    assert words.TAKEN_NONE.format(name=words.TAKEN_THIS) in str(visitor.add_pictures(beside))
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


def test_a_folder_that_was_taken_in_but_not_read_yet_is_known_when_it_is_dropped_again(
    owned: tuple[LibraryPage, str, gr.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, before, request = owned
    monkeypatch.setattr(page.workspace, "build", lambda *_: None)
    for _ in range(2):
        upload = page.uploads.begin("me", 1, 9, page.bounds(request))
        with page.uploads.receiving(upload, "me", "Cut/a.png") as receiver:
            receiver.write(b"a picture")
        page.adding.make(upload, "me", owner=True)
    assert len(set(page.workspace.shelf.keys()) - {before}) == 1


@pytest.mark.parametrize("within", ["", "sand/"], ids=["", "all within another one"])
def test_a_folder_that_is_dropped_again_is_taken_into_what_was_made_of_it(
    visitor: Visitor, within: str
) -> None:
    files = {f"Dune/{within}day {n}/{n}.png": encode(by_hue(20 + n), "PNG") for n in range(3)}
    visitor.add_pictures(files)
    (key,) = [key for key in keys(visitor) if key.startswith("Dune")]
    visitor.finish(key)
    before = keys(visitor)
    said = visitor.add_pictures({**files, "Dune/new.png": encode(by_hue(90), "PNG")})
    assert words.ADDED.format(pictures="1 picture", name="Dune") in str(said)
    assert words.TAKEN_KNOWN.format(pictures="3 pictures") in str(said)
    assert "4 pictures ready" in visitor.finish(key)
    titled = {**files, "Dune/titles.csv": b"filename,title\nday 0/0.png,sand\n"}
    assert words.TAKEN_NOTHING_NEW.format(name="Dune") in str(visitor.add_pictures(titled))
    assert keys(visitor) == before
    # A folder of that name with other photos is another one, and known as such from then on.
    others = {name: encode(pattern("dots", n), "PNG") for n, name in enumerate(files)}
    visitor.add_pictures(others)
    (other,) = keys(visitor) - before
    visitor.finish(other)
    assert words.TAKEN_NOTHING_NEW.format(name="Dune 2") in str(visitor.add_pictures(others))
    # So it is when it has been renamed.
    for value in ("Sand", "Sahara"):
        visitor.ask("on_act", [None], {"act": "name", "key": other, "value": value})
    assert words.TAKEN_NOTHING_NEW.format(name="Sahara") in str(visitor.add_pictures(others))
    assert keys(visitor) - before == {other}
    for made in (key, other):
        visitor.ask("on_act", [None], {"act": "delete", "key": made})


def test_the_bin_is_emptied_once_it_has_been_asked_whether_to(visitor: Visitor) -> None:
    key = add(visitor, "Pond/a.png")

    def act(name: str, place: str) -> str:
        event = {"act": name, "key": place}
        return unescape(str(visitor.outcome("on_act", [None], event)["output"]["data"][0]))

    shown = act("delete", key)
    # The notice comes first; other tests have deleted collections of this name as well.
    place = re.findall(rf'data-act="undo" data-key="(\d+-\w+-{key})"', shown)[0]
    assert words.EMPTY_FOR_GOOD.format(name="Pond") in act("empty", place)
    assert f'data-act="undo" data-key="{place}"' in act("close", "")  # nothing has happened yet
    said = words.DELETED_FOR_GOOD.format(name="Pond")
    assert said in act("empty-for-good", place)
    shown = act("close", "")
    assert place not in shown
    assert said not in shown


def test_a_password_whose_cookie_the_browser_refuses_lets_nobody_in(
    owned: tuple[LibraryPage, str, gr.Request],
) -> None:
    page, _, request = owned
    stranger = gr.Request(Request({**request.request.scope, "client": ("203.0.113.7", 1)}))
    *_, emptied, refused, may_fetch = page.on_password(Desk(), "", stranger)
    assert re.search(r"That is the password, but .* cookies.*Allow them", refused)
    assert (emptied, may_fetch) == ("", gr.skip())
    *_, refused, _ = page.on_password(Desk(), "Wait a second", stranger)
    assert "Wait a second" in refused


def test_the_collection_that_comes_with_the_app_is_hidden_and_shown_again_by_its_owner_alone(
    owned: tuple[LibraryPage, str, gr.Request], wheel: Path, tmp_path: Path
) -> None:
    page, _, request = owned
    Collection.create(tmp_path / "shipped", "Starter", None, page.workspace.embedder).close()
    page.workspace.shelf.serve(Collection(tmp_path / "shipped", read_only=True), key="@shipped")
    hide, show = (
        gr.EventData(None, {"key": key, "act": act})
        for key, act in (("@shipped", "hide"), ("", "show"))
    )
    stranger = gr.Request(Request({**request.request.scope, "client": ("203.0.113.7", 1)}))
    with pytest.warns(UserWarning, match="Only the owner"):
        page.on_act(Desk(), hide, stranger)
    assert "@shipped" in page.workspace.shelf.names()
    assert 'data-act="hide"' not in page.on_return(Desk(), stranger)[0]

    assert page.on_return(Desk(), request)[0].count('data-act="hide"') == 1
    desk = Desk()
    listing = page.on_act(desk, hide, request)[0]
    assert "Starter is hidden." in listing
    assert listing.count('data-act="show"') == 1  # what is said, and not its line below as well
    assert 'data-key="@shipped"' not in listing
    listing = page.on_return(Desk(), request)[0]  # another page
    assert listing.count('data-act="show"') == 1
    assert 'data-act="show"' not in page.on_return(Desk(), stranger)[0]
    with pytest.warns(UserWarning, match="Only the owner"):
        page.on_act(Desk(), show, stranger)
    assert "@shipped" not in page.workspace.shelf.names()
    assert 'data-key="@shipped"' in page.on_act(desk, show, request)[0]


def test_that_something_was_deleted_for_good_goes_with_the_next_upload(visitor: Visitor) -> None:
    key = add(visitor, "Pond/a.png")
    place = ""
    for act in ("delete", "empty-for-good"):
        shown = str(visitor.outcome("on_act", [None], {"act": act, "key": place or key}))
        place = place or re.findall(rf"\d+-\w+-{key}", shown)[0]
    said = words.DELETED_FOR_GOOD.format(name="Pond")
    assert said in str(visitor.outcome("on_return_1", [None]))  # until something else is done
    assert said not in str(visitor.add_pictures({"Hill/a.png": encode(by_hue(130), "PNG")}))


def test_of_a_folder_searched_in_place_no_photos_are_said_to_go_for_good(
    visitor: Visitor, tmp_path: Path
) -> None:
    folder, before = save_hues(tmp_path / "Shore", {"a.png": 220}), keys(visitor)
    visitor.ask("on_folder", [None, str(folder)])
    (key,) = keys(visitor) - before
    visitor.finish(key)
    shown = str(visitor.outcome("on_act", [None], {"act": "delete", "key": key}))
    (place,) = re.findall(rf"\d+-\w+-{key}", shown)[:1]
    asked = str(visitor.outcome("on_act", [None], {"act": "empty", "key": place}))
    assert words.EMPTY_WITHOUT_PHOTOS.format(name="Shore") in unescape(asked)
    visitor.ask("on_act", [None], {"act": "empty-for-good", "key": place})
    assert (folder / "a.png").is_file()


def test_a_folder_that_was_renamed_is_told_to_be_the_collection_that_it_is(
    visitor: Visitor, tmp_path: Path
) -> None:
    folder = save_hues(tmp_path / "Lake 2024", {"a.png": 200, "b.png": 210})
    before = keys(visitor)
    visitor.ask("on_folder", [None, str(folder)])
    (key,) = keys(visitor) - before
    visitor.finish(key)
    now = folder.rename(tmp_path / "Lake")
    said = visitor.ask("on_folder", [None, str(now)])
    assert words.FOLDER_FOLLOWED.format(name="Lake 2024") in sentences(said)
    assert "2 pictures ready" in visitor.finish(key)
    assert keys(visitor) - before == {key}
    visitor.ask("on_act", [None], {"act": "delete", "key": key})


def test_gradio_remembers_no_upload_for_as_long_as_the_app_runs() -> None:
    assert "blocks.upload_file_set.update(" in inspect.getsource(gradio.routes)  # what fills it
    remembered = Unremembered()
    remembered.update(["/somewhere/a.png"])
    assert not remembered


def test_what_takes_long_on_one_persons_cards_keeps_nobody_elses_buttons_waiting(
    owned: tuple[LibraryPage, str, gr.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, *_ = owned
    begun: list[str] = []
    may_end = threading.Event()

    def do(opened: Opened, event: Any, visitor: str, _: bool) -> Opened:
        begun.append(event.key)
        assert visitor[:1] != "a" or may_end.wait(20)
        return opened

    monkeypatch.setattr(page.acts, "do", do)
    guard_queue()

    async def run() -> None:
        with gr.Blocks() as app, gr.Tabs() as tabs, gr.Tab() as tab:
            page.build(app, tabs, tab, gr.Dropdown(), gr.Textbox())
        app.queue(max_size=100)
        app.run_startup_events()
        number = next(fn._id for fn in app.fns.values() if fn.api_name == "on_act")
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app.app), base_url="http://testserver/gradio_api"
        )

        async def press(visitor: str, key: str) -> None:
            asked = {"data": [None], "fn_index": number, "session_hash": f"page of {visitor}"}
            told = {"event_data": {"act": "close", "key": key}, **asked}
            cookie = {"cookie": f"lookalike-{1:016x}={visitor * 32}"}
            assert (await http.post("queue/join", json=told, headers=cookie)).status_code == 200

        async def until(keys: list[str]) -> None:
            end = time.monotonic() + 20
            while begun != keys:
                assert time.monotonic() < end, begun
                await asyncio.sleep(0.01)

        await press("a", "first")
        await press("a", "second")
        await until(["first"])
        await press("b", "another's")
        await until(["first", "another's"])
        may_end.set()
        await until(["first", "another's", "second"])

    asyncio.run(run())

"""The markup of the pages: what it says, without a browser."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.building import Building
from retrieval.captions import pretty
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.confidence import Confidence
from retrieval.embedding import Embedder
from retrieval.indexing import Step, index_folder
from retrieval.pages import words
from retrieval.pages.asking import Asked, Part
from retrieval.pages.cards_markup import Card, card
from retrieval.pages.opened_markup import PER_PAGE, pictures
from retrieval.pages.results_markup import browse, building, none_found, results, truth
from retrieval.pages.search_options import tell_filters
from retrieval.query import Filters
from retrieval.records import PictureRecord
from retrieval.search import Found, Match, Timings

NONE, LOOSE, SIMILAR, VERY, SAME = Confidence
ASKED = Asked((Part("cat.jpg"),))


def found(*confidences: Confidence) -> Found:
    """Return results of these confidences, named by their numbers."""
    pictures = (
        PictureRecord(id_, f"{id_}.jpg", "", 9, 40, 30, None, f"{id_:064x}")
        for id_ in range(len(confidences))
    )
    matches = (
        Match(picture, 0.9 - 0.1 * picture.id, "key", confidence)
        for picture, confidence in zip(pictures, confidences, strict=True)
    )
    return Found(tuple(matches), 100, Timings(0, 0, 0))


@pytest.mark.parametrize(
    ("confidences", "above"),
    [
        ((VERY, SIMILAR, LOOSE, NONE), 2),
        ((LOOSE, VERY, NONE, SIMILAR, LOOSE), 4),
        ((NONE, VERY), None),
        ((SIMILAR, SIMILAR), None),
        ((LOOSE, NONE), 1),
        ((LOOSE, LOOSE), None),
        ((NONE, NONE), None),
    ],
    ids=[
        *("one collection", "several", "a good one at the end", "all good"),
        *("some related", "all related", "none"),
    ],
)
def test_no_good_match_is_below_the_line(
    confidences: tuple[Confidence, ...], above: int | None
) -> None:
    told = results(found(*confidences), ASKED, "")
    assert told.count("lk-divider") == (above is not None)
    before, _, _ = told.partition("lk-divider")
    assert before.count('class="lk-tile"') == (len(confidences) if above is None else above)


def test_the_very_file_that_is_searched_with_is_called_so_and_a_part_of_it_is_not() -> None:
    asked = Part("cat.jpg", sha256=f"{1:064x}")
    told = results(found(SAME, SAME), Asked((asked,)), "")
    assert re.findall('lk-sure">([^<]*)', told) == ["almost the same", "the same picture"]
    cut = replace(asked, crop=(0.0, 0.0, 0.5, 0.5))
    for parts in ((cut,), (asked, Part("dog.jpg"))):
        assert "the same picture" not in results(found(SAME, SAME), Asked(parts), "")


def test_a_kind_is_read_out_as_it_is_shown() -> None:
    picture = PictureRecord(1, "1.jpg", "hot_air_balloons", 9, 40, 30, None, f"{1:064x}")
    match = Match(picture, 0.9, "key", VERY)
    shown = (
        results(Found((match,), 100, Timings(0, 0, 0)), ASKED, ""),
        browse([("key", picture)], ""),
    )
    for told in shown:
        assert 'aria-label="1.jpg, hot air balloons' in told
        assert 'lk-kind">hot air balloons<' in told


def test_results_say_of_which_collection_they_are_where_there_are_several() -> None:
    told = results(found(VERY), ASKED, "", names={"key": "<Garden>"})
    assert '<span class="lk-where">&lt;Garden&gt;</span>' in told
    assert "lk-where" not in results(found(VERY), ASKED, "")


def spoken(told: str) -> str:
    return re.findall('role="status">([^<]*)', told)[-1]


def test_what_is_spoken_is_how_sure_the_first_one_is() -> None:
    told = results(found(LOOSE, VERY), ASKED, "")
    assert spoken(told) == (
        "2 pictures, most similar to cat.jpg. The first one: 0.jpg, loosely related."
    )
    assert ">Most similar <span>to cat.jpg</span></h2>" in told


def test_what_is_spoken_says_what_was_taken_away_and_that_nothing_matches() -> None:
    """A screen reader reads only what differs from the answer before."""
    asked = Asked((*ASKED.parts, Part("dog.jpg", wanted=False), Part("cow.jpg", wanted=False)))
    said = spoken(results(found(NONE, NONE), asked, ""))
    assert said.startswith(words.NOTHING_MATCHES)
    assert "to cat.jpg, and less like dog.jpg, cow.jpg." in said


def test_that_there_is_no_result_is_spoken_in_the_line_of_the_results() -> None:
    assert spoken(none_found(ASKED, "None", "There is none.", "")) == "None. There is none."


def test_a_button_of_a_card_tells_its_collection_and_whether_what_it_opens_is_open(
    indexed: Collection,
) -> None:
    one = card(Card("wheel", indexed, None, editable=True, view="rename"), now=0, opened="")
    assert '<h3 id="name-wheel" title="wheel">wheel</h3>' in one
    buttons = dict(re.findall('<button[^>]* data-act="([a-z]+)"([^>]*)>', one))
    assert all('aria-describedby="name-wheel"' in button for button in buttons.values())
    assert [act for act, button in buttons.items() if 'aria-expanded="true"' in button] == [
        "rename"
    ]
    assert 'aria-expanded="false"' in buttons["pictures"]


def test_results_in_another_order_are_not_called_most_similar_first() -> None:
    told = results(found(LOOSE, VERY, NONE), ASKED, "", "newest")
    assert spoken(told) == (
        "3 pictures, similar to cat.jpg, newest first. The first one: 0.jpg, loosely related."
    )
    assert ">Similar <span>to cat.jpg, newest first</span></h2>" in told
    assert "most similar" not in told.casefold()
    assert "lk-divider" not in told
    assert "by name" in spoken(results(found(VERY), ASKED, "", "name"))


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("glass_marbles", "glass marbles"),
        ("hot-air balloons", "hot air balloons"),
        ("2024-07-31", "2024-07-31"),
        ("2024-07_summer-house", "2024-07 summer house"),
    ],
)
def test_labels_are_shown_as_people_write_them_and_dates_stay(label: str, shown: str) -> None:
    assert pretty(label) == shown


def test_what_computed_the_results_is_told_but_folded_away() -> None:
    told = truth("Starter", "VGG-16, PCA 256", "CPU", 360)
    before, folded = told.split("<details>")
    assert before == '<div class="lk-truth">360 pictures of Starter'
    assert "VGG-16, PCA 256 · CPU" in folded


@pytest.mark.parametrize(
    ("total", "told"), [(1, "0 of 1 picture."), (1_200, "0 of 1,200 pictures.")]
)
def test_the_reading_of_a_collection_is_told_in_words_that_fit_number_and_name(
    total: int, told: str
) -> None:
    step = Step(done=0, total=total, ready=0, unreadable=0)
    said = building(Building(step, since=(1.0, 0)), "תמר 2024", 1.0)
    assert f"Reading \u2068תמר 2024\u2069: {told}" in said


def test_after_a_start_anew_what_could_not_be_read_is_still_told_beside_its_button(
    wheel: Path, indexed: Collection, embedder: Embedder
) -> None:
    (wheel / "broken.png").write_bytes(b"no")
    list(index_folder(indexed, wheel, embedder, find_changes(indexed, wheel)))
    one = card(Card("wheel", indexed, state=None, editable=True), now=0, opened="")
    line = one[one.index('<p class="lk-state">') :]
    assert line.startswith('<p class="lk-state">1 could not be read. <button')
    assert one.count("could not be read") == 1
    visitors = card(Card("wheel", indexed, state=None, editable=False), now=0, opened="")
    assert "1 could not be read." in visitors
    assert "Show which" not in visitors


def test_the_buttons_that_turn_the_pictures_stay_together_with_what_is_shown() -> None:
    page = [PictureRecord(1, "a.jpg", "", 9, 40, 30, None, "0" * 64)] * PER_PAGE
    several = pictures("wheel", page, 60, 150, 0, "")
    turns = several[several.index('<span class="lk-row lk-pages">') :]
    assert re.sub("<[^>]*>", "|", turns).startswith("||Back||Next||61 to 120 of 150|||")
    alone = pictures("wheel", page, 0, 60, 0, "")
    assert "lk-pages" not in alone
    assert "1 to 60 of 60" in alone


def test_that_stop_was_pressed_is_said_at_once(indexed: Collection) -> None:
    state = Building(Step(8, 213, 8, 0), stopping=True)
    one = card(Card("wheel", indexed, state, editable=True), now=9.0, opened="")
    assert words.LIBRARY_STOPPING in one
    assert re.search(r'data-act="cancel"[^>]* disabled>Stop<', one)
    assert "8 of 213" not in one


def test_what_was_stopped_says_how_much_is_left(indexed: Collection) -> None:
    for step, said in (
        (Step(4, 213, 4, 0), "Stopped before the end: 209 of 213 pictures still to be read."),
        (Step(0, 0, 0, 0), words.LIBRARY_STOPPED),
    ):
        indexed.mark_unfinished(True)
        state = Building(step, ended=5.0, cancelled=True)
        assert said in card(Card("wheel", indexed, state, editable=True), now=9.0, opened="")


def test_what_came_after_a_run_and_was_not_read_can_be_gone_on_with(indexed: Collection) -> None:
    state = Building(Step(6, 6, 6, 0), ended=5.0)
    assert "resume" not in card(Card("wheel", indexed, state, editable=True), now=9.0, opened="")
    indexed.mark_unfinished(True)
    taking = Card("wheel", indexed, state, editable=True, taking=True)
    assert words.LIBRARY_TAKING in card(taking, now=9.0, opened="")
    assert "resume" in card(Card("wheel", indexed, state, editable=True), now=9.0, opened="")


def test_filters_are_told_as_the_page_names_them() -> None:
    assert tell_filters(Filters()) == ""
    filters = Filters(label="old_buses", shape="portrait", megapixels=2, until="2021-06")
    told = "Kind: old buses · Shape: Portrait · At least, in megapixels: 2 · Taken until: 2021-06"
    assert tell_filters(filters) == told


@pytest.mark.parametrize(
    ("n", "of", "told"),
    [
        (1, 1, words.ONE_REMOVED_FOR_GOOD),
        (3, 3, words.ALL_REMOVED_FOR_GOOD),
        (1, 3, words.REMOVED_FOR_GOOD.format(n=1)),
    ],
)
def test_how_many_cannot_be_brought_back_is_told_in_words_that_fit(
    n: int, of: int, told: str
) -> None:
    assert words.removed_for_good(n, of) == told


def test_how_many_could_not_be_brought_back_is_told_in_words_that_fit() -> None:
    assert words.pictures_alone(1, 1) == words.pictures_alone(1, 9) == words.PICTURE_ALONE
    assert words.pictures_alone(2, 9) == words.PICTURES_ALONE.format(n=2)
    assert words.pictures_alone(9, 9) == words.ALL_PICTURES_ALONE
    assert words.others_alone(1, 1) == words.ONLY_OTHER_ALONE
    assert words.others_alone(2, 2) == words.ALL_OTHERS_ALONE
    assert words.others_alone(1, 2) == words.OTHER_ALONE
    assert words.others_alone(2, 3) == words.OTHERS_ALONE.format(n=2)


def test_what_a_search_does_without_is_said_in_words_that_fit_the_number() -> None:
    assert "1 picture of this search could not be found here and was" in words.searched_without(1)
    assert "2 pictures of this search could not be found here and were" in words.searched_without(2)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "less than 0.1"),
        (0.049, "less than 0.1"),
        (0.05, "0.1"),
        (1.04, "1.0"),
        (15.8, "15.8"),
    ],
)
def test_no_test_is_said_to_have_taken_no_time(seconds: float, told: str) -> None:
    assert words.tested(32, seconds) == f"32 searches in {told} seconds."

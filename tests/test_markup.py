"""The markup of the pages: what it says, without a browser."""

from pathlib import Path

import pytest

from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.indexing import index_folder
from retrieval.pages.library_markup import Card, card
from retrieval.pages.markup import pretty, truth


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

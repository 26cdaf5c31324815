"""The cards of the tab "My pictures", as markup."""

from pathlib import Path

from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.indexing import index_folder
from retrieval.pages.library_markup import Card, card


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

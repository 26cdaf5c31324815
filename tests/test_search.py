"""Search: a picture in, its nearest neighbours out, and every change of the collection seen."""

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.confidence import Confidence
from retrieval.embedding import Aspects, Embedder
from retrieval.errors import LookalikeError, PictureError
from retrieval.exact import ExactGallery
from retrieval.indexing import index_folder
from retrieval.query import Filters, Weights
from retrieval.rankings import rank_blocks
from retrieval.records import Content, Entry
from retrieval.reranking import LIMIT
from retrieval.search import DEEPEST, KEPT, Found, Match, Placed, Request, Searcher, search
from tests.made import by_hue, encode, mean_colour, pattern, search_like

PIXELS = 10_000_000


@pytest.fixture
def searcher(indexed: Collection, embedder: Embedder) -> Iterator[Searcher]:
    """The colour wheel, ready to search."""
    return Searcher(indexed, embedder)


def paths(found: Found) -> list[str]:
    return [match.picture.path for match in found.matches]


def search_hue(searcher: Searcher, degrees: float, k: int = 3) -> Found:
    return searcher.search_file(encode(by_hue(degrees), "PNG"), k, PIXELS)


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (0, ["warm/red.png", "warm/orange.png", "warm/yellow.png"]),
        (250, ["cold/blue.png", "cold/azure.png", "cold/cyan.png"]),
        (50, ["warm/yellow.png", "warm/orange.png", "warm/red.png"]),
    ],
    ids=["red", "violet", "gold"],
)
def test_the_nearest_colours_of_the_wheel_come_first(
    searcher: Searcher, degrees: float, expected: list[str]
) -> None:
    found = search_hue(searcher, degrees)
    assert paths(found) == expected
    assert found.compared == 6


def test_similarities_are_cosines_raised_by_neighbours_and_fall(searcher: Searcher) -> None:
    found = search_hue(searcher, 30, k=6)
    similarities = [match.similarity for match in found.matches]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] == pytest.approx(1, abs=1e-4)
    # Orange (1, 0.5, 0) and yellow (1, 1, 0): 1.5 / (sqrt(1.25) * sqrt(2)).
    yellow = next(m for m in found.matches if m.picture.path == "warm/yellow.png")
    assert 0.9487 - 2e-3 < yellow.similarity <= LIMIT
    # With colours, which the network of these tests does not know, it is a cosine as it is.
    query = searcher.embedder.describe_pictures(np.full((1, 8, 8, 3), (255, 127, 0), np.uint8))
    weights = Weights(1, 1e-6, 0)
    ranked = search([searcher], query, Request(6, weights)).matches
    yellow = next(m for m in ranked if m.picture.path == "warm/yellow.png")
    assert yellow.similarity == pytest.approx(0.9487, abs=2e-3)


def test_neighbours_have_a_say_however_much_the_subject_alone_counts(searcher: Searcher) -> None:
    red = next(p for p in searcher.collection.listing.pictures() if p.path == "warm/red.png")
    asked = searcher.aspects(red.id)
    whole = search([searcher], asked, Request(6)).matches
    half = search([searcher], asked, Request(6, Weights(0.5))).matches
    assert [m.picture.path for m in half] == [m.picture.path for m in whole]
    similarities = [m.similarity for m in whole]
    assert [m.similarity for m in half] == pytest.approx(similarities, abs=1e-5)
    vectors = searcher.embeddings().vectors
    cosines = np.sort(vectors @ asked.subject[0])[::-1]
    assert all(np.array(similarities) >= cosines - 1e-6)
    assert sum(similarities) > cosines.sum() + 0.01


def test_the_self_test_ranks_as_the_search_does(searcher: Searcher) -> None:
    held = searcher.embeddings()
    n = len(held.ids)
    rows, classes = np.arange(n), np.zeros(n, np.int64)
    (ranked,) = rank_blocks(held.vectors, classes, held.vectors, classes, rows, reranked=True)
    for row, id_ in enumerate(held.ids):
        found = search_like(searcher, int(id_), n).matches
        nearest = [int(held.ids[other]) for other in ranked.nearest[row] if other >= 0]
        assert [match.picture.id for match in found] == nearest


def test_a_file_and_its_bytes_give_the_same_answer(searcher: Searcher, tmp_path: Path) -> None:
    path = tmp_path / "query.jpg"
    by_hue(20).save(path)
    from_file = searcher.search_file(path, 4, PIXELS)
    from_bytes = searcher.search_file(path.read_bytes(), 4, PIXELS)
    assert from_file.matches == from_bytes.matches


@pytest.mark.parametrize(("k", "given"), [(1, 1), (6, 6), (100, 6)])
def test_there_are_as_many_results_as_asked_for_and_as_there_are(
    searcher: Searcher, k: int, given: int
) -> None:
    assert len(search_hue(searcher, 10, k).matches) == given


def test_more_like_this_leaves_the_picture_itself_out(searcher: Searcher) -> None:
    red = next(p for p in searcher.collection.listing.pictures() if p.path == "warm/red.png")
    found = search_like(searcher, red.id, 2)
    assert paths(found) == ["warm/orange.png", "warm/yellow.png"]
    assert found.compared == 5
    assert len(search_like(searcher, red.id, 100).matches) == 5


def test_a_picture_whose_vector_is_lost_is_told_as_such(
    searcher: Searcher, indexed: Collection
) -> None:
    id_ = indexed.listing.pictures()[0].id
    with indexed.store.transaction() as database:
        database.execute(
            "UPDATE contents SET embedding = zeroblob(length(embedding)) "
            "WHERE id = (SELECT content FROM pictures WHERE id = ?)",
            (id_,),
        )
    with pytest.raises(LookalikeError, match=r"was lost\. Look for changes"):
        searcher.aspects(id_)


def test_pictures_that_a_filter_keeps_out_are_not_counted_as_compared(searcher: Searcher) -> None:
    red = next(p for p in searcher.collection.listing.pictures() if p.path == "warm/red.png")
    query = searcher.aspects(red.id)

    def compared(filters: Filters, *left_out: int) -> int:
        own = frozenset(("", id_) for id_ in left_out)
        return search([searcher], query, Request(1, filters=filters, left_out=own)).compared

    blue = next(p for p in searcher.collection.listing.pictures() if p.path == "cold/blue.png")
    assert compared(Filters(folder="warm")) == 3
    assert compared(Filters(folder="warm"), red.id) == 2
    assert compared(Filters(folder="cold"), red.id) == 3
    assert compared(Filters(folder="warm", shape="portrait"), red.id) == 0
    # One that is not wanted may rank below all that are shown.
    assert compared(Filters(folder="cold"), red.id, blue.id) == 2
    assert compared(Filters(), red.id, blue.id) == 4
    both = search([searcher, searcher], query, Request(1, filters=Filters(folder="warm")))
    assert both.compared == 6


def test_however_many_mixtures_are_asked_for_few_are_remembered(searcher: Searcher) -> None:
    wanted = [Weights(1, share / 100, 0.5) for share in range(50)]
    first = [searcher.calibration(weights) for weights in wanted]
    alive = [weakref.ref(calibration) for calibration in first]
    del first
    gc.collect()
    assert sum(ref() is not None for ref in alive) == KEPT
    lately = [searcher.calibration(weights) for weights in wanted[-KEPT:]]
    assert lately == [ref() for ref in alive[-KEPT:]]


def test_only_by_the_subject_alone_a_result_is_almost_the_same(searcher: Searcher) -> None:
    red = next(p for p in searcher.collection.listing.pictures() if p.path == "warm/red.png")

    def best(weights: Weights) -> Confidence:
        return search([searcher], searcher.aspects(red.id), Request(1, weights)).confidence

    assert best(Weights()) == best(Weights(0.5)) == Confidence.SAME
    assert best(Weights(0, 1, 0)) < Confidence.SAME
    assert best(Weights(1, 0.5, 0)) < Confidence.SAME


def test_more_like_this_shows_the_other_copies(
    searcher: Searcher, wheel: Path, embedder: Embedder
) -> None:
    (wheel / "copy.png").write_bytes((wheel / "warm" / "red.png").read_bytes())
    list(
        index_folder(searcher.collection, wheel, embedder, find_changes(searcher.collection, wheel))
    )
    red = next(p for p in searcher.collection.listing.pictures() if p.path == "warm/red.png")
    best = search_like(searcher, red.id, 1).matches[0]
    assert (best.picture.path, best.similarity) == ("copy.png", pytest.approx(1))


def test_of_the_same_file_several_times_the_shortest_path_stands_for_all(
    searcher: Searcher, wheel: Path, embedder: Embedder
) -> None:
    for name in ("IMG_1 (1).png", "IMG_1.png", "old/IMG_1.png"):
        (wheel / name).parent.mkdir(exist_ok=True)
        pattern("dots", 1).save(wheel / name)
    collection = searcher.collection
    list(index_folder(collection, wheel, embedder, find_changes(collection, wheel)))
    like = searcher.aspects(
        next(p.id for p in collection.listing.pictures() if p.path == "IMG_1.png")
    )
    best = search([searcher], like, Request(3, folded=True)).matches[0]
    assert best.picture.path == "IMG_1.png"
    assert {copy.picture.path for copy in best.copies} == {"IMG_1 (1).png", "old/IMG_1.png"}


def test_more_like_a_picture_that_is_gone_is_refused_with_the_cure(searcher: Searcher) -> None:
    with pytest.raises(LookalikeError, match=r"not in the collection any more\. Search again"):
        search_like(searcher, 12345, 3)


@pytest.mark.parametrize("folded", [False, True])
def test_when_all_pictures_are_taken_out_while_they_are_ranked_none_is_found(
    searcher: Searcher, folded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, query = searcher.collection, searcher.aspects(1)
    rank = ExactGallery.search

    def rank_and_take_out(*arguments: Any) -> Any:
        ranking = rank(*arguments)
        collection.exclude([picture.path for picture in collection.listing.pictures()])
        return ranking

    monkeypatch.setattr(ExactGallery, "search", rank_and_take_out)
    assert search([searcher], query, Request(folded=folded)).matches == ()


def test_a_query_that_cannot_be_read_is_refused(searcher: Searcher) -> None:
    with pytest.raises(PictureError, match="not a picture"):
        searcher.search_file(b"words", 3, PIXELS)
    with pytest.raises(PictureError, match="megapixels"):
        searcher.search_file(encode(by_hue(0), "PNG"), 3, max_pixels=100)


def test_changes_made_by_another_process_are_seen_by_the_next_search(
    searcher: Searcher, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    assert paths(search_hue(searcher, 320, k=1)) != ["pink.png"]
    by_hue(320).save(wheel / "pink.png")
    (wheel / "warm" / "red.png").unlink()
    with Collection(tmp_path / "collection") as other:
        list(index_folder(other, wheel, embedder, find_changes(other, wheel)))
    assert paths(search_hue(searcher, 320, k=1)) == ["pink.png"]
    assert "warm/red.png" not in paths(search_hue(searcher, 0, k=100))


@pytest.mark.parametrize("same", [True, False], ids=["this process", "another process"])
def test_a_mixture_is_searched_while_the_collection_is_being_built(
    tmp_path: Path, same: bool
) -> None:
    corners = np.eye(3, dtype=np.float32)  # a picture's three vectors are the same one
    finished = threading.Event()
    failures: list[BaseException] = []

    with (
        Collection.create(tmp_path / "c", "c", None, mean_colour()) as collection,
        Collection(tmp_path / "c") as other,
    ):

        def write(number: int, writer: Collection) -> None:
            # One comes and one goes, so that the count alone would tell nothing.
            sha256, corner = f"{number:064x}", corners[number % 3]
            entry = Entry(f"{number % 7}/{number}.png", 10, 10, "", sha256)
            content = Content(sha256, 40, 30, None, corner, b"jpeg", corner, corner)
            writer.write([entry], [content], [f"{(number - 20) % 7}/{number - 20}.png"])

        def build() -> None:
            try:
                number = 20
                while not finished.is_set():
                    write(number, collection if same else other)
                    number += 1
            except BaseException as error:
                failures.append(error)

        for number in range(20):
            write(number, collection)
        writer = threading.Thread(target=build)
        writer.start()
        searcher = Searcher(collection, mean_colour())
        try:
            for _ in range(60):
                query = Aspects(corners[:1], corners[:1], corners[:1])
                found, _ = searcher.find(query, Request(20, Weights(1, 1, 1)))
                # Rows of different moments side by side would give thirds.
                assert {round(match.similarity, 3) for match in found} <= {0, 1}
        finally:
            finished.set()
            writer.join()
        assert failures == []


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.mark.parametrize("frames", [10, 48, 500])
def test_what_is_behind_a_burst_is_found(tmp_path: Path, frames: int) -> None:
    generator = np.random.default_rng(0)
    scene = generator.normal(size=288)
    entries, contents = [], []
    for number in range(frames + 30):
        is_frame = number < frames
        layout = scene + generator.normal(0, 0.05, 288) if is_frame else generator.normal(size=288)
        vector = unit(np.array([1, 0.001 * number if is_frame else 1 + 0.01 * number, 0]))
        name, sha256 = f"{number:04}.png", f"{number:064x}"
        entries.append(Entry(name, 10, 10, "", sha256))
        contents.append(
            Content(sha256, 40, 30, None, vector, b"jpeg", vector, vector, unit(layout))
        )
    with Collection.create(tmp_path / "c", "c", None, mean_colour()) as collection:
        collection.write(entries, contents)
        searcher = Searcher(collection, mean_colour())
        query = np.array([[1, 0, 0]], np.float32)
        first = collection.listing.ids()[0]

        def results(k: int, left_out: frozenset[Placed] = frozenset()) -> list[Match]:
            request = Request(k, folded=True, left_out=left_out)
            return searcher.find(Aspects(query, query, query), request)[0]

        found = results(24)
        assert [len(match.copies) for match in found] == [frames - 1] + [0] * 23
        nearness = [match.similarity for match in (found[0], *found[0].copies)]
        assert nearness == sorted(nearness, reverse=True)
        assert [match.picture.path for match in found[1:]] == [
            f"{number:04}.png" for number in range(frames, frames + 23)
        ]
        assert len(results(100)) == 31  # all that there is
        assert len(results(24, frozenset([("", first)]))) == 24


def test_a_film_without_an_end_is_not_looked_at_whole(tmp_path: Path) -> None:
    still = unit(np.ones(3))
    with Collection.create(tmp_path / "c", "c", None, mean_colour()) as collection:
        content = Content("0" * 64, 4, 3, None, still, b"jpeg", still, still, still)
        entries = [Entry(f"{n}.png", 10, 10, "", content.sha256) for n in range(DEEPEST + 100)]
        collection.write(entries, [content])
        query = Aspects(still[None], still[None], still[None])
        (only,), _ = Searcher(collection, mean_colour()).find(query, Request(24, folded=True))
    assert len(only.copies) == DEEPEST - 1


def test_an_empty_collection_has_no_matches(tmp_path: Path, embedder: Embedder) -> None:
    with Collection.create(tmp_path / "empty", "empty", None, embedder) as empty:
        found = search_hue(Searcher(empty, embedder), 0)
    assert (found.matches, found.compared) == ((), 0)


def test_another_model_is_refused(indexed: Collection) -> None:
    with pytest.raises(LookalikeError, match="another model"):
        Searcher(indexed, mean_colour(weights="1" * 64))


def test_the_timings_add_up(searcher: Searcher) -> None:
    timings = search_hue(searcher, 0).timings
    assert min(timings.decoding, timings.features, timings.ranking) > 0
    assert timings.total == pytest.approx(timings.decoding + timings.features + timings.ranking)

"""What counts in a query: the weighted mean of the cosines, exactly."""

from pathlib import Path

import numpy as np
import pytest

from retrieval import exact
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.confidence import calibrate
from retrieval.embedding import Aspects, Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import index_folder
from retrieval.query import Filters, Weights, join_aspects, weigh
from retrieval.reduction import to_unit
from tests.made import save_hues
from tests.made_vectors import MIX, fill


def made_aspects(n: int, seed: int) -> Aspects:
    generator = np.random.default_rng(seed)
    return Aspects(*(to_unit(generator.normal(size=(n, width))) for width in (5, 4, 3)))


@pytest.mark.parametrize(
    "weights",
    [Weights(1, 0, 0), Weights(0, 1, 0), Weights(0.2, 0.3, 1), Weights(1, 1, 1)],
    ids=["subject", "colour", "mixed", "all"],
)
def test_a_product_is_the_weighted_mean_of_the_cosines(weights: Weights) -> None:
    query, pictures = made_aspects(1, 0), made_aspects(20, 1)
    cosines = [
        weights.subject * pictures.subject @ query.subject[0],
        weights.colour * pictures.colour @ query.colour[0],
        weights.texture * pictures.texture @ query.texture[0],
    ]
    joined = np.hstack([pictures.subject, pictures.colour, pictures.texture])
    vectors = pictures.subject if weights == Weights() else joined
    np.testing.assert_allclose(
        vectors @ weigh(query, weights)[0], sum(cosines) / weights.total, atol=1e-6
    )


def test_each_aspect_of_several_pictures_is_joined_by_itself() -> None:
    a, b, unlike = (made_aspects(1, seed) for seed in (0, 1, 2))
    joined = join_aspects([a, b], [unlike])
    expected = to_unit((a.colour + b.colour) / 2 - 0.4 * unlike.colour)
    np.testing.assert_allclose(joined.colour, expected, atol=1e-6)


def test_an_aspect_that_is_not_kept_stays_empty() -> None:
    plain = Aspects(np.ones((1, 1), np.float32), *(np.zeros((1, 0), np.float32),) * 2)
    assert join_aspects([plain], []).texture.shape == (1, 0)


def test_nothing_to_be_like_is_refused() -> None:
    with pytest.raises(LookalikeError, match="at least one picture"):
        join_aspects([], [made_aspects(1, 0)])


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_weights_lie_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Weights(colour=share)


def test_empty_filters_know_it() -> None:
    assert Filters().empty
    assert not Filters(shape="portrait").empty


def test_pictures_are_filtered_by_what_is_known_of_them(indexed: Collection) -> None:
    ids = {picture.path: picture.id for picture in indexed.listing.pictures()}
    indexed.caption([("warm/red.png", "warm", '{"place": "GRÜNWALD", "year": "2019"}')])

    def found(filters: Filters) -> set[str]:
        matching = set(indexed.listing.matching(filters))
        return {path for path, id_ in ids.items() if id_ in matching}

    assert found(Filters(label="warm")) == {path for path in ids if path.startswith("warm/")}
    assert found(Filters(words="grün")) == {"warm/red.png"}
    assert found(Filters(words="place")) == set()  # a column's name is no caption
    assert found(Filters(label="cold", words="grün")) == set()
    assert found(Filters(shape="landscape")) == set(ids)
    assert found(Filters(shape="portrait")) == set()
    assert found(Filters(megapixels=1)) == set()
    assert found(Filters(since="2000-01-01")) == set()  # none says when it was taken


@pytest.mark.parametrize("torn", ['{"place": ', "[]", '"place"'])
def test_captions_that_are_torn_say_nothing_and_end_no_search(
    indexed: Collection, torn: str
) -> None:
    indexed.caption([("warm/red.png", "warm", torn), ("cold/azure.png", "", '{"place": "Rom"}')])
    (rome,) = indexed.listing.pictures(indexed.listing.matching(Filters(words="Rom")))
    assert rome.path == "cold/azure.png"
    assert {path for path in indexed.listing.pictures() if path.captions} == {rome}


def test_of_many_pictures_some_tell_what_similarities_of_a_mixture_are_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fill(tmp_path / "made", 300) as collection:
        whole = collection.gallery.sample(MIX)
        monkeypatch.setattr(exact, "SAMPLE", 100)
        some = collection.gallery.sample(MIX)
        assert (len(whole), len(some)) == (300, 100)
        assert {row.tobytes() for row in some} <= {row.tobytes() for row in whole}
        assert np.array_equal(some, collection.gallery.sample(MIX))
        assert calibrate(some).middle == pytest.approx(calibrate(whole).middle, abs=0.02)
        assert len(collection.gallery.sample(Weights())) == 300  # which takes no copy


@pytest.mark.parametrize("until", ["2014", "2014-03", "2014-03-06"])
def test_taken_until_a_time_includes_all_of_it(tmp_path: Path, until: str) -> None:
    with fill(tmp_path / "made", 48) as collection:
        taken = {picture.id: picture.taken or "" for picture in collection.listing.pictures()}
        expected = {id_ for id_, when in taken.items() if when[: len(until)] <= until}
        assert until in {taken[id_][: len(until)] for id_ in expected}
        assert set(collection.listing.matching(Filters(until=until))) == expected


def test_a_folder_holds_what_lies_in_it_and_below(
    wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    save_hues(wheel, {"warm/dark/brown.png": 20.0, "warmer/ochre.png": 40.0, "top.png": 90.0})
    with Collection.create(tmp_path / "deep", "deep", wheel, embedder) as collection:
        for _ in index_folder(collection, wheel, embedder, find_changes(collection, wheel)):
            pass
        assert collection.listing.folders() == ["cold", "warm", "warm/dark", "warmer"]
        of = {picture.id: picture.path for picture in collection.listing.pictures()}
        inside = {of[id_] for id_ in collection.listing.matching(Filters(folder="warm"))}
        assert inside == {path for path in of.values() if path.startswith("warm/")}
        assert "warm/dark/brown.png" in inside
        below = collection.listing.matching(Filters(folder="warm/dark"))
        assert [of[id_] for id_ in below] == ["warm/dark/brown.png"]
        assert collection.listing.matching(Filters(folder="warm%")) == []


@pytest.mark.parametrize("typed", ["Brücke", "Bru\u0308cke"], ids=["in one", "apart"])
def test_a_kind_or_folder_with_an_accent_is_found_however_the_disk_writes_it(
    embedder: Embedder, tmp_path: Path, typed: str
) -> None:
    folder = save_hues(tmp_path / "disk", {"Bru\u0308cke/a.png": 0, "Brücke/b.png": 9, "c.png": 20})
    with Collection.create(tmp_path / "made", "disk", folder, embedder) as collection:
        list(index_folder(collection, folder, embedder, find_changes(collection, folder)))
        for filters in (Filters(label=typed), Filters(folder=typed)):
            found = collection.listing.pictures(collection.listing.matching(filters))
            assert {picture.path[-5:] for picture in found} == {"a.png", "b.png"}


@pytest.mark.parametrize("width", [0, 4], ids=["no numbers", "zeros, as from Milvus"])
def test_an_aspect_that_is_not_known_of_a_picture_does_not_count_there(width: int) -> None:
    known, other = made_aspects(1, 0), made_aspects(1, 1)
    old = Aspects(other.subject, np.zeros((1, width), np.float32), other.texture)
    assert not join_aspects([old], [known]).colour.any()
    for positives in ([known, old], [old, known]):
        joined = join_aspects(positives, [])
        np.testing.assert_allclose(joined.colour, known.colour, rtol=1e-6)
        assert joined.subject.shape == (1, 5)
    np.testing.assert_allclose(join_aspects([known], [old]).colour, known.colour, rtol=1e-6)


def test_a_collection_without_colours_is_searched_by_the_rest(
    indexed: Collection, embedder: Embedder
) -> None:
    with indexed.store.transaction() as database:
        database.execute("UPDATE contents SET colour = x''")
        database.execute("UPDATE facts SET value = value + 1 WHERE key = 'revision'")
    query = embedder.describe_pictures(np.full((1, 32, 32, 3), 200, np.uint8))
    assert query.colour.shape[1]
    found = indexed.gallery.search(query, Weights(0.5, 1, 0), Filters(), 3)
    assert len(found.ids) == 3
    # The other way round: an old query in a new collection.
    bare = Aspects(query.subject, np.zeros((1, 0), np.float32), query.texture)
    assert len(indexed.gallery.search(bare, Weights(1, 1, 0), Filters(), 3).ids) == 3


@pytest.mark.parametrize("weight", [1e-30, -0.1, 1.1])
def test_a_weight_of_hardly_anything_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weights from 0 to 1"):
        Weights(0, weight, 0)

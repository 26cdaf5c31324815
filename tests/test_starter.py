"""The collection that ships with the app: whole, small, and made with the bundled model."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval import settings
from retrieval.collection import Collection
from retrieval.embedding import open_embedder
from retrieval.evaluation import SelfTest
from retrieval.images import open_picture
from retrieval.quality import plan_test
from retrieval.search import Searcher

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def starter() -> Iterator[Searcher]:
    """The shipped collection, opened as the app opens it."""
    pca = settings.BUNDLED_PCA
    embedder = open_embedder(settings.BUNDLED_MODEL, pca, False, settings.texture_path(pca))
    with Collection(settings.STARTER_COLLECTION, read_only=True) as collection:
        yield Searcher(collection, embedder, "starter")


def test_it_fits_the_bundled_model_and_every_picture_is_labelled(starter: Searcher) -> None:
    pictures = starter.collection.listing.pictures()
    assert len(pictures) == len(starter.embeddings().ids)
    assert all(picture.label for picture in pictures)
    assert starter.collection.listing.problems() == []
    kinds = Counter(picture.label for picture in pictures)
    assert len(kinds) == 24
    assert set(kinds.values()) == {15}


def test_its_pictures_and_thumbnails_are_there(starter: Searcher) -> None:
    root = starter.collection.root
    assert root is not None
    for picture in starter.collection.listing.pictures():
        assert (root / picture.path).is_file()
        thumbnail = starter.collection.thumbnail(picture.sha256)
        assert thumbnail is not None
        assert max(open_picture(thumbnail).image.size) == 320
    files = {path.relative_to(root).as_posix() for path in root.rglob("*.jpg")}
    assert files == {picture.path for picture in starter.collection.listing.pictures()}


def test_no_two_pictures_are_copies_and_none_is_empty(starter: Searcher) -> None:
    sketches = starter.collection.embeddings("sketch").vectors
    similarities = sketches @ sketches.T - np.eye(len(sketches))
    assert similarities.max() < 0.95
    root = starter.collection.root
    assert root is not None
    for picture in starter.collection.listing.pictures():
        pixels = np.asarray(open_picture(root / picture.path, 96).image)
        assert pixels.std() > 5, picture.path
        assert pixels.mean() > 5, picture.path


def test_pictures_of_a_kind_find_each_other(starter: Searcher) -> None:
    held = starter.embeddings()
    labels = {picture.id: picture.label for picture in starter.collection.listing.pictures()}
    kinds = np.array([labels[int(id_)] for id_ in held.ids])
    counts = Counter(kinds.tolist())
    similarities = held.vectors @ held.vectors.T
    np.fill_diagonal(similarities, -1)
    nearest = kinds[similarities.argmax(axis=1)]
    several = np.array([counts[kind] > 2 for kind in kinds])
    assert (nearest == kinds)[several].mean() > 0.6


def test_it_is_small_enough_for_a_clone() -> None:
    folder = settings.STARTER_COLLECTION.parent
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 25 * MEGABYTE


def test_opening_it_leaves_no_file_behind(starter: Searcher) -> None:
    starter.embeddings()
    names = sorted(path.name for path in settings.STARTER_COLLECTION.iterdir())
    assert names == ["collection.sqlite", "thumbnails.sqlite"]


def test_its_licence_stands_beside_it() -> None:
    text = Path(settings.STARTER_COLLECTION.parent / "LICENSE").read_text(encoding="utf-8")
    assert "CC0" in text


def test_neighbours_find_more_of_a_kind_than_the_cosine_alone(starter: Searcher) -> None:
    _, test = plan_test(starter, 2_000)

    def measured(test: SelfTest) -> dict[str, float]:
        scores = test.summarise(list(test.rank())).overall
        return {metric: score.mean for metric, score in scores.items()}

    with_them, without = measured(test), measured(replace(test, reranked=False))
    assert test.reranked
    assert with_them["P@10"] > without["P@10"] + 4
    assert with_them["mAP"] > without["mAP"] + 4
    assert with_them["P@1"] >= without["P@1"] - 1

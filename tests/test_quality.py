"""The self-test of a served collection, and other settings on its pictures."""

import re
import shutil
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.compare import Comparison, Setting
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import LookalikeError
from retrieval.evaluation import Labelled
from retrieval.indexing import index_folder
from retrieval.lost import give_up
from retrieval.quality import (
    Labels,
    Progress,
    compare_settings,
    plan_test,
    read_labels,
    settings_for,
    sources_of,
)
from retrieval.records import PictureRecord
from retrieval.search import Searcher
from tests.made import mean_colour, save_hues

HUES = {
    f"{kind}/{i}.png": hue + 4 * i for kind, hue in (("red", 0), ("blue", 220)) for i in range(6)
}


def served(folder: Path, hues: dict[str, float], embedder: Embedder | None = None) -> Searcher:
    """Index pictures of these hues."""
    root = save_hues(folder / "pictures", hues)
    embedder = embedder or mean_colour()
    collection = Collection.create(folder / "collection", "hues", root, embedder)
    for _ in index_folder(collection, root, embedder, find_changes(collection, root)):
        pass
    return Searcher(collection, embedder)


def run(searcher: Searcher, setting: Setting, most: int = 100) -> tuple[list[Progress], Comparison]:
    *steps, last = compare_settings(searcher, setting, settings.pca_path, most)
    assert isinstance(last, Comparison)
    assert all(isinstance(step, Progress) for step in steps)
    ranked = [step for step in steps if step.ranking]
    assert steps[0].done == ranked[0].done == 0
    assert ranked[-1].done == ranked[-1].total == 2 * len(last.first.asked)
    return [step for step in steps if not step.ranking], last


def test_colours_that_lie_apart_are_found_without_a_mistake(tmp_path: Path) -> None:
    labels, test = plan_test(served(tmp_path, HUES), 100)
    found = test.summarise(list(test.rank()))
    assert found.overall["P@1"].mean == 100
    assert found.overall["mAP"].mean == 100
    assert [one.label for one in labels.pictures] == list(labels.labelled.labels)
    assert found.protocol["model"] == mean_colour().describe()


def test_the_embeddings_belong_to_their_pictures(tmp_path: Path) -> None:
    searcher = served(tmp_path, HUES)
    labels = read_labels(searcher)
    for picture, vector in zip(labels.pictures, labels.labelled.vectors, strict=True):
        assert searcher.collection.embedding(picture.id) == pytest.approx(vector[None])


def test_of_too_many_pictures_some_of_each_class_are_asked_of_all(tmp_path: Path) -> None:
    _, test = plan_test(served(tmp_path, HUES), 4)
    found = test.summarise(list(test.rank()))
    assert sorted(found.asked) == ["blue", "blue", "red", "red"]
    assert found.protocol["queries"] == "4 of 12 pictures of the collection"
    assert found.protocol["collection"] == "12 pictures in 2 kinds"


def test_pictures_without_a_class_take_no_part_and_are_named(tmp_path: Path) -> None:
    labels, test = plan_test(served(tmp_path, {**HUES, "stray.png": 120}), 100)
    assert labels.without == 1
    found = test.summarise(list(test.rank()))
    assert found.protocol["left out"] == "1 without a kind"
    assert found.protocol["collection"] == "12 pictures in 2 kinds"


def test_of_identical_files_one_takes_part_and_the_others_are_counted(tmp_path: Path) -> None:
    searcher = served(tmp_path, {**HUES, "red/again.png": 0, "blue/too.png": 0})
    labels, test = plan_test(searcher, 100)
    assert [one.path for one in labels.pictures if one.path.endswith("o.png")] == ["blue/too.png"]
    assert (labels.copies, labels.without) == (2, 0)
    found = test.summarise(list(test.rank()))
    assert found.protocol["left out"] == "2 identical copies"
    assert found.protocol["collection"] == "12 pictures in 2 kinds"


def test_without_neighbours_the_embeddings_that_are_kept_are_ranked(with_pca: Searcher) -> None:
    steps, found = run(with_pca, Setting(neighbours=False))
    assert steps == []  # no picture is read for it
    rankings = [one.protocol["ranking"] for one in (found.first, found.second)]
    assert ["neighbours" in ranking for ranking in rankings] == [True, False]
    assert "features" not in found.first.protocol
    (_, test) = plan_test(with_pca, 100)
    alone = test.summarise(list(test.rank()))
    assert found.first.overall == alone.overall


def test_where_nothing_is_known_of_any_picture_the_cure_is_named(tmp_path: Path) -> None:
    searcher = served(tmp_path, HUES)
    hashes = [one.sha256 for one in searcher.collection.listing.pictures()]
    give_up(searcher.collection.store, hashes, zeros=True)
    with pytest.raises(LookalikeError, match=r"Look for changes in the collection"):
        plan_test(searcher, 100)


def test_pictures_whose_vectors_are_lost_take_no_part_and_are_named(tmp_path: Path) -> None:
    searcher = served(tmp_path, HUES)
    lost = searcher.collection.listing.pictures()[0]
    give_up(searcher.collection.store, [lost.sha256], zeros=True)
    labels, test = plan_test(searcher, 100)
    assert labels.lost == 1
    assert lost.path not in {one.path for one in labels.pictures}
    found = test.summarise(list(test.rank()))
    assert found.protocol["left out"] == "1 of which it is not known what they show"
    assert found.protocol["collection"] == "11 pictures in 2 kinds"
    assert found.overall["P@1"].mean == 100


@pytest.mark.parametrize(
    ("hues", "sentence"),
    [
        ({"red/a.png": 0}, "only one is here yet"),
        ({"a.png": 0, "b.png": 90}, "not sorted into kinds"),
        ({"red/a.png": 0, "red/b.png": 5}, "same kind, red"),
        ({"red/a.png": 0, "blue/b.png": 220}, "a single picture"),
    ],
    ids=["one picture", "no labels", "one class", "one picture each"],
)
def test_what_a_test_would_say_nothing_of_gets_a_kind_sentence(
    tmp_path: Path, hues: dict[str, float], sentence: str
) -> None:
    with pytest.raises(LookalikeError, match=sentence):
        plan_test(served(tmp_path, hues), 100)


@pytest.fixture
def with_pca(tiny_files: Path, tmp_path: Path) -> Searcher:
    embedder = open_embedder(tiny_files, settings.pca_path(tiny_files), gpu=False)
    return served(tmp_path / "served", HUES, embedder)


def test_settings_are_compared_on_features_computed_anew(with_pca: Searcher) -> None:
    steps, found = run(with_pca, Setting(pca=False))
    assert (steps[-1].done, steps[-1].total) == (12, 12)
    assert found.first.protocol["model"].endswith("PCA 2")
    assert found.second.protocol["model"].endswith("no PCA")
    assert found.second.protocol["features"] == "computed again from the original pictures"
    # Anew, but the same: so is what the collection's own setting gives.
    _, test = plan_test(with_pca, 100)
    kept = test.summarise(list(test.rank()))
    assert found.first.per_query == pytest.approx(kept.per_query)


def test_where_the_originals_are_gone_the_thumbnails_serve_and_the_protocol_says_so(
    with_pca: Searcher, tmp_path: Path
) -> None:
    (tmp_path / "served" / "pictures" / "red" / "3.png").unlink()
    _, found = run(with_pca, Setting(components=1))
    assert "thumbnails" in found.second.protocol["features"]
    assert found.second.protocol["collection"] == "12 pictures in 2 kinds"
    assert found.second.protocol["model"].endswith("PCA 1")


def test_an_original_that_cannot_be_read_is_named(with_pca: Searcher, tmp_path: Path) -> None:
    damaged = tmp_path / "served" / "pictures" / "red" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(LookalikeError, match=r"^red/3\.png: The file is damaged.*Copy it again"):
        run(with_pca, Setting(components=1))


def test_a_comparison_is_bounded_and_says_of_how_many(with_pca: Searcher) -> None:
    steps, found = run(with_pca, Setting(whitening=1), most=6)
    assert steps[-1].total == 6
    assert found.second.protocol["sample"] == (
        "6 of 12 pictures: 2 of 2 kinds, at most 3 pictures of each"
    )
    assert found.first.asked.count("red") == 3


def test_of_many_small_classes_some_are_compared_whole(tiny_files: Path, tmp_path: Path) -> None:
    products = {f"{kind}/{i}.png": 9 * kind + 2 * i for kind in range(40) for i in range(3)}
    embedder = open_embedder(tiny_files, settings.pca_path(tiny_files), gpu=False)
    _, found = run(served(tmp_path / "served", products, embedder), Setting(pca=False), most=30)
    assert set(Counter(found.first.asked).values()) == {3}
    assert found.first.overall["mAP"].mean > 50
    assert found.second.protocol["sample"] == (
        "30 of 120 pictures: 10 of 40 kinds, at most 3 pictures of each"
    )
    assert "without a relevant picture" not in found.second.protocol


@pytest.mark.parametrize(
    ("sizes", "most", "sampled"),
    [
        ([3] * 1000, 1000, [3] * 333),
        ([1000] * 10, 1000, [100] * 10),
        ([100] * 100, 1000, [10] * 100),
        ([1990, 10], 1000, [990, 10]),
        ([900, *[1] * 300], 1000, [700, *[1] * 300]),
        ([*[3] * 100, *[1] * 900], 1000, [3] * 100),
        ([5000, *[1] * 9], 1000, [991, *[1] * 9]),
        ([3] * 5, 15, None),
        ([3] * 5, 3, [1, 1]),
    ],
    ids=[
        "products",
        "few and large",
        "many and large",
        "one small",
        "one, and others of one picture",
        "some, and others of one picture",
        "one large",
        "all fit",
        "hardly any",
    ],
)
def test_a_sample_has_pictures_that_can_find_each_other(
    sizes: list[int], most: int, sampled: list[int] | None
) -> None:
    names = tuple(f"{kind}" for kind, size in enumerate(sizes) for _ in range(size))
    pictures = tuple(PictureRecord(i, "", name, 1, 1, 1, None, "") for i, name in enumerate(names))
    labels = Labels(pictures, Labelled(np.zeros((len(names), 1), np.float32), names), 0)
    rows = labels.sample(most)
    if sampled is None:
        assert rows is None
        return
    assert rows is not None
    assert len(set(rows.tolist())) == len(rows) <= most
    assert sorted(Counter(names[row] for row in rows).values()) == sorted(sampled)
    assert np.array_equal(rows, labels.sample(most))


def test_one_long_label_does_not_make_all_of_them_long() -> None:
    names = ("x" * 2_000, *(f"kind {i % 50}" for i in range(19_999)))
    record = PictureRecord(1, "", "", 1, 1, 1, None, "")
    vectors = np.zeros((len(names), 1), np.float32)
    labels = Labels((record,) * len(names), Labelled(vectors, names), 0)
    tracemalloc.start()
    try:
        spread, sample = labels.spread(100), labels.sample(100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spread is not None
    assert sample is not None
    assert peak < 60e6  # 160 MB as an array of texts


def test_another_model_is_run_over_the_same_pictures(
    with_pca: Searcher, tiny_files: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.onnx"
    shutil.copy(tiny_files, other)
    steps, found = run(with_pca, Setting(model=other))
    assert steps[-1].total == 24
    assert found.second.protocol["model"].endswith("no PCA")  # it has none of its own
    assert [one.protocol["computed by"] for one in (found.first, found.second)] == ["CPU", "CPU"]


def test_only_what_can_be_had_is_offered(with_pca: Searcher) -> None:
    reduction = with_pca.embedder.reduction
    assert reduction is not None
    offered = settings_for(with_pca.embedder, [Path("models/big.onnx")])
    assert offered["Nothing left out (no PCA)"] == Setting(pca=False)
    assert offered["Rare traits most (whitening 1)"] == Setting(whitening=1)
    assert offered["Other network (big)"] == Setting(model=Path("models/big.onnx"))
    # Nobody has to know the field's words: they are only ever in brackets.
    assert not [name for name in offered if re.search("PCA|whiten|component", name.split("(")[0])]
    shorter = "Only 64 numbers (PCA)"
    assert shorter not in offered
    wide = replace(
        reduction,
        components=np.eye(100, 3, dtype=np.float32),
        scale=np.ones(100, np.float32),
        variance=np.ones(100, np.float32),
    )
    assert shorter in settings_for(replace(with_pca.embedder, reduction=wide), [])
    without = settings_for(mean_colour(), [])
    assert list(without.values()) == [Setting(neighbours=False)]


def test_what_lies_out_of_the_folder_is_not_read_whatever_the_records_say(tmp_path: Path) -> None:
    collection = served(tmp_path, HUES).collection
    pictures = collection.listing.pictures()
    assert sources_of(collection, pictures)[1] == "the original pictures"
    shutil.copy(tmp_path / "pictures/red/0.png", tmp_path / "private.png")
    pictures[0] = replace(pictures[0], path="../private.png")
    assert "thumbnails" in sources_of(collection, pictures)[1]

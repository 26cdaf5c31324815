"""Curves, confusion and worst queries, on rankings that one can do by hand."""

import tracemalloc

import numpy as np
import pytest

from retrieval.curves import (
    confusion,
    depth_curve,
    hardest_first,
    precision_at_recall,
    worst_queries,
)
from retrieval.evaluation import Evaluation, Labelled, SelfTest, evaluate
from retrieval.rankings import Rankings


def on_a_circle(degrees: list[float], labels: str) -> Labelled:
    radians = np.deg2rad(degrees)
    vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    return Labelled(vectors, tuple(labels))


@pytest.fixture
def by_hand() -> Evaluation:
    """Two of a and two of b; the one at 20 degrees lies nearer to the strangers."""
    return evaluate(on_a_circle([0, 20, 30, 31], "aabb"), None, "angles")


def test_the_curve_counts_what_stands_among_the_first_k(by_hand: Evaluation) -> None:
    # The rankings, right or wrong: a (yes no no), a (no no yes), b (yes no no), b (yes no no).
    curve = depth_curve(by_hand)
    assert curve.depths.tolist() == [1, 2, 3]
    assert curve.hit.tolist() == [75, 75, 100]
    assert curve.precision == pytest.approx([75, 37.5, 100 / 3])
    assert curve.recall.tolist() == [75, 75, 100]
    assert curve.at(2) == (37.5, 75, 75)
    assert curve.at(50) == curve.at(3)


def test_precision_at_recall_is_the_best_from_there_on(by_hand: Evaluation) -> None:
    recall, precision = precision_at_recall(by_hand)
    assert recall.tolist() == pytest.approx([10 * i for i in range(11)])
    assert precision == pytest.approx([100 * (3 + 1 / 3) / 4] * 11)


def test_the_curve_agrees_with_the_figures() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((200, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = evaluate(Labelled(vectors, tuple("abcde" * 40)), None, "noise")
    precision, hit, _ = depth_curve(found).at(10)
    assert precision == pytest.approx(found.overall["P@10"].mean)
    assert hit == pytest.approx(found.overall["hit@10"].mean)


def test_confusion_is_the_classes_of_the_first_ten(by_hand: Evaluation) -> None:
    found = confusion(by_hand)
    assert found.labels == found.asked == ("a", "b")
    assert (found.depth, found.fewer) == (1, False)
    # Each picture can find one of its class, so the first result counts, and it is b for one of a.
    assert found.matrix() == pytest.approx(np.array([[50, 50], [0, 100]]))


def test_classes_that_are_not_in_the_collection_have_a_row_and_no_column() -> None:
    collection = on_a_circle([0, 90], "ab")
    found = confusion(evaluate(collection, on_a_circle([10, 5], "ca"), "angles"))
    assert (found.asked, found.labels) == (("a", "c"), ("a", "b"))
    assert found.matrix().tolist() == [[100, 0], [50, 50]]
    assert found.mistakes(9) == [("c", "a", 50), ("c", "b", 50)]


def test_the_largest_mistakes_come_first_and_what_is_right_is_none(by_hand: Evaluation) -> None:
    found = confusion(
        evaluate(on_a_circle([0, 20, 30, 31, 90, 140, 89], "aabbccb"), None, "angles")
    )
    assert found.mistakes(9) == [
        ("a", "b", 50),
        ("c", "b", 50),
        ("b", "a", pytest.approx(100 / 3)),
        ("b", "c", pytest.approx(100 / 3)),
    ]
    assert len(found.mistakes(1)) == 1


def test_a_kind_of_few_pictures_that_are_all_found_is_taken_for_nothing_else() -> None:
    degrees = [0, 1, 2, *range(90, 102)]
    found = confusion(evaluate(on_a_circle(degrees, "aaa" + "b" * 12), None, "angles"))
    assert found.mistakes(9) == []
    assert found.matrix().tolist() == [[100, 0], [0, 100]]
    assert (found.depth, found.fewer) == (10, True)


def test_many_kinds_with_a_long_name_among_them_take_little_memory() -> None:
    # As a matrix the confusion would take 3.2 GB, and as an array the names of the kinds 160 MB.
    kinds = 20_000
    labels = tuple("x" * 2_000 if i == 7 else f"kind {i}" for i in range(kinds))
    nearest = np.arange(kinds)[:, None] - np.arange(10)
    one = np.ones(kinds)
    rankings = Rankings(
        np.array([1]),
        np.ones((kinds, 1), np.int32),
        np.full(kinds, 10),
        one,
        np.ones((kinds, 11), np.float32),
        np.maximum(nearest, 0),
    )
    rows = np.arange(kinds)
    evaluation = Evaluation({}, (), {}, one[:, None], rankings, labels, labels, rows)
    tracemalloc.start()
    try:
        found = confusion(evaluation)
        assert len(found.mistakes(16)) == 16
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60e6


def test_the_worst_come_first_with_what_they_found(by_hand: Evaluation) -> None:
    worst = worst_queries(by_hand, 2)
    assert [one.row for one in worst] == [1]  # all others find their own kind first
    assert worst[0].label == "a"
    assert worst[0].nearest == (2, 3, 0)
    assert worst[0].relevant == 1
    assert worst[0].average_precision == pytest.approx(1 / 3)


def test_a_kind_of_few_pictures_that_are_all_found_is_not_called_hard() -> None:
    # The three of a lie together; the twelve of b and of c lie between each other.
    degrees = [0.0, 0.1, 0.2, *range(90, 90 + 2 * 12)]
    found = evaluate(on_a_circle(degrees, "aaa" + "bc" * 12), None, "angles")
    assert hardest_first(found.classes)[-1].label == "a"
    assert found.classes[0].scores["P@10"].mean < min(
        one.scores["P@10"].mean for one in found.classes[1:]
    )


def test_what_no_ranking_could_serve_is_not_called_hard() -> None:
    lonely = evaluate(on_a_circle([0, 3, 4], "aab"), None, "angles")
    assert [one.row for one in worst_queries(lonely, 5)] == [1]


def test_of_a_sample_the_rows_are_those_of_the_whole() -> None:
    pictures = on_a_circle([0, 20, 30, 31], "aabb")
    test = SelfTest(pictures, None, "angles", rows=np.array([1, 3]))
    found = test.summarise(list(test.rank()))
    assert found.asked == ("a", "b")
    assert [one.row for one in worst_queries(found, 1)] == [1]
    assert found.protocol["queries"] == "2 of 4 pictures of the collection"

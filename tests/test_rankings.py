"""Rankings of many queries: the order is exact, and what is kept is what brute force gives."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from retrieval.rankings import (
    NEAREST,
    RECALL_LEVELS,
    Rankings,
    depths_for,
    join,
    rank_blocks,
    sort_by_falling,
)
from retrieval.reduction import to_unit


def made(n: int, d: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return to_unit(generator.standard_normal((n, d))), generator.integers(0, classes, n)


def ranked(*arguments: np.ndarray) -> Rankings:
    return join(list(rank_blocks(*arguments)))


def test_the_order_is_that_of_a_stable_sort() -> None:
    values = np.random.default_rng(0).standard_normal((9, 501)).astype(np.float32)
    values[:, ::7] = values[:, 3:4]  # ties
    values[2] = 0.5
    assert (sort_by_falling(values) == np.argsort(-values, axis=1, kind="stable")).all()


def test_zeros_of_both_signs_tie_and_infinities_stand_at_the_ends() -> None:
    row = np.array([[0.0, -0.0, -np.inf, 1e-45, -1e-45, np.inf, -0.0, 0.0, -1.0]], np.float32)
    assert sort_by_falling(row).tolist() == [[5, 3, 0, 1, 6, 7, 4, 8, 2]]


@pytest.mark.parametrize("leave_one_out", [True, False], ids=["leave one out", "other queries"])
def test_what_is_kept_is_what_brute_force_gives(leave_one_out: bool) -> None:
    vectors, classes = made(240, 5, 4)
    queries, asked = (vectors, classes) if leave_one_out else made(300, 5, 4, seed=1)
    own = np.arange(240) if leave_one_out else None
    kept = join(list(rank_blocks(vectors, classes, queries, asked, own)))
    assert len(kept) == len(queries)
    for i, (query, label) in enumerate(zip(queries, asked, strict=True)):
        similarities = vectors @ query
        rows = np.arange(240)
        if leave_one_out:
            rows = np.delete(rows, i)
        rows = rows[np.argsort(-similarities[rows], kind="stable")]
        right = classes[rows] == label
        assert kept.relevant[i] == right.sum()
        assert kept.found[i].tolist() == np.cumsum(right)[kept.depths - 1].tolist()
        assert kept.nearest[i].tolist() == rows[:NEAREST].tolist()
        truth, scores = classes[rows] == label, -np.arange(len(rows))
        assert kept.average_precision[i] == pytest.approx(average_precision_score(truth, scores))
        precision, recall, _ = precision_recall_curve(truth, scores)
        best = [precision[recall >= level - 1e-12].max() for level in RECALL_LEVELS]
        # scikit-learn ends its curve with a point of its own, precision 1 at recall 0.
        best[0] = precision[:-1].max()
        assert kept.interpolated[i] == pytest.approx(best, abs=1e-6)


def test_blocks_and_their_size_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, classes = made(100, 4, 3)
    whole = ranked(vectors, classes, vectors, classes, np.arange(100))
    monkeypatch.setattr("retrieval.rankings.BLOCK", 700)
    parts = list(rank_blocks(vectors, classes, vectors, classes, np.arange(100)))
    assert [len(part) for part in parts] == [7] * 14 + [2]
    assert (join(parts).found == whole.found).all()
    assert join(parts).average_precision == pytest.approx(whole.average_precision, abs=1e-12)


def test_depths_are_each_number_to_a_hundred_then_wider_steps_to_the_end() -> None:
    assert depths_for(3).tolist() == [1, 2, 3]
    assert depths_for(100).tolist() == list(range(1, 101))
    depths = depths_for(50_000)
    assert depths[:100].tolist() == list(range(1, 101))
    assert depths[-1] == 50_000
    assert (np.diff(depths) > 0).all()
    assert len(depths) < 250


def test_a_small_collection_is_looked_at_as_far_as_it_goes() -> None:
    vectors, classes = made(4, 3, 1)
    kept = ranked(vectors, classes, vectors, classes, np.arange(4))
    assert kept.within(20).tolist() == [3] * 4
    assert kept.nearest.shape == (4, NEAREST)
    assert (kept.nearest[:, 3:] == -1).all()


def test_a_depth_that_was_not_kept_is_refused() -> None:
    vectors, classes = made(300, 3, 2)
    kept = ranked(vectors, classes, vectors[:2], classes[:2])
    with pytest.raises(ValueError, match="first 101"):
        kept.within(101)


def test_a_query_without_a_relevant_picture_counts_as_nothing() -> None:
    vectors, classes = made(20, 3, 2)
    kept = ranked(vectors, classes, vectors[:1], np.array([9]))
    assert kept.relevant.tolist() == [0]
    assert kept.average_precision.tolist() == [0]
    assert kept.interpolated.max() == 0


def test_many_queries_take_no_more_memory_than_a_few() -> None:
    vectors, classes = made(20_000, 8, 10)
    tracemalloc.start()
    ranked(vectors, classes, vectors[:600], classes[:600])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6  # 600 full rankings would be 96 MB of keys, of columns 48, and so on

"""Ranking: the same as sorting everything, whatever the block, the ties and the number."""

import tracemalloc

import numpy as np
import pytest

from retrieval import ranking
from retrieval.ranking import rank
from retrieval.reduction import to_unit


def by_sorting(queries: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rank by sorting all similarities, equal ones in the order of the rows."""
    similarities = queries @ vectors.T
    rows = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(similarities, rows, 1)


def exact_vectors(n: int, seed: int = 0) -> np.ndarray:
    """Return `(n, 4)` rows of few small whole numbers: sums are exact, and ties are many."""
    return np.random.default_rng(seed).integers(-1, 2, (n, 4)).astype(np.float32)


@pytest.mark.parametrize("block", [1, 7, 64, 10**9], ids=lambda block: f"block {block}")
@pytest.mark.parametrize("k", [1, 5, 100, 300, 1000], ids=lambda k: f"k {k}")
def test_ranking_is_sorting_also_with_ties_and_across_blocks(
    monkeypatch: pytest.MonkeyPatch, block: int, k: int
) -> None:
    monkeypatch.setattr(ranking, "BLOCK", block)
    queries, vectors = exact_vectors(6, seed=1), exact_vectors(300)
    rows, similarities = rank(queries, vectors, k)
    expected_rows, expected_similarities = by_sorting(queries, vectors, k)
    assert np.array_equal(rows, expected_rows)
    assert np.array_equal(similarities, expected_similarities)


def test_ranking_real_embeddings_is_sorting_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "BLOCK", 1000)
    generator = np.random.default_rng(0)
    vectors = to_unit(generator.standard_normal((2000, 64)))
    queries = to_unit(generator.standard_normal((9, 64)))
    rows, similarities = rank(queries, vectors, 24)
    expected_rows, expected_similarities = by_sorting(queries, vectors, 24)
    # A product of other shape may round otherwise, but no two of these lie that near.
    assert np.array_equal(rows, expected_rows)
    assert similarities == pytest.approx(expected_similarities, abs=1e-6)
    assert similarities.dtype == np.float32


def test_rows_that_are_all_equal_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "BLOCK", 10)
    vectors = np.tile(np.float32([[0.5, 0.5, 0.5, 0.5]]), (50, 1))
    rows, similarities = rank(vectors[:1], vectors, 12)
    assert rows.tolist() == [list(range(12))]
    assert (similarities == 1).all()


@pytest.mark.parametrize(
    ("queries", "rows", "k", "shape"),
    [
        (2, 5, 9, (2, 5)),
        (2, 5, 0, (2, 0)),
        (2, 0, 9, (2, 0)),
        (0, 5, 9, (0, 5)),
    ],
    ids=["more than there are", "none asked for", "empty collection", "no query"],
)
def test_there_are_as_many_results_as_can_be(
    queries: int, rows: int, k: int, shape: tuple[int, int]
) -> None:
    found, similarities = rank(exact_vectors(queries), exact_vectors(rows), k)
    assert found.shape == similarities.shape == shape


def test_opposite_pictures_come_last_with_minus_one() -> None:
    vectors = np.float32([[-1, 0], [0, 1], [1, 0]])
    rows, similarities = rank(vectors[2:], vectors, 3)
    assert rows.tolist() == [[2, 1, 0]]
    assert similarities.tolist() == [[1, 0, -1]]


def test_many_pictures_are_ranked_without_a_second_copy_of_them() -> None:
    vectors = np.zeros((400_000, 32), np.float32)  # 51 MB
    queries = np.ones((64, 32), np.float32)
    tracemalloc.start()
    try:
        rank(queries, vectors, 24)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All similarities at once would take 102 MB.
    assert peak < 80e6

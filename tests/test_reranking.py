"""Ranking again: neighbours have a say, and what is certain by itself stays as it is."""

import numpy as np
import pytest

from retrieval.confidence import SAME
from retrieval.ranking import rank
from retrieval.rankings import rank_blocks
from retrieval.reduction import to_unit
from retrieval.reranking import (
    CANDIDATES,
    FIRST,
    LIMIT,
    NEIGHBOURS,
    SHARE,
    TRUST,
    rerank,
)


def kinds(n: int, d: int, classes: int, noise: float, seed: int = 0) -> tuple:
    """Return unit vectors around a direction for each class, and the classes."""
    generator = np.random.default_rng(seed)
    centres = to_unit(generator.standard_normal((classes, d)))
    classes_of = np.arange(n) % classes
    return to_unit(centres[classes_of] + noise * generator.standard_normal((n, d))), classes_of


def by_definition(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Do with loops what `rerank` does with matrices."""
    cosines = vectors @ query
    averaged = []
    for i, vector in enumerate(vectors):
        others = [j for j in np.argsort(-(vectors @ vector), kind="stable") if j != i]
        total = vector.astype(float)
        for j in others[:NEIGHBOURS]:
            total = total + max(float(vectors[j] @ vector), 0) ** 3 * vectors[j]
        averaged.append(total / np.linalg.norm(total))
    mixed = [
        SHARE * float(a @ query) + (1 - SHARE) * c for a, c in zip(averaged, cosines, strict=True)
    ]
    followed = query.astype(float)
    for j in np.argsort(-np.array(mixed), kind="stable")[:FIRST]:
        followed = followed + TRUST * max(mixed[j], 0) ** 3 * averaged[j]
    followed = followed / np.linalg.norm(followed)
    return np.array(
        [
            max(c, min(SHARE * float(a @ followed) + (1 - SHARE) * c, LIMIT))
            for a, c in zip(averaged, cosines, strict=True)
        ]
    )


@pytest.mark.parametrize("n", [2, NEIGHBOURS, NEIGHBOURS + 1, NEIGHBOURS + 2, 60])
def test_it_is_what_it_says(n: int) -> None:
    vectors, _ = kinds(n, 12, 4, 0.2)
    query, _ = kinds(1, 12, 4, 0.2, seed=0)
    cosines = vectors @ query[0]
    assert rerank(query, vectors, cosines) == pytest.approx(
        by_definition(query[0], vectors), abs=1e-5
    )


def test_a_stranger_that_looks_alike_falls_behind_a_kind_that_keeps_together() -> None:
    axes = np.eye(20, dtype=np.float32)
    generator = np.random.default_rng(1)
    mates = to_unit(axes[0] + 0.2 * generator.standard_normal((12, 20)))
    query = to_unit((axes[0] + axes[1])[None])
    stranger = to_unit((axes[1] + 0.8 * axes[2] + 0.1 * axes[0])[None])
    vectors = np.concatenate([mates, stranger])
    cosines = vectors @ query[0]
    before = (cosines > cosines[12]).sum()
    similarities = rerank(query, vectors, cosines)
    assert before == 6
    assert (similarities > similarities[12]).sum() == 12


def test_no_similarity_falls_and_none_becomes_almost_the_same() -> None:
    vectors, _ = kinds(300, 16, 6, 0.1)
    for query in vectors[:20]:
        cosines = vectors @ query
        similarities = rerank(query[None], vectors, cosines)
        assert (similarities >= cosines).all()
        assert ((similarities >= SAME) == (cosines >= SAME)).all()
        assert (similarities[cosines >= SAME] == cosines[cosines >= SAME]).all()


def test_a_lost_vector_stays_like_nothing() -> None:
    vectors, _ = kinds(40, 16, 2, 0.1)
    vectors[7] = 0
    similarities = rerank(vectors[:1], vectors, vectors @ vectors[0])
    assert similarities[7] == 0
    assert np.isfinite(similarities).all()
    nothing = np.zeros((5, 16), np.float32)
    assert (rerank(vectors[:1], nothing, np.zeros(5, np.float32)) == 0).all()


def test_one_picture_and_none_are_left_as_they_are() -> None:
    query, _ = kinds(1, 8, 1, 0.1)
    for n in (0, 1):
        cosines = np.full(n, 0.25, np.float32)
        assert rerank(query, np.zeros((n, 8), np.float32), cosines).tolist() == [0.25] * n


def test_of_long_rankings_the_rest_stays_behind_in_its_order() -> None:
    n = CANDIDATES + 100
    vectors, classes = kinds(n, 24, 5, 0.6)
    rows = np.arange(3)
    asked = (vectors, classes, vectors[rows], classes[rows], rows)
    (plain,) = rank_blocks(*asked)
    (again,) = rank_blocks(*asked, reranked=True)
    assert (plain.nearest != again.nearest).any()
    # The same pictures are among the first, so from there on as many are right.
    at = int(np.searchsorted(plain.depths, CANDIDATES))
    assert (plain.found[:, at:] == again.found[:, at:]).all()
    assert again.average_precision.mean() > plain.average_precision.mean()
    for row in rows:
        ids, cosines = rank(vectors[row : row + 1], vectors, CANDIDATES + 1)
        kept = ids[0] != row
        first, cosines = ids[0][kept], cosines[0][kept]
        order = np.argsort(-rerank(vectors[row : row + 1], vectors[first], cosines), kind="stable")
        assert again.nearest[row].tolist() == first[order][:10].tolist()

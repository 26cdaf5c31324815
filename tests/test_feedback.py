"""Several pictures as one query."""

import numpy as np
import pytest

from retrieval.errors import LookalikeError
from retrieval.feedback import NEGATIVE_SHARE, combine

NONE = np.zeros((0, 2), np.float32)
EAST = np.array([[1, 0]], np.float32)
NORTH = np.array([[0, 1]], np.float32)


def test_one_positive_is_itself() -> None:
    assert combine(EAST, NONE).tolist() == [[1, 0]]


def test_two_positives_meet_in_the_middle() -> None:
    np.testing.assert_allclose(combine(np.vstack([EAST, NORTH]), NONE), [[0.5**0.5, 0.5**0.5]])


def test_a_negative_turns_the_query_away_from_it() -> None:
    between = np.array([[0.8, 0.6]], np.float32)
    query = combine(between, NORTH)
    expected = np.array([0.8, 0.6 - NEGATIVE_SHARE])
    np.testing.assert_allclose(query[0], expected / np.linalg.norm(expected), rtol=1e-6)


@pytest.mark.parametrize(
    ("positives", "says"),
    [(NONE, "at least one"), (np.vstack([EAST, -EAST]), "cancel each other out")],
    ids=["none", "opposites"],
)
def test_a_query_of_nothing_is_refused_with_a_sentence(positives: np.ndarray, says: str) -> None:
    with pytest.raises(LookalikeError, match=says):
        combine(positives, NONE)

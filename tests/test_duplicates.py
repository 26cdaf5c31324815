"""Near-duplicates in groups."""

import time

import numpy as np
import pytest

from retrieval import duplicates
from retrieval.duplicates import find_groups, fold
from retrieval.reduction import to_unit


def at_degrees(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


CLOSE = float(np.cos(np.radians(5.5)))


def test_groups_are_chains_of_near_pictures_the_largest_first() -> None:
    vectors = at_degrees(90, 0, 50, 5, 92, 10)
    groups = find_groups(vectors, CLOSE)
    assert [group.tolist() for group in groups] == [[1, 3, 5], [0, 4]]


@pytest.mark.parametrize("n", [0, 1], ids=["nothing", "one"])
def test_too_few_pictures_have_no_groups(n: int) -> None:
    assert find_groups(at_degrees(*range(n)).reshape(n, 2), CLOSE) == []


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = to_unit(np.random.default_rng(0).normal(size=(60, 3)))
    whole = [group.tolist() for group in find_groups(vectors, 0.98)]
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    assert [group.tolist() for group in find_groups(vectors, 0.98)] == whole
    assert whole


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.97, 0.999])
def test_the_groups_are_those_of_a_walk_from_picture_to_picture(threshold: float) -> None:
    vectors = to_unit(np.random.default_rng(1).normal(size=(150, 3)))
    near = vectors @ vectors.T >= threshold
    groups, seen = [], set()
    for row in range(len(vectors)):
        group, waiting = set(), [row]
        while waiting:
            at = waiting.pop()
            if at not in seen:
                seen.add(at)
                group.add(at)
                waiting += np.flatnonzero(near[at]).tolist()
        if len(group) > 1:
            groups.append(sorted(group))
    groups.sort(key=len, reverse=True)
    assert [group.tolist() for group in find_groups(vectors, threshold)] == groups


def test_a_film_that_hardly_moves_is_one_group_and_takes_no_step_for_each_pair() -> None:
    vectors = at_degrees(*np.linspace(0, 1, 4000))  # eight million pairs
    started = time.process_time()
    (group,) = find_groups(vectors, CLOSE)
    assert time.process_time() - started < 5  # some 0.1 s; a step for each pair takes over 10
    assert len(group) == len(vectors)


def test_results_fold_into_the_best_ranked_copy_and_keep_their_order() -> None:
    ids = np.array([7, 3, 9, 4])
    assert fold(ids, at_degrees(0, 40, 1, 41), CLOSE) == [[7, 9], [3, 4]]

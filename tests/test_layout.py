from typing import Any

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from retrieval import layout
from retrieval.layout import lay_out, snap_to_grid
from retrieval.reduction import Matrix, to_unit


def groups(count: int, of: int, dimension: int = 16, seed: int = 0) -> Matrix:
    """Unit vectors in `count` groups of `of` that point nearly the same way, group by group."""
    generator = np.random.default_rng(seed)
    centres = to_unit(generator.normal(size=(count, dimension)))
    spread = generator.normal(scale=0.05, size=(count, of, dimension))
    return to_unit((centres[:, None] + spread).reshape(-1, dimension))


def random_places(n: int) -> Matrix:
    return np.random.default_rng(0).random((n, 2)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 6, 7, 40])
@pytest.mark.parametrize("dimension", [1, 2, 3, 256])
def test_any_number_of_pictures_is_laid_out_within_the_square(n: int, dimension: int) -> None:
    places = lay_out(groups(1, n, dimension))
    assert places.shape == (n, 2)
    assert places.dtype == np.float32
    assert np.isfinite(places).all()
    assert (places >= 0).all()
    assert (places <= 1).all()


def test_a_single_picture_lies_in_the_middle() -> None:
    assert lay_out(groups(1, 1)).tolist() == [[0.5, 0.5]]


def test_two_pictures_lie_at_opposite_ends() -> None:
    places = lay_out(groups(2, 1))
    assert sorted(places[:, 0].tolist()) == [0, 1]
    assert places[:, 1].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("n", [5, 40])
def test_the_longer_side_fills_the_square_and_the_other_is_in_the_middle(n: int) -> None:
    places = lay_out(groups(1, n))
    low, high = places.min(axis=0), places.max(axis=0)
    assert (high - low).max() == pytest.approx(1, abs=1e-5)
    assert low + high == pytest.approx([1, 1], abs=1e-5)


def test_similar_pictures_lie_together() -> None:
    vectors = groups(5, 30)
    places = lay_out(vectors)
    assert trustworthiness(vectors, places, n_neighbors=5) > 0.9
    middles = places.reshape(5, 30, 2).mean(axis=1)
    distances = np.linalg.norm(places[:, None] - middles[None], axis=2)
    assert (distances.argmin(axis=1) == np.repeat(np.arange(5), 30)).all()


def test_the_same_collection_is_laid_out_the_same_again() -> None:
    vectors = groups(3, 20)
    np.testing.assert_array_equal(lay_out(vectors), lay_out(vectors.copy()))


def test_copies_lie_on_one_spot_and_change_nothing_for_the_others() -> None:
    vectors = groups(3, 20)
    doubled = np.concatenate([vectors, vectors[[7, 7, 30]]])
    places = lay_out(doubled)
    np.testing.assert_array_equal(places[[60, 61, 62]], places[[7, 7, 30]])
    np.testing.assert_array_equal(places[:60], lay_out(vectors))


@pytest.mark.parametrize("n", [2, 5, 50])
def test_nothing_but_copies_lies_in_the_middle(n: int) -> None:
    assert (lay_out(np.repeat(groups(1, 1), n, axis=0)) == 0.5).all()


def test_pictures_without_any_features_are_laid_out_too() -> None:
    vectors = groups(2, 10)
    vectors[3] = 0
    assert np.isfinite(lay_out(vectors)).all()


def test_a_large_collection_is_laid_out_by_a_sample_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "SAMPLE", 100)
    vectors = groups(5, 60)
    places = lay_out(vectors)
    assert trustworthiness(vectors, places, n_neighbors=5) > 0.9
    middles = places.reshape(5, 60, 2).mean(axis=1)
    distances = np.linalg.norm(places[:, None] - middles[None], axis=2)
    assert (distances.argmin(axis=1) == np.repeat(np.arange(5), 60)).mean() > 0.98


@pytest.mark.parametrize("n", [0, 1, 2, 5, 17, 100, 1000])
@pytest.mark.parametrize("slack", [1.0, 1.6, 3.0])
def test_on_the_grid_each_picture_has_a_cell_of_its_own(n: int, slack: float) -> None:
    snapped = snap_to_grid(random_places(n), slack)
    side = np.ceil(np.sqrt(slack * n))
    cells = snapped * side - 0.5
    assert snapped.shape == (n, 2)
    np.testing.assert_allclose(cells, cells.round(), atol=1e-3)
    assert len(np.unique(cells.round(), axis=0)) == n
    assert n == 0 or (cells.min() > -0.1 and cells.max() < side - 0.9)


def test_copies_are_spread_over_cells_side_by_side() -> None:
    snapped = snap_to_grid(np.full((9, 2), 0.5, np.float32), slack=9.0)
    assert len(np.unique(snapped, axis=0)) == 9
    assert (np.ptp(snapped, axis=0) <= 4 / 9 + 1e-6).all()


def test_places_that_are_a_grid_already_stay_where_they_are() -> None:
    grid = (np.stack(np.meshgrid(np.arange(8), np.arange(8)), axis=-1).reshape(-1, 2) + 0.5) / 8
    np.testing.assert_allclose(snap_to_grid(grid.astype(np.float32), slack=1.0), grid, atol=1e-6)


def test_the_grid_moves_pictures_little_where_there_is_room() -> None:
    places = random_places(400)
    assert np.abs(snap_to_grid(places, slack=3.0) - places).mean() < 0.03


def test_what_is_placed_beside_a_sample_is_ranked_some_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = groups(20, 30)
    monkeypatch.setattr(layout, "SAMPLE", 200)
    asked: list[int] = []
    rank = layout.rank

    def counted(queries: Matrix, *given: Any) -> Any:
        asked.append(len(queries))
        return rank(queries, *given)

    monkeypatch.setattr(layout, "rank", counted)
    whole = layout.lay_out(vectors)
    assert asked == [600]
    monkeypatch.setattr(layout, "AT_ONCE", 64)
    # Some processors round a product of other size in another way.
    np.testing.assert_allclose(layout.lay_out(vectors), whole, atol=1e-5)
    assert max(asked[1:]) == 64

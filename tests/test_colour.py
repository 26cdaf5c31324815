"""Colour vectors: what looks alike in colour is near, whatever it shows."""

import numpy as np
import pytest

from retrieval.colour import describe_colours, to_oklab
from tests.made import by_hue


def plain(*degrees: float) -> np.ndarray:
    return np.stack([np.asarray(by_hue(hue, (32, 32))) for hue in degrees])


def test_vectors_are_unit_and_not_negative() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    vectors = describe_colours(noise)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors.min() >= 0


def test_neighbours_on_the_colour_wheel_are_nearer_than_opposites() -> None:
    red, orange, cyan = describe_colours(plain(0, 20, 180))
    assert red @ orange > red @ cyan + 0.3


def test_a_little_more_light_changes_little() -> None:
    dim = np.full((1, 32, 32, 3), 120, np.uint8)
    similarities = [
        float(describe_colours(dim)[0] @ describe_colours(dim + np.uint8(step))[0])
        for step in range(0, 40, 4)
    ]
    assert min(np.diff(similarities)) > -0.25  # no step over the edge of a bin
    assert similarities[1] > 0.9


def test_where_the_colours_are_makes_no_difference() -> None:
    left = plain(0)
    left[:, :, 16:] = plain(240)[:, :, 16:]
    right = left[:, :, ::-1]
    assert float(describe_colours(left)[0] @ describe_colours(right)[0]) == pytest.approx(
        1, abs=1e-5
    )


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (1.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (0.628, 0.225, 0.126)),
        ((0, 0, 255), (0.452, -0.032, -0.312)),
    ],
    ids=["white", "black", "red", "blue"],
)
def test_oklab_gives_the_published_values(
    rgb: tuple[int, int, int], lab: tuple[float, float, float]
) -> None:
    np.testing.assert_allclose(to_oklab(np.array(rgb, np.uint8)), lab, atol=1e-3)

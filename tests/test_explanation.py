"""Why two pictures match: the places add up to the similarity itself."""

import numpy as np
import pytest

from retrieval.connected import Connected
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.explanation import explain, fold, place_shares
from retrieval.model import GEM_POWER, ModelCard
from retrieval.preprocessing import Preprocessing
from retrieval.reduction import Reduction, to_unit

CHANNELS, SIDE, COMPONENTS = 16, 4, 6


class FromMaps:
    """An extractor of which only the card is used."""

    provider = "CPU"

    def __init__(self, pooling: str) -> None:
        how = Preprocessing(128, "squash", "bilinear", 128)
        layer = "pool5" if pooling else "fc2"
        self.card = ModelCard("made up", layer, pooling, CHANNELS, "0" * 64, how)

    def extract(self, pictures: np.ndarray) -> np.ndarray:
        raise AssertionError("not to be called")

    extract_with_texture = extract


def made_reduction(whitening: float) -> Reduction:
    generator = np.random.default_rng(1)
    rows, _ = np.linalg.qr(generator.normal(size=(CHANNELS, COMPONENTS)))
    variance = np.geomspace(1, 0.01, COMPONENTS)
    return Reduction(
        mean=(generator.random(CHANNELS) / 8).astype(np.float32),
        components=np.ascontiguousarray(rows.T, np.float32),
        scale=(variance ** (-whitening / 2)).astype(np.float32),
        whitening=whitening,
        fitted_on=100,
    )


def made_maps(n: int) -> np.ndarray:
    maps = np.random.default_rng(2).normal(size=(n, CHANNELS, SIDE, SIDE))
    return np.maximum(maps, 0).astype(np.float32)


def pool(maps: np.ndarray, pooling: str) -> np.ndarray:
    if pooling == "mean":
        return maps.mean((2, 3))
    return (np.maximum(maps, 1e-6) ** GEM_POWER).mean((2, 3)) ** (1 / GEM_POWER)


@pytest.mark.parametrize("pooling", ["mean", "gem"])
@pytest.mark.parametrize("whitening", [None, 0.0, 0.5], ids=["no PCA", "PCA", "whitened"])
def test_the_places_add_up_to_the_similarity(pooling: str, whitening: float | None) -> None:
    reduction = None if whitening is None else made_reduction(whitening)
    embedder = Embedder(FromMaps(pooling), reduction)
    maps = made_maps(2)
    features = pool(maps, pooling)
    a, b = reduction.project(features) if reduction else to_unit(features)
    explanation = explain(embedder, features[0], maps[0], b)
    assert explanation.places.shape == (SIDE, SIDE)
    assert float(explanation.places.sum()) == pytest.approx(float(a @ b), abs=1e-5)
    assert explanation.similarity == pytest.approx(float(a @ b), abs=1e-5)


@pytest.mark.parametrize("whitening", [None, 0.25], ids=["no PCA", "PCA"])
def test_the_places_add_up_behind_fully_connected_layers(whitening: float | None) -> None:
    generator = np.random.default_rng(3)
    layers = Connected(
        *(generator.normal(size=size) for size in ((24, CHANNELS), 24, (CHANNELS, 24), CHANNELS))
    )
    reduction = None if whitening is None else made_reduction(whitening)
    embedder = Embedder(FromMaps("gem"), reduction)
    maps = made_maps(2)
    features = pool(maps, "gem")
    passed = np.stack([layers(feature) for feature in features])
    let_through = layers.first @ features[0] + layers.first_bias > 0
    assert 0 < let_through.sum() < 24
    a, b = reduction.project(passed) if reduction else to_unit(passed)
    explanation = explain(embedder, passed[0], maps[0], b, layers)
    assert float(explanation.places.sum()) == pytest.approx(float(a @ b), abs=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "gem"])
def test_the_shares_of_the_places_add_up_to_the_feature(pooling: str) -> None:
    maps = made_maps(1)
    np.testing.assert_allclose(
        place_shares(maps[0], pooling).sum((1, 2)), pool(maps, pooling)[0], rtol=1e-5
    )


def test_the_place_that_matches_is_the_warmest() -> None:
    embedder = Embedder(FromMaps("mean"), None)
    maps = np.zeros((CHANNELS, SIDE, SIDE), np.float32)
    maps[3, 0, 1] = 1  # what the other picture has
    maps[5, 2, 2] = 1  # what it has not
    other = np.eye(CHANNELS, dtype=np.float32)[3]
    places = explain(embedder, pool(maps[None], "mean")[0], maps, other).places
    assert np.unravel_index(places.argmax(), places.shape) == (0, 1)
    assert places[2, 2] == 0


def test_fully_connected_layers_have_no_map_and_say_so() -> None:
    ones = np.ones(CHANNELS, np.float32)
    with pytest.raises(LookalikeError, match="mix all places"):
        explain(Embedder(FromMaps(""), None), ones, made_maps(1)[0], ones)


def test_the_corners_of_a_mirrored_picture_are_laid_over_each_other() -> None:
    corner = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    upper = np.hstack([corner, 10 * corner[:, ::-1]])
    whole = np.vstack([upper, 100 * upper[::-1]])
    assert np.array_equal(fold(whole), 1111 * corner)


def test_mirrors_may_meet_in_the_middle_of_a_place() -> None:
    places = np.zeros((5, 5), np.float32)
    places[0, 0], places[2, 2], places[4, 1] = 4, 8, 12
    folded = fold(places)
    assert folded.shape == (5, 5)
    assert folded.sum() == places.sum()
    # The corner's first place is two cells wide, and of the middle one a quarter is in each corner.
    assert folded[:2, :2].tolist() == [[1, 1], [1, 1]]
    assert folded[4, 4] == 8
    assert folded[:2, 2:4].tolist() == [[3, 3], [3, 3]]

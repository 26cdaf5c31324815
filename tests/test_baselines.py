"""The baselines against colorsys and against what one expects of them."""

import colorsys

import numpy as np
import pytest

from retrieval.baselines import HUES, SATURATIONS, VALUES, ColourHistogram, RawPixels, baselines
from retrieval.preprocessing import preprocess
from retrieval.reduction import to_unit
from tests.made import by_hue, noise


def test_a_histogram_counts_the_colours_as_colorsys_sees_them() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    pictures[0, 0, :4] = [[0, 0, 0], [255, 255, 255], [7, 7, 7], [255, 0, 0]]
    features = ColourHistogram().extract(pictures)
    for picture, feature in zip(pictures, features, strict=True):
        counts = np.zeros((HUES, SATURATIONS, VALUES))
        for pixel in picture.reshape(-1, 3) / 255:
            h, s, v = colorsys.rgb_to_hsv(*pixel)
            place = (min(int(h * HUES), HUES - 1), min(int(s * SATURATIONS), SATURATIONS - 1))
            counts[(*place, min(int(v * VALUES), VALUES - 1))] += 1
        # A pixel may lie exactly on the border of two bins, where the last bit decides.
        assert np.abs(feature.reshape(counts.shape) ** 2 * 4096 - counts).sum() <= 20
    assert to_unit(features) == pytest.approx(features, abs=1e-5)


def test_the_histogram_tells_hues_apart_and_not_places() -> None:
    histogram = ColourHistogram()
    how = histogram.card.preprocessing
    left, right = np.zeros((2, 64, 64, 3), np.uint8)
    left[:, :32] = (255, 0, 0)
    right[:, 32:] = (255, 0, 0)
    red, blue = (preprocess(by_hue(hue), how) for hue in (0, 240))
    features = histogram.extract(np.stack([left, right, red, blue]))
    assert features[0] @ features[1] == pytest.approx(1)
    assert features[2] @ features[3] == pytest.approx(0)


def test_raw_pixels_see_where_it_is_bright_and_not_how_bright_it_is() -> None:
    raw = RawPixels()
    dark = preprocess(noise((64, 64), 3), raw.card.preprocessing) // 2
    features = to_unit(raw.extract(np.stack([dark, dark + 100, np.rot90(dark)])))
    assert features[0] @ features[1] == pytest.approx(1, abs=1e-5)
    assert features[0] @ features[2] < 0.9


@pytest.mark.parametrize("baseline", baselines(), ids=lambda one: one.card.name)
def test_a_baseline_is_what_its_card_says(baseline: ColourHistogram | RawPixels) -> None:
    picture = preprocess(noise((90, 50)), baseline.card.preprocessing)
    features = baseline.extract(np.stack([picture] * 3))
    assert features.shape == (3, baseline.card.dimension)
    assert features.dtype == np.float32
    assert (features[0] == features[2]).all()


def test_a_black_picture_harms_nobody() -> None:
    for baseline in baselines():
        side = baseline.card.preprocessing.side
        features = to_unit(baseline.extract(np.zeros((1, side, side, 3), np.uint8)))
        assert np.isfinite(features).all()

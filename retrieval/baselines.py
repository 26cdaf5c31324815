"""Two baselines that know nothing of objects, so that a reader can judge a figure.

Both stand where a network stands: pictures in, features out.
"""

import numpy as np
import numpy.typing as npt

from retrieval.model import FeatureExtractor, ModelCard
from retrieval.preprocessing import Preprocessing
from retrieval.reduction import Matrix

HUES, SATURATIONS, VALUES = 16, 4, 4


class ColourHistogram:
    """How often each colour occurs: 16 hues x 4 saturations x 4 values, after a square root.

    The cosine of two such features is the Bhattacharyya coefficient of the histograms, which suits
    them better than that of the bare counts, where one large area drowns the rest.
    """

    def __init__(self) -> None:
        self.provider = "CPU"
        self.card = ModelCard(
            "colour histogram",
            f"HSV {HUES}x{SATURATIONS}x{VALUES}",
            "",
            HUES * SATURATIONS * VALUES,
            "none",
            Preprocessing(side=64, fit="squash", interpolation="bilinear", resize=64),
        )

    def extract(self, pictures: npt.NDArray[np.uint8]) -> Matrix:
        """Map `(n, 64, 64, 3)` pictures to `(n, 256)` features."""
        hue, saturation, value = _hsv(pictures.reshape(len(pictures), -1, 3))
        bins = (
            np.minimum((hue * HUES).astype(np.int64), HUES - 1) * SATURATIONS
            + np.minimum((saturation * SATURATIONS).astype(np.int64), SATURATIONS - 1)
        ) * VALUES + np.minimum((value * VALUES).astype(np.int64), VALUES - 1)
        size = self.card.dimension
        rows = np.arange(len(bins))[:, None] * size
        counts = np.bincount((bins + rows).ravel(), minlength=len(bins) * size)
        histogram = counts.reshape(len(bins), size) / bins.shape[1]
        features: Matrix = np.sqrt(histogram).astype(np.float32)
        return features


class RawPixels:
    """A thumbnail of 16x16 pixels as it is: 768 numbers, less their mean."""

    def __init__(self) -> None:
        self.provider = "CPU"
        self.card = ModelCard(
            "raw pixels",
            "RGB",
            "",
            16 * 16 * 3,
            "none",
            Preprocessing(side=16, fit="squash", interpolation="bilinear", resize=16),
        )

    def extract(self, pictures: npt.NDArray[np.uint8]) -> Matrix:
        """Map `(n, 16, 16, 3)` pictures to `(n, 768)` features."""
        flat = pictures.reshape(len(pictures), -1).astype(np.float32)
        # Without its mean a bright picture is not simply like every other bright one.
        features: Matrix = flat - flat.mean(axis=1, keepdims=True)
        return features


def baselines() -> tuple[FeatureExtractor, ...]:
    """Return the baselines, the better one first."""
    return ColourHistogram(), RawPixels()


def _hsv(rgb: npt.NDArray[np.uint8]) -> tuple[Matrix, Matrix, Matrix]:
    """Return hue, saturation and value of `(n, p, 3)` pixels, each `(n, p)`, from 0 to 1.

    The hexcone model of Smith 1978, as `colorsys.rgb_to_hsv` has it.
    """
    red, green, blue = np.moveaxis(rgb.astype(np.float32) / 255, -1, 0)
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    safe = np.where(chroma > 0, chroma, 1)
    sector = np.select(
        [value == red, value == green],
        [(green - blue) / safe % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    hue = np.where(chroma > 0, sector / 6, 0).astype(np.float32)
    saturation = np.where(value > 0, chroma / np.where(value > 0, value, 1), 0).astype(np.float32)
    return hue, saturation, value

"""What colours a picture has, as a vector: a soft histogram in a perceptual colour space.

OKLab (Bjoern Ottosson, 2020, https://bottosson.github.io/posts/oklab/) keeps equal steps about
equally visible. Each pixel is shared among the bins around it, since a hard histogram turns a shade
more light into another bin; bins are rooted before comparing (the Hellinger kernel: "Three things
everyone should know to improve object retrieval", Arandjelovic and Zisserman, 2012), so that a
large plain background does not drown the rest.
"""

import numpy as np
import numpy.typing as npt

from retrieval.reduction import Matrix, to_unit

# Lightness from 0 to 1; the two colour axes reach about 0.3 to either side in sRGB.
LIGHTNESS = np.linspace(0.1, 0.95, 5, dtype=np.float32)
AXIS = np.linspace(-0.24, 0.24, 7, dtype=np.float32)
DIMENSION = len(LIGHTNESS) * len(AXIS) ** 2
SAMPLE = 32  # pixels a side that are counted: colours need no detail

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_LINEAR = np.where(
    np.arange(256) / 255 <= 0.04045,
    np.arange(256) / 255 / 12.92,
    ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4,
).astype(np.float32)


def describe_colours(pictures: npt.NDArray[np.uint8]) -> Matrix:
    """Map RGB pictures `(n, s, s, 3)` to unit colour vectors `(n, 245)`, all numbers >= 0."""
    n, side = pictures.shape[:2]
    step = max(1, side // SAMPLE)
    pixels = pictures[:, step // 2 :: step, step // 2 :: step].reshape(n, -1, 3)
    lab = to_oklab(pixels)
    shares = [
        _shares(lab[..., 0], LIGHTNESS),
        _shares(lab[..., 1], AXIS),
        _shares(lab[..., 2], AXIS),
    ]
    histograms = np.einsum("npl,npa,npb->nlab", *shares, optimize=True).reshape(n, DIMENSION)
    return to_unit(np.sqrt(histograms))


def to_oklab(pixels: npt.NDArray[np.uint8]) -> Matrix:
    """Map sRGB `(..., 3)` to OKLab `(..., 3)`: lightness 0 to 1, green-red, blue-yellow."""
    cones = _LINEAR[pixels] @ _TO_CONES.T
    lab: Matrix = np.cbrt(cones) @ _TO_LAB.T
    return lab


def _shares(values: Matrix, centres: Matrix) -> Matrix:
    """Share each value linearly between the two bins around it; `(..., bins)`, summing to 1."""
    width = centres[1] - centres[0]
    clipped = np.clip(values, centres[0], centres[-1])
    shares: Matrix = np.maximum(0, 1 - np.abs(clipped[..., None] - centres) / width)
    return shares

"""How light and dark are laid out in a picture, as a vector by which copies know each other.

A network's features change when a picture is compressed hard or scaled down (on Corel-1k, half the
size and JPEG quality 50 bring the cosine down to 0.77); where it gets lighter and darker hardly
does. This is the difference hash of Krawetz 2013 ("Kind of Like That") kept as numbers, not bits:
steps of lightness between neighbours on a coarse grid. Measured on Corel-1k: copies at half the
size, at quality 30, 15 % brighter or in grey stay above 0.99, a cut of 3 % around is at 0.72 to
0.86, and of the 499,500 pairs of different pictures two reach 0.82.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from retrieval.reduction import Matrix, to_unit

GRID = 12
DIMENSION = 2 * GRID**2
COPY = 0.85  # from here on two pictures are shown as copies of each other


def describe_layout(pictures: npt.NDArray[np.uint8]) -> Matrix:
    """Map RGB pictures `(n, s, s, 3)` to unit vectors `(n, 288)`; a plain picture is all zeros."""
    grids = np.stack([_grid(picture) for picture in pictures])
    across = np.diff(grids, axis=2)[:, :-1]
    down = np.diff(grids, axis=1)[:, :, :-1]
    steps = np.concatenate([across, down], axis=1).reshape(len(grids), DIMENSION)
    # Below one level of 255 there is only noise. The root keeps one strong edge from being all.
    steps = np.where(np.abs(steps) < 1, 0, steps)
    return to_unit(np.sign(steps) * np.sqrt(np.abs(steps)))


def _grid(picture: npt.NDArray[np.uint8]) -> Matrix:
    size = (GRID + 1, GRID + 1)
    grey = Image.fromarray(picture).convert("L").resize(size, Image.Resampling.BOX)
    return np.asarray(grey, np.float32)

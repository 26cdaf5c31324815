"""How a picture is shaped for a network, which the model's file says."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from retrieval.images import THUMBNAIL_SIDE


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its pictures; travels inside the model's file.

    With `fit="crop"` the short side becomes `resize` and the centre is cut out, as torchvision's
    ImageNet transforms do; with `fit="squash"` the whole picture is pressed into the square.

    A small picture that is enlarged much is a blur to a network that has learned what edges look
    like. One of at most `mirrored` pixels in both directions therefore fills half the side only,
    and stands four times in the square, mirrored at the lines where it meets itself.
    """

    side: int  # pixels
    fit: str  # "crop" or "squash"
    interpolation: str  # "bilinear" or "bicubic"
    resize: int  # pixels; the short side before the crop, equal to `side` when squashed
    mirrored: int = field(default=0, repr=False)  # pixels; the largest picture that is

    def __post_init__(self) -> None:
        if self.fit not in ("crop", "squash"):
            raise ValueError(f"fit is {self.fit!r}, not 'crop' or 'squash'")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation is {self.interpolation!r}")
        if not 0 < self.side <= self.resize <= 4096:
            raise ValueError(f"a side of {self.side} does not fit a resize of {self.resize}")
        if not 0 <= self.mirrored <= self.side or (self.mirrored and self.side % 2):
            raise ValueError(f"a side of {self.side} cannot be mirrored below {self.mirrored}")


def preprocess(image: Image.Image, how: Preprocessing) -> npt.NDArray[np.uint8]:
    """Shape an RGB picture for a network.

    Returns `(side, side, 3)` uint8. The sizes are rounded as torchvision rounds them: one pixel
    off moves the whole crop.
    """
    if max(image.size) <= how.mirrored:
        half = replace(how, side=how.side // 2, resize=how.resize // 2, mirrored=0)
        corner = preprocess(image, half)
        upper = np.concatenate([corner, corner[:, ::-1]], axis=1)
        return np.concatenate([upper, upper[::-1]])
    filter_ = (
        Image.Resampling.BICUBIC if how.interpolation == "bicubic" else Image.Resampling.BILINEAR
    )
    if how.fit == "squash":
        return np.asarray(image.resize((how.side, how.side), filter_))
    width, height = image.size
    short = min(width, height)
    width, height = how.resize * width // short, how.resize * height // short
    left, top = round((width - how.side) / 2), round((height - how.side) / 2)
    # Only the part under the crop is computed: `box` is in the coordinates of the source.
    scale_x, scale_y = image.width / width, image.height / height
    box = (
        left * scale_x,
        top * scale_y,
        (left + how.side) * scale_x,
        (top + how.side) * scale_y,
    )
    return np.asarray(image.resize((how.side, how.side), filter_, box=box))


def is_mirrored(pixels: npt.NDArray[np.uint8], how: Preprocessing) -> bool:
    """Whether what a network sees, `(side, side, 3)`, is a small picture four times."""
    flipped = (pixels[:, ::-1], pixels[::-1])
    return how.mirrored > 0 and all(np.array_equal(pixels, other) for other in flipped)


def scale_for(how: Preprocessing) -> int:
    """Return how many pixels the short side of a picture needs for a network and a thumbnail.

    At least a third more than the network's own; up to 240 pixels the thumbnail decides. So a JPEG
    of 12 megapixels is decoded at an eighth for 224 pixels, and its features are those of the whole
    picture (cosine 0.9995 to 1, with grain too); at a quarter the mean would be 0.9999 instead of
    0.9998.

    The search page keeps a larger picture of an upload, so that parts can be cut out of it; the
    features then differ as little, which is not worth the time of decoding it twice.
    """
    return max(THUMBNAIL_SIDE, how.resize * 4 // 3)

"""What decoders give (palettes, CMYK, 16 bits, wide gamuts, transparency), made RGB in parts."""

import io
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

# Pixels converted at one time. A large picture is held once as it was decoded and once as it is
# wanted; the steps between need several times that, but only of a tile.
TILE = 2**21

SRGB = ImageCms.createProfile("sRGB")
GREYS = (0, 64, 128, 192, 255)


def to_rgb(
    image: Image.Image, factor: int, icc: bytes | None, ends: tuple[float, float] | None = None
) -> Image.Image:
    """Reduce a picture by a whole factor, and make it RGB of 8 bits in sRGB, laid on white.

    Args:
        ends: of greyscale of more than 8 bits, what is black and what is white, where it is known.
    """
    profile = _foreign_profile(icc)
    if image.mode == "RGB" and factor == 1 and not profile and not image.has_transparency_data:
        return image
    scale = _scale_of(image, ends)
    if image.width * image.height <= TILE:
        return _tile_to_rgb(image, scale, factor, profile)
    width, height = (-(-side // factor) for side in image.size)
    whole = Image.new("RGB", (width, height))
    for left, top, tile in _tiles(image, factor):
        part = _tile_to_rgb(tile, scale, factor, profile)
        whole.paste(part, (left // factor, top // factor))
    return whole


def _tiles(image: Image.Image, multiple: int = 1) -> Iterator[tuple[int, int, Image.Image]]:
    """Yield the left and top of each part of a picture, and the part: so many pixels each, or more.

    Args:
        multiple: no block of so many pixels' side is cut, counted from the left and the top.
    """

    def step(pixels: int) -> int:
        return max(1, pixels // multiple) * multiple

    width, height = image.size
    columns = width if width <= TILE else step(TILE)
    rows = step(TILE // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            right, bottom = min(left + columns, width), min(top + rows, height)
            yield left, top, image.crop((left, top, right, bottom))


def _scale_of(image: Image.Image, ends: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return what is black in greyscale of 16 or 32 bits, and how much a step is of 8 bits.

    None for other pictures. Pillow's own conversion clips 16-bit values at 255, which turns such
    pictures white.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return None
    if ends and image.mode.startswith("I;16"):
        black, white = ends
        return black, 255 / (white - black)
    top = bottom = 0.0
    for _, _, tile in _tiles(image):
        values = _values(tile)
        top = max(top, float(values.max(initial=0)))
        bottom = min(bottom, float(values.min(initial=0)))
    if image.mode == "F":
        white = 1.0 if top <= 1 else max(top, 255.0)
    else:
        white = 255.0 if top <= 255 and image.mode == "I" else 65535.0
    return bottom, 255 / (max(white, top) - bottom)


def _values(image: Image.Image) -> npt.NDArray[np.float32]:
    return np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)


def _tile_to_rgb(
    image: Image.Image,
    scale: tuple[float, float] | None,
    factor: int,
    profile: ImageCms.ImageCmsProfile | None,
) -> Image.Image:
    """Do what `to_rgb` does with a part, several times as large in between."""
    fits_greys = profile is not None and _is_grey(profile)
    is_grey = image.mode in ("L", "LA")
    # Palettes are resolved first, so that pixels can be averaged.
    if scale is not None:
        bottom, step = scale
        shades = ((_values(image) - bottom) * step).round().clip(0, 255)
        image = Image.fromarray(shades.astype(np.uint8))
    elif image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("L", "RGB") and image.has_transparency_data:
        image = image.convert("RGBA")  # one colour is transparent, which averaging would blur
    if factor > 1:
        image = image.reduce(factor)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(canvas, rgba)
        image = image.convert("L" if is_grey and fits_greys else "RGB")
    if profile and (image.mode in ("RGB", "CMYK") or (image.mode == "L" and fits_greys)):
        try:
            converted = ImageCms.profileToProfile(image, profile, SRGB, outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # A broken profile costs a little colour, not the picture.
    return image if image.mode == "RGB" else image.convert("RGB")


def _foreign_profile(icc: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """Return an embedded profile that is not sRGB; None for one that is, is broken, or for none."""
    if not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return None if _is_srgb(icc) else profile
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=16)
def _is_srgb(icc: bytes) -> bool:
    """Whether a profile says that it is sRGB, and leaves greys as they are.

    There are such with sRGB's primaries, and its name, whose numbers are amounts of light.
    """
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    if "sRGB" not in ImageCms.getProfileDescription(profile):
        return False
    greys = Image.fromarray(np.array([GREYS], np.uint8)).convert(
        "L" if _is_grey(profile) else "RGB"
    )
    seen = ImageCms.profileToProfile(greys, profile, SRGB, outputMode="RGB")
    difference = np.asarray(seen, int) - np.asarray(greys.convert("RGB"), int)
    return bool(np.abs(difference).max() <= 2)


def _is_grey(profile: ImageCms.ImageCmsProfile) -> bool:
    return str(profile.profile.xcolor_space).strip() == "GRAY"

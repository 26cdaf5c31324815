"""Cleaning a query up before it is searched with: less noise, and light where it is dark.

The paper treats the query "to reduce noise as well as improve image quality". Here that is a
stretch of the levels, then denoising by non-local means, as strong as the noise that is measured.
What it gains and what it costs, README tells (`python -m tests.measure_cleaning`).

Denoising is scikit-image's: kept by the people around NumPy and SciPy, wheels for Linux, macOS and
Windows, 14 MB (and 3 MB of what it needs), where opencv-python-headless has 61 MB and a second copy
of codecs that a stranger's file could reach.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.float32]  # (h, w, 3), 0 to 1

# More pixels than any network of ours looks at, and few enough to be done in a second.
LONG_SIDE = 640
# Shares of full scale.
NOISY = 0.05  # less is texture: of Corel's pictures as they are, hardly any reaches it
# Of the denoising, in standard deviations of the noise. Chosen on sixty noisy queries, whose P@10
# is 53 untreated, 78 with 0.3, 77 with 0.4, 73 with 0.5, 68 with 0.6 and 49 with 1; total variation
# came to 56 at most.
STRENGTH = 0.3
DARK = 0.5  # where even the lightest places are darker than this, light is missing
DARKEST_WHITE = 0.1  # what is darker still holds no picture to be brought to light


def clean_up(image: Image.Image) -> Image.Image:
    """Return an RGB picture with better light and less noise, at most 640 pixels long.

    Light: the 0.5 % darkest and lightest values become black and white, all colours by the same
    factor, so that hues stay. A picture that is dark on purpose has light places, and keeps its
    mood. Noise: where there is any to speak of, non-local means (Buades, Coll and Morel 2005), and
    mildly: what is smeared hurts the network more than what is left. It takes half a second.
    """
    pixels = _reduce(image)
    pixels = _level(pixels, *_black_and_white(pixels))
    noise = measure_noise(pixels)
    if noise >= NOISY:
        # The import takes half a second, and only who cleans up needs it.
        from skimage.restoration import denoise_nl_means

        denoise: Any = denoise_nl_means  # has no types
        pixels = denoise(
            pixels,
            patch_size=5,
            patch_distance=6,
            h=STRENGTH * noise,
            sigma=noise,
            channel_axis=-1,
        )
    return Image.fromarray((pixels * 255).round().clip(0, 255).astype(np.uint8))


def needs_cleaning(image: Image.Image) -> bool:
    """Whether an RGB picture is so noisy or so dark that `clean_up` helps it.

    README has the figures: where neither is the case, cleaning up gains nothing.
    """
    pixels = _reduce(image)
    black, white = _black_and_white(pixels)
    return white < DARK or measure_noise(_level(pixels, black, white)) >= NOISY


def measure_noise(pixels: Pixels) -> float:
    """Return the standard deviation of the noise in `(h, w, 3)`, as a share of full scale.

    Measured by the median of the finest diagonal wavelet details (Donoho and Johnstone 1994), which
    edges hardly touch: most of a picture has none.
    """
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    if not height or not width:
        return 0.0
    even, odd = pixels[0:height:2], pixels[1:height:2]
    details = (even[:, 0:width:2] - even[:, 1:width:2] - odd[:, 0:width:2] + odd[:, 1:width:2]) / 2
    return float(np.median(np.abs(details)) / 0.6745)


def _reduce(image: Image.Image) -> Pixels:
    small = image.copy()
    # The mean over whole areas takes noise away as well.
    small.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BOX, reducing_gap=None)
    pixels: Pixels = np.asarray(small).astype(np.float32) / np.float32(255)
    return pixels


def _black_and_white(pixels: Pixels) -> tuple[float, float]:
    """Return the values that become black and white."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    # A twelfth of the time of pixels.min(axis=2), which every upload would wait for.
    darkest = np.minimum(np.minimum(red, green), blue)
    lightest = np.maximum(np.maximum(red, green), blue)
    return float(np.percentile(darkest, 0.5)), float(np.percentile(lightest, 99.5))


def _level(pixels: Pixels, black: float, white: float) -> Pixels:
    if white - black < DARKEST_WHITE:  # one colour, or nothing but night
        return pixels
    levelled: Pixels = ((pixels - black) / np.float32(white - black)).clip(0, 1)
    return levelled

"""Crops spoiled as people's pictures are: blurred, pressed hard into JPEG, or of few pixels.

The student sees them spoiled and the teachers as they were, so it learns to see through it. That is
more than augmentation: what photos of 112 pixels never show is what 224 pixels of a blur look like.
Others are sharpened, as sharp as photos of 224 pixels are and those of 112, enlarged, are not.
"""

import io
import math
from functools import cache

import torch
import torch.nn.functional as F
from PIL import Image, JpegImagePlugin
from torch import Tensor

from export.photos import resize

BLUR = (1.5, 5.0)  # pixels of a Gaussian's deviation
QUALITY = (4, 25)  # of JPEG, as Pillow counts it
SMALL = (24, 64)  # pixels a side of a picture that the app shows mirrored
FEW = (28, 90)  # pixels a side of one that it enlarges
SHARP = (1.5, 2.0)  # pixels of the deviation of the blur that edges are told by
EDGES = (0.4, 1.8)  # how much of what a blur takes away is added
BLOCK = 8  # pixels a side of what JPEG transforms at once


def spoil(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Spoil a share of the pictures `(n, 3, s, s)`, RGB from 0 to 255; `s` is a multiple of 16.

    The first of them become small and mirrored, the next JPEGs, then blurred, then few pixels
    enlarged: three, two, one and one of seven. Which photos come first differs from step to step.

    Args:
        generator: of the CPU, so that the same seed spoils alike on every device.
    """
    spoiled = pictures.clone()
    ways = (mirrored, mirrored, mirrored, jpeg, jpeg, blurred, enlarged)
    wanted = round(share * len(pictures))
    for number, way in enumerate(ways):
        rows = slice(wanted * number // len(ways), wanted * (number + 1) // len(ways))
        if rows.start < rows.stop:
            spoiled[rows] = way(pictures[rows], float(torch.rand((), generator=generator)))
    return spoiled


def as_seen(pictures: Tensor, spoiled: float, sharper: float, generator: torch.Generator) -> Tensor:
    """Return the pictures as a student sees them: a share spoiled, the next ones sharpened."""
    seen = spoil(pictures, spoiled, generator)
    rows = slice(*(round(share * len(pictures)) for share in (spoiled, spoiled + sharper)))
    if rows.start < rows.stop:
        seen[rows] = sharpened(pictures[rows], generator)
    return seen


def mirrored(pictures: Tensor, drawn: float) -> Tensor:
    """Shrink to few pixels and lay out as the app does with such a picture, mirrored four times."""
    quarter = resize(resize(pictures, round(_between(SMALL, drawn))), pictures.shape[-1] // 2)
    row = torch.cat([quarter, quarter.flip(3)], 3)
    return torch.cat([row, row.flip(2)], 2)


def enlarged(pictures: Tensor, drawn: float) -> Tensor:
    """Shrink to few pixels, and enlarge again."""
    return resize(resize(pictures, round(_between(FEW, drawn))), pictures.shape[-1])


def blurred(pictures: Tensor, drawn: float) -> Tensor:
    """Blur by a Gaussian."""
    return _blur(pictures, _between(BLUR, drawn))


def sharpened(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Add to pictures `(n, 3, s, s)`, RGB from 0 to 255, what a blur would take away.

    Args:
        generator: of the CPU, so that the same seed sharpens alike on every device.
    """
    deviation, edges = torch.rand(2, generator=generator).tolist()
    missing = pictures - _blur(pictures, _between(SHARP, deviation))
    return (pictures + _between(EDGES, edges) * missing).clamp(0, 255)


def _blur(pictures: Tensor, deviation: float) -> Tensor:
    reach = math.ceil(3 * deviation)
    at = torch.arange(-reach, reach + 1, device=pictures.device, dtype=pictures.dtype)
    kernel = (-0.5 * (at / deviation) ** 2).exp()
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = F.pad(pictures, (reach, reach, reach, reach), "replicate")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def jpeg(pictures: Tensor, drawn: float) -> Tensor:
    """Round as JPEG (ITU-T T.81) does, with half the colours' pixels; nothing is written.

    On the pictures' own device: Pillow would want each of them in the processor's memory.
    """
    light_table, colour_table = _tables(round(_between(QUALITY, drawn)))
    red, green, blue = pictures.unbind(1)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    colours = torch.stack([(blue - light) / 1.772, (red - light) / 1.402], 1)
    colours = _rounded(F.avg_pool2d(colours, 2), colour_table)
    light = _rounded(light.unsqueeze(1) - 128, light_table).squeeze(1) + 128
    of_blue, of_red = F.interpolate(colours, scale_factor=2, mode="bilinear").unbind(1)
    red, blue = light + 1.402 * of_red, light + 1.772 * of_blue
    green = (light - 0.299 * red - 0.114 * blue) / 0.587
    return torch.stack([red, green, blue], 1).clamp(0, 255)


def _rounded(planes: Tensor, table: Tensor) -> Tensor:
    """Round the cosine transform of each block of `(n, c, h, w)` to multiples of `table`."""
    n, c, h, w = planes.shape
    table, basis = table.to(planes), _cosines().to(planes)
    blocks = planes.reshape(n, c, h // BLOCK, BLOCK, w // BLOCK, BLOCK).transpose(3, 4)
    waves = basis @ blocks @ basis.T
    blocks = basis.T @ ((waves / table).round() * table) @ basis
    return blocks.transpose(3, 4).reshape(n, c, h, w)


@cache
def _cosines() -> Tensor:
    """Return the matrix of the cosine transform of 8 numbers, `(8, 8)`, orthonormal."""
    at = torch.arange(BLOCK, dtype=torch.float64)
    waves = (math.pi / BLOCK * at.view(-1, 1) * (at + 0.5)).cos() * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    return waves.float()


@cache
def _tables(quality: int) -> tuple[Tensor, Tensor]:
    """Return what a JPEG of this quality divides light and colours by, `(8, 8)` each."""
    written = io.BytesIO()
    Image.new("RGB", (BLOCK, BLOCK)).save(written, "JPEG", quality=quality)
    written.seek(0)  # and in memory, so there is nothing to close
    tables = JpegImagePlugin.JpegImageFile(written).quantization
    light, colours = (torch.tensor(tables[i]).view(BLOCK, BLOCK).float() for i in (0, 1))
    return light, colours


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share

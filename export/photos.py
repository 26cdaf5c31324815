"""Photos to train on: packs decoded once, and cropped in batches where the network runs."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from export.recipe import seed_for
from export.stored import Stored, list_packs
from retrieval.errors import LookalikeError
from retrieval.model import available_cpus

RATIO = 4 / 3  # how much a crop may be stretched, either way
JITTER = 0.3  # how much brightness, contrast and saturation may change, either way


@dataclass(frozen=True)
class Photos:
    """Photos in memory, each pressed into a square; crops undo the pressing.

    A short side of 112 and what lies beside it have about as many pixels as a square of 128, so
    all photos fit one tensor, and one call crops a batch.
    """

    pixels: Tensor  # (n, side, side, 3), uint8, RGB
    aspects: Tensor  # (n,), width by height of the photo

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice) -> "Photos":
        return Photos(self.pixels[rows], self.aspects[rows])

    def to(self, device: torch.device) -> "Photos":
        """Return the same photos in the memory of a device."""
        return Photos(self.pixels.to(device), self.aspects.to(device))

    def whole(self, rows: slice, side: int) -> Tensor:
        """Return whole photos pressed into a square, as the app does: `(n, 3, side, side)`."""
        return resize(self.pixels[rows].permute(0, 3, 1, 2).float(), side)

    def crop(
        self, rows: Tensor, side: int, generator: torch.Generator, low: float, tiled: float = 0.0
    ) -> Tensor:
        """Return a random part of each photo, `(n, 3, side, side)`, RGB from 0 to 255.

        The random resized crop of "Going Deeper with Convolutions", Szegedy et al. 2015: a share
        of `low` to 1 of the area, stretched by up to 4/3, flipped or not; then brightness, contrast
        and saturation. Half-way to the square on average, since the app presses whole pictures
        into one.

        Args:
            generator: of the CPU, so that the same seed gives the same crops on every device.
            tiled: share of the crops, the last ones, that are cut out of four photos laid together
                in a square, so that what is small stays as sharp as it is in larger pictures
                ("YOLOv4", Bochkovskiy et al. 2020, calls it a mosaic).
        """
        n, device = len(rows), self.pixels.device
        drawn = torch.rand(9, n, generator=generator).to(device)
        rows = rows.to(device)
        area = low + (1 - low) * drawn[0]
        single = n - round(tiled * n)
        aspects = self.aspects[rows]
        aspects[single:] = 1  # four have no aspect in common
        stretch = RATIO ** (2 * drawn[1] - 1) * aspects ** (drawn[2] - 1)
        width = (area * stretch).sqrt().clamp(max=1)
        height = (area / stretch).sqrt().clamp(max=1)
        left, top = drawn[3] * (1 - width), drawn[4] * (1 - height)
        mirror = torch.where(drawn[5] < 0.5, -1.0, 1.0)
        places = torch.zeros(n, 2, 3, device=device)
        places[:, 0, 0], places[:, 0, 2] = width * mirror, 2 * left + width - 1
        places[:, 1, 1], places[:, 1, 2] = height, 2 * top + height - 1
        grid = F.affine_grid(places, [n, 3, side, side], align_corners=False)
        crops = [_cut(self._pictures(rows[:single]), grid[:single])] if single else []
        if single < n:
            corners = [self._pictures(rows.roll(shift)[single:]) for shift in range(4)]
            top, bottom = (torch.cat(corners[i : i + 2], 3) for i in (0, 2))
            crops.append(_cut(torch.cat([top, bottom], 2), grid[single:]))
        return _jitter(torch.cat(crops), drawn[6:])

    def _pictures(self, rows: Tensor) -> Tensor:
        return self.pixels[rows].permute(0, 3, 1, 2).float()


def _cut(pictures: Tensor, grid: Tensor) -> Tensor:
    cut: Tensor = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return cut


def _jitter(pictures: Tensor, drawn: Tensor) -> Tensor:
    """Change brightness, contrast and saturation by the draws `(3, n)`."""
    brightness, contrast, saturation = (1 + JITTER * (2 * drawn - 1)).view(3, -1, 1, 1, 1).unbind()
    weights = pictures.new_tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)
    grey = (pictures * weights).sum(1, keepdim=True)
    pictures = torch.lerp(grey, pictures, saturation)
    pictures = torch.lerp(grey.mean((2, 3), keepdim=True), pictures, contrast)
    return (pictures * brightness).clamp(0, 255)


def resize(pictures: Tensor, side: int) -> Tensor:
    """Resize `(n, 3, s, s)` to `(n, 3, side, side)` as Pillow does, averaging when it shrinks."""
    if pictures.shape[-1] == side:
        return pictures
    resized: Tensor = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
    return resized


@lru_cache(maxsize=2)
def _shuffled(n: int, seed: int, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed_for(seed, epoch))
    return torch.randperm(n, generator=generator)


def rows_at(step: int, batch: int, n: int, seed: int) -> Tensor:
    """Return which of `n` photos a step sees: each once in an order, then all in another.

    It follows from the step's number alone, so a run that was killed goes on as if it had not been.
    """
    at, end = step * batch, (step + 1) * batch
    rows: list[Tensor] = []
    while at < end:
        epoch, offset = divmod(at, n)
        rows.append(_shuffled(n, seed, epoch)[offset : offset + end - at])
        at += len(rows[-1])
    return torch.cat(rows)


def read_photos(
    folder: Path,
    side: int = 128,
    limit: int | None = None,
    on_error: Callable[[str], None] = lambda name: None,
) -> Photos:
    """Decode the packs `*.zip` in `folder`, in the order of their names.

    Args:
        side: of the square that each photo is kept as.
        limit: how many photos to read at most.
        on_error: gets the name of each file that is no readable picture; it is left out.

    Raises:
        LookalikeError: when there is no pack, a damaged one, or no photo in them.
    """
    wanted = list_packs(folder)[:limit]
    pixels = np.empty((len(wanted), side, side, 3), np.uint8)
    aspects, kept = [], 0

    def decode(photo: Stored) -> tuple[npt.NDArray[np.uint8], float] | None:
        try:
            with Image.open(io.BytesIO(photo.read())) as opened:
                image = opened.convert("RGB")
        except Exception:  # whatever damaged bytes make a decoder or zlib raise
            return None
        square = image.resize((side, side), Image.Resampling.BICUBIC)
        return np.asarray(square), image.width / image.height

    with ThreadPoolExecutor(available_cpus()) as pool:
        for photo, decoded in zip(wanted, pool.map(decode, wanted), strict=True):
            if decoded is None:
                on_error(str(photo.path))
                continue
            pixels[kept], aspect = decoded
            aspects.append(aspect)
            kept += 1
    if not kept:
        raise LookalikeError(
            f"There are no readable photos in ZIPs in {folder}. Name the data with --data."
        )
    return Photos(torch.from_numpy(pixels[:kept]), torch.tensor(aspects))

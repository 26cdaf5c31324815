"""Pictures: finding them in a folder, opening them safely, and shaping them for a network."""

import io
import os
import platform
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError

from retrieval.conversion import to_rgb
from retrieval.errors import PictureError, explain_os_error, is_held, too_large
from retrieval.headers import (
    CountedReads,
    check_header,
    check_opened,
    guard_tags,
    safe_profile,
)
from retrieval.memory import give_back_large

pillow_heif.register_heif_opener()
guard_tags()
give_back_large()

MOST_PIXELS = 200_000_000  # width x height that is decoded
# We bound the pixels ourselves, before decoding and with a sentence. Pillow's bound, an error from
# twice as many on, is for what it allocates while it opens a file: 4 GB for a GIF of 60 bytes.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# Pillow knows many more formats, some with programs behind them (EPS runs Ghostscript); a stranger
# may only reach these decoders.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "HEIF", "AVIF")
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "tif", "tiff"),
        *("bmp", "dib", "heic", "heif", "hif", "avif"),
    )
)
# Folders of systems, in small letters: their bins, whose photos somebody has deleted, the small
# copies and the snapshots that network drives keep, and what a repair of a disk has found.
# `retrieval/pages/library.js` has the same ones.
SYSTEM_FOLDERS = frozenset(
    (
        *("$recycle.bin", "system volume information", "lost+found"),
        *("@eadir", "#recycle", "#snapshot", "@recycle"),
    )
)
# Where Photos, of macOS, keeps what it was handed, in small letters; all else are its small copies.
PHOTOS_LIBRARY = ".photoslibrary"
PHOTOS_ORIGINALS = ("originals", "masters")
JUNCTION = 0xA0000003  # `stat.IO_REPARSE_TAG_MOUNT_POINT`, which only Windows' Python knows
MARKS_HIDE = platform.system() in ("Windows", "Darwin")
READABLE = "JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC or AVIF"

# Pictures of more pixels, as they are decoded, take hundreds of MB: one at a time, however many
# threads there are.
LARGE_PIXELS = 2**24
_LARGE = threading.Lock()
# Tags of TIFF.
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0

THUMBNAIL_SIDE = 320  # pixels; sharp in a tile of 160 on a screen of double density

# What EXIF's orientation asks for (EXIF 2.32, tag 0x0112).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (TURNS[5], TURNS[6], TURNS[7], TURNS[8])


@dataclass(frozen=True)
class Picture:
    """An opened picture, upright and in sRGB; `width` and `height` are those of the file."""

    image: Image.Image  # RGB, perhaps at a reduced scale
    width: int
    height: int
    taken: str | None  # EXIF's date and time, "2024-07-31 18:02:11", in the camera's own clock


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


def is_passed_over(name: str, parent: str = "") -> bool:
    """Whether a file or folder of that name is nobody's picture: hidden, or the system's own.

    Args:
        parent: the name of the folder it lies in.
    """
    if parent.casefold().endswith(PHOTOS_LIBRARY) and name.casefold() not in PHOTOS_ORIGINALS:
        return True
    return name.startswith(".") or name.casefold() in SYSTEM_FOLDERS


def lies_passed_over(path: str) -> bool:
    """Whether a relative path leads to, or through, what is passed over."""
    parts = path.split("/")
    return any(map(is_passed_over, parts, ["", *parts]))


def is_hidden(status: os.stat_result) -> bool:
    """Whether a file or folder has the mark by which Windows or macOS hides it."""
    return bool(
        getattr(status, "st_file_attributes", 0) & stat.FILE_ATTRIBUTE_HIDDEN
        or getattr(status, "st_flags", 0) & stat.UF_HIDDEN
    )


def walk(
    folder: Path, on_error: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder, and the names of the files in it, sorted; without what is passed over."""
    for parent, folders, names in os.walk(folder, onerror=on_error):
        within = os.path.basename(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not is_passed_over(name, within) and not _is_marked(os.path.join(parent, name))
        )
        yield parent, sorted(name for name in names if not is_passed_over(name, within))


def _is_marked(folder: str) -> bool:
    """Whether a folder is hidden, or leads elsewhere by one of Windows' junctions.

    Asked of the disk only where that can be.
    """
    if not MARKS_HIDE:
        return False
    try:
        status = os.lstat(folder)
    except OSError:  # entering it will say why
        return False
    return is_hidden(status) or getattr(status, "st_reparse_tag", 0) == JUNCTION


def find_images(folder: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield the picture files below `folder`, sorted within each folder.

    Suffixes count in any case; hidden files and folders (`._IMG_1.jpg`, `.thumbnails`) are passed
    over, and so are the system's own (`SYSTEM_FOLDERS`); a symbolic link counts only when it is a
    file that lies inside `folder`. Folders that cannot be read are handed to `on_error`.
    """
    root = folder.resolve()
    for parent, names in walk(folder, on_error):
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() not in SUFFIXES:
                continue
            # realpath, since Path.resolve raises on a link to itself.
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root):
                continue
            try:
                status = path.stat()
                is_file = stat.S_ISREG(status.st_mode) and not is_hidden(status)
            except OSError as error:
                # It is there but cannot even be measured (its path is too long for Windows, say);
                # reading it will say why. A link that leads nowhere is nothing.
                is_file = isinstance(error, PermissionError) or not os.path.islink(path)
            if is_file:
                yield path


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Read a picture's file, unless it is too large to be one.

    Raises:
        PictureError: when it is larger than `max_bytes`, gone, or may not be opened.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise PictureError(
                f"The file has {size / 2**20:,.0f} MB; at most {max_bytes / 2**20:,.0f} MB can be "
                "read. Save a smaller copy."
            )
        return path.read_bytes()
    except OSError as error:
        raise PictureError(str(explain_os_error(error, path))) from error


def open_picture(
    source: Path | bytes, at_least: int | None = None, max_pixels: int = MOST_PIXELS
) -> Picture:
    """Open a picture as upright RGB.

    EXIF rotation is applied, CMYK and wide-gamut colours become sRGB, 16 bits become 8, palettes
    are resolved, transparency is laid on white, and of an animation the first frame is taken.

    Args:
        source: a file, or a file's bytes.
        at_least: how many pixels the short side needs; a picture that is much larger is decoded
            at a reduced scale that keeps at least this many, or three quarters of them where the
            picture is very long. None decodes in full.
        max_pixels: the largest width x height that is decoded; `MOST_PIXELS` or less.

    Raises:
        PictureError: with a sentence saying why the file cannot be used.
    """
    try:
        if isinstance(source, bytes):
            if not source:
                raise PictureError("The file is empty. Copy it again from where it came from.")
            return _open(io.BytesIO(source), at_least, max_pixels)
        if source.stat().st_size == 0:
            raise PictureError("The file is empty. Copy it again from where it came from.")
        with source.open("rb") as file:
            return _open(file, at_least, max_pixels)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(
            f"This is not a picture that can be read. Save it as {READABLE}."
        ) from error
    except Image.DecompressionBombError as error:
        counted = re.search(r"\d+", str(error))
        raise too_large(int(counted[0]) if counted else MOST_PIXELS, max_pixels) from error
    except PermissionError as error:
        if is_held(error):
            raise PictureError(
                "The file is used by another program. Close it there, and look for changes again."
            ) from error
        raise PictureError("The file may not be opened. Check its permissions.") from error
    except FileNotFoundError as error:
        raise PictureError("The file is not there any more. Look for changes again.") from error
    except MemoryError as error:
        raise PictureError("The picture needs too much memory. Make it smaller.") from error
    # Decoders meet hostile bytes with whatever they trip over: OSError, ValueError, SyntaxError,
    # struct.error, IndexError ... For the person with the file they all mean the same.
    except Exception as error:
        raise PictureError(
            "The file is damaged or cut short. Copy it again from where it came from, "
            "or open it in a picture editor and save it anew."
        ) from error


def _open(file: IO[bytes], at_least: int | None, max_pixels: int) -> Picture:
    check_header(file, max_pixels)
    counted = CountedReads(file)
    with Image.open(cast(IO[bytes], counted), formats=FORMATS) as image:
        counted.set_free()
        width, height = image.size
        if width * height > max_pixels:
            raise too_large(width * height, max_pixels)
        check_opened(image)
        if at_least is not None:
            # JPEG decodes at 1/2, 1/4 or 1/8 scale for a fraction of the time; other formats
            # ignore this.
            image.draft(None, (at_least, at_least))
        exif = _exif_of(image)
        with _LARGE if image.width * image.height > LARGE_PIXELS else nullcontext():
            return _finish(image, exif, (width, height), at_least)


def _finish(
    image: Image.Image, exif: Image.Exif, size: tuple[int, int], at_least: int | None
) -> Picture:
    """Decode what was opened.

    Args:
        size: width and height of the whole picture, as it is stored.
    """
    width, height = size
    image.load()
    icc = safe_profile(image.info.get("icc_profile"))
    taken = _taken(exif)
    ends = _ends_of(image)
    # Not ImageOps.exif_transpose: it writes the EXIF anew, and stumbles over what cameras put
    # there. Pillow has turned a TIFF by now, and pillow-heif HEIC, and they have said so.
    turn = TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
    upright: Image.Image = image
    if turn is not None:
        upright = image.transpose(turn)
        image.close()  # its memory, of which a large picture needs much
    if turn in SIDEWAYS:
        width, height = height, width
    factor = 1 if at_least is None else _reduction(upright.size, at_least)
    rgb = to_rgb(upright, factor, icc, ends)
    # Comments, places, profiles: Pillow writes some of them into whatever is saved of it.
    rgb.info = {}
    return Picture(rgb, width, height, taken)


def _ends_of(image: Image.Image) -> tuple[float, float] | None:
    """Return what is black and what is white in a greyscale TIFF; None for all other pictures."""
    tags = getattr(image, "tag_v2", None)
    if tags is None or not image.mode.startswith("I;16"):
        return None
    bits = tags.get(BITS, 16)
    most = 2.0 ** (bits[0] if isinstance(bits, tuple) else bits) - 1
    return (most, 0.0) if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else (0.0, most)


def _reduction(size: tuple[int, int], at_least: int) -> int:
    """Return by how much a picture is reduced, by averaging over whole blocks.

    That leaves little for the costly resizing that follows, and twice the pixels that are needed.
    Of a panorama the long side would stay large, so that counts too, down to three quarters of what
    the short side needs: what a network looks at (see `scale_for`).
    """
    short, long = min(size), max(size)
    return max(1, short // (2 * at_least), min(long // (8 * at_least), 4 * short // (3 * at_least)))


def _exif_of(image: Image.Image) -> Image.Exif:
    try:
        return image.getexif()
    except Exception:  # whatever the bytes make it raise
        return Image.Exif()  # broken EXIF costs the rotation, not the picture


def _taken(exif: Image.Exif) -> str | None:
    try:
        details = exif.get_ifd(ExifTags.IFD.Exif)
        when = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
        return str(datetime.strptime(str(when)[:19], "%Y:%m:%d %H:%M:%S"))
    except Exception:  # nothing, blanks, zeros: what cameras without a clock write
        return None


def crop(image: Image.Image, box: tuple[float, float, float, float] | None) -> Image.Image:
    """Return a part of a picture, at least one pixel of it; all of it for None.

    Args:
        box: left, top, right and bottom as shares of the picture, from 0 to 1.
    """
    if box is None:
        return image
    width, height = image.size
    left, top = min(round(box[0] * width), width - 1), min(round(box[1] * height), height - 1)
    right, bottom = max(round(box[2] * width), left + 1), max(round(box[3] * height), top + 1)
    return image.crop((left, top, right, bottom))


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


def thumbnail(image: Image.Image, side: int, quality: int = 82, optimize: bool = True) -> bytes:
    """Return `image` as a JPEG whose long side is at most `side` pixels: pixels and no words.

    Args:
        optimize: take longer to need a little less room.
    """
    small = image.copy()
    small.info = {}  # a comment in it would be written, or too long to be
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=optimize)
    return buffer.getvalue()


def thumbnail_to_keep(image: Image.Image) -> bytes:
    """Return the JPEG by which a collection shows a picture: 320 pixels at its long side.

    Pictures longer than 3:1 get up to 960, since a tile shows their middle at its whole height: a
    panorama of 15:1 would have 21 rows there. Still no more pixels than a square one has.
    """
    short, long = sorted(image.size)
    most = 3 * THUMBNAIL_SIDE
    return thumbnail(image, max(THUMBNAIL_SIDE, min(most, THUMBNAIL_SIDE * long // (3 * short))))


def without_words(jpeg: bytes) -> bytes:
    """Return a JPEG without its comments, EXIF and XMP, and with the very same pixels.

    Programs of ours before this one left the comment of a picture in its thumbnail. Bytes that are
    no JPEG come back as they are.
    """
    at, kept = 2, [jpeg[:2]]
    if kept[0] != b"\xff\xd8":
        return jpeg
    while jpeg[at : at + 1] == b"\xff" and len(jpeg) >= at + 4 and jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] not in (0xFE, 0xE1):
            kept.append(jpeg[at:end])
        at = end
    return b"".join((*kept, jpeg[at:]))

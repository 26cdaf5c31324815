"""Pictures: opening them safely, cutting parts out of them, and small copies of them."""

import io
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, cast

import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError

from retrieval.conversion import to_rgb
from retrieval.errors import PictureError, explain_os_error, is_held, too_large
from retrieval.headers import (
    BITS,
    JPEGS,
    PHOTOMETRIC,
    PIXEL_BYTES,
    CountedReads,
    check_header,
    check_memory,
    check_opened,
    check_size,
    guard_profiles,
    guard_tags,
    safe_profile,
)
from retrieval.memory import give_back_large
from retrieval.settings import MAX_PIXELS, MAX_UPLOAD_PIXELS

pillow_heif.register_heif_opener()
guard_tags()
guard_profiles()
give_back_large()

# We bound the pixels ourselves, before decoding and with a sentence. Pillow's bound, an error from
# twice as many on, is for what it allocates while it opens a file: 4 GB for a GIF of 60 bytes.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# Pillow knows many more formats, some with programs behind them (EPS runs Ghostscript); a stranger
# may only reach these decoders.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "HEIF", "AVIF")
READABLE = "JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC or AVIF"

# Bytes from which on a picture that is decoded counts: 16 megapixels of most kinds, 12 of a phone's
# HEIC. All that count have room for the largest of a visitor, however many threads there are.
LARGE_BYTES = 2**27
ROOM_BYTES = PIXEL_BYTES * MAX_UPLOAD_PIXELS
WHITE_IS_ZERO = 0  # a TIFF's

THUMBNAIL_SIDE = 320  # pixels; sharp in a tile of 160 on a screen of double density
LONGEST_THUMBNAIL = 3 * THUMBNAIL_SIDE  # that of a panorama

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


class Room:
    """Memory for the large pictures that are being decoded: they wait for each other, in turn."""

    def __init__(self, size: int) -> None:
        self._free = self._size = size
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Wait until so many bytes are free, or all of them where there are no more."""
        size = min(size, self._size) if size > LARGE_BYTES else 0
        if size:
            with self._turn, self._changed:
                self._changed.wait_for(lambda: self._free >= size)
                self._free -= size
        try:
            yield
        finally:
            if size:
                with self._changed:
                    self._free += size
                    self._changed.notify_all()


_ROOM = Room(ROOM_BYTES)


@dataclass(frozen=True)
class Picture:
    """An opened picture, upright and in sRGB; `width` and `height` are those of the file."""

    image: Image.Image  # RGB, perhaps at a reduced scale
    width: int
    height: int
    taken: str | None  # EXIF's date and time, "2024-07-31 18:02:11", in the camera's own clock


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Read a picture's file, unless it is too large to be one.

    Raises:
        PictureError: when it is larger than `max_bytes`, gone, no file, or may not be opened.
    """
    try:
        status = path.stat()
        # A pipe keeps whoever opens it waiting, and a device may have no end.
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise PictureError(f"{path.name} is no file. Name that of a picture.")
        if status.st_size > max_bytes:
            raise PictureError(
                f"The file has more than {max_bytes / 2**20:,.0f} MB. Save a smaller copy."
            )
        with path.open("rb") as file:
            return file.read(status.st_size)  # it may grow meanwhile
    except OSError as error:
        raise PictureError(str(explain_os_error(error, path))) from error


def open_picture(
    source: Path | bytes, at_least: int | None = None, max_pixels: int = MAX_PIXELS
) -> Picture:
    """Open a picture as upright RGB.

    EXIF rotation is applied, CMYK and wide-gamut colours become sRGB, 16 bits become 8, palettes
    are resolved, transparency is laid on white, and of an animation the first frame is taken.

    Args:
        source: a file, or a file's bytes.
        at_least: how many pixels the short side needs; a picture that is much larger is decoded
            at a reduced scale that keeps at least this many, or three quarters of them where the
            picture is very long. None decodes in full.
        max_pixels: the largest width x height that is decoded; `MAX_PIXELS` or less. A side has
            at most `headers.MAX_SIDE`.

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
        raise too_large(int(counted[0]) if counted else MAX_PIXELS, max_pixels) from error
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
            "or open it in a picture editor and save it again."
        ) from error


def _open(file: IO[bytes], at_least: int | None, max_pixels: int) -> Picture:
    heavy = check_header(file, max_pixels)
    counted = CountedReads(file)
    with Image.open(cast(IO[bytes], counted), formats=FORMATS) as image:
        counted.set_free()
        width, height = image.size
        check_size(width, height, max_pixels)
        check_opened(image)
        is_jpeg = image.format in JPEGS
        if at_least is not None and is_jpeg:
            # It decodes at 1/2, 1/4 or 1/8 scale for a fraction of the time.
            image.draft(None, (at_least, at_least))
        exif = _exif_of(image)
        with _ROOM.take(check_memory(image, width * height, heavy, max_pixels)):
            if at_least is not None and not is_jpeg:
                image.draft(None, (at_least, at_least))  # a HEIC decodes a smaller copy in it
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
    the short side needs: what a network looks at (see `preprocessing.scale_for`).
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


def turn(image: Image.Image, quarters: int) -> Image.Image:
    """Return a picture turned clockwise by so many quarters of a circle, 0 to 3."""
    ways = Image.Transpose  # Pillow's are anticlockwise
    way = (None, ways.ROTATE_270, ways.ROTATE_180, ways.ROTATE_90)[quarters]
    return image if way is None else image.transpose(way)


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
    side = min(LONGEST_THUMBNAIL, THUMBNAIL_SIDE * long // (3 * short))
    return thumbnail(image, max(THUMBNAIL_SIDE, side))


def check_thumbnail(jpeg: bytes, whole: bool = False) -> None:
    """See that a small picture that is kept may be served to browsers as it is.

    A megabyte can be built up in 87,000 steps, of which no browser comes to the end.

    Args:
        whole: decode it, too, and not only look at what stands before its pixels.

    Raises:
        PictureError: when it is damaged, or of a kind that `thumbnail_to_keep` does not make.
    """
    try:
        check_header(io.BytesIO(jpeg), MAX_PIXELS)
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            if max(image.size) > LONGEST_THUMBNAIL:
                raise PictureError("The small picture is larger than any that is kept.")
            if whole:
                image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError("The small picture is damaged.") from error


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

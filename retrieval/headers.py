"""What stands before a picture's pixels, bounded before the decoders believe it.

A picture's pixels are counted before they are decoded. On the way to them Pillow and libheif copy,
repeat and unpack what the file asks for, and there a kilobyte can ask for gigabytes and for hours.
What is refused here no camera and no editor writes; the figures in the comments were measured with
Pillow 12.3 and pillow-heif 1.8.
"""

import os
import re
import struct
from typing import IO, Any, Literal, cast

from PIL import Image, ImageFile, PngImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from retrieval.boxes import check_boxes
from retrieval.errors import PictureError, too_large

ANEW = "Open it in a picture editor and save it again."

# Reads, until Pillow knows what a file is. Its parsers are loops in Python that read piece by
# piece: a GIF's comment of 50 MB in blocks of 255 bytes takes them minutes, since each block copies
# what came before, and JPEG segments of 4 bytes take 35 times the file in memory.
MAX_READS = 10_000
# Chunks of a PNG: 300 MB are 77,000 in the smallest that are usual (4 kB).
MAX_CHUNKS = 2**17
# Bytes that may come out of those that are unpacked, each at most a profile's: 2 ms a megabyte. A
# byte holds up to 1,032 of nothing.
MAX_UNPACKED, PACKED = 2**28, 1032
# Scans of a JPEG: encoders write about ten, and libtiff refuses more than 100. Each goes through
# the whole picture, 0.7 ms a megapixel.
MAX_SCANS = 64
MAX_EXIFS = 64  # EXIF in several segments is joined by copying, the more the longer it is
MAX_TAGS = 4096  # where libtiff gives up, too
# Numbers in the tags of a directory: 2**18 strips with their lengths. Pillow makes an object of
# each: 6 s and 340 MB for a million strips.
MAX_NUMBERS = 2**19
FRACTION = 16  # numbers that a fraction counts for: 3 µs and 300 bytes
SLACK = 2**16  # bytes that tags may share beyond the file's length, as fractions do that are alike
MAX_PROFILE = 2**23  # bytes; those of presses have 3 MB
# Bytes that a pixel may take while it is decoded, at the peak: 1.1 GB for 100 megapixels. What each
# kind takes is in `check_memory`.
PIXEL_BYTES = 11
# Pixels of a side: Pillow makes an object of each row, whatever its length, and a quarter turn
# makes rows of columns. A picture of 1 x 100 million takes 20 s and 3 GB.
MAX_SIDE = 2**18

# TIFF 6.0, section 2, and libtiff's: how many bytes a value of each type takes.
UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
UNITS |= {16: 8, 17: 8, 18: 8}
TEXTS, FRACTIONS = (1, 2, 7), (5, 10)  # bytes, which stay what they are; and what becomes objects
WIDTH, LENGTH, TILE_WIDTH, TILE_LENGTH = 256, 257, 322, 323
BITS, SAMPLES, STRIP_ROWS = 258, 277, 278
COMPRESSION, PHOTOMETRIC = 259, 262
UNCOMPRESSED, YCBCR = 1, 6
LISTS = (273, 320, 324)  # strips, colours and tiles: lists to Pillow, even where they are a text

JPEGS = ("JPEG", "MPO")  # the second is what Pillow calls one with further pictures behind it
# A JPEG's markers: all but what is only a byte 0xFF of the data, filling, or a restart of it.
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
BARE = frozenset((0x01, 0xC8, 0xD8, *range(0xF0, 0xFE)))  # markers with nothing after them
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xDE}
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)


class TagsError(PictureError, ValueError):
    """The tags of a TIFF or of EXIF ask for too much.

    A ValueError too, which Pillow takes for a broken EXIF, in a JPEG, and goes on without.
    """


class CountedReads:
    """A file of which Pillow may read so many pieces, and no more, until it is opened."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left: float = MAX_READS

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise PictureError(f"The file is made of far more pieces than a picture has. {ANEW}")
        return self._file.read(size)

    def set_free(self) -> None:
        """Let the pixels be read, in as many pieces as they need."""
        self._left = float("inf")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def check_header(file: IO[bytes], max_pixels: int) -> bool:
    """Look at what a file says before its pixels; to be called before Pillow opens it.

    Tags are looked at by `guard_tags`, where Pillow reads them.

    Returns:
        Whether its decoder keeps more than others of the kind: of a JPEG all that is built up in
        steps, of a HEIC or AVIF colours of more than 8 bits.

    Raises:
        PictureError: when the decoders would need far more for it than for its pixels.
    """
    start = file.read(12)
    counted = cast(IO[bytes], CountedReads(file))
    heavy = False
    if start.startswith(b"\xff\xd8\xff"):
        heavy = _check_jpeg(counted)
    elif start.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(file, max_pixels)
    elif start[4:8] == b"ftyp":
        heavy = check_boxes(counted, max_pixels)
    elif start.startswith(b"MM\0+"):
        # Pillow takes it for a TIFF of the common kind and so reads other tags than libtiff does.
        raise PictureError(
            "This is a BigTIFF with the bytes of its numbers in reverse, which cannot be read. "
            "Save it as PNG, JPEG or a common TIFF."
        )
    file.seek(0)
    return heavy


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Look at how many pixels a picture has, and how many of them in a row.

    Raises:
        PictureError: when that is more than may be decoded.
    """
    if width * height > max_pixels:
        raise too_large(width * height, max_pixels)
    if max(width, height) > MAX_SIDE:
        raise PictureError(
            f"The picture is {max(width, height):,} pixels long; at most {MAX_SIDE:,} can be "
            "opened. Save a smaller copy, or parts of it."
        )


def check_opened(image: Image.Image) -> None:
    """Look at how a picture will be decoded; to be called before its pixels are.

    Raises:
        PictureError: when that takes far more than its pixels, or cannot be done.
    """
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if (tags.get(COMPRESSION, UNCOMPRESSED), tags.get(PHOTOMETRIC)) == (UNCOMPRESSED, YCBCR):
        raise PictureError("This kind of TIFF cannot be read. Save it as JPEG or PNG.")
    # Pillow's decoder for these is a loop in Python, and a step to the side in a kilobyte makes it
    # fill 25 GB.
    if any(tile[0] == "bmp_rle" for tile in getattr(image, "tile", ())):
        raise PictureError(
            "BMP files that are compressed (RLE) are not read. Save it as PNG or JPEG."
        )


def check_memory(image: Image.Image, pixels: int, heavy: bool, max_pixels: int) -> int:
    """Look at how much memory a picture takes while it is decoded.

    The figures are bytes a pixel at the peak, a little more than was measured.

    Args:
        pixels: of the whole picture, of which a JPEG may be decoded at a reduced scale.
        heavy: what `check_header` has said of it.

    Returns:
        The bytes that it takes, or a little more.

    Raises:
        PictureError: when they are more than those of other pictures of `max_pixels`.
    """
    size = 8 * image.width * image.height  # as it was decoded, and turned or as RGB
    if image.format in JPEGS and heavy:
        size += 2 * len(image.getbands()) * pixels
    elif image.format == "WEBP":  # two frames, a copy in bytes, and the picture, all RGBA
        size = 16 * pixels
    elif image.format in ("HEIF", "AVIF"):
        size = ((15 if image.has_transparency_data else 11) + 6 * heavy) * pixels
    elif image.format == "TIFF":
        size = max(size, 4 * pixels + _strip_bytes(image))
    if size > PIXEL_BYTES * max_pixels:
        most = PIXEL_BYTES * max_pixels * pixels // size
        kind = {"WEBP": "WebP", "HEIF": "HEIC"}.get(image.format or "", image.format)
        raise PictureError(
            f"The picture has {pixels / 1e6:,.0f} megapixels, and a {kind} such as this takes more "
            f"memory than other pictures: at most {most // 10**6:,} can be opened. Save it as a "
            "common JPEG, or save a smaller copy."
        )
    return size


def _strip_bytes(image: Image.Image) -> int:
    """Return the bytes of a strip of a TIFF, which libtiff unpacks as a whole."""
    tags = getattr(image, "tag_v2", {})
    if TILE_WIDTH in tags or tags.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED:
        return 0

    def number(tag: int, otherwise: int) -> int:
        value = tags.get(tag, otherwise)
        value = value[0] if isinstance(value, tuple) and value else value
        return value if isinstance(value, int) else otherwise

    rows = min(number(STRIP_ROWS, image.height), image.height)
    return rows * image.width * number(SAMPLES, 1) * number(BITS, 8) // 8


def safe_profile(icc: object) -> bytes | None:
    """Return a picture's colour profile, or None for one that is none or would take too long.

    A chain of "multi-process elements" has any number of links, of 8 bytes each, and LittleCMS
    computes 36,000 colours through all of them: 5 s for a profile of 32 kB. They are made for films
    and spectra; a picture without its profile has lost a little colour.
    """
    if not isinstance(icc, bytes) or len(icc) > MAX_PROFILE or b"mpet" in icc:
        return None
    return icc


# JPEG


def _check_jpeg(file: IO[bytes]) -> bool:
    """Count the pieces of EXIF, and the scans where all of them are decoded.

    Returns whether the picture comes in several scans, which libjpeg keeps all of.
    """
    file.seek(2)
    exifs = components = 0
    progressive = False
    while (marker := _next_marker(file)) is not None and marker != 0xD9:
        if marker in BARE:
            continue
        start = _read_segment(file)
        if marker == 0xE1 and start == b"Exif\0\0":
            exifs += 1
            if exifs > MAX_EXIFS:
                raise PictureError(f"The JPEG has far more EXIF than a picture has. {ANEW}")
        elif marker in FRAMES and len(start) == 6:
            components, progressive = start[5], marker in PROGRESSIVE
        elif marker == 0xDA:
            # Where the first scan has the whole picture, libjpeg bears no second: so it is in what
            # cameras write, and 10 MB need not be searched for markers (4 ms).
            if progressive or (start and start[0] < components):
                _count_scans(file)
                return True
            return False
    return False


def _count_scans(file: IO[bytes]) -> None:
    scans = 1
    while (marker := _next_marker(file)) is not None and marker != 0xD9:
        if marker not in BARE:
            _read_segment(file)
        scans += marker == 0xDA
        if scans > MAX_SCANS:
            raise PictureError(
                f"The JPEG is built up in more than {MAX_SCANS} steps, each as large as the "
                f"picture. {ANEW}"
            )


def _next_marker(file: IO[bytes]) -> int | None:
    """Skip to behind the next marker and return it; None at the end of the file.

    Pillow and libjpeg, too, skip what is no marker.
    """
    size = 16  # mostly it comes at once
    while block := file.read(size):
        found = MARKER.search(block)
        if found is not None:
            file.seek(found.end() - len(block), os.SEEK_CUR)
            return found[1][0]
        if block.endswith(b"\xff") and len(block) > 1:
            file.seek(-1, os.SEEK_CUR)  # half a marker
        size = 2**16
    return None


def _read_segment(file: IO[bytes]) -> bytes:
    """Skip what belongs to a marker, and return its first 6 bytes."""
    length = int.from_bytes(file.read(2), "big") - 2
    start = file.read(min(max(length, 0), 6))
    file.seek(max(length, 0) - len(start), os.SEEK_CUR)
    return start


# PNG


def _check_png(file: IO[bytes], max_pixels: int) -> None:
    """Go through the chunks, which Pillow unpacks and keeps, those behind the pixels too.

    And measure it: of an animation Pillow fills a whole frame while it opens the file (14 GB for
    60,000 x 60,000 pixels in 200 bytes).
    """
    file.seek(8)
    chunks = unpacked = 0
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind == b"IHDR":
            width, height = struct.unpack(">II", file.read(8))
            check_size(width, height, max_pixels)
            file.seek(-8, os.SEEK_CUR)
        chunks += 1
        if kind in (b"zTXt", b"iTXt", b"iCCP"):
            unpacked += min(PACKED * length, MAX_PROFILE)
        # Eight numbers; of more Pillow makes objects, too, 17 times as large as they are.
        if chunks > MAX_CHUNKS or unpacked > MAX_UNPACKED or (kind == b"cHRM" and length > 32):
            raise PictureError(f"The PNG is made of far more pieces than a picture has. {ANEW}")
        file.seek(length + 4, os.SEEK_CUR)  # and its checksum


def guard_profiles() -> None:
    """Have Pillow read a PNG with a large colour profile, from now on.

    Left alone, it refuses the picture from a megabyte on. What is too large is passed over, as in
    other kinds of files.
    """
    PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE
    load_profile = PngImagePlugin.PngStream.chunk_iCCP

    def load_safe_profile(png: PngImagePlugin.PngStream, pos: int, length: int) -> bytes:
        try:
            return load_profile(png, pos, length)
        except ValueError:
            assert png.fp is not None
            png.fp.seek(pos)
            return ImageFile._safe_read(png.fp, length)

    PngImagePlugin.PngStream.chunk_iCCP = load_safe_profile  # type: ignore[assignment, method-assign]


# TIFF and EXIF


def guard_tags() -> None:
    """Have tags checked wherever Pillow reads some, from now on.

    That is while it opens a TIFF, but also a JPEG or an AVIF with EXIF, and once more while it
    decodes: at one place nothing is missed, and nothing is read in another way than Pillow does.
    """
    load_tags, load_exif = ImageFileDirectory_v2.load, Image.Exif.load

    def load_checked_tags(tags: ImageFileDirectory_v2, fp: IO[bytes]) -> None:
        here = fp.tell()
        check_tags(fp, tags.prefix, tags._bigtiff)
        fp.seek(here)
        load_tags(tags, fp)

    def load_checked_exif(exif: Image.Exif, data: bytes) -> None:
        # Pillow takes such prefixes off one by one, and copies the rest each time.
        if data and data.startswith(b"Exif\0\0" * 3):
            raise TagsError(f"The picture's EXIF is damaged. {ANEW}")
        load_exif(exif, data)

    ImageFileDirectory_v2.load = load_checked_tags  # type: ignore[assignment, method-assign]
    Image.Exif.load = load_checked_exif  # type: ignore[assignment, method-assign]


def check_tags(file: IO[bytes], byte_order: bytes, big: bool) -> None:
    """Look at the directory of tags at a file's position, without reading their values.

    Tags may all point at the same bytes, and Pillow copies those for each: of a file of 2 MB 80 GB.
    The values of an honest file do not overlap, but for a few bytes.

    Args:
        byte_order: b"II" or b"MM".
        big: whether it is a BigTIFF's.

    Raises:
        TagsError: when its values are larger than the file, far too many, or tiles far larger than
            the picture.
    """
    here = file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(here)
    order: Literal["little", "big"] = "little" if byte_order == b"II" else "big"
    entry = struct.Struct(("<" if order == "little" else ">") + ("HHQ8s" if big else "HHL4s"))
    entries = int.from_bytes(file.read(8 if big else 2), order)
    if entries > MAX_TAGS:
        raise TagsError(f"The file's tags (TIFF or EXIF) are damaged: there are too many. {ANEW}")
    table = file.read(entries * entry.size)
    inline = 8 if big else 4
    copied = numbers = 0
    sides: dict[int, int] = {}
    for tag, kind, count, value in entry.iter_unpack(table[: len(table) - len(table) % entry.size]):
        if kind not in UNITS:
            continue
        size = count * UNITS[kind]
        if size > inline:
            if int.from_bytes(value, order) + size > length:
                continue  # neither Pillow nor libtiff reads those
            copied += size
        if kind not in TEXTS or tag in LISTS:
            numbers += count * (FRACTION if kind in FRACTIONS else 1)
        if tag in (WIDTH, LENGTH, TILE_WIDTH, TILE_LENGTH):
            plain = count == 1 and size <= inline
            number = int.from_bytes(value[:size], order) if plain else 0
            if tag in (WIDTH, LENGTH):
                sides[tag] = number
            else:  # of two Pillow believes the last and libtiff the first
                sides[tag] = max(number if plain else 2**32, sides.get(tag, 0))
    if copied > length + SLACK:
        raise TagsError(
            f"The file's tags (TIFF or EXIF) are damaged: they hold more than the file. {ANEW}"
        )
    if numbers > MAX_NUMBERS:
        raise TagsError(
            f"The file's tags (TIFF or EXIF) hold far more numbers than a picture needs. {ANEW}"
        )
    # libtiff makes room for whole tiles, however small the picture.
    pixels = sides.get(WIDTH, 0) * sides.get(LENGTH, 0)
    if sides.get(TILE_WIDTH, 0) * sides.get(TILE_LENGTH, 0) > max(4 * pixels, 2**22):
        raise TagsError(f"The tiles of this TIFF are far larger than the picture. {ANEW}")

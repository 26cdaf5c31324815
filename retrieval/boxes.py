"""The boxes of HEIC and AVIF (ISO 14496-12), measured before the decoders believe them.

Such a file is a small database: what it stores, what is said of it, and which pictures are put
together of which. See `retrieval.headers` for why that is bounded.
"""

import io
import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import IO

from retrieval.errors import PictureError, too_large

MAX_META = 2**22  # bytes; an iPhone's has 10 kB, and colour profiles of presses 3 MB
# Boxes and numbers in a file: a picture of 200 megapixels in tiles of 256 x 256 has 40,000. Python
# needs a microsecond and a hundred bytes for each.
MAX_PIECES = 2**17


class _Pieces:
    """The boxes and numbers that are read of a file: so many, and no more.

    They need not cost bytes: numbers may be stated to have none, and 65,535 of them come for each
    6 bytes.
    """

    def __init__(self) -> None:
        self._left = MAX_PIECES

    def count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _overdone()


def check_boxes(file: IO[bytes], max_pixels: int) -> bool:
    """Look at the boxes of a HEIC or AVIF; to be called before it is opened.

    Returns:
        Whether one of its colours has more than 8 bits.

    Raises:
        PictureError: when the decoders would need far more for it than for its pixels.
    """
    length = file.seek(0, os.SEEK_END)
    pieces = _Pieces()
    deep = False
    at = 0
    while at + 8 <= length:
        file.seek(at)
        kind, start, size = _box_head(file.read(16), length - at)
        if size < start:
            break
        if kind == b"meta":
            if size > MAX_META:
                raise _overdone()
            file.seek(at + start)
            deep |= _check_items(file.read(size - start)[4:], pieces, length, max_pixels)
        at += size
    return deep


class _Items:
    """The items of a file, the pictures among them, and what is said of them."""

    def __init__(self, meta: bytes, pieces: _Pieces) -> None:
        self.stored: dict[int, int] = {}  # bytes of each
        self.areas: dict[int, int] = {}  # pixels of each
        self.parts: dict[int, list[int]] = defaultdict(list)  # of which each is put together
        self.shown: list[int] = []
        self.properties: list[tuple[bytes, bytes]] = []
        self.copied = 0  # bytes that are handed out for all items together
        self._associated: list[tuple[int, int]] = []
        self._described: dict[int, int] = defaultdict(lambda: 1)
        for kind, box in _boxes(meta, pieces):
            self._read(kind, box, pieces)
        self._settle()

    def _read(self, kind: bytes, box: bytes, pieces: _Pieces) -> None:
        if kind == b"pitm":
            self.shown.append(int.from_bytes(box[4 : 8 if box[0] else 6], "big"))
        elif kind == b"iloc":
            for item, size in _stored(box, pieces):
                self.stored[item] = self.stored.get(item, 0) + size
        elif kind == b"iprp":
            for inner, content in _boxes(box, pieces):
                if inner == b"ipco":
                    self.properties += _boxes(content, pieces)
                elif inner == b"ipma":
                    self._associated += _associations(content, pieces)
        elif kind == b"iref":
            for relation, item, others in _references(box, pieces):
                self._relate(relation, item, others)

    def _relate(self, relation: bytes, item: int, others: list[int]) -> None:
        if relation == b"dimg":
            self.parts[item] += others
        elif relation in (b"auxl", b"thmb"):
            for other in others:
                self.parts[other].append(item)
        elif relation == b"cdsc":
            self._described[item] += len(others)

    def _settle(self) -> None:
        """Work out what needs all of the boxes, which come in any order."""
        self.copied = sum(size * self._described[item] for item, size in self.stored.items())
        for item, number in self._associated:
            if 0 < number <= len(self.properties):
                kind, box = self.properties[number - 1]
                self.copied += len(box)
                if kind == b"ispe":
                    width, height = struct.unpack_from(">II", box, 4)
                    self.areas[item] = max(self.areas.get(item, 0), width * height)


def _check_items(meta: bytes, pieces: _Pieces, length: int, max_pixels: int) -> bool:
    """Look at the items of a file; return whether one of its colours has more than 8 bits.

    Of a megabyte that 400 items share libheif makes 800, and a picture may be put together of
    65,000 tiles that are all the same, or lie outside of it: 16 ms each, of 512 x 512 pixels. What
    a tile is stored in is decoded each time that it stands there, too: 0.1 s a megabyte.
    """
    items = _Items(meta, pieces)
    areas, stored, parts = items.areas, items.stored, items.parts
    if areas and max(areas.values()) > max_pixels:
        raise too_large(max(areas.values()), max_pixels)

    @cache
    def decoded(item: int) -> int:
        """Return how many pixels are decoded for one of the pictures; a circle ends in an error."""
        return areas.get(item, 0) + sum(map(decoded, parts.get(item, ())))

    @cache
    def unpacked(item: int) -> int:
        """Return how many bytes are unpacked for one of the pictures."""
        return stored.get(item, 0) + sum(map(unpacked, parts.get(item, ())))

    # An iPhone's portrait has four times its pixels: its tiles, its depth, and masks. All of them
    # are stored, each once.
    if items.copied > 2 * length + 2**25 or any(
        decoded(item) > min(8 * areas.get(item, 0), 4 * max_pixels) + 2**24
        or unpacked(item) > 1.5 * length + 2**22
        for item in items.shown
    ):
        raise _overdone()
    return any(_is_deep(kind, box) for kind, box in items.properties)


def _is_deep(kind: bytes, box: bytes) -> bool:
    """Whether a picture's configuration says that it has more than 8 bits a colour.

    ISO 14496-15, 8.3.3 (HEVC), and AV1 in ISO-BMFF, 2.3.3.
    """
    if kind == b"hvcC":
        return any(bits & 7 for bits in box[17:19])
    return kind == b"av1C" and any(bits & 0x40 for bits in box[2:3])


class _Numbers:
    """Numbers of several bytes, one after the other."""

    def __init__(self, data: bytes, pieces: _Pieces) -> None:
        self._bytes, self._pieces = io.BytesIO(data), pieces

    def take(self, size: int) -> int:
        self._pieces.count()
        data = self._bytes.read(size)
        if len(data) < size:
            raise EOFError("a box ends too soon")
        return int.from_bytes(data, "big")


def _overdone() -> PictureError:
    return PictureError(
        "This HEIC or AVIF is put together of far more than its size and its pixels. Save it as "
        "JPEG or PNG."
    )


def _box_head(head: bytes, rest: int) -> tuple[bytes, int, int]:
    """Return a box's kind, where its content begins, and its size: of the `rest` where it is last.

    ISO 14496-12, 4.2.
    """
    size, kind = struct.unpack_from(">I4s", head)
    start = 8
    if size == 1:
        start, size = 16, struct.unpack_from(">Q", head, 8)[0]
    return kind, start, size or rest


def _boxes(data: bytes, pieces: _Pieces) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each box."""
    at = 0
    while at + 8 <= len(data):
        pieces.count()
        kind, start, size = _box_head(data[at : at + 16], len(data) - at)
        if size < start:
            return
        yield kind, data[at + start : at + size]
        at += size


def _stored(iloc: bytes, pieces: _Pieces) -> Iterator[tuple[int, int]]:
    """Yield items and the bytes that each piece of them takes (ISO 14496-12, 8.11.3)."""
    numbers, version = _Numbers(iloc[4:], pieces), iloc[0]
    sizes, more = numbers.take(1), numbers.take(1)
    wide = 4 if version == 2 else 2
    for _ in range(numbers.take(wide)):
        item = numbers.take(wide)
        numbers.take((2 if version else 0) + 2 + (more >> 4))
        for _ in range(numbers.take(2)):
            numbers.take((more & 15 if version else 0) + (sizes >> 4))
            yield item, numbers.take(sizes & 15)


def _associations(ipma: bytes, pieces: _Pieces) -> Iterator[tuple[int, int]]:
    """Yield items and the number of each of their properties, from 1 (ISO 23008-12, 9.3.2)."""
    numbers = _Numbers(ipma[4:], pieces)
    wide, mask = (2, 0x7FFF) if ipma[3] & 1 else (1, 0x7F)
    for _ in range(numbers.take(4)):
        item = numbers.take(4 if ipma[0] else 2)
        for _ in range(numbers.take(1)):
            yield item, numbers.take(wide) & mask


def _references(iref: bytes, pieces: _Pieces) -> Iterator[tuple[bytes, int, list[int]]]:
    """Yield a relation, an item, and those it relates to (ISO 14496-12, 8.11.12)."""
    wide = 4 if iref[0] else 2
    for kind, box in _boxes(iref[4:], pieces):
        numbers = _Numbers(box, pieces)
        item = numbers.take(wide)
        yield kind, item, [numbers.take(wide) for _ in range(numbers.take(2))]

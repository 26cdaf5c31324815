"""Headers: small files that ask for gigabytes or hours are refused, ordinary ones are read."""

import io
import json
import re
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from retrieval.errors import PictureError
from retrieval.headers import (
    MAX_NUMBERS,
    MAX_READS,
    MAX_SCANS,
    CountedReads,
    check_tags,
    safe_profile,
)
from retrieval.images import open_picture
from retrieval.settings import PROJECT
from tests.made import by_hue, encode, noise, with_scans

RED, GREEN = (255, 0, 0), (0, 255, 0)


def colour_of(data: bytes) -> tuple[int, ...]:
    image = open_picture(data).image
    return image.getpixel((image.width // 2, image.height // 2))


# --- files made of a few numbers ---

Entry = tuple[int, int, int, int | bytes]  # tag, type, count; the value, or the bytes it lies in
BYTES, SHORT, LONG, RATIONAL = 7, 3, 4, 5


def directory(entries: list[Entry], order: str = "<", start: int = 8, shared: bytes = b"") -> bytes:
    """Return a directory of tags and its values.

    Values that are `shared` lie in one place, whatever the tag; all others, each in its own.
    """
    values, places = bytearray(shared), []
    end = start + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in sorted(entries, key=lambda entry: entry[0]):
        if isinstance(value, int):
            inline = "HH" if kind == SHORT and count == 1 else "L"
            packed = struct.pack(order + inline, *((value, 0) if inline == "HH" else (value,)))
        elif value is shared:
            packed = struct.pack(order + "L", end)
        else:
            packed = struct.pack(order + "L", end + len(values))
            values += value
        places.append(struct.pack(order + "HHL", tag, kind, count) + packed)
    return struct.pack(order + "H", len(entries)) + b"".join(places) + bytes(4) + bytes(values)


def tags_only(entries: list[Entry], order: str = "<", shared: bytes = b"") -> bytes:
    """Return a TIFF without a picture, as EXIF is one."""
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HL", 42, 8)
    return start + directory(entries, order, 8, shared)


def tiff(size: tuple[int, int], more: list[Entry], packed: bool = False, order: str = "<") -> bytes:
    """Return a greyscale TIFF of 8 bits."""
    kind = 8 if packed else 1
    about = [(256, LONG, 1, size[0]), (257, LONG, 1, size[1]), (258, SHORT, 1, 8)]
    return tags_only([*about, (259, SHORT, 1, kind), (262, SHORT, 1, 1), *more], order)


def tiled(size: int, side: int, packed: bool, order: str = "<", tags: int = 1) -> bytes:
    """Return a square TIFF of white tiles; with `tags`, their width stands there so many times."""
    data = bytes([255]) * side**2
    data = zlib.compress(data) if packed else data
    tiles = (-(-size // side)) ** 2
    more: list[Entry] = [(322, LONG, 1, side)] * tags + [(323, LONG, 1, side)]
    # Offsets are known only when the tags are counted: all tiles are one, at the end.
    at = 8 + 2 + 12 * (5 + len(more) + 2) + 4
    if tiles == 1:
        places: list[Entry] = [(324, LONG, 1, at), (325, LONG, 1, len(data))]
        return tiff((size, size), [*more, *places], packed, order) + data
    at += 8 * tiles
    offsets, lengths = (
        struct.pack(f"{order}{tiles}L", *[number] * tiles) for number in (at, len(data))
    )
    places = [(324, LONG, tiles, offsets), (325, LONG, tiles, lengths)]
    return tiff((size, size), [*more, *places], packed, order) + data


def striped(rows: int, rows_per_strip: int = 1) -> bytes:
    """Return a white TIFF, one pixel wide, in strips that all lie in one place."""
    strips = -(-rows // min(rows_per_strip, rows))
    at = 8 + 2 + 12 * 8 + 4
    data = bytes([255]) * min(rows_per_strip, rows)
    if strips == 1:
        places: list[Entry] = [(273, LONG, 1, at), (279, LONG, 1, len(data))]
    else:
        offsets, lengths = (
            np.full(strips, number, "<u4").tobytes() for number in (at + 8 * strips, len(data))
        )
        places = [(273, LONG, strips, offsets), (279, LONG, strips, lengths)]
    return tiff((1, rows), [(278, LONG, 1, rows_per_strip), *places]) + data


def one_strip(width: int, rows: int) -> bytes:
    """Return a TIFF that lies on its side, and a few of its pixels."""
    strip: list[Entry] = [(273, LONG, 1, 8), (279, LONG, 1, 99), (274, SHORT, 1, 6)]
    return tiff((width, rows), [(278, LONG, 1, rows), *strip])


def overlapping(tags: int, size: int) -> bytes:
    """Return tags that are all the same bytes, and that ask for a quarter turn."""
    shared = bytes(size)
    return tags_only(
        [(0x0112, SHORT, 1, 6), *((65_535 - i, BYTES, size, shared) for i in range(tags))],
        shared=shared,
    )


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(*chunks: bytes, size: tuple[int, int] = (9, 9), after: bytes = b"") -> bytes:
    """Return a PNG with chunks before its pixels, and after them."""
    rows = zlib.compress((b"\0" + bytes(RED) * 9) * 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
        + b"".join(chunks)
        + chunk(b"IDAT", rows)
        + after
        + chunk(b"IEND")
    )


def animated_png(*size: int) -> bytes:
    frame = struct.pack(">IIIIIHHBB", 0, *size, 0, 0, 1, 1, 1, 0)  # 1: then filled anew
    return png(chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", frame), size=size)


MEGABYTE_OF_NOTHING = zlib.compress(bytes(2**20), 9)


def gif(*extensions: bytes, frame: int = 40) -> bytes:
    """Return a GIF with extensions, whose first frame claims that size and is filled anew."""
    data = encode(by_hue(0), "GIF")
    start = data.index(b",")
    filled = b"!\xf9\x04" + bytes([2 << 2, 0, 0, 0, 0])
    where = struct.pack("<HHHH", 0, 0, frame, frame if frame != 40 else 30)
    return b"".join([data[:start], *extensions, filled, b",", where, data[start + 9 :]])


def jpeg(*segments: bytes) -> bytes:
    data = encode(by_hue(0), "JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def segment(marker: int, data: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def colour_by_colour() -> bytes:
    """Return a JPEG of three colours whose scans have one each; this has but the first scan."""
    data = encode(Image.new("L", (64, 48)), "JPEG")
    grey = struct.pack(">BBBB", 1, 1, 0x11, 0)  # one component, and what it is
    start = data.index(b"\xff\xc0")
    frame = data[start + 2 : start + 13]
    assert frame.endswith(grey)
    three = (
        struct.pack(">H", 17)
        + frame[2:7]
        + b"\3"
        + b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    )
    return data.replace(frame, three)


def rle_bmp(width: int) -> bytes:
    """Return a compressed BMP of one row, of which two bytes say: go two rows of it up."""
    header = struct.pack("<IiiHHIIiiII", 40, width, 1, 1, 8, 1, 8, 0, 0, 256, 0)
    palette = bytes(range(256)) * 4
    return struct.pack("<2sIII", b"BM", 0, 0, 14 + 40 + 1024) + header + palette + b"\0\2\0\xff\0\1"


def plain_bmp(width: int, height: int) -> bytes:
    """Return the header of a greyscale BMP, and a few of its pixels."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 0, 0, 0, 0, 256, 0)
    return struct.pack("<2sIII", b"BM", 0, 0, 14 + 40 + 1024) + header + bytes(1024 + 99)


def webp(width: int, height: int) -> bytes:
    """Return the header of a lossless WebP, and a few of its pixels."""
    data = encode(Image.new("RGBA", (9, 9), (1, 2, 3, 77)), "WEBP", lossless=True)
    start = data.index(b"VP8L") + 9
    sides = (width - 1) | (height - 1) << 14 | 1 << 28  # and that there is transparency
    return data[:start] + struct.pack("<I", sides) + data[start + 4 :]


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        size, kind = struct.unpack_from(">I4s", data)
        yield kind, data[8:size]
        data = data[size:]


def heic(
    described: int = 0,
    size: int = 0,
    grid: int = 0,
    outside: bool = False,
    tile: Image.Image | None = None,
) -> bytes:
    """Return a HEIC of one picture, 64 x 64.

    Args:
        described: how many texts belong to it, all of them the same bytes.
        size: how long each of them is.
        grid: how many times the picture stands in each row and column of the one that is shown.
        outside: whether that one stays as small as a tile.
        tile: the picture, if it is not to be of one colour.
    """
    top = dict(boxes(encode(tile or by_hue(0, (64, 64)), "HEIF", quality=-1)))
    inner = dict(boxes(top[b"meta"][4:]))
    properties = dict(boxes(inner[b"iprp"]))
    data = top[b"mdat"] + bytes(size)
    items = [(1, b"hvc1\0", 0, len(top[b"mdat"]))]
    relations = []
    shown = 1
    for item in range(2, 2 + described):
        items.append((item, b"mime\0application/rdf+xml\0", 0, size))
        relations.append(box(b"cdsc", struct.pack(">HHH", item, 1, 1)))
    if grid:
        side = 64 if outside else 64 * grid
        shown = 2
        items.append((2, b"grid\0", len(data), 8))
        data += struct.pack(">BBBBHH", 0, 0, grid - 1, grid - 1, side, side)
        relations.append(box(b"dimg", struct.pack(f">HH{grid**2}H", 2, grid**2, *[1] * grid**2)))
        # The second of two that have properties, its size being the last of these.
        properties[b"ipco"] += box(b"ispe", struct.pack(">III", 0, side, side))
        number = len(list(boxes(properties[b"ipco"])))
        found = properties[b"ipma"]
        properties[b"ipma"] = found[:4] + struct.pack(">I", 2) + found[8:]
        properties[b"ipma"] += struct.pack(">HBB", 2, 1, number)

    def meta(start: int) -> bytes:
        places = [
            struct.pack(">HHHII", item, 0, 1, start + at, size) for item, _, at, size in items
        ]
        infos = [
            box(b"infe", struct.pack(">IHH", 2 << 24, item, 0), kind) for item, kind, _, _ in items
        ]
        return box(
            b"meta",
            bytes(4) + box(b"hdlr", inner[b"hdlr"]),
            box(b"pitm", struct.pack(">IH", 0, shown)),
            box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, len(items)), *places),
            box(b"iinf", struct.pack(">IH", 0, len(items)), *infos),
            box(b"iref", bytes(4), *relations),
            box(b"iprp", *(box(kind, content) for kind, content in properties.items())),
        )

    start = box(b"ftyp", top[b"ftyp"])
    return start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", data)


def boxed(*content: bytes) -> bytes:
    """Return a HEIC of nothing but what is said of its pictures."""
    return box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"meta", bytes(4), *content)


def pieces_without_bytes(items: int) -> bytes:
    """Return a HEIC whose items have 65,535 pieces each, of which all numbers take no bytes."""
    places = struct.pack(">HHH", 1, 0, 65_535) * items
    return boxed(box(b"iloc", struct.pack(">IBBH", 0, 0, 0, items), places))


def described_by(count: int) -> bytes:
    """Return a HEIC with an item that has so many properties."""
    said = struct.pack(">HB", 1, 255) + bytes(255)
    entries = count // 255
    return boxed(box(b"iprp", box(b"ipma", struct.pack(">II", 0, entries), said * entries)))


def nested(depth: int) -> bytes:
    """Return a HEIC of a picture that is part of another, which is part of another, and so on."""
    parts = (box(b"dimg", struct.pack(">HHH", i, 1, i + 1)) for i in range(1, depth))
    return boxed(box(b"pitm", struct.pack(">IH", 0, 1)), box(b"iref", bytes(4), *parts))


def profile(links: int) -> bytes:
    """Return a colour profile that goes through a chain of so many links, all the same one."""
    link = b"matf" + struct.pack(">IHH12f", 0, 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    chain = b"mpet" + struct.pack(">IHHI", 0, 3, 3, links)
    chain += struct.pack(">II", len(chain) + 8 * links, len(link)) * links + link
    name = b"desc" + struct.pack(">II", 0, 5) + b"slow\0" + bytes(82)
    body = name + chain
    start = 128 + 4 + 2 * 12
    header = struct.pack(">I4sI", start + len(body), b"lcms", 0x04300000) + b"scnrRGB XYZ "
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    table = struct.pack(">I4sII", 2, b"desc", start, len(name))
    table += struct.pack(">4sII", b"D2B0", start + len(name), len(chain))
    return header.ljust(128, b"\0") + table + body


# --- what is refused ---

SCANNED = encode(noise((64, 48)), "JPEG", progressive=True)
EXIF = b"Exif\0\0"

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a BMP that fills its rows": (lambda: rle_bmp(2**18), "RLE"),
    "a GIF whose frame is filled": (lambda: gif(frame=65_535), "4,295 megapixels"),
    "a GIF with a long comment": (
        lambda: gif(b"!\xfe" + (b"\xff" + b"x" * 255) * 40_000 + b"\0"),
        "pieces",
    ),
    "a GIF with much in between": (lambda: gif(b"x" * 2**20), "pieces"),
    "a PNG whose frame is filled": (lambda: animated_png(60_000, 60_000), "3,600 megapixels"),
    "a PNG of many rows": (lambda: png(size=(1, 10**8)), "100,000,000 pixels long"),
    "a PNG of many rows, animated": (lambda: animated_png(1, 10**8), "pixels long"),
    "a TIFF of many rows": (lambda: one_strip(1, 10**8), "pixels long"),
    "a TIFF of many columns, to be turned": (lambda: one_strip(10**8, 1), "pixels long"),
    "a BMP of many rows": (lambda: plain_bmp(1, 10**8), "pixels long"),
    "a PNG with texts without a name": (
        lambda: png(chunk(b"zTXt", b"\0\0" + MEGABYTE_OF_NOTHING) * 2000),
        "pieces",
    ),
    "a PNG with many profiles at its end": (
        lambda: png(after=chunk(b"iCCP", b"x\0\0" + MEGABYTE_OF_NOTHING) * 2000),
        "pieces",
    ),
    "a PNG of empty chunks": (lambda: png(chunk(b"abCd") * 10**6), "pieces"),
    "a PNG of empty pixels": (lambda: png(after=chunk(b"IDAT") * 10**6), "pieces"),
    "a PNG with many primary colours": (lambda: png(chunk(b"cHRM", b"x" * 2**25)), "pieces"),
    "a JPEG with EXIF in pieces": (
        lambda: jpeg(
            segment(0xE1, EXIF + bytes(65_000)) * 300, segment(0xE1, EXIF + b"x") * 10_000
        ),
        "EXIF",
    ),
    "a JPEG of empty segments": (lambda: jpeg(segment(0xE3) * 2**20), "pieces"),
    "a JPEG with much before it begins": (
        lambda: jpeg(segment(0xE3), b"x" * 2**22),
        "pieces",
    ),
    "a JPEG in thousands of steps": (lambda: with_scans(SCANNED, 10_000), "64 steps"),
    "a JPEG in thousands of steps, with commas": (
        lambda: with_scans(SCANNED[:-2] + segment(0xFE, b"\xff\xd9") + SCANNED[-2:], 10_000),
        "64 steps",
    ),
    "a JPEG in thousands of steps, one colour at first": (
        lambda: with_scans(colour_by_colour(), 10_000),
        "64 steps",
    ),
    "a JPEG in one step, and thousands more": (lambda: with_scans(jpeg(), 10_000), "damaged"),
    "a TIFF whose tags are all the same bytes": (
        lambda: overlapping(3000, 2**21),
        "more than the file",
    ),
    "a TIFF with endless tags": (lambda: overlapping(60_000, 9), "too many"),
    "a TIFF of a million strips": (lambda: striped(10**6), "numbers"),
    "a TIFF of a million strips, as a text": (
        lambda: tiff((1, 10**6), [(278, LONG, 1, 1), (273, 1, 10**6, b"x" * 10**6)]),
        "numbers",
    ),
    "a TIFF with a million fractions": (
        lambda: tiff((1, 1), [(282, RATIONAL, 10**6, b"\1\2\3\4" * 2 * 10**6)]),
        "numbers",
    ),
    "a TIFF of one pixel in a huge tile": (
        lambda: tiff((1, 1), [(322, LONG, 1, 16_000), (323, LONG, 1, 16_000)], packed=True),
        "tiles",
    ),
    "a BigTIFF in reverse": (
        lambda: encode(Image.fromarray(np.zeros((9, 9), ">u2")), "TIFF", big_tiff=True),
        "BigTIFF",
    ),
    "a HEIC whose texts are all the same bytes": (lambda: heic(900, 2**22), "HEIC"),
    "a HEIC of one tile with much detail": (
        lambda: heic(grid=40, tile=noise((64, 64), coarse=64)),
        "HEIC",
    ),
    "a HEIC of tiles outside of it": (lambda: heic(grid=200, outside=True), "HEIC"),
    "a HEIC of pieces without bytes": (lambda: pieces_without_bytes(40), "HEIC"),
    "a HEIC of very many pieces without bytes": (lambda: pieces_without_bytes(65_535), "HEIC"),
    "a HEIC with endless properties": (lambda: described_by(2**21), "HEIC"),
    "a HEIC of endless boxes": (lambda: boxed(box(b"free") * 2**18), "HEIC"),
    "a HEIC with much said of it": (lambda: boxed(box(b"free", bytes(2**25))), "HEIC"),
    "a HEIC with much said of it, again and again": (
        lambda: described_by(2**14) * 9,
        "HEIC",
    ),
    "a HEIC of pictures in pictures": (lambda: nested(9_000), "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_small_file_that_asks_for_far_more_is_refused(name: str) -> None:
    make, sentence = HOSTILE[name]
    with pytest.raises(PictureError, match=sentence) as caught:
        open_picture(make(), 640)
    assert re.search(r"(Save (it|a)|save it) ", str(caught.value))


MEASURED = """
import json, sys, time, warnings
from pathlib import Path
from retrieval.errors import PictureError
from retrieval.images import open_picture
from tests.memory import peak_megabytes
warnings.simplefilter("ignore")
for path in sorted(Path(sys.argv[1]).glob("small.*")):
    open_picture(path, 640)  # what is loaded once
took = {}
for path in sorted(Path(sys.argv[1]).glob("[0-9]*")):
    before, start = peak_megabytes(), time.process_time()
    try:
        open_picture(path, 640)
    except PictureError:
        pass
    took[path.name] = (peak_megabytes() - before, time.process_time() - start)
print(json.dumps(took))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="others round the memory of a process")
def test_refusing_takes_neither_memory_nor_time(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "HEIF"):
        (tmp_path / f"small.{kind}").write_bytes(encode(by_hue(0, (64, 64)), kind))
    turned = {
        f"EXIF in {kind}": lambda kind=kind: with_exif(kind, overlapping(3000, 20_000))
        for kind in ("JPEG", "PNG", "WEBP", "HEIF", "AVIF")
    }
    slow = {"a profile": lambda: encode(noise((99, 99)), "PNG", icc_profile=profile(30_000))}
    made = {name: make for name, (make, _) in HOSTILE.items()} | turned | slow
    for number, make in enumerate(made.values()):
        (tmp_path / str(number)).write_bytes(make())
    command = [sys.executable, "-c", MEASURED, str(tmp_path)]
    took = json.loads(subprocess.check_output(command, cwd=PROJECT, text=True))
    assert len(took) == len(made)
    for number, name in enumerate(made):
        megabytes, seconds = took[str(number)]
        assert megabytes < 64, name
        assert seconds < 2, name


def test_a_file_may_be_read_in_so_many_pieces_until_it_is_set_free() -> None:
    counted = CountedReads(io.BytesIO(bytes(2 * MAX_READS)))
    for _ in range(MAX_READS):
        counted.read(1)
    with pytest.raises(PictureError, match="pieces"):
        counted.read(1)
    counted.set_free()
    assert counted.read(1) == b"\0"
    assert counted.tell() == MAX_READS + 1


# --- EXIF ---


def with_exif(kind: str, tags: bytes) -> bytes:
    """Return a picture, 40 x 30, with EXIF that Pillow need not read to write it."""
    if kind == "JPEG":
        return jpeg(segment(0xE1, EXIF + tags))
    blank = EXIF + tags_only([(0x010E, BYTES, len(tags) - 26, bytes(len(tags) - 26))])
    assert len(blank) == len(EXIF + tags)
    data = encode(by_hue(0), kind, exif=blank).replace(blank[6:], tags)
    # A PNG has a checksum of it.
    return data.replace(
        struct.pack(">I", zlib.crc32(b"eXIf" + blank[6:])),
        struct.pack(">I", zlib.crc32(b"eXIf" + tags)),
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_whose_tags_are_all_the_same_bytes_costs_the_rotation_only(kind: str) -> None:
    # In a JPEG there is room for 64 kB.
    fair, unfair = overlapping(1, 40_000), overlapping(1500, 40_000)
    assert open_picture(with_exif(kind, fair)).image.size == (30, 40)
    data = with_exif(kind, unfair)
    tracemalloc.start()
    try:
        assert open_picture(data).image.size == (40, 30)
        assert tracemalloc.get_traced_memory()[1] < 2**20  # of 60 MB
    finally:
        tracemalloc.stop()


def test_exif_of_an_avif_whose_tags_are_all_the_same_bytes_is_refused() -> None:
    assert open_picture(with_exif("AVIF", overlapping(1, 40_000))).image.size == (40, 30)
    with pytest.raises(PictureError, match="more than the file"):
        open_picture(with_exif("AVIF", overlapping(1500, 40_000)))


def test_details_whose_tags_are_all_the_same_bytes_cost_the_date_only() -> None:
    """Tags that EXIF keeps in a directory of its own."""
    shared = b"2024:07:31 18:02:11\0" * 1000
    start = 8 + 2 + 2 * 12 + 4
    date: Entry = (0x9003, 2, 20, b"2024:07:31 18:02:11\0")
    many = [(50_000 + i, BYTES, len(shared), shared) for i in range(1500)]
    first = tags_only([(0x0112, SHORT, 1, 6), (0x8769, LONG, 1, start)])
    for details, taken in (
        (directory([date], start=start), "2024-07-31 18:02:11"),
        (directory([date, *many], start=start, shared=shared), None),
    ):
        picture = open_picture(jpeg(segment(0xE1, EXIF + first + details)))
        assert (picture.width, picture.height) == (30, 40)
        assert picture.taken == taken


@pytest.mark.parametrize("times", [1, 2, 100_000], ids=["once", "twice", "without end"])
def test_the_name_of_exif_may_stand_before_it_twice(times: int) -> None:
    turned = tags_only([(0x0112, SHORT, 1, 6)])
    picture = open_picture(png(chunk(b"eXIf", EXIF * (times - 1) + turned)))
    assert picture.image.size == (9, 9)
    data = encode(by_hue(0), "PNG", exif=EXIF * times + turned)
    assert open_picture(data).image.size == ((30, 40) if times < 3 else (40, 30))


def test_exif_with_notes_a_thumbnail_and_values_in_common_is_read() -> None:
    """Notes of the maker may have 50 kB, and two resolutions that are alike one place."""
    shared = struct.pack("<LL", 300, 1)
    thumbnail = encode(noise((160, 120)), "JPEG", progressive=True)
    notes = thumbnail * (50_000 // len(thumbnail))
    tags = tags_only(
        [
            (0x0112, SHORT, 1, 6),
            *((tag, RATIONAL, 1, shared) for tag in (0x011A, 0x011B)),
            (0x927C, BYTES, len(notes), notes),
        ],
        shared=shared,
    )
    assert notes.count(b"\xff\xda") > MAX_SCANS
    exif = segment(0xE1, EXIF + tags)
    data = encode(by_hue(0), "JPEG", progressive=True)
    assert open_picture(data[:2] + exif + data[2:]).image.size == (30, 40)


def test_a_second_picture_in_an_mpo_whose_list_is_damaged_costs_nothing() -> None:
    shared = bytes(30_000)
    listed = tags_only(
        [(50_000 + i, BYTES, len(shared), shared) for i in range(2500)], shared=shared
    )
    with pytest.warns(UserWarning, match="malformed MPO"):
        assert colour_of(jpeg(segment(0xE2, b"MPF\0" + listed))) == (254, 0, 0)


# --- what opens ---


@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize(
    ("size", "side"), [(40, 16), (600, 256), (1, 2048)], ids=["small", "usual", "one for all"]
)
def test_a_tiff_in_tiles_is_read(size: int, side: int, packed: bool, order: str) -> None:
    picture = open_picture(tiled(size, side, packed, order))
    assert picture.image.size == (size, size)
    assert picture.image.getextrema() == ((255, 255),) * 3


def test_the_largest_width_of_a_tile_counts_where_there_are_two() -> None:
    data = bytearray(tiled(1, 4000, packed=True, tags=2))
    width = struct.pack("<HHLL", 322, LONG, 1, 4000)
    for place in (data.index(width), data.rindex(width)):
        changed = bytes(data[: place + 8] + struct.pack("<L", 16) + data[place + 12 :])
        with pytest.raises(PictureError, match="tiles"):
            open_picture(changed)


@pytest.mark.parametrize(
    ("rows", "rows_per_strip"),
    [(1, 2**32 - 1), (100, 7), (20_000, 1)],
    ids=["a strip without end", "some", "many"],
)
def test_a_tiff_in_strips_is_read(rows: int, rows_per_strip: int) -> None:
    picture = open_picture(striped(rows, rows_per_strip))
    assert picture.image.size == (1, rows)
    assert picture.image.getextrema() == ((255, 255),) * 3


def test_so_many_strips_may_be_and_no_more() -> None:
    check_tags(at_directory(striped(MAX_NUMBERS // 2 - 9)), b"II", big=False)
    with pytest.raises(PictureError, match="numbers"):
        check_tags(at_directory(striped(MAX_NUMBERS // 2)), b"II", big=False)


def test_a_tiff_with_long_texts_is_read() -> None:
    """As Photoshop keeps its layers there."""
    layers: Entry = (37_724, BYTES, 2**22, bytes(2**22))
    entries: list[Entry] = [(278, LONG, 1, 1), (273, LONG, 1, 0), (279, LONG, 1, 1), layers]
    assert colour_of(tiff((1, 1), entries)) == (73, 73, 73)  # the "I" at its start


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "TIFF", "big_tiff": True},
        {"kind": "TIFF", "compression": "tiff_lzw", "icc_profile": b"x" * 9999},
        {"kind": "TIFF", "compression": "jpeg"},
        {"kind": "TIFF", "save_all": True, "append_images": [by_hue(240)] * 3},
        {"kind": "JPEG", "progressive": True},
        {"kind": "MPO", "save_all": True, "append_images": [by_hue(240)] * 3},
        {"kind": "PNG", "save_all": True, "append_images": [by_hue(240)] * 3},
        {"kind": "GIF", "save_all": True, "append_images": [by_hue(240)] * 3},
        {"kind": "GIF", "comment": b"in blocks of 255 bytes " * 999},
        {"kind": "WEBP", "save_all": True, "append_images": [by_hue(240, (80, 60))] * 3},
        {"kind": "AVIF", "save_all": True, "append_images": [by_hue(240, (80, 60))] * 3},
        {"kind": "HEIF", "save_all": True, "append_images": [by_hue(240)] * 3},
    ],
    ids=lambda options: " ".join(options),
)
def test_ordinary_files_of_all_kinds_are_read(options: dict[str, object]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    exif[0x0132] = "2024:07:31 18:02:11"
    kind = str(options["kind"])
    more = {name: value for name, value in options.items() if name != "kind"}
    if kind != "GIF":
        more["exif"] = exif
    data = encode(by_hue(120, (80, 60)), kind, **more)
    assert colour_of(data) == pytest.approx(GREEN, abs=6)
    assert open_picture(data).taken == (None if kind == "GIF" else "2024-07-31 18:02:11")


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_a_picture_in_tiles_as_phones_write_it_is_read(kind: str) -> None:
    original = noise((300, 200), coarse=3)
    exif = Image.Exif()
    exif[0x0132] = "2024:07:31 18:02:11"
    more = {"exif": exif.tobytes(), "xmp": b"<x/>" * 9999}
    opened = open_picture(encode(original, kind, quality=95, tile_size=64, **more))
    assert opened.taken == "2024-07-31 18:02:11"
    difference = np.asarray(opened.image).astype(int) - np.asarray(original)
    assert np.abs(difference).mean() < 4


def test_tiles_that_are_alike_may_be_one() -> None:
    assert open_picture(heic(grid=4)).image.size == (256, 256)
    assert open_picture(heic(described=3, size=10_000)).image.size == (64, 64)


def test_of_a_kind_that_takes_more_memory_fewer_pixels_are_read() -> None:
    assert open_picture(webp(40, 30), max_pixels=2_000).image.size == (40, 30)
    with pytest.raises(PictureError, match=r"81 megapixels, and a WebP .* at most 68 can .* JPEG"):
        open_picture(webp(9_000, 9_000), max_pixels=10**8)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_a_picture_whose_tiles_all_have_much_detail_is_read(kind: str) -> None:
    original = noise((512, 384), coarse=384)
    data = encode(original, kind, quality=100, tile_size=64)
    assert open_picture(data).image.size == (512, 384)


def test_a_circle_of_tiles_is_refused() -> None:
    data = heic(grid=1)
    reference = box(b"dimg", struct.pack(">HHH", 2, 1, 1))
    assert data.count(reference) == 1
    with pytest.raises(PictureError, match="damaged"):
        open_picture(data.replace(reference, box(b"dimg", struct.pack(">HHH", 2, 1, 2))))


@pytest.mark.parametrize("more", [0, 40], ids=["as written", "fifty"])
def test_a_jpeg_in_steps_is_read_whatever_follows_it(more: int) -> None:
    """A photo that moves has a film behind it, in which anything may stand."""
    film = b"\xff\xda\x00\x08" * 9999
    picture = open_picture(with_scans(SCANNED, more) + film)
    assert (picture.width, picture.height) == (64, 48)


def test_a_jpeg_with_much_before_its_pixels_is_read() -> None:
    """XMP of several megabytes, where photos keep their depth, comes in segments of 64 kB."""
    long = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)) * 200
    data = jpeg(segment(0xFE, b"words"), b"\xff\xff\xff", segment(0xED), long)
    assert colour_of(data) == (254, 0, 0)


def test_a_png_in_small_pieces_is_read() -> None:
    rows = zlib.compress((b"\0" + bytes(RED) * 9) * 9, 0)
    whole = png()
    pieces = b"".join(chunk(b"IDAT", rows[i : i + 1]) for i in range(len(rows)))
    text = chunk(b"tEXt", b"a\0b") * 500 + chunk(b"iTXt", b"a\0\0\0\0\0b") * 99
    start = whole.index(b"IDAT") - 4
    assert colour_of(whole[:start] + pieces + text + chunk(b"IEND")) == RED


# --- colour profiles ---


def test_a_profile_of_many_links_costs_a_little_colour_and_no_time() -> None:
    """Ten of them are a profile like any other to LittleCMS; it is not asked."""
    few = profile(10)
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(few))) == "slow\n"
    assert colour_of(encode(by_hue(0), "PNG", icc_profile=few)) == RED


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("size", [3 * 2**20, 9 * 2**20], ids=["a press's", "too large"])
def test_a_picture_with_a_large_profile_is_read(kind: str, size: int) -> None:
    data = encode(by_hue(0), kind, icc_profile=np.random.default_rng(0).bytes(size))
    assert colour_of(data) == pytest.approx(RED, abs=6)


def test_profiles_are_bytes_of_some_size() -> None:
    good = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert safe_profile(good) is good
    for bad in (None, "text", (1, 2), bytes(2**24), profile(1)):
        assert safe_profile(bad) is None


# --- tags, by themselves ---


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_values_that_lie_outside_of_the_file_are_nothing() -> None:
    """Files that are cut short have such, and Pillow does not read them."""
    data = tags_only([(0x0112, SHORT, 1, 6), (0x927C, BYTES, 2**31, 2**31)])
    check_tags(at_directory(data), b"II", big=False)
    assert open_picture(jpeg(segment(0xE1, EXIF + data))).image.size == (30, 40)


def test_types_that_nobody_knows_are_nothing() -> None:
    check_tags(at_directory(tags_only([(7, 99, 2**31, 2**31)])), b"II", big=False)


def at_directory(data: bytes) -> io.BytesIO:
    file = io.BytesIO(data)
    file.seek(8)
    return file

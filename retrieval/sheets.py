"""Results to take away: as a table, as a ZIP of the pictures, and as a contact sheet to print."""

import io
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from PIL import Image, ImageDraw, ImageFont, ImageOps

from retrieval.collection import Collection
from retrieval.errors import LookalikeError, PictureError
from retrieval.files import replace_when_done
from retrieval.images import SUFFIXES, open_picture
from retrieval.records import PictureRecord
from retrieval.search import Match, percent
from retrieval.tables import as_csv, harmless

# The collections that matches come from, by the key that each match carries.
Collections = Mapping[str, Collection]

COLUMNS = ("rank", "similarity", "path", "label", "width", "height", "taken")

# A4 upright, in millimetres: thirty pictures on the first page and thirty-five on the others, so
# that a usual search fits on one.
PAGE_WIDTH, PAGE_HEIGHT, MARGIN = 210.0, 297.0, 14.0
ACROSS = 5
GAP = 4.0
CELL_WIDTH = (PAGE_WIDTH - 2 * MARGIN - (ACROSS - 1) * GAP) / ACROSS
CELL_HEIGHT = 0.75 * CELL_WIDTH  # a camera's shape; pictures of others get bars at their sides
CAPTION = 9.0
ROW = CELL_HEIGHT + CAPTION + GAP - 0.3
QUERY_HEIGHT = 34.0
HEADER = QUERY_HEIGHT + 8.0
FOOTER = 4.0
MAX_QUERIES = 4  # shown; more find no room on the page
MAX_ON_ONE_PICTURE = 400  # 200 MB of pixels

INK, FAINT, MAT, RULE = "#1c1c1e", "#6b6b70", "#f2f2f4", "#d0d0d4"
POINT = 25.4 / 72  # millimetres
REGULAR = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "arial.ttf")
BOLD = ("DejaVuSans-Bold.ttf", "NotoSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf")
# For names in scripts that the fonts above lack, where a system has them.
OTHER_SCRIPTS = (
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc"),  # Linux
    *("Arial Unicode.ttf", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),  # macOS
    *("msyh.ttc", "YuGothM.ttc", "malgun.ttf", "Nirmala.ttf", "seguisym.ttf"),  # Windows
)


def save_csv(matches: Sequence[Match], path: Path) -> None:
    """Write results as CSV, a row each, whole or not at all.

    Raises:
        LookalikeError: when the file cannot be written.
    """
    rows = (
        (
            rank,
            f"{match.similarity:.6f}",
            harmless(match.picture.path),
            harmless(match.picture.label),
            match.picture.width,
            match.picture.height,
            harmless(match.picture.taken or ""),
        )
        for rank, match in enumerate(matches, start=1)
    )
    with replace_when_done(path) as temporary:
        temporary.write_bytes(as_csv(COLUMNS, rows))


@dataclass(frozen=True)
class Packed:
    """What went into a ZIP, by count."""

    originals: int
    thumbnails: int  # where the original is not there, or would not have fitted
    left_out: int  # where there was neither, or no room for either


def save_zip(
    matches: Sequence[Match],
    collections: Collections,
    path: Path,
    max_bytes: int,
    originals: bool = True,
) -> Packed:
    """Write the pictures of results as a ZIP, in their order, whole or not at all.

    Each is the original where it lies in its collection's folder, else the thumbnail. Names begin
    with the rank, so no two are the same, and are safe on any disk. Pictures are copied in pieces
    and not compressed again.

    Args:
        collections: where the matches come from, by their keys.
        max_bytes: all pictures together; an original that does not fit any more gives way to its
            thumbnail.
        originals: False packs thumbnails only.

    Raises:
        LookalikeError: when the file cannot be written.
    """
    counts = {"originals": 0, "thumbnails": 0, "left out": 0}
    digits = len(str(len(matches)))
    left = max_bytes
    with replace_when_done(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for rank, match in enumerate(matches, start=1):
            picture, collection = match.picture, collections[match.key]
            name = f"{rank:0{digits}} {_safe_name(picture.path)}"
            if originals and (file := open_original(collection, picture)):
                with file:
                    status = os.fstat(file.fileno())
                    if status.st_size <= left:
                        _add(archive, name, file, status.st_size, status.st_mtime)
                        counts["originals"] += 1
                        left -= status.st_size
                        continue
            small = collection.thumbnail(picture.sha256)
            if small and len(small) <= left:
                name = str(PurePosixPath(name).with_suffix("")) + " (small).jpg"
                _add(archive, name, io.BytesIO(small), len(small), time.time())
                counts["thumbnails"] += 1
                left -= len(small)
            else:
                counts["left out"] += 1
    return Packed(counts["originals"], counts["thumbnails"], counts["left out"])


def open_original(collection: Collection, picture: PictureRecord) -> BinaryIO | None:
    """Open the file of a picture, if it is one and lies inside its collection's folder.

    A collection may come from somebody else, and say that its pictures lie anywhere.
    """
    root = collection.root
    if root is None:
        return None
    try:
        real = Path(os.path.realpath(root / picture.path))
        inside = real.is_relative_to(os.path.realpath(root))
        if not inside or real.suffix.lower() not in SUFFIXES or not real.is_file():
            return None
        return real.open("rb")
    except (OSError, ValueError):  # gone, not readable, or a name that no disk can have
        return None


def _add(archive: zipfile.ZipFile, name: str, file: BinaryIO, size: int, modified: float) -> None:
    # ZIP knows no time before 1980 and none after 2107.
    when = datetime.fromtimestamp(min(max(modified, 315_619_200), 4_354_732_800))
    info = zipfile.ZipInfo(name, when.timetuple()[:6])
    info.file_size = size  # decides whether the entry needs the form for over 4 GB
    info.external_attr = 0o644 << 16
    with archive.open(info, "w") as target:
        shutil.copyfileobj(file, target, 2**20)


def _safe_name(path: str) -> str:
    """Return the file name of a path so that Windows, macOS and Linux all take it."""
    name = _valid(PurePosixPath(path).name)
    # Forbidden characters, controls, and the marks that turn the direction of writing around.
    name = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]', "_", name)
    stem, suffix = os.path.splitext(name)
    # File systems take 255 bytes, and the rank and "(small)" want some.
    stem = stem.encode()[:200].decode(errors="ignore").rstrip(". ")
    return (stem or "picture") + suffix[:16]


def _valid(text: str) -> str:
    return text.encode(errors="replace").decode()


def save_contact_sheet(
    queries: Sequence[Image.Image],
    matches: Sequence[Match],
    collections: Collections,
    path: Path,
    title: str,
    notes: Sequence[str] = (),
    dots_per_inch: int = 200,
) -> None:
    """Write results as a sheet to print, whole or not at all: the query first, then the pictures.

    Under each picture stand its rank, its similarity and its file name.

    Args:
        queries: RGB pictures that were searched with; the first four are shown.
        collections: where the matches come from, by their keys.
        path: .pdf makes pages of A4; .png, .jpg and .jpeg make one picture, as wide as A4 and as
            long as it needs to be.
        title: stands beside the query, in large letters.
        notes: lines below the title, such as the collection's name and the date.

    Raises:
        LookalikeError: when the file cannot be written, or one picture cannot hold so many.
    """
    kind = {".pdf": "PDF", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}.get(path.suffix.lower())
    if kind is None:
        raise LookalikeError(f"A contact sheet cannot be a {path.suffix} file. Use .pdf or .png.")
    if kind != "PDF" and len(matches) > MAX_ON_ONE_PICTURE:
        raise LookalikeError(
            f"One picture has room for {MAX_ON_ONE_PICTURE} results. Save a PDF, or fewer results."
        )
    drawer = _Drawer(dots_per_inch, collections)
    with replace_when_done(path) as temporary:
        if kind == "PDF":
            # A page at a time: all of them together would fill the memory.
            for number, page in enumerate(drawer.pages(queries, matches, title, notes)):
                page.save(
                    temporary,
                    "PDF",
                    append=number > 0,
                    resolution=dots_per_inch,
                    quality=90,
                    title=_valid(title),
                    creator="Lookalike",
                )
        else:
            sheet = drawer.sheet(queries, matches, title, notes)
            dpi = (dots_per_inch, dots_per_inch)
            sheet.save(temporary, kind, dpi=dpi, quality=90, optimize=kind == "JPEG")


class _Drawer:
    """Draws sheets; all measures are millimetres until the last moment."""

    def __init__(self, dots_per_inch: int, collections: Collections) -> None:
        self._scale = dots_per_inch / 25.4
        self._collections = collections

    def sheet(
        self,
        queries: Sequence[Image.Image],
        matches: Sequence[Match],
        title: str,
        notes: Sequence[str],
    ) -> Image.Image:
        """Draw everything on one sheet, as long as it needs to be."""
        rows = -(-len(matches) // ACROSS)
        page = self._paper(MARGIN + HEADER + rows * ROW + MARGIN - GAP)
        self._header(page, queries, title, notes)
        self._grid(page, MARGIN + HEADER, matches, 1)
        return page

    def pages(
        self,
        queries: Sequence[Image.Image],
        matches: Sequence[Match],
        title: str,
        notes: Sequence[str],
    ) -> Iterator[Image.Image]:
        """Draw everything on pages of A4, one at a time."""
        room = PAGE_HEIGHT - 2 * MARGIN - FOOTER + GAP
        on_first = int((room - HEADER) // ROW) * ACROSS
        on_others = int(room // ROW) * ACROSS
        starts = [0, *range(on_first, len(matches), on_others)]
        for number, start in enumerate(starts, start=1):
            page = self._paper(PAGE_HEIGHT)
            top, count = MARGIN, on_others
            if number == 1:
                self._header(page, queries, title, notes)
                top, count = MARGIN + HEADER, on_first
            self._grid(page, top, matches[start : start + count], start + 1)
            if len(starts) > 1:
                text = f"{number} / {len(starts)}"
                bottom = PAGE_HEIGHT - MARGIN + 2
                self._text(page, PAGE_WIDTH / 2, bottom, text, 8, FAINT, anchor="ms")
            yield page

    def _paper(self, height: float) -> Image.Image:
        return Image.new("RGB", (self._px(PAGE_WIDTH), self._px(height)), "white")

    def _header(
        self,
        page: Image.Image,
        queries: Sequence[Image.Image],
        title: str,
        notes: Sequence[str],
    ) -> None:
        left, shown = MARGIN, queries[:MAX_QUERIES]
        # One query may be as wide as a panorama likes to be; several share the half of the page.
        widest = (PAGE_WIDTH / 2 - MARGIN) / max(len(shown), 1) - GAP / 2
        for query in shown:
            width = min(widest, QUERY_HEIGHT * query.width / query.height)
            used = self._picture(page, query, left, MARGIN, width, QUERY_HEIGHT, "left")
            left += used + GAP / 2
        left += GAP if shown else 0
        width = PAGE_WIDTH - MARGIN - left
        self._text(page, left, MARGIN + 7, title, 17, INK, bold=True, width=width)
        for i, note in enumerate(notes[:5]):
            self._text(page, left, MARGIN + 13.5 + 4.8 * i, note, 9.5, FAINT, width=width)
        y = self._px(MARGIN + QUERY_HEIGHT + 4)
        ImageDraw.Draw(page).line(
            (self._px(MARGIN), y, self._px(PAGE_WIDTH - MARGIN), y), RULE, max(1, self._px(0.25))
        )

    def _grid(self, page: Image.Image, top: float, matches: Sequence[Match], first: int) -> None:
        for i, match in enumerate(matches):
            row, column = divmod(i, ACROSS)
            x, y = MARGIN + column * (CELL_WIDTH + GAP), top + row * ROW
            mat = (*self._at(x, y), *self._at(x + CELL_WIDTH, y + CELL_HEIGHT))
            ImageDraw.Draw(page).rectangle(mat, MAT)
            small = self._collections[match.key].thumbnail(match.picture.sha256)
            try:
                # An empty cell for a thumbnail that is gone: the rest of the sheet is still right.
                image = open_picture(small or b"").image
                self._picture(page, image, x, y, CELL_WIDTH, CELL_HEIGHT, "centre")
            except PictureError:
                pass
            under = y + CELL_HEIGHT + 4
            self._text(page, x, under, f"{first + i}", 8.5, INK, bold=True)
            self._text(
                page, x + CELL_WIDTH, under, f"{percent(match.similarity)} %", 8.5, INK, anchor="rs"
            )
            name = PurePosixPath(match.picture.path).name
            self._text(page, x, under + 3.6, name, 7, FAINT, width=CELL_WIDTH)

    def _picture(
        self,
        page: Image.Image,
        image: Image.Image,
        x: float,
        y: float,
        width: float,
        height: float,
        place: str,
    ) -> float:
        """Fit a picture into a box, in the middle or at its left; return the width it takes."""
        box = (max(1, self._px(width)), max(1, self._px(height)))
        fitted = ImageOps.contain(image, box, Image.Resampling.LANCZOS)
        left, top = self._at(x, y)
        if place == "centre":
            left += (box[0] - fitted.width) // 2
        page.paste(fitted, (left, top + (box[1] - fitted.height) // 2))
        return fitted.width / self._scale

    def _text(
        self,
        page: Image.Image,
        x: float,
        y: float,
        text: str,
        points: float,
        colour: str,
        bold: bool = False,
        anchor: str = "ls",
        width: float | None = None,
    ) -> None:
        """Write one line on the baseline `y`, with its middle left out where it is too wide."""
        text = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", _valid(text)).strip()
        font = _font_for(text, round(points * POINT * self._scale, 1), bold)
        if width is not None:
            text = _shorten(text, font, width * self._scale)
        ImageDraw.Draw(page).text(self._at(x, y), text, colour, font, anchor)

    def _px(self, millimetres: float) -> int:
        return round(millimetres * self._scale)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return self._px(x), self._px(y)


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _shorten(text: str, font: Font, width: float) -> str:
    """Leave out as little of the middle as makes `text` fit: names differ at their ends."""
    if font.getlength(text) <= width:
        return text
    few, many = 0, min(len(text), 400)
    while few < many:  # the largest number of kept characters that fits
        kept = (few + many + 1) // 2
        if font.getlength(_without_middle(text, kept)) <= width:
            few = kept
        else:
            many = kept - 1
    return _without_middle(text, few)


def _without_middle(text: str, kept: int) -> str:
    end = kept // 2
    return text[: kept - end] + "…" + (text[-end:] if end else "")


def _font_for(text: str, size: float, bold: bool) -> Font:
    """Return the first font that has every letter of `text`, or the usual one if none has."""
    usual = _usual_font(size, bold)
    if _writes(usual, text):
        return usual
    for name in OTHER_SCRIPTS:
        font = _font(name, size)
        if font and _writes(font, text):
            return font
    return usual


def _writes(font: Font, text: str) -> bool:
    # A letter that a font lacks is drawn as the same box as a code point that no font has.
    missing = _glyph(font, "\U0010ffff")
    return all(_glyph(font, letter) != missing for letter in set(text) if not letter.isspace())


def _glyph(font: Font, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@lru_cache(maxsize=32)
def _usual_font(size: float, bold: bool) -> Font:
    for name in (*BOLD, *REGULAR) if bold else REGULAR:
        if font := _font(name, size):
            return font
    return ImageFont.load_default(size)  # comes with Pillow; Latin letters


@lru_cache(maxsize=256)
def _font(name: str, size: float) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None

"""A contact sheet of results to print: PNG, or PDF of several pages."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from PIL import Image, ImageDraw

from retrieval.collection import Collection
from retrieval.errors import LookalikeError, PictureError
from retrieval.files import replace_when_done
from retrieval.fonts import fit, length_of
from retrieval.images import open_picture
from retrieval.search import Match, percent

# The collections that matches come from, by the key that each match carries.
Collections = Mapping[str, Collection]

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

    Under each picture stand its place, its similarity, its file name, and how many copies of it
    were found with it.

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
                self._text(page, PAGE_WIDTH / 2, bottom, text, 8, FAINT, anchor="m")
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
                page, x + CELL_WIDTH, under, f"{percent(match.similarity)} %", 8.5, INK, anchor="r"
            )
            name = PurePosixPath(match.picture.path).name
            self._text(page, x, under + 3.6, name, 7, FAINT, width=CELL_WIDTH)
            if n := len(match.copies):
                text = f"and {n:,} {'copy' if n == 1 else 'copies'}"
                self._text(page, x, under + 6.6, text, 7, INK, width=CELL_WIDTH)

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
        scale = min(box[0] / image.width, box[1] / image.height)
        # Not by `ImageOps.contain`, which leaves a very thin picture no pixel across.
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        fitted = image.resize(size, Image.Resampling.LANCZOS)
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
        anchor: str = "l",
        width: float | None = None,
    ) -> None:
        """Write one line on the baseline `y`, with its middle left out where it is too wide.

        Args:
            anchor: whether its left end lies at `x`, its middle or its right one: l, m or r.
        """
        text = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", _valid(text)).strip()
        room = math.inf if width is None else width * self._scale
        pieces = fit(text, round(points * POINT * self._scale, 1), bold, room)
        left, baseline = self._at(x, y)
        left -= round({"l": 0.0, "m": 0.5, "r": 1.0}[anchor] * length_of(pieces))
        draw = ImageDraw.Draw(page)
        for piece, font in pieces:
            draw.text((left, baseline), piece, colour, font, "ls")
            left += round(font.getlength(piece))

    def _px(self, millimetres: float) -> int:
        return round(millimetres * self._scale)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return self._px(x), self._px(y)


def _valid(text: str) -> str:
    return text.encode(errors="replace").decode()

"""Fonts that have the letters of a text, and texts that fit the room there is."""

from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from PIL import ImageFont

REGULAR = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "arial.ttf")
BOLD = ("DejaVuSans-Bold.ttf", "NotoSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf")
# For names in scripts that the fonts above lack, where a system has them.
OTHER_SCRIPTS = (
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc"),  # Linux
    "DroidSansFallbackFull.ttf",  # comes with Ghostscript; it has no Latin letters
    *("Arial Unicode.ttf", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),  # macOS
    *("msyh.ttc", "YuGothM.ttc", "malgun.ttf", "Nirmala.ttf", "seguisym.ttf"),  # Windows
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Pieces = list[tuple[str, Font]]  # of one line, from the left to the right


def fit(text: str, size: float, bold: bool, width: float) -> Pieces:
    """Leave out as little of the middle as makes `text` fit: names differ at their ends."""
    pieces = pieces_of(text, size, bold)
    if length_of(pieces) <= width:
        return pieces
    few, many = 0, min(len(text), 400)
    while few < many:  # the largest number of kept characters that fits
        kept = (few + many + 1) // 2
        if length_of(pieces_of(_without_middle(text, kept), size, bold)) <= width:
            few = kept
        else:
            many = kept - 1
    return pieces_of(_without_middle(text, few), size, bold)


def pieces_of(text: str, size: float, bold: bool) -> Pieces:
    """Return a text with the first font that has all of its letters.

    Where none has, it is cut into pieces: each letter goes with the first font that has it, and
    with the usual one if none has.
    """
    usual = _usual_font(size, bold)
    fonts: list[Font] = [usual]
    fonts += (font for name in OTHER_SCRIPTS if (font := _font(name, size)))
    whole = (font for font in fonts if all(_has(font, letter) for letter in set(text)))
    if first := next(whole, None):
        return [(text, first)]
    chosen = [next((font for font in fonts if _has(font, letter)), usual) for letter in text]
    pairs = groupby(zip(text, chosen, strict=True), key=itemgetter(1))
    return [("".join(letter for letter, _ in piece), font) for font, piece in pairs]


def length_of(pieces: Pieces) -> float:
    """Return how long a line is, in pixels."""
    return sum(font.getlength(text) for text, font in pieces)


def _without_middle(text: str, kept: int) -> str:
    end = kept // 2
    return text[: kept - end] + "…" + (text[-end:] if end else "")


@lru_cache(maxsize=4096)
def _has(font: Font, letter: str) -> bool:
    # A letter that a font lacks is drawn as the same box as a code point that no font has.
    return letter.isspace() or _glyph(font, letter) != _glyph(font, "\U0010ffff")


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

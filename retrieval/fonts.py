"""Fonts that have the letters of a text, and texts that fit the room there is."""

from functools import lru_cache

from PIL import ImageFont

REGULAR = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "arial.ttf")
BOLD = ("DejaVuSans-Bold.ttf", "NotoSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf")
# For names in scripts that the fonts above lack, where a system has them.
OTHER_SCRIPTS = (
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc"),  # Linux
    *("Arial Unicode.ttf", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),  # macOS
    *("msyh.ttc", "YuGothM.ttc", "malgun.ttf", "Nirmala.ttf", "seguisym.ttf"),  # Windows
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def shorten(text: str, font: Font, width: float) -> str:
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


def font_for(text: str, size: float, bold: bool) -> Font:
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

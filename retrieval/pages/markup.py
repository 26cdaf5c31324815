"""HTML that several tabs show: every text in it is escaped, every address is one of our own."""

from collections.abc import Iterable
from html import escape
from pathlib import PurePosixPath
from urllib.parse import quote

from retrieval.pages import words
from retrieval.records import PictureRecord

# Of a link to a file. `page.js` gives it a frame that shows nothing, and takes what the server says
# where there is no file to be had.
INTO_FRAME = 'target="lk-download"'


def original_address(key: str, id_: int) -> str:
    """Return where the owner at this computer gets a picture's own file."""
    return f"originals/{quote(key)}/{id_}"


def thumbnail_address(key: str, picture: PictureRecord) -> str:
    """Return the address of a thumbnail, relative to the page: it tells no path of the server.

    It has no bracket or quotation mark, so it may stand in a style sheet as it is.
    """
    return f"thumbnails/{quote(key)}/{picture.sha256}.jpg"


def name_of(picture: PictureRecord) -> str:
    """Return the file's name."""
    return PurePosixPath(picture.path).name


def folder_line(picture: PictureRecord) -> str:
    """Say in which subfolder a picture lies; "" where it lies in none."""
    folder = str(PurePosixPath(picture.path).parent)
    return words.COPIES_FOLDER.format(folder=folder) if folder != "." else ""


def fact_lines(facts: Iterable[str]) -> str:
    """Lay out what is known of a picture, a line each; "" is left out."""
    return "".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)


def empty(title: str, body: str) -> str:
    """Say kindly that there is nothing to show."""
    return f'<div class="lk-empty"><h2>{escape(title)}</h2><p>{escape(body)}</p></div>'


def duration(seconds: float) -> str:
    """Say a length of time as people do."""
    if seconds < 1.5:
        return words.A_SECOND
    if seconds < 50:
        return words.SECONDS.format(n=round(seconds))
    if seconds < 90:
        return words.A_MINUTE
    if seconds < 120 * 60:
        return words.MINUTES.format(n=round(seconds / 60))
    return words.HOURS.format(n=round(seconds / 3600))


def progress_bar(fraction: float, spoken: str) -> str:
    """Show how far something is, from 0 to 1, with words for those who do not see it."""
    whole = round(100 * fraction)
    return (
        f'<span class="lk-progress" role="progressbar" aria-label="{escape(spoken)}" '
        f'aria-valuenow="{whole}" aria-valuemin="0" aria-valuemax="100">'
        f'<i style="width:{whole}%"></i></span>'
    )


def notice(text: str, fraction: float | None, spoken: str = "", aloud: bool = False) -> str:
    """Show one line, and a bar when something is under way.

    With a bar it is not read aloud by itself: it changes every other second.

    Args:
        spoken: what the bar is called; by default it is the line.
        aloud: whether the page itself reads the line aloud, where there is no bar.
    """
    bar = "" if fraction is None else progress_bar(fraction, spoken or text)
    read = f'data-aloud="{escape(text)}"' if aloud else 'role="status"'
    return (
        f'<div class="lk-notice"{f" {read}" if fraction is None else ""}>{escape(text)}{bar}</div>'
    )


def file_size(size: int) -> str:
    """Say a number of bytes as file managers do."""
    if size < 999_500:
        return f"{max(1, round(size / 1000)):,} KB"
    if size < 999_950_000:
        return f"{size / 1e6:,.1f} MB"
    return f"{size / 1e9:,.1f} GB"

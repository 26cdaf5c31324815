"""The HTML of the results: every text in it is escaped, every address is one of our own."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import PurePosixPath

from retrieval.collection import PictureRecord
from retrieval.pages import words
from retrieval.search import Found, Match
from retrieval.workspace import Building

# A picture and the key of its collection.
Placed = tuple[str, PictureRecord]


def thumbnail_address(key: str, picture: PictureRecord) -> str:
    """Return the address of a thumbnail, relative to the page: it tells no path of the server."""
    return f"thumbnails/{key}/{picture.sha256}.jpg"


def percent(similarity: float) -> int:
    """Return a cosine similarity as people read it: 0 for anything that points away."""
    return round(100 * max(0.0, min(1.0, similarity)))


def results(matches: Sequence[Match], heading: str, subject: str) -> str:
    """Lay out results, the most similar first, each a button for "more like this"."""
    tiles = "".join(
        _tile(match.key, match.picture, position, percent(match.similarity))
        for position, match in enumerate(matches)
    )
    return _grid(heading, subject, tiles, closable=True)


def browse(pictures: Iterable[Placed]) -> str:
    """Lay out pictures of the collections, to begin with."""
    tiles = "".join(_tile(key, picture, i, None) for i, (key, picture) in enumerate(pictures))
    return _grid(words.BROWSE, words.BROWSE_HINT, tiles, closable=False)


def examples(pictures: Iterable[Placed]) -> str:
    """Lay out a few small pictures to try."""
    buttons = "".join(
        f'<button type="button" class="lk-example" data-key="{escape(key)}" '
        f'data-id="{picture.id}" aria-label="{escape(_spoken(picture))}">'
        f'<img src="{escape(thumbnail_address(key, picture))}" alt="" loading="lazy"></button>'
        for key, picture in pictures
    )
    if not buttons:
        return ""
    return (
        f'<p class="lk-label">{escape(words.EXAMPLES)}</p><div class="lk-examples">{buttons}</div>'
    )


def empty(body: str) -> str:
    """Say kindly that there is nothing to show."""
    return f'<div class="lk-empty"><h2>{escape(words.EMPTY_TITLE)}</h2><p>{escape(body)}</p></div>'


def truth(
    name: str, embedder: str, provider: str, compared: int, found: Found | None = None
) -> str:
    """Say what computed the results, over how many pictures, and how long it took."""
    text = words.TRUTH.format(
        name=name, embedder=embedder, provider=provider, compared=f"{compared:,}"
    )
    if found:
        times = found.timings
        text += words.TRUTH_TIMES.format(
            total=round(times.total),
            decoding=round(times.decoding),
            features=round(times.features),
            ranking=round(times.ranking),
        )
    return f'<p class="lk-truth">{escape(text)}</p>'


def building(state: Building, name: str, now: float) -> str:
    """Say how the building of a collection stands, with a bar while it goes on."""
    step = state.step
    if state.problem:
        return _notice(state.problem, None)
    if state.finished and not step.total:
        return ""  # nothing was new, so there is nothing to tell
    if state.finished:
        text = words.BUILT_UNREADABLE if step.unreadable else words.BUILT
        text = text.format(name=name, new=f"{step.ready:,}", unreadable=f"{step.unreadable:,}")
        return _notice(text, None)
    if not step.total:
        return _notice(words.BUILDING_SCAN.format(name=name), None)
    left = state.seconds_left(now)
    text = words.BUILDING.format(
        name=name,
        done=f"{step.done:,}",
        total=f"{step.total:,}",
        left="" if left is None else words.BUILDING_LEFT.format(time=duration(left)),
    )
    return _notice(text, step.done / step.total)


def duration(seconds: float) -> str:
    """Say a length of time as people do."""
    if seconds < 50:
        return words.SECONDS.format(n=max(1, round(seconds)))
    if seconds < 90:
        return words.A_MINUTE
    if seconds < 90 * 60:
        return words.MINUTES.format(n=round(seconds / 60))
    return words.HOURS.format(n=round(seconds / 3600))


def _notice(text: str, fraction: float | None) -> str:
    bar = ""
    if fraction is not None:
        whole = round(100 * fraction)
        bar = (
            f'<span class="lk-progress" role="progressbar" aria-valuenow="{whole}" '
            f'aria-valuemin="0" aria-valuemax="100"><i style="width:{whole}%"></i></span>'
        )
    return f'<div class="lk-notice" role="status">{escape(text)}{bar}</div>'


def _grid(heading: str, subject: str, tiles: str, closable: bool) -> str:
    close = (
        f'<button type="button" class="lk-back" data-back="1">{escape(words.BACK)}</button>'
        if closable
        else ""
    )
    return (
        f'<div class="lk-head"><h2>{escape(heading)} <span>{escape(subject)}</span></h2>'
        f"{close}</div>"
        f'<ol class="lk-grid">{tiles}</ol>'
    )


def _tile(key: str, picture: PictureRecord, position: int, share: int | None) -> str:
    name = PurePosixPath(picture.path).name
    score, spoken = "", _spoken(picture)
    if share is not None:
        score = (
            f'<span class="lk-bar"><i style="width:{share}%"></i></span>'
            f'<span class="lk-score">{share} %</span>'
        )
        label = f", {picture.label}" if picture.label else ""
        spoken = words.TILE.format(name=name, label=label, percent=share)
    label = (
        f'<span class="lk-kind">{escape(_pretty(picture.label))}</span>' if picture.label else ""
    )
    return (
        f'<li class="lk-tile" style="--n:{min(position, 24)}"><button type="button" '
        f'data-key="{escape(key)}" data-id="{picture.id}" aria-label="{escape(spoken)}">'
        f'<img src="{escape(thumbnail_address(key, picture))}" alt="" loading="lazy" '
        f'width="{picture.width}" height="{picture.height}">'
        f'<span class="lk-more" aria-hidden="true">{escape(words.MORE_LIKE_THIS)}</span>'
        f'<span class="lk-caption">{score}{label}<span class="lk-name">{escape(name)}</span></span>'
        "</button></li>"
    )


def _spoken(picture: PictureRecord) -> str:
    name = PurePosixPath(picture.path).name
    label = f", {picture.label}" if picture.label else ""
    return words.TILE_BROWSE.format(name=name, label=label)


def _pretty(label: str) -> str:
    return label.replace("_", " ").replace("-", " ")

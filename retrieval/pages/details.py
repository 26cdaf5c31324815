"""Of one picture: itself in large, why it matches the query, and the copies folded into it."""

import io
import time
from collections.abc import Set as AbstractSet
from html import escape

import numpy as np
from PIL import Image

from retrieval.captions import pretty
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.explanation import explain, fold
from retrieval.images import open_picture, thumbnail
from retrieval.model import OnnxExtractor
from retrieval.pages import words
from retrieval.pages.asking import Part
from retrieval.pages.markup import (
    fact_lines,
    file_size,
    folder_line,
    name_of,
    original_address,
    thumbnail_address,
)
from retrieval.pages.parts import Pixels
from retrieval.preprocessing import is_mirrored
from retrieval.reduction import Matrix
from retrieval.report import data_uri
from retrieval.search import Match, percent

SHOWN_SIDE = 480  # pixels
OVERLAY_SIDE = 224
COPIES_SHOWN = 60  # of a result: a film may have thousands
# From cold to hot, transparent where a place adds nothing.
WARM = np.array([[255, 190, 60], [235, 60, 40]], np.float32)


def look(
    match: Match, openable: bool, explainable: bool, reasons: str = "", away: bool = False
) -> str:
    """Lay out a picture as large as there is room, with what is known of it.

    `dialog.js` goes from it to those that lie before and behind it on the page.

    Args:
        openable: whether the picture's own file is here and may be opened.
        explainable: whether there is something that it may resemble.
        reasons: why it does, as `why` lays it out; "" where that has not been asked for.
        away: whether its own file would be opened, and is not there now.
    """
    picture = match.picture
    facts = [
        (words.FACT_LABEL, pretty(picture.label)),
        (words.FACT_FILE, picture.path),
        (words.FACT_SIZE, f"{picture.width:,} × {picture.height:,}, {file_size(picture.size)}"),
        (words.FACT_TAKEN, picture.taken or ""),
        *picture.captions.items(),
    ]
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts if value
    )
    ways = [("pick", words.MORE_LIKE_THIS)]
    ways += [("why", words.WHY)] if explainable and not reasons else []
    actions = "".join(
        f'<button type="button" class="lk-back" data-do="{what}" data-key="{escape(match.key)}" '
        f'data-id="{picture.id}">{escape(said)}</button>'
        for what, said in ways
    )
    if openable:
        actions += _link(_original(match), escape(words.OPEN_ORIGINAL), "lk-back")
    told = f"<p>{escape(words.ORIGINAL_AWAY)}</p>" if away else ""
    small = escape(thumbnail_address(match.key, picture))
    # It is seen in small until it has come, and where its own file cannot be had any more.
    large = f"{_original(match)}?part=1" if openable else small
    name = name_of(picture)
    steps = "".join(
        f'<button type="button" class="lk-step" data-step="{by}" title="{escape(title)}" '
        f'aria-label="{escape(title)}"><svg viewBox="0 0 16 16" aria-hidden="true">'
        f'<path d="{sign}"></path></svg></button>'
        for by, title, sign in (
            (-1, words.LOOK_BEFORE, "M10 3 5 8l5 5"),
            (1, words.LOOK_NEXT, "m6 3 5 5-5 5"),
        )
    )
    body = (
        f'<div class="lk-look"><div class="lk-stage" style="background-image:url({small})">'
        f'<img src="{escape(large)}" data-small="{small}" alt="{escape(name)}">{steps}</div>'
        f'<div class="lk-known">{told}{reasons}<dl>{rows}</dl>'
        f'<div class="lk-ways">{actions}</div></div></div>'
    )
    return _dialog("why" if reasons else "look", match, name, body)


def why(
    embedder: Embedder, part: Part, wanted: int, pixels: Pixels, asked_jpeg: bytes, match: Match
) -> str:
    """Lay out two pictures side by side, warm where they resemble each other.

    Args:
        part: the picture of the query that is explained.
        wanted: how many pictures the query is made of that results are to be like.
        pixels: what the network sees of it and of the match, `(2, side, side, 3)`.
        asked_jpeg: the former as it is shown.
    """
    try:
        overlays, total = _overlays(embedder, pixels)
        note = words.WHY_NOTE.format(percent=percent(total))
    except LookalikeError as error:
        overlays, note = None, str(error)
    if wanted > 1:
        note = f"{words.WHY_SEVERAL.format(n=wanted)} {note}"
    image, picture = open_picture(asked_jpeg).image, match.picture
    own = data_uri(thumbnail(image, SHOWN_SIDE), "image/jpeg")
    theirs = thumbnail_address(match.key, picture)
    named = (
        (own, part.name, image.width / image.height),
        (theirs, name_of(picture), picture.width / picture.height),
    )
    figures = "".join(
        f'<figure><div class="lk-heat" style="--shape:{shape:.3f}">'
        f'<img src="{escape(address)}" alt="">'
        + (f'<img src="{_heat(overlays[i])}" alt="" class="lk-warm">' if overlays else "")
        + f"</div><figcaption>{escape(caption)}</figcaption></figure>"
        for i, (address, caption, shape) in enumerate(named)
    )
    return f'<h3>{escape(words.WHY)}</h3><div class="lk-pair">{figures}</div><p>{escape(note)}</p>'


def copies(match: Match, openable: AbstractSet[int]) -> str:
    """Lay out a result and its copies, each with a link to look at it.

    Args:
        openable: of which pictures the own file is here and may be opened; of the others it is the
            small picture.
    """
    every = (match, *match.copies)
    same: dict[str, Match] = {}  # the first of each content
    for one in every:
        same.setdefault(one.picture.sha256, one)
    tiles = "".join(
        _copy(one, match, same[one.picture.sha256], one.picture.id in openable)
        for one in every[:COPIES_SHOWN]
    )
    rest = ""
    if len(every) > COPIES_SHOWN:
        text = words.COPIES_REST.format(n=f"{len(every) - COPIES_SHOWN:,}")
        rest = f"<p>{escape(text)}</p>"
    title = words.COPIES.format(n=f"{len(every):,}")
    body = f'<p>{escape(words.COPIES_NOTE)}</p><ol class="lk-twins" role="list">{tiles}</ol>{rest}'
    return _dialog("copies", match, title, body)


def _copy(one: Match, first: Match, same: Match, openable: bool) -> str:
    picture = one.picture
    name, other = name_of(picture), same.picture
    other_name = other.path if name_of(other) == name else name_of(other)
    facts = (
        words.COPIES_FIRST if one is first else "",
        folder_line(picture),
        f"{picture.width:,} × {picture.height:,}",
        file_size(picture.size),
        picture.taken or "",
        "" if same is one else words.COPIES_SAME_AS.format(name=other_name),
    )
    small = thumbnail_address(one.key, picture)
    inside = f'<img src="{escape(small)}" alt="" loading="lazy"><b>{escape(name)}</b>'
    link = _link(_original(one) if openable else small, inside)
    return f"<li>{link}<small>{fact_lines(facts)}</small></li>"


def _original(match: Match) -> str:
    return original_address(match.key, match.picture.id)


def _link(address: str, inside: str, look: str = "") -> str:
    look = f' class="{look}"' if look else ""
    return f'<a href="{escape(address)}" target="_blank" rel="noopener"{look}>{inside}</a>'


def _dialog(what: str, match: Match, title: str, body: str) -> str:
    """Lay out a dialog; `what` is the `data-do` of the buttons that ask for such a one."""
    # The page closes it by taking it away, and Gradio shows only what differs from the time before.
    now = time.monotonic_ns()
    place = "" if what == "copies" else '<span class="lk-place"></span>'
    return (
        f'<div class="lk-why" data-at="{now}" data-what="{what}" data-key="{escape(match.key)}" '
        f'data-id="{match.picture.id}" role="dialog" aria-modal="true" '
        f'aria-label="{escape(title)}">'
        f'<div class="lk-card"><div class="lk-head"><h2>{escape(title)}</h2>{place}'
        f'<button type="button" class="lk-back" data-close="1">{escape(words.CLOSE)}</button></div>'
        f"{body}</div></div>"
    )


def _overlays(embedder: Embedder, pixels: Pixels) -> tuple[tuple[Matrix, Matrix], float]:
    """Return what each place of either picture adds, and their similarity."""
    if not isinstance(embedder.extractor, OnnxExtractor):
        raise LookalikeError(words.WHY_NOT)
    features, maps = embedder.extractor.extract_with_map(pixels)
    vectors = embedder.project(features)
    layers = embedder.extractor.connected
    asked = explain(embedder, features[0], maps[0], vectors[1], layers)
    found = explain(embedder, features[1], maps[1], vectors[0], layers)
    how = embedder.card.preprocessing
    places = [
        fold(one.places) if is_mirrored(seen, how) else one.places
        for one, seen in zip((asked, found), pixels, strict=True)
    ]
    return (places[0], places[1]), found.similarity


def _heat(places: Matrix) -> str:
    """Draw the places that add to the similarity as a warm veil, as a data address."""
    share = np.clip(places, 0, None)
    share = share / max(float(share.max()), 1e-9)
    colour = WARM[0] + share[..., None] * (WARM[1] - WARM[0])
    veil = np.concatenate([colour, 200 * share[..., None] ** 1.5], axis=-1)
    image = Image.fromarray(veil.round().astype(np.uint8), "RGBA")
    buffer = io.BytesIO()
    image.resize((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return data_uri(buffer.getvalue(), "image/png")

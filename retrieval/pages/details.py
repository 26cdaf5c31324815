"""Why a result matches: what is known of it, and where the two pictures resemble each other."""

import io
import time
from html import escape

import numpy as np
from PIL import Image

from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.explanation import explain, fold
from retrieval.images import is_mirrored, open_picture, thumbnail
from retrieval.model import OnnxExtractor
from retrieval.pages import words
from retrieval.pages.asking import Part
from retrieval.pages.markup import name_of, thumbnail_address
from retrieval.pages.parts import Pixels
from retrieval.reduction import Matrix
from retrieval.report import data_uri
from retrieval.search import Match, percent

SHOWN_SIDE = 480  # pixels
OVERLAY_SIDE = 224
# From cold to hot, transparent where a place adds nothing.
WARM = np.array([[255, 190, 60], [235, 60, 40]], np.float32)


def why(
    embedder: Embedder,
    part: Part,
    pixels: Pixels,
    asked_jpeg: bytes,
    match: Match,
    openable: bool,
) -> str:
    """Lay out the two pictures side by side, warm where they resemble each other.

    Args:
        part: the picture of the query that is explained.
        pixels: what the network sees of it and of the match, `(2, side, side, 3)`.
        asked_jpeg: the former as it is shown.
        openable: whether the match's own file is here and may be opened.
    """
    picture = match.picture
    facts = [
        (words.FACT_LABEL, picture.label),
        (words.FACT_FILE, picture.path),
        (words.FACT_SIZE, f"{picture.width:,} × {picture.height:,}"),
        (words.FACT_TAKEN, picture.taken or ""),
        *picture.captions.items(),
    ]
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts if value
    )
    try:
        overlays, total = _overlays(embedder, pixels)
        note = words.WHY_NOTE.format(percent=percent(total), n=overlays[0].size)
    except LookalikeError as error:
        overlays, note = None, str(error)
    own = data_uri(thumbnail(open_picture(asked_jpeg).image, SHOWN_SIDE), "image/jpeg")
    theirs = thumbnail_address(match.key, picture)
    figures = "".join(
        f'<figure><div class="lk-heat"><img src="{escape(address)}" alt="">'
        + (f'<img src="{_heat(overlays[i])}" alt="" class="lk-warm">' if overlays else "")
        + f"</div><figcaption>{escape(caption)}</figcaption></figure>"
        for i, (address, caption) in enumerate(((own, part.name), (theirs, name_of(picture))))
    )
    link = ""
    if openable:
        address = f"originals/{match.key}/{picture.id}"
        link = (
            f'<p><a href="{escape(address)}" target="_blank" rel="noopener">'
            f"{escape(words.OPEN_ORIGINAL)}</a></p>"
        )
    # The page closes it by taking it away, and Gradio shows only what differs from the time before.
    now = time.monotonic_ns()
    return (
        f'<div class="lk-why" data-at="{now}" role="dialog" aria-modal="true" '
        f'aria-label="{escape(words.WHY)}">'
        f'<div class="lk-card"><div class="lk-head"><h2>{escape(words.WHY)}</h2>'
        f'<button type="button" class="lk-back" data-close="1">{escape(words.CLOSE)}</button></div>'
        f'<div class="lk-pair">{figures}</div><p>{escape(note)}</p><dl>{rows}</dl>{link}'
        "</div></div>"
    )


def _overlays(embedder: Embedder, pixels: Pixels) -> tuple[tuple[Matrix, Matrix], float]:
    """Return what each place of either picture adds, and their similarity."""
    if not isinstance(embedder.extractor, OnnxExtractor):
        raise LookalikeError(words.WHY_NOT)
    features, maps = embedder.extractor.extract_with_map(pixels)
    vectors = embedder.project(features)
    asked = explain(embedder, maps[0], vectors[1])
    found = explain(embedder, maps[1], vectors[0])
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

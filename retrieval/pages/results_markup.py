"""The HTML of the search page: every text in it is escaped, every address is one of our own.

A button tells what it does by `data-do`; `page.js` hands its other data on to the handlers.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from types import MappingProxyType

from PIL import Image

from retrieval.building import Building
from retrieval.captions import pretty
from retrieval.confidence import Confidence
from retrieval.gallery import EXACT
from retrieval.images import open_picture, thumbnail
from retrieval.pages import words
from retrieval.pages.asking import ORDERS, Asked, Part
from retrieval.pages.markup import (
    duration,
    name_of,
    notice,
    original_address,
    thumbnail_address,
)
from retrieval.pages.parts import picture_of
from retrieval.records import PictureRecord
from retrieval.report import data_uri
from retrieval.search import Found, Match, percent

TOLD_SECONDS = 60  # for which the search page says how a building ended

LOOK_SIGN = (  # two arrows away from each other
    '<svg viewBox="0 0 16 16" aria-hidden="true">'
    '<path d="M9.5 3H13v3.5M13 3 9 7M6.5 13H3V9.5M3 13l4-4"></path></svg>'
)

Shown = tuple[str, PictureRecord]  # the key of a collection, and a picture in it
Names = Mapping[str, str]  # of collections, by their keys
NO_NAMES: Names = MappingProxyType({})


def results(
    found: Found, asked: Asked, address: str, order: str = "", names: Names = NO_NAMES
) -> str:
    """Lay out results, at least one, with a line where the good matches end.

    Args:
        order: one of `asking.ORDERS`, where they stand in another one than by similarity.
        names: what the collections are called, where several are searched.
    """
    wanted = sum(part.wanted for part in asked.parts)
    if wanted > 1:
        subject = words.LIKE_SEVERAL.format(n=wanted)
    elif asked.upload and asked.upload.wanted:
        subject = words.LIKE_YOURS
    else:
        subject = words.LIKE_NAMED.format(name=next(p.name for p in asked.parts if p.wanted))
    heading, spoken = words.RESULTS, words.SPOKEN
    alone = asked.parts[0] if len(asked.parts) == 1 else None
    same = alone.sha256 if alone and not (alone.quarters or alone.crop) else ""
    tiles = [_result(match, names, same) for match in found.matches]
    if order:
        heading, spoken = words.RESULTS_ORDERED, words.SPOKEN_ORDERED
        said = words.ORDERS[1 + ORDERS.index(order)].lower()
        subject = words.ORDERED.format(subject=subject, order=said)
    else:
        # Each collection has a measure of its own, so among those of several a good match may stand
        # behind others: none is below the line.
        # Where nothing is similar, the line is drawn below what is loosely related.
        least = max(Confidence.LOOSE, min(Confidence.SIMILAR, found.confidence))
        is_good = [match.confidence >= least for match in found.matches]
        end = len(is_good) - is_good[::-1].index(True) if any(is_good) else 0
        if 0 < end < len(tiles):
            line = f'<li class="lk-divider"><span>{escape(words.DIVIDER)}</span></li>'
            tiles.insert(end, line)
    notice = ""
    if found.confidence == Confidence.NONE:
        notice = f'<p class="lk-none">{escape(words.NOTHING_MATCHES)}</p>'
    unlike = ", ".join(part.name for part in asked.parts if not part.wanted)
    told = words.SPOKEN_UNLIKE.format(subject=subject, names=unlike) if unlike else subject
    spoken = spoken.format(
        pictures=words.pictures(len(found.matches)),
        subject=told,
        first=name_of(found.matches[0].picture),
        sure=_sure(found.matches[0], same),
    )
    if notice:
        spoken = f"{words.NOTHING_MATCHES} {spoken}"
    about = _chips(asked) + _cleaned(asked) + notice
    head = _head(heading, subject, closable=True, address=address, alone=alone)
    return head + _gallery(about, spoken, heading, tiles)


def browse(pictures: Iterable[Shown], address: str, names: Names = NO_NAMES) -> str:
    """Lay out pictures of the collections, to begin with."""
    tiles = [
        _tile(
            key,
            picture,
            "",
            _spoken(picture),
            _action("look", words.LOOK, LOOK_SIGN, key, picture),
            name=names.get(key, ""),
        )
        for key, picture in pictures
    ]
    head = _head(words.BROWSE, words.BROWSE_HINT, closable=False, address=address)
    return head + _gallery("", "", words.BROWSE, tiles)


def _gallery(about: str, spoken: str, name: str, tiles: Sequence[str]) -> str:
    """Lay out tiles below what is to be said about them.

    Gradio changes a page's markup element by element, by their places: with the same elements in
    every gallery the focus stays where it is, and a screen reader tells what is new.
    """
    tiles_of = f'<ol class="lk-grid" role="list" aria-label="{escape(name)}">{"".join(tiles)}</ol>'
    return _below_head(about, spoken) + tiles_of


def _below_head(about: str, spoken: str) -> str:
    """Lay out what is said about an answer, and what is read aloud of it.

    That stands in the same place in every answer: a screen reader hears only of what changes there.
    """
    return f'<div>{about}</div><p class="lk-sr" role="status">{escape(spoken)}</p>'


def examples(pictures: Iterable[Shown]) -> str:
    """Lay out a few small pictures to try."""
    buttons = "".join(
        f'<button type="button" {_doing("pick", key, picture)} '
        f'aria-label="{escape(_spoken(picture))}">'
        f'<img src="{escape(thumbnail_address(key, picture))}" alt="" loading="lazy"></button>'
        for key, picture in pictures
    )
    if not buttons:
        return ""
    return (
        f'<p class="lk-label">{escape(words.EXAMPLES)}</p><div class="lk-examples">{buttons}</div>'
    )


def none_found(asked: Asked, title: str, body: str, address: str, filtered: bool = False) -> str:
    """Say kindly that there is no result, with what was asked and the ways on.

    Args:
        filtered: the filters leave nothing, and can be taken off.
    """
    ways = [("unfilter", words.NO_FILTERS)] if filtered else []
    ways += [("back", words.BACK)] if asked.parts else []
    buttons = " ".join(
        f'<button type="button" class="lk-back" data-do="{what}">{escape(said)}</button>'
        for what, said in ways
    )
    about = _chips(asked) + _cleaned(asked) if asked.parts else ""
    return (
        f'<div data-address="{escape(address)}"></div>{_below_head(about, f"{title}. {body}")}'
        f'<div class="lk-empty"><h2 tabindex="-1">{escape(title)}</h2>'
        f"<p>{escape(body)}</p><p>{buttons}</p></div>"
    )


def truth(
    name: str, embedder: str, provider: str, compared: int, found: Found | None = None
) -> str:
    """Say what computed the results, over how many pictures, and how long it took."""
    counted = words.pictures(compared)
    text = words.TRUTH.format(name=name, compared=counted)
    how = words.TRUTH_HOW.format(embedder=embedder, provider=provider)
    if found:
        times = found.timings
        text = words.TRUTH_FOUND.format(name=name, compared=counted, total=round(times.total))
        if found.method != EXACT:
            text += f", {found.method}"
        how += words.TRUTH_STEPS.format(
            method=found.ranked,
            decoding=round(times.decoding),
            features=round(times.features),
            ranking=round(times.ranking),
        )
    # What only experts read is there for them, folded away.
    return (
        f'<div class="lk-truth">{escape(text)}<details><summary>{escape(words.TRUTH_TITLE)}'
        f"</summary>{escape(how)}</details></div>"
    )


def building(state: Building, name: str, now: float, standing: bool = False) -> str:
    """Say how the building of a collection stands, with a bar while it goes on.

    That it is done goes with the next search, which finds what is new.

    Args:
        standing: whether what was found before that stands beside it.
    """
    step = state.step
    if state.outdated or (state.finished and now - state.ended > TOLD_SECONDS):
        return ""  # the card under "My pictures" still says it
    name = f"\u2068{name}\u2069"  # Hebrew or Arabic in it would turn the sentence around
    if state.problem:
        return notice(state.problem, None)
    old = state.returning >= step.total and not step.unreadable
    if state.finished and (state.cancelled or old):
        return ""  # nothing was new, so there is nothing to tell
    if state.finished:
        text = words.BUILT_UNREADABLE if step.unreadable else words.BUILT
        text = text if step.ready else words.BUILT_NONE_READABLE
        text = text.format(
            name=name,
            new=words.pictures(step.ready),
            unreadable=f"{step.unreadable:,}",
            files=words.files(step.unreadable),
        )
        told = notice(text, None)
        return told if standing else f'<div class="lk-built">{told}</div>'
    if not step.total:
        return notice(words.BUILDING_SCAN.format(name=name), None)
    left = state.seconds_left(now)
    text = words.BUILDING.format(
        name=name,
        done=f"{state.done:,}",
        pictures=words.pictures(state.total),
        left="" if left is None else words.BUILDING_LEFT.format(time=duration(left)),
    )
    return notice(text, state.done / state.total)


def script_words() -> str:
    """Hand the scripts their words."""
    return (
        f'<span id="lk-words" hidden data-crop="{escape(words.CROP_HINT)}" '
        f'data-crop-draw="{escape(words.CROP_DRAW)}" '
        f'data-crop-start="{escape(words.CROP_START)}" '
        f'data-crop-keys="{escape(words.CROP_KEYS)}" '
        f'data-crop-box="{escape(words.CROP_BOX)}" '
        f'data-crop-spoken="{escape(words.CROP_SPOKEN)}" '
        f'data-reset="{escape(words.CROP_RESET)}" '
        f'data-turn="{escape(words.TURN)}" '
        f'data-below="{escape(words.CROP_BELOW)}" '
        f'data-camera="{escape(words.CAMERA_START)}" '
        f'data-lost="{escape(words.LOST)}" '
        f'data-unreachable="{escape(words.UNREACHABLE)}" '
        f'data-late="{escape(words.LATE)}" '
        f'data-wrong="{escape(words.WENT_WRONG)}" '
        f'data-look-place="{escape(words.LOOK_PLACE)}" '
        f'data-drop="{escape(words.DROP_TOUCH)}" '
        f'data-send="{escape(words.WEB_ADDRESS_SEND)}"></span>'
    )


def _head(
    heading: str, subject: str, closable: bool, address: str, alone: Part | None = None
) -> str:
    """Lay out a heading, beside the picture `alone` that is searched with, if it lies here."""
    query = ""
    if alone and alone.placed:  # an upload is seen where it was dropped
        key, id_ = alone.placed
        spoken = f"{words.LOOK}: {alone.name}"
        query = (
            f'<button type="button" data-do="look" data-key="{escape(key)}" data-id="{id_}" '
            f'title="{escape(words.LOOK)}" aria-label="{escape(spoken)}">'
            f'<img src="{escape(alone.address)}" alt=""></button>'
        )
    close = (
        f'<button type="button" class="lk-back" data-do="back">{escape(words.BACK)}</button>'
        if closable
        else ""
    )
    return (
        f'<div class="lk-head" data-address="{escape(address)}">'
        f'<span class="lk-query">{query}</span>'
        f'<h2 tabindex="-1">{escape(heading)} <span>{escape(subject)}</span></h2>{close}</div>'
    )


def _chips(asked: Asked) -> str:
    """Show what the query is made of, each with a button that takes it away."""
    chips = []
    for part in asked.parts:
        key, id_ = part.placed or ("", part.token)
        name = part.name + (f" ({words.CROPPED})" if part.crop else "")
        text = name if part.wanted else words.CHIP_UNLIKE.format(name=name)
        chips.append(
            f'<li class="lk-chip{"" if part.wanted else " lk-unlike"}">'
            f'<img src="{escape(part.address)}" alt=""><span>{escape(text)}</span>'
            f'<button type="button" data-do="remove" data-key="{escape(key)}" data-id="{id_}" '
            f'aria-label="{escape(words.CHIP_REMOVE.format(name=name))}">×</button></li>'
        )
    lone = asked.parts[0] if len(asked.parts) == 1 else None
    if lone and lone.placed:
        # It becomes an upload, on which a box can be drawn; only the owner gets the whole file.
        address = escape(original_address(*lone.placed))
        chips.append(
            f'<li><button type="button" class="lk-back" data-part="{address}?part=1" '
            f'data-small="{escape(lone.address)}">{escape(words.PART_OF_IT)}</button></li>'
        )
    return (
        f'<ul class="lk-chips" role="list" aria-label="{escape(words.CHIPS)}">{"".join(chips)}</ul>'
    )


def _cleaned(asked: Asked) -> str:
    """Show an upload that was cleaned up beside what it was."""
    upload = asked.upload
    if upload is None or not upload.treated:
        return ""
    figures = "".join(
        f'<figure><img src="{_small(image)}" alt="">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for image, caption in (
            (picture_of(upload), words.BEFORE),
            (open_picture(upload.treated).image, words.AFTER),
        )
    )
    return f'<div class="lk-cleaned">{figures}<p>{escape(words.CLEANED)}</p></div>'


def _result(match: Match, names: Names, same: str) -> str:
    """Lay out a result; `same` is the hash of the file that is searched with, or ""."""
    share = percent(match.similarity)
    sure = _sure(match, same)
    score = (
        f'<span class="lk-bar"><i style="width:{share}%"></i></span>'
        f'<span class="lk-score">{share} %</span><span class="lk-sure">{escape(sure)}</span>'
    )
    picture = match.picture
    name, label = name_of(picture), _spoken_kind(picture)
    spoken = words.TILE.format(name=name, label=label, percent=share, sure=sure)
    actions = "".join(
        _action(what, title, sign, match.key, picture)
        for what, title, sign in (
            ("more", words.ADD_MORE, "+"),
            ("less", words.ADD_LESS, "−"),
            ("why", words.WHY_DETAILS, "?"),
        )
    )
    copies = ""
    if match.copies:
        text = words.COPIES.format(n=f"{len(match.copies) + 1:,}")
        copies = (
            f'<button type="button" class="lk-copies" {_doing("copies", match.key, picture)} '
            f'aria-label="{escape(words.COPIES_OPEN.format(copies=text, name=name))}">'
            f"{escape(text)}</button>"
        )
    return _tile(match.key, picture, score, spoken, actions, copies, names.get(match.key, ""))


def _sure(match: Match, same: str) -> str:
    is_same = match.picture.sha256 == same
    return words.SAME_FILE if is_same else words.CONFIDENCE[match.confidence]


def _tile(
    key: str,
    picture: PictureRecord,
    score: str,
    spoken: str,
    actions: str = "",
    copies: str = "",
    name: str = "",
) -> str:
    """Lay out a picture; `name` is that of its collection, where it is to be told."""
    where = f'<span class="lk-where">{escape(name)}</span>' if name else ""
    label = f'<span class="lk-kind">{escape(pretty(picture.label))}</span>' if picture.label else ""
    actions = f'<span class="lk-actions">{actions}</span>' if actions else ""
    return (
        f'<li class="lk-tile"><button type="button" class="lk-pick" '
        f'{_doing("pick", key, picture)} aria-label="{escape(spoken)}">'
        f'<img src="{escape(thumbnail_address(key, picture))}" alt="" loading="lazy" '
        f'width="{picture.width}" height="{picture.height}">'
        f'<span class="lk-more" aria-hidden="true">{escape(words.MORE_LIKE_THIS)}</span>'
        f"</button>{copies}{actions}"
        f'<div class="lk-caption">{score}<span class="lk-line">{label}'
        f'<span class="lk-name" title="{escape(picture.path)}">{escape(name_of(picture))}</span>'
        f'<span class="lk-size">{picture.width} × {picture.height}</span>'
        f"</span>{where}</div></li>"
    )


def _action(what: str, title: str, sign: str, key: str, picture: PictureRecord) -> str:
    """Lay out a round button that lies on a picture; `sign` is markup."""
    return (
        f'<button type="button" {_doing(what, key, picture)} title="{escape(title)}" '
        f'aria-label="{escape(f"{title}: {name_of(picture)}")}">{sign}</button>'
    )


def _doing(what: str, key: str, picture: PictureRecord) -> str:
    return f'data-do="{what}" data-key="{escape(key)}" data-id="{picture.id}"'


def _spoken(picture: PictureRecord) -> str:
    return words.TILE_BROWSE.format(name=name_of(picture), label=_spoken_kind(picture))


def _spoken_kind(picture: PictureRecord) -> str:
    """Return what follows a picture's name where it is read out: its kind, as the tile shows it."""
    return f", {pretty(picture.label)}" if picture.label else ""


def _small(image: Image.Image) -> str:
    return data_uri(thumbnail(image, 160), "image/jpeg")

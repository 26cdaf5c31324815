"""What a visitor asks for, and how it stands in the page's address.

The address holds everything but the pixels of an upload, so that a link or the back button brings
the same results. An upload is named in it by a hash, under which the visitor's own page keeps it,
and for a while their browser has it (`retrieval.pages.recent`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

import numpy as np
import numpy.typing as npt

from retrieval.embedding import Aspects
from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.query import NO_FILTERS, SHAPES, SUBJECT_ONLY, Filters, Weights
from retrieval.search import Placed

NOTHING = Aspects(*(np.zeros((1, 0), np.float32) for _ in range(3)))
KEPT_UPLOADS = 6  # for the back button
KEPT_BYTES = 3 * 2**20  # of them in all, the latest excepted: there may be a thousand pages
# Pictures of a query. Each takes up to 600 characters of its address, where a collection has a long
# Chinese name, and servers and chats do not take an address of any length.
MOST_PARTS = 24
ORDERS = ("newest", "oldest", "name", "kind", "folder")
Cleaning = Literal["auto", "always", "never"]
CLEANINGS: tuple[Cleaning, ...] = ("auto", "always", "never")
Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of the picture


@dataclass(frozen=True)
class Part:
    """One picture that a query is made of."""

    name: str
    address: str = ""  # of its thumbnail
    aspects: Aspects = NOTHING  # one row each
    wanted: bool = True  # the results are to be like it; False: unlike it
    placed: Placed | None = None  # where it lies in a collection; None for an upload
    token: str = ""  # of an upload
    sha256: str = ""  # of its file
    jpeg: bytes = b""  # of an upload, at a size that bears cropping
    quarters: int = 0  # by which an upload is turned clockwise: 0, 1, 2 or 3
    crop: Box | None = None  # what of it counts, as shares of the turned picture
    pixels: npt.NDArray[np.uint8] | None = None  # (side, side, 3), of an upload, as searched with
    treated: bytes = b""  # of an upload that was cleaned up: what was searched with, as a JPEG
    previewed: bool = False  # an upload that the page has shown since it was sent
    # An upload as it came, all of it, and how it was cleaned up then: the kept JPEG is another one.
    first: "tuple[Part, Cleaning] | None" = None

    @property
    def what(self) -> Placed | str:
        """What tells it from the others of a query."""
        return self.placed or self.token

    @property
    def bytes(self) -> int:
        """How much memory its pictures take."""
        others = self.first[0] if self.first else self
        pixels = {id(one): one.nbytes for one in (self.pixels, others.pixels) if one is not None}
        treated = {id(one): len(one) for one in (self.treated, others.treated)}
        return len(self.jpeg) + sum(treated.values()) + sum(pixels.values())


@dataclass(frozen=True)
class Options:
    """How to search, beside what for."""

    choice: str = ""  # the key of a collection; "" for all
    count: int = 24
    weights: Weights = SUBJECT_ONLY
    filters: Filters = NO_FILTERS
    order: str = ""  # of the results; one of ORDERS, "" for the most similar first
    cleaning: Cleaning = "auto"  # of an upload, before it is searched with


PLAIN = Options()


@dataclass(frozen=True)
class Asked:
    """The query as it stands on one visitor's page."""

    parts: tuple[Part, ...] = ()
    uploads: tuple[Part, ...] = ()  # the latest first
    arrived: bool = False  # whether the page has been filled yet

    @property
    def placed(self) -> frozenset[Placed]:
        """Those of its pictures that lie in a collection."""
        return frozenset(part.placed for part in self.parts if part.placed)

    @property
    def upload(self) -> Part | None:
        """The uploaded picture in it, if there is one."""
        return next((part for part in self.parts if part.token), None)

    def only(self, part: Part) -> "Asked":
        """Ask for pictures like this one alone."""
        return replace(self.keeping(part), parts=(part,), arrived=True)

    def adding(self, part: Part) -> "Asked":
        """Ask for pictures like, or unlike, this one too.

        It takes the place of an earlier wish about it, since there is one upload at most, and its
        chip is not to slip from under a pointer.

        Raises:
            LookalikeError: when they are too many for the address.
        """
        kept = self.keeping(part)
        for place, other in enumerate(self.parts):
            if (part.placed and other.placed == part.placed) or (part.token and other.token):
                return replace(kept, parts=(*self.parts[:place], part, *self.parts[place + 1 :]))
        if len(self.parts) >= MOST_PARTS:
            raise LookalikeError(words.MOST_PICTURES.format(n=MOST_PARTS))
        return replace(kept, parts=(*self.parts, part))

    def keeping(self, part: Part) -> "Asked":
        """Keep a part for the back button, where it is an upload."""
        if not part.token:
            return self
        kept, room = [part], KEPT_BYTES - part.bytes
        for upload in self.uploads:
            if upload.token != part.token and len(kept) < KEPT_UPLOADS and upload.bytes <= room:
                kept.append(upload)
                room -= upload.bytes
        return replace(self, uploads=tuple(kept))

    def emptied(self) -> "Asked":
        """Ask for nothing, and keep the uploads for the back button."""
        return replace(self, parts=(), arrived=True)

    def without(self, what: Placed | str) -> "Asked":
        """Take the picture away of which `Part.what` is this."""
        return replace(self, parts=tuple(part for part in self.parts if part.what != what))


@dataclass(frozen=True)
class Wish:
    """One picture that an address names: one of a collection, or an upload."""

    placed: Placed | None = None
    wanted: bool = True
    token: str = ""
    quarters: int = 0  # by which an upload is turned
    crop: Box | None = None


@dataclass(frozen=True)
class Address:
    """What an address asks for, before any of it is looked up."""

    parts: tuple[Wish, ...] = ()
    options: Options = PLAIN
    of_all: bool = False  # it says that all collections are searched, and not only no other


def write_address(asked: Asked, options: Options) -> str:
    """Return the query string, from "?" on, of a query and its options."""
    # Also where it is "", for all: an address without it leads to the first collection.
    pairs = [("in", options.choice)]
    for part in asked.parts:
        if part.placed:
            pairs.append(("like" if part.wanted else "unlike", "{}:{}".format(*part.placed)))
        else:
            pairs.append(("upload", part.token))
            if part.quarters:
                pairs.append(("turn", str(part.quarters)))
            if part.crop:
                pairs.append(("crop", "-".join(f"{share:.3f}" for share in part.crop)))
    weights, filters = options.weights, options.filters
    if weights != PLAIN.weights:
        shares = (weights.subject, weights.colour, weights.texture)
        pairs.append(("match", "-".join(f"{share:g}" for share in shares)))
    if options.count != PLAIN.count:
        pairs.append(("n", str(options.count)))
    for name, value in (
        ("order", options.order),
        ("clean", options.cleaning if options.cleaning != PLAIN.cleaning else ""),
        ("label", filters.label),
        ("folder", filters.folder),
        ("shape", filters.shape),
        ("mp", write_megapixels(filters.megapixels)),
        ("since", filters.since),
        ("until", filters.until),
        ("words", filters.words),
    ):
        if value:
            pairs.append((name, value))
    return "?" + urlencode(pairs)


def read_address(query: str) -> Address:
    """Read a query string back; what is not understood is left out, as one does with a link."""
    pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)

    def first(name: str) -> str:
        return next((value for key, value in pairs if key == name), "")

    shares = _numbers(first("match"), 3)
    weights = Weights.bounded(*shares) if shares else PLAIN.weights
    count = _numbers(first("n"), 1)
    filters = Filters(
        label=first("label"),
        folder=first("folder"),
        shape=first("shape") if first("shape") in SHAPES else "",
        megapixels=read_megapixels(first("mp")) or 0.0,
        since=read_date(first("since")),
        until=read_date(first("until")),
        words=first("words")[:100],
    )
    return Address(
        parts=_wishes(pairs)[:MOST_PARTS],
        options=Options(
            first("in"),
            int(count[0]) if count else PLAIN.count,
            weights if weights.total else PLAIN.weights,
            filters,
            first("order") if first("order") in ORDERS else "",
            next((mode for mode in CLEANINGS if mode == first("clean")), PLAIN.cleaning),
        ),
        of_all=next((not value for name, value in pairs if name == "in"), False),
    )


def read_date(text: Any) -> str:
    """Return a date that can be compared with EXIF's, or "" for what is none."""
    written = text.strip() if isinstance(text, str) else ""
    found = re.fullmatch(r"(\d{4})(?:[-./](\d\d?)(?:[-./](\d\d?))?)?", written, re.ASCII)
    parts = found.groups() if found else ()
    if from_day := re.fullmatch(r"(\d\d?)\.(\d\d?)\.(\d{4})", written, re.ASCII):
        parts = from_day.groups()[::-1]
    numbers = [int(part) for part in parts if part]
    year, month, day = (*numbers, 1, 1)[:3] if numbers else (0, 0, 0)
    try:
        date(year, month, day)
    except ValueError:  # none of the calendar
        return ""
    return "-".join((f"{year:04}", *(f"{number:02}" for number in numbers[1:])))


def read_megapixels(text: Any) -> float | None:
    """Return a size such as "2.5", "2,5" or "2.5 MP"; 0 for nothing, None for what is none."""
    written = text.strip() if isinstance(text, str) else ""
    if not written:
        return 0.0
    number = re.sub(r"\s?(mp|mpx|mpix|megapixels?)$", "", written, flags=re.IGNORECASE)
    number = number.replace(",", ".")
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", number, re.ASCII):
        return None
    megapixels = round(float(number), 6)  # a millionth is one pixel
    return megapixels if megapixels < 1e6 else None


def write_megapixels(megapixels: float) -> str:
    """Write a size as `read_megapixels` reads it, "" for 0."""
    return f"{megapixels:.6f}".rstrip("0").rstrip(".") if megapixels >= 1e-6 else ""


def bounded_box(box: Sequence[float]) -> Box | None:
    """Bring a box that a browser sent into the picture; None when next to nothing is left of it."""
    left, top, right, bottom = (min(1.0, max(0.0, float(share))) for share in box)
    if right - left < 0.02 or bottom - top < 0.02:
        return None
    return (left, top, right, bottom)


def _wishes(pairs: Sequence[tuple[str, str]]) -> tuple[Wish, ...]:
    """Return the pictures that an address names, in its order, which is that of the chips."""
    wishes: list[Wish] = []
    for name, value in pairs:
        key, _, id_ = value.rpartition(":")
        # SQLite counts to some 9 * 10^18.
        is_id = id_.isascii() and id_.isdigit() and len(id_) <= 18
        if name in ("like", "unlike") and is_id:
            wishes.append(Wish((key, int(id_)), wanted=name == "like"))
        elif name == "upload" and value:
            wishes.append(Wish(token=value))
        elif name == "turn" and wishes and wishes[-1].token and value in ("1", "2", "3"):
            wishes[-1] = replace(wishes[-1], quarters=int(value))
        elif name == "crop" and wishes and wishes[-1].token and (box := _numbers(value, 4)):
            wishes[-1] = replace(wishes[-1], crop=bounded_box(box))
    return tuple(wishes)


def _numbers(text: str, n: int) -> list[float] | None:
    try:
        numbers = [float(part) for part in text.split("-")]
    except ValueError:
        return None
    return numbers if len(numbers) == n and all(abs(x) < 1e6 for x in numbers) else None

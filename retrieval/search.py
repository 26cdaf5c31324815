"""Search: a query in, its nearest neighbours in one collection or several out, exactly ranked."""

import threading
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from retrieval.collection import Collection
from retrieval.confidence import Calibration, Confidence, calibrate
from retrieval.duplicates import fold
from retrieval.embedding import Aspects, Embedder
from retrieval.errors import LookalikeError
from retrieval.images import open_picture, preprocess, scale_for
from retrieval.query import NO_FILTERS, SUBJECT_ONLY, Filters, Weights, weigh
from retrieval.ranking import Indices, rank
from retrieval.records import Embeddings, PictureRecord
from retrieval.reduction import Matrix
from retrieval.sketch import COPY

GONE = "That picture is not in the collection any more. Search again."

Placed = tuple[str, int]  # the key of a collection, and the id of a picture in it


@dataclass(frozen=True)
class Match:
    """One result: a picture of the collection and its similarity to the query."""

    picture: PictureRecord
    similarity: float  # -1 to 1: a cosine, or the weighted mean of several
    key: str = ""  # of its collection, as its searcher was called
    confidence: Confidence = Confidence.NONE
    copies: tuple[PictureRecord, ...] = ()  # near-duplicates that ranked below it


def percent(similarity: float) -> int:
    """Return a cosine similarity as people read it: 0 for anything that points away."""
    return round(100 * max(0.0, min(1.0, similarity)))


@dataclass(frozen=True)
class Timings:
    """Where the time of one search went, in milliseconds."""

    decoding: float
    features: float
    ranking: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.decoding + self.features + self.ranking


@dataclass(frozen=True)
class Found:
    """The answer to one query."""

    matches: tuple[Match, ...]  # the most similar first
    compared: int  # pictures that were ranked
    timings: Timings

    @property
    def confidence(self) -> Confidence:
        """That of the best match."""
        return max((match.confidence for match in self.matches), default=Confidence.NONE)


@dataclass(frozen=True)
class Request:
    """Everything about a search but the query itself."""

    k: int = 24
    weights: Weights = SUBJECT_ONLY
    filters: Filters = NO_FILTERS
    left_out: AbstractSet[Placed] = (
        frozenset()
    )  # pictures not to be found: those the query is made of
    folded: bool = False  # near-duplicates in one result


class Searcher:
    """A collection held ready for searching; follows the changes that others make to it."""

    def __init__(self, collection: Collection, embedder: Embedder, key: str = "") -> None:
        """Hold a collection, with a name of the caller's that its matches carry.

        Raises:
            LookalikeError: when the collection was made with another model or PCA.
        """
        collection.require(embedder)
        self.key = key
        self.collection = collection
        self.embedder = embedder
        self._lock = threading.Lock()
        self._subject: Embeddings | None = None
        self._joined: Embeddings | None = None  # all aspects side by side, once they are asked for
        self._calibrations: dict[tuple[int, Weights], Calibration] = {}

    def embeddings(self) -> Embeddings:
        """Return what the pictures show, as vectors, read anew when the collection has changed."""
        with self._lock:
            held = self._subject
            if held is None or held.revision != self.collection.revision:
                held = self._subject = self.collection.embeddings()
                self._calibrations.clear()
            return held

    def joined(self) -> Embeddings:
        """Return all aspects side by side, `(n, k + c + t)`."""
        subject = self.embeddings()
        with self._lock:
            held = self._joined
            if held is None or held.revision != subject.revision:
                colour = self.collection.embeddings("colour")
                texture = self.collection.embeddings("texture")
                if not len(subject.ids) == len(colour.ids) == len(texture.ids):
                    # Somebody changed it between the reads; the next search sees all of it.
                    raise LookalikeError("The collection has just changed. Search again.")
                vectors = np.hstack([subject.vectors, colour.vectors, texture.vectors])
                held = self._joined = replace(subject, vectors=vectors)
            return held

    def aspects(self, id_: int) -> Aspects:
        """Return the vectors of a picture of the collection, one row each.

        Raises:
            LookalikeError: when it is not in the collection any more.
        """
        subject = self.collection.embedding(id_)
        colour = self.collection.embedding(id_, "colour")
        texture = self.collection.embedding(id_, "texture")
        if subject is None or colour is None or texture is None:
            raise LookalikeError(GONE)
        return Aspects(subject, colour, texture)

    def record(self, id_: int) -> PictureRecord:
        """Return what is known of a picture of the collection.

        Raises:
            LookalikeError: when it is not in the collection any more.
        """
        records = self.collection.pictures([id_])
        if not records:
            raise LookalikeError(GONE)
        return records[0]

    def thumbnail(self, record: PictureRecord) -> bytes:
        """Return the small JPEG of a picture of the collection."""
        jpeg = self.collection.thumbnail(record.sha256)
        if jpeg is None:
            raise LookalikeError(GONE)
        return jpeg

    def calibration(self, weights: Weights = SUBJECT_ONLY) -> Calibration:
        """Return what similarities between unrelated pictures of the collection are like."""
        held = self.embeddings() if weights == SUBJECT_ONLY else self.joined()
        known = self._calibrations.get((held.revision, weights))
        if known is None:
            vectors = held.vectors
            if weights != SUBJECT_ONLY:
                vectors = vectors * self._scale(weights)
            known = self._calibrations[held.revision, weights] = calibrate(vectors)
        return known

    def find(self, query: Aspects, request: Request) -> list[Match]:
        """Rank the collection for a query of one row, and return the best of it."""
        plain = request.weights == SUBJECT_ONLY
        held = self.embeddings() if plain else self.joined()
        rows = self._rows(held, request)
        if not len(rows):
            return []
        # Copies may take places of the first k, so a few more are looked at.
        k = 2 * request.k if request.folded else request.k
        own = [id_ for key, id_ in request.left_out if key == self.key]
        vectors = held.vectors if len(rows) == len(held.ids) else held.vectors[rows]
        # What is left out is ranked along: ranking the rest alone would copy the whole matrix.
        best, similarities = rank(weigh(query, request.weights), vectors, k + len(own))
        ids = held.ids[rows[best[0]]]
        kept = np.flatnonzero(~np.isin(ids, own))[:k]
        ids, similarities = ids[kept], similarities[:, kept]
        groups = [[int(id_)] for id_ in ids]
        if request.folded:
            sketches = self.collection.vectors_of([int(id_) for id_ in ids], "sketch")
            groups = fold(ids, sketches, COPY)[: request.k]
        similarity = dict(zip(map(int, ids), map(float, similarities[0]), strict=True))
        wanted = [id_ for group in groups for id_ in group]
        records = {record.id: record for record in self.collection.pictures(wanted)}
        calibration = self.calibration(request.weights)
        matches = []
        for group in groups:
            # A picture may have been removed since the vectors were read.
            here = [id_ for id_ in group if id_ in records]
            if here:
                value = similarity[here[0]]
                matches.append(
                    Match(
                        records[here[0]],
                        value,
                        self.key,
                        calibration.judge(value),
                        tuple(records[id_] for id_ in here[1:]),
                    )
                )
        return matches

    def search_file(self, source: Path | bytes, k: int, max_pixels: int) -> Found:
        """Find the pictures most similar to a picture file.

        Raises:
            PictureError: when the file cannot be read.
        """
        started = time.perf_counter()
        how = self.embedder.card.preprocessing
        picture = open_picture(source, scale_for(how), max_pixels)
        pixels = preprocess(picture.image, how)
        decoded = time.perf_counter()
        query = self.embedder.describe_pictures(pixels[None])
        extracted = time.perf_counter()
        times = (decoded - started, extracted - decoded)
        return search([self], query, Request(k), *times)

    def search_like(self, id_: int, k: int) -> Found:
        """Find the pictures most similar to one of the collection, itself left out.

        Raises:
            LookalikeError: when the picture is not in the collection any more.
        """
        return search([self], self.aspects(id_), Request(k, left_out={(self.key, id_)}))

    def _rows(self, held: Embeddings, request: Request) -> Indices:
        """Return the rows that pass the filters."""
        allowed = np.ones(len(held.ids), bool)
        if not request.filters.empty:
            ids = np.fromiter(self.collection.matching(request.filters), np.int64)
            allowed = np.isin(held.ids, ids)
        return np.flatnonzero(allowed)

    def _scale(self, weights: Weights) -> Matrix:
        """Return the root of each number's weight, so that products of two are weighted means."""
        width = self.embedder.dimension
        rest = self.joined().vectors.shape[1] - width
        texture = self.embedder.texture.dimension if self.embedder.texture else 0
        parts = [weights.subject] * width
        parts += [weights.colour] * (rest - texture) + [weights.texture] * texture
        roots: Matrix = np.sqrt(np.asarray(parts, np.float32) / weights.total)
        return roots


def search(
    searchers: Sequence[Searcher],
    query: Aspects,
    request: Request,
    decoding: float = 0.0,
    features: float = 0.0,
) -> Found:
    """Find the pictures of one or several collections that are most similar to a query.

    Args:
        decoding, features: the seconds that making the query took, for the timings.
    """
    started = time.perf_counter()
    matches = [match for searcher in searchers for match in searcher.find(query, request)]
    # Sorting is stable: equal similarities keep the order of the collections.
    matches.sort(key=lambda match: -match.similarity)
    compared = sum(len(searcher.embeddings().ids) for searcher in searchers)
    compared -= len(request.left_out)
    ranking = time.perf_counter() - started
    timings = Timings(decoding * 1e3, features * 1e3, ranking * 1e3)
    return Found(tuple(matches[: request.k]), compared, timings)

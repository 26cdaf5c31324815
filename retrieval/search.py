"""Search: a query in, its nearest neighbours in one collection or several out."""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.cleaning import LONG_SIDE, clean_up, needs_cleaning
from retrieval.collection import Collection
from retrieval.confidence import Calibration, Confidence, calibrate
from retrieval.duplicates import fold
from retrieval.embedding import Aspects, Embedder
from retrieval.errors import LookalikeError
from retrieval.gallery import EXACT, Ranking
from retrieval.images import open_picture
from retrieval.preprocessing import preprocess, scale_for
from retrieval.query import NO_FILTERS, SUBJECT_ONLY, Filters, Weights
from retrieval.records import Embeddings, PictureRecord
from retrieval.reduction import Matrix
from retrieval.reranking import CANDIDATES, reorder
from retrieval.sketch import COPY

# Pictures that are looked at to find results that are no copies of each other: a film may have a
# million frames. So many take 0.2 s, and Milvus gives them.
DEEPEST = 3_000
KEPT = 8  # mixtures of which it is known what similarities mean
GONE = "That picture is not in the collection any more. Search again."
UNKNOWN = (
    "The data of this picture was lost. Look for changes in its collection to have it read again, "
    "or search with another one."
)

Placed = tuple[str, int]  # the key of a collection, and the id of a picture in it


@dataclass(frozen=True)
class Match:
    """One result: a picture of the collection and its similarity to the query."""

    picture: PictureRecord
    # -1 to 1: a cosine, raised where its neighbours are like the query as well (see
    # `retrieval.reranking`); with colours or texture the weighted mean of several cosines
    similarity: float
    key: str = ""  # of its collection, as its searcher was called
    confidence: Confidence = Confidence.NONE
    copies: "tuple[Match, ...]" = ()  # near-duplicates that ranked below it


def percent(similarity: float) -> int:
    """Return a similarity as people read it: 0 for anything that points away."""
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

    matches: tuple[Match, ...]  # the most similar first, unless another order is asked for
    compared: int  # pictures that were ranked, those of the query left out
    timings: Timings
    method: str = EXACT  # or "approximate, HNSW": how they were ranked
    reranked: bool = False  # whether the first `CANDIDATES` were ranked again, see `reranking`
    cleaned: bool = False  # whether the picture was cleaned up first, where the search did that

    @property
    def ranked(self) -> str:
        """Say how they were ranked."""
        again = f", then the first {CANDIDATES} with their neighbours' say" if self.reranked else ""
        return self.method + again

    @property
    def confidence(self) -> Confidence:
        """The highest of all matches, wherever that one stands."""
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

    @property
    def reranked(self) -> bool:
        """Whether the first are ranked again, see `reranking`."""
        return self.weights.subject_only


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
        self._calibrations: OrderedDict[Weights, tuple[int, Calibration]] = OrderedDict()

    def embeddings(self) -> Embeddings:
        """Return what the pictures show, as vectors, read anew when the collection has changed."""
        return self.collection.gallery.read("subject")

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
        if not subject.any():
            raise LookalikeError(UNKNOWN)
        return Aspects(subject, colour, texture)

    def record(self, id_: int) -> PictureRecord:
        """Return what is known of a picture of the collection.

        Raises:
            LookalikeError: when it is not in the collection any more.
        """
        records = self.collection.listing.pictures([id_])
        if not records:
            raise LookalikeError(GONE)
        return records[0]

    def thumbnail(self, record: PictureRecord) -> bytes:
        """Return the small JPEG of a picture of the collection.

        Raises:
            LookalikeError: when it is not there any more.
        """
        jpeg = self.collection.thumbnail(record.sha256)
        if jpeg is None:
            raise LookalikeError(GONE)
        return jpeg

    def calibration(self, weights: Weights = SUBJECT_ONLY) -> Calibration:
        """Return what similarities between unrelated pictures of the collection are like.

        Raises:
            LookalikeError: when its vectors cannot be read.
        """
        gallery = self.collection.gallery
        state, known = gallery.state(), self._calibrations.get(weights)
        if known is None or known[0] != state:
            known = state, calibrate(gallery.sample(weights), weights.subject_only)
        with self._lock:
            self._calibrations[weights] = known
            self._calibrations.move_to_end(weights)
            # An address may ask for any mixture, and a stranger for one after the other.
            while len(self._calibrations) > KEPT:
                self._calibrations.popitem(last=False)
        return known[1]

    def find(self, query: Aspects, request: Request) -> tuple[list[Match], Ranking]:
        """Rank the collection for a query of one row; return the best of it, and the ranking."""
        if request.folded:
            ranking, groups = self._rank_folded(query, request)
        else:
            ranking = self._rank(query, request, request.k)
            groups = [[int(id_)] for id_ in ranking.ids]
        if not groups:
            return [], ranking
        ids, similarities = ranking.ids, ranking.similarities
        similarity = dict(zip(map(int, ids), map(float, similarities), strict=True))
        wanted = [id_ for group in groups for id_ in group]
        records = {record.id: record for record in self.collection.listing.pictures(wanted)}
        calibration = self.calibration(request.weights)
        matches = []
        for group in groups:
            # A picture may have been removed since the vectors were read.
            here = [
                Match(records[id_], similarity[id_], self.key, calibration.judge(similarity[id_]))
                for id_ in group
                if id_ in records
            ]
            if here:
                # Of the same file several times the shortest name is rarely "Copy of ...".
                same = [one for one in here if one.picture.sha256 == here[0].picture.sha256]
                first = min(same, key=lambda one: (len(one.picture.path), one.picture.path))
                copies = tuple(one for one in here if one is not first)
                matches.append(replace(first, copies=copies))
        return matches, ranking

    def _rank(self, query: Aspects, request: Request, k: int) -> Ranking:
        """Return the `k` best pictures that are not left out."""
        own = [id_ for key, id_ in request.left_out if key == self.key]
        # What the neighbours are worth was measured for the subject.
        depth = max(k, CANDIDATES) if request.reranked else k
        # What is left out is ranked along: ranking the rest alone would copy the whole matrix.
        ranking = self.collection.gallery.search(
            query, request.weights, request.filters, depth + len(own)
        )
        kept = np.flatnonzero(~np.isin(ranking.ids, own))[:depth]
        ids, similarities = ranking.ids[kept], ranking.similarities[kept]
        if request.reranked:
            ids, similarities = self._rerank(query, ids, similarities)
        compared = ranking.compared
        if own:  # they are counted where they pass the filters
            compared -= len(self.collection.listing.matching(request.filters, own))
        return Ranking(ids[:k], similarities[:k], max(0, compared), ranking.method)

    def _rerank(
        self, query: Aspects, ids: npt.NDArray[np.int64], cosines: Matrix
    ) -> tuple[npt.NDArray[np.int64], Matrix]:
        """Rank the first of a ranking again; the others stay behind."""
        first, rest = slice(CANDIDATES), slice(CANDIDATES, None)
        vectors = self.collection.gallery.fetch(ids[first].tolist(), "subject")
        if not vectors.size:  # all of them were taken out meanwhile
            return ids, cosines
        order, similarities = reorder(query.subject, vectors, cosines[first])
        return np.append(ids[first][order], ids[rest]), np.append(similarities, cosines[rest])

    def _rank_folded(self, query: Aspects, request: Request) -> tuple[Ranking, list[list[int]]]:
        """Return the best pictures, and the ids of the first k groups of copies among them."""
        # Copies may take places of the first k, so a few more are looked at.
        depth = 2 * request.k
        while True:
            ranking = self._rank(query, request, depth)
            groups = self._fold(ranking.ids)
            is_all = len(ranking.ids) < depth
            if len(groups) >= request.k or is_all or depth >= DEEPEST:
                return ranking, groups[: request.k]
            # A burst takes the places, and the others are behind it. Few large steps, since in a
            # large collection it is ranking that takes long.
            depth = min(8 * depth, DEEPEST)

    def _fold(self, ids: npt.NDArray[np.int64]) -> list[list[int]]:
        """Group ranked pictures so that copies are together, see `fold`."""
        return fold(ids, self.collection.vectors_of([int(id_) for id_ in ids], "sketch"), COPY)

    def search_file(
        self,
        source: Path | bytes,
        k: int,
        max_pixels: int,
        filters: Filters = NO_FILTERS,
        clean: bool = True,
    ) -> Found:
        """Find the pictures most similar to a picture file.

        Args:
            clean: whether it is cleaned up first where that helps, as the page does.

        Raises:
            PictureError: when the file cannot be read.
        """
        started = time.perf_counter()
        how = self.embedder.card.preprocessing
        image = open_picture(source, max(scale_for(how), LONG_SIDE), max_pixels).image
        decoded = time.perf_counter()
        cleaned = clean and needs_cleaning(image)
        pixels = preprocess(clean_up(image) if cleaned else image, how)
        query = self.embedder.describe_pictures(pixels[None])
        extracted = time.perf_counter()
        times = (decoded - started, extracted - decoded)
        found = search([self], query, Request(k, filters=filters), *times)
        return replace(found, cleaned=cleaned)


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
    matches: list[Match] = []
    method, compared = EXACT, 0
    for searcher in searchers:
        found, ranking = searcher.find(query, request)
        matches += found
        compared += ranking.compared
        # One that is approximate makes the whole so.
        method = ranking.method if method == EXACT else method
    # Sorting is stable: equal similarities keep the order of the collections.
    matches.sort(key=lambda match: -match.similarity)
    seconds = time.perf_counter() - started
    timings = Timings(decoding * 1e3, features * 1e3, seconds * 1e3)
    return Found(tuple(matches[: request.k]), compared, timings, method, request.reranked)

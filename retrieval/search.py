"""Search: a picture or a picture of the collection in, its nearest neighbours out."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retrieval.collection import Collection, Embeddings, PictureRecord
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.images import open_picture
from retrieval.ranking import rank
from retrieval.reduction import Matrix


@dataclass(frozen=True)
class Match:
    """One result: a picture of the collection and its cosine similarity to the query."""

    picture: PictureRecord
    similarity: float  # -1 to 1
    key: str = ""  # of its collection, as its searcher was called


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
        self._embeddings: Embeddings | None = None

    def embeddings(self) -> Embeddings:
        """Return the collection's embeddings, read anew when it has changed."""
        with self._lock:
            held = self._embeddings
            if held is None or held.revision != self.collection.revision:
                held = self._embeddings = self.collection.embeddings()
            return held

    def search_file(self, source: Path | bytes, k: int, max_pixels: int) -> Found:
        """Find the pictures most similar to a picture file.

        Raises:
            PictureError: when the file cannot be read.
        """
        started = time.perf_counter()
        needed = 2 * self.embedder.card.preprocessing.resize
        picture = open_picture(source, needed, max_pixels)
        decoded = time.perf_counter()
        query = self.embedder.embed_image(picture.image)
        extracted = time.perf_counter()
        return self.search_vector(query, k, decoded - started, extracted - decoded)

    def search_vector(
        self, query: Matrix, k: int, decoding: float = 0.0, features: float = 0.0
    ) -> Found:
        """Find the pictures most similar to an embedding `(1, k)`.

        `decoding` and `features` are the seconds that making it took, for the timings.
        """
        return self._find(query, k, None, decoding, features)

    def search_like(self, id_: int, k: int) -> Found:
        """Find the pictures most similar to one of the collection, itself left out.

        Raises:
            LookalikeError: when the picture is not in the collection any more.
        """
        return self._find(self.embedding(id_), k, id_, 0.0, 0.0)

    def embedding(self, id_: int) -> Matrix:
        """Return the embedding `(1, k)` of a picture of the collection.

        Raises:
            LookalikeError: when it is not in the collection any more.
        """
        embedding = self.collection.embedding(id_)
        if embedding is None:
            raise LookalikeError("That picture is not in the collection any more. Search again.")
        return embedding

    def _find(
        self, query: Matrix, k: int, left_out: int | None, decoding: float, features: float
    ) -> Found:
        started = time.perf_counter()
        held = self.embeddings()
        rows, similarities = rank(query, held.vectors, k + (left_out is not None))
        kept = [
            (int(held.ids[row]), float(similarity))
            for row, similarity in zip(rows[0], similarities[0], strict=True)
            if held.ids[row] != left_out
        ][:k]
        records = {record.id: record for record in self.collection.pictures(id_ for id_, _ in kept)}
        # A picture may have been removed since the embeddings were read.
        matches = tuple(
            Match(records[id_], value, self.key) for id_, value in kept if id_ in records
        )
        compared = len(held.ids) - (left_out is not None)
        ranking = time.perf_counter() - started
        return Found(matches, compared, Timings(decoding * 1e3, features * 1e3, ranking * 1e3))


def search_together(
    searchers: Sequence[Searcher],
    query: Matrix,
    k: int,
    left_out: tuple[str, int] | None = None,
    decoding: float = 0.0,
    features: float = 0.0,
) -> Found:
    """Find the pictures of several collections that are most similar to an embedding `(1, k)`.

    Args:
        left_out: key and id of a picture that is not to be found, the query itself say.
        decoding, features: the seconds that making the query took, for the timings.
    """
    key, id_ = left_out or ("", None)
    parts = [
        searcher._find(query, k, id_ if searcher.key == key else None, 0.0, 0.0)
        for searcher in searchers
    ]
    matches = [match for part in parts for match in part.matches]
    matches.sort(key=lambda match: -match.similarity)
    ranking = sum(part.timings.ranking for part in parts)
    return Found(
        tuple(matches[:k]),
        sum(part.compared for part in parts),
        Timings(decoding * 1e3, features * 1e3, ranking),
    )

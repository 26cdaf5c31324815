"""A gallery on Milvus: a `.db` file (Milvus Lite), a server, a cluster, or a hosted one.

Each aspect is a vector field of its own, with cosine as the metric. A query for one aspect is
answered by that field's index. One for a mixture takes the nearest pictures of each aspect, looks
up what is missing of them, and ranks them by the weighted mean; by the bound of the threshold
algorithm (Fagin, Lotem and Naor 2001, "Optimal aggregation algorithms for middleware") it knows
whether any other picture could have been among them, and looks further down until none can.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from retrieval.embedding import Aspects
from retrieval.errors import LookalikeError
from retrieval.gallery import EXACT, RANKED, Described, Ranking
from retrieval.milvus_access import (
    SECONDS,
    MilvusAwayError,
    MilvusError,
    Place,
    connect,
    explained,
    is_away,
    need_file,
)
from retrieval.milvus_kinds import (
    KINDS,
    LITE,
    index_of,
    method_of,
    search_parameters,
    suitable,
)
from retrieval.milvus_layout import condition_of, design, row_of
from retrieval.query import NO_FILTERS, Filters, Weights, balance
from retrieval.records import Aspect, Embeddings, PictureRecord
from retrieval.reduction import Matrix

NOT_LOADED = 101  # Milvus' code for it
# Until it has written what it was sent: with some 100,000 vectors, Milvus Lite now and then stops
# for more than ten seconds to put its files together.
WRITING_SECONDS = 300.0
LOADING_SECONDS = 600.0  # until everything that is there has been counted or named
# Until an index is built and in memory: Milvus Lite takes most of an hour for a million pictures. A
# server that goes away meanwhile is noticed sooner, since the connection is looked after.
INDEXING_SECONDS = 24 * 3600.0
BATCH = 1_000  # vectors in one request
MOST = 16_384  # results that Milvus gives at once
DEEPEST = 4_096  # of each aspect, that a mixture looks at
WORDED = 10_000  # ids in one filter
LARGEST = 200_000  # pictures whose vectors are read into memory at once
SAMPLE = 2_000  # pictures that similarities of unrelated ones are measured on


class Records(Protocol):
    """What a gallery asks of the pictures' records, of `retrieval.listing.Listing`."""

    def count(self) -> tuple[int, int]:
        """Return how many pictures there are, and how many could not be read."""
        ...

    def ids(self) -> list[int]:
        """Return all ids, in the order of the paths."""
        ...

    def sample(self, n: int) -> list[PictureRecord]:
        """Return pictures from all over."""
        ...

    def matching(self, filters: Filters) -> list[int]:
        """Return the ids of the pictures that pass the filters."""
        ...


class MilvusGallery:
    """The vectors of a collection in Milvus; safe to use from several threads."""

    def __init__(
        self,
        place: Place,
        owner: str,
        fingerprint: str,
        records: Records,
        is_new: bool = False,
    ) -> None:
        """Use a place; connects when it is first asked for something.

        Args:
            owner: whose vectors they are: the collection's own identity.
            fingerprint: of the embedder that made them.
            records: what is known of the pictures beside their vectors.
            is_new: whether a file that is not there may be made.
        """
        self.place = place
        self._stamp = {"owner": owner, "fingerprint": fingerprint}
        self._records = records
        self._is_new = is_new
        self._lock = threading.RLock()
        self._client: Any = None
        self._kinds: dict[Aspect, str] = {}  # of index, by the aspects that are kept
        self._widths: dict[Aspect, int] = {}

    # What every gallery does.

    def add(self, pictures: Sequence[Described]) -> None:
        """Take pictures in, or replace them, by their ids."""
        if not pictures:
            return
        if not self.exists():
            self.create({aspect: len(vector) for aspect, vector in pictures[0].vectors.items()})
        rows = [row_of(picture, self._widths) for picture in pictures]
        for start in range(0, len(rows), BATCH):
            self._ask("upsert", WRITING_SECONDS, data=rows[start : start + BATCH])

    def remove(self, ids: Sequence[int]) -> None:
        """Forget pictures."""
        if ids and self.exists():
            for start in range(0, len(ids), BATCH):
                self._ask("delete", WRITING_SECONDS, ids=list(ids[start : start + BATCH]))

    def count(self) -> int:
        """Return how many pictures are there, by now."""
        if not self.exists():
            return 0
        # Milvus Lite looks at every picture for it: 100,000 take longer than a search may.
        counted = self._ask(
            "query",
            LOADING_SECONDS,
            filter="",
            output_fields=["count(*)"],
            consistency_level="Strong",
        )
        return int(counted[0]["count(*)"])

    def search(self, query: Aspects, weights: Weights, filters: Filters, k: int) -> Ranking:
        """Rank the pictures that pass the filters by the weighted mean of their cosines.

        Raises:
            LookalikeError: when Milvus cannot be asked, or does not give so many at once.
        """
        if k > MOST:
            raise LookalikeError(f"Milvus gives at most {MOST:,} pictures at once. Ask for less.")
        if not self.exists():
            return Ranking(np.empty(0, np.int64), np.empty(0, np.float32), 0)
        conditions = [condition_of(filters)]
        if filters.words:
            # What captions say is known to the records alone.
            ids = self._records.matching(filters)
            some = [ids[start : start + WORDED] for start in range(0, len(ids), WORDED)]
            conditions = [" and ".join(filter(None, (*conditions, f"id in {s}"))) for s in some]
        wanted: dict[Aspect, tuple[float, Matrix]] = {}
        for aspect in RANKED:
            weight, vector = getattr(weights, aspect), getattr(query, aspect)
            if weight and aspect in self._widths and vector.any():
                wanted[aspect] = weight / weights.total, vector[0]
        if not wanted:  # nothing of what was asked for is kept, or known of the query
            return Ranking(np.empty(0, np.int64), np.empty(0, np.float32), 0)
        if len(wanted) == 1:
            ((aspect, (share, vector)),) = wanted.items()
            found, similarities = self._nearest(aspect, vector, conditions, k)
            method = method_of(self._kinds[aspect])
            return Ranking(found, share * similarities, self._passing(filters), method)
        return self._mix(wanted, conditions, k, self._passing(filters))

    def widths(self) -> dict[Aspect, int]:
        """Return how many numbers each aspect has that is kept."""
        return dict(self._widths) if self.exists() else {}

    def fetch(self, ids: Sequence[int], aspect: Aspect) -> Matrix:
        """Return vectors `(n, k)`; zeros where a picture or its aspect is not known.

        Raises:
            ValueError: for an aspect that is kept with the records.
            LookalikeError: when Milvus does not answer.
        """
        if aspect not in RANKED:
            raise ValueError(f"{aspect} is kept with the records")
        if not self.exists() or aspect not in self._widths:
            return np.zeros((len(ids), 0), np.float32)
        vectors = np.zeros((len(ids), self._widths[aspect]), np.float32)
        for start in range(0, len(ids), BATCH):
            some = [int(id_) for id_ in ids[start : start + BATCH]]
            rows = self._ask("get", ids=some, output_fields=["id", aspect])
            found = {row["id"]: row[aspect] for row in rows}
            for at, id_ in enumerate(some, start):
                if id_ in found:
                    vectors[at] = found[id_]
        return vectors

    def read(self, aspect: Aspect) -> Embeddings:
        """Return all vectors of an aspect, in the order of the paths.

        Raises:
            LookalikeError: when they are too many, or Milvus does not answer.
        """
        count, _ = self._records.count()
        if count > LARGEST:
            raise LookalikeError(
                f"This takes the vectors of all {count:,} pictures into memory, and works for "
                f"up to {LARGEST:,}. Make a collection of a part of them for it."
            )
        ids = self._records.ids()
        return Embeddings(np.asarray(ids, np.int64), self.fetch(ids, aspect), -1)

    def state(self) -> int:
        """Return a number that changes when the number of pictures doubles."""
        return self._records.count()[0].bit_length()

    def sample(self, weights: Weights) -> Matrix:
        """Return vectors of some pictures, weighted so that two multiply to a weighted mean."""
        ids = [picture.id for picture in self._records.sample(SAMPLE)]
        parts = [self.fetch(ids, aspect) for aspect in RANKED]
        sample: Matrix = np.hstack(parts) * balance(weights, [part.shape[1] for part in parts])
        return sample

    # What only Milvus has.

    def exists(self) -> bool:
        """Whether there is such a collection there, and it is ours.

        Raises:
            MilvusError: when it is another one's, or made with another model.
        """
        with self._lock:
            if self._widths:
                return True
            if not self._ask("has_collection"):
                return False
            about = self._ask("describe_collection")
            self._require(about)
            fields = {field["name"]: field for field in about["fields"]}
            widths = {a: int(fields[a]["params"]["dim"]) for a in RANKED if a in fields}
            indexed = self._ask("list_indexes")
            if lacking := [aspect for aspect in widths if aspect not in indexed]:
                # Whoever made it, or gave it another index, was killed between two steps.
                self._index(lacking, KINDS[0][1])
            else:
                self._load()
            for aspect in widths:
                about = self._ask("describe_index", index_name=aspect)
                self._kinds[aspect] = str(about["index_type"])
            self._widths = widths
            return True

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all pictures that are there by now, sorted."""
        found = [np.empty(0, np.int64)]
        if self.exists():
            rows = self._ask(
                "query_iterator",
                LOADING_SECONDS,
                batch_size=MOST,
                output_fields=["id"],
                consistency_level="Strong",
            )
            with explained(), closing(rows):
                while batch := rows.next():
                    found.append(np.array([row["id"] for row in batch], np.int64))
        return np.sort(np.concatenate(found))

    def create(self, widths: Mapping[Aspect, int]) -> None:
        """Make the collection there, for vectors of so many numbers."""
        with self._lock:
            self._ask("create_collection", **design(widths, json.dumps(self._stamp)))
            self._index(list(widths), KINDS[0][1])
            self._widths = dict(widths)
            self._is_new = False

    def settle(self, kinds: Sequence[str] = ()) -> None:
        """Give the collection the kind of index that suits its size; searches wait for it.

        Args:
            kinds: the first of these that the server offers, instead.
        """
        if not self.exists():
            return
        wanted = kinds or suitable(self.count(), self._is_lite())
        if any(kind not in wanted for kind in self._kinds.values()):
            with self._lock:
                self._index(list(self._widths), wanted)

    def drop(self) -> None:
        """Delete the collection there, with all that is in it."""
        with self._lock:
            if not is_away(self.place.uri) and self.exists():
                self._ask("drop_collection")
            self._widths, self._kinds = {}, {}

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    # How it is done.

    def _passing(self, filters: Filters) -> int:
        """Count the pictures that pass the filters; of very many, all, since that would take long.

        Milvus does not tell, and to count them itself it takes longer than to search.
        """
        count, _ = self._records.count()
        if filters == NO_FILTERS or (count > LARGEST and not filters.words):
            return count
        return len(self._records.matching(filters))

    def _mix(
        self,
        wanted: Mapping[Aspect, tuple[float, Matrix]],
        conditions: list[str],
        k: int,
        compared: int,
    ) -> Ranking:
        """Rank by the weighted mean of the cosines of several aspects."""
        depth = min(max(4 * k, 256), MOST)
        while True:
            lists = {
                aspect: self._nearest(aspect, vector, conditions, depth)
                for aspect, (_, vector) in wanted.items()
            }
            ids = np.unique(np.concatenate([found for found, _ in lists.values()]))
            total = np.zeros(len(ids), np.float32)
            for aspect, (share, vector) in wanted.items():
                total += share * (self.fetch(ids.tolist(), aspect) @ vector)
            best = np.argsort(-total, kind="stable")[:k]
            # No picture that stands in none of the lists can be more similar than this.
            bound = sum(wanted[a][0] * float(lists[a][1][-1]) for a in wanted if len(lists[a][1]))
            seen_all = any(len(found) < depth for found, _ in lists.values())
            sure = seen_all or (len(best) == k and float(total[best[-1]]) >= bound)
            if sure or depth >= DEEPEST:
                methods = [method_of(self._kinds[aspect]) for aspect in wanted]
                method = next((m for m in methods if m != EXACT), EXACT)
                if method == EXACT and not sure:
                    method = "approximate, a mixture"
                return Ranking(ids[best], total[best], compared, method)
            depth = min(4 * depth, DEEPEST)

    def _nearest(
        self, aspect: Aspect, vector: Matrix, conditions: list[str], k: int
    ) -> tuple[Any, Matrix]:
        """Return ids and cosines of the nearest pictures that meet one of the conditions."""
        parameters = search_parameters(self._kinds[aspect], k)
        found: list[tuple[float, int]] = []
        for condition in conditions:
            hits = self._ask(
                "search",
                data=[np.asarray(vector, np.float32)],
                anns_field=aspect,
                filter=condition,
                limit=k,
                output_fields=["id"],
                search_params=parameters,
            )[0]
            found += [(-float(hit["distance"]), int(hit["id"])) for hit in hits]
        found = sorted(found)[:k]
        ids = np.array([id_ for _, id_ in found], np.int64)
        return ids, np.array([-cosine for cosine, _ in found], np.float32)

    def _index(self, aspects: Sequence[Aspect], kinds: Sequence[str]) -> None:
        """Give every aspect an index of the first of these kinds that the server offers."""
        if self._is_lite():
            # It takes any name for an index, and then makes none.
            kinds = [kind for kind in kinds if kind in LITE]
        # What has just come lies unsorted in memory, and no index is made of it.
        self._ask("flush", INDEXING_SECONDS)
        self._ask("release_collection")
        for aspect in aspects:
            if aspect in self._ask("list_indexes"):
                self._ask("drop_index", index_name=aspect)
            for kind in kinds:
                try:
                    self._create_index(aspect, kind)
                except MilvusError:
                    if kind == kinds[-1]:
                        raise
                else:
                    self._kinds[aspect] = kind
                    break
        self._load()

    def _create_index(self, aspect: Aspect, kind: str) -> None:
        try:
            self._ask("create_index", INDEXING_SECONDS, index_params=index_of(aspect, kind))
        except MilvusError:
            # Where the connection breaks, the client asks again by itself, and then is told that
            # there is one already: its own.
            if aspect not in self._ask("list_indexes"):
                raise
            if self._ask("describe_index", index_name=aspect)["index_type"] != kind:
                raise

    def _is_lite(self) -> bool:
        with explained():
            version = self._connected().get_server_version(timeout=SECONDS)
        return str(version).startswith("milvus_lite")

    def _load(self) -> None:
        self._ask("load_collection", INDEXING_SECONDS)

    def _require(self, about: Mapping[str, Any]) -> None:
        """Refuse a collection that is not this one's."""
        text = about.get("properties", {}).get("lookalike") or about.get("description", "")
        try:
            stamp = json.loads(text)
        except ValueError:
            stamp = {}
        if stamp == self._stamp:
            return
        if stamp.get("owner") == self._stamp["owner"]:
            raise MilvusError(
                "The vectors in Milvus were made with another model than the records here. Use "
                "that model, or index the pictures again under another name."
            )
        raise MilvusError(
            f"There is a collection {self.place.name} in that Milvus already, which is not this "
            "one's. Choose another --name, or delete it there."
        )

    def _ask(self, request: str, seconds: float = SECONDS, **arguments: Any) -> Any:
        """Make a request about the collection, whatever the connection has gone through.

        Args:
            request: a method of Milvus' client, which takes the `arguments`.
        """
        try:
            return self._ask_once(request, seconds, arguments)
        except MilvusAwayError:
            self.close()  # the next request makes a new connection
            raise

    def _ask_once(self, request: str, seconds: float, arguments: Mapping[str, Any]) -> Any:
        with explained():
            ask = getattr(self._connected(), request)
            try:
                return ask(self.place.name, timeout=seconds, **arguments)
            except Exception as error:
                # A server that was started again has not loaded what it held before.
                if getattr(error, "code", None) != NOT_LOADED:
                    raise
            self._load()
            return ask(self.place.name, timeout=seconds, **arguments)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                if not self._is_new:
                    need_file(self.place.uri)
                self._client = connect(self.place.uri)
            return self._client

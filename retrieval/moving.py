"""Moving the vectors of a collection from one gallery to another: to a Milvus, between two, back.

It can be killed at any moment and run again, and goes on where it was: on the way out, the outbox
of the move says what the target has yet to be told; on the way back, what has no vectors here is
missing. The collection is searched where it was until the target holds all of it and a sample has
been compared; then one transaction makes the target its gallery. The source is left as it is.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from retrieval.collection import Collection, new_place
from retrieval.errors import LookalikeError
from retrieval.gallery import RANKED, Described, Gallery
from retrieval.milvus_access import MilvusError, Place, resolve
from retrieval.outbox import BATCH, MOVING, Outbox
from retrieval.records import PictureRecord

COMPARED = 200  # pictures whose vectors are compared at the end
NEAR = 2e-3  # that numbers may differ by: colours and texture are kept here in half precision


@dataclass(frozen=True)
class Moved:
    """How far a move has come."""

    done: int  # pictures
    total: int


def move_out(collection: Collection, uri: str, kinds: Sequence[str] = ()) -> Iterator[Moved]:
    """Take the vectors of a collection to the Milvus at an address; yield after each batch.

    Args:
        kinds: of index to ask for there; by default by the number of pictures.

    Raises:
        BusyError: when somebody is changing the collection.
        LookalikeError: when Milvus cannot be asked, or does not hold what it was given.
    """
    uri = resolve(uri)
    with collection.building():
        collection.deliver()
        if collection.place and collection.place.uri == uri:
            return
        place = _target(collection, uri)
        source, target = collection.gallery, collection.gallery_at(place)
        notes = Outbox(collection.store, MOVING)
        if not target.exists() and (widths := source.widths()):
            target.create(widths)
        while True:
            total = collection.count()[0]
            yield Moved(max(0, total - len(notes)), total)
            for _ in notes.deliver(source, target, blank=False):
                yield Moved(max(0, total - len(notes)), total)
            _compare(collection, source, target)
            target.settle(kinds)
            with collection.store.change() as database:
                # Pictures may have been taken out on the page meanwhile.
                if not database.execute(f"SELECT 1 FROM {MOVING} LIMIT 1").fetchone():
                    notes.end(database)
                    collection.settle_at(database, place)
                    database.execute("DELETE FROM facts WHERE key LIKE 'moving_%'")
                    break
        target.close()


def move_home(collection: Collection) -> Iterator[Moved]:
    """Bring the vectors of a collection back beside its records; yield after each batch.

    Raises:
        BusyError: when somebody is changing the collection.
        LookalikeError: when Milvus cannot be asked, or does not hold what it was given.
    """
    with collection.building():
        collection.deliver()
        if collection.place is None:
            return
        source, target = collection.gallery, collection.exact
        total, _ = collection.count()
        yield Moved(target.count(), total)
        while missing := _without_vectors(collection):
            ids = [picture.id for picture in missing]
            fetched = {aspect: source.fetch(ids, aspect) for aspect in RANKED}
            if not fetched["subject"].any():
                raise LookalikeError(
                    "Milvus does not have the vectors of some pictures. Mend the collection with: "
                    "python -m retrieval check --repair"
                )
            target.add(
                [
                    Described(
                        *(picture.id, picture.path, picture.label),
                        *(picture.width, picture.height, picture.taken),
                        vectors={aspect: rows[at] for aspect, rows in fetched.items() if rows.size},
                    )
                    for at, picture in enumerate(missing)
                    if fetched["subject"][at].any()
                ]
            )
            yield Moved(target.count(), total)
        _compare(collection, source, target)
        with collection.store.change() as database:
            collection.settle_at(database, None)


def drop_copy(collection: Collection) -> None:
    """Delete the vectors that lie beside the records of a collection whose gallery is elsewhere."""
    if collection.place is not None:
        with collection.building():
            collection.deliver()
            collection.exact.clear()


def _target(collection: Collection, uri: str) -> Place:
    """Return where a move goes to: where one that was begun was going, or a new place."""
    store = collection.store
    begun = store.fact("moving_uri", "")
    if begun:
        place = Place(begun, store.fact("moving_name"))
        if begun == uri:
            return place
        with suppress(MilvusError):  # what was begun elsewhere is given up
            collection.gallery_at(place).drop()
    place = new_place(uri, collection.name)
    with store.transaction() as database:
        collection.identify(database)
        notes = Outbox(store, MOVING)
        notes.end(database)
        notes.begin(database, everything=True)
        database.executemany(
            "INSERT OR REPLACE INTO facts VALUES (?, ?)",
            [("moving_uri", place.uri), ("moving_name", place.name)],
        )
    return place


def _without_vectors(collection: Collection) -> list[PictureRecord]:
    """Return the next pictures whose vectors are not here, one of each content."""
    rows = collection.store.rows(
        "SELECT min(pictures.id) FROM contents JOIN pictures ON content = contents.id "
        f"WHERE length(embedding) = 0 GROUP BY contents.id LIMIT {BATCH}"
    )
    return collection.pictures(id_ for (id_,) in rows)


def _compare(collection: Collection, source: Gallery, target: Gallery) -> None:
    """Compare two galleries: how many pictures they hold, and the vectors of a sample."""
    expected, there = collection.count()[0], target.count()
    if there != expected:
        raise LookalikeError(
            f"There are {expected:,} pictures, and {there:,} arrived. Nothing was switched over; "
            "run the same command again."
        )
    ids = [picture.id for picture in collection.sample(COMPARED)]
    for aspect in RANKED:
        mine, theirs = source.fetch(ids, aspect), target.fetch(ids, aspect)
        same = mine.size == theirs.size and np.allclose(mine, theirs, atol=NEAR)
        if not same and (mine.any() or theirs.any()):
            raise LookalikeError(
                "Vectors that arrived are not those that were sent. Nothing was switched over; "
                "delete what is there and run the same command again."
            )

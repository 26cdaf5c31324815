"""Moving the vectors of a collection from one gallery to another: to a Milvus, between two, back.

It can be killed at any moment and run again, and goes on where it was: on the way out, the outbox
of the move says what the target has yet to be told; on the way back, what has no vectors here is
missing. The collection is searched where it was until the target holds all of it and a sample has
been compared; then one transaction makes the target its gallery. The source is left as it is.
Pictures whose vectors the source has lost are kept, and wait to be read again (`retrieval.lost`).
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.gallery import RANKED, Described, Gallery
from retrieval.lost import give_up, zeroed
from retrieval.milvus import MilvusGallery
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
    lost: tuple[str, ...] = ()  # in the end: the paths of those whose vectors are nowhere any more


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
            gallery = collection.gallery
            if kinds and isinstance(gallery, MilvusGallery):
                gallery.settle(kinds)
            return
        place = _target(collection, uri)
        source, target = collection.gallery, collection.gallery_at(place, is_new=True)
        notes = Outbox(collection.store, MOVING)
        if not target.exists() and (widths := source.widths()):
            target.create(widths)
        while True:
            total = collection.listing.count()[0]
            yield Moved(max(0, total - len(notes)), total)
            for _ in notes.deliver(source, target, blank=False):
                yield Moved(max(0, total - len(notes)), total)
            lacking = lacking_in(collection, target)
            lost = notes.lost_among(lacking, source)
            # What was taken out since they were listed is not missed.
            if missed := sorted({*lacking}.intersection(collection.listing.ids()).difference(lost)):
                with collection.store.transaction() as database:
                    notes.note(database, missed)
                raise LookalikeError(
                    f"There are {total:,} pictures, and {total - len(missed):,} arrived. Nothing "
                    "was switched over; run the same command again."
                )
            _compare(collection, source, target)
            target.settle(kinds)
            with collection.store.change() as database:
                # Pictures may have been taken out on the page meanwhile.
                if not database.execute(f"SELECT 1 FROM {MOVING} LIMIT 1").fetchone():
                    notes.end(database)
                    _note_left(database, [*_places_left(collection), collection.place])
                    collection.settle_at(database, place)
                    database.execute("DELETE FROM facts WHERE key LIKE 'moving_%'")
                    break
        target.close()
        yield _ended(collection, [picture.path for picture in collection.listing.pictures(lost)])


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
        total, _ = collection.listing.count()
        yield Moved(target.count(), total)
        while missing := _without_vectors(collection):
            ids = [picture.id for picture in missing]
            fetched = {aspect: source.fetch(ids, aspect) for aspect in RANKED}
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
            # Of copies, one may have vectors that the others have lost.
            had = {
                p.sha256 for p, row in zip(missing, fetched["subject"], strict=True) if row.any()
            }
            gone = {picture.sha256 for picture in missing} - had
            give_up(collection.store, gone, zeros=True)
            yield Moved(target.count(), total)
        _compare(collection, source, target)
        with collection.store.change() as database:
            _note_left(database, [*_places_left(collection), collection.place])
            collection.settle_at(database, None)
        yield _ended(collection, zeroed(collection.store))  # also what a run before this one lost


def drop_left(collection: Collection) -> None:
    """Delete the vectors at the place that the last move of a collection came from.

    So are those at every other place that earlier moves have left, and nobody else knows of.

    Raises:
        LookalikeError: when one of them cannot be asked, after all others are deleted; it stays
            noted.
    """
    left = _places_left(collection)
    if not left or None in left or left[-1] == collection.place:
        drop_copy(collection)
    places = [place for place in left if place is not None and place != collection.place]
    failures = []
    with collection.building():
        for place in reversed(places.copy()):
            gallery = collection.gallery_at(place)
            try:
                gallery.drop()
                places.remove(place)
            except LookalikeError as error:  # it does not answer, say
                failures.append(error)
            finally:
                gallery.close()
            with collection.store.transaction() as database:
                _note_left(database, places)
    if failures:
        raise failures[0]


def _places_left(collection: Collection) -> list[Place | None]:
    """Return the places that moves came from and that are not deleted, the last of them last."""
    store = collection.store
    if uri := store.fact("left_uri", ""):  # as earlier versions noted it
        return [Place(uri, store.fact("left_name"))]
    try:
        return [Place(*one) if one else None for one in json.loads(store.fact("left_places", "[]"))]
    except (ValueError, TypeError) as error:
        raise store.damaged() from error


def _note_left(database: sqlite3.Connection, places: Sequence[Place | None]) -> None:
    """Note where moves came from, until that is deleted: a kill may come before; None for here."""
    database.execute("DELETE FROM facts WHERE key IN ('left_uri', 'left_name')")
    noted = json.dumps([[place.uri, place.name] if place else None for place in places])
    database.execute("INSERT OR REPLACE INTO facts VALUES ('left_places', ?)", [noted])


def drop_copy(collection: Collection) -> None:
    """Delete the vectors that lie beside the records of a collection whose gallery is elsewhere."""
    if collection.place is not None:
        with collection.building():
            collection.deliver()
            gallery = collection.gallery
            assert isinstance(gallery, MilvusGallery)
            fill_gaps(collection, gallery)  # what is lost there may lie here alone
            collection.exact.clear()


def fill_gaps(collection: Collection, gallery: MilvusGallery) -> list[int]:
    """Tell the Milvus where the vectors are of the pictures that it lacks; return their ids."""
    lacking = lacking_in(collection, gallery)
    if lacking:
        with collection.store.transaction() as database:
            Outbox(collection.store).note(database, lacking)
        collection.deliver()
    return lacking


def lacking_in(collection: Collection, gallery: MilvusGallery) -> list[int]:
    """Return the ids of the pictures that a gallery does not have."""
    there = gallery.ids()  # first: what is taken out meanwhile is not missed
    return [int(id_) for id_ in np.setdiff1d(collection.listing.ids(), there)]


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
    place = Place.new(uri, collection.name)
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
    """Return the pictures of the next contents whose vectors are not here."""
    rows = collection.store.rows(
        "SELECT pictures.id FROM pictures WHERE content IN (SELECT id FROM contents "
        "WHERE length(embedding) = 0 "
        f"AND EXISTS (SELECT 1 FROM pictures WHERE content = contents.id) LIMIT {BATCH})"
    )
    return collection.listing.pictures(id_ for (id_,) in rows)


def _ended(collection: Collection, lost: Iterable[str]) -> Moved:
    """Return what there is to say in the end."""
    total, _ = collection.listing.count()
    return Moved(total, total, tuple(sorted(lost)))


def _compare(collection: Collection, source: Gallery, target: Gallery) -> None:
    """Compare the vectors of a sample in two galleries."""
    ids = [picture.id for picture in collection.listing.sample(COMPARED)]
    for aspect in RANKED:
        mine, theirs = source.fetch(ids, aspect), target.fetch(ids, aspect)
        sent = mine.any(axis=1)  # of what the source has lost, the vectors beside the records went
        same = mine.size == theirs.size and np.allclose(mine[sent], theirs[sent], atol=NEAR)
        if not same and sent.any():
            raise LookalikeError(
                "Vectors that arrived are not those that were sent. Nothing was switched over; "
                "delete what is there and run the same command again."
            )

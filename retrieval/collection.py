"""A collection on disk: what is known of each picture, its embedding and its thumbnail.

One folder with two SQLite files: `collection.sqlite` for pictures and embeddings, and
`thumbnails.sqlite` beside it, apart so that opening a collection reads none of them. Embeddings and
thumbnails belong to a file's content (its SHA-256), so copies share them and a moved file keeps
them. Every change is one transaction: a kill at any moment leaves the state before or after it.
"""

import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from filelock import FileLock

from retrieval.database import (
    DamagedError,
    UnwritableError,
    connection,
    damaged,
    explained,
    is_bare,
    require_settled,
)
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, UnfitError, explain_os_error
from retrieval.exact import ExactGallery
from retrieval.excluded import Excluded
from retrieval.gallery import Gallery
from retrieval.images import without_words
from retrieval.listing import Listing
from retrieval.lost import readable, to_read_again
from retrieval.milvus import MilvusGallery
from retrieval.milvus_access import Place
from retrieval.objects import Thumbnails
from retrieval.outbox import Outbox
from retrieval.records import Aspect, Content, Embeddings, Entry, Move
from retrieval.reduction import Matrix
from retrieval.schema import (
    DATABASE,
    FORMAT_VERSION,
    KEPT,
    THUMBNAILS,
    lay_out,
    lay_out_thumbnails,
    upgrade,
)
from retrieval.settings import PYTHON
from retrieval.store import Store, held_alone, is_file, put_in_place
from retrieval.writing import prune, write


class Collection:
    """An opened collection; safe to use from several threads, and from several processes."""

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        """Open the collection in `folder`.

        Args:
            read_only: touch nothing, not even to wait for a lock; for collections that are shipped.

        Raises:
            LookalikeError: when there is none, or its file is damaged or from a newer program.
        """
        self.folder = folder
        self.read_only = read_only
        self.is_new = False  # whether `create` has just made it
        if not read_only:
            put_in_place(folder)
        if not is_file(folder / DATABASE):
            raise LookalikeError(
                f"There is no collection in {folder.name}. Make one with: "
                f"{PYTHON} -m retrieval index FOLDER"
            )
        self.store = Store(folder, read_only)  # public for what checks and mends it
        try:
            self._bring_up_to_date()
            if not read_only:
                self.store.count_rewritten()
        except BaseException:
            self.store.close()  # or Windows would let nobody mend or move it
            raise
        self._opening = threading.Lock()
        self._thumbnails: Thumbnails | None = None  # those in object storage
        self._milvus: MilvusGallery | None = None
        self.listing = Listing(self.store)  # of its pictures
        self.excluded = Excluded(self.store)  # what was taken out of them
        self._exact = ExactGallery(self.store, self.listing.matching)

    @classmethod
    def to_read(cls, folder: Path) -> "Collection":
        """Open the collection in `folder` for what changes nothing; also where nothing may be
        written, as on a disk of backups.

        Raises:
            LookalikeError: as opening it does.
        """
        try:
            return cls(folder)
        except UnwritableError:
            require_settled(folder / DATABASE)
            require_settled(folder / THUMBNAILS)
            return cls(folder, read_only=True)

    @classmethod
    def create(
        cls,
        folder: Path,
        name: str,
        root: Path | None,
        embedder: Embedder,
        milvus: str = "",
        url: str = "",
    ) -> "Collection":
        """Make an empty collection in `folder`, or open the one that is there.

        Args:
            name: what people call it.
            root: the folder that its pictures' paths are relative to, searched in place; None when
                the originals are not kept.
            milvus: the address of the Milvus where its vectors are to be, for a new one; "" keeps
                them here.
            url: where its pictures are in object storage, for a new one; "" for nowhere.

        Raises:
            BusyError: when another window or program is just making one there.
            DamagedError: when photos lie there that were given to one whose records are lost.
            LookalikeError: when it cannot be written, the one there cannot be opened, or that is
                no address of a Milvus, or one that does not answer.
        """
        # Before anything is made: what is there already goes where it did.
        place = Place.new(milvus, name) if milvus else None
        facts = {
            "format_version": str(FORMAT_VERSION),
            "name": name,
            "root": _root_fact(root, folder) if root else "",
            **model_facts(embedder),
            "revision": "0",
            "created": f"{time.time():.6f}",
            **({"url": url} if url else {}),
        }
        put_in_place(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        # Looked at first: another program may make it just now, and then take photos in.
        kept = any(os.path.isdir(folder / name) for name in KEPT)
        begun = not is_file(folder / DATABASE) or is_bare(folder / DATABASE)
        if begun and kept:
            raise damaged(folder)
        # Or it would be taken for what a kill has left.
        with held_alone(folder, lambda: name) if begun else nullcontext():
            with explained(folder), connection(folder / THUMBNAILS) as database, database:
                lay_out_thumbnails(database)
            with explained(folder), connection(folder / DATABASE) as database, database:
                is_new = lay_out(database, facts)
        collection = cls(folder)
        collection.is_new = is_new
        if is_new and place:
            try:
                with collection.store.transaction() as database:
                    collection.settle_at(database, place)
            except BaseException:
                collection.close()
                raise
        return collection

    def close(self) -> None:
        """Let go of the files, and of the gallery."""
        if self._milvus is not None:
            self._milvus.close()
        self.store.close()

    def __enter__(self) -> "Collection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What people call the collection."""
        return self.store.fact("name")

    @property
    def first_name(self) -> str:
        """What it was called at first, mostly as the folder that it was made of."""
        return self.store.fact("first_name", "") or self.name

    @property
    def created(self) -> float:
        """When it was made, as of time.time(); 0 where an earlier version made it."""
        written = self.store.fact("created", "")
        return float(written) if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", written) else 0.0

    @property
    def root(self) -> Path | None:
        """The folder that paths are relative to; None when the originals are elsewhere.

        A collection that is shipped with its pictures says where they are from its own folder.

        Raises:
            DamagedError: when what is noted is no path.
        """
        root = self.store.fact("root")
        if not root:
            return None
        if "\0" in root:  # as by a torn letter: no path has it
            raise self.store.damaged()
        # Asking the disk anew where it leads may fail: Windows does on a drive that is not there.
        return Path(root) if _is_absolute(root) else (self.folder / root).resolve()

    @property
    def url(self) -> str:
        """Where the pictures are in object storage, with their thumbnails; "" for nowhere."""
        return self.store.fact("url", "")

    @property
    def keeps_originals(self) -> bool:
        """Whether the photos themselves lie in the collection's own folder."""
        root = self.store.fact("root")
        return bool(root) and not _is_absolute(root)

    @property
    def in_place(self) -> bool:
        """Whether the photos lie in a folder of their own, which is searched and never changed."""
        return self.root is not None and not self.keeps_originals

    @property
    def unfinished(self) -> bool:
        """Whether building was begun and has not come to its end."""
        return bool(self.store.fact("unfinished", ""))

    @property
    def embedder(self) -> str:
        """What made the embeddings, in words."""
        return self.store.fact("embedder")

    def provenance(self) -> dict[str, Any]:
        """Return what the embeddings were made with: hashes of model, preprocessing and PCA."""
        try:
            card = json.loads(self.store.fact("card"))
        except ValueError as error:
            raise self.store.damaged() from error
        return {
            "fingerprint": self.store.fact("fingerprint"),
            "embedder": self.embedder,
            "dimension": self.store.number("dimension"),
            "card": card,
        }

    @property
    def revision(self) -> int:
        """A number that grows with every change."""
        return self.store.number("revision")

    def is_of(self, embedder: Embedder) -> bool:
        """Whether the embeddings kept here can be compared with those of `embedder`."""
        return self.store.fact("fingerprint") == embedder.fingerprint

    def is_nearly_of(self, embedder: Embedder) -> bool:
        """Whether but a letter or two, which are damaged, tell its model from that one.

        Those of any two models or PCAs differ in nearly all letters.
        """
        own, other = self.store.fact("fingerprint"), embedder.fingerprint
        wrong = sum(a != b for a, b in zip(own, other, strict=False))
        return len(own) == len(other) and 0 < wrong <= 2

    def require(self, embedder: Embedder) -> None:
        """Refuse an embedder whose embeddings cannot be compared with those kept here."""
        if self.is_nearly_of(embedder):
            raise self.store.damaged()
        if not self.is_of(embedder):
            raise UnfitError(
                f"The collection {self.name} was made with another model or PCA "
                f"({self.embedder}), not with {embedder.describe()}. Use that model, or "
                "index the pictures again under another name."
            )

    def rename(self, name: str) -> None:
        """Change what people call the collection."""
        self.store.note({"name": name, "first_name": self.first_name})

    def mark_unfinished(self, unfinished: bool) -> None:
        """Remember, also over a kill, whether there is something left to build."""
        if self.unfinished != unfinished:
            self.store.note({"unfinished": "1" if unfinished else ""})

    def mark_finished(self) -> None:
        """Remember that all is built, unless vectors turned out to be lost that can come back."""
        self.mark_unfinished(bool(readable(self.store, self.to_read_again())))

    def building(self) -> AbstractContextManager[None]:
        """Hold the right to change the collection; the lock ends with the process that holds it.

        Raises:
            BusyError: when another window or process holds it.
        """
        return self.store.building()

    def to_read_again(self) -> set[str]:
        """Return the SHA-256 of those whose vectors are lost, and come back with their bytes."""
        return to_read_again(self.store)

    def write(
        self,
        entries: Sequence[Entry],
        contents: Sequence[Content] = (),
        vanished: Iterable[str] = (),
        moved: Iterable[Move] = (),
    ) -> None:
        """Record files and contents, and forget the files at the paths `vanished`: all or nothing.

        An entry whose path is known takes its place and keeps its id; so does a file that moved.
        One whose path was taken out stays out.
        """
        write(self.store, entries, contents, vanished, tuple(moved))
        self.deliver()

    def prune(self) -> set[str]:
        """Drop the contents and thumbnails that no picture uses any more.

        Returns:
            The SHA-256 of the contents whose thumbnails are lost.
        """
        lacking = prune(self.store)
        return set() if self.url else lacking  # those of object storage lie there

    def caption(self, captions: Iterable[tuple[str, str, str]]) -> None:
        """Set path by path the label and the details of pictures, all or nothing."""
        rows = [(label, details, path) for path, label, details in captions]
        if not rows:
            return
        with self.store.change() as database:
            database.executemany("UPDATE pictures SET label = ?, details = ? WHERE path = ?", rows)
        self.deliver()

    def other_tables(self) -> set[str]:
        """Return the paths of the CSVs beside the pictures that are known to tell of none."""
        with suppress(ValueError, TypeError):  # a letter may be wrong in it
            return set(map(str, json.loads(self.store.fact("other_tables", "[]"))))
        return set()

    def note_other_tables(self, names: AbstractSet[str]) -> None:
        """Note which CSVs beside the pictures tell of none."""
        if names != self.other_tables():
            self.store.note({"other_tables": json.dumps(sorted(names))})

    def exclude(self, paths: Iterable[str]) -> None:
        """Take pictures out, and keep those paths out when the folder is read again."""
        self.excluded.add(paths)
        # They are taken out whether Milvus answers or not: no search shows what has no record.
        self.try_to_deliver()

    @property
    def place(self) -> Place | None:
        """Where in a Milvus the vectors are; None while they lie here."""
        uri = self.store.fact("milvus", "")
        return Place(uri, self.store.fact("milvus_name")) if uri else None

    @property
    def gallery(self) -> Gallery:
        """Where the vectors are kept and ranked."""
        place = self.place
        if place is None:
            return self._exact
        with self._opening:
            if self._milvus is None or self._milvus.place != place:
                # Where nothing has got there yet, there may be none so far.
                self._milvus = self.gallery_at(place, is_new=Outbox(self.store).is_all())
            return self._milvus

    @property
    def exact(self) -> ExactGallery:
        """The vectors that lie here, all of them or not."""
        return self._exact

    def gallery_at(self, place: Place, is_new: bool = False) -> MilvusGallery:
        """Return the gallery that is this collection's in a Milvus, there or not.

        Args:
            is_new: whether it may be made there, also the file that it is in.
        """
        fingerprint = self.store.fact("fingerprint")
        return MilvusGallery(place, self.identity, fingerprint, self.listing, is_new)

    @property
    def identity(self) -> str:
        """What tells this collection from all others, by which its vectors elsewhere are known."""
        return self.store.fact("identity", "")

    def identify(self, database: sqlite3.Connection) -> None:
        """Give the collection an identity, unless it has one, in the transaction of the caller."""
        database.execute(
            "INSERT OR IGNORE INTO facts VALUES ('identity', ?)", (secrets.token_hex(8),)
        )

    def settle_at(self, database: sqlite3.Connection, place: Place | None) -> None:
        """Say where the vectors are from now on, in the transaction of the caller."""
        facts = {"milvus": place.uri if place else "", "milvus_name": place.name if place else ""}
        self.identify(database)
        database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())
        following = Outbox(self.store)
        if place:
            following.begin(database, everything=False)
        else:
            following.end(database)

    def tune(self) -> None:
        """Give the vectors the index that suits their number, where they are in a Milvus."""
        gallery = self.gallery
        if isinstance(gallery, MilvusGallery):
            gallery.settle()

    def deliver(self) -> None:
        """Tell the Milvus where the vectors are, if they are in one, of every change there was.

        Raises:
            LookalikeError: when it cannot be told; the next change, or run, tries it again.
        """
        place = self.place
        if place is None or self.read_only:
            return
        # One at a time, or the older state of a picture could come last.
        with FileLock(self.folder / "outbox.lock", thread_local=False):
            gallery = self.gallery
            for _ in Outbox(self.store).deliver(gallery, gallery, blank=True):
                pass

    def try_to_deliver(self) -> str:
        """Deliver, and return why that cannot be done just now; "" when it is done."""
        try:
            self.deliver()
        except DamagedError:
            raise
        except LookalikeError as error:  # Milvus is away, or the disk is full
            return str(error)
        return ""

    def embeddings(self, aspect: Aspect = "subject") -> Embeddings:
        """Read all vectors of one aspect, ordered by path.

        A picture of which the aspect is not kept has a vector of zeros, which is like nothing.

        Raises:
            LookalikeError: when there are too many to be held in memory.
        """
        return (self._exact if aspect == "sketch" else self.gallery).read(aspect)

    def vectors_of(self, ids: Sequence[int], aspect: Aspect) -> Matrix:
        """Return unit vectors `(n, k)` of these pictures; zeros where the aspect is not kept."""
        return (self._exact if aspect == "sketch" else self.gallery).fetch(ids, aspect)

    def embedding(self, id_: int, aspect: Aspect = "subject") -> Matrix | None:
        """Return a unit vector `(1, k)` of one picture, or None when it is not here any more."""
        known = self.store.rows("SELECT 1 FROM pictures WHERE id = ? AND content IS NOT NULL", id_)
        return self.vectors_of([id_], aspect) if known else None

    def thumbnail(self, sha256: str) -> bytes | None:
        """Return the JPEG of a content, or None when there is none of it.

        Whoever gets a collection, packed or over the network, gets its thumbnails from here.
        """
        with self.store.thumbnails() as database:
            row = database.execute(
                "SELECT jpeg FROM thumbnails WHERE sha256 = ?", (sha256,)
            ).fetchone()
        jpeg = row[0] if row else self._elsewhere().read(sha256) if self.url else None
        return None if jpeg is None else without_words(bytes(jpeg))

    def _elsewhere(self) -> Thumbnails:
        """Return the thumbnails that lie in object storage."""
        with self._opening:
            self._thumbnails = self._thumbnails or Thumbnails(self.url)
            return self._thumbnails

    def copy_to(self, folder: Path, root: str) -> None:
        """Write a compact copy into an empty folder, to be shipped and opened read-only.

        Args:
            root: where the pictures will be, from that folder; "" when they stay behind.

        Raises:
            LookalikeError: when its vectors are in Milvus, or the disk does not take it.
        """
        if self.place:
            raise LookalikeError(
                f"The vectors of {self.name} are in Milvus. Bring them here first: "
                f"{PYTHON} -m retrieval move {self.name} --to local"
            )
        folder.mkdir(parents=True, exist_ok=True)
        with self.store.held(), self.store.thumbnails() as thumbnails:
            self.store.database.execute("VACUUM INTO ?", (str(folder / DATABASE),))
            thumbnails.execute("VACUUM INTO ?", (str(folder / THUMBNAILS),))
        with explained(folder), closing(sqlite3.connect(folder / DATABASE)) as copy, copy:
            copy.execute("UPDATE facts SET value = ? WHERE key = 'root'", (root,))
            copy.execute("DELETE FROM facts WHERE key LIKE 'left_%'")  # of `retrieval.moving`
            copy.execute("DELETE FROM facts WHERE key = 'first_name'")  # for its owner alone

    def _bring_up_to_date(self) -> None:
        """Bring what an older version made up to this one, and refuse what a newer one did."""
        version = self.store.number("format_version")
        if version > FORMAT_VERSION:
            raise UnfitError(
                f"The collection {self.name} was made by a newer version of this program. "
                "Update it."
            )
        if version < FORMAT_VERSION:
            if self.read_only:
                raise LookalikeError(
                    f"The collection {self.name} was made by an older version of this program. "
                    "Open it once where it may be changed, or index its pictures again."
                )
            with self.store.transaction() as database:
                upgrade(database)


def model_facts(embedder: Embedder) -> dict[str, str]:
    """Return what is noted of the model that makes a collection's embeddings."""
    return {
        "fingerprint": embedder.fingerprint,
        "embedder": embedder.describe(),
        "dimension": str(embedder.dimension),
        "card": json.dumps(embedder.card.to_metadata()),
    }


def _is_absolute(path: str) -> bool:
    """Whether a path is one from the top of a disk, on whatever system it was written down."""
    return PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()


def _root_fact(root: Path, folder: Path) -> str:
    """Say where the pictures are; from the collection's folder when they lie in it, so that the
    whole can be moved."""
    root, folder = root.resolve(), folder.resolve()
    return root.relative_to(folder).as_posix() if root.is_relative_to(folder) else str(root)

"""The collections of this machine: one folder each, named so that one finds it again."""

import errno
import hashlib
import os
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from filelock import FileLock

from retrieval.collection import Collection
from retrieval.database import ENDS, connection, explained, is_bare
from retrieval.embedding import Embedder
from retrieval.errors import FULL, LookalikeError, explain_os_error
from retrieval.files import (
    ABANDONED_SECONDS,
    composed,
    part_in,
    remove_tree,
    replace_file,
    same_folder,
)
from retrieval.folders import is_picture
from retrieval.objects import Bucket
from retrieval.paths import require_text
from retrieval.relocated import follow
from retrieval.schema import DATABASE, THUMBNAILS
from retrieval.settings import PYTHON
from retrieval.store import LOCK, held_alone, put_in_place

PLACES_TRIED = 20  # for a collection that comes, while others take the same ones
MOST_BYTES = 200  # of a folder's name: a disk takes 255, and in the bin it gets longer
INDEX = f"{PYTHON} -m retrieval index FOLDER"
OPENING = ".opening-"  # begins the name of a collection that is being unpacked


def need_library(library: Path) -> None:
    """Make the folder of all collections, unless it is there.

    Raises:
        LookalikeError: when nothing can be kept there.
    """
    try:
        library.mkdir(parents=True, exist_ok=True)
        # Tried, since Windows says of most folders that they may be written.
        tried = part_in(library)
        tried.touch(exist_ok=False)
    except OSError as error:
        # Of a disk that has just become full, what is there can be searched, and deleted.
        if error.errno in FULL and os.path.isdir(library):
            return
        reason = error.strerror or type(error).__name__
        raise LookalikeError(
            f"Collections cannot be kept in {library}: {reason}. Name a folder that may be written "
            "in LOOKALIKE_HOME, or check this one's disk and permissions."
        ) from error
    with suppress(OSError):  # Windows keeps it while another program looks at it
        tried.unlink()


def folder_of(library: Path, name: str) -> Path:
    """Return the folder of the collection called `name`: the name, made safe for any disk."""
    # An accent that is written apart is no letter.
    safe = re.sub(r"[^\w-]+", "-", composed(name)).strip("-")[:60] or "collection"
    safe = safe.encode()[:MOST_BYTES].decode("utf-8", "ignore")
    # Windows keeps these words for devices, with any ending.
    if re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", safe):
        safe += "-"
    return library / safe


def find_collection(library: Path, name: str | None) -> Path:
    """Return the folder of a collection by its name, or of the only one there is.

    Raises:
        LookalikeError: when there is none, or several and no name, or the name is empty.
    """
    if name is not None and not name.strip():  # as of a variable that is not set
        raise LookalikeError("The name of the collection is empty. Write it, or leave it out.")
    folders = clear_bare(library)
    if name is not None:
        for folder in folders:
            with suppress(LookalikeError), Collection.to_read(folder) as collection:
                if _may_be(name, collection):
                    return folder
        # By its folder, as the list below names those that are called alike, or as it began.
        folder = next((one for one in folders if one.name == name), folder_of(library, name))
        if not os.path.isdir(folder):
            there = f"There are: {_listed(folders)}" if folders else f"Make one with: {INDEX}"
            raise LookalikeError(f"There is no collection called {name}. {there}")
        return folder
    if not folders:
        raise LookalikeError(f"There is no collection yet. Make one with: {INDEX}")
    if len(folders) > 1:
        raise LookalikeError(
            f"There are several collections. Choose one with --name: {_listed(folders)}"
        )
    return folders[0]


def name_unlike(library: Path, collection: Collection) -> None:
    """Give a collection that has just come a number, where another one is called as it is."""
    # One at a time, or two that come at once would take the same number.
    with FileLock(library / ".naming.lock", thread_local=False):
        others = {name_in(folder) for folder in folders_in(library) if folder != collection.folder}
        name = unused_name(collection.name, others)
        if name != collection.name:
            collection.rename(name)


def unused_name(title: str, others: Iterable[str]) -> str:
    """Return a name that is none of the others: with a number, if need be."""
    taken = set(map(composed, others))
    numbered = (f"{title} {number}" for number in count(2))
    return next(name for name in chain([title], numbered) if composed(name) not in taken)


def _listed(folders: Sequence[Path]) -> str:
    """List collections by their names; one that is called as another by its folder."""
    called = [name_in(folder) for folder in folders]
    return ", ".join(
        f'"{name if called.count(name) == 1 else folder.name}"'
        for name, folder in zip(called, folders, strict=True)
    )


def name_in(folder: Path) -> str:
    """Return what people call the collection in a folder; that of the folder where it is damaged.

    Not opened read-only, which would pass over what a running app has written.
    """
    with suppress(LookalikeError), Collection.to_read(folder) as collection:
        return collection.name
    return folder.name


def folders_in(library: Path) -> list[Path]:
    """Return the folders of the collections in a library, by name."""
    places = _places_in(library)
    for place in places:
        with suppress(LookalikeError):  # it is being made just now
            put_in_place(place)
    return sorted(place for place in places if _has_records(place))


def _places_in(library: Path) -> list[Path]:
    """Return what lies in a library, but for what is on its way in or out: it begins with a dot."""
    return [path for path in library.glob("*") if not path.name.startswith(".")]


def _has_records(folder: Path) -> bool:
    """Whether a collection is in a folder, also where the disk fails, as who opens it will say."""
    try:
        return (folder / DATABASE).exists()
    except OSError as error:
        return error.errno == errno.EIO


def clear_bare(library: Path) -> list[Path]:
    """Delete what kills have left of collections that were just being made: nothing is in them.

    Returns:
        The folders of the collections that are there, by name, as `folders_in` does.
    """
    for place in _places_in(library):
        with suppress(OSError):  # something is in it, or it is no folder
            if time.time() - place.stat().st_mtime > ABANDONED_SECONDS:
                place.rmdir()
    folders = folders_in(library)
    for folder in folders:
        with suppress(LookalikeError, OSError):  # it is being made just now
            if is_bare(folder / DATABASE):
                _clear(folder)
    return [folder for folder in folders if _has_records(folder)]


def _clear(folder: Path) -> None:
    """Delete such a collection, unless something is in it after all."""
    with held_alone(folder, lambda: folder.name):
        if not _holds_nothing(folder):
            return
        remove_tree(folder)
    folder.rmdir()  # which Windows keeps while the lock lies in it


def _holds_nothing(folder: Path) -> bool:
    """Whether nobody could lose anything with a collection: no record, photo or small picture."""
    ours = {f"{name}{end}" for name in (DATABASE, THUMBNAILS) for end in ENDS}
    if not is_bare(folder / DATABASE) or {*os.listdir(folder)} - ours - {LOCK}:
        return False
    with explained(folder), connection(folder / THUMBNAILS) as database:
        return not database.execute("SELECT EXISTS (SELECT 1 FROM thumbnails)").fetchone()[0]


def new_folder(library: Path, title: str) -> Path:
    """Return a folder for a new collection called `title` that no other one uses."""
    first = folder = folder_of(library, title)
    number = 2
    while os.path.lexists(folder):  # also a link to what is not there takes a name
        folder = first.with_name(f"{first.name}-{number}")
        number += 1
    return folder


def claim_folder(library: Path, title: str) -> Path:
    """Make such a folder, which no other program takes for itself then, and return it."""
    while True:
        folder = new_folder(library, title)
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError as error:
            # Else another one has just taken it, and may have given it up since.
            if not os.path.isdir(library):  # it is a link to what is not there
                raise explain_os_error(error, folder) from error
        except OSError as error:
            raise explain_os_error(error, folder) from error


def settle(source: Path, library: Path, title: str) -> Path:
    """Move a collection to a place of that title which no other program takes; return that."""
    for places_left in reversed(range(PLACES_TRIED)):
        folder = claim_folder(library, title)
        try:
            try:
                os.replace(source, folder)  # most systems put it into the place of an empty one
            except OSError:
                folder.rmdir()
                replace_file(source, folder)
            break
        except OSError:
            # Where there is a folder, another one has put something into it, which made the claim
            # its own; or, where it had to go first, as on Windows, has claimed it in that moment.
            if not os.path.isdir(folder) or not places_left:
                raise
    return folder


def collection_for(
    library: Path, root: Path, name: str | None, embedder: Embedder, milvus: str = ""
) -> Collection:
    """Open the collection of the pictures in `root`, or make an empty one.

    One that is searched in place there by this very model is opened, whatever its folder is called;
    with a `name` it has to have that one. So is one of a folder that was renamed or moved to there
    (`retrieval.relocated`). A new one takes the folder's name, unless one is given;
    when that is already used for another folder, or by another model, a number of its own is added,
    and nothing is overwritten.

    Args:
        milvus: the address of the Milvus where the vectors of a new one are to be; "" for none.

    Raises:
        LookalikeError: when there is no such folder, or a given name is used for another folder.
    """
    if not os.path.isdir(root):  # also no when a network drive does not answer
        raise LookalikeError(f"There is no folder {root}. Check the name and try again.")
    try:
        where = root.resolve()
    except OSError as error:
        raise LookalikeError(
            "The folder that this terminal is in is not there any more. Open another one, and name "
            "the folder with your photos by its whole path."
        ) from error
    require_text(where, name or "")
    need_library(library)
    title = name or where.name or "pictures"
    folder = folder_of(library, title)
    identity = hashlib.sha256(f"{where}\n{embedder.fingerprint}".encode()).hexdigest()
    own = folder.with_name(f"{folder.name}-{identity[:6]}")
    # Where one of this name would be comes first: mostly nothing else need be opened.
    folders = folders_in(library)
    known = _find_in_place((folder, own, *folders), root, name, embedder)
    known = known or _find_moved(folders, root, name, embedder)
    if known is not None:
        folder = known
    elif name is None and not _fits(folder, root, embedder):
        folder = own
    collection = Collection.create(folder, title, root, embedder, milvus)
    if not same_folder(collection.root, where):
        raise _taken(collection, title, "another folder")
    return collection


def collection_of(
    library: Path, url: str, name: str | None, embedder: Embedder, milvus: str = ""
) -> Collection:
    """Open the collection of the pictures below a URL, or make an empty one.

    Raises:
        LookalikeError: when its name is used for other pictures, or there is none at the URL.
    """
    need_library(library)
    url = url.rstrip("/")
    title = name or url.rpartition("/")[2] or "pictures"
    folder = folder_of(library, title)
    new = not (folder / DATABASE).exists()
    # No storage says that there is no such folder; listing it twice is little beside reading it.
    if new and not any(map(is_picture, Bucket(url).list())):
        raise LookalikeError(f"There is no picture in {url}. Check the address and try again.")
    collection = Collection.create(folder, title, None, embedder, milvus, url)
    if collection.url != url:
        raise _taken(collection, title, "other pictures")
    return collection


def _taken(collection: Collection, title: str, of: str) -> LookalikeError:
    """Close the collection that lies where one of that title would; return what to raise."""
    with collection:
        called = collection.name  # it may have been renamed
    there = "" if called == title else f" in the place of {title}"
    return LookalikeError(
        f"There is already a collection {called}{there}, of {of}. Choose another --name."
    )


def _find_in_place(
    folders: Iterable[Path], root: Path, name: str | None, embedder: Embedder
) -> Path | None:
    """Return the first of `folders` that holds what is known of `root` by this very model.

    Not opened read-only, which would pass over what a running app has written, such as a new name.
    """
    where = root.resolve()
    for folder in folders:
        with suppress(LookalikeError), Collection(folder) as collection:
            if not collection.in_place or not collection.is_of(embedder):
                continue
            if _may_be(name, collection) and same_folder(collection.root, where):
                return folder
    return None


def _find_moved(
    folders: Iterable[Path], root: Path, name: str | None, embedder: Embedder
) -> Path | None:
    """Return the first of `folders` whose photos were moved to `root`, where it goes on."""
    for folder in folders:
        with suppress(LookalikeError), Collection(folder) as collection:
            if _may_be(name, collection) and follow(collection, root, embedder):
                return folder
    return None


def _may_be(name: str | None, collection: Collection) -> bool:
    """Whether a collection is called like that; any is for None."""
    return name is None or composed(name) == composed(collection.name)


def _fits(folder: Path, root: Path, embedder: Embedder) -> bool:
    """Whether `folder` is free, or holds what is known of `root` by this very model."""
    if not (folder / DATABASE).exists() or is_bare(folder / DATABASE):
        return True
    with Collection(folder) as collection:
        return collection.is_of(embedder) and same_folder(collection.root, root.resolve())

"""The bin of a library: what was deleted lies there for a time, and can be brought back."""

import secrets
import time
from contextlib import suppress
from pathlib import Path

from retrieval.ages import count_ages
from retrieval.collection import Collection
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.files import remove_tree, replace_file
from retrieval.library import MOST_BYTES, OPENING, settle
from retrieval.milvus import MilvusGallery
from retrieval.schema import KEPT, ORIGINALS

TRASH = ".trash"
AGES = "ages.json"  # in there


def discard(folder: Path) -> Path:
    """Move a collection to the bin beside it, at once or not at all; return where it is now."""
    trash = folder.parent / TRASH
    # An earlier version gave names that would be too long for the disk in here.
    name = folder.name.encode()[:MOST_BYTES].decode("utf-8", "ignore")
    place = trash / f"{time.time():.0f}-{secrets.token_hex(3)}-{name}"
    try:
        trash.mkdir(exist_ok=True)
        replace_file(folder, place)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return place


def restore(place: Path) -> Path:
    """Take a collection out of the bin; return its folder, another one if the old one is taken."""
    name = place.name.split("-", 2)[2]
    try:
        return settle(place, place.parent.parent, name)
    except OSError as error:
        raise explain_os_error(error, name) from error


def discarded(library: Path) -> list[Path]:
    """Return what lies in the bin of a library, the latest first."""
    return sorted((library / TRASH).glob("*-*-*"), reverse=True)


def find_discarded(library: Path, place: str) -> Path:
    """Return what lies at a place in the bin of a library.

    Raises:
        LookalikeError: when nothing does any more.
    """
    for found in discarded(library):
        if found.name == place:
            return found
    raise LookalikeError(
        "That collection is not in the bin any more: it has been brought back already, or deleted "
        "for good."
    )


def list_discarded(library: Path) -> list[tuple[str, str]]:
    """Return place and name of each collection in the bin of a library, the latest first."""
    found = []
    for place in discarded(library):
        try:
            with Collection(place, read_only=True) as collection:
                name = collection.name
        except LookalikeError:
            if not place.is_dir():
                continue
            # Photos may lie in it all the same, so it can be brought back as well.
            name = place.name.split("-", 2)[2]
        found.append((place.name, name))
    return found


def has_photos(folder: Path) -> bool:
    """Whether copies of photos lie in the folder of a collection."""
    return any(path.is_file() for kept in KEPT for path in (folder / kept).rglob("*"))


def empty_trash(library: Path, older_than: float) -> None:
    """Delete for good what was discarded, or only half opened, more than so many seconds ago.

    What was discarded is as old as `retrieval.ages` counts, from the first time it is met here.
    What cannot be deleted just now stays in the bin.
    """
    for half in library.glob(f"{OPENING}*"):
        with suppress(OSError):
            if time.time() - half.stat().st_mtime > older_than:
                remove_tree(half)
    places = discarded(library)
    ages = count_ages(library / TRASH / AGES, [place.name for place in places], older_than)
    for place in places:
        if ages[place.name] > older_than:
            with suppress(LookalikeError):
                delete_discarded(place)


def delete_discarded(place: Path) -> None:
    """Delete for good what lies at a place in the bin.

    Raises:
        LookalikeError: when its vectors in Milvus cannot be deleted just now, when somebody has to
            look after its photos first, or when another program has a file of it.
    """
    _drop_elsewhere(place)
    # Out of the bin first, or what a kill leaves of it would be taken for a damaged one. Windows
    # moves no folder of which another program has a file.
    try:
        out = place.parent.parent / f"{OPENING}{place.name}"
        replace_file(place, out)
    except OSError as error:
        raise explain_os_error(error, place) from error
    remove_tree(out)


def _drop_elsewhere(folder: Path) -> None:
    """Delete the vectors that a collection has in a Milvus.

    Raises:
        LookalikeError: when Milvus does not answer, or photos lie in a collection that is damaged.
    """
    try:
        collection = Collection(folder)
    except LookalikeError:
        if (folder / ORIGINALS).exists():
            raise  # the only copies of photos are not deleted with what cannot even be read
        return  # damaged, so nobody knows where they were
    with collection:
        gallery = collection.gallery
        if isinstance(gallery, MilvusGallery):
            gallery.drop()

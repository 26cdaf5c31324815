"""Contents whose vectors are lost: where a photo is here they are read again, else they are kept.

Nothing is forgotten for it. A picture that is marked (`PASSING`) has another time than its file, so
whoever compares its folder reads it again once the file is here; until then it is shown with all
that is known of it, and searches find it by what is left of its vectors, if anything.
"""

from collections.abc import Iterable
from pathlib import Path

from retrieval.exact import ZEROS
from retrieval.files import inside
from retrieval.records import PASSING
from retrieval.schema import ORIGINALS
from retrieval.store import Store

MARKED = f"content IS NOT NULL AND modified = {PASSING}"
ZEROED = f"{MARKED} AND {ZEROS}"  # they have zeros for a vector until then


def readable(store: Store, hashes: Iterable[str]) -> set[str]:
    """Return those of the contents of which a photo is here, by their SHA-256.

    What lies in object storage is taken to be there.
    """
    if store.fact("url", ""):
        return set(hashes)
    root = store.folder / (store.fact("root", "") or ORIGINALS)
    query = "SELECT path FROM pictures JOIN contents ON content = contents.id WHERE sha256 = ?"
    return {
        sha256
        for sha256 in hashes
        if any(_is_there(root, path) for (path,) in store.rows(query, sha256))
    }


def give_up(store: Store, hashes: Iterable[str], zeros: bool = False) -> set[str]:
    """Have contents whose vectors are lost read again; return those of which a photo is here.

    Args:
        zeros: put zeros in their places, which are like nothing; where vectors are ranked from the
            records, one that is not there would keep all others from being searched.
    """
    rows = [(sha256,) for sha256 in hashes]
    if not rows:
        return set()
    here = readable(store, (sha256 for (sha256,) in rows))
    with store.change() as database:
        database.executemany(
            f"UPDATE pictures SET modified = {PASSING} "
            "WHERE content = (SELECT id FROM contents WHERE sha256 = ?)",
            rows,
        )
        if zeros:
            blob = bytes(4 * int(store.fact("dimension")))
            database.executemany(
                "UPDATE contents SET embedding = ? WHERE sha256 = ?",
                [(blob, *row) for row in rows],
            )
        if here:  # the page offers to read them
            database.execute("INSERT OR REPLACE INTO facts VALUES ('unfinished', '1')")
    return here


def to_read_again(store: Store) -> set[str]:
    """Return the contents that are read again wherever their bytes are found, by their SHA-256."""
    return set(_sha256_by_path(store, MARKED).values())


def zeroed(store: Store) -> dict[str, str]:
    """Return the pictures that have zeros for a vector until then: their SHA-256 by their paths."""
    return _sha256_by_path(store, ZEROED)


def _sha256_by_path(store: Store, condition: str) -> dict[str, str]:
    query = "SELECT path, sha256 FROM pictures JOIN contents ON content = contents.id WHERE "
    return dict(store.rows(query + condition))


def _is_there(root: Path, path: str) -> bool:
    """Whether a photo can be opened."""
    real = inside(root, path)
    try:
        if real is None or not real.is_file():
            return False
        with real.open("rb") as file:
            return bool(file.read(1))
    except OSError:
        return False

"""The collections of this machine: one folder each, named so that one finds it again."""

import hashlib
import re
from pathlib import Path

from retrieval.collection import DATABASE, Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError


def folder_of(library: Path, name: str) -> Path:
    """Return the folder of the collection called `name`: the name, made safe for any disk."""
    safe = re.sub(r"[^\w-]+", "-", name).strip("-")[:60] or "collection"
    # Windows keeps these words for devices, with any ending.
    if re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", safe):
        safe += "-"
    return library / safe


def find_collection(library: Path, name: str | None) -> Path:
    """Return the folder of a collection by its name, or of the only one there is.

    Raises:
        LookalikeError: when there is none, or several and no name.
    """
    if name is not None:
        return folder_of(library, name)
    folders = sorted(path.parent for path in library.glob(f"*/{DATABASE}"))
    if not folders:
        raise LookalikeError(
            "There is no collection yet. Make one with: python -m retrieval index FOLDER"
        )
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise LookalikeError(f"There are several collections. Choose one with --name: {names}")
    return folders[0]


def collection_for(library: Path, root: Path, name: str | None, embedder: Embedder) -> Collection:
    """Open the collection of the pictures in `root`, or make an empty one.

    Without a `name` it takes the folder's; when that one is already used for another folder, or was
    made with another model, a number of its own is added, and nothing is overwritten.

    Raises:
        LookalikeError: when there is no such folder, or a given name is used for another folder.
    """
    if not root.is_dir():
        raise LookalikeError(f"There is no folder {root}. Check the name and try again.")
    title = name or root.resolve().name or "pictures"
    folder = folder_of(library, title)
    if name is None and not _fits(folder, root, embedder):
        identity = f"{root.resolve()}\n{embedder.fingerprint}"
        folder = folder.with_name(
            f"{folder.name}-{hashlib.sha256(identity.encode()).hexdigest()[:6]}"
        )
    collection = Collection.create(folder, title, root, embedder)
    if collection.root != root.resolve():
        collection.close()
        raise LookalikeError(
            f"There is already a collection {title}, of another folder. Choose another --name."
        )
    return collection


def _fits(folder: Path, root: Path, embedder: Embedder) -> bool:
    """Whether `folder` is free, or holds what is known of `root` by this very model."""
    if not (folder / DATABASE).exists():
        return True
    with Collection(folder) as collection:
        return collection.root == root.resolve() and collection.is_of(embedder)

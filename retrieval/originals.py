"""The original file of a picture, where it lies in its collection's folder."""

import io

from retrieval.collection import Collection
from retrieval.files import inside
from retrieval.folders import is_picture
from retrieval.records import PictureRecord


def has_original(collection: Collection, picture: PictureRecord) -> bool:
    """Whether the file of a picture is there to be opened."""
    file = open_original(collection, picture)
    if file is not None:
        file.close()
    return file is not None


def open_original(collection: Collection, picture: PictureRecord) -> io.BufferedReader | None:
    """Open the file of a picture, if it is one and lies inside its collection's folder."""
    root = collection.root
    real = inside(root, picture.path) if root is not None else None
    try:
        if real is None or not is_picture(real.name) or not real.is_file():
            return None
        return real.open("rb")
    except OSError:  # gone, or not readable
        return None

"""The original file of a picture, where it lies in its collection's folder."""

import io
import os
from pathlib import Path

from retrieval.collection import Collection
from retrieval.images import SUFFIXES
from retrieval.records import PictureRecord


def open_original(collection: Collection, picture: PictureRecord) -> io.BufferedReader | None:
    """Open the file of a picture, if it is one and lies inside its collection's folder.

    A collection may come from somebody else, and say that its pictures lie anywhere.
    """
    root = collection.root
    if root is None:
        return None
    try:
        real = Path(os.path.realpath(root / picture.path))
        inside = real.is_relative_to(os.path.realpath(root))
        if not inside or real.suffix.lower() not in SUFFIXES or not real.is_file():
            return None
        return real.open("rb")
    except (OSError, ValueError):  # gone, not readable, or a name that no disk can have
        return None

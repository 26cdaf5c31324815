"""Make the shipped collection anew from the pictures beside this script, after a change of either
the pictures or the bundled model: `python assets/starter/index.py`."""

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import open_embedder
from retrieval.indexing import index_folder

NAME = "Starter"


def main() -> None:
    """Index the pictures into a temporary collection, and put a compact copy in its place."""
    pictures = Path(__file__).resolve().parent / "pictures"
    embedder = open_embedder(
        settings.BUNDLED_MODEL,
        settings.BUNDLED_PCA,
        gpu=False,
        texture=settings.texture_path(settings.BUNDLED_PCA),
    )
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / "made"
        with Collection.create(made, NAME, pictures, embedder) as collection:
            for step in index_folder(
                collection, pictures, embedder, find_changes(collection, pictures)
            ):
                print(f"\r{step.done} of {step.total}", end="", file=sys.stderr)
            problems = collection.listing.problems()
            if problems:
                raise SystemExit(f"\n{problems}")
            copy = Path(temporary) / "copy"
            collection.copy_to(copy, root="../pictures")
        shutil.rmtree(settings.STARTER_COLLECTION, ignore_errors=True)
        shutil.move(copy, settings.STARTER_COLLECTION)
    print(f"\n{settings.STARTER_COLLECTION}")


if __name__ == "__main__":
    main()

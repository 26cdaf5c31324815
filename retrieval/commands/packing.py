"""The commands `pack` and `unpack`: a collection as one file, and back."""

import argparse
from pathlib import Path
from typing import Any

from retrieval import settings
from retrieval.bundle import Photos, pack
from retrieval.collection import Collection
from retrieval.commands.reading import embedder_of
from retrieval.errors import LookalikeError
from retrieval.files import clear_parts, need_place
from retrieval.library import find_collection, name_unlike
from retrieval.unbundling import is_packed, photos_of, unpack_bundle
from retrieval.uploads import BUNDLE


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the commands."""
    packing = commands.add_parser("pack", help="write a collection into one file")
    packing.add_argument("file", type=Path, help="where to, ending in .lookalike")
    packing.add_argument("--name", help="the collection (default: the only one there is)")
    packing.add_argument("--photos", action="store_true", help="with the photos themselves")
    packing.set_defaults(command=run_pack)

    unpacking = commands.add_parser(
        "unpack", parents=[common], help="open a collection that was packed elsewhere"
    )
    unpacking.add_argument("file", type=Path, help="a .lookalike file")
    unpacking.add_argument(
        "--name",
        help="what to call it (default: as it was called); one that is taken gets a number",
    )
    unpacking.set_defaults(command=run_unpack)


def run_pack(arguments: argparse.Namespace) -> None:
    """Write a collection into a file, and say what is in it."""
    if arguments.file.is_file() and not is_packed(arguments.file):
        raise LookalikeError(
            f"{arguments.file} is there already, and is no packed collection, so it is not written "
            "over. Name another file, or delete that one first."
        )
    if arguments.file.suffix.lower() != BUNDLE:
        raise LookalikeError(
            f"The name of a packed collection ends in {BUNDLE}, by which the page knows it. Name "
            f"it {arguments.file}{BUNDLE}, for one."
        )
    need_place(arguments.file, arguments.file.suffix.lower())
    clear_parts(arguments.file)
    with Collection.to_read(find_collection(settings.COLLECTIONS, arguments.name)) as collection:
        photos = pack(collection, arguments.file, arguments.photos)
        ready, unread = collection.listing.count()
        size = arguments.file.stat().st_size / 2**20
        print(
            f"{arguments.file}: {_counted(ready, 'picture')} of {collection.name}, {size:,.1f} MB"
            f"{_told(photos, unread, 'is in it', 'are in it')}"
        )


def run_unpack(arguments: argparse.Namespace) -> None:
    """Open a collection from a file, and say what came along."""
    folder = unpack_bundle(
        arguments.file, settings.COLLECTIONS, embedder_of(arguments), arguments.name
    )
    with Collection(folder) as collection:
        name_unlike(settings.COLLECTIONS, collection)
        ready, unread = collection.listing.count()
        told = _told(photos_of(collection), unread, "came along", "came along")
        print(f"{collection.name}: {_counted(ready, 'picture')} ready{told}")


def _told(photos: Photos, unread: int, one: str, several: str) -> str:
    """Say how many photos are in a packed collection, or came along; "" where none were to.

    Args:
        unread: how many files that could not be read are counted with them.
    """
    if photos == Photos():
        return ""
    packed = f"{_counted(photos.packed, 'photo')} {one if photos.packed == 1 else several}"
    are = "is" if photos.missing == 1 else "are"
    missing = f", {photos.missing:,} {are} missing" if photos.missing else ""
    with_unread = ""
    if unread:
        with_unread = f" (with {_counted(unread, 'file')} that could not be read)"
    return f"; {packed}{missing}{with_unread}"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing if number == 1 else f'{thing}s'}"

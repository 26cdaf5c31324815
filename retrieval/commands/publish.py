"""The command `publish`: a collection as a Space of Hugging Face, which anybody can open."""

import argparse
import secrets
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from retrieval import settings
from retrieval.collection import Collection
from retrieval.commands.reading import bring_up_to_date
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.family import int8_path
from retrieval.files import remove_tree
from retrieval.library import collection_for, find_collection
from retrieval.space import Part, build_space, check_limits
from retrieval.terminal import GOES_ON

SEEN = (
    "see and download these pictures in small (320 pixels, panoramas up to 960), with the names of "
    "files and folders, labels, captions, sizes and dates. The photos themselves, and where they "
    "were taken, are not uploaded."
)


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("publish", help="make a collection a Space of Hugging Face")
    parser.add_argument("name", metavar="USER/NAME", help="what to call it; USER is you there")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--pictures", type=Path, metavar="FOLDER", help="index this and show it")
    shown.add_argument(
        "--collection",
        metavar="NAME",
        help="show this one (default: the pictures that ship with the app)",
    )
    parser.add_argument("--private", action="store_true", help="let nobody else see it")
    parser.add_argument("--yes", action="store_true", help="do not ask before uploading")
    parser.add_argument(
        "--dry-run", action="store_true", help="leave the folder instead of uploading it"
    )
    parser.set_defaults(command=run, stopped=GOES_ON)


def run(arguments: argparse.Namespace) -> None:
    """Build the folder, say what it holds and who will see it, and upload it."""
    # Only here: no other command needs the Hub's package.
    from huggingface_hub import HfApi

    from retrieval import hub

    hub.check_name(arguments.name)
    api, upload = HfApi(), not arguments.dry_run
    # Who is refused there is told before anything is built.
    place = hub.find_place(api, arguments.name) if upload else None
    private = arguments.private or (place is not None and place.private)
    own = arguments.pictures is not None or arguments.collection is not None
    asks = upload and own and not private and not arguments.yes
    if asks and not sys.stdin.isatty():
        raise LookalikeError(
            "Everybody would see your pictures, and nobody is here to agree to it. Add --yes, or "
            "--private."
        )
    with ExitStack() as stack:
        collection = _open(arguments, stack)
        folder = _new_folder(arguments.name)
        try:
            models = _models()
            parts = build_space(folder, settings.PROJECT, arguments.name, models, collection)
            print(as_table(arguments.name, parts))
            large = check_limits(folder)
            print(f"Files of over 10 MB, which go to the Hub's storage for large ones: {large}.")
            if own:
                print(f"Only who may open {arguments.name} can {SEEN}" if private else _warning())
            if place is None:
                print(f"Nothing was uploaded. The folder: {folder}")
                return
            if asks:
                _ask()
            address = hub.upload(api, place, folder, arguments.private)
        except BaseException:
            remove_tree(folder)
            raise
        remove_tree(folder)
    print(f"{address} is there, and opens when it has been built, in some minutes.")


def as_table(name: str, parts: Iterable[Part]) -> str:
    """Return in words and figures what is uploaded."""
    rows = [*parts]
    rows.append(Part("together", sum(r.files for r in rows), sum(r.bytes for r in rows)))
    width = max(len(name), *(len(row.what) for row in rows))
    lines = [f"{name:{width}}  files      MB"]
    lines += (f"{r.what:{width}}  {r.files:5,}  {r.bytes / 10**6:6,.1f}" for r in rows)
    return "\n".join(lines)


def _open(arguments: argparse.Namespace, stack: ExitStack) -> Collection | None:
    """Return the collection to be shown, ready; None for the one that ships with the app."""
    if arguments.pictures is not None:
        root, embedder = arguments.pictures, _embedder()
        collection = collection_for(settings.COLLECTIONS, root, None, embedder)
        stack.enter_context(collection)
        bring_up_to_date(collection, root, embedder)
    elif arguments.collection is not None:
        folder = find_collection(settings.COLLECTIONS, arguments.collection)
        collection = stack.enter_context(Collection(folder))
        if not collection.is_of(_embedder()):
            raise LookalikeError(
                f"{collection.name} was made with another model, and a Space carries the one that "
                "ships with the app. Publish its folder instead: --pictures FOLDER"
            )
    else:
        return None
    if not collection.listing.count()[0]:
        raise LookalikeError(
            f"{collection.name} has no pictures that can be read. Name a folder with pictures: "
            "--pictures FOLDER"
        )
    return collection


def _embedder() -> Embedder:
    pca = settings.BUNDLED_PCA
    return open_embedder(settings.BUNDLED_MODEL, pca, texture=settings.texture_path(pca))


def _models() -> list[Path]:
    model, pca = settings.BUNDLED_MODEL, settings.BUNDLED_PCA
    return [model, int8_path(model), model.with_name("README.md"), pca, settings.texture_path(pca)]


def _new_folder(name: str) -> Path:
    """Make an empty folder for a Space called `name`.

    Not a temporary one, which a Python of Windows' Store makes where no other program finds it.
    """
    folder = settings.HOME / f"space-{name.partition('/')[2]}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return folder


def _warning() -> str:
    return f"Everybody on the internet will be able to {SEEN} --private keeps them to yourself."


def _ask() -> None:
    """Raise LookalikeError unless whoever is at the keyboard agrees."""
    print("Upload them? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise LookalikeError("Nothing was uploaded.")

"""The command `move`: takes a collection's vectors to a Milvus, and brings them back."""

import argparse
import sys
from typing import Any

from tqdm import tqdm

from retrieval import settings
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.library import find_collection
from retrieval.milvus_kinds import KINDS, LITE
from retrieval.moving import drop_left, move_home, move_out
from retrieval.terminal import GOES_ON, printable

HERE = "local"
LISTED = 20  # pictures that are named


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("move", help="take a collection's vectors to Milvus, or back")
    parser.add_argument("name", help="the collection")
    parser.add_argument(
        "--to", required=True, metavar="URI", help=f"FILE.db, http://HOST:19530, or {HERE}"
    )
    offered = sorted({*LITE, *(kind for _, kinds in KINDS for kind in kinds)})
    parser.add_argument(
        "--index", choices=offered, metavar="KIND", help=f"one of {', '.join(offered)}"
    )
    parser.add_argument(
        "--drop",
        action="store_true",
        help="delete the vectors at the place they come from, and where earlier moves left them",
    )
    parser.set_defaults(command=run, stopped=GOES_ON)


def run(arguments: argparse.Namespace) -> None:
    """Move, with a bar; killed and run again, it goes on."""
    if arguments.index and arguments.to == HERE:
        raise LookalikeError("Vectors that lie here need no index. Leave --index out.")
    with Collection(find_collection(settings.COLLECTIONS, arguments.name)) as collection:
        home = arguments.to == HERE
        kinds = [arguments.index] if arguments.index else []
        steps = move_home(collection) if home else move_out(collection, arguments.to, kinds)
        lost: tuple[str, ...] = ()
        with tqdm(unit="picture", desc=collection.name, file=sys.stderr) as bar:
            for step in steps:
                bar.total = step.total
                bar.update(step.done - bar.n)
                lost = step.lost
        ready, _ = collection.listing.count()
        whose = f"the vectors of {ready - len(lost):,} are" if lost else "their vectors are"
        print(f"{collection.name}: {ready:,} pictures, {whose} at {arguments.to}")
        if lost:
            print(_told(lost), file=sys.stderr)
        if arguments.drop:
            drop_left(collection)


def _told(lost: tuple[str, ...]) -> str:
    """Say which pictures are found by no search any more, and how they come back."""
    listed = [*lost[:LISTED], *([f"and {len(lost) - LISTED:,} more"] if len(lost) > LISTED else [])]
    return (
        f"The vectors of the others, {len(lost):,}, are lost. The pictures are kept, but no "
        "search finds them until their photos are read again. Index the folder, or go on with it "
        "on the page; where the photos are not here, add them to it again.\n"
        + "\n".join(map(printable, listed))
    )

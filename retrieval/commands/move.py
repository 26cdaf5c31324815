"""The command `move`: takes a collection's vectors to a Milvus, and brings them back."""

import argparse
import sys
from typing import Any

from tqdm import tqdm

from retrieval import settings
from retrieval.collection import Collection
from retrieval.library import find_collection
from retrieval.milvus import KINDS, LITE
from retrieval.moving import drop_copy, move_home, move_out

HERE = "local"


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
        "--drop", action="store_true", help="delete the vectors at the place they come from"
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> None:
    """Move, with a bar; killed and run again, it goes on."""
    with Collection(find_collection(settings.COLLECTIONS, arguments.name)) as collection:
        before = collection.place
        home = arguments.to == HERE
        kinds = [arguments.index] if arguments.index else []
        steps = move_home(collection) if home else move_out(collection, arguments.to, kinds)
        with tqdm(unit="picture", desc=collection.name, file=sys.stderr) as bar:
            for step in steps:
                bar.total = step.total
                bar.update(step.done - bar.n)
        ready, _ = collection.count()
        print(f"{collection.name}: {ready:,} pictures, their vectors are at {arguments.to}")
        if not arguments.drop:
            return
        if before is None or before == collection.place:
            drop_copy(collection)
        else:
            collection.gallery_at(before).drop()

"""The command `search`: finds the pictures most similar to one."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from retrieval import settings
from retrieval.collection import Collection
from retrieval.commands.reading import embedder_of
from retrieval.errors import LookalikeError
from retrieval.images import read_bounded
from retrieval.library import find_collection
from retrieval.objects import is_url
from retrieval.paths import as_text
from retrieval.query import Filters
from retrieval.search import Searcher
from retrieval.terminal import printable


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "search",
        parents=[common],
        help="find the pictures most similar to one",
        description="Find the pictures most similar to one. As on the page, it is cleaned up first "
        "where it is noisy or dark.",
    )
    parser.add_argument("picture", help="the picture to search with")
    parser.add_argument("-k", type=int, default=settings.RESULTS, help="how many (default 24)")
    parser.add_argument("--name", help="the collection (default: the only one there is)")
    parser.add_argument("--label", default="", help="only pictures with this label")
    parser.add_argument("--folder", default="", help="only pictures below this subfolder")
    parser.add_argument(
        "--no-cleaning", action="store_true", help="do not clean a noisy or dark picture up first"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> None:
    """Search, and print the matches; how it was done goes to stderr."""
    if not 1 <= arguments.k <= 100_000:
        raise LookalikeError("-k must be from 1 to 100,000.")
    if not arguments.picture.strip():
        raise LookalikeError("No picture is named. Name the file to search with.")
    if is_url(arguments.picture):
        raise LookalikeError("This searches with a file. Save that picture, and name its file.")
    with Collection.to_read(find_collection(settings.COLLECTIONS, arguments.name)) as collection:
        searcher = Searcher(collection, embedder_of(arguments))
        picture = read_bounded(Path(arguments.picture), settings.MAX_FILE_BYTES)
        filters = Filters(as_text(arguments.label), as_text(arguments.folder.strip("/")))
        clean = not arguments.no_cleaning
        found = searcher.search_file(picture, arguments.k, settings.MAX_PIXELS, filters, clean)
        if not found.compared and collection.listing.count()[0]:
            print(
                f"{collection.name} has no such picture. Check how --label and --folder are "
                "written, capital letters too.",
                file=sys.stderr,
            )
    if found.cleaned:
        print(
            "The picture was cleaned up before searching: less noise, more light. --no-cleaning "
            "leaves it as it is.",
            file=sys.stderr,
        )
    if arguments.json:
        rows = [
            {
                "picture": match.picture.path,
                "label": match.picture.label,
                "similarity": round(match.similarity, 6),
            }
            for match in found.matches
        ]
        print(json.dumps(rows, indent=1))
    else:
        for match in found.matches:
            print(f"{match.similarity:.4f}  {printable(match.picture.path)}")
    print(
        f"{found.compared:,} pictures compared in {found.timings.total:.0f} ms "
        f"({searcher.embedder.extractor.provider}, {found.ranked})",
        file=sys.stderr,
    )

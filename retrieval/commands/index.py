"""The command `index`: makes a folder or a place in object storage searchable."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from retrieval import settings
from retrieval.changes import Changes, find_changes
from retrieval.collection import Collection
from retrieval.commands.reading import (
    bring_up_to_date,
    embedder_of,
    pca_of,
    tell_of_problems,
    tell_of_unread_tables,
)
from retrieval.embedding import Embedder
from retrieval.errors import BusyError, LookalikeError
from retrieval.extraction import Plan, Source, carry_out, here, plan_bucket, plan_folder
from retrieval.files import remove_tree
from retrieval.folders import require_pictures
from retrieval.indexing import Bounds
from retrieval.library import collection_for, collection_of
from retrieval.objects import Bucket, is_url
from retrieval.schema import DATABASE
from retrieval.store import held_alone
from retrieval.terminal import GOES_ON


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "index", parents=[common], help="make a folder searchable, or bring it up to date"
    )
    parser.add_argument("folder", metavar="FOLDER|URL", help="a folder, or s3://BUCKET/...")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="read and describe on this Ray cluster: auto, HOST:6379 or ray://HOST:10001",
    )
    parser.add_argument("--name", help="what to call the collection (default: the folder's name)")
    parser.add_argument(
        "--milvus",
        default=settings.MILVUS_URI,
        metavar="URI",
        help="keep the vectors of a new collection there: FILE.db or http://HOST:19530 "
        "(or set LOOKALIKE_MILVUS_URI)",
    )
    parser.set_defaults(command=run, stopped=GOES_ON)


def run(arguments: argparse.Namespace) -> None:
    """Bring the collection up to date, and say what there was to do."""
    where: str = arguments.folder
    if not where.strip():  # as of a variable that is not set; a Path takes it for where one is
        raise LookalikeError("No folder is named. Name the one that your photos are in.")
    embedder = embedder_of(arguments)
    library, milvus = settings.COLLECTIONS, arguments.milvus
    name = (arguments.name or "").strip() or None
    there = set(library.glob("*"))
    opened = (
        collection_of(library, where, name, embedder, milvus)
        if is_url(where)
        else collection_for(library, Path(where), name, embedder, milvus)
    )
    made = opened.is_new
    try:
        with opened as collection:
            if is_url(where) or arguments.ray:
                plan: Plan | Changes = _extract(collection, where, embedder, arguments)
            else:
                plan = bring_up_to_date(collection, Path(where), embedder)
            ready, unreadable = collection.listing.count()
            if not ready and not unreadable and not collection.excluded.paths():
                if not is_url(where):
                    require_pictures(Path(where).resolve())  # which says more
                raise LookalikeError(f"There is no picture in {where}. Choose another folder.")
            touched = f"{len(plan.touched):,} with another date, " if plan.touched else ""
            moved = len(plan.moved)
            renamed = f"{moved:,} {'has' if moved == 1 else 'have'} moved, " if moved else ""
            print(
                f"{collection.name}: {ready:,} {'picture' if ready == 1 else 'pictures'} ready, "
                f"{unreadable:,} could not be read; {plan.unchanged:,} were known, "
                f"{touched}{renamed}{len(plan.vanished):,} are gone ({embedder.extractor.provider})"
            )
    except BusyError:
        made = False  # by now it is another program's
        raise
    finally:
        if made:
            _leave_nothing(opened.folder, whole=opened.folder not in there)


def _leave_nothing(folder: Path, whole: bool) -> None:
    """Delete a collection that was made for nothing: there would be one more to choose from.

    Args:
        whole: its folder as well; else that was there before, of one whose records were set aside,
            and what else lies in it stays.
    """
    with suppress(LookalikeError, OSError):
        with held_alone(folder, lambda: folder.name):
            with Collection(folder) as collection:
                if any(collection.listing.count()):
                    return
            if whole:
                remove_tree(folder)
            else:
                (folder / DATABASE).unlink()
        if whole:
            folder.rmdir()  # which Windows keeps while the lock lies in it


def _extract(
    collection: Collection, where: str, embedder: Embedder, arguments: argparse.Namespace
) -> Plan:
    """Index with workers, here or on a Ray cluster; return what there was to do."""
    collection.require(embedder)
    bounds = Bounds()
    source = Source(where if is_url(where) else str(Path(where).resolve()), is_url(where))
    if source.is_url:
        plan = plan_bucket(collection, Bucket(where))
    else:
        plan = plan_folder(find_changes(collection, Path(where)), Path(where))
    work = here(source, embedder, bounds)
    if arguments.ray:
        from retrieval.cluster import on_ray

        pca = pca_of(arguments)
        files = (arguments.model, pca, settings.texture_path(pca))
        work = on_ray(arguments.ray, *files, source, bounds, gpu=not arguments.cpu)
    with tqdm(unit="picture", desc=collection.name, file=sys.stderr) as bar:
        for step in carry_out(collection, plan, work):
            bar.total = step.total
            bar.update(step.done - bar.n)
    collection.mark_finished()
    tell_of_unread_tables(plan.unread_tables)
    tell_of_problems(collection.listing.problems())
    return plan

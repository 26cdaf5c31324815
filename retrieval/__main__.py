"""The command `python -m retrieval`: collections, searches and measurements from a terminal."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from retrieval import settings
from retrieval.bundle import Photos, pack
from retrieval.changes import Changes, find_changes
from retrieval.checking import check_collection
from retrieval.collection import Collection
from retrieval.commands import bench, evaluate, move, paper, publish
from retrieval.commands.reading import bring_up_to_date, features_of, tell_of_unread_tables
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import LookalikeError
from retrieval.extraction import Plan, Source, carry_out, here, plan_bucket, plan_folder
from retrieval.images import read_bounded
from retrieval.indexing import Bounds
from retrieval.library import collection_for, collection_of, find_collection
from retrieval.model import OnnxExtractor
from retrieval.objects import Bucket, is_url
from retrieval.query import Filters
from retrieval.reduction import Matrix, fit_pca, load_pca, save_pca
from retrieval.search import Searcher
from retrieval.terminal import print_every_letter
from retrieval.unbundling import photos_of, unpack_bundle


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0, or 1 after printing what went wrong."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = arguments.command
    print_every_letter()
    try:
        command(arguments)
        sys.stdout.flush()  # a closed pipe is to be noticed here and not at the exit
    except LookalikeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept; run it again to go on.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output, `head` say, has seen enough. What is left goes nowhere, or else
        # Python would stumble over it at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m retrieval", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--model",
        type=Path,
        default=settings.BUNDLED_MODEL,
        metavar="FILE",
        help="an .onnx file made by `python -m export` (default: the bundled one)",
    )
    common.add_argument(
        "--pca", type=Path, metavar="FILE", help="its PCA (default: the one beside it)"
    )
    common.add_argument("--cpu", action="store_true", help="leave the GPU alone")

    index = commands.add_parser(
        "index", parents=[common], help="make a folder searchable, or bring it up to date"
    )
    index.add_argument("folder", metavar="FOLDER|URL", help="a folder, or s3://BUCKET/...")
    index.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="read and describe on this Ray cluster: auto, HOST:6379 or ray://HOST:10001",
    )
    index.add_argument("--name", help="what to call the collection (default: the folder's name)")
    index.add_argument(
        "--milvus",
        default=settings.MILVUS_URI,
        metavar="URI",
        help="keep the vectors of a new collection there: FILE.db or http://HOST:19530 "
        "(or set LOOKALIKE_MILVUS_URI)",
    )
    index.set_defaults(command=_index)

    search = commands.add_parser(
        "search", parents=[common], help="find the pictures most similar to one"
    )
    search.add_argument("picture", type=Path, help="the picture to search with")
    search.add_argument("-k", type=int, default=settings.RESULTS, help="how many (default 24)")
    search.add_argument("--name", help="the collection (default: the only one there is)")
    search.add_argument("--label", default="", help="only pictures with this label")
    search.add_argument("--folder", default="", help="only pictures below this subfolder")
    search.add_argument("--json", action="store_true", help="print JSON")
    search.set_defaults(command=_search)

    evaluate.add(commands, common)
    paper.add(commands, common)
    bench.add(commands, common)
    publish.add(commands)

    move.add(commands)

    check = commands.add_parser("check", parents=[common], help="verify that a collection is whole")
    check.add_argument("--name", help="the collection (default: the only one there is)")
    check.add_argument("--repair", action="store_true", help="mend what can be mended")
    check.set_defaults(command=_check)

    pack_ = commands.add_parser("pack", help="write a collection into one file")
    pack_.add_argument("file", type=Path, help="where to, ending in .lookalike")
    pack_.add_argument("--name", help="the collection (default: the only one there is)")
    pack_.add_argument("--photos", action="store_true", help="with the photos themselves")
    pack_.set_defaults(command=_pack)

    unpack = commands.add_parser(
        "unpack", parents=[common], help="open a collection that was packed elsewhere"
    )
    unpack.add_argument("file", type=Path, help="a .lookalike file")
    unpack.add_argument("--name", help="what to call it (default: as it was called)")
    unpack.set_defaults(command=_unpack)

    fit = commands.add_parser("fit-pca", parents=[common], help="fit the PCA of a model")
    fit.add_argument("folder", type=Path, help="pictures of all kinds; thousands are best")
    fit.add_argument(
        "--components", type=int, default=settings.PRINCIPAL_COMPONENTS, help="default 256"
    )
    fit.add_argument("--whitening", type=float, default=0.0, help="0 (none, default) to 1")
    fit.set_defaults(command=_fit_pca)
    return parser


def _pca_of(arguments: argparse.Namespace) -> Path:
    pca: Path | None = arguments.pca
    return pca or settings.pca_path(arguments.model)


def _embedder(arguments: argparse.Namespace) -> Embedder:
    pca = _pca_of(arguments)
    return open_embedder(
        arguments.model, pca, gpu=not arguments.cpu, texture=settings.texture_path(pca)
    )


def _index(arguments: argparse.Namespace) -> None:
    where: str = arguments.folder
    embedder = _embedder(arguments)
    library, name, milvus = settings.COLLECTIONS, arguments.name, arguments.milvus
    opened = (
        collection_of(library, where, name, embedder, milvus)
        if is_url(where)
        else collection_for(library, Path(where), name, embedder, milvus)
    )
    with opened as collection:
        if is_url(where) or arguments.ray:
            plan: Plan | Changes = _extract(collection, where, embedder, arguments)
        else:
            plan = bring_up_to_date(collection, Path(where), embedder)
        ready, unreadable = collection.count()
        print(
            f"{collection.name}: {ready:,} pictures ready, {unreadable:,} could not be read; "
            f"{plan.unchanged:,} were known, {len(plan.vanished):,} are gone "
            f"({embedder.extractor.provider})"
        )


def _extract(
    collection: Collection, where: str, embedder: Embedder, arguments: argparse.Namespace
) -> Plan:
    """Index with workers, here or on a Ray cluster; return what there was to do."""
    collection.require(embedder)
    bounds = Bounds(settings.MAX_FILE_BYTES, settings.MAX_PIXELS)
    source = Source(where if is_url(where) else str(Path(where).resolve()), is_url(where))
    if source.is_url:
        plan = plan_bucket(collection, Bucket(where))
    else:
        plan = plan_folder(find_changes(collection, Path(where)), Path(where))
    run = here(source, embedder, bounds)
    if arguments.ray:
        from retrieval.cluster import on_ray

        pca = _pca_of(arguments)
        files = (arguments.model, pca, settings.texture_path(pca))
        run = on_ray(arguments.ray, *files, source, bounds, gpu=not arguments.cpu)
    with tqdm(unit="picture", desc=collection.name, file=sys.stderr) as bar:
        for step in carry_out(collection, plan, run):
            bar.total = step.total
            bar.update(step.done - bar.n)
    collection.mark_finished()
    tell_of_unread_tables(plan.unread_tables)
    for path, problem in collection.problems():
        print(f"{path}: {problem}", file=sys.stderr)
    return plan


def _search(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.k <= 100_000:
        raise LookalikeError("-k must be from 1 to 100,000.")
    with Collection(find_collection(settings.COLLECTIONS, arguments.name)) as collection:
        searcher = Searcher(collection, _embedder(arguments))
        picture = read_bounded(arguments.picture, settings.MAX_FILE_BYTES)
        filters = Filters(label=arguments.label, folder=arguments.folder.strip("/"))
        found = searcher.search_file(picture, arguments.k, settings.MAX_PIXELS, filters)
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
            print(f"{match.similarity:.4f}  {match.picture.path}")
    print(
        f"{found.compared:,} pictures compared in {found.timings.total:.0f} ms "
        f"({searcher.embedder.extractor.provider}, {found.ranked})",
        file=sys.stderr,
    )


def _check(arguments: argparse.Namespace) -> None:
    folder = find_collection(settings.COLLECTIONS, arguments.name)
    findings = check_collection(folder, arguments.repair, lambda: _embedder(arguments))
    for finding in findings:
        print(finding.sentence, "(mended)" if finding.repaired else "")
    if not findings:
        print(f"{folder.name} is whole.")
    elif all(finding.repaired for finding in findings):
        print(
            f"{folder.name} is whole again. Index its folder, or go on with it on the page, to "
            "read what was lost anew."
        )
    else:
        cure = (
            "What could not be mended was kept. Connect the disk with its photos, and try again."
            if arguments.repair
            else f"Mend it with: python -m retrieval check --repair --name {folder.name}"
        )
        raise LookalikeError(f"{folder.name} is not whole. {cure}")


def _pack(arguments: argparse.Namespace) -> None:
    with Collection(find_collection(settings.COLLECTIONS, arguments.name)) as collection:
        photos = pack(collection, arguments.file, arguments.photos)
        ready, _ = collection.count()
        size = arguments.file.stat().st_size / 2**20
        print(
            f"{arguments.file}: {ready:,} pictures of {collection.name}, {size:,.1f} MB"
            f"{_told(photos, 'are in it')}"
        )


def _unpack(arguments: argparse.Namespace) -> None:
    folder = unpack_bundle(
        arguments.file, settings.COLLECTIONS, _embedder(arguments), arguments.name
    )
    with Collection(folder) as collection:
        ready, _ = collection.count()
        told = _told(photos_of(collection), "came along")
        print(f"{collection.name}: {ready:,} pictures ready{told}")


def _told(photos: Photos, are: str) -> str:
    """Say how many photos are in a packed collection, or came along; "" where none were to."""
    missing = f", {photos.missing:,} are missing" if photos.missing else ""
    return f"; {photos.packed:,} photos {are}{missing}" if photos != Photos() else ""


def _fit_pca(arguments: argparse.Namespace) -> None:
    if arguments.components < 1 or not 0 <= arguments.whitening <= 1:
        raise LookalikeError("--components must be at least 1, and --whitening from 0 to 1.")
    path = _pca_of(arguments)
    if path == settings.BUNDLED_PCA and not arguments.pca:
        raise LookalikeError(
            "That would replace the PCA that came with the app, and all its pictures would have to "
            "be indexed again. Name the model to fit one for: --model FILE (or where to write it: "
            "--pca FILE)."
        )
    extractor = OnnxExtractor(arguments.model, gpu=not arguments.cpu)
    textures: list[Matrix] = []

    def extract(pictures: npt.NDArray[np.uint8]) -> Matrix:
        """Keep the textures aside, so that the network runs once for both."""
        if not extractor.texture_dimension:
            return extractor.extract(pictures)
        features, texture = extractor.extract_with_texture(pictures)
        textures.append(texture)
        return features

    features, _ = features_of(arguments.folder, extractor, extract)
    card = extractor.card
    save_pca(fit_pca(features, card, arguments.components, arguments.whitening), path)
    if textures:
        texture = fit_pca(
            np.concatenate(textures), card, settings.TEXTURE_COMPONENTS, settings.TEXTURE_WHITENING
        )
        save_pca(texture, settings.texture_path(path))
    reduction = load_pca(path, card)
    print(f"{path}: {reduction.dimension} components, fitted on {reduction.fitted_on:,} pictures")


if __name__ == "__main__":
    sys.exit(main())

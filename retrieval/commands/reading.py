"""What several commands do alike: open what is asked for, read pictures, write a result."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from retrieval import settings
from retrieval.captions import UnreadTable
from retrieval.changes import Changes, find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.family import open_model
from retrieval.features import extract_files
from retrieval.files import replace_when_done
from retrieval.folders import find_images
from retrieval.indexing import index_folder
from retrieval.model import FeatureExtractor, OnnxExtractor
from retrieval.reduction import Matrix
from retrieval.terminal import printable


def offer_floats(parser: argparse.ArgumentParser) -> None:
    """Add the option by which figures of the float model are had where 8 bits are used."""
    parser.add_argument(
        "--float", action="store_true", help="do not use the model's sibling in 8 bits"
    )


def open_as_asked(model: Path, arguments: argparse.Namespace) -> OnnxExtractor:
    """Open a model as `--cpu` and `--float` want it."""
    gpu = not arguments.cpu
    return OnnxExtractor(model, gpu=gpu) if arguments.float else open_model(model, gpu=gpu)


def pca_of(arguments: argparse.Namespace) -> Path:
    """Return where the PCA is that `--pca` names, or else the model's own."""
    pca: Path | None = arguments.pca
    return pca or settings.pca_path(arguments.model)


def embedder_of(arguments: argparse.Namespace, needs_pca: bool = True) -> Embedder:
    """Open what `--model`, `--pca` and `--cpu` ask for.

    Args:
        needs_pca: where there is none, say so, rather than go on with the features themselves.
    """
    pca = pca_of(arguments)
    found = pca if needs_pca or pca.is_file() else None
    texture = settings.texture_path(pca)
    return open_embedder(arguments.model, found, gpu=not arguments.cpu, texture=texture)


def need_folder(folder: Path) -> None:
    """Raise a LookalikeError where there is no such folder."""
    if not folder.is_dir():
        raise LookalikeError(f"There is no folder {folder}. Check the name and try again.")


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures below a folder.

    Folders in it that may not be opened are passed over, which is said.

    Raises:
        LookalikeError: when there are none, or no folder, or it may not be opened.
    """
    need_folder(folder)
    errors: list[OSError] = []
    paths = list(find_images(folder, errors.append))
    for error in errors:
        if str(error.filename) == str(folder):
            raise explain_os_error(error, folder)
        _say_closed(error.filename)
    if not paths:
        raise LookalikeError(f"There are no pictures in {folder}. Name another folder.")
    return paths


def features_of(
    folder: Path,
    extractor: FeatureExtractor,
    extract: Callable[[npt.NDArray[np.uint8]], Matrix] | None = None,
) -> tuple[Matrix, list[Path]]:
    """Return the features `(n, d)` of the pictures below a folder, and their files.

    Raises:
        LookalikeError: when there are none.
    """
    return features_of_files(pictures_in(folder), folder.name, extractor, extract)


def features_of_files(
    paths: Sequence[Path],
    name: str,
    extractor: FeatureExtractor,
    extract: Callable[[npt.NDArray[np.uint8]], Matrix] | None = None,
) -> tuple[Matrix, list[Path]]:
    """Return the features `(n, d)` of those pictures that can be read, and their files.

    Args:
        name: what the progress bar is called.

    Raises:
        LookalikeError: when none can be read.
    """
    features, read, unread = extract_files(
        paths,
        extractor,
        lambda files: tqdm(files, unit="picture", desc=name, file=sys.stderr),
        extract=extract,
    )
    tell_of_problems(unread)
    return features, read


def bring_up_to_date(collection: Collection, root: Path, embedder: Embedder) -> Changes:
    """Read into a collection what is new in its folder, with a progress bar; return what it was."""
    changes = find_changes(collection, root)
    bar = tqdm(total=len(changes.to_read), unit="picture", desc=collection.name, file=sys.stderr)
    with bar:
        for step in index_folder(collection, root, embedder, changes):
            bar.update(step.done - bar.n)
    collection.mark_finished()
    for folder in changes.unreadable_folders:
        named = root if folder == "." else folder
        _say_closed(named)
    tell_of_unread_tables(changes.unread_tables)
    tell_of_problems(collection.listing.problems())
    return changes


def tell_of_problems(problems: Iterable[tuple[Path | str, str]]) -> None:
    """Say which files could not be read, and why."""
    for path, problem in problems:
        print(printable(f"{path}: {problem}"), file=sys.stderr)


def tell_of_unread_tables(tables: Iterable[UnreadTable]) -> None:
    """Say which tables are not read, or not to their end, and what becomes of labels then."""
    for table in tables:
        said = f"The table (CSV) {table.name}: {table.why}"
        if table.flaw != "narrowed":
            said += " Until then labels and captions there stay as they are."
        print(printable(said), file=sys.stderr)


def write(path: Path, data: str | bytes) -> None:
    """Write a result, whole or not at all; a text in UTF-8."""
    with replace_when_done(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def _say_closed(folder: Path | str) -> None:
    said = f"The folder {folder} may not be opened; it was passed over."
    print(printable(said), file=sys.stderr)

"""What several commands do alike: read a folder's pictures with a progress bar, write a result."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from retrieval.errors import LookalikeError
from retrieval.features import extract_files
from retrieval.files import replace_when_done
from retrieval.images import find_images
from retrieval.model import FeatureExtractor
from retrieval.reduction import Matrix


def features_of(
    folder: Path,
    extractor: FeatureExtractor,
    extract: Callable[[npt.NDArray[np.uint8]], Matrix] | None = None,
) -> tuple[Matrix, list[Path]]:
    """Return the features `(n, d)` of the pictures below a folder, and their files.

    Raises:
        LookalikeError: when there are none.
    """
    if not folder.is_dir():
        raise LookalikeError(f"There is no folder {folder}. Check the name and try again.")
    paths = list(find_images(folder))
    if not paths:
        raise LookalikeError(f"There are no pictures in {folder}. Name another folder.")
    features, read, unread = extract_files(
        paths,
        extractor,
        lambda files: tqdm(files, unit="picture", desc=folder.name, file=sys.stderr),
        extract=extract,
    )
    for path, problem in unread:
        print(f"{path}: {problem}", file=sys.stderr)
    return features, read


def write(path: Path, data: str | bytes) -> None:
    """Write a result, whole or not at all; a text in UTF-8."""
    with replace_when_done(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)

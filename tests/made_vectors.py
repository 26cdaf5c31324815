"""Collections of made-up vectors, for the tests of what does not look at pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from retrieval.collection import Collection
from retrieval.embedding import Aspects, Embedder
from retrieval.query import Weights
from retrieval.records import Content, Entry
from retrieval.reduction import Matrix, to_unit
from retrieval.search import Request, Searcher, search
from tests.made import MeanColour

WIDTHS = (32, 12, 8)
MIX = Weights(subject=1, colour=0.5, texture=0.5)


def of_width(width: int) -> Embedder:
    """Return an embedder whose card names so many numbers."""
    extractor = MeanColour()
    extractor.card = replace(extractor.card, dimension=width)
    return Embedder(extractor)


def clouds(n: int, width: int, seed: int) -> Matrix:
    """Return unit vectors that lie in 20 clouds, as pictures' do."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(20, width))
    return to_unit(centres[generator.integers(0, 20, n)] + generator.normal(size=(n, width)))


def fill(folder: Path, n: int, uri: str = "", seed: int = 0) -> Collection:
    """Make a collection of `n` made-up pictures, its vectors in Milvus where an address is given.

    Every seventh is a copy of the one before it: another file of the same bytes.
    """
    collection = Collection.create(folder, "made", None, of_width(WIDTHS[0]), milvus=uri)
    parts = [clouds(n, width, seed + at) for at, width in enumerate(WIDTHS)]
    generator = np.random.default_rng(seed)
    contents, entries = [], []
    for i in range(n):
        width, height = (int(side) for side in generator.integers(500, 3000, 2))
        day = f"20{i % 24:02}-{1 + i % 12:02}-0{1 + i % 9} 12:00:00"
        content = i - 1 if i % 7 == 6 else i
        label = ('quoted "a"', "b\\c", "ü")[i % 3]
        path = f"{label}/{('one', 'one%', 'One')[i % 2]}/{i:05}.jpg".replace("\\", "/")
        entries.append(Entry(path, 10, 10, label, f"{content:064x}", details='{"of": "Süd"}'))
        if content == i:
            vectors = (part[i] for part in parts)
            subject, colour, texture = vectors
            contents.append(
                Content(f"{i:064x}", width, height, day, subject, b"jpeg", colour, texture)
            )
    for start in range(0, n, 1000):
        collection.write(entries[start : start + 1000], contents[start : start + 1000])
    collection.write(entries, contents)
    return collection


def queries(n: int) -> list[Aspects]:
    """Return queries near the clouds that `fill` draws from."""
    parts = [clouds(2000, width, at)[:n] for at, width in enumerate(WIDTHS)]
    noise = np.random.default_rng(9)
    parts = [to_unit(part + 0.5 * noise.normal(size=part.shape)) for part in parts]
    return [Aspects(*(part[row : row + 1] for part in parts)) for row in range(n)]


def found(searcher: Searcher, query: Aspects, request: Request) -> tuple[list[str], list[float]]:
    matches = search([searcher], query, request).matches
    return [m.picture.path for m in matches], [m.similarity for m in matches]

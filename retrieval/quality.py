"""How good a served collection is: which of its pictures are asked, and other settings for them.

The plain self-test ranks the embeddings that the collection keeps, so it needs no network. Other
settings need the features before the PCA, which no collection keeps: they are computed anew.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.collection import Collection
from retrieval.compare import COMPUTED_BY, Comparison, Setting, compare
from retrieval.embedding import Embedder, describe
from retrieval.errors import LookalikeError, PictureError
from retrieval.evaluation import Labelled, SelfTest, left_out, need_right_and_wrong, number
from retrieval.family import open_model
from retrieval.features import ahead
from retrieval.files import inside
from retrieval.images import open_picture
from retrieval.model import FeatureExtractor
from retrieval.preprocessing import preprocess, scale_for
from retrieval.rankings import Integers
from retrieval.records import PictureRecord
from retrieval.reduction import Matrix, project
from retrieval.search import Searcher

BATCH = 8
WHITENINGS = {
    0.0: "Rare traits less (no whitening)",
    0.5: "Rare traits more (whitening 0.5)",
    1.0: "Rare traits most (whitening 1)",
}
EACH = 10  # pictures of a class that a sample has at least, where the class has as many


@dataclass(frozen=True)
class Labels:
    """The pictures of a collection that have a class, and their embeddings."""

    pictures: tuple[PictureRecord, ...]  # n of them
    labelled: Labelled  # (n, k)
    without: int  # pictures that have no class and take no part
    lost: int = 0  # those of which it is not known (any more) what they show
    copies: int = 0  # those of which the same file is among the pictures already

    def spread(self, n: int) -> Integers | None:
        """Return `n` rows spread evenly over the classes; None when there are no more than that."""
        if len(self.pictures) <= n:
            return None
        by_class = np.argsort(number(self.labelled.labels)[1], kind="stable")
        chosen = by_class[np.linspace(0, len(by_class), n, endpoint=False).astype(int)]
        return np.sort(chosen)

    def sample(self, n: int) -> Integers | None:
        """Return at most `n` rows that can be queries and collection; None when all of them can.

        A picture can only find others of its class that are in the sample too. So where there are
        many classes, some are drawn, always the same, rather than a picture or two of each of them,
        and none of a single picture, unless there is nothing else to tell a class from. Of each as
        many pictures are taken as fit, of all equally.
        """
        if len(self.pictures) <= n:
            return None
        _, classes = number(self.labelled.labels)
        sizes = np.bincount(classes)
        drawn = np.random.default_rng(0).permutation(len(sizes))
        single = sizes[drawn] < 2
        drawn = drawn[~single] if (~single).sum() > 1 else drawn[np.argsort(single, kind="stable")]
        fit = int(np.searchsorted(np.cumsum(np.minimum(sizes[drawn], EACH)), n, side="right"))
        drawn = drawn[: max(2, fit)]
        each = bisect_right(
            range(1, int(sizes.max()) + 1),
            n,
            key=lambda most: int(np.minimum(sizes[drawn], most).sum()),
        )
        chosen = []
        for one in drawn:
            rows = np.flatnonzero(classes == one)
            taken = min(len(rows), max(1, each))
            chosen.append(rows[np.linspace(0, len(rows), taken, endpoint=False).astype(int)])
        return np.sort(np.concatenate(chosen))

    def notes(self) -> dict[str, str]:
        """Return what the protocol has to say of pictures that take no part."""
        return left_out(self.without, self.copies, self.lost)


def read_labels(searcher: Searcher) -> Labels:
    """Read the classes of a collection: its labels, from subfolders or from a CSV.

    A picture finds its own copies always, which says nothing of others, so one of each takes part.

    Raises:
        LookalikeError: when a test of it would say nothing.
    """
    held = searcher.embeddings()
    row_of = {int(id_): row for row, id_ in enumerate(held.ids)}
    # A picture may have come or gone since the embeddings were read.
    known = [one for one in searcher.collection.listing.pictures() if one.id in row_of]
    if len(known) < 2:
        raise LookalikeError(
            f"A test needs several pictures, and {'only one is' if known else 'there are none'} "
            "here yet. Add more under “My pictures”."
        )
    is_known = np.any(held.vectors, axis=1)
    pictures = tuple(one for one in known if one.label and is_known[row_of[one.id]])
    lost = sum(bool(one.label) for one in known) - len(pictures)
    once: dict[str, PictureRecord] = {}
    for one in pictures:
        once.setdefault(one.sha256, one)
    copies, pictures = len(pictures) - len(once), tuple(once.values())
    labels = tuple(one.label for one in pictures)
    if lost and not labels:
        raise LookalikeError(
            "Of none of these pictures it is known what it shows. Look for changes in the "
            "collection, so that they are read again."
        )
    if not labels:
        raise LookalikeError(
            "The pictures of this collection are not sorted into kinds, so nothing can be tested "
            "by them. Put each kind of picture into a subfolder of its own (cats, dogs ...) and "
            "let the collection look for changes."
        )
    need_right_and_wrong(labels)
    rows = [row_of[one.id] for one in pictures]
    without = len(known) - len(pictures) - lost - copies
    return Labels(pictures, Labelled(held.vectors[rows], labels), without, lost, copies)


def plan_test(
    searcher: Searcher, most: int, notes: Mapping[str, str] | None = None
) -> tuple[Labels, SelfTest]:
    """Return the pictures of a collection and the test that asks at most `most` of them.

    Args:
        notes: more lines for the protocol.
    """
    labels = read_labels(searcher)
    model = searcher.embedder.describe()
    rows = labels.spread(most)
    notes = {**labels.notes(), **(notes or {})}
    return labels, SelfTest(labels.labelled, None, model, rows, reranked=True, notes=notes)


@dataclass(frozen=True)
class Progress:
    """How far a comparison has come: first the network sees the pictures, then they are ranked."""

    done: int
    total: int
    ranking: bool = False


def compare_settings(
    searcher: Searcher, setting: Setting, pca_path: Callable[[Path], Path], most: int
) -> Iterator[Progress | Comparison]:
    """Compare the collection's own setting with another, on at most `most` of its pictures.

    Features are computed anew, for both settings from the same pictures; where only the ranking is
    another, the embeddings that are kept serve both. Yields the progress, and at last the
    comparison.

    Args:
        pca_path: says where the PCA of a model lies.

    Raises:
        LookalikeError: when the setting cannot be had, a picture cannot be read, or a test would
            say nothing.
    """
    labels = read_labels(searcher)
    rows = labels.sample(most)
    chosen = range(len(labels.pictures)) if rows is None else rows.tolist()
    pictures = [labels.pictures[row] for row in chosen]
    notes = labels.notes()
    if rows is not None:
        taken, known = Counter(one.label for one in pictures), set(labels.labelled.labels)
        notes["sample"] = (
            f"{len(pictures):,} of {len(labels.pictures):,} pictures: {len(taken):,} of "
            f"{len(known):,} kinds, at most {max(taken.values()):,} pictures of each"
        )
    classes = tuple(one.label for one in pictures)
    if setting == Setting(neighbours=False):
        kept_ones = Labelled(labels.labelled.vectors[list(chosen)], classes)
        model = searcher.embedder.describe()
        with_them = SelfTest(kept_ones, None, model, reranked=True, notes=notes)
        yield from _rank_both(with_them, replace(with_them, reranked=False))
        return
    sources, origin = sources_of(searcher.collection, pictures)
    first = searcher.embedder.extractor
    second: FeatureExtractor = first
    if setting.model:  # on the same kind of processor, so that nothing else is different
        second = open_model(setting.model, gpu=not first.provider.startswith("CPU"))
    kept = searcher.embedder.reduction
    path = pca_path(setting.model) if setting.model else Path()  # the PCA in use is not read anew
    changed = setting.choose(kept, second.card, path)
    extractors = [first] if second is first else [first, second]
    features: list[Matrix] = []
    total = len(sources) * len(extractors)
    yield Progress(0, total)
    for extractor in extractors:
        parts: list[Matrix] = []
        for part in extract_parts(sources, pictures, extractor):
            parts.append(part)
            done = len(features) * len(sources) + sum(len(one) for one in parts)
            yield Progress(done, total)
        features.append(np.concatenate(parts))
    notes["features"] = f"computed again from {origin}"
    test = SelfTest(
        Labelled(project(features[0], kept), classes),
        None,
        describe(first.card, kept),
        reranked=True,
        notes={**notes, COMPUTED_BY: first.provider},
    )
    other = replace(
        test,
        collection=Labelled(project(features[-1], changed), classes),
        model=describe(second.card, changed),
        reranked=setting.neighbours is not False,
        notes={**notes, COMPUTED_BY: second.provider},
    )
    yield from _rank_both(test, other)


def _rank_both(test: SelfTest, other: SelfTest) -> Iterator[Progress | Comparison]:
    """Yield how far the two rankings of a comparison are, and at last what they have found."""
    total, done = test.total + other.total, 0
    found = []
    yield Progress(0, total, ranking=True)
    for one in (test, other):
        parts = []
        for part in one.rank():
            parts.append(part)
            done += len(part)
            yield Progress(done, total, ranking=True)
        found.append(one.summarise(parts))
    yield compare(*found)


def sources_of(
    collection: Collection, pictures: Sequence[PictureRecord]
) -> tuple[list[Path | bytes], str]:
    """Return what features can be computed from, and what that is in words.

    The originals, where every one of them is still there, and else the thumbnails for all: a
    mixture would favour some classes over others.

    Raises:
        LookalikeError: when a thumbnail is gone as well.
    """
    root = collection.root
    if root is not None:
        places = (inside(root, one.path) for one in pictures)
        paths: list[Path | bytes] = [path for path in places if path is not None and path.is_file()]
        if len(paths) == len(pictures):
            return paths, "the original pictures"
    thumbnails: list[Path | bytes] = []
    for one in pictures:
        jpeg = collection.thumbnail(one.sha256)
        if jpeg is None:
            raise LookalikeError(
                f"{one.path} has changed meanwhile. Look for changes in the collection and try "
                "again."
            )
        thumbnails.append(jpeg)
    return thumbnails, "the thumbnails that the collection keeps (the originals are elsewhere)"


def extract_parts(
    sources: Sequence[Path | bytes],
    pictures: Sequence[PictureRecord],
    extractor: FeatureExtractor,
) -> Iterator[Matrix]:
    """Yield the features of a few pictures after the other, `(at most 8, d)` each.

    Raises:
        PictureError: when one of them cannot be read; it says which.
    """
    how = extractor.card.preprocessing

    def prepare(pair: tuple[Path | bytes, PictureRecord]) -> npt.NDArray[np.uint8]:
        source, picture = pair
        try:
            return preprocess(open_picture(source, scale_for(how)).image, how)
        except PictureError as error:
            raise PictureError(f"{picture.path}: {error}") from error

    for chunk in ahead(zip(sources, pictures, strict=True), prepare, BATCH):
        yield extractor.extract(np.stack([shaped for _, shaped in chunk]))


def settings_for(embedder: Embedder, models: Sequence[Path]) -> Mapping[str, Setting]:
    """Return the settings that can be compared with an embedder's own, by what people call them.

    Plain words come first, and those of the field, by which papers speak of it, in brackets.

    Args:
        models: files of other models.
    """
    found: dict[str, Setting] = {}
    reduction = embedder.reduction
    if reduction is not None:
        found["Nothing left out (no PCA)"] = Setting(pca=False)
        for components in (256, 128, 64, 32):
            if components < reduction.dimension:
                found[f"Only {components} numbers (PCA)"] = Setting(components=components)
        for whitening, name in WHITENINGS.items():
            if reduction.variance is not None and whitening != reduction.whitening:
                found[name] = Setting(whitening=whitening)
    found["Without neighbours (cosine)"] = Setting(neighbours=False)
    for model in models:
        found[f"Other network ({model.stem})"] = Setting(model=model)
    return found

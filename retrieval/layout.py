"""A map of a collection: a place in two dimensions for each picture, similar ones together."""

import numpy as np

from retrieval.ranking import rank
from retrieval.reduction import Matrix

# Beyond this many, a sample is laid out and the others go where their nearest ones of it lie.
SAMPLE = 10_000
NEAREST = 3
AT_ONCE = 1_000
PERPLEXITY = 30  # neighbours that count, scikit-learn's own choice
ITERATIONS = 500
# Of the vectors; the others change the trustworthiness by less than 0.001.
COMPONENTS = 50


def lay_out(vectors: Matrix, threads: int = 1) -> Matrix:
    """Place unit vectors `(n, k)` in the plane: `(n, 2)` from 0 to 1, the same on every call.

    t-SNE (van der Maaten and Hinton 2008; Barnes-Hut, 2014) as scikit-learn has it, begun with the
    principal components, by cosine distance. Trustworthiness (scikit-learn's, 5 neighbours, cosine)
    and seconds of one processor:

        1,000 pictures (Corel-1k)    PCA alone 0.861    t-SNE 0.989     2 s
        10,000                       PCA alone 0.809    t-SNE 0.997    37 s

    (3,500 of the 10,000 are pictures, the others mixed from the vectors of neighbours.) Twice the
    iterations take twice as long and gain less than 0.002. umap-learn would bring
    numba and LLVM, 64 MB to download, where scikit-learn is there already.

    The longer side of the map fills 0 to 1 and the other is in the middle. Equal vectors lie on one
    spot (see `snap_to_grid`). One thread is the default: the map is computed while people search,
    and where processors are busy, scikit-learn's threads wait for each other far longer than they
    compute.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    n = len(vectors)
    if n == 0:
        return np.zeros((0, 2), np.float32)
    distinct, first, copies = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    # In the order of the collection, so that the sample is spread over all of its folders.
    order = np.argsort(first)
    places = np.empty((len(order), 2), np.float32)
    places[order] = _lay_out_distinct(distinct[order], threads)
    return _fill(places)[copies.reshape(-1)]


def _lay_out_distinct(vectors: Matrix, threads: int) -> Matrix:
    n = len(vectors)
    if n <= SAMPLE:
        return _embed(vectors, threads)
    chosen = np.linspace(0, n - 1, SAMPLE).round().astype(np.int64)
    placed = _embed(vectors[chosen], threads)
    # So many at a time: ranking takes blocks that are the smaller the more are asked at once.
    some = [
        rank(vectors[start : start + AT_ONCE], vectors[chosen], NEAREST)
        for start in range(0, n, AT_ONCE)
    ]
    rows, similarities = (np.concatenate(parts) for parts in zip(*some, strict=True))
    weights = np.maximum(similarities, 1e-6) ** 8  # nearly all to the nearest
    weights /= weights.sum(axis=1, keepdims=True)
    places: Matrix = np.einsum("ij,ijk->ik", weights, placed[rows]).astype(np.float32)
    places[chosen] = placed
    return places


def _embed(vectors: Matrix, threads: int) -> Matrix:
    # scikit-learn takes over a second to import, and only the map needs it.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    n, d = vectors.shape
    if n <= 2 or d < 2:  # one spot, the ends of a line, or a line
        line = np.zeros((n, 2), np.float32)
        line[:, 0] = vectors[:, 0] if d == 1 else np.arange(n)
        return line
    with threadpool_limits(limits=threads):
        components = PCA(min(COMPONENTS, n, d), random_state=0).fit_transform(vectors)
        if n < 6:  # too few for neighbours to say more than directions do
            return np.asarray(components[:, :2], np.float32)
        places = TSNE(
            perplexity=min(PERPLEXITY, (n - 1) / 3),
            metric="cosine",
            init="pca",
            max_iter=ITERATIONS,
            random_state=0,
            n_jobs=threads,
        ).fit_transform(components)
    return np.asarray(places, np.float32)


def _fill(places: Matrix) -> Matrix:
    """Move and scale `(n, 2)`, both axes alike, so that it fills the square from 0 to 1."""
    low, high = places.min(axis=0), places.max(axis=0)
    side = float((high - low).max())
    if side == 0:
        return np.full_like(places, 0.5)
    filled: Matrix = ((places - (low + high) / 2) / side + 0.5).clip(0, 1).astype(np.float32)
    return filled


def snap_to_grid(places: Matrix, slack: float = 1.6) -> Matrix:
    """Move each of `(n, 2)` places to a cell of its own, so that no thumbnails overlap.

    The square is cut in halves, crosswise and lengthwise in turn, and at each cut the places are
    shared out as they lie, moved across only where one side has too few cells; so neighbours stay
    neighbours. On Corel-1k the trustworthiness falls from 0.988 to 0.967, and every thumbnail is
    seen whole. 10,000 places take a tenth of a second.

    Args:
        places: as `lay_out` returns them; equal ones are spread as well.
        slack: how many cells there are for each place. More keeps gaps between groups.

    Returns:
        The middles of the cells, `(n, 2)` from 0 to 1, cells being 1 / ceil(sqrt(slack * n)) wide.
    """
    n = len(places)
    side = int(np.ceil(np.sqrt(max(slack, 1.0) * n)))
    snapped = np.zeros((n, 2), np.float32)
    waiting = [(np.arange(n), 0, 0, side, side)]
    while waiting:
        rows, left, top, width, height = waiting.pop()
        if not len(rows):
            continue
        if width == height == 1:
            snapped[rows] = (left + 0.5) / side, (top + 0.5) / side
            continue
        axis = 0 if width >= height else 1
        long, short, begin = (width, height, left) if axis == 0 else (height, width, top)
        half = long // 2
        # Where the cut lies, moved only as far as the room on either side demands.
        inside = int((places[rows, axis] * side < begin + half).sum())
        count = min(max(inside, len(rows) - (long - half) * short), half * short)
        ordered = rows[np.lexsort((rows, places[rows, 1 - axis], places[rows, axis]))]
        if axis == 0:
            waiting.append((ordered[:count], left, top, half, height))
            waiting.append((ordered[count:], left + half, top, width - half, height))
        else:
            waiting.append((ordered[:count], left, top, width, half))
            waiting.append((ordered[count:], left, top + half, width, height - half))
    return snapped

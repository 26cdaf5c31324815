"""The kinds of index of Milvus: which suits how many pictures, how each is built and searched."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retrieval.gallery import EXACT
from retrieval.records import Aspect

# By how many pictures there are, the kinds of index to ask for: the first that the server offers.
# FLAT compares with all. HNSW (Malkov and Yashunin 2018) keeps a graph and all vectors in memory;
# what stands behind it needs less of that, which counts from some tens of millions on.
KINDS = (
    (100_000, ("FLAT",)),
    (20_000_000, ("HNSW", "IVF_FLAT", "AUTOINDEX")),
    (10**12, ("DISKANN", "HNSW_SQ", "IVF_SQ8", "AUTOINDEX")),
)
# Milvus Lite looks at every picture in Python where it compares with all: 0.3 s or more for 10,000.
LITE_EXACT = 2_000
LITE = ("FLAT", "HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8", "AUTOINDEX")  # what Milvus Lite offers
# How an index is built, and how it is searched for k pictures. With these, HNSW finds 99 % and
# more of the right ones (`python -m tests.bench_scale`).
BUILDING: Mapping[str, Mapping[str, Any]] = {
    "HNSW": {"M": 16, "efConstruction": 200},
    "HNSW_SQ": {"M": 16, "efConstruction": 200, "sq_type": "SQ8"},
    "IVF_FLAT": {"nlist": 1024},
    "IVF_SQ8": {"nlist": 4096},
}
SEARCHING: Mapping[str, Callable[[int], Mapping[str, Any]]] = {
    "HNSW": lambda k: {"ef": max(256, 2 * k)},
    "HNSW_SQ": lambda k: {"ef": max(256, 2 * k)},
    "IVF_FLAT": lambda k: {"nprobe": 64},
    "IVF_SQ8": lambda k: {"nprobe": 256},
    "DISKANN": lambda k: {"search_list": max(256, 2 * k)},
}


def suitable(count: int, is_lite: bool) -> Sequence[str]:
    """Return the kinds to ask for where there are so many pictures, the best one first."""
    if is_lite and count > LITE_EXACT:
        count = max(count, KINDS[0][0] + 1)
    return next(kinds for most, kinds in KINDS if count <= most)


def index_of(aspect: Aspect, kind: str) -> Any:
    """Return an index of this kind, as Milvus' client takes it."""
    from pymilvus import MilvusClient

    index = MilvusClient.prepare_index_params()
    index.add_index(
        aspect,
        index_name=aspect,
        index_type=kind,
        metric_type="COSINE",
        params=dict(BUILDING.get(kind, {})),
    )
    return index


def search_parameters(kind: str, k: int) -> dict[str, Any]:
    """Return how an index of this kind is searched for k pictures, as Milvus' client takes it."""
    parameters = dict(SEARCHING[kind](k)) if kind in SEARCHING else {}
    return {"metric_type": "COSINE", "params": parameters}


def method_of(kind: str) -> str:
    """Return what `retrieval.gallery.Ranking` says of the answers of this kind."""
    return EXACT if kind in ("FLAT", "BRUTE_FORCE") else f"approximate, {kind}"

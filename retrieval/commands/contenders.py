"""What the bench compares with where it is installed: torch, OpenVINO, faiss, scikit-learn.

None of them is needed by the app, and each is imported only when it is asked for.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.openvino_session import OpenVinoSession
from retrieval.reduction import Matrix

Pictures = npt.NDArray[np.uint8]
Extract = Callable[[Pictures], object]
Rank = Callable[[Matrix, int], object]


class MissingError(Exception):
    """A package is not installed; its name is the message."""


def _package(name: str, installed_as: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingError(installed_as) from error


def torch_trunk(threads: int) -> Extract:
    """Return torchvision's VGG-16 trunk in eager mode; made-up weights take as long as others."""
    torch = _package("torch", "torch")
    vision = _package("torchvision", "torchvision")
    torch.set_num_threads(threads)
    trunk = vision.models.vgg16(weights=None).features.eval().requires_grad_(False)

    def extract(pictures: Pictures) -> object:
        with torch.inference_mode():
            planes = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(torch.float32)
            return trunk((planes - 117.0) / 58.0)

    return extract


def torch_on_gpu(layer: str, pooling: str, compiled: bool) -> Extract:
    """Return torchvision's VGG-16 up to a layer on the GPU, in 16 bits, with channels last.

    Args:
        layer: "pool5", "fc1" or "fc2".
        pooling: how the last map is pooled, after which layers cost next to nothing; "" for the
            fully connected layers of the whole map.
        compiled: whether `torch.compile` makes a program of it first.
    """
    torch = _package("torch", "torch")
    vision = _package("torchvision", "torchvision")
    if not torch.cuda.is_available():
        raise MissingError("torch for CUDA")
    network = vision.models.vgg16(weights=None)
    if pooling:
        network = torch.nn.Sequential(network.features, torch.nn.AdaptiveAvgPool2d(1))
    else:
        network.classifier = network.classifier[: {"fc1": 2, "fc2": 5}[layer]]
    network = network.eval().requires_grad_(False)
    network = network.to("cuda", torch.float16, memory_format=torch.channels_last)
    if compiled:
        network = torch.compile(network)

    def extract(pictures: Pictures) -> object:
        with torch.inference_mode():
            planes = torch.from_numpy(pictures).to("cuda").permute(0, 3, 1, 2).half()
            return network((planes - 117.0) / 58.0).float().cpu()

    return extract


def openvino(model: Path, threads: int) -> Extract:
    """Return a model of ours run by OpenVINO."""
    _package("openvino", "openvino")
    session = OpenVinoSession(model, threads)
    return lambda pictures: session.run(["features"], {"images": pictures})


def faiss_index(vectors: Matrix, threads: int) -> Rank:
    """Return the ranking of faiss' exact index of inner products."""
    faiss = _package("faiss", "faiss-cpu")
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda queries, k: index.search(queries, k)


def nearest_neighbors(vectors: Matrix) -> Rank:
    """Return the ranking of scikit-learn's exact search, by Euclidean distance.

    Of unit vectors that is the order by cosine.
    """
    neighbors = _package("sklearn.neighbors", "scikit-learn")
    search = neighbors.NearestNeighbors(algorithm="brute").fit(vectors)
    return lambda queries, k: search.kneighbors(queries, k)

"""How fast the network is on this machine, on its processors and on its GPU, next to others."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from retrieval.commands import contenders
from retrieval.commands.racing import Bench, Row, calls, leaving_out, race, rows_of
from retrieval.family import int8_path, open_model
from retrieval.gpu_session import has_cuda_driver
from retrieval.model import OnnxExtractor, available_cpus
from retrieval.settings import PYTHON

BATCH = 8
GPU_BATCH = 64
PAPERS_MODEL = "vgg16-fc2.onnx"  # what `python -m export` writes


def measure_extraction(model: Path, gpu: bool = True) -> Bench:
    """Time the network on one picture and on a batch, by each program that is there."""
    threads = available_cpus()
    floats = OnnxExtractor(model, gpu=False)
    programs: dict[str, contenders.Extract] = {}
    left_out: list[str] = []
    small = int8_path(model)
    with leaving_out(left_out):
        programs["torch eager, VGG-16 trunk"] = contenders.torch_trunk(threads)
    programs["ours, float"] = floats.extract
    if small.is_file():
        with leaving_out(left_out):
            with _switched_off("LOOKALIKE_OPENVINO"):
                programs["ours, int8"] = OnnxExtractor(small, gpu=False).extract
            programs["ours, int8 by OpenVINO"] = contenders.openvino(small, threads)
    else:
        left_out.append(f"int8: there is no {small.name}")
    with leaving_out(left_out):
        programs["OpenVINO, float"] = contenders.openvino(model, threads)
    side = floats.card.preprocessing.side
    rows = _time("extraction", f"{side}x{side}", programs, side, BATCH)
    on_gpu = measure_gpu([model, model.with_name(PAPERS_MODEL)]) if gpu else _no_gpu()
    return Bench(rows + on_gpu.rows, left_out + on_gpu.left_out)


def measure_gpu(models: list[Path]) -> Bench:
    """Time networks on the GPU on one picture and on a batch, next to torch in 16 bits."""
    rows: list[Row] = []
    left_out: list[str] = []
    if not has_cuda_driver():
        return _no_gpu()
    for model in dict.fromkeys(models):
        if not model.is_file():
            left_out.append(f"GPU: there is no {model.name} ({PYTHON} -m export)")
            continue
        ours = open_model(model)
        if ours.provider.startswith("CPU"):
            return _no_gpu()
        programs: dict[str, contenders.Extract] = {}
        for name, compiled in (("eager", False), ("compiled", True)):
            with leaving_out(left_out):
                programs[f"torch {name}, 16 bits, channels last"] = contenders.torch_on_gpu(
                    ours.card.layer, ours.card.pooling, compiled
                )
        programs[f"ours, {ours.provider}"] = ours.extract
        side = ours.card.preprocessing.side
        what = f"{ours.card.layer}, {side}x{side}"
        rows += _time("extraction on the GPU", what, programs, side, GPU_BATCH)
    return Bench(rows, left_out)


def _no_gpu() -> Bench:
    return Bench([], ["GPU: none that works here"])


def _time(
    part: str, what: str, programs: Mapping[str, contenders.Extract], side: int, batch: int
) -> list[Row]:
    pictures = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
    rows = []
    for task, n in (("one picture", 1), (f"batch of {batch}", batch)):
        seconds = race({name: calls(work, pictures[:n]) for name, work in programs.items()})
        rows += rows_of(part, f"{task}, {what}", seconds, n)
    return rows


@contextmanager
def _switched_off(variable: str) -> Iterator[None]:
    """Set a switch of the environment to "0" for a while."""
    before = os.environ.get(variable)
    os.environ[variable] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before

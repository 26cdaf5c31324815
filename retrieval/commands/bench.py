"""The command `bench`: how fast it is on this machine, next to other programs, as ratios."""

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.commands import contenders
from retrieval.commands.bench_network import BATCH, measure_extraction
from retrieval.commands.racing import Bench, Row, calls, leaving_out, race, rows_of
from retrieval.commands.reading import embedder_of, write
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.files import need_place
from retrieval.folders import find_images
from retrieval.images import open_picture
from retrieval.indexing import index_folder
from retrieval.model import available_cpus
from retrieval.preprocessing import preprocess, scale_for
from retrieval.ranking import rank
from retrieval.reduction import Matrix

PARTS = ("extraction", "pipeline", "ranking", "start")
MARK = b'{\n "machine": {'  # a file without it is none of ours, and not written over
PHOTO = (4000, 3000)  # 12 megapixels
SCENES = 4
DIMENSION, K = 256, 24
PATIENCE = 120  # seconds for the first page


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "bench", parents=[common], help="measure how fast it is here, next to other programs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="measure this part only; may be repeated"
    )
    parser.add_argument(
        "--photos", type=int, default=160, metavar="N", help="photos to build from (default 160)"
    )
    parser.add_argument(
        "--vectors",
        type=int,
        default=1_000_000,
        metavar="N",
        help="vectors to rank (default 1,000,000, which takes 3 GB of memory)",
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print a table, and write what was asked for."""
    if arguments.photos < 1 or arguments.vectors < K:
        raise LookalikeError(f"--photos must be at least 1, and --vectors at least {K}.")
    need_place(arguments.json, ".json", mark=MARK)
    parts: dict[str, Callable[[], Bench]] = {
        "extraction": lambda: measure_extraction(arguments.model, gpu=not arguments.cpu),
        "pipeline": lambda: measure_pipeline(
            embedder_of(arguments, needs_pca=False), arguments.photos
        ),
        "ranking": lambda: measure_ranking(arguments.vectors),
        "start": lambda: measure_start(settings.PROJECT / "app.py"),
    }
    rows: list[Row] = []
    left_out: list[str] = []
    for part in arguments.only or PARTS:
        print(f"Measuring {part} ...", file=sys.stderr, flush=True)
        try:
            bench = parts[part]()
        except (LookalikeError, MemoryError) as error:
            # The minutes before it are not to be lost.
            why = str(error) or "there is not enough memory. Measure fewer --vectors."
            bench = Bench([], [f"{part}: {why}"])
        rows += bench.rows
        left_out += bench.left_out
    if not rows:
        raise LookalikeError("Nothing could be measured:\n" + "\n".join(_unique(left_out)))
    bench = Bench(rows, left_out)
    print(as_table(bench))
    if arguments.json:
        everything = {"machine": machine(), **asdict(bench)}
        write(arguments.json, json.dumps(everything, indent=1))


def machine() -> dict[str, object]:
    """Say what was measured on, and how much else it was doing."""
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpus": available_cpus(), "system": platform.platform(), "load": busy}


# --- pipeline ---


def measure_pipeline(embedder: Embedder, n: int) -> Bench:
    """Time building a collection from photos of 12 megapixels, and the network on the same ones."""
    with tempfile.TemporaryDirectory() as temporary:
        photos = Path(temporary) / "photos"
        photos.mkdir()
        make_photos(photos, n)
        how = embedder.card.preprocessing
        pictures = [
            preprocess(open_picture(path, scale_for(how)).image, how)
            for path in find_images(photos)
        ]
        built = 0

        def build() -> None:
            nonlocal built
            folder, built = Path(temporary) / f"built {built}", built + 1
            with Collection.create(folder, folder.name, photos, embedder) as collection:
                for _ in index_folder(
                    collection, photos, embedder, find_changes(collection, photos)
                ):
                    pass

        def infer() -> None:
            for start in range(0, n, BATCH):
                embedder.describe_pictures(np.stack(pictures[start : start + BATCH]))

        seconds = race({"network alone": infer, "building": build}, rounds=3)
    task = f"{n} JPEGs of 12 megapixels, {embedder.extractor.provider}"
    return Bench(rows_of("pipeline", task, seconds, n), [])


def make_photos(folder: Path, n: int, size: tuple[int, int] = PHOTO) -> float:
    """Write `n` JPEGs, clouds with grain, of a few scenes; return how many MB each has.

    Args:
        size: width and height in pixels; 12 megapixels by default.
    """
    scenes = []
    for seed in range(min(n, SCENES)):
        generator = np.random.default_rng(seed)
        colours = generator.integers(0, 256, (40, 40, 3), np.uint8)
        clouds = Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)
        grain = Image.effect_noise((size[0] // 2, size[1] // 2), 24).resize(size)
        path = folder / f"scene {seed}.jpg"
        Image.blend(clouds, grain.convert("RGB"), 0.2).save(path, quality=90)
        scenes.append(path.read_bytes())
        path.unlink()
    for i in range(n):
        # Other bytes behind the end make other files, which are all read.
        (folder / f"IMG_{i:04}.jpg").write_bytes(scenes[i % len(scenes)] + b"%d" % i)
    return sum(map(len, scenes)) / len(scenes) / 1e6


# --- ranking ---


def measure_ranking(n: int) -> Bench:
    """Time the exact top 24 of `n` made-up unit vectors, for one query and for 64."""
    vectors = made_vectors(n, seed=0)
    queries = made_vectors(64, seed=1)
    threads = available_cpus()
    programs: dict[str, contenders.Rank] = {}
    left_out: list[str] = []
    with leaving_out(left_out):
        programs["faiss IndexFlatIP"] = contenders.faiss_index(vectors, threads)
    programs["ours"] = lambda asked, k: rank(asked, vectors, k)
    with leaving_out(left_out):
        programs["scikit-learn NearestNeighbors"] = contenders.nearest_neighbors(vectors)
    rows = []
    for m in (1, 64):
        runs = {name: calls(work, queries[:m], K) for name, work in programs.items()}
        if m == 1:
            runs["reading the vectors once"] = lambda: read_all(vectors, threads)
        seconds = race(runs, rounds=3)
        task = f"{n:,} x {DIMENSION}, {m} {'query' if m == 1 else 'queries'}"
        rows += rows_of("ranking", task, seconds, 1)
    return Bench(rows, left_out)


def made_vectors(n: int, seed: int) -> Matrix:
    """Return random unit vectors `(n, 256)`."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((n, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def read_all(vectors: Matrix, threads: int) -> float:
    """Read every number once and nothing else, with all processors: what memory allows."""
    with ThreadPoolExecutor(threads) as pool:
        return max(pool.map(lambda part: float(part.max()), np.array_split(vectors, threads)))


# --- start ---


def measure_start(app: Path) -> Bench:
    """Time a start of the app until its first page is there, next to importing Gradio alone."""
    if find_spec("gradio") is None:
        return Bench([], ["start: gradio is not installed"])
    runs = {
        "importing gradio alone": lambda: subprocess.run(
            [sys.executable, "-c", "import gradio"], check=True, capture_output=True
        ),
        "first page of the app": lambda: start_once(app),
    }
    return Bench(rows_of("start", app.name, race(runs, rounds=2), 1), [])


def start_once(app: Path) -> None:
    """Start the app, wait for its first page, and end it."""
    port = _free_port()
    address = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, str(app), "--port", str(port), "--no-browser"],
            env={**os.environ, "LOOKALIKE_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.perf_counter() + PATIENCE
            while not _answers(address):
                if process.poll() is not None or time.perf_counter() > until:
                    raise LookalikeError(
                        f"{app.name} did not start. See why with: python {app.name}"
                    )
                time.sleep(0.02)
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(address: str) -> bool:
    # A proxy that the environment names knows nothing of this machine's own addresses.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address, timeout=PATIENCE) as page:
            return bool(page.status == 200 and page.read())
    except OSError:
        return False


# --- the table ---


def as_table(bench: Bench) -> str:
    """Lay everything out for a terminal, with what was left out below."""
    lines = []
    width = max((len(row.program) for row in bench.rows), default=0)
    heading = None
    for row in bench.rows:
        if (row.part, row.task) != heading:
            heading = (row.part, row.task)
            lines += ["", f"{row.part}: {row.task}"]
        is_first = row.program == row.against
        ratio = "1" if is_first else f"{row.ratio:.2f} times as fast"
        lines.append(f"  {row.program:{width}}  {row.milliseconds:10,.1f} ms  {ratio}")
    here = machine()
    lines += ["", f"{here['cpus']} processors, load {_load(here['load'])}; {here['system']}"]
    lines += ["Times depend on what else the machine does; ratios are of one run, taken in turns."]
    lines += [f"Left out: {one}" for one in _unique(bench.left_out)]
    return "\n".join(lines).lstrip("\n")


def _load(load: object) -> str:
    return f"{load:.1f}" if isinstance(load, float) else "unknown"


def _unique(words: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(words))

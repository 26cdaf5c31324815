"""The app with a tiny model in a process of its own, as `python -m tests.serving`.

Unlike `tests.browser.running_app` it tells its routes, needs no PCA, and starts soon.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.browser import PROJECT
from tests.servers import free_port

SECONDS = 60


@dataclass(frozen=True)
class Served:
    """A running app, and all that it keeps on the disk."""

    address: str
    home: Path
    routes: list[tuple[str, list[str]]]  # path and methods, Gradio's and ours
    process: int

    @property
    def busy(self) -> float:
        """For how many seconds it has kept a processor busy, whatever else goes on beside it."""
        import psutil

        spent = psutil.Process(self.process).cpu_times()
        return float(spent.user + spent.system)

    @property
    def log(self) -> str:
        """What it has said in its terminal."""
        return (self.home / "app.log").read_text(encoding="utf-8")


@contextmanager
def serving(model: Path, pictures: Path, home: Path, public: bool) -> Iterator[Served]:
    """Serve a folder of pictures; yield when all of them are ready.

    Args:
        public: whether everybody is a visitor, as on a shared link.
    """
    command = [sys.executable, "-m", "tests.serving", str(model), str(pictures), str(int(public))]
    with (home / "app.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            # Gradio reads the second before `retrieval.pages.server` could set it, as it does.
            env={
                **os.environ,
                "LOOKALIKE_HOME": str(home),
                "GRADIO_TEMP_DIR": str(home / "received"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError((home / "app.log").read_text())
        told = json.loads(line)
        yield Served(told["address"], home, told["routes"], process.pid)
    finally:
        process.stdin.close()  # it ends when nobody is left
        process.wait(timeout=60)
        process.stdout.close()


def _serve(model: Path, pictures: Path, public: bool) -> None:
    from retrieval import settings
    from retrieval.indexing import Bounds
    from retrieval.library import collection_for
    from retrieval.pages.handover import Handover
    from retrieval.pages.server import build_app, launch, make_library
    from retrieval.workspace import Workspace

    said, sys.stdout = sys.stdout, sys.stderr
    workspace = Workspace(model, None, gpu=False)
    workspace.shelf.library = settings.COLLECTIONS
    collection = collection_for(settings.COLLECTIONS, pictures, None, workspace.embedder)
    key = workspace.shelf.serve(collection)
    workspace.build(key, pictures, Bounds())
    while (state := workspace.building(key)) is None or not state.finished:
        time.sleep(0.05)
    handover = Handover()
    library = make_library(workspace, "open sesame", public)
    blocks = build_app(workspace, library, handover)
    server = launch(blocks, workspace, library, handover, free_port())
    print(
        json.dumps({"address": server.address, "routes": list(_routes(blocks.app.routes))}),
        file=said,
    )
    said.flush()
    sys.stdin.read()
    library.visitors.stop()
    workspace.stop()


def _routes(routes: Any) -> Iterator[tuple[str, list[str]]]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _routes(inner.routes)
        elif getattr(route, "methods", None):
            yield route.path, sorted(route.methods)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "1")

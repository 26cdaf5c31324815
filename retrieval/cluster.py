"""Extraction on a Ray cluster: a pool of actors that each hold one ONNX session.

The pool is kept here and not by Ray Data, which (2.60) waits forever once a node has died whose
actors find no room on the others: here their batches go to the actors that are left.
"""

import math
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retrieval.embedding import open_embedder
from retrieval.errors import LookalikeError
from retrieval.extraction import Done, Run, Source, extract
from retrieval.family import int8_path
from retrieval.indexing import Bounds
from retrieval.records import PASSING, Entry
from retrieval.settings import PYTHON

INSTALL = f"{PYTHON} -m pip install -r retrieval/requirements-scale.txt"
DEATHS = 3  # of workers over the same files, until the files are taken to be the reason
DEADLY = "Workers died while they read it. Leave this file out, or save it again."
LOOKING = 10.0  # seconds between looks at what the cluster has
PATIENCE = 120.0  # seconds without any worker


@dataclass(frozen=True)
class Batch:
    """Files that are read together, and how many workers have died over them."""

    entries: tuple[Entry, ...]
    deaths: int = 0

    @property
    def hopeless(self) -> bool:
        """Whether it is a single file that has cost too many workers."""
        return len(self.entries) == 1 and self.deaths + 1 >= DEATHS

    def again(self) -> list["Batch"]:
        """Return what to try after a death: first all of it, then one by one."""
        if self.hopeless:
            return []
        if self.deaths + 1 >= DEATHS:
            return [Batch((entry,)) for entry in self.entries]
        return [replace(self, deaths=self.deaths + 1)]


@dataclass(frozen=True)
class Share:
    """What each actor gets of a cluster, and how many of them there is room for."""

    actors: int
    gpus: int  # 1 or 0
    cpus: int


def share_out(nodes: Sequence[Mapping[str, float]], gpu: bool) -> Share:
    """Share out the nodes: an actor for each GPU where there are any, else for each processor.

    One processor does not decode as fast as a GPU computes, so a GPU's actor gets its share of the
    processors of its node; of the node that has fewest, since the actors are all alike.

    Args:
        nodes: what each node has of "GPU" and "CPU".
        gpu: whether GPUs are wanted.
    """
    with_gpus = [node for node in nodes if gpu and node.get("GPU", 0) >= 1]
    if not with_gpus:
        return Share(sum(int(node.get("CPU", 0)) for node in nodes), 0, 1)
    cpus = min(int(node.get("CPU", 0) // int(node["GPU"])) for node in with_gpus)
    return Share(sum(int(node["GPU"]) for node in with_gpus), 1, cpus)


class Worker:
    """An actor: the network opened once, and batches of files described with it."""

    def __init__(self, what: Mapping[str, Any], share: Share) -> None:
        """Open the network from its files' bytes, since nodes may not share a disk."""
        with tempfile.TemporaryDirectory() as folder:
            for name, data in what["files"].items():
                Path(folder, name).write_bytes(data)
            paths = {role: Path(folder, name) for role, name in what["names"].items()}
            # One for each processor, or GPU, so each takes one thread.
            self._embedder = open_embedder(
                paths["model"],
                paths.get("pca"),
                gpu=share.gpus > 0,
                texture=paths.get("texture"),
                threads=1,
            )
        self._decoders = ThreadPoolExecutor(max(1, share.cpus))
        self._source, self._bounds = what["source"], what["bounds"]

    def ready(self) -> bool:
        """Answer, once the network is open."""
        return True

    def extract(self, entries: Sequence[Entry]) -> Done:
        """Read files and describe them."""
        each = self._decoders.map
        return extract(entries, self._source, self._embedder, self._bounds, each)


def on_ray(
    address: str,
    model: Path,
    pca: Path | None,
    texture: Path | None,
    source: Source,
    bounds: Bounds,
    gpu: bool = True,
) -> Run:
    """Return what works on the Ray cluster at an address: `auto`, `ray://HOST:10001`, `HOST:6379`.

    What an actor gets, `share_out` says. Ray restarts the actors that die, elsewhere if their node
    is gone, and gives them what they had not finished.

    Args:
        gpu: whether GPUs are used where the cluster has any.

    Raises:
        LookalikeError: when Ray is not installed, or the cluster does not answer.
    """
    try:
        import ray
    except ImportError as error:
        raise LookalikeError(f"Ray needs more packages. Install them with: {INSTALL}") from error
    if not ray.is_initialized():
        try:
            _knock(address)
            ray.init(
                address,
                # The other nodes need not have this program, only the packages.
                runtime_env={"py_modules": [str(Path(__file__).resolve().parent)]},
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise LookalikeError(
                f"The Ray cluster at {address} does not answer. Check the address, or start one "
                "with: ray start --head"
            ) from error
    roles = {"model": model, "pca": pca, "texture": texture}
    files = {role: path for role, path in roles.items() if path is not None and path.exists()}
    # The sibling in 8 bits goes along; which of the two is used, each node decides.
    sibling = int8_path(model)
    paths = {*files.values(), *([sibling] if sibling.exists() else [])}
    what: dict[str, Any] = {
        "files": {path.name: path.read_bytes() for path in paths},
        "names": {role: path.name for role, path in files.items()},
        "source": source,
        "bounds": bounds,
    }
    shipped = ray.put(what)

    def run(batches: Sequence[Sequence[Entry]]) -> Iterator[Done]:
        pool = Pool(ray, shipped, gpu)
        try:
            yield from pool.run(batches)
        finally:
            pool.close()

    return run


def _knock(address: str) -> None:
    """Connect to a cluster's port, since Ray itself would wait for it for minutes.

    Raises:
        OSError: when nobody answers.
        ValueError: when the address names no port.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=10).close()


class Pool:
    """Actors that come and go with the nodes, and the batches that they are busy with."""

    def __init__(self, ray: Any, shipped: Any, gpu: bool) -> None:
        """Take what workers need, and the module, which is imported only when it is asked for."""
        self._ray = ray
        self._shipped = shipped
        self._gpu = gpu
        self._starting: dict[Any, Any] = {}  # actors, by the answer that says that they are ready
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Batch]] = {}
        self._looked = -math.inf

    def run(self, batches: Sequence[Sequence[Entry]]) -> Iterator[Done]:
        """Yield what comes of the batches, in whatever order they are finished."""
        waiting = deque(Batch(tuple(entries)) for entries in batches)
        alone = time.monotonic()
        while waiting or self._busy:
            self._hire(len(waiting))
            while self._idle and waiting:
                actor, batch = self._idle.pop(), waiting.popleft()
                self._busy[actor.extract.remote(batch.entries)] = actor, batch
            if self._busy:
                alone = time.monotonic()
            elif time.monotonic() - alone > PATIENCE:
                raise LookalikeError(
                    "The Ray cluster has no processor free. Wait for what it works on, or add "
                    "nodes. What was finished is kept; run it again to go on."
                )
            answers = [*self._busy, *self._starting]
            if not answers:
                time.sleep(1)
                continue
            for answer in self._ray.wait(answers, timeout=1)[0]:
                if answer in self._starting:
                    self._welcome(answer)
                else:
                    actor, batch = self._busy.pop(answer)
                    done = self._done(answer)
                    if done is None:
                        self._dismiss(actor)
                        waiting.extendleft(batch.again())
                        if batch.hopeless:
                            yield [
                                (replace(entry, problem=DEADLY, modified=PASSING), None)
                                for entry in batch.entries
                            ]
                    else:
                        self._idle.append(actor)
                        yield done

    def close(self) -> None:
        """Let all actors go."""
        for actor in (*self._starting.values(), *self._idle, *(a for a, _ in self._busy.values())):
            self._dismiss(actor)

    def _hire(self, waiting: int) -> None:
        """Start as many actors as there is room for in the cluster by now."""
        if time.monotonic() - self._looked < LOOKING:
            return
        self._looked = time.monotonic()
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        share = share_out(alive, self._gpu)
        needs = {"num_gpus": share.gpus, "num_cpus": share.cpus, "max_restarts": 0}
        there = len(self._starting) + len(self._idle) + len(self._busy)
        for _ in range(min(share.actors, there + waiting) - there):
            actor = self._ray.remote(Worker).options(**needs).remote(self._shipped, share)
            self._starting[actor.ready.remote()] = actor

    def _welcome(self, answer: Any) -> None:
        """Put an actor to work that is ready; one that died before that is forgotten.

        Raises:
            LookalikeError: when it could not be made, which no other try would change.
        """
        actor = self._starting.pop(answer)
        try:
            self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from error
        except self._ray.exceptions.RayError as error:
            # Of what the constructor raised, or the import before it, Ray keeps only the words.
            if getattr(error, "actor_init_failed", False):
                reason = str(error).strip().splitlines()[-1].rstrip(".")
                raise LookalikeError(
                    f"A worker of the cluster cannot start: {reason}. Install the packages on "
                    f"every node with: {INSTALL}"
                ) from error
        else:
            self._idle.append(actor)

    def _done(self, answer: Any) -> Done | None:
        """Return what an actor has done; None when it died over it, or with its node."""
        try:
            done: Done = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from error
        except self._ray.exceptions.RayError:
            return None
        return done

    def _dismiss(self, actor: Any) -> None:
        self._looked = -math.inf  # look for another one at once
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor)

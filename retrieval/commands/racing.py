"""Racing programs against each other: they take turns, and ratios are of one run."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from retrieval.commands.contenders import MissingError
from retrieval.errors import LookalikeError
from retrieval.settings import PYTHON

ROUNDS = 5
PAUSE = 0.3  # seconds; the threads of torch, ONNX Runtime and faiss give up waiting before


@dataclass(frozen=True)
class Row:
    """One measurement; its ratio says how many times faster it is than what it is held against."""

    part: str
    task: str
    program: str
    milliseconds: float  # for one picture, one search, or one start
    ratio: float  # times as fast as `against`; 1 for that itself
    against: str


@dataclass(frozen=True)
class Bench:
    """What was measured, and what could not be."""

    rows: list[Row]
    left_out: list[str]


def race(runs: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the least seconds of each over several rounds, after one that does not count.

    They take turns, so that what else the machine does falls on all alike, and the least is what
    it disturbed least. Before each turn nothing runs for a moment: threads that have computed go
    on for up to 0.2 s looking for more to do, which took half of the processors from whoever came
    next (two cores: 33 instead of 21 ms for one picture by 8 bits behind the floats).
    """
    least = dict.fromkeys(runs, float("inf"))
    for turn in range(rounds + 1):
        for name, work in runs.items():
            time.sleep(PAUSE)
            started = time.perf_counter()
            work()
            if turn:
                least[name] = min(least[name], time.perf_counter() - started)
    return least


def rows_of(part: str, task: str, seconds: Mapping[str, float], n: int) -> list[Row]:
    """Turn seconds for `n` things into rows; the first program is what others are held against."""
    against = next(iter(seconds))
    return [
        Row(part, task, name, 1000 * spent / n, seconds[against] / spent, against)
        for name, spent in seconds.items()
    ]


@contextmanager
def leaving_out(left_out: list[str]) -> Iterator[None]:
    """Note a program that is not installed, or cannot be measured, and go on."""
    try:
        yield
    except MissingError as error:
        cure = f"{PYTHON} -m pip install -r tests/requirements-bench.txt"
        left_out.append(f"{error}: not installed ({cure})")
    except LookalikeError as error:
        left_out.append(str(error))


def calls(work: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """Return a run, as `race` takes it; in a loop a lambda would call what the last round named."""
    return lambda: work(*arguments)

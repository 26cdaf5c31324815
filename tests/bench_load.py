"""Many visitors at once: `python -m tests.bench_load --visitors 50 --seconds 120`.

Starts the app as a public page on its starter collection. Each visitor has a page and cookies of
its own, uploads a picture of the collection, searches with it, and begins again when the answer has
come. An answer counts only if it names that very picture first, so that nobody gets another's. Then
more come than may wait, who have to be refused in words, and the page has to work again afterwards.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from retrieval import settings
from tests.browser import running_process
from tests.memory import resident_megabytes
from tests.visitor import Visitor

PAUSE = 0.2  # seconds from an answer, or a refusal, to the next question
RUSH_SECONDS = 10.0


@dataclass
class Tally:
    """What happened to the visitors; shared by their threads."""

    answered: list[float] = field(default_factory=list)  # seconds from upload to answer
    refused: Counter[str] = field(default_factory=Counter)  # by sentence
    wrong: Counter[str] = field(default_factory=Counter)  # errors, lost and mixed-up answers


def visit(
    address: str,
    pictures: dict[str, bytes],
    number: int,
    opened: threading.Barrier,
    seconds: float,
    tally: Tally,
) -> int:
    """Be one visitor for a while, once all have opened the page; return how many searches were
    begun."""
    begun = 0
    names = sorted(pictures)
    try:
        visitor = Visitor(address)
    except httpx.HTTPError as error:
        tally.wrong[f"opening the page: {type(error).__name__}"] += 1
        return 0
    finally:
        opened.wait()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        name = names[(number * 7 + begun) % len(names)]
        begun += 1
        _ask(visitor, name, pictures[name], tally)
        time.sleep(PAUSE)
    visitor.close()
    return begun


def _ask(visitor: Visitor, name: str, data: bytes, tally: Tally) -> None:
    """Upload, search, and note what came of it, once."""
    started = time.perf_counter()
    try:
        answer = visitor.search(visitor.send(data, Path(name).name, "image/jpeg"), 3)
    except httpx.HTTPStatusError as error:
        # 429: too often; 503: too many wait; 507: no room for the upload.
        if error.response.status_code in (429, 503, 507):
            told = error.response
            is_json = told.headers["content-type"] == "application/json"  # and no upload
            tally.refused[str(told.json()["detail"]) if is_json else told.text] += 1
        else:
            tally.wrong[f"status {error.response.status_code}"] += 1
        return
    except (httpx.HTTPError, StopIteration) as error:
        tally.wrong[f"no answer: {type(error).__name__}"] += 1
        return
    if not answer["success"]:
        tally.wrong[f"refused: {answer['output'].get('error')}"] += 1
    elif (found := answer["output"]["data"][0][0]["picture"]) != name:
        tally.wrong[f"asked for {name}, got {found}"] += 1
    else:
        tally.answered.append(time.perf_counter() - started)


def crowd(address: str, pictures: dict[str, bytes], visitors: int, seconds: float) -> Tally:
    """Let that many visitors search at once for a while."""
    tally, begun, lock = Tally(), [0], threading.Lock()
    opened = threading.Barrier(visitors)

    def run(number: int) -> None:
        n = visit(address, pictures, number, opened, seconds, tally)
        with lock:
            begun[0] += n

    threads = [threading.Thread(target=run, args=(number,)) for number in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settled = len(tally.answered) + tally.refused.total() + tally.wrong.total()
    if settled < begun[0]:
        tally.wrong["lost"] += begun[0] - settled
    return tally


@dataclass(frozen=True)
class Report:
    """What a run found."""

    visitors: int
    seconds: float
    searches: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    megabytes: list[float]  # of the server: after 10, 50 and 95 % of the time
    refused: dict[str, int]
    wrong: dict[str, int]
    rush: int  # visitors who came at once in the end
    rush_answered: int
    rush_refused: dict[str, int]
    rush_wrong: dict[str, int]
    recovered: bool


def report_on(
    address: str,
    process: int,
    pictures: dict[str, bytes],
    visitors: int,
    seconds: float,
    rush: int,
    rush_seconds: float = RUSH_SECONDS,
) -> Report:
    """Load a running app, then overload it, and see whether it recovers.

    Args:
        pictures: the bytes of pictures of its collection, by their path in it.
    """
    crowd(address, pictures, visitors, min(10.0, seconds / 4))  # warms up
    memory: list[float] = []
    # The same pages throughout: each new one takes some memory, up to `settings.MAX_PAGES`.
    watches = [
        threading.Timer(share * seconds, lambda: memory.append(resident_megabytes(process)))
        for share in (0.1, 0.5, 0.95)
    ]
    for timer in watches:
        timer.start()
    tally = crowd(address, pictures, visitors, seconds)
    for timer in watches:
        timer.join()
    answered = tally.answered
    cuts = statistics.quantiles(answered, n=100) if len(answered) > 1 else [float("nan")] * 99
    late = crowd(address, pictures, rush, rush_seconds)
    after = crowd(address, pictures, 1, 2.0)
    return Report(
        visitors,
        seconds,
        len(answered),
        *(round(1e3 * cuts[at - 1]) for at in (50, 95, 99)),
        megabytes=[round(value) for value in memory],
        refused=dict(tally.refused),
        wrong=dict(tally.wrong),
        rush=rush,
        rush_answered=len(late.answered),
        rush_refused=dict(late.refused),
        rush_wrong=dict(late.wrong),
        recovered=bool(after.answered) and not after.wrong,
    )


def main() -> None:
    """Run it, print the report, and fail when anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rush", type=int, default=2 * settings.MAX_QUEUE)
    arguments = parser.parse_args()
    root = settings.ASSETS / "starter" / "pictures"
    pictures = {
        path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.jpg"))
    }
    public = {"SPACE_ID": "somebody/lookalike"}  # everybody is a visitor
    with (
        tempfile.TemporaryDirectory() as home,
        running_process(Path(home), environment=public) as (address, process),
    ):
        report = report_on(
            address,
            process,
            pictures,
            arguments.visitors,
            arguments.seconds,
            arguments.rush,
        )
    print(json.dumps(asdict(report), indent=1, ensure_ascii=False))
    if report.wrong or report.rush_wrong or not report.recovered:
        sys.exit("Something went wrong, see above.")


if __name__ == "__main__":
    main()

"""How long 10,000 queries against 50,000 pictures take, and how much memory.

    python -m tests.bench_evaluation

CIFAR-10's size, with made vectors of 256 numbers in ten clouds; wanted are a minute and 2 GB.
"""

import argparse
import sys
import time

import numpy as np

from retrieval.evaluation import METRICS, Labelled, SelfTest
from retrieval.reduction import to_unit
from tests.memory import peak_megabytes


def main() -> int:
    """Measure, print, and return 0 when both bounds are kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_evaluation", description=__doc__)
    parser.parse_args()
    collection, queries = clouds(50_000, 0), clouds(10_000, 1)
    kept = [
        measure(SelfTest(collection, queries, "made vectors", reranked=again))
        for again in (False, True)
    ]
    return 0 if all(kept) else 1


def measure(test: SelfTest) -> bool:
    """Run a test, print what it took, and say whether that is within the bounds."""
    started, busy = time.perf_counter(), time.process_time()
    evaluation = test.summarise(list(test.rank()))
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    megabytes = peak_megabytes()
    figures = ", ".join(f"{metric} {evaluation.overall[metric].mean:.1f}" for metric in METRICS)
    print(
        f"{test.reranked=}: {seconds:.1f} s ({busy:.1f} s of processor time), "
        f"{megabytes:,.0f} MB at most; {figures}"
    )
    return seconds < 60 and megabytes < 2048


def clouds(n: int, seed: int) -> Labelled:
    """Return `n` vectors around ten directions that are hard to tell apart."""
    centres = np.random.default_rng(9).standard_normal((10, 256), dtype=np.float32)
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 10, n)
    noise = generator.standard_normal((n, 256), dtype=np.float32)
    return Labelled(to_unit(centres[classes] + 5 * noise), tuple(str(c) for c in classes))


if __name__ == "__main__":
    sys.exit(main())

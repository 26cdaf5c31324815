"""The memory of a process, for the benchmarks."""

import sys


def peak_megabytes() -> float:
    """Return the most memory that this process has had."""
    import resource  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def resident_megabytes(process: int) -> float:
    """Return the memory that another process has now."""
    import psutil

    return float(psutil.Process(process).memory_info().rss) / 2**20

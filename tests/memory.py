"""The memory of a process, for the benchmarks."""

import sys
from pathlib import Path


def peak_megabytes() -> float:
    """Return the most memory that this process has had."""
    if sys.platform == "linux":
        # What the usual call tells includes that of the program from which this one was started.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    import resource  # there is none on Windows

    return _megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def peak_of_children() -> float:
    """Return the most memory that one of the processes begun here, and ended, has had."""
    import resource

    return _megabytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _megabytes(peak: int) -> float:
    """Return what is told in kilobytes on Linux, and in bytes on macOS."""
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def resident_megabytes(process: int) -> float:
    """Return the memory that another process has now."""
    import psutil

    return float(psutil.Process(process).memory_info().rss) / 2**20

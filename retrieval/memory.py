"""Memory of large pictures, given back to the system as soon as they are gone."""

import contextlib
import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGE = 8 * 2**20  # bytes; Pillow keeps a large picture in pieces of 16 MB
KEPT = 2 * LARGE  # of what is smaller, for each thread


def give_back_large() -> None:
    """Have what is large taken from the system by itself, and go back to it, from now on.

    Left alone, glibc soon keeps such pieces for what may come, for each thread: after a few
    pictures of 100 megapixels 1.7 GB that nothing was in. Other systems give back by themselves.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # not glibc
            libc = ctypes.CDLL(None)
            libc.mallopt(M_MMAP_THRESHOLD, LARGE)
            # Told the one, it no longer finds the other by itself, and gives back, and takes anew,
            # each buffer of a megabyte: a picture of two megapixels took twice as long to decode.
            libc.mallopt(M_TRIM_THRESHOLD, KEPT)

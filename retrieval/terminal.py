"""The terminal: what a program prints into it, and Ctrl+C."""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def print_every_letter() -> None:
    """Print by its number what a terminal or a file has no letter for, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Have Ctrl+C end the program without a word until the block ends.

    While modules are imported it would come out as a traceback, or be swallowed by one of them.
    """
    before = signal.getsignal(signal.SIGINT)
    # Started in the background by a shell, a program passes Ctrl+C over, and goes on doing so.
    mine = threading.current_thread() is threading.main_thread()
    if not mine or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

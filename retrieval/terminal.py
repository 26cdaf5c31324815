"""The terminal: what a program prints into it, and Ctrl+C."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO, cast

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# What Ctrl+C in a command that keeps what it has finished is answered by.
GOES_ON = "Stopped. What was finished is kept; run it again to go on."


def print_every_letter() -> None:
    """Print by its number what a terminal or a file has no letter for, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def need_errors() -> None:
    """Have what goes to the standard error go nowhere where there is none, as with `2>&-`.

    Bars of progress would fail on it; and what is printed to none goes to the output.
    """
    if not sys.stderr:
        sys.stderr = _nowhere()


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def printable(text: str) -> str:
    """Return a text without the signs by which it would write elsewhere, or set a terminal up.

    Names of files may hold them, and come from strangers.
    """
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


class _Bearing:
    """A stream of text, of which is lost what cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def bear_lost_output() -> None:
    """Have what cannot be printed be lost, instead of ending a program that serves others.

    There may be no output, as with `>&-`, its disk may be full, and its reader may have gone.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or _nowhere()
        setattr(sys, name, cast(TextIO, _Bearing(stream)))


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


@contextmanager
def keeping_ctrl_c() -> Iterator[None]:
    """Have Ctrl+C wait until the block ends.

    A module that is stopped while it is imported may say that it cannot be loaded.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    kept: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: kept.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if kept:
            before(signal.SIGINT, kept[0])


@contextmanager
def stopping_once() -> Iterator[None]:
    """Have whatever ends a program stop the block as Ctrl+C does; the next ends it at once.

    So what is half written is cleared away also when a system ends all programs, or the terminal is
    closed. A second Ctrl+C would come out as a traceback of that.
    """
    taken: dict[int, Any] = {}  # what was done about each before
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for name in {"SIGINT", "SIGTERM", "SIGHUP"} & {*dir(signal)}:  # Windows has not the last
            number = getattr(signal, name)
            before = signal.getsignal(number)
            # What was told to be passed over, as by `nohup`, goes on being so.
            if before in (signal.default_int_handler, signal.SIG_DFL):
                taken[number] = before
                signal.signal(number, stop)
    try:
        yield
    finally:
        if not stopped:  # else the program ends now
            for number, before in taken.items():
                signal.signal(number, before)

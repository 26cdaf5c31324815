"""What a program prints into: a terminal, or a file."""

from __future__ import annotations

import io
import sys


def print_every_letter() -> None:
    """Print by its number what a terminal or a file has no letter for, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

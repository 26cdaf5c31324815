"""Lookalike: drop in a picture and see the most similar pictures of a collection."""

# So that a Python too old for this gets as far as the sentence that says so, from 3.7 on.
from __future__ import annotations

from retrieval.terminal import bear_lost_output, ending_at_once, print_every_letter

with ending_at_once():
    import argparse
    import functools
    import gc
    import os
    import sys
    from pathlib import Path

    from retrieval.setup import run_in_environment


def port(text: str) -> int:
    """Return the number of a port.

    Raises:
        ValueError: when it is no whole number.
        argparse.ArgumentTypeError: when there is no port of that number.
    """
    number = int(text)
    if not 0 < number < 2**16:
        raise argparse.ArgumentTypeError(f"there is no port {number}. Take one from 1024 to 65535")
    return number


def make_parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="search this folder, in place"
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="a model of `python -m export`; another one than the bundled needs --pictures",
    )
    parser.add_argument(
        "--share", action="store_true", help="make a public link, for a week at most"
    )
    parser.add_argument(
        "--password",
        metavar="WORD",
        default=os.environ.get("LOOKALIKE_PASSWORD"),
        help="lets you change the collections from anywhere, 16 letters or more (or set "
        "LOOKALIKE_PASSWORD)",
    )
    parser.add_argument("--port", type=port, metavar="N", help="the port (default: the first free)")
    parser.add_argument(
        "--no-browser", action="store_true", help="do not open the page in the browser"
    )
    parser.add_argument(
        "--milvus",
        default=os.environ.get("LOOKALIKE_MILVUS_URI", ""),
        metavar="URI",
        help="keep the vectors of new collections in this Milvus (or set LOOKALIKE_MILVUS_URI)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Start the app; return when it has ended, with 0, or with 1 after a sentence."""
    print_every_letter()
    bear_lost_output()
    arguments = make_parser().parse_args(argv)

    # Only here, so that --help answers at once. None of it becomes garbage, and Python would look
    # through all of it again and again: while it is imported, and later while somebody searches.
    gc.disable()
    with ending_at_once():
        from retrieval.errors import LookalikeError
        from retrieval.pages.server import serve

    gc.freeze()
    gc.enable()
    try:
        serve(
            arguments.pictures,
            arguments.model,
            arguments.port,
            arguments.share,
            arguments.password,
            arguments.milvus,
            browser=not arguments.no_browser,
            tell=functools.partial(print, flush=True),
        )
    except LookalikeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while it was still starting
        return 130
    return 0


if __name__ == "__main__":
    try:
        make_parser().parse_args()  # --help, and what is misspelled, wait for no packages
        run_in_environment("requirements.txt")
        sys.exit(main())
    except KeyboardInterrupt:  # in the first moment
        sys.exit(130)

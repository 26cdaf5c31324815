"""The command `python -m retrieval`: collections, searches and measurements from a terminal."""

from retrieval.terminal import (
    ending_at_once,
    need_errors,
    print_every_letter,
    printable,
    stopping_once,
)

with ending_at_once():
    import argparse
    import errno
    import os
    import signal
    import sys
    from collections.abc import Callable
    from contextlib import suppress
    from pathlib import Path

    from retrieval import settings
    from retrieval.errors import FULL, LookalikeError, closed_folders_explained
    from retrieval.setup import run_in_environment


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0, or 1 after printing what went wrong."""
    with ending_at_once():
        arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = arguments.command
    need_errors()
    print_every_letter()
    try:
        with stopping_once(), closed_folders_explained():
            command(arguments)
        if sys.stdout:  # there may be none, as with `>&-`
            sys.stdout.flush()  # a closed pipe is to be noticed here and not at the exit
    except LookalikeError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        # Of the commands that keep what they have finished; others begin anew.
        _say(getattr(arguments, "stopped", "Stopped."))
        return 130
    except OSError as error:
        # Files are told of by their names, so this was the output.
        closed, full = _is_closed_pipe(error), error.errno in FULL
        if error.filename is not None or not (closed or full):
            raise
        _drop_output()
        if full:
            _say("The disk is full, so not all of the output is there. Make room.")
            return 1
    return 0


def _is_closed_pipe(error: OSError) -> bool:
    """Whether the reader of the output, `head` say, has seen enough; Windows calls it invalid."""
    closed_on_windows = sys.platform == "win32" and error.errno == errno.EINVAL
    return isinstance(error, BrokenPipeError) or closed_on_windows


def _say(sentence: str) -> None:
    with suppress(OSError):  # its disk is full as well
        print(printable(sentence), file=sys.stderr)


def _drop_output() -> None:
    """Have what is left of the output go nowhere, or Python would stumble over it at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    # Imported only here, since it takes a second, in which Ctrl+C is to end the program at once.
    from retrieval.commands import (
        bench,
        check,
        evaluate,
        fit_pca,
        index,
        move,
        packing,
        paper,
        publish,
        search,
    )

    parser = argparse.ArgumentParser(prog="python -m retrieval", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--model",
        type=Path,
        default=settings.BUNDLED_MODEL,
        metavar="FILE",
        help="an .onnx file made by `python -m export` (default: the bundled one)",
    )
    common.add_argument(
        "--pca", type=Path, metavar="FILE", help="its PCA (default: the one beside it)"
    )
    common.add_argument("--cpu", action="store_true", help="leave the GPU alone")

    index.add(commands, common)
    search.add(commands, common)
    evaluate.add(commands, common)
    paper.add(commands, common)
    bench.add(commands, common)
    publish.add(commands)
    move.add(commands)
    check.add(commands, common)
    packing.add(commands, common)
    fit_pca.add(commands, common)
    return parser


if __name__ == "__main__":
    try:
        run_in_environment("requirements.txt")
        status = main()
        if "milvus_lite" in sys.modules:  # which writes its files at the exit; all else is done
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(status)
    except KeyboardInterrupt:  # in the first moment
        sys.exit(130)

"""The command `check`: verifies that a collection is whole, and mends it."""

import argparse
from typing import Any

from retrieval import settings
from retrieval.checking import check_collection
from retrieval.commands.reading import embedder_of
from retrieval.errors import LookalikeError
from retrieval.library import find_collection, name_in
from retrieval.settings import PYTHON
from retrieval.terminal import printable


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "check", parents=[common], help="verify that a collection is whole"
    )
    parser.add_argument("--name", help="the collection (default: the only one there is)")
    parser.add_argument("--repair", action="store_true", help="mend what can be mended")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> None:
    """Print what is wrong, and what of it was mended."""
    folder = find_collection(settings.COLLECTIONS, arguments.name)
    arguments.cpu = True  # the model says what it is, and computes nothing
    findings = check_collection(folder, arguments.repair, lambda: embedder_of(arguments))
    for finding in findings:
        print(printable(finding.sentence), "(mended)" if finding.repaired else "")
    name = printable(name_in(folder))
    harmful = [finding for finding in findings if not finding.harmless]
    if not harmful:
        print(f"{name} is whole.")
    elif all(finding.repaired for finding in harmful):
        print(
            f"{name} is whole again. Index its folder, or go on with it on the page, to "
            "read again what was lost."
        )
    else:
        cure = (
            "What could not be mended was kept. Connect the disk with its photos, and try again."
            if arguments.repair
            else f"Mend it with: {PYTHON} -m retrieval check --repair --name {folder.name}"
        )
        raise LookalikeError(f"{name} is not whole. {cure}")

"""The command `paper`: the paper's Table 1 beside what the same data give here."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from retrieval import settings
from retrieval.baselines import baselines
from retrieval.cifar import ADDRESS, ARCHIVE, download, read_cifar10, read_classes
from retrieval.commands.reading import offer_floats, open_as_asked, write
from retrieval.errors import LookalikeError
from retrieval.files import need_place
from retrieval.paper import DataSet, System, as_table, cifar10, corel, measure, need_readable
from retrieval.reduction import load_pca
from retrieval.settings import PYTHON

# Where `python -m export` puts the paper's own network: ImageNet's VGG-16, cut after fc2.
IMAGENET = settings.ASSETS / "models" / "vgg16-fc2.onnx"
MARK = b"the first, less the paper's"  # a text without it is none of ours, and not written over


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "paper", parents=[common], help="print the paper's Table 1 next to ours"
    )
    parser.add_argument(
        "--corel", type=Path, metavar="FOLDER", help="Corel-1k, a subfolder for each class"
    )
    parser.add_argument(
        "--cifar10",
        metavar="FOLDER|ARCHIVE|download",
        help=f"a folder with queries and collection, {ARCHIVE}, or `download` to fetch it "
        f"from {ADDRESS} (170 MB)",
    )
    offer_floats(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables there too")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> None:
    """Measure every system on every data set that was named, and print a table for each."""
    need_place(arguments.output, ".txt", ".md", mark=MARK)
    data = _data_sets(arguments)
    for one in data:
        need_readable(one, _bar(f"{one.name}, looking at the files"))
    missing = []
    systems = [_system(arguments.model, arguments)]
    if IMAGENET.is_file() and IMAGENET.resolve() != arguments.model.resolve():
        systems.append(_system(IMAGENET, arguments))
    elif not IMAGENET.is_file():
        missing.append(
            "VGG-16, ImageNet, fc2 (the paper's network): not here. Make it with: "
            f"{PYTHON} -m export"
        )
    systems += [System(baseline) for baseline in baselines()]
    tables = []
    for one in data:
        evaluations = []
        for system in systems:
            name = f"{one.name}, {system.extractor.card.name}"
            evaluations += measure(one, system, _bar(name))
        tables.append(as_table(one, evaluations, missing))
        print(("\n" if len(tables) > 1 else "") + tables[-1], flush=True)
    if arguments.output:
        write(arguments.output, "\n\n".join(tables) + "\n")


def _data_sets(arguments: argparse.Namespace) -> list[DataSet]:
    data = []
    if arguments.corel:
        data.append(corel(read_classes(arguments.corel, "Corel-1k")))
    if arguments.cifar10:
        source = Path(arguments.cifar10)
        if arguments.cifar10 == "download":
            source = _download()
        data.append(cifar10(read_cifar10(source)))
    if not data:
        raise LookalikeError(
            "Name at least one data set: --corel FOLDER, --cifar10 FOLDER, or --cifar10 download."
        )
    return data


def _download() -> Path:
    with tqdm(unit="B", unit_scale=True, desc=ARCHIVE, file=sys.stderr) as bar:

        def tell(done: int, total: int | None) -> None:
            bar.total = total
            bar.n = done
            bar.refresh(nolock=True) if done == total else bar.update(0)

        return download(settings.DATASETS / ARCHIVE, tell=tell)


def _system(model: Path, arguments: argparse.Namespace) -> System:
    extractor = open_as_asked(model, arguments)
    given = arguments.pca if model == arguments.model else None
    pca = given or settings.pca_path(model)
    if not pca.is_file() and given is None:
        print(
            f"{model.name} has no PCA, so it is measured without. Fit one with: "
            f"{PYTHON} -m retrieval fit-pca FOLDER --model {model}",
            file=sys.stderr,
        )
        return System(extractor)
    return System(extractor, (load_pca(pca, extractor.card), None))


def _bar(name: str) -> Any:
    def track(pictures: Sequence[Any]) -> Iterator[Any]:
        yield from tqdm(pictures, unit="picture", desc=name, file=sys.stderr)

    return track

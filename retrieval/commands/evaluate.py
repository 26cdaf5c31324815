"""The command `evaluate`: how well kinds (subfolders) are found, and whether settings differ."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from retrieval import compare, report, settings
from retrieval.captions import UnreadTable, captioned, read_captions
from retrieval.commands.reading import (
    features_of_files,
    need_folder,
    offer_floats,
    open_as_asked,
    pca_of,
    pictures_in,
    tell_of_unread_tables,
    write,
)
from retrieval.compare import COMPUTED_BY, Comparison, Setting
from retrieval.embedding import describe
from retrieval.errors import LookalikeError, PictureError
from retrieval.evaluation import (
    Evaluation,
    Labelled,
    SelfTest,
    as_csv,
    as_rows,
    as_table,
    left_out,
    need_kinds,
)
from retrieval.features import extract_files
from retrieval.files import composed, first_of_each, need_place
from retrieval.images import open_picture, thumbnail
from retrieval.model import OnnxExtractor
from retrieval.paths import as_text, label_of, name_of
from retrieval.reduction import Matrix, Reduction, load_pca, project
from retrieval.settings import PYTHON

THUMBNAIL = 160  # pixels, in the report
# By what each result is known for one of ours, which may be written over.
CSV_MARK, JSON_MARK = b"class,queries,P@1,P@1 low", b'{\n "protocol": {'
PNG_MARK, REPORT_MARK = b"Software\0Lookalike", b"<title>How good is it?"


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "evaluate", parents=[common], help="measure how well kinds (subfolders) are found"
    )
    parser.add_argument(
        "folder",
        type=Path,
        help="pictures in a subfolder for each kind, or with a CSV that names it",
    )
    offer_floats(parser)
    parser.add_argument(
        "--queries", type=Path, metavar="FOLDER", help="ask these instead of leaving one out"
    )
    parser.add_argument("--no-pca", action="store_true", help="rank by the features themselves")
    parser.add_argument(
        "--no-neighbours",
        action="store_true",
        help="rank by the cosine alone, as papers do; the app gives the neighbours a say",
    )
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="SETTING",
        help="measure this too, on the same queries: pca=off (pca=on after --no-pca), "
        "components=64, whitening=0.5, neighbours=off, model=FILE (another network or another "
        "layer), or several with commas; may be repeated",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table as CSV")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument("--png", type=Path, metavar="FILE", help="write the charts as PNG")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write figures and charts as one HTML file"
    )
    parser.set_defaults(command=run)


@dataclass(frozen=True)
class _Found:
    """The pictures of a folder that have a class."""

    name: str  # of the folder
    files: tuple[Path, ...]
    labels: tuple[str, ...]
    without: int = 0  # pictures that have none
    narrowed: tuple[str, ...] = ()  # what is said of tables of which not all counts

    def only(self, rows: Sequence[int]) -> "_Found":
        """Return some of them."""
        return replace(
            self,
            files=tuple(self.files[row] for row in rows),
            labels=tuple(self.labels[row] for row in rows),
        )


@dataclass(frozen=True)
class _Read:
    """Those that can be read, and their features."""

    features: Matrix  # (n, d)
    files: tuple[Path, ...]
    labels: tuple[str, ...]

    def embedded(self, reduction: Reduction | None) -> Labelled:
        """Return the embeddings with their classes."""
        return Labelled(project(self.features, reduction), self.labels)


@dataclass(frozen=True)
class _Used:
    """What a setting ranks by."""

    extractor: OnnxExtractor
    reduction: Reduction | None
    reranked: bool


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and write what was asked for."""
    # What is asked is checked before minutes are spent.
    wanted = [Setting.parse(text) for text in arguments.compare]
    need_place(arguments.csv, ".csv", mark=CSV_MARK)
    need_place(arguments.json, ".json", mark=JSON_MARK)
    need_place(arguments.png, ".png", mark=PNG_MARK)
    need_place(arguments.report, ".html", ".htm", mark=REPORT_MARK)
    need_folder(arguments.folder)
    if arguments.queries:
        need_folder(arguments.queries)
        _refuse_overlap(arguments.queries, arguments.folder)
    _refuse_one_place_for_two(arguments)
    extractor = open_as_asked(arguments.model, arguments)
    pca = pca_of(arguments)
    reduction = None if arguments.no_pca else load_pca(pca, extractor.card)
    used = _Used(extractor, reduction, not arguments.no_neighbours)
    others = [_choose(setting, used, pca, arguments) for setting in wanted]

    found = [_find(folder) for folder in (arguments.folder, arguments.queries) if folder]
    taken, copies, of_other_kinds = _once(found)
    if not taken[-1].files:
        raise LookalikeError(
            f"The pictures in {arguments.queries} are copies of those in {arguments.folder}, "
            "so they would find themselves. Leave out --queries, which leaves each picture out "
            "of its own ranking, or name other pictures."
        )
    need_kinds(taken[0].labels, taken[1].labels if arguments.queries else None)
    collection, *asked = (_read(one, extractor) for one in taken)
    queries = asked[0] if asked else None
    unread = sum(len(one.files) for one in taken) - sum(
        len(one.files) for one in (collection, *asked)
    )
    without = sum(one.without for one in found)
    narrowed = " ".join(said for one in found for said in one.narrowed)
    test = SelfTest(
        collection.embedded(reduction),
        queries.embedded(reduction) if queries else None,
        describe(extractor.card, reduction),
        reranked=used.reranked,
        notes={
            COMPUTED_BY: extractor.provider,
            **left_out(without, copies, unread=unread, of_other_kinds=of_other_kinds),
            **({"tables": narrowed} if narrowed else {}),
        },
    )
    evaluation = _measure(test)
    print(as_table(evaluation))
    comparisons = []
    for called, changed in zip(arguments.compare, others, strict=True):
        other = _other_test(test, changed, collection, queries, used)
        comparison = replace(compare.compare(evaluation, _measure(other)), called=called)
        comparisons.append(comparison)
        print(f"\n{compare.as_table(comparison)}")
    _write(arguments, evaluation, comparisons, (queries or collection).files)


def _measure(test: SelfTest) -> Evaluation:
    """Rank for all queries, and show how far it is: tens of thousands take a minute or more."""
    parts = []
    with tqdm(total=test.total, unit="query", desc="ranking", file=sys.stderr) as bar:
        for part in test.rank():
            parts.append(part)
            bar.update(len(part))
    return test.summarise(parts)


def _refuse_one_place_for_two(arguments: argparse.Namespace) -> None:
    """Raise a LookalikeError where one result would be written over another."""
    wanted = (arguments.csv, arguments.json, arguments.png, arguments.report)
    places = [os.path.normcase(os.path.realpath(path)) for path in wanted if path]
    if len(set(places)) < len(places):
        raise LookalikeError(
            "Two of --csv, --json, --png and --report name the same file. Name a file for each."
        )


def _refuse_overlap(queries: Path, folder: Path) -> None:
    """Raise a LookalikeError where pictures of the collection itself would be asked."""
    asked, searched = queries.resolve(), folder.resolve()
    if any(one.samefile(searched) for one in (asked, *asked.parents)) or any(
        one.samefile(asked) for one in searched.parents
    ):
        raise LookalikeError(
            f"Pictures in {queries} are in {folder} too, so they would find themselves. Leave out "
            "--queries, which leaves each picture out of its own ranking, or name a folder beside "
            "it."
        )


def _choose(setting: Setting, used: _Used, pca: Path, arguments: argparse.Namespace) -> _Used:
    """Return what a setting ranks by; another model is opened as the one in use was."""
    if arguments.no_pca and setting.pca is None and setting.changes_pca:
        raise LookalikeError(
            "With --no-pca there are no components and no whitening to set. Leave out --no-pca, or "
            "write pca=on as well."
        )
    extractor = used.extractor
    if setting.model is not None:
        extractor = open_as_asked(setting.model, arguments)
        pca = settings.pca_path(setting.model)
    reranked = used.reranked if setting.neighbours is None else setting.neighbours
    return _Used(extractor, setting.choose(used.reduction, extractor.card, pca), reranked)


def _once(found: Sequence[_Found]) -> tuple[list[_Found], int, int]:
    """Return each file once, how many copies that leaves out, and how many say another kind."""
    first = first_of_each([path for one in found for path in one.files])
    labels = [label for one in found for label in one.labels]
    copies = [row for row, of in enumerate(first) if row != of]
    taken, start = [], 0
    for one in found:
        end = start + len(one.files)
        taken.append(one.only([row - start for row in range(start, end) if first[row] == row]))
        start = end
    return taken, len(copies), sum(labels[row] != labels[first[row]] for row in copies)


def _find(folder: Path) -> _Found:
    files = pictures_in(folder)
    names = [name_of(path, folder) for path in files]
    unread: list[UnreadTable] = []
    captions = read_captions(folder, unread.append, wanted={composed(name) for name in names})
    for table in unread:
        # What a folder that may not be opened holds takes no part, also where it is a table.
        if table.flaw == "broken" and not table.is_folder:
            raise LookalikeError(
                f"The kinds are not known, because of the table (CSV) {table.name}. {table.why}"
            )
    narrowed = [table for table in unread if table.flaw == "narrowed"]
    tell_of_unread_tables(narrowed)
    labels = [captioned(name, label_of(name), captions)[0] for name in names]
    rows = [row for row, label in enumerate(labels) if label]
    if not rows:
        raise LookalikeError(
            f"The pictures of {folder} are in no subfolders, so they have no kinds. Put each "
            "kind into a subfolder of its own, or name them in a CSV beside them: filename,label"
        )
    every = _Found(
        *(folder.name, tuple(files), tuple(labels), len(labels) - len(rows)),
        tuple(f"{table.name}: {table.why}" for table in narrowed),
    )
    return every.only(rows)


def _read(found: _Found, extractor: OnnxExtractor) -> _Read:
    features, files = features_of_files(found.files, found.name, extractor)
    label_of_file = dict(zip(found.files, found.labels, strict=True))
    return _Read(features, tuple(files), tuple(label_of_file[path] for path in files))


def _other_test(
    test: SelfTest,
    changed: _Used,
    collection: _Read,
    queries: _Read | None,
    used: _Used,
) -> SelfTest:
    """Return the same test by another setting; another model reads the same files anew."""
    extractor, reduction = changed.extractor, changed.reduction
    if extractor is not used.extractor:
        collection = _read_again(collection, extractor)
        queries = _read_again(queries, extractor) if queries else None
    return replace(
        test,
        collection=collection.embedded(reduction),
        queries=queries.embedded(reduction) if queries else None,
        model=describe(extractor.card, reduction),
        reranked=changed.reranked,
        notes={**test.notes, COMPUTED_BY: extractor.provider},
    )


def _read_again(read: _Read, extractor: OnnxExtractor) -> _Read:
    features, files, _ = extract_files(read.files, extractor)
    if tuple(files) != read.files:
        raise LookalikeError("Some pictures have changed meanwhile. Run it again.")
    return replace(read, features=features)


def _write(
    arguments: argparse.Namespace,
    evaluation: Evaluation,
    comparisons: list[Comparison],
    files: tuple[Path, ...],
) -> None:
    """Write what was asked for, all that can be written.

    Raises:
        LookalikeError: at last, when some could not; in a line each.
    """
    name = as_text(arguments.folder.resolve().name)

    def show(row: int) -> report.Shown:
        return report.Shown(_data_uri(files[row]), as_text(files[row].name))

    def as_report() -> str:
        table = as_text(arguments.csv.name) if arguments.csv else ""
        return report.document(name, evaluation, show, comparisons, table)

    def as_png() -> bytes:
        # Only here, so that a machine without matplotlib can do all the rest.
        try:
            from retrieval.plots import draw_png
        except ImportError as error:
            raise LookalikeError(
                "Charts as PNG need matplotlib, which cannot be loaded here. Install it with: "
                f"{PYTHON} -m pip install matplotlib"
            ) from error

        return draw_png(f"How good is it on {name}?", evaluation)

    outputs: tuple[tuple[Path | None, Callable[[], str | bytes]], ...] = (
        (arguments.csv, lambda: as_csv(evaluation)),
        (arguments.json, lambda: _as_json(evaluation, comparisons)),
        (arguments.png, as_png),
        (arguments.report, as_report),
    )
    problems = []
    for path, make in outputs:
        if path is not None:
            try:
                write(path, make())
            except LookalikeError as error:  # a table that is open in Excel, say
                problems.append(str(error))
    if problems:
        raise LookalikeError("\n".join(problems))


def _as_json(evaluation: Evaluation, comparisons: list[Comparison]) -> str:
    results = as_rows(evaluation)
    everything: dict[str, Any] = {"protocol": evaluation.protocol, "results": results}
    if comparisons:
        everything["comparisons"] = [
            {
                "setting": one.called,
                "protocol": one.second.protocol,
                "results": as_rows(one.second),
                "differences": {
                    metric: {
                        "mean": round(gap.mean, 3),
                        "low": round(gap.low, 3),
                        "high": round(gap.high, 3),
                        "more than chance": gap.is_more_than_chance,
                    }
                    for metric, gap in one.differences.items()
                },
            }
            for one in comparisons
        ]
    return json.dumps(everything, indent=1, ensure_ascii=False)


def _data_uri(path: Path) -> str:
    try:
        image = open_picture(path, THUMBNAIL).image
    except PictureError:
        image = None  # it was there a minute ago; the report shows a gap
    data = thumbnail(image, THUMBNAIL) if image else b""
    return report.data_uri(data, "image/jpeg")

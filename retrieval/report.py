"""An evaluation as HTML: sections that the page shows too, and one file that needs nothing else."""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from retrieval import charts
from retrieval.captions import pretty
from retrieval.compare import COMPUTED_BY, PAIRED, Comparison, names_of, signed
from retrieval.curves import (
    Confusion,
    WorstQuery,
    confusion,
    depth_curve,
    hardest_first,
    precision_at_recall,
    worst_queries,
)
from retrieval.evaluation import METRICS, RANKING, ClassScores, Evaluation

STYLE = Path(__file__).with_name("report.css")

WORST = 12
# Beyond these a table or a matrix is no longer read; a CSV has all rows.
MOST_ROWS = 30
MOST_COLUMNS = 16
SPANS = ' colspan="2" class="lk-spans"'  # of a heading: above a bar, and the figure beside it

HINTS = {
    "P@1": "the first result is right",
    "P@10": "of the first 10 are right",
    "P@20": "of the first 20 are right",
    "hit@10": "at least one of 10 is right",
    "mAP": "how far up all right ones are",
}
AS_IT_IS = "As it is"  # the setting that others are compared with
RIGHT = "Right means: of the same kind as the picture searched for."


@dataclass(frozen=True)
class Shown:
    """How a picture is shown: an address or a data URI, and what people call it."""

    source: str
    name: str


Show = Callable[[int], Shown]


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes as an address that carries them, such as `data:image/jpeg;base64,...`."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def style() -> str:
    """Return the style sheet of the sections; its colours are variables."""
    return STYLE.read_text(encoding="utf-8")


def document(
    title: str,
    evaluation: Evaluation,
    show: Show | None,
    comparisons: Sequence[Comparison] = (),
    csv: str = "",
) -> str:
    """Return the whole report as one HTML file that loads nothing from anywhere.

    Args:
        show: shows one of the pictures that were asked, by its row, with a data URI; None leaves
            the pictures out.
        csv: what the table with all kinds is called, "" where nobody gets one.
    """
    name = escape(title)
    compared = "".join(compare_section(one, is_open=True) for one in comparisons)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">"
        f"<title>How good is it? {name}</title><style>{style()}</style></head>"
        f'<body class="lk-paper"><main class="lk-report"><h1>How good is it? <span>{name}</span>'
        f"</h1>{sections(evaluation, show, csv, is_open=True)}{compared}</main></body></html>\n"
    )


def sections(
    evaluation: Evaluation,
    show: Show | None,
    csv: str = "",
    ids: Sequence[int] = (),
    is_open: bool = False,
) -> str:
    """Return everything that an evaluation has to show, section by section; see `document`.

    Args:
        ids: the number of each picture, by its row, where a hard query is to be a button that
            tells its own and those of what it finds.
        is_open: whether one sees at once how it was measured: a report is read, and printed.
    """
    worst = "" if show is None else worst_section(worst_queries(evaluation, WORST), show, ids)
    return (
        figures(evaluation)
        + '<div class="lk-duo">'
        + depth_section(evaluation)
        + recall_section(evaluation)
        + "</div>"
        + classes_section(evaluation.classes, csv)
        + confusion_section(confusion(evaluation))
        + worst
        + protocol(evaluation.protocol.items(), is_open)
    )


def figures(evaluation: Evaluation) -> str:
    """Show the five figures side by side, each with its interval and what it means."""
    possible = {
        metric: f'<span class="lk-possible">of {share:.1f} possible</span>'
        for metric, share in evaluation.highest.items()
    }
    cards = "".join(
        f'<li><span class="lk-value">{score.mean:.1f}<small> %</small></span>'
        f'<span class="lk-meaning">{HINTS[metric]}</span>{possible.get(metric, "")}'
        f'<span class="lk-metric">{metric}</span>'
        f'<span class="lk-interval">{score.low:.1f} to {score.high:.1f}</span></li>'
        for metric, score in ((metric, evaluation.overall[metric]) for metric in METRICS)
    )
    return f'<ul class="lk-figures">{cards}</ul><p class="lk-note">{RIGHT}</p>'


def protocol(facts: Iterable[tuple[str, str]], is_open: bool) -> str:
    """Say what exactly was measured, and how, in the words of the field; folded unless open."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        f'<details class="lk-section"{" open" if is_open else ""}>'
        f'<summary>How this was measured</summary><dl class="lk-protocol">{rows}</dl></details>'
    )


def depth_section(evaluation: Evaluation) -> str:
    """Draw accuracy against the number of results, as the paper does, for each meaning of it."""
    curve = depth_curve(evaluation)
    depth = min(10, int(curve.depths[-1]))
    precision, hit, _ = curve.at(depth)
    chart = charts.line_chart(
        f"Accuracy against the number of results. With {depth} looked at, {precision:.1f} % of "
        f"them are right, and {hit:.1f} % of the searches find at least one right one.",
        "results looked at",
        curve.depths,
        [
            charts.Series("at least one is right (hit)", curve.hit, 1),
            charts.Series("share that is right (precision)", curve.precision, 0),
            charts.Series("share found of all right ones (recall)", curve.recall, 2),
        ],
        logarithmic=True,
    )
    return _section(
        "Accuracy and the number of results",
        "The same rankings, read in three ways. A paper that prints one number may mean any.",
        chart,
    )


def recall_section(evaluation: Evaluation) -> str:
    """Draw precision against recall."""
    recall, precision = precision_at_recall(evaluation)
    chart = charts.line_chart(
        "Precision against recall: "
        + ", ".join(f"{p:.0f} % at {r:.0f} %" for r, p in zip(recall, precision, strict=True)),
        "recall, % of all right ones found",
        recall,
        [charts.Series("precision", precision, 0)],
    )
    return _section(
        "Precision and recall",
        "To find this share of all right pictures, this share of what one sees is right "
        "(interpolated, 11 points).",
        chart,
    )


def classes_section(classes: Sequence[ClassScores], csv: str = "") -> str:
    """List the classes, the one that is found worst first; a bar stands beside what it shows."""
    ordered = hardest_first(classes)
    metrics = ("mAP", *(metric for metric in METRICS if metric != "mAP"))
    rows = "".join(
        f'<tr><th scope="row">{kind_name(one.label)}</th><td>{one.queries:,}</td>'
        f'<td class="lk-wide">{charts.bar(one.scores["mAP"].mean)}</td>'
        + "".join(f"<td>{one.scores[metric].mean:.1f}</td>" for metric in metrics)
        + "</tr>"
        for one in ordered[:MOST_ROWS]
    )
    percent = "<small>%</small>"
    # The first one's bar stands beside its figure, below the same heading.
    head = "".join(
        f'<th scope="col"{"" if i else SPANS}>{metric} {percent}</th>'
        for i, metric in enumerate(metrics)
    )
    table = (
        '<div class="lk-scroll"><table class="lk-scores lk-kinds"><thead><tr>'
        f'<th scope="col">Kind</th><th scope="col">Searches</th>{head}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return _section("Kind by kind", "The hardest first. " + _rest(len(ordered), csv), table)


def confusion_section(found: Confusion) -> str:
    """Show which classes are taken for which: a matrix, or the largest mistakes of many classes."""
    lead = (
        f"What the first {found.depth} results are, in percent. Down the side stands the kind that "
        f"is searched for, across the top the kind that is found, so the diagonal is right."
        f"{_fewer(found)}"
    )
    if len(found.labels) > MOST_COLUMNS or found.asked != found.labels:
        return _section("What is taken for what", _largest_lead(found), _largest(found))
    head = "".join(f'<th scope="col">{kind_name(label)}</th>' for label in found.labels)
    rows = "".join(
        f'<tr><th scope="row">{kind_name(label)}</th>'
        + "".join(_cell(float(share), row == column) for column, share in enumerate(shares))
        + "</tr>"
        for row, (label, shares) in enumerate(zip(found.asked, found.matrix(), strict=True))
    )
    table = (
        '<div class="lk-scroll"><table class="lk-confusion"><thead><tr><td></td>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return _section("What is taken for what", lead, table)


def worst_section(worst: Sequence[WorstQuery], show: Show, ids: Sequence[int] = ()) -> str:
    """Show the queries with the worst rankings; see `sections`."""
    if not worst:
        return ""
    tiles = "".join(_tile(one, show, ids) for one in worst)
    return _section(
        "The hardest pictures",
        "The pictures whose own kind is found worst, the lowest AP first (average precision: how "
        "far up all right ones are, not only those among the first). Often the label is to be "
        "doubted, or the picture shows two things.",
        f'<ol class="lk-worst">{tiles}</ol>',
    )


def compare_section(comparison: Comparison, is_open: bool = False) -> str:
    """Show two settings side by side, with the differences; see `sections`."""
    first, second = comparison.first, comparison.second
    rows = "".join(
        f'<tr><th scope="row">{metric}</th><td>{first.overall[metric].mean:.1f}</td>'
        f'<td>{second.overall[metric].mean:.1f}</td><td class="lk-gap"><b>{_signed(gap.mean)}</b>'
        f" <span>{_signed(gap.low)} to {_signed(gap.high)}</span></td>"
        f'<td class="lk-word">{gap.verdict}</td></tr>'
        for metric, gap in ((metric, comparison.differences[metric]) for metric in METRICS)
    )
    table = (
        '<div class="lk-scroll"><table class="lk-scores lk-compare"><thead><tr>'
        f'<td></td><th scope="col">{AS_IT_IS} <small>%</small></th>'
        f'<th scope="col" class="lk-setting">{escape(comparison.called)} <small>%</small></th>'
        '<th scope="col" class="lk-gap">Difference <span>95 % interval</span></th>'
        '<th scope="col" class="lk-word">Is it chance?</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
    own = {"model", COMPUTED_BY}  # of each of the two
    if first.protocol[RANKING] != second.protocol[RANKING]:
        own.add(RANKING)
    facts = (
        *zip((AS_IT_IS, comparison.called), names_of(comparison), strict=True),
        *(item for item in second.protocol.items() if item[0] not in own),
        ("difference", PAIRED),
    )
    return _section(
        "Two settings, the same pictures",
        "The difference in percentage points: above zero the other setting is better. Where the "
        "interval holds zero, it may be chance.",
        table + protocol(facts, is_open),
    )


def kind_name(label: str) -> str:
    """Lay out the name of a kind, which may be too long to be shown whole."""
    name = escape(_name(label))
    return f'<span class="lk-kind" title="{name}">{name}</span>'


def _section(heading: str, lead: str, body: str) -> str:
    return (
        f'<section class="lk-section"><h3>{escape(heading)}</h3>'
        f'<p class="lk-note">{escape(lead)}</p>{body}</section>'
    )


def _cell(share: float, right: bool) -> str:
    kind = "lk-right" if right else "lk-wrong"
    text = f"{share:.0f}" if share >= 0.5 else ""
    return f'<td class="{kind}" style="--share:{share:.0f}%">{text}</td>'


def _largest_lead(found: Confusion) -> str:
    return (
        f"The most frequent mistakes among the first {found.depth} results, in percent of the "
        f"results when that kind is searched for.{_fewer(found)}"
    )


def _fewer(found: Confusion) -> str:
    """Say that not as many results count everywhere."""
    return " Where a kind has fewer others to be found, only so many count." if found.fewer else ""


def _largest(found: Confusion) -> str:
    """List the largest mistakes, where a matrix would be too large to read."""
    rows = "".join(
        f'<tr><th scope="row">{kind_name(asked)}</th>'
        f'<td class="lk-word">{kind_name(taken)}</td>'
        f'<td class="lk-wide">{charts.bar(share)}</td><td>{share:.1f}</td></tr>'
        for asked, taken, share in found.mistakes(MOST_COLUMNS)
    )
    return (
        '<div class="lk-scroll"><table class="lk-scores lk-mistakes"><thead><tr>'
        '<th scope="col">Searched</th><th scope="col" class="lk-word">Found</th>'
        f'<th scope="col"{SPANS}>Of the results <small>%</small></th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _tile(one: WorstQuery, show: Show, ids: Sequence[int]) -> str:
    shown = show(one.row)
    found = (
        f"AP {100 * one.average_precision:.0f} %",
        f"{one.relevant} of {len(one.nearest)} right",
    )
    inside = (
        f'<img src="{escape(shown.source)}" alt="" loading="lazy">'
        f'<span class="lk-under"><b>{kind_name(one.label)}</b>'
        f'<span class="lk-found"><i>{found[0]}</i> <i>{found[1]}</i></span>'
        f"<small>{escape(shown.name)}</small></span>"
    )
    if not ids:
        return f"<li>{inside}</li>"
    # What is seen comes first, word for word, for those who say what is to be pressed.
    seen = f"{_name(one.label)} {' '.join(found)} {shown.name}"
    spoken = escape(f"{seen}. Show what it finds")
    nearest = " ".join(str(ids[row]) for row in one.nearest)
    opening = (
        f'<button type="button" data-id="{ids[one.row]}" data-nearest="{nearest}" '
        f'aria-label="{spoken}">'
    )
    return f"<li>{opening}{inside}</button></li>"


def _signed(points: float) -> str:
    """Write a difference with its sign, and a minus as long as the plus."""
    return signed(points).replace("-", "\N{MINUS SIGN}")


def _rest(n: int, csv: str) -> str:
    if n <= MOST_ROWS:
        return ""
    kinds = "1 more kind is" if n == MOST_ROWS + 1 else f"{n - MOST_ROWS:,} more kinds are"
    return f"{kinds} in {csv}." if csv else f"{kinds} not shown."


def _name(label: str) -> str:
    return pretty(label) or "(no kind)"

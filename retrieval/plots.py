"""The charts of an evaluation as one PNG, for slides and papers; drawn by matplotlib."""

import io
import os
import warnings
from textwrap import wrap
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval import settings
from retrieval.captions import pretty
from retrieval.charts import decades
from retrieval.curves import Shares, confusion, depth_curve, hardest_first, precision_at_recall
from retrieval.evaluation import METRICS, RANKING, Evaluation

INK, QUIET, RULE = "#1c1917", "#6b6560", "#e0dcd8"
TEAL, AMBER, VIOLET, RED, FILL = "#0d9488", "#b45309", "#7c3aed", "#dc2626", "#f7f5f3"
EDGE = 0.01  # of the width, left free on both sides
MOST_CLASSES = 25
# Of the protocol, what the caption says in its own way, and what goes without saying in a picture.
TOLD = (
    *("model", "queries", "collection", "query itself", "relevant", "similarity", RANKING),
    *("mAP", "intervals"),
)
LONGEST_LINE = 190  # characters of a caption
LONGEST_NAME = 30  # characters; longer ones would leave the charts no room
# 1600 x 1200 pixels: sharp on a slide, and about 150 KB.
INCHES, DOTS = (10.67, 8.0), 150


def draw_png(title: str, evaluation: Evaluation) -> bytes:
    """Draw accuracy over depth, precision over recall, the classes and their confusion."""
    # Importing takes most of a second, and only drawing needs it. The figure is made without
    # pyplot: that keeps a list of open figures, which threads of a server must not share.
    # Matplotlib keeps a list of the fonts that it finds, which is to go with all else.
    os.environ.setdefault("MPLCONFIGDIR", str(settings.HOME / "matplotlib"))
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    plain: dict[Any, Any] = {
        "font.size": 9,
        "text.color": INK,
        "text.parse_math": False,  # a dollar sign in a label is no formula
        "axes.labelcolor": QUIET,
        "axes.edgecolor": RULE,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
    }
    buffer = io.BytesIO()
    with rc_context(plain), warnings.catch_warnings():
        # The one font that comes along has not every script; what it lacks becomes a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        layout = ConstrainedLayoutEngine(w_pad=EDGE * INCHES[0])
        figure = Figure(figsize=INCHES, dpi=DOTS, facecolor="white", layout=layout)
        FigureCanvasAgg(figure)
        (depth, recall), (classes, matrix) = figure.subplots(2, 2)
        figure.suptitle(title, x=EDGE, ha="left", fontsize=13, fontweight="bold")
        _draw_depth(depth, evaluation)
        _draw_recall(recall, evaluation)
        _draw_classes(classes, evaluation)
        _draw_confusion(matrix, evaluation)
        figure.supxlabel(_caption(evaluation), x=EDGE, ha="left", fontsize=7.5, color=QUIET)
        # By its mark `evaluate` knows a chart that it may write over.
        figure.savefig(buffer, format="png", metadata={"Software": "Lookalike"})
    return buffer.getvalue()


def _draw_depth(axes: Any, evaluation: Evaluation) -> None:
    curve = depth_curve(evaluation)
    axes.plot(curve.depths, curve.hit, color=AMBER, ls="--", label="at least one is right (hit)")
    axes.plot(curve.depths, curve.precision, color=TEAL, label="share that is right (precision)")
    axes.plot(curve.depths, curve.recall, color=VIOLET, ls=":", label="share found (recall)")
    axes.set_xscale("log")
    axes.set_xticks(decades(float(curve.depths[-1])))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    # Between so few results that no power of ten lies among them it would write its own.
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.legend(frameon=False, fontsize=8)
    _frame(axes, "Accuracy and the number of results", "results looked at")


def _draw_recall(axes: Any, evaluation: Evaluation) -> None:
    recall, precision = precision_at_recall(evaluation)
    axes.plot(recall, precision, color=TEAL, marker="o", ms=3.5)
    _frame(axes, "Precision and recall (interpolated, 11 points)", "recall, %")


def _draw_classes(axes: Any, evaluation: Evaluation) -> None:
    worst = hardest_first(evaluation.classes)[:MOST_CLASSES]
    values = [one.scores["mAP"] for one in reversed(worst)]
    means = np.array([score.mean for score in values])
    spread = np.array([[s.mean - s.low for s in values], [s.high - s.mean for s in values]])
    places = np.arange(len(values))
    axes.barh(places, means, color=TEAL, height=0.7, xerr=np.maximum(spread, 0), ecolor=INK)
    axes.set_yticks(places, [_plain(one.label) for one in reversed(worst)])
    axes.set_xlim(0, 100)
    axes.set_title("mAP, kind by kind, %", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_confusion(axes: Any, evaluation: Evaluation) -> None:
    found = confusion(evaluation)
    axes.set_title(f"Kinds of the first {found.depth} results, %", loc="left", fontsize=10)
    kinds = max(len(found.labels), len(found.asked))
    if kinds > MOST_CLASSES:
        axes.set_axis_off()
        axes.text(0, 0.9, f"{kinds:,} kinds, too many to draw.", color=QUIET)
        return
    shares = found.matrix()
    right = np.array([[row == column for column in found.labels] for row in found.asked])
    axes.imshow(_colours(shares, right))
    across, down = ([_plain(label) for label in kind] for kind in (found.labels, found.asked))
    axes.set_xticks(np.arange(len(across)), across, rotation=45, ha="right")
    axes.set_yticks(np.arange(len(down)), down)
    if kinds <= 12:
        for row, column in zip(*np.nonzero(shares >= 0.5), strict=True):
            share = shares[row, column]
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=7, color=INK)
    axes.set_ylabel("searched for")
    axes.set_xlabel("found")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _colours(shares: Shares, right: npt.NDArray[np.bool_]) -> Shares:
    """Return the colours of a matrix of percentages as the page has them, `(rows, columns, 3)`."""
    from matplotlib.colors import to_rgb

    depth = np.where(right, 0.5 * shares, 0.7 * np.minimum(1.6 * shares, 100))[..., None] / 100
    full = np.where(right[..., None], to_rgb(TEAL), to_rgb(RED))
    colours: Shares = depth * full + (1 - depth) * np.array(to_rgb(FILL))
    return colours


def _frame(axes: Any, title: str, across: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylim(0, 103)
    axes.set_ylabel("%")
    axes.set_xlabel(across)
    axes.grid(color=RULE, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _caption(evaluation: Evaluation) -> str:
    figures = ", ".join(f"{metric} {evaluation.overall[metric].mean:.1f}" for metric in METRICS)
    protocol = evaluation.protocol
    asked = f"queries: {protocol['queries']}; collection: {protocol['collection']}"
    told = [  # what else there is to say follows, such as what was left out
        f"{asked}; query itself: {protocol['query itself']}; relevant: {protocol['relevant']}",
        f"similarity: {protocol['similarity']}; ranked {protocol[RANKING]}",
    ]
    rest = "; ".join(f"{name}: {text}" for name, text in protocol.items() if name not in TOLD)
    return "\n".join((figures, protocol["model"], *told, *wrap(rest, LONGEST_LINE)))


def _plain(label: str) -> str:
    name = pretty(label) or "(no kind)"
    return (
        name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
    )

"""The report: one file that loads nothing, with every figure, and no text taken for markup."""

import csv
import io
import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from retrieval import charts, report
from retrieval.compare import compare
from retrieval.curves import worst_queries
from retrieval.evaluation import METRICS, Evaluation, Labelled, as_csv, evaluate
from retrieval.plots import draw_png
from retrieval.reduction import to_unit
from tests.made import by_hue, encode

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = '<script>alert("x")</script>'
VOID = {"meta", "img", "br", "path", "line", "rect"}


def noise(classes: list[str], each: int = 12, seed: int = 0) -> Labelled:
    generator = np.random.default_rng(seed)
    centres = np.eye(len(classes)).repeat(each, axis=0)
    vectors = to_unit(centres + 0.4 * generator.standard_normal(centres.shape))
    return Labelled(vectors, tuple(label for label in classes for _ in range(each)))


def measured(*classes: str, seed: int = 0) -> Evaluation:
    return evaluate(noise(list(classes), seed=seed), None, "noise, no PCA")


def show(row: int) -> report.Shown:
    jpeg = encode(by_hue(10.0 * row), "JPEG")
    return report.Shown(report.data_uri(jpeg, "image/jpeg"), f"{row} {HOSTILE}.jpg")


class Checked(HTMLParser):
    """Reads a page; notes its addresses and text, and that every tag is closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return measured("cats", "dogs", HOSTILE)


def test_the_report_is_one_file_that_loads_nothing(evaluation: Evaluation) -> None:
    page = report.document("my photos", evaluation, show)
    found = Checked(page)
    assert found.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in found.addresses)
    assert "url(" not in page
    assert "script" not in found.tags
    assert "link" not in found.tags


def test_the_report_shows_every_figure_with_its_interval_and_the_protocol(
    evaluation: Evaluation,
) -> None:
    text = Checked(report.document("my photos", evaluation, None)).text
    for metric in METRICS:
        score = evaluation.overall[metric]
        assert metric in text
        assert f"{score.mean:.1f}" in text
        assert f"{score.low:.1f} to {score.high:.1f}" in text
    for name, value in evaluation.protocol.items():
        assert name in text
        assert value in text


def test_a_figure_says_what_is_possible_where_kinds_are_too_small_for_all() -> None:
    small = report.figures(evaluate(noise(["cat", "dog"], each=6), None, "by hand"))
    assert small.count("of 50.0 possible") == 1  # P@10: five others of a kind
    assert small.count("of 25.0 possible") == 1  # P@20
    large = report.figures(evaluate(noise(["cat", "dog"], each=21), None, "by hand"))
    assert "possible" not in large


def test_names_are_text_and_never_markup(evaluation: Evaluation) -> None:
    comparison = compare(evaluation, evaluation)
    page = report.document(HOSTILE, evaluation, show, [comparison])
    assert HOSTILE not in page
    assert HOSTILE in Checked(page).text


def test_a_comparison_says_what_is_more_than_chance() -> None:
    first, second = measured("a", "b", "c"), measured("a", "b", "c", seed=1)
    second.per_query[:] = 0
    text = Checked(report.compare_section(compare(first, second))).text
    assert "more than chance" in text
    assert "\N{MINUS SIGN}" in text


def test_few_classes_get_a_matrix_and_many_get_the_largest_mistakes() -> None:
    few = report.sections(measured("a", "b", "c"), None)
    many = report.sections(measured(*(f"kind {i}" for i in range(40))), None)
    assert "lk-confusion" in few
    assert "lk-confusion" not in many
    assert "10 more kinds are not shown." in many
    assert "The most frequent mistakes" in many
    Checked(many)


def test_how_it_was_measured_comes_last_folded_on_the_page_and_open_in_the_report(
    evaluation: Evaluation,
) -> None:
    compared = compare(evaluation, evaluation)
    on_page = report.sections(evaluation, show) + report.compare_section(compared)
    saved = report.document("my photos", evaluation, show, [compared])
    assert (on_page.count("<details"), saved.count("<details")) == (2, 2)
    assert (on_page.count(" open>"), saved.count(" open>")) == (0, 2)
    assert on_page.index("lk-worst") < on_page.index("<details")
    assert on_page.index("lk-compare") < on_page.rindex("<details")


@pytest.mark.parametrize("kinds", [3, 40])
def test_only_how_it_was_measured_speaks_of_queries(kinds: int) -> None:
    one = measured(*(f"x{i}" for i in range(kinds)))
    said = report.document("Pets", one, show, [compare(one, one)])
    told = Checked(re.sub("(?s)<details.*?</details>", "", said)).text
    assert "searched for" in told
    assert not re.search("quer(y|ies)", told, re.IGNORECASE)


@pytest.mark.parametrize("kinds", [3, 40])
def test_every_column_of_figures_has_a_name(kinds: int) -> None:
    tables = report.sections(measured(*(f"x{i}" for i in range(kinds))), None)
    assert '<th scope="col" colspan="2" class="lk-spans">mAP ' in tables
    assert not re.search("<th[^>]*></th>", tables)


def test_a_csv_is_named_only_where_there_is_one() -> None:
    many = measured(*(f"kind {i}" for i in range(31)))
    assert "1 more kind is in table.csv." in report.document("x", many, None, csv="table.csv")
    alone = report.document("x", many, None, [compare(many, many)])
    assert "1 more kind is not shown." in alone


@pytest.mark.parametrize("kinds", [3, 40])
def test_a_report_says_kind_as_the_pages_do_and_never_class(kinds: int) -> None:
    one, other = (measured(*(f"x{i}" for i in range(kinds)), seed=seed) for seed in (0, 1))
    said = " ".join(Checked(report.document("Pets", one, show, [compare(one, other)])).text.split())
    assert "Kind by kind" in said
    assert not re.search(r"\bclass(es)?\b", said, re.IGNORECASE)


def test_a_hard_query_is_a_button_only_where_it_can_be_clicked(evaluation: Evaluation) -> None:
    shown: list[int] = []

    def count(row: int) -> report.Shown:
        shown.append(row)
        return report.Shown("x.jpg", "x")

    plain = report.sections(evaluation, show)
    clickable = report.sections(evaluation, count, ids=range(100, 136))
    assert "<button" not in plain
    assert len(shown) == report.WORST  # what these find is told by its numbers alone
    ids = re.findall(r'data-id="(\d+)"', clickable)
    assert len(ids) == report.WORST
    assert min(int(id_) for id_ in ids) >= 100


def test_what_counts_percent_says_so(evaluation: Evaluation) -> None:
    kinds = Checked(report.classes_section(evaluation.classes)).text
    assert all(f"{metric} %" in kinds for metric in METRICS)
    compared = Checked(report.compare_section(compare(evaluation, evaluation))).text
    assert "As it is %Another setting %Difference" in compared
    chart = Checked(report.depth_section(evaluation)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "0 %25 %50 %75 %100 %" in chart


def test_the_hardest_queries_tell_what_they_are_sorted_by(evaluation: Evaluation) -> None:
    worst = worst_queries(evaluation, report.WORST)
    text = Checked(report.worst_section(worst, show)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "average precision" in text
    told = [int(ap) for ap in re.findall(r"AP (\d+) % \d+ of 10 right", text)]
    assert told == [round(100 * one.average_precision) for one in worst]
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("window", "width"), [(390, 350), (960, 540), (1280, 960)], ids=["phone", "zoomed", "desk"]
)
def test_a_narrow_report_keeps_its_numbers_whole_and_its_charts_legible(
    window: int, width: int, browser: "Browser", evaluation: Evaluation
) -> None:
    page = browser.new_page(viewport={"width": window, "height": 540})
    body = report.document("my photos", evaluation, None)
    column = f'<main class="lk-report" style="max-width:{width}px">'
    page.set_content(body.replace('<main class="lk-report">', column))
    values, heights = (
        page.locator(what).evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
        for what in (".lk-value", ".lk-chart text")
    )
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    page.close()
    assert max(values) < 40  # one line
    assert min(heights) >= 12
    assert wide <= 0


@pytest.mark.parametrize(
    ("window", "width"), [(320, 320), (390, 390), (853, 480), (645, 645), (830, 830), (1280, 960)]
)
@pytest.mark.parametrize(
    "kinds", [["cat", "Summer at the sea", "x" * 60], list("abcdefghijklmnopqr")]
)
def test_the_figures_of_kinds_fit_any_width_and_their_bars_are_long_enough_to_be_compared(
    window: int, width: int, kinds: list[str], browser: "Browser"
) -> None:
    page = browser.new_page(viewport={"width": window, "height": 540})
    body = report.document("my photos", measured(*kinds), None)
    column = f'<main class="lk-report" style="max-width:{width}px">'
    page.set_content(body.replace('<main class="lk-report">', column))
    cut = page.locator(".lk-scroll:has(.lk-scores)").evaluate_all(
        "all => all.map(one => one.scrollWidth - one.clientWidth)"
    )
    bars = page.locator(".lk-meter").evaluate_all("all => all.map(one => one.clientWidth)")
    rows = (
        page.locator(".lk-scores")
        .first.locator("tr")
        .evaluate_all(
            "all => all.map(row => [...row.cells].map(cell => cell.getBoundingClientRect().right))"
        )
    )
    page.close()
    assert max(cut) <= 0
    assert min(bars) >= 80
    assert len(set(bars[: len(kinds)])) == 1
    # Figures stand below their headings, of which the third is that of the bar and what is beside.
    head, first = rows[0], rows[1]
    assert first[3:] == pytest.approx(head[2:], abs=1)


def test_a_chart_says_in_words_what_it_shows_and_carries_its_numbers() -> None:
    series = charts.Series("share", np.array([100.0, 50.0, 25.0]), 0)
    drawn = charts.line_chart("It falls.", "results", np.array([1, 10, 100]), [series], True)
    Checked(drawn)
    assert 'role="img" aria-label="It falls."' in drawn
    assert "10: share 50.0 %" in drawn
    path = drawn.split("lk-ticks")[1].split('d="M')[1].split('"')[0]
    points = [tuple(map(float, point.split())) for point in path.split("L")]
    # On a logarithmic axis 1, 10 and 100 stand equally far apart; 50 % is half way up.
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.2)
    assert points[0][1] == charts.TOP
    assert points[1][1] == (charts.TOP + charts.HEIGHT - charts.BOTTOM) / 2


def test_of_fewer_than_ten_results_the_chart_says_how_many_it_speaks_of() -> None:
    six = evaluate(noise(["a", "b"], 3), None, "noise")
    drawn = report.depth_section(six)
    assert "With 5 looked at, 40.0 % of them are right" in drawn
    assert f"With 10 looked at, {measured('a', 'b').overall['P@10'].mean:.1f} %" in (
        report.depth_section(measured("a", "b"))
    )


def test_the_hardest_kind_comes_first_and_the_bars_say_how_hard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, many = noise(["few"], 3), noise(["x", "y"], 30)
    vectors = np.zeros((63, 3), np.float32)
    vectors[:3, 2], vectors[3:, :2] = few.vectors[:, 0], many.vectors
    found = evaluate(Labelled(vectors, few.labels + many.labels), None, "noise")
    listed = Checked(report.classes_section(found.classes)).text
    assert listed.index("few") > max(listed.index("x"), listed.index("y"))
    assert drawn("mAP", found, monkeypatch)[-3:][0] == "few"  # from below
    beside = re.search(r"few.*?</i></span></td><td>([\d.]+)", report.classes_section(found.classes))
    few_ = next(one for one in found.classes if one.label == "few")
    assert beside
    assert beside[1] == f"{few_.scores['mAP'].mean:.1f}"


def test_a_collection_of_two_pictures_can_be_drawn() -> None:
    vectors = Labelled(np.eye(2, dtype=np.float32), ("a", "b"))
    tiny = evaluate(vectors, Labelled(vectors.vectors[:1], ("a",)), "two")
    Checked(report.document("two", tiny, None))
    assert draw_png("two", tiny).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "classes",
    [["cats", "dogs"], [f"kind {i}" for i in range(30)], ["$a_b$", "猫", "\\frac{x", ""]],
    ids=["few", "many", "odd names"],
)
def test_the_charts_are_drawn_as_a_png(classes: list[str]) -> None:
    png = draw_png("How good is it on $5 and 猫?", measured(*classes))
    image = Image.open(io.BytesIO(png))
    assert image.size == (1600, 1200)
    assert len(image.convert("RGB").getcolors(1_000_000) or []) > 50


def figure_of(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Draw the charts, and return what matplotlib keeps of them."""
    from matplotlib.figure import Figure

    kept: list[Any] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        kept.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that the layout was given up is a warning
        draw_png("x", evaluation)
    return kept[0]


@pytest.mark.parametrize("reranked", [False, True])
def test_the_charts_and_the_table_say_how_it_was_measured(
    monkeypatch: pytest.MonkeyPatch, reranked: bool
) -> None:
    evaluation = measured("cats", "dogs")
    how = "by the cosine, then the first 500" if reranked else "by the cosine alone"
    evaluation.protocol["ranking"] = how
    evaluation.protocol["left out"] = "5 without a kind, " * 12 + "and more"
    caption = figure_of(evaluation, monkeypatch).get_supxlabel()
    for name in ("model", "queries", "collection", "query itself", "relevant", "ranking"):
        assert evaluation.protocol[name] in caption
    assert f"left out: {evaluation.protocol['left out']}" in caption.replace("\n", " ")
    assert max(map(len, caption.splitlines())) <= 200
    rows = list(csv.DictReader(as_csv(evaluation).decode("utf-8-sig").splitlines()))
    assert len(rows) == 3
    for row in rows:
        for name, value in evaluation.protocol.items():
            assert f"{name}: {value}" in row["protocol"]


def drawn(axes_of: str, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Draw the charts, and return the texts that are to be seen on one of them."""
    figure = figure_of(evaluation, monkeypatch)
    (axes,) = (one for one in figure.axes if one.get_title("left").startswith(axes_of))
    texts = [*axes.texts, *axes.get_xticklabels(which="both"), *axes.get_yticklabels()]
    return [text.get_text() for text in texts if text.get_text()]


@pytest.mark.parametrize("each", [2, 4, 30])
def test_the_number_of_results_is_written_in_plain_numbers(
    each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = evaluate(noise(["a", "b"], each), None, "noise")
    texts = drawn("Accuracy", evaluation, monkeypatch)
    assert texts[0] == "1"
    assert all(re.fullmatch(r"[\d,]+", text) for text in texts)


@pytest.mark.parametrize("width", [350, 960], ids=["phone", "desk"])
def test_long_names_leave_the_figures_and_the_pictures_their_room(
    width: int, browser: "Browser"
) -> None:
    long = " ".join(["holidays"] * 40), "x" * 300
    page = browser.new_page(viewport={"width": width + 40, "height": 800})
    page.set_content(report.document("x", measured(*long), show))
    wide, tall = (
        page.locator(what).evaluate_all(f"all => all.map(one => one.{size})")
        for what, size in (
            ("table .lk-kind", "offsetWidth"),
            (".lk-under .lk-kind", "offsetHeight"),
        )
    )
    titles = page.locator(".lk-under .lk-kind").evaluate_all("all => all.map(one => one.title)")
    page.close()
    assert max(wide) <= 260
    assert tall
    assert max(tall) < 40  # two lines
    assert set(titles) <= set(long)


def test_a_comparison_is_told_by_what_people_call_the_settings(evaluation: Evaluation) -> None:
    named = replace(compare(evaluation, evaluation), called="Without <neighbours>")
    text = Checked(report.compare_section(named)).text
    assert "As it is %Without <neighbours> %Difference" in text
    assert not re.search(r"\b[AB]\b", text)


def test_long_names_leave_the_charts_their_room(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = drawn("Kinds", measured("a", "b" * 80, "c" * 200), monkeypatch)
    assert f"{'b' * 29}\N{HORIZONTAL ELLIPSIS}" in texts
    assert "a" in texts


def test_the_charts_show_kinds_of_queries_beside_those_of_the_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = evaluate(noise(["a", "b", "c"]), noise(["a", "b", "c"], 1), "noise")
    only = replace(asked, asked=("a", "b", "x"))
    assert {"a", "b", "c", "x"} <= set(drawn("Kinds", only, monkeypatch))
    many = measured(*(f"kind {i}" for i in range(30)))
    assert "30 kinds, too many to draw." in drawn("Kinds", many, monkeypatch)

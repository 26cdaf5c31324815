"""Charts as SVG text: sharp at any size, and coloured by the style sheet for light and dark."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]

# In units of the drawing, which is shown at about 1 to 1 on a desk and smaller on a phone.
WIDTH, HEIGHT = 440, 264
LEFT, RIGHT, TOP, BOTTOM = 55, 12, 10, 40


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    values: Numbers  # percent, one for each place on the horizontal axis
    style: int  # which colour and dash of the style sheet: 0, 1 or 2


def line_chart(
    title: str, across: str, places: Numbers, series: Sequence[Series], logarithmic: bool = False
) -> str:
    """Draw percentages against `places`, with a legend above.

    Args:
        title: read out to those who do not see the chart.
        across: what the horizontal axis counts.
        logarithmic: whether it is; `places` then start at 1.
    """
    low, high = float(places[0]), max(float(places[-1]), float(places[0]) + 1)

    def x(place: float) -> float:
        span = WIDTH - LEFT - RIGHT
        if logarithmic:
            return LEFT + span * (math.log(place) - math.log(low)) / (math.log(high / low))
        return LEFT + span * (place - low) / (high - low)

    lines = "".join(_line(one, places, x) for one in series)
    ticks = decades(high) if logarithmic else [0, 20, 40, 60, 80, 100]
    grid = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(v):.1f}" y2="{_y(v):.1f}"/>'
        for v in (0, 25, 50, 75, 100)
    )
    numbers = "".join(
        f'<text x="{LEFT - 7}" y="{_y(v) + 4:.1f}" text-anchor="end">{v}\N{NO-BREAK SPACE}%</text>'
        for v in (0, 25, 50, 75, 100)
    ) + "".join(
        f'<text x="{x(v):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{v:,}</text>'
        for v in ticks
    )
    legend = "".join(
        f'<span><svg viewBox="0 0 22 8" aria-hidden="true"><path class="lk-curve lk-s{one.style}" '
        f'd="M1 4H21"/></svg>{escape(one.name)}</span>'
        for one in series
    )
    return (
        f'<div class="lk-legend">{legend}</div>'
        f'<svg class="lk-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">'
        f'<g class="lk-gridlines">{grid}</g><g class="lk-ticks">{numbers}'
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 5}" text-anchor="middle">'
        f"{escape(across)}</text></g>{lines}{_hints(places, series, x, logarithmic)}</svg>"
    )


def bar(value: float) -> str:
    """Draw a percentage as a horizontal bar, for a table."""
    return f'<span class="lk-meter"><i style="width:{min(100.0, max(0.0, value)):.1f}%"></i></span>'


def _line(series: Series, places: Numbers, x: Callable[[float], float]) -> str:
    points = [
        f"{x(float(place)):.1f} {_y(float(value)):.1f}"
        for place, value in zip(places, series.values, strict=True)
    ]
    return f'<path class="lk-curve lk-s{series.style}" d="M{"L".join(points)}"/>'


def _hints(
    places: Numbers, series: Sequence[Series], x: Callable[[float], float], logarithmic: bool
) -> str:
    """Lay invisible columns over the chart that tell the numbers under the pointer."""
    shown = range(len(places))
    if logarithmic:
        # Near the right end the places lie closer than a pixel.
        last, kept = -math.inf, []
        for i in shown:
            if x(float(places[i])) - last >= 5:
                kept.append(i)
                last = x(float(places[i]))
        shown = kept  # type: ignore[assignment]
    columns = []
    for i in shown:
        text = ", ".join(f"{one.name} {one.values[i]:.1f} %" for one in series)
        columns.append(
            f'<rect x="{x(float(places[i])) - 3:.1f}" y="{TOP}" width="6" '
            f'height="{HEIGHT - TOP - BOTTOM}"><title>{places[i]:,.0f}: {escape(text)}</title>'
            "</rect>"
        )
    return f'<g class="lk-hints">{"".join(columns)}</g>'


def _y(percent: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - percent / 100)


def decades(high: float) -> list[int]:
    """Return 1, 2, 5, 10, 20 ... up to `high`; only the powers of ten when these are many."""
    steps = (1, 2, 5) if high <= 2000 else (1,)
    ticks = [step * 10**power for power in range(9) for step in steps]
    return [tick for tick in ticks if tick <= high]

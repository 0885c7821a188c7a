"""Curves of a training as small drawings inside the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from monai_supmix.report.markup import escape, number

Points = Sequence[tuple[float, float | None]]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 380, 226, 60, 10, 8, 50
_MIDDLE = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2
_MAX_POINTS = 240


class Mark(NamedTuple):
    """An iteration to mark in a chart.

    Args:
        iteration: where.
        text: what happened then.
    """

    iteration: int
    text: str


def line_chart(
    title: str,
    series: Mapping[str, Points],
    as_percent: bool = False,
    caption: str = "",
    colours: Mapping[str, str] | None = None,
    axis: str = "",
    mark: Mark | None = None,
) -> str:
    """Draw curves over the iterations.

    Args:
        title: heading of the chart.
        series: for each curve its points ``(iteration, value)``; a value that is ``None`` leaves a gap. Long
            curves are averaged to some 240 points.
        as_percent: values are fractions, shown in %.
        caption: a remark below the heading.
        colours: for some curves the name of their colour in report.css, such as that of a class, or its value, such as
            ``"#ff8000"``; the others take one after the other of a palette of seven.
        axis: what the values are, written along their axis.
        mark: an iteration to mark by a line, where the curves reach it.

    Returns:
        HTML with an inline drawing; the heading's legend has the newest value of each curve. Empty when no
        curve has a value.

    Example:
        >>> "<polyline" in line_chart("loss", {"loss": [(10, 1.0), (20, 0.5)]})
        True
        >>> line_chart("loss", {"loss": []})
        ''
    """
    drawn = {name: [(x, y) for x, y in points if y is not None and math.isfinite(y)] for name, points in series.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return ""
    frame = _Frame.around(list(drawn.values()))
    kinds = {name: _kind((colours or {}).get(name, f"c{index % 7}")) for index, name in enumerate(series)}
    drawing = [*_axes(frame, as_percent, axis), *_marked(frame, mark)]
    for name, kind in kinds.items():
        drawing += _curve(frame, series[name], kind)
    legend = "".join(
        f"<li><i {kind}></i>{escape(name)} <b>{_value(drawn[name][-1][1], as_percent)}</b></li>"
        for name, kind in kinds.items()
        if name in drawn
    )
    remark = f"<p>{escape(caption)}</p>" if caption else ""
    return (
        f'<figure class="chart"><figcaption><h3>{escape(title)}</h3>{remark}<ul>{legend}</ul></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)} over the iterations">'
        f"{''.join(drawing)}</svg></figure>"
    )


class _Frame(NamedTuple):
    """What a chart shows, iterations from `first` to `last` and values from the first tick to the last, and where."""

    first: float
    last: float
    ticks: list[float]

    @classmethod
    def around(cls, curves: Sequence[Sequence[tuple[float, float]]]) -> _Frame:
        """The frame of some curves, none of them empty."""
        values = [y for points in curves for _, y in points]
        ticks = nice_ticks(min(0.0, *values), max(values))
        return cls(min(points[0][0] for points in curves), max(points[-1][0] for points in curves), ticks)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies in the drawing."""
        across = (x - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        up = (y - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return (
            round(_LEFT + across * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM), 1),
        )


def _axes(frame: _Frame, as_percent: bool, axis: str) -> Iterator[str]:
    """The grid with its numbers, and what is written along the axes."""
    for tick in frame.ticks:
        _, y = frame.place(frame.first, tick)
        yield f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{_tick(tick, as_percent)}</text>'
    for tick in nice_ticks(frame.first, frame.last):
        if frame.first <= tick <= frame.last:
            x, _ = frame.place(tick, frame.ticks[0])
            yield f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{tick:g}</text>'
    yield f'<text class="axis" x="{_MIDDLE[0]}" y="{_HEIGHT - 14}" text-anchor="middle">iteration</text>'
    if axis:
        turned = f'transform="translate(12 {_MIDDLE[1]}) rotate(-90)"'
        yield f'<text class="axis" {turned} text-anchor="middle">{escape(axis)}</text>'


def _marked(frame: _Frame, mark: Mark | None) -> Iterator[str]:
    """A line at an iteration that the curves reach, with its text on the side that has more room."""
    if mark is not None and frame.first <= mark.iteration <= frame.last:
        x, _ = frame.place(mark.iteration, frame.ticks[0])
        yield f'<path class="mark" d="M{x} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
        side, gap = ("end", -4) if x > _MIDDLE[0] else ("start", 4)
        yield f'<text x="{x + gap:g}" y="{_TOP + 9}" text-anchor="{side}">{escape(mark.text)}</text>'


def _curve(frame: _Frame, points: Points, kind: str) -> Iterator[str]:
    """A curve, in pieces where it has gaps; a piece of one point is a spot."""
    for run in _runs(_thinned(points)):
        spots = [frame.place(x, y) for x, y in run]
        if len(spots) == 1:
            x, y = spots[0]
            yield f'<circle {kind} cx="{x}" cy="{y}" r="3"/>'
        else:
            drawn = " ".join(f"{x},{y}" for x, y in spots)
            yield f'<polyline {kind} points="{drawn}"/>'


def nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers that enclose a range, about five of them.

    Example:
        >>> nice_ticks(0, 0.83)
        [0.0, 0.25, 0.5, 0.75, 1.0]
        >>> nice_ticks(5, 5)
        [4.0, 4.5, 5.0, 5.5, 6.0]
    """
    if high <= low:
        pad = abs(low) * 0.2
        low, high = (low - pad, high + pad) if pad else (0.0, 1.0)
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    start, stop = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{count * step:.10g}") for count in range(start, stop + 1)]


def _thinned(points: Points) -> Points:
    """Means of neighbours, so that a long training stays a small drawing."""
    width = math.ceil(len(points) / _MAX_POINTS)
    if width < 2:
        return points
    thinned: list[tuple[float, float | None]] = []
    for start in range(0, len(points), width):
        part = points[start : start + width]
        values = [y for _, y in part if y is not None and math.isfinite(y)]
        mean = sum(values) / len(values) if values else None
        thinned.append((part[-1][0], mean))
    return thinned


def _runs(points: Points) -> list[list[tuple[float, float]]]:
    """Stretches without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None or not math.isfinite(y):
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [run for run in runs if run]


def _kind(colour: str) -> str:
    """The attributes of a curve's colour: named in report.css, or mixed with the ink, to be seen on any page."""
    return f'class="kx" style="--k:{colour}"' if colour.startswith("#") else f'class="{colour}"'


def _tick(value: float, as_percent: bool) -> str:
    return f"{100 * value:.4g} %" if as_percent else f"{value:.4g}"


def _value(value: float, as_percent: bool) -> str:
    if as_percent:
        return f"{100 * value:.1f} %"
    return f"{value:.3g}" if 0 < abs(value) < 0.01 else number(value)  # a learning rate near its end

"""Charts as SVG text, drawn on the server: readable without JavaScript, sharp in print, small. Aggregates only, never rows.

Colors are classes (`c1` … `c6`, Okabe-Ito order in the stylesheet), so that light, dark and high-contrast themes apply, and the content
security policy needs no inline styles. Every chart has a title for screen readers; pages put a table with the same numbers beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from markupsafe import Markup, escape

_LABEL, _LONG_LABEL = 12, 24  # letters of a row's label: what there is always room for, and at most
_FEWEST_TICKS = 3  # of an axis: fewer do not tell its scale
LETTER = 6.2  # the usual width of a letter of an axis, in CSS pixels
MOST_DOTS = 40
MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Series:
    """One line: y per x position; None leaves a gap. `low`/`high` draw a band (an interval) around it."""

    name: str
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    dashed: bool = False
    joined: bool = True  # with False, points alone


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical mark at an x position, such as a promotion."""

    x: int
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One horizontal bar or point with an interval."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart as a page shows it: drawn under a title in the reader's language, with its numbers as a table."""

    title: str
    draw: Callable[[str], Markup]  # given the translated title
    head: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    legend: tuple[tuple[str, str], ...] = ()  # name, and the classes of its key: "c2 dashed", "c1 dots", "c1 block"
    note: str = ""
    says_rows: bool = False  # whether the rows' heads are words, to be put into the reader's language; data stays as it is


@dataclass(frozen=True, slots=True)
class Frame:
    """Outer size and margins in CSS pixels; charts scale to their container."""

    width: int = 400
    height: int = 210
    left: int = 46
    right: int = 16
    top: int = 14
    bottom: int = 30

    @property
    def inner_width(self) -> int:
        """Width of the plotting area."""
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> int:
        """Height of the plotting area."""
        return self.height - self.top - self.bottom


@dataclass(slots=True)
class _Canvas:
    frame: Frame
    title: str
    parts: list[str] = field(default_factory=list)

    def add(self, tag: str, text: str = "", /, **attributes: object) -> None:
        written = " ".join(f'{k.rstrip("_").replace("_", "-")}="{escape(v)}"' for k, v in attributes.items())
        self.parts.append(f"<{tag} {written}>{escape(text)}</{tag}>" if text else f"<{tag} {written}/>")

    def done(self) -> Markup:
        f = self.frame
        head = f'<svg class="chart" viewBox="0 0 {f.width} {f.height}" role="img" aria-label="{escape(self.title)}">'
        return Markup(head + f"<title>{escape(self.title)}</title>" + "".join(self.parts) + "</svg>")  # noqa: S704 -- every text above is escaped


def ticks(low: float, high: float, n: int = 4) -> list[float]:
    """Return about `n` round numbers covering [low, high].

    >>> ticks(0.0, 1.0)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else [0.0]
    raw = (high - low) / n
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next((m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999), 10 * magnitude)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for people: few digits, thousands with commas as in every answer's text, – for missing.

    >>> number(0.65432), number(336776), number(None)
    ('0.654', '336,776', '–')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if abs(value) < 1 and digits < 3 else f"{value:.{digits}f}"


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where positions and values lie in a frame."""

    frame: Frame
    n: int
    bottom: float
    top: float

    def x(self, i: float) -> float:
        return round(self.frame.left + self.frame.inner_width * (i + 0.5) / max(self.n, 1), 1)

    def y(self, value: float) -> float:
        return round(self.frame.top + self.frame.inner_height * (1 - (value - self.bottom) / ((self.top - self.bottom) or 1)), 1)


def lines(title: str, labels: Sequence[str], series: Sequence[Series], *, marks: Sequence[Mark] = (), frame: Frame | None = None) -> Markup:
    """Draw one or more lines over ordered labels (months, steps), with interval bands and vertical marks."""
    canvas = _Canvas(frame or Frame(), title)
    seen = [v for s in series for v in (*s.y, *s.low, *s.high) if v is not None and math.isfinite(v)]
    if not seen:
        return canvas.done()
    axes = _draw_axes(canvas, labels, min(seen), max(seen))
    for k, one in enumerate(series, 1):
        _draw_series(canvas, one, k, axes)
    _draw_marks(canvas, marks, axes)
    return canvas.done()


def columns(title: str, labels: Sequence[str], totals: Sequence[float], parts: Sequence[float], *, frame: Frame | None = None) -> Markup:
    """Draw a column per label, and within it the part of it (rows, and those of them with a label)."""
    canvas = _Canvas(frame or Frame(), title)
    if not totals:
        return canvas.done()
    axes = _draw_axes(canvas, labels, 0.0, max([*totals, 1.0]))
    width = round(min(canvas.frame.inner_width / len(totals) * 0.62, 44), 1)
    for i, (total, part) in enumerate(zip(totals, parts, strict=True)):
        for value, color in ((total, "bar c1 soft"), (part, "bar c1")):
            top = axes.y(value)
            canvas.add("rect", x=round(axes.x(i) - width / 2, 1), y=top, width=width, height=round(axes.y(0.0) - top, 1), class_=color)
    return canvas.done()


def _draw_axes(canvas: _Canvas, labels: Sequence[str], low: float, high: float) -> _Axes:
    frame = canvas.frame
    marked = ticks(low, high) if high > low else ticks(low - 0.5, high + 0.5)
    axes = _Axes(frame, len(labels), marked[0], marked[-1])
    for value in marked:
        canvas.add("line", x1=frame.left, x2=frame.width - frame.right, y1=axes.y(value), y2=axes.y(value), class_="grid")
        canvas.add("text", _tick_text(value), x=frame.left - 8, y=axes.y(value) + 4, class_="axis", text_anchor="end")
    widest = max((len(label) for label in labels), default=1) * LETTER + 12
    every = max(1, math.ceil(len(labels) * widest / max(frame.inner_width, 1)))
    # Counted from the newest, so that the last label is always there; who leaves labels empty has chosen them.
    for i in range(len(labels) - 1, -1, -every) if all(labels) else [i for i, label in enumerate(labels) if label]:
        canvas.add("text", labels[i], x=axes.x(i), y=frame.height - 8, class_="axis", text_anchor="middle")
    return axes


def _draw_marks(canvas: _Canvas, marks: Sequence[Mark], axes: _Axes) -> None:
    frame = canvas.frame
    for mark in marks:
        x = axes.x(mark.x - 0.5)
        late = x > frame.left + frame.inner_width * 0.9
        canvas.add("line", x1=x, x2=x, y1=frame.top, y2=frame.top + frame.inner_height, class_="mark")
        canvas.add(
            "text",
            mark.label,
            x=x - 5 if late else x + 5,
            y=frame.top + 9,
            class_="axis strong halo",
            text_anchor="end" if late else "start",
        )


def _draw_series(canvas: _Canvas, one: Series, k: int, axes: _Axes) -> None:
    band = [(i, lo, hi) for i, (lo, hi) in enumerate(zip(one.low, one.high, strict=False)) if lo is not None and hi is not None]
    if len(band) > 1:
        upper = " ".join(f"{axes.x(i)},{axes.y(hi)}" for i, _, hi in band)
        lower = " ".join(f"{axes.x(i)},{axes.y(lo)}" for i, lo, _ in reversed(band))
        canvas.add("polygon", points=f"{upper} {lower}", class_=f"band c{k}")
    elif band:
        i, lo, hi = band[0]
        canvas.add("line", x1=axes.x(i), x2=axes.x(i), y1=axes.y(lo), y2=axes.y(hi), class_=f"whisker c{k}")
    known = [(i, axes.x(i), axes.y(v)) for i, v in enumerate(one.y) if v is not None and math.isfinite(v)]
    for run in _unbroken(known) if one.joined else ():
        canvas.add("polyline", points=" ".join(f"{x},{y}" for _, x, y in run), class_=f"line c{k}" + (" dashed" if one.dashed else ""))
    for _, x, y in known if len(known) <= MOST_DOTS or not one.joined else ():
        canvas.add("circle", cx=x, cy=y, r=3 if one.joined else 3.6, class_=f"dot c{k}")


def _unbroken(points: Sequence[tuple[int, float, float]]) -> list[list[tuple[int, float, float]]]:
    """Split points where a position is missing; a piece of one point has no line."""
    runs: list[list[tuple[int, float, float]]] = []
    for point in points:
        if runs and runs[-1][-1][0] == point[0] - 1:
            runs[-1].append(point)
        else:
            runs.append([point])
    return [run for run in runs if len(run) > 1]


def intervals(title: str, bars: Sequence[Bar], *, reference: float | None = None, width: int = 400) -> Markup:
    """Draw values with their intervals as points on horizontal rows (metrics by slice), worst alarm in color."""
    longest = max([_LABEL, *(min(len(bar.label), _LONG_LABEL) for bar in bars)])
    frame = Frame(width=width, height=34 + 22 * max(len(bars), 1), left=round(12 + LETTER * longest), right=54, top=6, bottom=24)
    canvas = _Canvas(frame, title)
    seen = [v for b in bars for v in (b.value, b.low, b.high) if v is not None and math.isfinite(v)]
    if reference is not None:
        seen.append(reference)
    if not seen:
        return canvas.done()
    low, high = min(seen), max(seen)
    marked = ticks(low, high) if high > low else ticks(low - 0.5, high + 0.5)
    low, high = marked[0], marked[-1]

    def x_of(v: float) -> float:
        return round(frame.left + frame.inner_width * (v - low) / ((high - low) or 1), 1)

    for value in marked:
        canvas.add("line", x1=x_of(value), x2=x_of(value), y1=frame.top, y2=frame.height - frame.bottom, class_="grid")
        canvas.add("text", _tick_text(value), x=x_of(value), y=frame.height - 8, class_="axis", text_anchor="middle")
    if reference is not None:
        canvas.add("line", x1=x_of(reference), x2=x_of(reference), y1=frame.top, y2=frame.height - frame.bottom, class_="mark")
    for i, bar in enumerate(bars):
        y = frame.top + 16 + 22 * i
        canvas.add("text", shorten(bar.label, longest), x=frame.left - 10, y=y + 4, class_="axis strong", text_anchor="end")
        if bar.value is None:
            canvas.add("text", bar.note or "too few rows", x=frame.left + 4, y=y + 4, class_="axis")
            continue
        color = "alarm" if bar.alarm else "c1"
        if bar.low is not None and bar.high is not None:
            canvas.add("line", x1=x_of(bar.low), x2=x_of(bar.high), y1=y, y2=y, class_=f"whisker {color}")
        canvas.add("circle", cx=x_of(bar.value), cy=y, r=4, class_=f"dot {color}")
        canvas.add("text", bar.note or number(bar.value), x=frame.width - frame.right + 8, y=y + 4, class_="axis")
    return canvas.done()


def calibration(title: str, said: Sequence[float], happened: Sequence[Bar], *, frame: Frame | None = None) -> Markup:
    """Draw the share that happened, with its interval, against the mean probability that was said; the diagonal is perfect."""
    frame = frame or Frame(height=250)
    canvas = _Canvas(frame, title)
    known = [v for bar in happened for v in (bar.value, bar.low, bar.high) if v is not None]
    marked = ticks(0.0, max([0.1, *said, *known]))
    top = marked[-1]
    floor = frame.top + frame.inner_height

    def x_of(v: float) -> float:
        return round(frame.left + frame.inner_width * v / top, 1)

    def y_of(v: float) -> float:
        return round(floor - frame.inner_height * v / top, 1)

    for value in marked:
        canvas.add("line", x1=frame.left, x2=frame.width - frame.right, y1=y_of(value), y2=y_of(value), class_="grid")
        canvas.add("text", _tick_text(value), x=frame.left - 6, y=y_of(value) + 4, class_="axis", text_anchor="end")
        canvas.add("text", _tick_text(value), x=x_of(value), y=frame.height - 8, class_="axis", text_anchor="middle")
    canvas.add("line", x1=frame.left, y1=floor, x2=frame.width - frame.right, y2=frame.top, class_="mark")
    points = [(x_of(p), bar) for p, bar in zip(said, happened, strict=True) if bar.value is not None]
    for x, bar in points:
        if bar.low is not None and bar.high is not None:
            canvas.add("line", x1=x, x2=x, y1=y_of(bar.low), y2=y_of(bar.high), class_="whisker c1")
        canvas.add("circle", cx=x, cy=y_of(bar.value or 0.0), r=3.5, class_="dot c1")
    return canvas.done()


@dataclass(frozen=True, slots=True)
class Spot:
    """One point of a scatter: where it lies, its interval, its name, and the class of its color."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    name: str = ""  # written beside the point; "" for none
    color: str = "c1"
    is_large: bool = False


def scatter(title: str, spots: Sequence[Spot], *, words: tuple[str, str], frame: Frame | None = None) -> Markup:
    """Draw points with their intervals over a logarithmic axis (sizes, times); a line marks 0. `words` name the axes."""
    frame = frame or Frame(width=480, height=270, left=58, right=24, top=24, bottom=44)
    canvas = _Canvas(frame, title)
    spots = [spot for spot in spots if spot.x > 0 and math.isfinite(spot.y)]
    if not spots:
        return canvas.done()
    seen = [v for spot in spots for v in (spot.y, spot.low, spot.high) if v is not None]
    marked = ticks(min(0.0, *seen), max(0.0, *seen)) if max(0.0, *seen) > min(0.0, *seen) else ticks(-0.5, 0.5)
    first, last = (math.log10(edge) for edge in (min(spot.x for spot in spots) / 1.3, max(spot.x for spot in spots) * 1.3))

    def x_of(v: float) -> float:
        return round(frame.left + frame.inner_width * (math.log10(v) - first) / (last - first), 1)

    def y_of(v: float) -> float:
        return round(frame.top + frame.inner_height * (1 - (v - marked[0]) / ((marked[-1] - marked[0]) or 1)), 1)

    for value in marked:
        line = "mark" if value == 0 else "grid"
        canvas.add("line", x1=frame.left, x2=frame.width - frame.right, y1=y_of(value), y2=y_of(value), class_=line)
        canvas.add("text", _tick_text(value), x=frame.left - 8, y=y_of(value) + 4, class_="axis", text_anchor="end")
    for value in _decades(first, last):
        canvas.add("text", _tick_text(value), x=x_of(value), y=frame.height - 24, class_="axis", text_anchor="middle")
    canvas.add("text", words[0], x=frame.width - frame.right, y=frame.height - 6, class_="axis", text_anchor="end")
    canvas.add("text", words[1], x=6, y=12, class_="axis")
    for spot in spots:
        x, y = x_of(spot.x), y_of(spot.y)
        if spot.low is not None and spot.high is not None:
            canvas.add("line", x1=x, x2=x, y1=y_of(spot.low), y2=y_of(spot.high), class_=f"whisker {spot.color}")
        canvas.add("circle", cx=x, cy=y, r=4.5 if spot.name or spot.is_large else 3, class_=f"dot {spot.color}")
    for spot in spots:
        if spot.name:
            late = x_of(spot.x) > frame.left + frame.inner_width * 0.7
            at = x_of(spot.x) - 8 if late else x_of(spot.x) + 8
            canvas.add("text", spot.name, x=at, y=y_of(spot.y) - 6, class_="axis strong halo", text_anchor="end" if late else "start")
    return canvas.done()


def _decades(first: float, last: float) -> list[float]:
    """Return round numbers within a logarithmic axis, fewer where there are many; closer ones where its ends are near.

    >>> _decades(0.0, 3.0), _decades(1.11, 1.37)
    ([1.0, 10.0, 100.0, 1000.0], [14, 16, 18, 20, 22])
    """
    steps = (1, 2, 5) if last - first < 2.5 else (1,)
    found = [step * 10.0**power for power in range(math.floor(first), math.ceil(last) + 1) for step in steps]
    inside = [value for value in found if first <= math.log10(value) <= last]
    if len(inside) >= _FEWEST_TICKS:
        return inside
    return [value for value in ticks(10.0**first, 10.0**last, 6) if value > 0 and first <= math.log10(value) <= last]


def histogram(title: str, edges: Sequence[float], counts: Sequence[float], *, frame: Frame | None = None) -> Markup:
    """Draw counts over bin edges (one more edge than counts)."""
    frame = frame or Frame(width=190, height=44, left=1, right=1, top=2, bottom=14 if edges else 2)
    canvas = _Canvas(frame, title)
    most = max([*counts, 1])
    step = frame.inner_width / max(len(counts), 1)
    for i, count in enumerate(counts):
        height = round(frame.inner_height * count / most, 1)
        canvas.add(
            "rect",
            x=round(frame.left + i * step, 1),
            y=round(frame.top + frame.inner_height - height, 1),
            width=round(max(step - 1, 0.5), 1),
            height=height,
            class_="bar c1",
        )
    if edges:
        canvas.add("text", _tick_text(edges[0]), x=frame.left, y=frame.height - 2, class_="axis")
        canvas.add("text", _tick_text(edges[-1]), x=frame.width - frame.right, y=frame.height - 2, class_="axis", text_anchor="end")
    return canvas.done()


def shares(title: str, items: Sequence[tuple[str, float]], *, width: int = 190) -> Markup:
    """Draw the most frequent values as bars of their share (0 to 1)."""
    frame = Frame(width=width, height=4 + 17 * max(len(items), 1), left=2, right=2, top=2, bottom=2)
    canvas = _Canvas(frame, title)
    most = max([share for _, share in items] + [1e-9])
    for i, (label, share) in enumerate(items):
        canvas.add("rect", x=0, y=2 + 17 * i, width=round(frame.width * 0.98 * share / most, 1), height=14, class_="bar c1 soft")
        canvas.add("text", f"{shorten(label, 20)}  {_percent(share)}", x=5, y=13 + 17 * i, class_="axis strong")
    return canvas.done()


def sparkline(title: str, values: Sequence[float | None], *, width: int = 120, height: int = 28) -> Markup:
    """Draw a line without axes, for a table cell or a card."""
    canvas = _Canvas(Frame(width=width, height=height), title)
    seen = [v for v in values if v is not None and math.isfinite(v)]
    if len(seen) < 2:
        return canvas.done()
    low, span = min(seen), (max(seen) - min(seen)) or 1.0
    step = (width - 6) / (len(values) - 1)
    points = [
        (round(3 + i * step, 1), round(height - 4 - (height - 8) * (v - low) / span, 1)) for i, v in enumerate(values) if v is not None
    ]
    canvas.add("polyline", points=" ".join(f"{x},{y}" for x, y in points), class_="line c1")
    canvas.add("circle", cx=points[-1][0], cy=points[-1][1], r=2.5, class_="dot c1")
    return canvas.done()


def thin(values: Sequence[float], *, most: int = MOST_POINTS) -> list[int]:
    """Choose the positions a long curve is drawn by: the lowest and highest of each of `most` / 2 equal spans, in order.

    >>> thin([0.0, 9.0, 1.0, 2.0, -5.0, 3.0], most=4)
    [0, 1, 4, 5]
    """
    if len(values) <= most:
        return list(range(len(values)))
    n_spans = most // 2
    edges = [round(k * len(values) / n_spans) for k in range(n_spans + 1)]
    spans = [range(low, high) for low, high in pairwise(edges) if high > low]
    return sorted({one for span in spans for one in (min(span, key=values.__getitem__), max(span, key=values.__getitem__))})


def shorten(text: str, most: int) -> str:
    """Cut a long label, so that it does not run into its neighbor.

    >>> shorten("a-long-name", 6)
    'a-lon…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"


def _tick_text(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.4g}"

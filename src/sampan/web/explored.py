"""An exploration as a page: in the server's shell, or as one file that stands alone. Charts are drawn here as SVG, without a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import msgspec
from markupsafe import Markup

from sampan.core.decoding import read_builtins
from sampan.data.exploring.views import ColumnDrift, ColumnView, Exploration, GroupView, Relation, TargetView
from sampan.web import charts
from sampan.web.charts import Bar, Figure, Frame
from sampan.web.page import render

MOST_COLUMNS = 150  # drawn; the others are lines of a table
MOST_RELATIONS = 8
MOST_DRIFTS = 15
_MOST_BARS = 16
_COPIED = ("code", "todo")
_LONGEST_NAME: Final = 80
_LONGEST: Final[Mapping[str, int]] = {"text": 400, "reason": 400, "code": 1_000, "todo": 400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATIC = Path(__file__).parent / "static"
_WIDE = Frame(width=400, height=170, left=4, right=4, top=6, bottom=18)
_HEAT = ((0.8, "h4"), (0.6, "h3"), (0.4, "h2"), (0.2, "h1"))
_BADGES: Final[Mapping[str, str]] = {"bad": "alarm", "warn": "warn", "info": "shadow"}  # the states whose colors fit

SECTIONS: Final[tuple[tuple[str, str], ...]] = (
    ("warnings", "What to know first"),
    ("target", "Target"),
    ("columns", "Columns"),
    ("missing", "Missing values"),
    ("associations", "Associations"),
    ("drift", "Over time"),
    ("groups", "Who is in the data"),
    ("repeats", "Repeated rows"),
    ("overlap", "Overlap"),
    ("outliers", "Outliers"),
    ("try", "What to try"),
)


def render_exploration(found: Exploration, language: str) -> str:
    """Return the page as one file: no script, no request, every style in it."""
    shell = {"title": found.ref, "style": _read("sampan.css"), "mark": Markup(_read("mark.svg"))}  # noqa: S704  # our own file
    return render("explored_alone.html", {**shell, **exploration_context(found)}, language)


def exploration_context(found: Exploration) -> dict[str, Any]:
    """Return what the templates show of an exploration."""
    found = _shortened(found)
    drawn = found.columns[:MOST_COLUMNS]
    return {
        "found": found,
        "sections": [(anchor, title) for anchor, title in SECTIONS if _has(found, anchor)],
        "columns": [(view, draw_column(view), span_of(view)) for view in drawn],
        "more_columns": found.columns[MOST_COLUMNS:],
        "missing": _missing_figure(found),
        "target": _target_figure(found.target) if found.target else None,
        "relations": _relations(found.target, found.columns) if found.target else [],
        "heat": heat,
        "drifts": _drifts(found),
        "calendar": [one.column for one in found.drift.columns if one.is_time] if found.drift else [],
        "groups": [(view, _group_figure(view)) for view in found.groups],
        "badges": _BADGES,
        "percent": percent,
        "digits": digits,
        "written": _written,
    }


def draw_column(view: ColumnView) -> Callable[[str], Markup] | None:
    """Return what draws a column under a translated title; None where nothing may be drawn."""
    frame = Frame(width=260, height=64, left=1, right=1, top=2, bottom=2)
    total = max(sum(n for _, n in (view.categories or view.shapes)) + view.n_other, 1)
    if view.categories:
        return partial(charts.shares, items=[(text, n / total) for text, n in view.categories[:6]], width=260)
    if view.bins[1]:
        return partial(charts.histogram, edges=[], counts=view.bins[1], frame=frame)
    return partial(charts.shares, items=[(shape, n / total) for shape, n in view.shapes[:4]], width=260) if view.shapes else None


def span_of(view: ColumnView) -> tuple[str, str]:
    """Say where a column's bins begin and end."""
    edges = view.bins[0]
    if edges and len(edges) > len(view.bins[1]) > 0 and edges[1] - edges[0] == 1.0 and edges[0] % 1 == 0.5:  # a bin a number
        return digits(edges[0] + 0.5), digits(edges[-1] - 0.5)
    return (_written(edges[0], view.kind), _written(edges[-1], view.kind)) if edges else ("", "")


def heat(value: float | None) -> str:
    """Return the class of a table's cell for a strength or distance of 0 to 1."""
    return next((name for least, name in _HEAT if value is not None and value >= least), "h0")


def percent(share: float | None) -> str:
    """Write a share for people.

    >>> percent(0.12345), percent(0.0004), percent(None)
    ('12.3 %', '<0.1 %', '–')
    """
    if share is None:
        return "–"
    return "<0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def digits(value: float | None) -> str:
    """Write a number with four digits, beyond 10,000 with commas (there are none in a year).

    >>> digits(1234567.8), digits(2013), digits(0.0123456), digits(None)
    ('1,235,000', '2013', '0.01235', '–')
    """
    if value is None:
        return "–"
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.10g}" if abs(rounded) >= 10_000 else f"{rounded:.10g}"  # as said above


@cache
def _read(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _shortened(found: Exploration) -> Exploration:
    """Cut long names and texts, so that no table makes a large page; what is to be copied is whole, or not there."""
    return read_builtins(_cut(msgspec.to_builtins(found)), Exploration)


def _cut(value: Any, *, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _cut(one, key=name) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cut(one, key=key) for one in value]
    longest = _LONGEST.get(key, _LONGEST_NAME)
    if not isinstance(value, str) or len(value) <= longest:
        return value
    return "" if key in _COPIED else f"{value[: longest - 1]}…"


def _has(found: Exploration, anchor: str) -> bool:
    there = {
        "target": found.target is not None,
        "missing": any(view.n_null for view in found.columns),
        "associations": len(found.names) > 1,
        "drift": found.drift is not None,
        "groups": bool(found.groups),
        "repeats": found.repeats is not None,
        "overlap": found.overlap is not None,
        "outliers": bool(found.outliers),
    }
    return there.get(anchor, True)


def _written(value: float, kind: str) -> str:
    if kind == "timestamp":
        return _moment(timedelta(microseconds=value), "%Y-%m-%d %H:%M")
    if kind == "date":
        return _moment(timedelta(days=value), "%Y-%m-%d")
    return digits(value)


def _moment(since: timedelta, form: str) -> str:
    try:
        return (_EPOCH + since).strftime(form)
    except OverflowError:
        return "–"


def _missing_figure(found: Exploration) -> Figure:
    some = sorted((view for view in found.columns if view.n_null), key=lambda view: -view.null_share)
    items = [(view.name, view.null_share) for view in some]
    return Figure(
        title="Share of the rows without a value",
        draw=partial(_bars, items=items[:_MOST_BARS]),
        head=("Column", "Missing", "Share"),
        rows=[(view.name, f"{view.n_null:,}", percent(view.null_share)) for view in some],
    )


def _bars(title: str, items: Sequence[tuple[str, float]]) -> Markup:
    bars = [Bar(label=name, value=share, note=percent(share)) for name, share in items]
    return charts.intervals(title, bars, reference=0.0)


def _target_figure(target: TargetView) -> Figure:
    total = max(target.n, 1)
    if target.kind == "number":
        edges, counts = target.bins
        return Figure(
            title="How the target is distributed",
            draw=partial(
                charts.histogram, edges=edges, counts=counts, frame=Frame(width=400, height=170, left=4, right=4, top=6, bottom=18)
            ),
            head=("From", "To", "Rows"),
            rows=[(digits(a), digits(b), f"{n:,}") for a, b, n in zip(edges, edges[1:], counts, strict=False)],
        )
    return Figure(
        title="How the target is distributed",
        draw=partial(charts.shares, items=[(name, n / total) for name, n in target.balance], width=400),
        head=("Class", "Rows", "Share"),
        rows=[(name, f"{n:,}", percent(n / total)) for name, n in target.balance],
    )


def _relations(target: TargetView, columns: Sequence[ColumnView]) -> list[Figure]:
    """Draw what the strongest columns say that may be used."""
    out = {hint.column for hint in target.hints if hint.by != "name"} | {view.name for view in columns if view.role == "identifier"}
    return [_relation_figure(one, target) for one in target.relations if one.bins and one.column not in out][:MOST_RELATIONS]


def _relation_figure(relation: Relation, target: TargetView) -> Figure:
    cells = (*relation.bins, *((relation.missing,) if relation.missing else ()))
    is_rate = target.kind == "yes or no"
    write = percent if is_rate else digits
    bars = [Bar(label=one.label, value=one.value, low=one.low, high=one.high, note=write(one.value)) for one in cells]
    overall = sum(n for name, n in target.balance if name == "true") / max(target.n, 1) if is_rate else None
    return Figure(
        title=relation.column,
        draw=partial(charts.intervals, bars=bars, reference=overall),
        head=("Values", "Rows", "Target", "95 % interval"),
        rows=[(one.label, f"{one.n:,}", write(one.value), f"{write(one.low)} – {write(one.high)}") for one in cells],
    )


def _drifts(found: Exploration) -> list[tuple[ColumnDrift, list[tuple[str, str]]]]:
    if found.drift is None:
        return []
    shown = [one for one in found.drift.columns if not one.is_time][:MOST_DRIFTS]
    return [(one, [("–" if d is None else f"{d:.2f}", _drift_heat(d, one.noise)) for d in one.distances]) for one in shown]


def _drift_heat(distance: float | None, noise: float) -> str:
    """Color what is beyond chance only; a distance of 0.4 is a great one."""
    return "h0" if distance is None or distance <= noise else heat(min(1.0, distance * 2))


def _group_figure(view: GroupView) -> Figure | None:
    """Draw each group's share over the share expected of it; 1 is as expected."""
    known = [cell for cell in view.cells if cell.expected]
    if not known:
        return None
    bars = [
        Bar(
            label=" · ".join(cell.values),
            value=cell.share / cell.expected,
            low=cell.low / cell.expected,
            high=cell.high / cell.expected,
            note=f"{cell.share / cell.expected:.2f}",
            alarm=cell.verdict in ("too few", "absent"),
        )
        for cell in known[:_MOST_BARS]
        if cell.expected
    ]
    return Figure(
        title="Share found over share expected",
        draw=partial(charts.intervals, bars=bars, reference=1.0),
        head=("Group", "Share", "Expected"),
        rows=[(" · ".join(cell.values), percent(cell.share), percent(cell.expected)) for cell in known],
        note="1 is as expected; the bar is the 95 % interval of the count.",
    )

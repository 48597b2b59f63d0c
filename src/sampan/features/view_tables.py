"""What a view computes of whole tables: its batch, its encoders, what a package carries of tables to answer online."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.times import Millis
from sampan.errors import ParameterError
from sampan.features.batch import Batch
from sampan.features.encoding import Codes, Means
from sampan.features.encoding import fit as fit_encoder
from sampan.features.fitted import FittedView
from sampan.features.nodes import AsOf, Column, Lookup, Node, Past, Planned, walk
from sampan.features.tables import Tables, canonical, find_table
from sampan.features.texts import Letters, Words, fit_text
from sampan.features.view import KNOWN_AT, LABEL, MOMENT, PLANNED, View


def batch(view: View, tables: Tables) -> pl.DataFrame:
    """Compute raw features for every row of the view's table, each as of its own moment of prediction.

    Returns key and slice columns as they are, `__moment` and `__known_at` (Int64 milliseconds), `__label` (Float64, or String of text;
    null for none), and a column for each feature: Float64, or String before its encoding.
    """
    used = {c.name for n in view.roots() for c in walk(n) if isinstance(c, Column)}
    work = Batch(tables, view.on, {name: spec.type for name, spec in view.columns.items() if name in used})
    nodes: dict[str, Node] = {MOMENT: view.moment}
    if view.label is not None:
        nodes |= {LABEL: view.label.value, KNOWN_AT: view.label.known_at}
    nodes |= {f.name: f.value for f in view.features}
    found = work.evaluate(nodes)
    if view.label is None:
        found = found.with_columns(pl.lit(None, pl.Float64).alias(LABEL), pl.lit(None, pl.Float64).alias(KNOWN_AT))
    identity = list(dict.fromkeys((*view.key, *view.slices)))
    own = find_table(tables, view.on).lazy().select(identity).collect()
    front = [MOMENT, LABEL, KNOWN_AT]
    moments = found.with_columns(pl.col(MOMENT, KNOWN_AT).floor().cast(pl.Int64)).select(*front, pl.exclude(front))
    return pl.concat([own, moments], how="horizontal")


def fit(view: View, frame: pl.DataFrame, *, rows: NDArray[np.bool_] | None = None, known_by: Millis | None = None) -> FittedView:
    """Fit encoders on rows of a batch: those marked by `rows`, and for encodings of the label only what was known by `known_by`.

    Raises
    ------
    ParameterError : the frame has no rows, or an encoding of the label finds no label.
    """
    if rows is not None:
        frame = frame.filter(pl.Series(rows))
    if frame.height == 0:
        raise ParameterError(f"view {view.name!r} cannot be fitted on no rows")
    labels = frame[LABEL] if known_by is None else frame.select(pl.when(pl.col(KNOWN_AT) <= known_by).then(LABEL)).to_series()
    encoders = {f.name: fit_encoder(f.encoding, frame[f.name], labels) for f in view.features if isinstance(f.encoding, Codes | Means)}
    texts = {f.name: fit_text(f.encoding, frame[f.name].to_list()) for f in view.features if isinstance(f.encoding, Words | Letters)}
    return FittedView(view, encoders, texts)


def online_tables(view: View, tables: Tables, until_ms: Millis) -> dict[str, pl.DataFrame]:
    """Return what a package has to carry to answer online: nothing that became known after `until_ms`, plans excepted.

    Reference tables come whole, as-of tables up to `until_ms`, the view's own table as past events known by then, and under
    `<table>.planned` the counts of what is planned.
    """
    nodes = list(view.nodes())
    found: dict[str, pl.DataFrame] = {}
    for table in view.tables:
        lookups = [n for n in nodes if isinstance(n, Lookup) and n.table == table]
        newest = [n for n in nodes if isinstance(n, AsOf) and n.table == table]
        both: list[Lookup | AsOf] = [*lookups, *newest]
        wanted = {c for n in both for c in (*(m.column for m in n.keys), n.column)} | {n.time for n in newest}
        if not wanted:
            continue
        frame = _columns(tables, table, wanted)
        if newest and not lookups:
            times = canonical(tables, table, {newest[0].time: "moment"}).to_series()
            frame = frame.filter((times <= until_ms).fill_null(value=False))
        found[table] = frame
    for table in sorted({n.table for n in nodes if isinstance(n, Planned)}):
        columns = sorted({m.column for n in nodes if isinstance(n, Planned) and n.table == table for m in n.keys})
        found[table + PLANNED] = _columns(tables, table, columns).group_by(columns, maintain_order=True).len("planned")
    if view.event_columns():
        found[view.on] = _events(view, tables, until_ms)
    return found


def _events(view: View, tables: Tables, until_ms: Millis) -> pl.DataFrame:
    columns = view.event_columns()
    known = {p.known_at for p in view.nodes() if isinstance(p, Past)}
    work = Batch(tables, view.on, {c: view.columns[c].type for c in columns})
    times = work.evaluate({str(i): node for i, node in enumerate(known)})
    seen = times.select(pl.any_horizontal(pl.all() <= until_ms).fill_null(value=False)).to_series()
    return _columns(tables, view.on, columns).filter(seen)


def _columns(tables: Tables, table: str, columns: Sequence[str] | set[str]) -> pl.DataFrame:
    lazy = find_table(tables, table).lazy()
    lost = sorted(set(columns) - set(lazy.collect_schema().names()))
    if lost:
        raise ParameterError(f"table {table!r} has no column {', '.join(map(repr, lost))}")
    return lazy.select(sorted(columns)).collect()

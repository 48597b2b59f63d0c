"""A fitted view for requests: a few rows in, the model's matrix out, in well under a millisecond; it learns by `feed`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.core.times import Millis
from sampan.errors import ParameterError
from sampan.features.expressions import FieldSpec
from sampan.features.fitted import FittedView
from sampan.features.graph import Tensors, leaves
from sampan.features.nodes import Column, Lookup, walk
from sampan.features.one_row import one_row
from sampan.features.plain import plain_rows
from sampan.features.program import Program
from sampan.features.requests import Reader
from sampan.features.sources import OnlineSources
from sampan.features.texts import TextColumns
from sampan.table.rows import ColumnRows, Row, row_type

if TYPE_CHECKING:
    import polars as pl

    from sampan.features.revising import TableChange
    from sampan.features.tables import Tables

FOREVER: Millis = 2**62
_ZERO = np.float32(0)


class OnlineView:
    """Serves one fitted view. `matrix` may be called from many threads; `feed` from one at a time."""

    def __init__(self, fitted: FittedView, sources: OnlineSources) -> None:
        self.fitted = fitted
        view = fitted.view
        self.schema: dict[str, FieldSpec] = view.request_schema()
        self._columns = leaves(fitted)
        self.row_type = row_type({name: (spec.type, spec.nullable) for name, spec in self.schema.items()})
        self._use(sources)
        self._encoders = [fitted.text_columns.get(f.name) or fitted.encoders.get(f.name) for f in view.features]
        self._widths = [len(columns) for columns in fitted.columns.values()]
        used = view.request_columns()
        self._reader = Reader(self.schema, needed=[n for n in self.schema if n in used], exact=True, kind=self.row_type)
        self._plain = plain_rows(fitted, self.row_type)
        self._tensors = Tensors(self._columns)

    @classmethod
    def of(cls, fitted: FittedView, tables: Mapping[str, pl.DataFrame], *, known_until: Millis | None = None) -> OnlineView:
        """Open for single requests, with what `view_tables.online_tables` returned.

        Past events that were known by `known_until`, the moment the tables were cut at, count once, also where they are fed again.
        """
        return cls(fitted, OnlineSources.of_tables(fitted.view, tables, known_until=known_until))

    def _use(self, sources: OnlineSources) -> None:
        view = self.fitted.view
        self._sources = sources
        self._program = Program([view.moment, *(f.value for f in view.features)], sources)
        self._moment = Program([view.moment], sources)
        named = {n.name for n in walk(view.moment) if isinstance(n, Column)}
        self._moment_reader = Reader(self.schema, needed=[n for n in self.schema if n in named], exact=True, kind=self.row_type)
        self._leaves = Program(list(self._columns), sources)
        self._one = one_row(self.fitted, self.row_type, sources)

    @property
    def sources(self) -> OnlineSources:
        """What it looks up in now."""
        return self._sources

    @property
    def columns_looked_up(self) -> dict[str, list[str]]:
        """Return which columns of which table are read to answer."""
        return self._sources.groups.table_columns

    def renewed(self, tables: Tables) -> Renewal:
        """Index other versions of the tables, whole ones, beside those in use; `Renewal.install` takes them into use."""
        from sampan.features import view_tables
        from sampan.features.tables import find_table

        view = self.fitted.view
        whole: dict[str, pl.DataFrame] = view_tables.online_tables(view, tables, FOREVER)
        if view.event_columns():
            whole[view.on] = find_table(tables, view.on).lazy().select(view.feed_columns()).collect()
        return Renewal(self, OnlineSources.of_versions(view, whole))

    def revised(self, changes: Mapping[str, TableChange], *, before: Tables, after: Tables) -> Renewal:
        """Do as `renewed`, at the cost of what differs between the tables in use and those of another version.

        Parameters
        ----------
        changes : of the tables that differ, in `columns_looked_up`
        before, after : all tables, whole

        Raises
        ------
        IntegrityError : the tables in use do not have what is said to be gone.
        """
        from sampan.features.revising import revise

        return Renewal(self, revise(self._sources, changes, before=before, after=after))

    def matrix(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """Compute the model's input for raw request rows, shape (n, k).

        Raises
        ------
        ParameterError : as `check`.
        """
        n = len(rows)
        if n == 1 and self._plain is not None and type(rows) is list and type(rows[0]) is dict:
            alone = self._plain.of_dict(rows[0])
            if alone is not None:
                return alone
        if isinstance(rows, ColumnRows) and self._reader.fits(rows):
            rows.kind = self.row_type  # the log need not look again
        if self._plain is not None and (typed := self._typed(rows)) is not None:
            with suppress(OverflowError):  # a whole number that no float holds is named below
                return self._plain.matrix(typed)
        if n == 1 and (alone := self._alone(rows)) is not None:
            return alone
        found = np.empty((n, sum(self._widths)), np.float32)
        columns = self._reader.read(rows)
        with np.errstate(all="ignore"):
            values = self._program.run_quietly(columns, n)
            end = 0
            for value, encoder, width in zip(values[1:], self._encoders, self._widths, strict=True):
                begin, end = end, end + width
                if isinstance(encoder, TextColumns):
                    found[:, begin:end] = encoder.apply(value)
                else:
                    found[:, begin] = encoder.apply(value) if encoder is not None else value
            found += found * _ZERO  # as `finite32`: what is too large for float32 is missing
        return found

    def _alone(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32] | None:
        """Return a single row's matrix by the shortest way, None where it has to go the long one."""
        if self._one is None or (typed := self._typed(rows)) is None:
            return None
        return self._one.matrix(row) if isinstance(row := typed[0], Row) else None

    def _typed(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Row] | ColumnRows | None:
        """Return rows whose values need no other look; None where each has to be read, or refused, field by field."""
        if (kind := self._kind(rows)) is self.row_type:
            return cast("Sequence[Row] | ColumnRows", rows)  # who decodes rows into the type decodes all of them
        if kind is dict:
            with suppress(msgspec.ValidationError, OverflowError):
                typed = [msgspec.convert(row, self.row_type) for row in rows]
                if self._plain is not None and len(rows) == 1:
                    self._plain.remember(cast("dict[str, Any]", rows[0]))
                return typed
        return None

    @staticmethod
    def _kind(rows: Sequence[Mapping[str, Any]]) -> object:
        """Return what type rows were decoded as; None where that is not known."""
        if isinstance(rows, ColumnRows):
            return rows.kind
        return type(rows[0]) if len(rows) else None

    def tensors(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
        """Return what goes into the view's graph (graph.py) for raw request rows: their fields and what is fetched for them.

        Raises
        ------
        ParameterError : as `check`.
        """
        return self._tensors.of(self._leaves.run(self._reader.read(rows), len(rows)), len(rows))

    def moments(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        """Return each row's moment of prediction in milliseconds.

        Raises
        ------
        ParameterError : a row has no moment, or as `check`.
        """
        reader = self._moment_reader if self._kind(rows) is self.row_type else self._reader
        found = np.broadcast_to(self._moment.run(reader.read(rows), len(rows))[0], len(rows))
        return _whole(found)

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Look at every field of every row.

        Raises
        ------
        ParameterError : a missing, unexpected or wrongly typed field; names row, field, value and expectation, all faults up to ten.
        """
        self._reader.check(rows)

    def flags(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
        """Say per row what the training data never showed: unseen categories, keys no reference table has."""
        values = self._program.run(self._reader.read(rows), len(rows))
        found: list[list[str]] = [[] for _ in rows]
        for item, encoder, column in zip(self.fitted.view.features, self._encoders, values[1:], strict=True):
            if encoder is None:
                continue
            if isinstance(encoder, TextColumns):
                strange = (i for i, value in enumerate(column) if value is not None and encoder.is_strange(value))
                for i in strange:
                    found[i].append(f"{item.name}: no word of it is one that the model knows")
                continue
            for i, value in enumerate(column):
                if value is not None and value not in encoder.values:
                    found[i].append(f"{item.name}: category {value!r} was not seen in training")
        for node in self._plain_lookups():
            key = node.keys[0].value
            assert isinstance(key, Column)
            known = self._sources.references(node)
            for i, row in enumerate(rows):
                if row[key.name] is not None and row[key.name] not in known:
                    found[i].append(f"{key.name}: {row[key.name]!r} is not in {node.table}")
        return [tuple(dict.fromkeys(notes)) for notes in found]

    def _plain_lookups(self) -> list[Lookup]:
        nodes = {n for f in self.fitted.view.features for n in walk(f.value) if isinstance(n, Lookup)}
        plain = {self._sources.group(n) for n in nodes if len(n.keys) == 1 and isinstance(n.keys[0].value, Column)}
        return sorted((n for n in plain if isinstance(n, Lookup) and n.keys[0].value.kind == "text"), key=lambda n: n.table)  # type: ignore[union-attr]  # columns have a kind

    def feed(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to what is known: outcomes under the view's own table, new rows of others, planned rows under `<table>.planned`.

        An outcome is seen by requests from its `known_at` on. The same outcome fed twice counts twice; a reference row or an as-of row
        of the same key (and time) replaces the one before.

        Raises
        ------
        ParameterError : the view uses no such table, or a row lacks a column or has a wrong value in it.
        """
        self._sources.feed(table, rows)


class Renewal:
    """Online tables that are ready, and not in use yet. What was fed meanwhile is fed to them, too."""

    def __init__(self, online: OnlineView, sources: OnlineSources) -> None:
        self._online = online
        self.sources = sources

    def feed(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, as `OnlineView.feed` does; a past event that the tables have already does not count again."""
        self.sources.feed(table, rows)

    def install(self) -> None:
        """Answer from these tables from now on. A request that runs at this moment is answered from one of the two, whole."""
        self._online._use(self.sources)


def _whole(found: NDArray[np.float64]) -> NDArray[np.int64]:
    if np.isnan(found).any():
        raise ParameterError(f"row {int(np.isnan(found).argmax())} has no moment of prediction", hint="give the fields it is computed from")
    return np.floor(found).astype(np.int64)

"""What searches over runs ask for, kept in memory as columns: 100,000 runs are filtered and ordered in about a millisecond.

The rows in the database are the truth. A column is read on first use; before each search only what was touched since is read again. Columns
are of one order: that of the runs' internal numbers, by which new runs come last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sampan.store.database import Database, Row, Session
from sampan.store.run_fields import ATTRIBUTES, Field, Kind
from sampan.store.run_search import Logged, RunSearch
from sampan.store.touching import newest_touch, touched_since

Bools = NDArray[np.bool_]
Places = NDArray[np.intp]

_FEW: Final = 400  # touched runs are always read alone
_MOST_LOGGED: Final = 10_000  # runs whose logged values are kept
_MOST_SHARE: Final = 5  # of touched runs: above a fifth, reading everything anew is faster
_LOGGED: Final[dict[str, str]] = {
    "metric": "select m.run, m.last from run_metric m where m.key = (select pk from metric_key where name = ?)",
    "param": "select m.run, m.value from run_param m where m.key = (select pk from key where name = ?)",
    "tag": "select m.node, m.value from tag m join run r on r.node = m.node where m.key = (select pk from key where name = ?)",
}
_OWNER: Final = {"metric": "m.run", "param": "m.run", "tag": "m.node", "attribute": "r.node"}


@dataclass(slots=True)
class Numbers:
    """Numbers by run. `present` tells a run that has none from one whose number is NaN."""

    values: NDArray[np.float64]
    present: Bools

    @classmethod
    def empty(cls, n: int) -> Numbers:
        """Begin with no run having one."""
        return cls(np.full(n, np.nan), np.zeros(n, np.bool_))

    def grow(self, n: int) -> None:
        """Make room for runs up to `n`."""
        more = n - len(self.values)
        self.values = np.concatenate([self.values, np.full(more, np.nan)])
        self.present = np.concatenate([self.present, np.zeros(more, np.bool_)])

    def put(self, places: Places, values: Sequence[float | None]) -> None:
        """Set the numbers of some runs; None in the database stands for NaN."""
        self.values[places] = np.array(values, dtype=np.float64)
        self.present[places] = True

    def forget(self, places: Places) -> None:
        """Take the numbers of some runs away."""
        self.values[places], self.present[places] = np.nan, False

    def where(self, holds: Callable[[NDArray[np.float64]], Bools]) -> Bools:
        """Return the runs whose number meets a condition. A run that has none meets nothing."""
        with np.errstate(invalid="ignore"):
            return np.asarray(holds(self.values) & self.present)


@dataclass(slots=True)
class Texts:
    """Texts by run, as numbers of a vocabulary; -1 where a run has none."""

    codes: NDArray[np.int32]
    words: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    @classmethod
    def empty(cls, n: int) -> Texts:
        """Begin with no run having one."""
        return cls(np.full(n, -1, np.int32))

    def grow(self, n: int) -> None:
        """Make room for runs up to `n`."""
        self.codes = np.concatenate([self.codes, np.full(n - len(self.codes), -1, np.int32)])

    def put(self, places: Places, values: Sequence[str]) -> None:
        """Set the texts of some runs."""
        known = self._numbers
        codes = []
        for value in values:
            code = known.get(value)
            if code is None:
                code = known[value] = len(self.words)
                self.words.append(value)
            codes.append(code)
        self.codes[places] = codes

    def forget(self, places: Places) -> None:
        """Take the texts of some runs away."""
        self.codes[places] = -1

    def where(self, holds: Callable[[str], bool], *, missing: bool = False) -> Bools:
        """Return the runs whose text meets a condition, which is asked once for each different text."""
        met = np.array([*(holds(word) for word in self.words), missing], dtype=np.bool_)
        return np.asarray(met[self.codes])

    def ranks(self) -> NDArray[np.int64]:
        """Return the runs' texts as numbers in the texts' order; runs without one come last."""
        rank_of = {word: rank for rank, word in enumerate(sorted(set(self.words)))}
        return np.array([*(rank_of[word] for word in self.words), len(self.words)], np.int64)[self.codes]

    def worded(self, told: Callable[[str], str]) -> Texts:
        """Return the same texts in other words."""
        return Texts(self.codes, [told(word) for word in self.words])

    def otherwise(self, other: Texts) -> Texts:
        """Return these texts, and where a run has none that of another column."""
        codes = np.where(self.codes >= 0, self.codes, np.where(other.codes >= 0, other.codes + len(self.words), -1))
        return Texts(codes.astype(np.int32), [*self.words, *other.words])

    def of(self, places: Places) -> list[str]:
        """Return the texts of some runs, '' where one has none."""
        words = [*self.words, ""]
        return [words[code] for code in self.codes[places].tolist()]


class RunColumns:
    """The columns of one store's runs. Several threads may ask at once."""

    def __init__(self, database: Database[Any]) -> None:
        self._database = database
        self._lock = threading.RLock()
        self._forget_all()

    def _forget_all(self) -> None:
        self._pks: NDArray[np.int64] = np.empty(0, np.int64)
        self._columns: dict[Field, Numbers | Texts] = {}
        self._logged: dict[int, Logged] = {}
        self._seq = -1
        self._redacted = 0

    def search(self, choose: Callable[[View], Bools], order: Callable[[View, Places], Places]) -> list[int]:
        """Return the internal numbers of the runs that `choose` marks, as `order` puts their places.

        Both are given a view that belongs to one moment.
        """
        with self._lock, self._database.read() as session:
            self._refresh(session)
            view = View(self, session)
            places = np.flatnonzero(choose(view))
            return self.pks(order(view, places))

    def take(self, fields: Sequence[Field], pks: Sequence[int]) -> list[Numbers | Texts]:
        """Return columns of some runs, in their order."""
        with self._lock, self._database.read() as session:
            self._refresh(session)
            places = np.searchsorted(self._pks, np.array(pks, np.int64))
            view = View(self, session)
            return [_taken(_column(view, each), places) for each in fields]

    def logged(self, pks: Sequence[int]) -> list[Logged]:
        """Return what a table shows of what was logged to some runs, in their order; what was shown lately is not read again."""
        with self._lock:
            with self._database.read() as session:
                self._refresh(session)
            missing = [pk for pk in pks if pk not in self._logged]
            if len(self._logged) + len(missing) > _MOST_LOGGED:
                self._logged.clear()
                missing = list(pks)
            self._logged.update(RunSearch(self._database).logged(missing))
            return [Logged(dict(self._logged[pk].metrics), dict(self._logged[pk].params)) for pk in pks]

    def __len__(self) -> int:
        return len(self._pks)

    def pks(self, places: Places) -> list[int]:
        """Return the internal numbers of the runs at some places."""
        found: list[int] = self._pks[places].tolist()
        return found

    def column(self, session: Session, wanted: Field) -> Numbers | Texts:
        """Return a column of all runs, read if it is not here."""
        if wanted not in self._columns:
            found = Numbers.empty(len(self)) if wanted.is_number else Texts.empty(len(self))
            self._fill(found, _rows(session, wanted, None))
            self._columns[wanted] = found
        return self._columns[wanted]

    def _fill(self, column: Numbers | Texts, rows: Sequence[tuple[int, Any]]) -> None:
        if not rows:
            return
        owners, values = zip(*rows, strict=True)
        places = np.searchsorted(self._pks, np.array(owners, np.int64))
        column.put(places, values)

    def _refresh(self, session: Session) -> None:
        newest = newest_touch(session)
        (redacted,) = session.one("select coalesce(max(seq), 0) from event where type = 'rows_redacted'") or (0,)
        if self._seq < 0 or redacted != self._redacted:
            self._read_all(session, newest, redacted)
        elif newest > self._seq:
            touched = touched_since(session, self._seq, max(len(self) // _MOST_SHARE, _FEW))
            if touched is None:
                self._read_all(session, newest, redacted)
            else:
                self._read_again(session, touched)
                self._seq = newest

    def _read_all(self, session: Session, newest: int, redacted: int) -> None:
        self._forget_all()
        self._pks = np.array([row[0] for row in session.all("select node from run order by node")], np.int64)
        self._seq, self._redacted = newest, redacted

    def _read_again(self, session: Session, touched: Sequence[int]) -> None:
        runs = sorted(pk for (pk,) in _those_that_are_runs(session, touched))
        for pk in runs:
            self._logged.pop(pk, None)
        last = self._pks[-1] if len(self) else -1
        new = [pk for pk in runs if pk > last]
        if new:
            self._pks = np.concatenate([self._pks, np.array(new, np.int64)])
        places = np.searchsorted(self._pks, np.array(runs, np.int64))
        for wanted, column in self._columns.items():
            column.grow(len(self))
            column.forget(places)
            self._fill(column, _rows(session, wanted, runs))


@dataclass(frozen=True, slots=True)
class View:
    """The columns as they were at one moment."""

    columns: RunColumns
    session: Session

    def __len__(self) -> int:
        return len(self.columns)

    def pks(self, places: Places) -> list[int]:
        """Return the internal numbers of the runs at some places."""
        return self.columns.pks(places)

    def numbers(self, kind: Kind, name: str) -> Numbers:
        """Return a column of numbers: a metric, or an attribute that is one."""
        if (kind, name) == ("attribute", "seconds"):
            started, ended = self.numbers(kind, "started"), self.numbers(kind, "ended")
            return Numbers((ended.values - started.values) / 1000, ended.present)
        found = self.columns.column(self.session, Field(kind, name))
        assert isinstance(found, Numbers)
        return found

    def texts(self, kind: Kind, name: str) -> Texts:
        """Return a column of texts: a parameter, a tag, or an attribute that is one."""
        found = self.columns.column(self.session, Field(kind, name))
        assert isinstance(found, Texts)
        return found


class Order(NamedTuple):
    """A field that runs are put in order by."""

    field: Field
    descending: bool = False


def ranked(view: View, places: Places, order: Sequence[Order], limit: int) -> Places:
    """Return the first `limit` of some places in order; numbers before NaN before what is missing, ties by age, the newest first."""
    keys = [key for each in order for key in order_keys(_column(view, each.field), places, descending=each.descending)]
    return places[first([*keys, -places], limit)]


def best_of_each(view: View, places: Places, group: Field, order: Sequence[Order], limit: int) -> Places:
    """Return the first place in order of each group; runs without the group's field belong to none."""
    codes = view.texts(*group).codes
    inside = places[codes[places] >= 0]
    sorted_places = ranked(view, inside, order, len(inside))
    _, firsts = np.unique(codes[sorted_places], return_index=True)
    return sorted_places[np.sort(firsts)][:limit]


def order_keys(column: Numbers | Texts, places: Places, *, descending: bool) -> list[NDArray[Any]]:
    """Return what some places are ordered by, the weightiest first: ascending keys without NaN; what is missing comes last either way."""
    sign = -1 if descending else 1
    if isinstance(column, Texts):
        ranks = column.ranks()[places]
        return [np.where(ranks == len(column.words), len(column.words) + 1, sign * ranks)]
    values, present = column.values[places], column.present[places]
    lacks = np.isnan(values)
    if not lacks.any():
        return [sign * values]
    return [np.where(lacks, np.inf, sign * values), lacks.astype(np.int8) + ~present]


def first(keys: Sequence[NDArray[Any]], limit: int, *, ties: Callable[[Places], NDArray[Any]] | None = None) -> Places:
    """Return the first `limit` positions in the order of the keys, the weightiest first.

    `ties` gives a last key, asked only for the positions that may be among the first.
    """
    few = _few(keys, limit)
    last = [] if ties is None else [ties(few)]
    order = np.lexsort((*last, *(key[few] for key in reversed(keys))))
    return few[order[:limit]]


def _few(keys: Sequence[NDArray[Any]], limit: int) -> Places:
    """Return the positions that may be among the first, without sorting the rest."""
    inside: list[Places] = []
    tied, wanted = np.arange(len(keys[0])), limit
    for key in keys:
        if wanted >= len(tied):
            break
        values = key[tied]
        edge = np.partition(values, wanted - 1)[wanted - 1]
        inside.append(tied[values < edge])
        wanted -= len(inside[-1])
        tied = tied[values == edge]
    return np.concatenate([*inside, tied])


def _column(view: View, field: Field) -> Numbers | Texts:
    return view.numbers(*field) if field.is_number else view.texts(*field)


def _those_that_are_runs(session: Session, some: Sequence[int]) -> list[Row]:
    those = session.among("node", some)
    return session.all(f"select node from run where {those.sql}", those.value)  # noqa: S608  # literals


def _taken(column: Numbers | Texts, places: Places) -> Numbers | Texts:
    if isinstance(column, Numbers):
        return Numbers(column.values[places], column.present[places])
    return Texts(column.codes[places], column.words)


def _rows(session: Session, wanted: Field, some: Sequence[int] | None) -> list[tuple[int, Any]]:
    values: list[Any] = []
    if wanted.kind == "attribute":
        sql = f"select r.node, {ATTRIBUTES[wanted.name]} from run r join node n on n.pk = r.node"  # noqa: S608  # literals
        where = f" where {ATTRIBUTES[wanted.name]} is not null"
    else:
        sql, where = _LOGGED[wanted.kind], ""
        values.append(wanted.name)
    if some is not None:
        those = session.among(_OWNER[wanted.kind], some)
        where += f" {'and' if where or values else 'where'} {those.sql}"
        values.append(those.value)
    return [(row[0], row[1]) for row in session.all(sql + where, *values)]

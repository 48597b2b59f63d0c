"""The prediction log's rows: one per answered (or shadow-scored) row of a request, with its fields, features, answer and caller.

A request's rows stay as they came until many are laid out at once, column by column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, overload

import msgspec
import numpy as np

from sampan.core.times import Millis
from sampan.serving.keeping import EVERYTHING, Change, Keeping
from sampan.serving.outcomes import Outcome, keys_of
from sampan.table.arrow_blocks import Beside, Block, Coded, Column, Field, Nullable, Packed, Repeated, Schema, at_once
from sampan.table.rows import ColumnRows

FEATURE = "feature."  # column prefix of a model feature
FIELD = "field."  # column prefix of a request field
SCORE = "score."  # column prefix of a class's chance
MOST_CLASSES = 100  # whose chances are kept
KEY_CHANGED = "sampan.key_changed"  # of a schema's metadata: the key is a pseudonym, labels by key have to be named the same way

_FIXED = (
    Field("id", "utf8"),
    Field("key", "utf8"),
    Field("at", "int64"),
    Field("moment", "int64"),
    Field("service", "utf8"),
    Field("version", "utf8"),
    Field("role", "utf8"),
    Field("caller", "utf8"),
    Field("trace", "utf8"),
    Field("score", "float64"),
    Field("latency_us", "int64"),
)
_SHARED = ("service", "version", "role", "caller", "trace")  # what all rows of a request have in common
_FEW = 64  # rows of a batch: of so few, a column costs what it costs by itself, and not what its values do
_TYPES = {"number": "float64", "flag": "bool"}  # others are text

OUTCOMES = Schema(
    [
        *(Field("id", "utf8"), Field("key", "utf8"), Field("label", "float64"), Field("at", "int64"), Field("received", "int64")),
        Field("label_name", "utf8"),  # of a class; "" where labels are no classes
    ]
)
FEEDS = Schema([Field("table", "utf8"), Field("at", "int64"), Field("received", "int64"), Field("rows", "binary")])

Fields = Sequence[tuple[str, str]]  # request fields with their type words


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What one variant did with rows of one request, or of several requests of one row each. Arrays have one entry a row.

    Of several requests `at`, `latency_us`, `caller` and `trace` may have one entry a row as well; `latency_us` has.
    """

    service: str
    version: str
    role: str
    at: Millis | Sequence[Millis]
    latency_us: int | Sequence[int]
    ids: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    moments: Any  # array of int64 Millis; None where who lays the rows out says them
    features: Any  # array of float32 (n, k)
    scores: Any  # array of float64
    caller: str | Sequence[str] = ""
    trace: str | Sequence[str] = ""  # of the caller's trace, where the request was traced
    size_bytes: int = 0  # of the requests' bodies, which says how much memory waiting rows may hold

    @property
    def n_requests(self) -> int:
        """How many requests these rows came in: each row in its own where each has its latency."""
        return 1 if isinstance(self.latency_us, int) else len(self.ids)


class NumberedIds(Sequence[str]):
    """Ids of a request's rows, `head.0` and on; they are written when somebody asks for them."""

    __slots__ = ("head", "n")

    def __init__(self, head: str, n: int) -> None:
        self.head = head
        self.n = n

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return list(self)[index]
        return f"{self.head}.{range(self.n)[index]}"

    def __iter__(self) -> Iterator[str]:
        return map(self.head.__add__, _endings(self.n))

    def packed(self) -> Packed:
        """Write all of them at once."""
        head = self.head.encode()
        written, lengths = _written_endings(self.n)
        return Packed(written.replace(_HEAD, head), lengths + len(head))


_HEAD = b"\0"  # where the head of an id goes


@lru_cache(maxsize=8)
def _endings(n: int) -> tuple[str, ...]:
    return tuple(f".{index}" for index in range(n))


@lru_cache(maxsize=8)
def _written_endings(n: int) -> tuple[bytes, np.ndarray[Any, Any]]:
    endings = [ending.encode() for ending in _endings(n)]
    return b"".join([_HEAD + ending for ending in endings]), np.array([len(ending) for ending in endings], np.int64)


def record_schema(feature_names: Sequence[str], fields: Fields, keeping: Keeping = EVERYTHING, *, classes: Sequence[str] = ()) -> Schema:
    """Return the log's schema for a package: fixed columns, the request fields and the features that are kept."""
    columns = list(_FIXED)
    columns += [Field("answer", "utf8")] if classes else []
    columns += [Field(SCORE + name, "float64") for name in classes[:MOST_CLASSES]]
    columns += [Field(FIELD + name, _TYPES.get(kind, "utf8")) for name, kind in keeping.fields(fields)]
    columns += [Field(FEATURE + name, "float32") for name in keeping.features(feature_names)]
    return Schema(columns, {KEY_CHANGED: "1"} if keeping.name_key else {})


def record_block(
    scored: Sequence[Scored],
    rows: ColumnRows,
    *,
    feature_names: Sequence[str],
    fields: Fields,
    keys: Sequence[str],
    moments: Any = None,
    keeping: Keeping = EVERYTHING,
    classes: Sequence[str] = (),
    schema: Schema | None = None,
    pause: Callable[[], None] = at_once,
) -> Block:
    """Lay scored rows of one package out as one block, of what is kept of them; `rows` are those of all, joined.

    `schema` is what `record_schema` says of the package, for who has it.

    Of several `classes` the log has the chances of each (of the first hundred), the most probable one as `answer`, its chance as `score`.
    `pause` is called every now and then, for who must not hold up others.
    """
    counts = [len(one.ids) for one in scored]
    n_rows = sum(counts)
    ids = _ids(scored)
    pause()
    named = _key_column(rows, keys)
    pause()
    answers = _answers(np.concatenate([one.scores for one in scored]), classes)
    columns: dict[str, Column] = {  # in the schema's order
        "id": ids,
        "key": [keeping.name_key(key) if key else "" for key in _texts_of(named)] if keeping.name_key else named,
        "at": each_row([one.at for one in scored], counts),
        "moment": np.concatenate([one.moments for one in scored]) if moments is None else moments,
    }
    for name in _SHARED:
        pause()
        columns[name] = _repeated([getattr(one, name) for one in scored], counts)
    pause()
    columns |= {"score": answers.pop("score"), "latency_us": each_row([one.latency_us for one in scored], counts), **answers}
    pause()
    schema = schema or record_schema(feature_names, fields, keeping, classes=classes)
    told = keeping.fields(fields)
    if keeping.share >= 1 and n_rows <= _FEW:
        of_fields = _fields_beside(rows, told, keeping.changes, pause)
        return Block(schema, n_rows, [*columns.values(), *of_fields, *_features_beside(scored, feature_names, keeping)], pause)
    for name, kind in told:
        columns[FIELD + name] = _field(rows, name, kind, keeping.changes.get(name))
        pause()
    matrix = np.ascontiguousarray(np.concatenate([one.features for one in scored]).T, np.float32)
    columns.update(zip([FEATURE + name for name in feature_names], matrix, strict=True))
    pause()
    if keeping.share >= 1:
        return Block(schema, n_rows, [columns[name] for name in schema.names], pause)
    kept = [index for index, (name, key) in enumerate(zip(_texts_of(ids), _texts_of(named), strict=True)) if keeping.keeps(key or name)]
    return Block(schema, len(kept), [_picked(columns[name], kept) for name in schema.names], pause)


def each_row(values: Sequence[int | Sequence[int]], counts: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return one integer a row: of each part its `counts` own, or one that all of them share."""
    if set(map(type, values)) <= {int}:
        return np.repeat(values, counts)
    each = [repeat(value, n) if isinstance(value, int) else value for value, n in zip(values, counts, strict=True)]
    return np.fromiter(chain.from_iterable(each), np.int64, sum(counts))


def outcome_block(outcomes: Sequence[Outcome], *, received: Millis) -> Block:
    """Lay true labels out as one block."""
    n = len(outcomes)
    columns: list[Column] = [
        [one.id for one in outcomes],
        [one.key for one in outcomes],
        np.array([one.label for one in outcomes], np.float64),
        np.array([one.at for one in outcomes], np.int64),
        np.full(n, received, np.int64),
        [one.name for one in outcomes],
    ]
    return Block(OUTCOMES, n, columns)


def predictions_stream(service: str, package: str) -> str:
    """Name the prediction log of one package in a service. Packages differ in features, so each has its own stream."""
    return f"predictions.{service}.{package[:12]}"


def outcomes_stream(service: str) -> str:
    """Name a service's log of true labels."""
    return f"outcomes.{service}"


def feeds_stream(service: str) -> str:
    """Name a service's log of rows fed to online feature tables; a newly loaded package is brought up to date from it."""
    return f"feeds.{service}"


def _repeated(values: Sequence[str | Sequence[str]], counts: Sequence[int]) -> Repeated:
    """Return one text a row: of each part its `counts` own, or one that all of them share."""
    if not set(map(type, values)) <= {str}:
        runs = [[(value, n)] if isinstance(value, str) else [(text, 1) for text in value] for value, n in zip(values, counts, strict=True)]
        values, counts = zip(*chain.from_iterable(runs), strict=True)
    return Repeated(values, counts) if len(set(values)) > 1 else Repeated(values[:1], [sum(counts)])  # type: ignore[arg-type]  # texts by now


def _answers(scores: np.ndarray[Any, Any], classes: Sequence[str]) -> dict[str, Column]:
    if not classes:
        return {"score": scores}
    chosen = scores.argmax(axis=1)
    each: dict[str, Column] = {SCORE + name: scores[:, at] for at, name in enumerate(classes[:MOST_CLASSES])}
    return {"score": scores.max(axis=1), "answer": [classes[at] for at in chosen.tolist()], **each}


def _field(rows: ColumnRows, name: str, kind: str, change: Change | None) -> Column:
    if change is not None:
        return [None if value is None else change(value) for value in rows.column(name)]
    if kind == "number":
        numbers = rows.numbers(name)
        missing = np.isnan(numbers)
        return Nullable(numbers, ~missing) if missing.any() else numbers
    values = rows.columns.get(name)
    if isinstance(values, Coded):
        return values
    values = rows.column(name)
    if kind == "flag":
        return [None if value is None else bool(value) for value in values]
    if set(map(type, values)) <= _TEXT:
        return values
    return [None if value is None else str(value) for value in values]  # a moment in milliseconds


def _fields_beside(rows: ColumnRows, fields: Fields, changes: Mapping[str, Change], pause: Callable[[], None]) -> list[Column | Beside]:
    """Lay fields out as `_field` does, but numbers that stand together in one piece, where none is missing."""
    names = [name for name, kind in fields if kind == "number"]
    numbers = rows.read_numbers(names) if names else np.empty((0, len(rows)))
    missing: np.ndarray[Any, Any] = np.isnan(numbers)
    with_gaps = set(np.flatnonzero(missing.any(axis=1)).tolist())
    found: list[Column | Beside] = []
    begun = at = 0  # of the numbers, those from `begun` to `at` wait for more beside them
    for name, kind in fields:
        pause()
        if kind == "number" and at not in with_gaps:
            at += 1
            continue
        found += [Beside(numbers[begun:at])] if at > begun else []
        if kind == "number":
            found.append(Nullable(numbers[at], ~missing[at]))
            at += 1
        else:
            found.append(_field(rows, name, kind, changes.get(name)))
        begun = at
    return [*found, Beside(numbers[begun:at])] if at > begun else found


def _features_beside(scored: Sequence[Scored], names: Sequence[str], keeping: Keeping) -> list[Beside]:
    """Lay the features that are kept out in one piece."""
    matrix = np.concatenate([one.features for one in scored]).T.astype(np.float32)
    if keeping.features_left_out:
        matrix = matrix[[place for place, name in enumerate(names) if name not in keeping.features_left_out]]
    return [Beside(matrix)] if len(matrix) else []


def _ids(scored: Sequence[Scored]) -> Packed | list[str]:
    ids = [one.ids for one in scored]
    if NumberedIds not in set(map(type, ids)):
        return list(chain.from_iterable(ids))
    parts = [each.packed() if isinstance(each, NumberedIds) else _packed(each) for each in ids]
    return Packed(b"".join([part.data for part in parts]), np.concatenate([part.lengths for part in parts]))


def _packed(texts: Sequence[str]) -> Packed:
    each = [text.encode() for text in texts]
    return Packed(b"".join(each), np.array([len(text) for text in each], np.int64))


def _key_column(rows: ColumnRows, keys: Sequence[str]) -> Packed | list[str]:
    """Return the key of each row as `keys_of` writes it; of a single field of whole numbers all are written at once."""
    values = rows.columns.get(keys[0]) if len(keys) == 1 else None
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return _whole_numbers(values.tolist())
    if (
        isinstance(values, np.ndarray)
        and values.dtype.kind == "f"
        and (np.abs(values) < _EXACT).all()
        and (values == np.floor(values)).all()
    ):
        return _whole_numbers(values.astype(np.int64).tolist())
    if isinstance(values, list | tuple) and set(map(type, values)) == {int}:
        with suppress(OverflowError):  # of more than 64 bits
            return _whole_numbers(values)
    return keys_of([rows.column(name) for name in keys], len(rows))


def _whole_numbers(values: Sequence[int]) -> Packed:
    written = msgspec.json.encode(values)[1:-1]  # an eighth of what a text of each costs
    if not written:
        return Packed(b"", np.empty(0, np.int64))
    commas = np.flatnonzero(np.frombuffer(written, np.uint8) == _COMMA)
    return Packed(written.replace(b",", b""), np.diff(commas, prepend=-1, append=len(written)) - 1)


def _texts_of(column: Packed | Sequence[str]) -> Sequence[str]:
    if not isinstance(column, Packed):
        return column
    ends = np.cumsum(column.lengths).tolist()
    return [column.data[first:end].decode() for first, end in zip([0, *ends], ends, strict=False)]


def _picked(column: Column, kept: Sequence[int]) -> Column:
    if isinstance(column, np.ndarray):
        return column[kept]
    if isinstance(column, Nullable):
        return Nullable(column.values[kept], column.valid[kept])
    if isinstance(column, Packed):
        column = _texts_of(column)
    values = np.repeat(column.texts, column.counts).tolist() if isinstance(column, Repeated) else column
    return [values[index] for index in kept]


_EXACT = 2.0**53  # below it a float is as exact as an integer
_COMMA = ord(",")
_TEXT = {str, type(None)}

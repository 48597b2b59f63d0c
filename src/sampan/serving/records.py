"""The prediction log's rows: one Arrow row per answered (or shadow-scored) request row, with its fields, features, answer and caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from sampan.core.times import Millis
from sampan.serving.keeping import EVERYTHING, Change, Keeping
from sampan.serving.outcomes import Outcome, keys_of
from sampan.table.rows import ColumnRows, joined

FEATURE = "feature."  # column prefix of a model feature
FIELD = "field."  # column prefix of a request field
SCORE = "score."  # column prefix of a class's chance
MOST_CLASSES = 100  # whose chances are kept
KEY_CHANGED = b"sampan.key_changed"  # of a schema's metadata: the key is a pseudonym, labels by key have to be named the same way

_FIXED: tuple[tuple[str, pa.DataType], ...] = (
    ("id", pa.string()),
    ("key", pa.string()),
    ("at", pa.int64()),
    ("moment", pa.int64()),
    ("service", pa.string()),
    ("version", pa.string()),
    ("role", pa.string()),
    ("caller", pa.string()),
    ("trace", pa.string()),
    ("score", pa.float64()),
    ("latency_us", pa.int64()),
)
_TYPES: dict[str, pa.DataType] = {"number": pa.float64(), "flag": pa.bool_()}  # others are text

OUTCOMES = pa.schema(
    [
        *(("id", pa.string()), ("key", pa.string()), ("label", pa.float64()), ("at", pa.int64()), ("received", pa.int64())),
        ("label_name", pa.string()),  # of a class; "" where labels are no classes
    ]
)
FEEDS = pa.schema([("table", pa.string()), ("at", pa.int64()), ("received", pa.int64()), ("rows", pa.binary())])

Fields = Sequence[tuple[str, str]]  # request fields with their type words


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What one variant did with rows of one request. Arrays have one entry a row."""

    service: str
    version: str
    role: str
    at: Millis
    latency_us: int
    ids: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    moments: Any  # array of int64 Millis; None where who lays the rows out says them
    features: Any  # array of float32 (n, k)
    scores: Any  # array of float64
    caller: str = ""
    trace: str = ""  # of the caller's trace, where the request was traced
    size_bytes: int = 0  # of the request's body, which says how much memory a waiting row may hold


def record_schema(feature_names: Sequence[str], fields: Fields, keeping: Keeping = EVERYTHING, *, classes: Sequence[str] = ()) -> pa.Schema:
    """Return the log's schema for a package: fixed columns, the request fields and the features that are kept."""
    columns = [pa.field(name, kind) for name, kind in _FIXED]
    columns += [pa.field("answer", pa.string())] if classes else []
    columns += [pa.field(SCORE + name, pa.float64()) for name in classes[:MOST_CLASSES]]
    columns += [pa.field(FIELD + name, _TYPES.get(kind, pa.string())) for name, kind in keeping.fields(fields)]
    columns += [pa.field(FEATURE + name, pa.float32()) for name in keeping.features(feature_names)]
    return pa.schema(columns, metadata={KEY_CHANGED: b"1"} if keeping.name_key else None)


def record_batch(
    scored: Sequence[Scored],
    *,
    feature_names: Sequence[str],
    fields: Fields,
    keys: Sequence[str],
    moments: Any = None,
    keeping: Keeping = EVERYTHING,
    classes: Sequence[str] = (),
) -> pa.RecordBatch:
    """Lay scored rows of one package out as one Arrow batch, of what is kept of them.

    Of several `classes` the log has the chances of each (of the first hundred), the most probable one as `answer`, its chance as `score`.
    """
    counts = [len(one.ids) for one in scored]
    rows = joined([one.rows for one in scored], [name for name, _ in fields])
    named = keys_of([rows.column(name) for name in keys], len(rows))
    columns: dict[str, pa.Array] = {
        "id": pa.array([name for one in scored for name in one.ids], pa.string()),
        "key": pa.array([keeping.name_key(key) if key else "" for key in named] if keeping.name_key else named, pa.string()),
        "at": pa.array(np.repeat([one.at for one in scored], counts), pa.int64()),
        "moment": pa.array(np.concatenate([one.moments for one in scored]) if moments is None else moments, pa.int64()),
        **_answers(np.concatenate([one.scores for one in scored]), classes),
        "latency_us": pa.array(np.repeat([one.latency_us for one in scored], counts), pa.int64()),
    }
    for name in ("service", "version", "role", "caller", "trace"):
        columns[name] = _repeated([getattr(one, name) for one in scored], counts)
    for name, kind in keeping.fields(fields):
        columns[FIELD + name] = _field(rows, name, kind, keeping.changes.get(name))
    matrix = np.concatenate([one.features for one in scored]).astype(np.float32, copy=False)
    kept = set(keeping.features(feature_names))
    for index, name in enumerate(feature_names):
        if name in kept:
            columns[FEATURE + name] = pa.array(np.ascontiguousarray(matrix[:, index]), pa.float32())
    schema = record_schema(feature_names, fields, keeping, classes=classes)
    batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    if keeping.share >= 1:
        return batch
    names = [key or name for key, name in zip(named, columns["id"].to_pylist(), strict=True)]
    return batch.filter(pa.array([keeping.keeps(name) for name in names], pa.bool_()))


def outcome_batch(outcomes: Sequence[Outcome], *, received: Millis) -> pa.RecordBatch:
    """Lay true labels out as one Arrow batch."""
    columns = {
        "id": [one.id for one in outcomes],
        "key": [one.key for one in outcomes],
        "label": [one.label for one in outcomes],
        "at": [one.at for one in outcomes],
        "received": [received] * len(outcomes),
        "label_name": [one.name for one in outcomes],
    }
    return pa.RecordBatch.from_pydict(columns, schema=OUTCOMES)


def predictions_stream(service: str, package: str) -> str:
    """Name the prediction log of one package in a service. Packages differ in features, so each has its own stream."""
    return f"predictions.{service}.{package[:12]}"


def outcomes_stream(service: str) -> str:
    """Name a service's log of true labels."""
    return f"outcomes.{service}"


def feeds_stream(service: str) -> str:
    """Name a service's log of rows fed to online feature tables; a newly loaded package is brought up to date from it."""
    return f"feeds.{service}"


def _answers(scores: np.ndarray[Any, Any], classes: Sequence[str]) -> dict[str, pa.Array]:
    if not classes:
        return {"score": pa.array(scores, pa.float64())}
    chosen = scores.argmax(axis=1)
    each = {SCORE + name: pa.array(np.ascontiguousarray(scores[:, at]), pa.float64()) for at, name in enumerate(classes[:MOST_CLASSES])}
    answers = pa.array([classes[at] for at in chosen.tolist()], pa.string())
    return {"score": pa.array(scores.max(axis=1), pa.float64()), "answer": answers, **each}


def _repeated(texts: Sequence[str], counts: Sequence[int]) -> pa.Array:
    """Repeat each text as often as its request has rows: mostly it is the same text all over."""
    if len(set(texts)) == 1:
        return pa.repeat(pa.scalar(texts[0], pa.string()), sum(counts))
    return pa.array([text for text, n in zip(texts, counts, strict=True) for _ in range(n)], pa.string())


def _field(rows: ColumnRows, name: str, kind: str, change: Change | None) -> pa.Array:
    if change is not None:
        return pa.array([None if value is None else change(value) for value in rows.column(name)], pa.string())
    if kind == "number":
        return pa.array(rows.numbers(name), pa.float64(), from_pandas=True)  # NaN is a missing value
    wanted = _TYPES.get(kind, pa.string())
    values = rows.column(name)
    try:
        return pa.array(values, wanted)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a moment in milliseconds
        read = _READ.get(kind, str)
        return pa.array([None if value is None else read(value) for value in values], wanted)


_READ: dict[str, Callable[[Any], Any]] = {"flag": bool}

"""The prediction log's rows: one Arrow row per answered (or shadow-scored) request row, features included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sampan.core.times import Millis
from sampan.serving.outcomes import Outcome, row_key

FEATURE = "feature."  # column prefix of a model feature
FIELD = "field."  # column prefix of a kept request field

_FIXED: tuple[tuple[str, pa.DataType], ...] = (
    ("id", pa.string()),
    ("key", pa.string()),
    ("at", pa.int64()),
    ("moment", pa.int64()),
    ("service", pa.string()),
    ("version", pa.string()),
    ("role", pa.string()),
    ("score", pa.float64()),
    ("latency_us", pa.int64()),
)

OUTCOMES = pa.schema([("id", pa.string()), ("key", pa.string()), ("label", pa.float64()), ("at", pa.int64()), ("received", pa.int64())])
FEEDS = pa.schema([("table", pa.string()), ("at", pa.int64()), ("received", pa.int64()), ("rows", pa.binary())])


@dataclass(frozen=True, slots=True)
class Scored:
    """What one variant did with rows of one request. Arrays have one entry a row."""

    service: str
    version: str
    role: str
    at: Millis
    latency_us: int
    ids: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    moments: np.ndarray[Any, Any]  # int64 Millis
    features: np.ndarray[Any, Any]  # float32 (n, k)
    scores: np.ndarray[Any, Any]  # float64


def record_schema(feature_names: Sequence[str], kept_fields: Sequence[str]) -> pa.Schema:
    """Return the log's schema for a package: fixed columns, kept request fields as text, features as float32."""
    fields = [pa.field(name, kind) for name, kind in _FIXED]
    fields += [pa.field(FIELD + name, pa.string()) for name in kept_fields]
    fields += [pa.field(FEATURE + name, pa.float32()) for name in feature_names]
    return pa.schema(fields)


def record_batch(schema: pa.Schema, scored: Sequence[Scored], *, keys: Sequence[str]) -> pa.RecordBatch:
    """Lay scored rows of one package out as one Arrow batch."""
    rows = [row for one in scored for row in one.rows]
    counts = [len(one.rows) for one in scored]
    features = np.concatenate([one.features for one in scored]).astype(np.float32, copy=False)
    columns: dict[str, pa.Array] = {
        "id": pa.array([name for one in scored for name in one.ids], pa.string()),
        "key": pa.array([row_key(row, keys) for row in rows], pa.string()),
        "at": pa.array(np.repeat([one.at for one in scored], counts), pa.int64()),
        "moment": pa.array(np.concatenate([one.moments for one in scored]), pa.int64()),
        "score": pa.array(np.concatenate([one.scores for one in scored]), pa.float64()),
        "latency_us": pa.array(np.repeat([one.latency_us for one in scored], counts), pa.int64()),
    }
    for name in ("service", "version", "role"):
        columns[name] = pa.array([getattr(one, name) for one in scored for _ in one.rows], pa.string())
    for name in schema.names:
        if name.startswith(FIELD):
            columns[name] = pa.array([_text(row.get(name.removeprefix(FIELD))) for row in rows], pa.string())
    first = len(schema.names) - features.shape[1]
    for index, name in enumerate(schema.names[first:]):
        columns[name] = pa.array(np.ascontiguousarray(features[:, index]), pa.float32())
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def outcome_batch(outcomes: Sequence[Outcome], *, received: Millis) -> pa.RecordBatch:
    """Lay true labels out as one Arrow batch."""
    columns = {
        "id": [one.id for one in outcomes],
        "key": [one.key for one in outcomes],
        "label": [one.label for one in outcomes],
        "at": [one.at for one in outcomes],
        "received": [received] * len(outcomes),
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


def _text(value: object) -> str | None:
    return None if value is None else str(value)

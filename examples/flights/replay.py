"""A client that lives through the year again: it asks about each flight before it departs, and learns what became of it once it landed.

Nothing is sent before its moment. At each full hour the server gets the weather observed since the last, the flights that landed (their
outcomes, and the same rows for features over past flights), then the hour's questions. A request that fails is counted, never repeated.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl
from features import flights_view

from sampan.cli.progress import progress_for
from sampan.workspace.training.feature_tables import feature_table, find_datasets
from sampan.workspace.workspace import Workspace

HOUR_MS = 3_600_000


@dataclass(slots=True)
class Traffic:
    """What was sent and what came back."""

    n_requests: int = 0
    n_rows: int = 0
    n_outcomes: int = 0
    failures: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)  # answered rows by model version

    def add(self, other: Traffic) -> None:
        """Count another stretch of traffic in."""
        self.n_requests += other.n_requests
        self.n_rows += other.n_rows
        self.n_outcomes += other.n_outcomes
        self.failures += other.failures
        for version, n_rows in other.versions.items():
            self.versions[version] = self.versions.get(version, 0) + n_rows


class Timeline:
    """Rows by the hour in which they become known or are asked for."""

    def __init__(self, view: Any, tables: Mapping[str, pl.DataFrame], moments: pl.DataFrame) -> None:
        flights = tables["flights"].with_columns(moments["__moment"], moments["__known_at"], moments["__label"])
        requests = list(view.request_schema())
        self.asked = _by_hour(flights, pl.col("__moment") // HOUR_MS, requests)
        landed = flights.filter(pl.col("__label").is_not_null() & pl.col("__known_at").is_not_null())
        self.landed = _by_hour(landed, _next_hour("__known_at"), list(view.feed_columns()))
        labelled = landed.with_columns(pl.col("__label").cast(pl.Int64).alias("label"), pl.col("__known_at").alias("at"))
        self.outcomes = _by_hour(labelled, _next_hour("__known_at"), [*view.key, "label", "at"])
        weather = tables["weather"].with_columns(pl.col("time_hour").dt.epoch("ms").alias("__at"))
        self.weather = _by_hour(weather, _next_hour("__at"), [c for c in weather.columns if not c.startswith("__")])

    def n_asked(self, since: int, until: int) -> int:
        """Count the flights asked about in [since, until)."""
        return sum(len(rows) for hour, rows in self.asked.items() if since <= hour < until)


def _next_hour(moment: str) -> pl.Expr:
    """Number the full hour at which something is known: the first one not before its moment."""
    return -(-pl.col(moment) // HOUR_MS)


def _by_hour(frame: pl.DataFrame, hour: pl.Expr, columns: list[str]) -> dict[int, list[dict[str, Any]]]:
    """Group rows by the start of their hour, ready to be written as JSON."""
    times = [name for name, kind in frame.schema.items() if kind.is_temporal() and name in columns]
    plain = frame.with_columns((hour * HOUR_MS).alias("__hour")).with_columns(pl.col(name).dt.epoch("ms") for name in times)
    grouped = plain.select("__hour", *columns).partition_by("__hour", as_dict=True, include_key=False)
    return {int(key[0]): part.to_dicts() for key, part in grouped.items() if key[0] is not None}


class Client:
    """One kept-alive connection that posts JSON."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """Post and return status and decoded answer."""
        self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = self.connection.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if data else None

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


def hours(since: int, until: int) -> Iterator[int]:
    """Iterate over the starts of the hours in [since, until)."""
    yield from range(since // HOUR_MS * HOUR_MS, until, HOUR_MS)


def replay(port: int, timeline: Timeline, since: int, until: int, *, passed: Callable[[int], None]) -> Traffic:
    """Live through [since, until). `passed` is told the rows asked in each hour."""
    traffic = Traffic()
    client = Client(port)
    try:
        for hour in hours(since, until):
            for table, rows in (("weather", timeline.weather.get(hour)), ("flights", timeline.landed.get(hour))):
                if rows:
                    _send(client, f"/feed/{table}", {"rows": rows, "at": hour}, traffic)
            if outcomes := timeline.outcomes.get(hour):
                _send(client, "/outcomes", outcomes, traffic)
                traffic.n_outcomes += len(outcomes)
            if asked := timeline.asked.get(hour):
                answer = _send(client, "/predict", {"rows": asked}, traffic)
                _count(answer, len(asked), traffic)
                passed(len(asked))
    finally:
        client.close()
    return traffic


class Onward:
    """Traffic that goes on at an even pace while something else happens, a day of it at least: `with Onward(…) as onward: promote()`."""

    def __init__(self, port: int, timeline: Timeline, since: int, *, at_most: int = 72, at_least: int = 24, pace_s: float = 0.1) -> None:
        self.until = since  # everything before this hour has been asked
        self.traffic = Traffic()
        self._port, self._timeline, self._pace_s = port, timeline, pace_s
        self._first, self._last = since + at_least * HOUR_MS, since + at_most * HOUR_MS
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="onward")

    def __enter__(self) -> Onward:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _ask(self) -> None:
        while self.until < self._last and not (self._enough.wait(self._pace_s) and self.until >= self._first):
            hour = replay(self._port, self._timeline, self.until, self.until + HOUR_MS, passed=lambda _: None)
            self.traffic.add(hour)
            self.until += HOUR_MS


def _send(client: Client, path: str, body: object, traffic: Traffic) -> Any:
    traffic.n_requests += 1
    try:
        status, answer = client.post(path, body)
    except (OSError, http.client.HTTPException) as fault:
        traffic.failures.append(f"{path}: {fault!r}")
        return None
    if status >= 300:
        traffic.failures.append(f"{path}: {status} {answer}")
        return None
    return answer


def _count(answer: Any, n_asked: int, traffic: Traffic) -> None:
    predictions = answer["predictions"] if answer else []
    if answer and len(predictions) != n_asked:
        traffic.failures.append(f"/predict: {len(predictions)} answers to {n_asked} rows")
    traffic.n_rows += len(predictions)
    for one in predictions:
        traffic.versions[one["version"]] = traffic.versions.get(one["version"], 0) + 1


def open_timeline(ws: Workspace) -> Timeline:
    """Build the timeline from the datasets of a workspace and the moments that the feature table holds."""
    datasets = find_datasets(ws, flights_view)
    table, _ = feature_table(ws, flights_view, datasets)
    moments = ws.store.tables.scan(table).select("__moment", "__known_at", "__label").collect()
    return Timeline(flights_view, {name: ws.store.tables.read(datasets[name].digest) for name in ("flights", "weather")}, moments)


def milliseconds(day: str) -> int:
    """Return the start of a UTC day in milliseconds."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def main() -> int:
    """Replay `python replay.py SINCE UNTIL` against the service that runs for the project in this folder."""
    since, until = (milliseconds(day) for day in sys.argv[1:3])
    with Workspace.open(progress=progress_for()) as ws:
        live = ws.service.running("flights-late")
        if live is None:
            raise SystemExit("no server answers for flights-late; run: sampan service deploy flights-late@champion flights-late")
        timeline = open_timeline(ws)
        with ws.progress.stage("asking", total=timeline.n_asked(since, until), unit="flights") as stage:
            traffic = replay(live.port, timeline, since, until, passed=stage.advance)
    print(f"{traffic.n_rows:,} answers, {traffic.n_outcomes:,} outcomes, {len(traffic.failures)} failures", *traffic.failures[:3], sep="\n")
    return 1 if traffic.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())

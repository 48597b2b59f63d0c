"""The prediction log as files: full disks, kill -9, bounds, thousands of packages; and what is counted of callers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from linear_service import variant
from running_server import LIVE, Running

from sampan.errors import NotFound
from sampan.serving.keeping import Keeping
from sampan.serving.outcomes import Outcome
from sampan.serving.records import Scored, outcomes_stream, predictions_stream
from sampan.serving.routing import Variant
from sampan.serving.volumes import volumes_stream
from sampan.store.segments import Segments
from sampan.web.inference import log as inference_log
from sampan.web.inference.log import ArrivalLog, PredictionLog

Serve = Callable[[dict[str, Any]], Running]


def row(number: int) -> dict[str, Any]:
    return {"order": number, "x1": number / 7, "x2": 0.5, "shop": "north"}


def scored(model: Variant, first: int, n: int = 1, *, size_bytes: int = 0, caller: str = "ana") -> Scored:
    rows = [row(first + k) for k in range(n)]
    return Scored(
        service="linear",
        version=model.version,
        role="live",
        at=1_000 + first,
        latency_us=100,
        ids=[f"r{first + k}" for k in range(n)],
        rows=rows,
        moments=np.arange(n),
        features=model.predictor.features(rows),
        scores=np.full(n, 0.5),
        caller=caller,
        size_bytes=size_bytes,
    )


def live(number: int = 1) -> Variant:
    return variant("live", version=f"linear@v{number}", weights=LIVE["weights"])


def logged(folder: Path, number: int = 1) -> pa.Table:
    return Segments(folder).read(predictions_stream("linear", str(number).ljust(32, "0")))[0]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "did not come true in 30 s"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_file_that_may_not_grow_costs_rows_that_are_counted_and_no_answer(serve: Serve) -> None:
    running = serve({"live": LIVE, "file_bytes": 400_000})  # as a quota does: what is written beyond fails half way
    assert running.ask("POST", "/predict", row(9000))[0] == 200
    running.wait_for(lambda: running.metric("sampan_log_written_rows_total") == 1)  # before the others, however few batches those come in
    statuses = {running.ask("POST", "/predict", {"rows": [row(300 * k + i) for i in range(300)]})[0] for k in range(30)}
    running.wait_for(lambda: running.metric("sampan_log_queue_rows") == 0)
    written, dropped = (int(running.metric(f"sampan_log_{what}_rows_total")) for what in ("written", "dropped"))
    running.stop()

    table = logged(running.folder)
    assert statuses == {200}
    assert written + dropped == 9001
    assert dropped > 0
    assert table.num_rows == written > 0
    assert len(set(table["key"].to_pylist())) == written, "no row twice, none half"


@pytest.mark.slow
def test_what_was_written_survives_kill_9(serve: Serve) -> None:
    running = serve({"live": LIVE})
    for number in range(40):
        assert running.ask("POST", "/predict", row(number))[0] == 200
    running.wait_for(lambda: running.metric("sampan_log_written_rows_total") == 40)
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait(30)

    assert logged(running.folder)["key"].to_pylist() == [str(number) for number in range(40)]


def test_a_queue_full_of_rows_or_of_bytes_drops_what_comes_and_counts_it(tmp_path: Path) -> None:
    model = live()
    log = PredictionLog(Segments(tmp_path), flush_s=60, capacity_rows=100, capacity_bytes=1_000_000)
    log.offer(model, scored(model, 0))
    wait_for(lambda: log.written_rows == 1)  # from now on the writer gathers for a minute
    log.offer(model, scored(model, 1, size_bytes=240_000))
    log.offer(model, scored(model, 2, size_bytes=10_000))
    by_bytes = log.dropped_rows
    log.offer(model, scored(model, 3, n=200))
    by_rows = log.dropped_rows - by_bytes
    log.close()

    assert (by_bytes, by_rows) == (1, 200)
    assert logged(tmp_path)["id"].to_pylist() == ["r0", "r1"]
    counted = Segments(tmp_path).read(volumes_stream("linear"))[0].to_pylist()
    assert [(one["caller"], one["requests"], one["rows"]) for one in counted] == [("ana", 4, 203)], "what was dropped was asked, too"


def test_what_waits_is_written_in_several_batches_where_it_is_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_log, "BATCH_ROWS", 5)
    model = live()
    log = PredictionLog(Segments(tmp_path), flush_s=60)
    for first in (0, 2, 4, 6, 16):
        log.offer(model, scored(model, first, n=10 if first == 6 else 2))
    log.close()

    table = logged(tmp_path)
    assert table["id"].to_pylist() == [f"r{number}" for number in range(18)]
    assert max(len(chunk) for chunk in table["id"].chunks) == 10, "rows of a request stay together"
    assert log.written_rows == 18


def test_one_request_larger_than_the_bound_is_logged_where_nothing_waits(tmp_path: Path) -> None:
    model = live()
    log = PredictionLog(Segments(tmp_path), capacity_bytes=1_000)
    log.offer(model, scored(model, 0, size_bytes=1_000_000))
    log.close()

    assert logged(tmp_path).num_rows == 1


def test_rules_that_cannot_be_read_keep_nothing_and_count_it(tmp_path: Path) -> None:
    def rules(service: str, package: str) -> Keeping:
        raise NotFound(f"no key for {service}")

    model = live()
    log = PredictionLog(Segments(tmp_path), rules=rules)
    log.offer(model, scored(model, 0))
    log.close()

    assert (log.written_rows, log.dropped_rows) == (0, 1)
    assert logged(tmp_path).num_rows == 0


def test_labels_by_key_are_named_as_the_log_names_keys(tmp_path: Path) -> None:
    arrivals = ArrivalLog(Segments(tmp_path), "linear", rules=lambda service, package: Keeping(name_key=lambda key: f"p_{key}"))
    arrivals.outcomes([Outcome(label=1, at=5, key="7"), Outcome(label=0, at=5, id="r1")], received=6, package="1")
    arrivals.close()

    table = Segments(tmp_path).read(outcomes_stream("linear"))[0]
    assert (table["key"].to_pylist(), table["id"].to_pylist()) == (["p_7", ""], ["", "r1"])


def test_many_packages_share_few_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_log, "MOST_OPEN", 4)
    segments = Segments(tmp_path)
    log = PredictionLog(segments)
    models = [live(number) for number in range(1, 10)]
    for model in models:
        log.offer(model, scored(model, 0))
    wait_for(lambda: log.written_rows == 9)
    n_open = len(list(tmp_path.rglob("*.open")))
    log.close()

    assert n_open <= 4
    assert {logged(tmp_path, number).num_rows for number in range(1, 10)} == {1}


def test_a_row_of_a_shape_nobody_thought_of_ends_no_log(tmp_path: Path) -> None:
    model = live()
    broken = scored(model, 0)
    broken = Scored(**{**{name: getattr(broken, name) for name in broken.__struct_fields__}, "features": "nonsense"})
    log = PredictionLog(Segments(tmp_path))
    log.offer(model, broken)
    wait_for(lambda: log.dropped_rows == 1)
    log.offer(model, scored(model, 1))
    log.close()

    assert logged(tmp_path)["id"].to_pylist() == ["r1"]

"""Requests of many rows that come within one turn of the event loop: scored together, and each answered as it would be alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linear_service import FIELDS, LinearPredictor
from turns import Asking, Counting, in_loop, right, row, variant_of

from sampan.serving.answers import encode_numbers, many
from sampan.serving.outcomes import Expected
from sampan.serving.records import NumberedIds, Scored, predictions_stream
from sampan.serving.requests import Predictions, encode_predictions
from sampan.serving.routing import Variant
from sampan.serving.volumes import volumes_stream
from sampan.store.segments import Segments
from sampan.web.inference.company import TRIALS
from sampan.web.inference.lanes import PROVEN_CALLS
from sampan.web.inference.many_rows import MOST_ROWS
from sampan.web.inference.reply import Reply

INFER = "/v2/models/linear/infer"


def batch(first: int, n: int = 3, **changed: Any) -> dict[str, Any]:
    return {"rows": [row(first + k, **changed) for k in range(n)]}


def tensors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = {"text": "BYTES", "number": "FP64"}
    return {
        "inputs": [
            {"name": name, "shape": [len(rows)], "datatype": kinds[kind], "data": [each[name] for each in rows]}
            for name, kind in FIELDS.items()
        ]
    }


def scored(variant: Variant, ids: Sequence[str], scores: np.ndarray[Any, Any]) -> Scored:
    return Scored(
        service="linear",
        version=variant.version,
        role="live",
        at=1,
        latency_us=1,
        ids=ids,
        rows=[row(k) for k in range(len(ids))],
        moments=None,
        features=np.zeros((len(ids), 3), np.float32),
        scores=scores,
    )


async def prove(asking: Asking) -> None:
    """Let the model show that company changes nothing; that it is cheaper is taken for granted: a busy machine may not show it."""
    for number in range(TRIALS):
        await asking.turn([batch(10 * number), batch(10 * number + 5)])
    many_rows = asking.app.scorer._many
    assert many_rows is not None
    if many_rows.company.alike:
        assert many_rows.company.is_known
        many_rows.company.most_rows = MOST_ROWS


def test_requests_of_one_turn_are_one_call_and_each_gets_its_own_answers(tmp_path: Path) -> None:
    model, found = Counting("linear@v1"), []
    asked = [batch(100), batch(200, 5), batch(300)]

    async def work(asking: Asking) -> None:
        await prove(asking)
        model.sizes.clear()
        found.extend(await asking.turn(asked))

    in_loop(work, tmp_path, model)

    assert model.sizes == [11]
    assert [status for status, _ in found] == [200] * 3
    for (_, told), body in zip(found, asked, strict=True):
        assert [one["score"] for one in told["predictions"]] == [pytest.approx(right(each), abs=1e-6) for each in body["rows"]]
    assert len({one["id"] for _, told in found for one in told["predictions"]}) == 11


def test_the_log_and_the_volumes_count_requests_in_company_as_alone(tmp_path: Path) -> None:
    model, found = Counting("linear@v1"), []

    async def work(asking: Asking) -> None:
        await prove(asking)
        found.extend(await asking.turn([batch(100), batch(200, 5)]))

    in_loop(work, tmp_path, model)

    logged, _ = Segments(tmp_path).read(predictions_stream("linear", variant_of(model).package))
    last = logged.to_pylist()[-8:]
    assert [one["id"] for one in last] == [each["id"] for _, told in found for each in told["predictions"]]
    assert [one["key"] for one in last] == [str(order) for order in (100, 101, 102, 200, 201, 202, 203, 204)]
    assert [one["field.shop"] for one in last] == ["north"] * 8
    assert [one["field.x1"] for one in last] == [row(int(one["key"]))["x1"] for one in last]
    assert len({one["latency_us"] for one in last[:3]}) == 1
    volumes = Segments(tmp_path).read(volumes_stream("linear"))[0].to_pylist()
    n_rows = PROVEN_CALLS + TRIALS * 6 + 8  # of the trials, which score rows twice, nothing is counted twice
    assert (sum(one["requests"] for one in volumes), sum(one["rows"] for one in volumes)) == (PROVEN_CALLS + TRIALS * 2 + 2, n_rows)
    assert len(logged) == n_rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # of all tests here; it has no state
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    st.text(min_size=1),
    st.none() | st.floats(0, 1),
    st.sampled_from([Expected(), Expected("regression")]),
    st.sampled_from(["linear@v1", 'a "name" \0 %d']),
)
def test_numbers_of_many_rows_are_written_as_they_are_one_by_one(
    scores: list[float], head: str, threshold: float | None, labels: Expected, version: str
) -> None:
    variant = Variant("live", "p", version, LinearPredictor("linear@v1", (1.0, 1.0, 1.0), 0.0), threshold=threshold, labels=labels)
    ids, found = NumberedIds(head, len(scores)), np.array(scores)

    written = encode_numbers('li"near', variant, scored(variant, ids, found))

    assert written == encode_predictions(Predictions(model='li"near', predictions=many(variant, ids, found)), single=False)


def test_a_request_with_a_bad_row_fails_alone(tmp_path: Path) -> None:
    model, found = Counting("linear@v1"), []

    async def work(asking: Asking) -> None:
        await prove(asking)
        found.extend(await asking.turn([batch(1), batch(2, x1=13), {"rows": [{"order": 3}]}, batch(4)]))

    asking = in_loop(work, tmp_path, model)

    assert [status for status, _ in found] == [200, 500, 400, 200]
    assert "ZeroDivisionError: thirteen" in found[1][1]["error"]
    assert 'sampan_requests_total{route="/predict",status="500"} 1' in asking.app.metrics_text()
    assert "sampan_failed_rows_total" in asking.app.metrics_text()


def test_tensors_and_plain_rows_go_together(tmp_path: Path) -> None:
    model, found = Counting("linear@v1"), []

    async def work(asking: Asking) -> None:
        await prove(asking)
        model.sizes.clear()
        rows = batch(100)["rows"]
        coming = [asking.ask(tensors(rows), path=INFER), asking.ask({"rows": rows}), asking.ask(tensors(rows[:1]), path=INFER)]
        found.extend([json.loads((one if isinstance(one, Reply) else await one).body) for one in coming])

    in_loop(work, tmp_path, model)

    scores = [pytest.approx(right(each), abs=1e-6) for each in batch(100)["rows"]]
    assert model.sizes == [7]
    assert found[0]["outputs"][0]["data"] == scores
    assert [one["score"] for one in found[1]["predictions"]] == scores
    assert found[2]["outputs"][0]["data"] == scores[:1]


@pytest.mark.parametrize("is_off", [lambda n_rows: n_rows > 3, lambda n_rows: n_rows == 1], ids=["many rows", "a single row"])
def test_a_model_whose_last_bits_differ_with_the_number_of_rows_answers_each_request_by_itself(
    tmp_path: Path, is_off: Callable[[int], bool]
) -> None:
    class Off(Counting):
        def score(self, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return super().score(features) + 1e-12 * is_off(len(features))

    model = Off("linear@v1")

    async def work(asking: Asking) -> None:
        await prove(asking)
        model.sizes.clear()
        await asking.turn([batch(100), batch(200)])

    in_loop(work, tmp_path, model)

    assert model.sizes == [3, 3]


def test_more_rows_than_go_together_are_several_calls(tmp_path: Path) -> None:
    model = Counting("linear@v1")

    async def work(asking: Asking) -> None:
        await prove(asking)
        model.sizes.clear()
        await asking.turn([batch(300 * k, 200) for k in range(6)])

    in_loop(work, tmp_path, model)

    assert model.sizes == [1000, 200]
    assert max(model.sizes) <= MOST_ROWS


def test_a_version_that_is_not_live_and_a_shadow_are_asked_as_before(tmp_path: Path) -> None:
    model, shadow, found = Counting("linear@v1"), Counting("linear@v2"), []

    async def work(asking: Asking) -> None:
        await prove(asking)
        await asking.swap(model, shadow=shadow)
        rows = batch(100)["rows"]
        paths = [f"/v2/models/linear/versions/{version}/infer" for version in ("1", "7")]
        coming = [asking.ask(tensors(rows), path=path) for path in paths] + [asking.ask({"rows": rows})]
        found.extend([(one if isinstance(one, Reply) else await one).status for one in coming])

    in_loop(work, tmp_path, model)

    heard, _ = Segments(tmp_path).read(predictions_stream("linear", variant_of(shadow).package))
    assert found == [200, 404, 200]
    assert sorted(heard["key"].to_pylist()) == sorted(["100", "101", "102"] * 2)


def test_requests_of_a_turn_in_which_the_model_is_swapped_are_answered_by_who_was_asked(tmp_path: Path) -> None:
    found: list[Any] = []

    async def work(asking: Asking) -> None:
        await prove(asking)
        coming = [asking.ask(batch(100)), asking.ask(batch(200))]
        await asking.swap(LinearPredictor("linear@v2", (-2.0, 0.5, 0.0), 0.3))
        found.extend([json.loads((one if isinstance(one, Reply) else await one).body) for one in coming])

    in_loop(work, tmp_path, Counting("linear@v1"))

    assert {one["version"] for told in found for one in told["predictions"]} == {"linear@v1"}

"""The pure parts of serving: exposition, keys, routing, outcomes, log rows."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import ParameterError
from sampan.serving.exposition import Counters, latency_quantile, parse, total
from sampan.serving.inference_protocol import LAYOUTS, decode_infer, from_bytes, to_bytes
from sampan.serving.outcomes import decode_feed, decode_outcomes, row_key
from sampan.serving.requests import decode_predict
from sampan.serving.routing import position

TEXTS = st.text(st.characters(codec="utf-8"))


@given(st.dictionaries(TEXTS, st.integers(0, 2**40), max_size=5))
def test_what_is_exposed_is_read_back_whatever_the_labels_hold(counts: dict[str, int]) -> None:
    counters = Counters()
    for version, n in counts.items():
        counters.add("sampan_predictions_total", n, version=version, role="live")

    samples = parse(counters.text({("sampan_log_queue_rows", ()): 3}))

    assert {v: total(samples, "sampan_predictions_total", version=v) for v in counts} == counts
    assert total(samples, "sampan_log_queue_rows") == 3


def test_latency_quantiles_lie_in_their_bucket() -> None:
    counters = Counters()
    for seconds in [0.0015] * 90 + [0.03] * 10:
        counters.observe(seconds)

    samples = parse(counters.text({}))

    assert latency_quantile(parse(Counters().text({})), 0.5) is None
    median, p95 = latency_quantile(samples, 0.5), latency_quantile(samples, 0.95)
    assert median is not None
    assert p95 is not None
    assert 0.001 < median < 0.002
    assert 0.02 < p95 < 0.05
    assert samples[("sampan_request_seconds_sum", ())] == pytest.approx(90 * 0.0015 + 10 * 0.03)


def test_a_key_is_the_same_however_its_numbers_are_written() -> None:
    keys = ("year", "carrier")

    assert row_key({"year": 2013, "carrier": "UA"}, keys) == row_key({"year": 2013.0, "carrier": "UA"}, keys) == "2013|UA"
    assert row_key({"year": "2013", "carrier": "UA", "more": 1}, keys) == "2013|UA"
    assert row_key({"year": 2013}, keys) == ""
    assert row_key({"year": 2013}, ()) == ""


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=2, unique=True))
def test_different_key_fields_never_give_the_same_key(pairs: list[tuple[str, str]]) -> None:
    first, second = ({"a": a, "b": b} for a, b in pairs)

    assert row_key(first, ("a", "b")) != row_key(second, ("a", "b"))


def test_keys_are_spread_evenly_and_otherwise_for_each_service() -> None:
    places = np.array([position(str(i), salt="flights") for i in range(20_000)])
    others = np.array([position(str(i), salt="hotels") for i in range(20_000)])

    assert np.histogram(places, bins=10, range=(0, 1))[0].min() > 1800
    assert abs(np.corrcoef(places, others)[0, 1]) < 0.03


@given(st.binary(max_size=200))
def test_no_bytes_break_a_decoder(body: bytes) -> None:
    for decode in (
        lambda: decode_predict(body, max_rows=10),
        lambda: decode_infer(body, max_rows=10),
        lambda: decode_outcomes(body, keys=("k",), now=0, max_rows=10),
        lambda: decode_feed(body, now=0, max_rows=10),
    ):
        with suppress(ParameterError):
            decode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rows", "ids", "inputs", "id", "name", "shape"]), inner),
    max_leaves=12,
)


@given(JSON)
def test_no_json_breaks_a_decoder(value: Any) -> None:
    body = json.dumps(value).encode()

    for decode in (decode_predict, decode_infer):
        with suppress(ParameterError):
            decode(body, max_rows=10)


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(ParameterError, match="3 rows in one request, at most 2"):
        decode_predict(b'{"rows": [{}, {}, {}]}', max_rows=2)


def test_a_feed_has_a_moment() -> None:
    assert decode_feed(b'[{"a": 1}]', now=7, max_rows=5).at == 7
    assert decode_feed(b'{"rows": [{"a": 1}], "at": 3}', now=7, max_rows=5).at == 3
    with pytest.raises(ParameterError, match="at is the string 'x', expected whole milliseconds"):
        decode_feed(b'{"rows": [{"a": 1}], "at": "x"}', now=7, max_rows=5)


@given(st.lists(TEXTS, max_size=20) | st.lists(st.sampled_from(["UA", "DL", "é", "\0\0"]), min_size=6, max_size=20))
def test_texts_survive_as_bytes_and_what_is_cut_off_is_told(texts: list[str]) -> None:
    data = to_bytes(texts)

    assert texts == list(from_bytes("shop", "BYTES", len(texts), memoryview(data)))
    if data:
        with pytest.raises(ParameterError, match=r"ends within|no UTF-8|values for"):
            from_bytes("shop", "BYTES", len(texts), memoryview(data[:-1]))


def one_by_one(n: int, data: bytes) -> list[str] | None:
    """Read texts as the protocol says it, size by size."""
    found = []
    while data and len(data) >= 4:
        size = int.from_bytes(data[:4], "little")
        if len(data) < 4 + size:
            return None
        found.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    return found if len(found) == n and not data else None


PIECES = st.sampled_from([b"\0\0\0", b"\0", b"\1\0\0\0", b"\2\0\0\0", b"\2\1\0\0", b"\0\0\0\0", b"ab", b"a", b"\2\0\0\0ab", b"a\0"])


@given(st.lists(PIECES, min_size=1, max_size=12).map(b"".join), st.integers(1, 6))
def test_short_texts_are_read_at_once_as_they_are_one_by_one(data: bytes, n: int) -> None:
    try:
        found = list(from_bytes("shop", "BYTES", n, memoryview(data)))
    except ParameterError:
        found = None

    assert one_by_one(n, data) == found


@pytest.mark.parametrize("datatype", [*LAYOUTS, "BF16"])
def test_numbers_of_every_datatype_are_read_from_bytes(datatype: str) -> None:
    values = np.array([1, 0, 1])
    data = (
        (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        if datatype == "BF16"
        else values.astype(LAYOUTS[datatype]).tobytes()
    )

    assert [1, 0, 1] == from_bytes("x", datatype, 3, memoryview(data)).tolist()
    with pytest.raises(ParameterError, match=f"bytes for 2 values of {datatype}"):
        from_bytes("x", datatype, 2, memoryview(data))


@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_bytes_break_the_binary_decoder(body: bytes, json_bytes: int) -> None:
    with suppress(ParameterError):
        decode_infer(body, max_rows=10, json_bytes=json_bytes)

from __future__ import annotations

import datetime as dt
import enum
import math
from collections import namedtuple
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.core.digests import canonical_json
from sampan.engine.canonical import decode, digest_plain, encode, is_plain
from sampan.errors import ParameterError

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.dictionaries(st.integers(), inner),
    max_leaves=10,
)


class Color(enum.Enum):
    RED = 1


class Search(msgspec.Struct):
    depth: int
    rates: tuple[float, ...]


@dataclass
class Window:
    start: dt.date


Pair = namedtuple("Pair", "a b")


@given(PLAIN)
def test_a_plain_value_survives_the_way_through_json(value: object) -> None:
    assert decode(msgspec.json.decode(canonical_json(encode(value)))) == value


@pytest.mark.parametrize(
    "value",
    [
        math.inf,
        -math.inf,
        2**70,
        {1, 2},
        frozenset({"a"}),
        1 + 2j,
        Path("a/b"),
        dt.time(3, 4),
        dt.datetime(2013, 1, 1, tzinfo=dt.UTC),
        Decimal("1.10"),
        UUID(int=7),
        {"$": "float", "v": "nan"},
        {"a": {("x", 1): [None]}},
        [bytearray(b"ab")],
    ],
)
def test_what_json_has_no_word_for_survives_too(value: object) -> None:
    assert decode(msgspec.json.decode(canonical_json(encode(value)))) == value


# Classes are found by module and name, which a test file imported by path does not have.
@pytest.mark.parametrize("value", [Color.RED, Search(3, (0.1, 0.2)), Window(dt.date(2013, 9, 1)), Pair(1, 2)])
def test_data_classes_come_back_as_themselves(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, type(value).__module__, sys.modules[__name__])

    assert decode(encode(value)) == value


def test_nan_comes_back_as_nan() -> None:
    assert math.isnan(decode(encode(math.nan)))


def test_values_that_json_would_confuse_have_different_digests() -> None:
    values = [
        math.nan,
        math.inf,
        -math.inf,
        None,
        "nan",
        1,
        1.0,
        True,
        "1",
        (1,),
        [1],
        {1: 1},
        {"1": 1},
        {1},
        0.0,
        -0.0,
        b"1",
        dt.date(2013, 1, 1),
        "2013-01-01",
    ]

    assert len({digest_plain(value) for value in values}) == len(values)


def test_equal_values_have_equal_digests_whatever_the_order() -> None:
    assert digest_plain({"a": 1, "b": {3, 1, 2}}) == digest_plain({"b": {2, 3, 1}, "a": 1})
    assert digest_plain({1: "x", 2: "y"}) == digest_plain({2: "y", 1: "x"})
    assert digest_plain(np.float64(0.5)) == digest_plain(0.5)


def test_what_is_not_plain_is_refused_with_its_place() -> None:
    with pytest.raises(ParameterError, match=r"a object at search\.models\[1\] is not a plain value"):
        encode({"search": {"models": [1, object()]}})

    assert not is_plain([lambda: 1])


def test_stored_text_cannot_call_what_is_no_data_class() -> None:
    with pytest.raises(ParameterError, match="os:system is no enum, Struct, dataclass or named tuple"):
        decode({"$": "struct", "v": ["os:system", {"command": "true"}]})

"""Local time, against the standard library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import ParameterError
from sampan.features.moments import DAY, HOUR, duration, local, parse_moment
from sampan.features.operations import OPERATIONS

ZONES = ["UTC", "America/New_York", "Asia/Ho_Chi_Minh", "Australia/Lord_Howe", "Asia/Kathmandu", "Europe/London", "America/St_Johns"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _part(op: str, moment: float, zone: str) -> float:
    return float(OPERATIONS[op].kernel(np.array([moment]), zone)[0])


@given(
    seconds=st.integers(int(datetime(1900, 1, 3, tzinfo=UTC).timestamp()), int(datetime(2199, 12, 29, tzinfo=UTC).timestamp())),
    zone=st.sampled_from(ZONES),
)
def test_time_parts_are_those_of_the_standard_library(seconds: int, zone: str) -> None:
    there = (EPOCH + timedelta(seconds=seconds)).astimezone(ZoneInfo(zone))

    moment = seconds * 1000.0

    assert there.hour == _part("hour", moment, zone)
    assert there.hour * 60 + there.minute == _part("minute_of_day", moment, zone)
    assert there.weekday() == _part("weekday", moment, zone)
    assert there.month == _part("month", moment, zone)
    assert there.timetuple().tm_yday == _part("day_of_year", moment, zone)
    assert (there.date() - EPOCH.date()).days == _part("local_day", moment, zone)


def test_the_hour_that_is_skipped_and_the_hour_that_comes_twice() -> None:
    spring = np.array([parse_moment("2013-03-10T06:59:59Z"), parse_moment("2013-03-10T07:00:00Z")])
    autumn = np.array([parse_moment("2013-11-03T05:30:00Z"), parse_moment("2013-11-03T06:30:00Z"), parse_moment("2013-11-03T07:30:00Z")])

    assert OPERATIONS["hour"].kernel(spring, "America/New_York").tolist() == [1, 3]
    assert OPERATIONS["hour"].kernel(autumn, "America/New_York").tolist() == [1, 1, 2]


def test_moments_far_away_or_missing_have_no_local_time() -> None:
    found = local(np.array([np.nan, -1e15, 1e15, 0.0]), "America/New_York")

    assert np.isnan(found).tolist() == [True, True, True, False]
    assert found[3] == -5 * HOUR


def test_one_row_and_many_rows_have_the_same_local_time() -> None:
    moments = np.arange(0, 60 * 365 * DAY, 11 * HOUR)

    together = local(moments, "America/New_York")

    assert together[::97].tolist() == [local(moments[i : i + 1], "America/New_York")[0] for i in range(0, len(moments), 97)]


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 9e4), ("1.5h", 5.4e6), ("14d", 14 * DAY), ("2w", 14 * DAY), ("30min", 1.8e6), (5, 5.0)]
)
def test_spans_of_time_are_read(text: str | float, expected: float) -> None:
    assert expected == duration(text)


@pytest.mark.parametrize("text", ["", "d", "3", "3 years", "-3h", "1e400d"])
def test_a_span_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="span of time"):
        duration(text)


def test_a_moment_without_an_offset_is_utc() -> None:
    assert parse_moment("2013-09-01T05:00:00Z") == parse_moment("2013-09-01T05:00:00") == parse_moment("2013-09-01T01:00:00-04:00")

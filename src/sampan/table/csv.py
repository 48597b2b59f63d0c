"""Delimited text to a table, block by block: the quick parser where nothing can go wrong, an exact one where something may have.

A first look (`csv_dialect`) says what each column is. Blocks are parsed by Arrow with those types; a block it cannot read, or could read
wrongly (007 as 7), is parsed as text and converted column by column, which finds every bad cell with its line. A later value may show that
a column is of a wider type than it looked: then the pass begins again with that type, and what it wrote until then is dropped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl

from sampan.errors import DataFormatError
from sampan.table.bad_cells import HOPELESS, MANY, BadCell, LeftOut
from sampan.table.blocks import Block, Records, ahead
from sampan.table.csv_columns import arrow_type, converted, named
from sampan.table.csv_dialect import CsvForm, Dialect, Sample, parse_text, sniff, sniff_delimiter
from sampan.table.encodings import check_utf8
from sampan.table.glance import Glance, Glancer
from sampan.table.lossy import lossy_columns
from sampan.table.pieces import Frames, as_frame
from sampan.table.stray_quotes import scan_leniently
from sampan.table.structure import Positions, Structure, records_at, refuse_ragged
from sampan.table.types import ColumnForm, clear_nulls, convert, find_form, reason_for, tolerated, widen

if TYPE_CHECKING:
    import pyarrow as pa

    from sampan.table.pieces import Piece

__all__ = ["CsvForm", "CsvRead", "Parsed", "read_csv", "read_csv_blocks", "sniff_delimiter"]

Taken = TypeVar("Taken")
Take = Callable[[pl.Schema, Iterator[pl.DataFrame]], Taken]
_ARROW_COLUMN = re.compile(r"In CSV column #(\d+)")
_ARROW_BLOCK = 2 << 20
_BLANK = b" \x1a"  # of a line that is blank to a person; tabs may be an empty record, and DOS ends a file with the other


@dataclass(frozen=True, slots=True)
class CsvRead:
    """What a reader should know of how a file was read."""

    n_rows: int
    left_out: LeftOut
    notes: tuple[str, ...]
    delimiter: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A table and what its reader should know of how it was read."""

    frame: pl.DataFrame
    notes: tuple[str, ...]
    delimiter: str = ""
    left_out: LeftOut = field(default_factory=lambda: LeftOut([]))


class _ReadAgain(Exception):
    """A later value showed other forms of some columns, by their place."""

    def __init__(self, forms: dict[int, ColumnForm]) -> None:
        super().__init__(str(forms))
        self.forms = forms


class NotUtf8(Exception):
    """A block is not UTF-8."""

    def __init__(self, block: bytes, error: DataFormatError) -> None:
        super().__init__(error.message)
        self.block, self.error = block, error


def read_csv(text: bytes, *, source: str, form: CsvForm | None = None) -> Parsed:
    """Parse UTF-8 text with a header line.

    A header without rows gives a table of 0 rows with text columns. Blank lines are left out and counted in the notes.

    Raises
    ------
    DataFormatError : empty, a name twice in the header, wrong delimiter, broken quotes, lines of other lengths than the header, most
        values not of a declared type.
    """
    if b"\n" not in text and b"\r" in text:
        text = text.replace(b"\r", b"\n")
    try:
        frame, read = read_csv_blocks(lambda: iter([text]), Sample(text), source=source, form=form or CsvForm(), take=gather)
    except NotUtf8 as fault:
        raise fault.error from fault
    return Parsed(frame=frame, notes=read.notes, delimiter=read.delimiter, left_out=read.left_out)


def read_csv_blocks(
    open_blocks: Callable[[], Iterator[bytes]], sample: Sample, *, source: str, form: CsvForm, take: Take[Taken]
) -> tuple[Taken, CsvRead]:
    """Parse a file in blocks of UTF-8.

    Parameters
    ----------
    open_blocks : opens the file from its beginning; called again where a pass has to begin again
    take : is given the columns and the rows, in pieces; when it raises what it was given, it leaves nothing behind

    Raises
    ------
    NotUtf8 : a block is not UTF-8.
    """
    dialect = sniff(sample, form, source=source)
    forms = list(dialect.forms)
    while True:
        one_pass = _Pass(dialect, forms, form, source=source)
        schema = pl.Schema({name: f.dtype for name, f in zip(dialect.names, forms, strict=True)})
        try:
            taken = take(schema, Frames(ahead(one_pass.pieces(open_blocks()))))
        except _ReadAgain as learned:
            for place, new in learned.forms.items():
                forms[place] = new
            continue
        return taken, CsvRead(one_pass.n_rows, one_pass.left_out, one_pass.notes(sample), dialect.delimiter)


def gather(schema: pl.Schema, frames: Iterator[pl.DataFrame]) -> pl.DataFrame:
    """Take a table into memory."""
    found = list(frames)
    return pl.concat(found) if found else pl.DataFrame(schema=schema)


@dataclass(slots=True)
class _Seen:
    """What a pass counted of one column."""

    n_values: int = 0
    n_bad: int = 0
    spelled: Counter[str] = field(default_factory=Counter)
    first_bad: tuple[int, str] = (0, "")


class _Pass:
    """One reading of a file with given forms."""

    def __init__(self, dialect: Dialect, forms: Sequence[ColumnForm], form: CsvForm, *, source: str) -> None:
        self.dialect, self.forms, self.form, self.source = dialect, list(forms), form, source
        self.left_out = LeftOut(list(dialect.names))
        self.n_rows = self.n_blank = self.n_ragged = 0
        self.line = 1
        self.first_ragged: DataFormatError | None = None
        self.seen = [_Seen() for _ in forms]
        self.as_text = {i for i, f in enumerate(forms) if f.kind == "text" or not f.is_plain}  # parsed as text, then converted
        self.has_words = False  # some spelling of "missing" was seen in a text
        self.glancer = Glancer(dialect.delimiter)

    def pieces(self, blocks: Iterator[bytes]) -> Iterator[Piece]:
        """Iterate over the rows in pieces. At the end, see whether the forms were right."""
        records = Records(blocks)
        for i, block in enumerate(records):
            text = block.text
            if i == 0:
                text = text[self.dialect.header_bytes :]
                self.line += self.dialect.header_lines
            if text:
                piece = self._read(Block(text, block.is_last), records)
                if len(piece):
                    yield piece
        self._judge()

    def notes(self, sample: Sample) -> tuple[str, ...]:
        """Say everything a reader should know of how the file was read."""
        said = list(self.dialect.notes)
        if b"\n" not in sample.head and b"\r" in sample.head:
            said.append("lines end with a carriage return alone")
        if self.n_blank:
            said.append(f"{self.n_blank:,} blank lines left out")
        for name, form, found, seen in zip(self.dialect.names, self.forms, self.dialect.inferred, self.seen, strict=True):
            said += _column_notes(
                name, form, found.note if form.kind == found.form.kind else "", self._odd_lines(found, name, sample), seen
            )
        if not self.n_rows and not self.left_out.n_rows:
            said.append("no rows: only a header")
        if self.left_out.n_rows:
            said.append(self.left_out.note())
        return tuple(said)

    # -- one block

    def _read(self, block: Block, records: Records) -> Piece:
        text, structure = block.text, None
        glance = self.glancer.look(text)
        if not glance.is_tidy or text[:1] in b"\r\n" or len(self.forms) == 1:  # a line may be none of the records
            text, structure = self._scan(text, None if block.is_last else records)
            glance = glance if text is block.text else self.glancer.look(text)
        if structure is None and self._may_settle():
            table = self._parse_quickly(text, glance, structure, empty_is_missing=True)
            settled = self._settle(table, glance) if table is not None else None
            if settled is not None:
                return settled
        if structure is None or self._is_regular(structure):
            table = self._parse_quickly(text, glance, structure, empty_is_missing=False)
            if table is not None:
                return self._finish(text, structure, as_frame(table).get_columns())
        return self._read_exactly(text, structure)

    def _scan(self, text: bytes, records: Records | None = None) -> tuple[bytes, Structure]:
        """Find a block's records; lines whose quotes are wrong are left out, or given back to what comes next."""
        try:
            check_utf8(text, source=self.source, first_line=self.line)
        except DataFormatError as error:
            raise NotUtf8(text, error) from error
        is_last = records is None
        found = scan_leniently(text, self.dialect.delimiter, source=self.source, first_line=self.line, is_last=is_last)
        if records is not None and found.rest:
            records.give_back(found.rest)
        if found.error is not None:
            self.n_blank -= len(found.wrong)
            self._leave_lines(found.error, [(line, raw, "a quote is not closed, or within a field") for line, raw in found.wrong])
        return found.text, found.structure

    def _is_regular(self, structure: Structure) -> bool:
        return structure.n_blank == 0 and len(self.forms) > 1 and bool((structure.n_fields == len(self.forms)).all())

    def _may_settle(self) -> bool:
        """Say whether columns may stay as Arrow read them: so far only empty cells were missing, and none was bad."""
        written = [self.forms[place] for place in self.as_text if self.forms[place].kind != "text"]
        is_settled = not self.has_words and "" in self.form.null_values
        return is_settled and all(not form.is_plain and not form.missing for form in written)

    def _parse_quickly(self, text: bytes, glance: Glance, structure: Structure | None, *, empty_is_missing: bool) -> pa.Table | None:
        """Parse with Arrow; None where it fails, or would lose something."""
        import pyarrow as pa

        try:
            newlines = structure is not None and len(structure.quoted_newlines) > 0
            table = self._arrow(text, newlines=newlines, empty_is_missing=empty_is_missing)
        except pa.ArrowInvalid as error:
            if found := _ARROW_COLUMN.search(str(error)):
                self.as_text.add(int(found[1]))
            return None
        numbers = [i for i, f in enumerate(self.forms) if i not in self.as_text and f.kind in ("integer", "number")]
        read_text = partial(self._arrow_text, text, structure)
        lossy = lossy_columns(text, self.dialect.delimiter, len(self.forms), glance.zeros, numbers, read_text)
        if lossy:
            self.as_text.update(lossy)
            return None
        return table

    def _settle(self, table: pa.Table, glance: Glance) -> pa.Table | None:
        """Return what Arrow read under the columns' names; None where it has to be looked at more closely.

        A text that is missing for another spelling than the empty one has to be counted, for it may be a value. There is one if texts are
        missing, and more cells than are empty.
        """
        missing = [column.null_count for column in table.columns]
        if any(missing[place] for place in self.as_text) and sum(missing) != glance.n_empty:
            self.has_words = True
            return None
        if any(self.forms[place].is_empty and missing[place] < len(table) for place in self.as_text):
            return None  # a column shows its first values
        columns = table.columns
        for place in self.as_text:
            if self.forms[place].kind != "text":
                columns[place] = converted(columns[place], self.forms[place])
        if any(column is None for column in columns):
            return None
        for n_missing, seen in zip(missing, self.seen, strict=True):
            seen.n_values += len(table) - n_missing
        self.line += len(table)
        self.n_rows += len(table)
        return named(columns, self.dialect.names)

    def _arrow(self, text: bytes, *, newlines: bool, empty_is_missing: bool) -> pa.Table:
        import pyarrow as pa

        types = {str(i): pa.large_string() if i in self.as_text else arrow_type(f) for i, f in enumerate(self.forms)}
        return self._arrow_read(text, types, newlines=newlines, empty_is_missing=empty_is_missing)

    def _arrow_text(self, text: bytes, structure: Structure | None, places: Sequence[int]) -> pl.DataFrame:
        """Read some columns as text, to see how their numbers are written."""
        import pyarrow as pa

        types = {str(i): pa.string() for i in places}
        newlines = structure is not None and len(structure.quoted_newlines) > 0
        table = self._arrow_read(text, types, newlines=newlines, only=list(types))
        found = pl.from_arrow(table)
        assert isinstance(found, pl.DataFrame)
        return found

    def _arrow_read(
        self, text: bytes, types: dict[str, Any], *, newlines: bool, only: list[str] | None = None, empty_is_missing: bool = False
    ) -> pa.Table:
        import pyarrow as pa
        from pyarrow import csv

        return csv.read_csv(
            pa.BufferReader(text),
            read_options=csv.ReadOptions(column_names=[str(i) for i in range(len(self.forms))], block_size=_ARROW_BLOCK, use_threads=False),
            parse_options=csv.ParseOptions(delimiter=self.dialect.delimiter, newlines_in_values=newlines),
            convert_options=csv.ConvertOptions(
                column_types=types,
                null_values=list(self.form.null_values),
                true_values=["true", "True", "TRUE"],
                false_values=["false", "False", "FALSE"],
                strings_can_be_null=empty_is_missing,
                include_columns=only,
            ),
        )

    def _read_exactly(self, text: bytes, structure: Structure | None) -> pl.DataFrame:
        """Parse as text; leave out lines of another length, and rows with cells that are not of their column's type."""
        if structure is None:
            text, structure = self._scan(text)
        self.n_blank += structure.n_blank
        ragged = structure.n_fields != len(self.forms)
        kept = np.flatnonzero(~ragged)
        if len(kept) < len(ragged):
            self._leave_ragged(text, structure, np.flatnonzero(ragged))
        clean = text if len(kept) == len(ragged) and not structure.n_blank else records_at(text, structure, kept)
        if not len(kept):
            self.line += text.count(b"\n")
            return pl.DataFrame(schema=dict.fromkeys(self.dialect.names, pl.String))
        parsed = parse_text(clean, self.dialect.names, self.dialect.delimiter, source=self.source)
        return self._finish(text, structure, parsed.get_columns(), records=kept)

    def _finish(
        self, text: bytes, structure: Structure | None, columns: Sequence[pl.Series], *, records: Positions | None = None
    ) -> pl.DataFrame:
        """Convert what is still text, and leave out the rows in which that fails."""
        typed, bad = [], []
        for place, (name, column) in enumerate(zip(self.dialect.names, columns, strict=True)):
            values, is_bad = self._convert(place, column.alias(name))
            typed.append(values)
            if is_bad is not None:
                bad.append((place, column, is_bad))
        frame = pl.DataFrame(typed)
        n_lines = frame.height if structure is None else text.count(b"\n")
        if bad:
            frame = self._leave_bad(text, structure, frame, bad, records)
        self.line += n_lines
        self.n_rows += frame.height
        return frame

    def _convert(self, place: int, column: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        """Give a column its type; the second series says which cells are bad, if any."""
        form, seen = self.forms[place], self.seen[place]
        if column.dtype != pl.String:
            seen.n_values += len(column) - column.null_count()
            if column.dtype == pl.Datetime and column.dtype.time_zone is None:  # type: ignore[attr-defined]  # Polars' classes
                column = column.dt.replace_time_zone("UTC")
            return column.cast(form.dtype), None
        text, spelled = clear_nulls(column, self.form.null_values)
        if form.kind == "text":
            seen.spelled.update(spelled)
            n_values = len(text) - text.null_count()
            if form.is_empty and n_values:
                found = find_form(text, tolerance=tolerated(n_values))
                raise _ReadAgain({place: found.form})
            seen.n_values += n_values
            return text, None
        if form.missing:
            text, spelled = clear_nulls(text, form.missing)
            seen.spelled.update(spelled)
        values = convert(text, form)
        seen.n_values += len(text) - text.null_count()
        if values.null_count() == text.null_count():
            return values, None
        return values, values.is_null() & text.is_not_null()

    # -- what is left out

    def _leave_bad(
        self,
        text: bytes,
        structure: Structure | None,
        frame: pl.DataFrame,
        bad: list[tuple[int, pl.Series, pl.Series]],
        records: Positions | None,
    ) -> pl.DataFrame:
        if structure is None:
            text, structure = self._scan(text)
        learned = {place: wider for place, column, is_bad in bad if (wider := widen(self.forms[place], column.filter(is_bad))) is not None}
        if learned:
            raise _ReadAgain(learned)
        any_bad = np.logical_or.reduce([is_bad.to_numpy() for _, _, is_bad in bad])
        rows = np.flatnonzero(any_bad)
        places = rows if records is None else records[rows]
        lines = self._lines(text, structure, places)
        raw = parse_text(records_at(text, structure, places), self.dialect.names, self.dialect.delimiter, source=self.source)
        cells = []
        for place, column, is_bad in bad:
            reason, name = reason_for(self.forms[place]), self.dialect.names[place]
            mine = np.flatnonzero(is_bad.to_numpy())
            for row, value in zip(np.searchsorted(rows, mine).tolist(), column.gather(mine).to_list(), strict=True):
                cells.append(BadCell(row, name, value, reason, self.source, lines[row]))
            self._count_bad(place, len(mine), cells[-len(mine)])
        self.left_out.add(raw, cells)
        return frame.filter(~pl.Series(any_bad))

    def _count_bad(self, place: int, n: int, first: BadCell) -> None:
        seen = self.seen[place]
        seen.first_bad = seen.first_bad if seen.n_bad else (first.line or 0, first.value)
        seen.n_bad += n
        if seen.n_bad > MANY and seen.n_bad > HOPELESS * seen.n_values:
            self._judge()

    def _leave_ragged(self, text: bytes, structure: Structure, records: Positions) -> None:
        n_fields = len(self.forms)
        is_blank = [not text[structure.starts[at] : structure.ends[at]].strip(_BLANK) for at in records.tolist()]
        self.n_blank += sum(is_blank)
        records = records[~np.array(is_blank)]
        if not len(records):
            return
        error = refuse_ragged(text, structure, records, n_fields, source=self.source, delimiter=self.dialect.delimiter)
        lines = self._lines(text, structure, records)
        left = []
        for line, record in zip(lines, records.tolist(), strict=True):
            reason = f"{int(structure.n_fields[record]):,} fields where the header has {n_fields:,}"
            left.append((line, text[int(structure.starts[record]) : int(structure.ends[record])], reason))
        self._leave_lines(error, left)

    def _leave_lines(self, error: DataFormatError, left: Sequence[tuple[int, bytes, str]]) -> None:
        """Leave lines out as a whole, each with its number, its text and the reason."""
        n_fields = len(self.forms)
        self.first_ragged = self.first_ragged or error
        self.n_ragged += len(left)
        if self.n_ragged > max(MANY, tolerated(self.n_rows)):
            raise self.first_ragged
        rows, cells = [], []
        for row, (line, data, reason) in enumerate(left):
            raw = data.decode("utf-8", "replace").rstrip("\r")
            fields = raw.split(self.dialect.delimiter)
            rows.append([*fields[:n_fields], *[""] * (n_fields - len(fields))])
            cells.append(BadCell(row, "", raw, reason, self.source, line))
        self.left_out.add(pl.DataFrame(rows, schema=dict.fromkeys(self.dialect.names, pl.String), orient="row"), cells)

    def _lines(self, text: bytes, structure: Structure, records: Positions) -> list[int]:
        newlines = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n"))
        found: list[int] = (np.searchsorted(newlines, structure.starts[records]) + self.line).tolist()
        return found

    # -- the end

    def _judge(self) -> None:
        """See whether few enough values are bad; a column in which more are is of another type, or was declared wrongly."""
        n_records = self.n_rows + self.left_out.n_rows
        if self.first_ragged is not None and self.n_ragged > tolerated(n_records):
            raise self.first_ragged
        learned: dict[int, ColumnForm] = {}
        for place, (name, form, seen) in enumerate(zip(self.dialect.names, self.forms, self.seen, strict=True)):
            limit = int(HOPELESS * seen.n_values) if form.is_given else tolerated(seen.n_values)
            if seen.n_bad <= limit:
                continue
            if name in self.form.types:
                raise self._wrongly_declared(name, seen)
            inferred = self.dialect.inferred[place].form
            learned[place] = inferred if form.is_given and inferred.kind != form.kind else ColumnForm("text")
        if learned:
            raise _ReadAgain(learned)

    def _wrongly_declared(self, name: str, seen: _Seen) -> DataFormatError:
        line, value = seen.first_bad
        return DataFormatError(
            f"column {name!r} is declared {self.form.types[name]}, but {seen.n_bad:,} of {seen.n_values:,} values are not; "
            f"the first is {value!r} on line {line}",
            source=self.source,
            line=line,
            hint=f"mend those lines or declare {name}=text",
        )

    def _odd_lines(self, found: Any, name: str, sample: Sample) -> str:
        """Name the lines of the first values that kept a column from being a number or a time, as far as the sample shows them."""
        if not found.odd_rows or not sample.is_whole:
            return ""
        text = sample.head[self.dialect.header_bytes :]
        found_in = scan_leniently(text, self.dialect.delimiter, source=self.source, first_line=self.dialect.header_lines + 1)
        text, structure = found_in.text, found_in.structure
        records = np.flatnonzero(structure.n_fields == len(self.forms))[list(found.odd_rows)]
        rows = parse_text(records_at(text, structure, records), self.dialect.names, self.dialect.delimiter, source=self.source)
        lines = [structure.line(int(record), text) for record in records]
        return "; " + ", ".join(f"line {line}: {value[:40]!r}" for line, value in zip(lines, rows[name], strict=True))


def _column_notes(name: str, form: ColumnForm, note: str, odd: str, seen: _Seen) -> list[str]:
    said = [f"column {name!r} {note}{odd}"] if note else []
    words = ", ".join(f"{n:,} x {word!r}" for word, n in sorted(seen.spelled.items()))
    if words and seen.n_values:
        hint = " (--nulls says which words mean missing)" if form.kind == "text" else ""
        said.append(f"column {name!r}: {words} read as missing{hint}")
    if seen.n_bad:
        line, value = seen.first_bad
        first = f"the first is {value[:40]!r} on line {line}"
        said.append(f"column {name!r}: {seen.n_bad:,} of {seen.n_values:,} values are {reason_for(form)}; {first}")
    return said

"""Where a table comes from: a file of some format and compression, or memory. The first bytes say which, not the file's name."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import polars as pl
from blake3 import blake3

from sampan.core.digests import Digest
from sampan.errors import ParameterError
from sampan.ports import Progress, Stage
from sampan.table.account import Account
from sampan.table.bad_cells import LeftOut, left_out_note
from sampan.table.binary import take_binary
from sampan.table.blocks import BLOCK_BYTES, cut_lines, decoded, is_packed, read_blocks, read_head
from sampan.table.csv import CsvForm, CsvRead, NotUtf8, Take, gather, read_csv_blocks
from sampan.table.csv_dialect import Sample
from sampan.table.encodings import check_encoding, decode, detect_encoding
from sampan.table.excel import is_workbook, read_workbook
from sampan.table.fitting import Fitting
from sampan.table.formats import FORMATS, format_of
from sampan.table.frames import from_memory
from sampan.table.jsonarray import array_items, is_array
from sampan.table.jsonlines import JsonLines
from sampan.table.pieces import Frames
from sampan.table.source_form import SourceForm, check_file
from sampan.table.texts import TextTyping
from sampan.table.types import declared_form

_SHOWN_BYTES = 1 << 22  # a smaller file is read before a person could read of it
_SAMPLE_BYTES = 1 << 18  # what is looked at first of a large file's beginning
_WHOLE_BYTES = 8 << 20  # up to this size the whole file is looked at first
_PIECES, _PIECE_BYTES = 24, 1 << 15
Taken = TypeVar("Taken")


class Loaded(Account, frozen=True, kw_only=True):
    """A table in memory, and the account of how it was read."""

    frame: pl.DataFrame


def read_source(source: Any, *, form: SourceForm | None = None, progress: Progress | None = None) -> Loaded:
    """Read a file, or a table in memory, completely. See `stream_source`."""
    frame, account = stream_source(source, take=gather, form=form, progress=progress)
    return Loaded(frame=frame, **{name: getattr(account, name) for name in Account.__struct_fields__})


def stream_source(
    source: Any, *, take: Take[Taken], form: SourceForm | None = None, progress: Progress | None = None
) -> tuple[Taken, Account]:
    """Read a file, or a table in memory, piece by piece: a file of any size in the memory of a few blocks, but for a workbook.

    CSV and TSV, JSON lines, Parquet, Arrow IPC, plain or compressed (gzip, zip with one member, zstd); Excel; Polars, pandas, Arrow, a
    dict of columns.

    Parameters
    ----------
    take : is given the columns and the rows in pieces, and may be given them anew; when it raises what it was given, it leaves nothing

    Raises
    ------
    NotFound : no such file.
    DataFormatError : a folder, empty, or not a table; says where and what to do.
    """
    form = form or SourceForm()
    if not isinstance(source, str | Path):
        frame = from_memory(source)
        return take(frame.schema, iter([frame])), Account(source="memory", format="memory")
    path = Path(source)
    check_file(path)
    if form.format and form.format not in FORMATS:
        raise ParameterError(f"{form.format!r} is no format", hint="one of " + ", ".join(FORMATS))
    if form.format in ("", "excel") and is_workbook(path):
        table = read_workbook(path, sheet=form.sheet, header=form.header)
        account = Account(source=str(path), format="excel", digest=digest_file(path), size_bytes=path.stat().st_size, member=table.sheet)
        account = msgspec.structs.replace(account, notes=table.notes)
        return take_pieces(_InMemory(table.frame), account, form, take, line_of=lambda row: row + table.first_line)
    head, member = read_head(path, _SAMPLE_BYTES)
    kind = form.format or format_of(head, member or path.name, source=str(path))
    if kind == "csv" and path.stat().st_size <= _WHOLE_BYTES:
        head, _ = read_head(path, _WHOLE_BYTES + 1)
    if kind == "csv":
        return _stream_delimited(path, member, head, form, take, progress)
    if kind == "jsonl":
        return _stream_json_lines(path, member, head, form, take, progress)
    return _stream_binary(path, member, kind, form, take, progress)


def digest_file(path: Path) -> Digest:
    """Digest a file's own bytes."""
    hasher, block = blake3(max_threads=blake3.AUTO), memoryview(bytearray(BLOCK_BYTES))
    # Read instead of mapped: the pages of a mapped file count as the process's memory.
    with path.open("rb", buffering=0) as file:
        while n_bytes := file.readinto(block):
            hasher.update(block[:n_bytes])
    return "b3:" + str(hasher.hexdigest())


class _Bytes:
    """A file's bytes, unpacked and in blocks; digested as they are read."""

    def __init__(self, path: Path, stage: Stage | None) -> None:
        self.path, self._stage, self._begun = path, stage, time.monotonic()
        self._hasher = blake3()

    def blocks(self, encoding: str) -> Iterator[bytes]:
        """Read the file from its beginning, in UTF-8."""
        return decoded(self._blocks(), encoding, source=str(self.path))

    def digest(self) -> Digest:
        """Digest the file. What was hashed on the way are its own bytes only where they were not unpacked."""
        return digest_file(self.path) if is_packed(self.path) else "b3:" + str(self._hasher.hexdigest())

    def counted(self, take: Take[Taken]) -> Take[Taken]:
        """Say while rows are taken how many there were."""
        stage, begun = self._stage, self._begun
        return take if stage is None else lambda schema, frames: take(schema, _counted(frames, stage, begun))

    def _blocks(self) -> Iterator[bytes]:
        self._hasher = blake3()
        for block in read_blocks(self.path, on_bytes=self._stage.advance if self._stage is not None else None):
            self._hasher.update(block)
            yield block


@contextmanager
def _opened(path: Path, progress: Progress | None) -> Iterator[_Bytes]:
    """Open a file; where it is large, its reading is shown."""
    size = path.stat().st_size
    shown = progress.stage(f"reading {path.name}", total=size, unit="bytes") if progress and size >= _SHOWN_BYTES else nullcontext()
    with shown as stage:
        yield _Bytes(path, stage)


def _in_its_encoding(path: Path, head: bytes, form: SourceForm, read: Callable[[str], Taken], *, is_whole: bool) -> tuple[Taken, str]:
    """Read a text in the encoding that its beginning shows, and where a later block shows another, again in that."""
    encoding = check_encoding(form.encoding) if form.encoding else detect_encoding(head, is_whole=is_whole)
    while True:
        if not encoding:
            decode(head, source=str(path))  # raises, and names the first byte that is not UTF-8
        try:
            return read(encoding), encoding
        except NotUtf8 as fault:
            found = "" if form.encoding else detect_encoding(fault.block)
            if found in ("", encoding, "utf-8", "utf-8-sig"):
                raise fault.error from fault
            encoding = found


def _stream_delimited(
    path: Path, member: str, head: bytes, form: SourceForm, take: Take[Taken], progress: Progress | None
) -> tuple[Taken, Account]:
    size = path.stat().st_size
    is_whole = len(head) < _SAMPLE_BYTES or _SAMPLE_BYTES < len(head) <= _WHOLE_BYTES
    csv_form = _csv_form(form, default="\t" if ".tsv" in (member or path.name).lower() else "")

    def read(encoding: str) -> tuple[Taken, CsvRead, Digest]:
        sample = _sample(path, head, encoding, is_whole=is_whole)
        with _opened(path, progress) as data:
            taken, found = read_csv_blocks(lambda: data.blocks(encoding), sample, source=str(path), form=csv_form, take=data.counted(take))
            return taken, found, data.digest()

    (taken, found, digest), encoding = _in_its_encoding(path, head, form, read, is_whole=is_whole)
    return taken, _account(path, member, size, encoding, digest, found, declared=bool(form.encoding))


def _stream_json_lines(
    path: Path, member: str, head: bytes, form: SourceForm, take: Take[Taken], progress: Progress | None
) -> tuple[Taken, Account]:
    def read(encoding: str) -> tuple[Taken, Account]:
        with _opened(path, progress) as data, JsonLines(str(path)) as lines:
            if is_array(head):
                lines.read_items(array_items(data.blocks(encoding), source=str(path)))
            else:
                lines.read(cut_lines(data.blocks(encoding)))
            account = Account(
                source=str(path),
                format="jsonl",
                digest=data.digest(),
                size_bytes=path.stat().st_size,
                encoding=encoding,
                member=member,
                notes=lines.notes(known={*form.types, *form.expected}),
            )
            # JSON's texts are texts, unless something else is said.
            return take_pieces(lines, account, form, data.counted(take), only=(), line_of=lines.line_of, left_out=lines.left_out())

    (taken, account), _ = _in_its_encoding(path, head, form, read, is_whole=len(head) < _SAMPLE_BYTES)
    return taken, account


def _counted(frames: Iterator[pl.DataFrame], stage: Stage, begun: float) -> Frames:
    """Say while rows pass how many there were, and how many in a second since their reading began."""
    n_rows = 0

    def see(n: int) -> None:
        nonlocal n_rows
        n_rows += n
        stage.advance(0, f"{n_rows:,} rows, {n_rows / max(time.monotonic() - begun, 1e-3):,.0f} rows/s")

    return (frames if isinstance(frames, Frames) else Frames(frames)).seen(see)


def _csv_form(form: SourceForm, *, default: str = "") -> CsvForm:
    delimiter = form.delimiter or default
    return CsvForm(
        delimiter={"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter),
        null_values=form.null_values,
        types=form.types,
        expected=form.expected,
        decimal=form.decimal,
        thousands=form.thousands,
        header=form.header,
    )


class Waiting(Protocol):
    """A table whose types are known and whose pieces wait to be taken."""

    @property
    def schema(self) -> pl.Schema:
        """The columns."""
        ...

    def frames(self) -> Iterator[pl.DataFrame]:
        """Iterate over the pieces."""
        ...

    def column(self, name: str) -> pl.Series:
        """Return a column of text whole."""
        ...


def take_pieces(
    table: Waiting,
    account: Account,
    form: SourceForm,
    take: Take[Taken],
    *,
    only: Collection[str] | None = None,
    line_of: Callable[[int], int | None] = lambda row: row + 2,
    left_out: LeftOut | None = None,
) -> tuple[Taken, Account]:
    """Type the columns of text of a source that has no types for them, and give its pieces on. See `type_texts` for `only` and `line_of`.

    `left_out` are the rows that the source's reader left out before.
    """
    typing = TextTyping(table.schema, table.column, _csv_form(form), source=account.source, only=only, line_of=line_of)
    taken = take(typing.schema, (typing.apply(piece) for piece in table.frames()))
    account = msgspec.structs.replace(account, notes=(*account.notes, *typing.notes()))
    return taken, _with_left_out(account, [left_out or LeftOut([]), typing.left_out])


def _with_left_out(account: Account, found: Sequence[LeftOut]) -> Account:
    """Add the rows that were left out to the account."""
    whole = LeftOut([])
    for one in found:
        if one.n_rows:
            whole.add(one.frame(), one.cells)
    return msgspec.structs.replace(account, bad_rows=whole.frame(), bad_cells=tuple(whole.cells)) if whole.n_rows else account


@dataclass(frozen=True, slots=True)
class _InMemory:
    """A frame as one piece."""

    frame: pl.DataFrame

    @property
    def schema(self) -> pl.Schema:
        return self.frame.schema

    def frames(self) -> Iterator[pl.DataFrame]:
        yield self.frame

    def column(self, name: str) -> pl.Series:
        return self.frame[name]


def _account(path: Path, member: str, size: int, encoding: str, digest: Digest, read: CsvRead, *, declared: bool) -> Account:
    said = [] if declared or encoding in ("utf-8", "utf-8-sig") else [f"the encoding is {encoding} (--encoding says otherwise)"]
    left_out: LeftOut = read.left_out
    return Account(
        source=str(path),
        format="csv",
        digest=digest,
        size_bytes=size,
        encoding=encoding,
        delimiter=read.delimiter,
        member=member,
        notes=(*said, *read.notes),
        bad_rows=left_out.frame() if left_out.n_rows else None,
        bad_cells=tuple(left_out.cells),
    )


def _sample(path: Path, head: bytes, encoding: str, *, is_whole: bool) -> Sample:
    """Take pieces from all over a large plain file: types that only its end shows are then known from the start."""
    text = b"".join(decoded(iter([head]), encoding, source=str(path))) if is_whole else _decode_partly(head, encoding)
    text = text.replace(b"\r", b"\n") if b"\n" not in text and b"\r" in text else text
    pieces = []
    if not is_whole and encoding in ("utf-8", "utf-8-sig") and not is_packed(path):
        size = path.stat().st_size
        with path.open("rb") as file:
            for i in range(1, _PIECES + 1):
                file.seek(i * (size - _PIECE_BYTES) // _PIECES)
                piece = file.read(_PIECE_BYTES)
                pieces.append(piece[piece.find(b"\n") + 1 : piece.rfind(b"\n") + 1])
    return Sample(text, tuple(piece for piece in pieces if piece), is_whole=is_whole)


def _decode_partly(head: bytes, encoding: str) -> bytes:
    """Decode the beginning of a file, which may end inside a character."""
    if encoding in ("utf-8", "utf-8-sig"):
        return head.removeprefix(b"\xef\xbb\xbf")
    return head.decode(encoding, "ignore").removeprefix("\ufeff").encode()


def _stream_binary(
    path: Path, member: str, kind: str, form: SourceForm, take: Take[Taken], progress: Progress | None
) -> tuple[Taken, Account]:
    size = path.stat().st_size
    account = Account(source=str(path), format=kind, digest=digest_file(path), size_bytes=size, member=member)
    shown = progress.stage(f"reading {path.name}") if progress and size >= _SHOWN_BYTES else nullcontext()
    with shown as stage:
        begun = time.monotonic()
        counted: Take[Taken] = take if stage is None else lambda schema, frames: take(schema, _counted(frames, stage, begun))
        if not form.types:
            return take_binary(path, kind, counted), account
        declared = _Declared(form, str(path))
        taken = take_binary(path, kind, declared.typed(counted))
        return taken, declared.accounted(account)


class _Declared:
    """Gives the columns of a source that has types the ones that a person declared."""

    def __init__(self, form: SourceForm, source: str) -> None:
        self._form, self._source = CsvForm(types=form.types, null_values=form.null_values, decimal=form.decimal), source
        self._found: list[LeftOut] = []

    def typed(self, take: Take[Taken]) -> Take[Taken]:
        """Give pieces on with their declared types: texts read as those of a text file, other values one by one."""

        def taking(schema: pl.Schema, frames: Iterator[pl.DataFrame]) -> Taken:
            if unknown := sorted(set(self._form.types) - set(schema)):
                hint = "its columns: " + ", ".join([*schema][:20])
                raise ParameterError(f"a type is declared for {unknown[0]!r}, which {self._source} does not have", hint=hint)
            texts = TextTyping(schema, pl.Series, self._form, source=self._source, only=(), line_of=lambda row: row + 1)
            kinds = {name: declared_form(kind, name).dtype for name, kind in self._form.types.items()}
            fitting = Fitting(texts.schema, kinds, source=self._source)
            self._found = [texts.left_out, fitting.left_out]
            return take(fitting.schema, fitting.pieces(map(texts.apply, frames)))

        return taking

    def accounted(self, account: Account) -> Account:
        """Add the rows that were left out."""
        n_rows = sum(found.n_rows for found in self._found)
        said = (left_out_note(n_rows),) if n_rows else ()
        return _with_left_out(msgspec.structs.replace(account, notes=(*account.notes, *said)), self._found)

"""What the data room answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.workspace.columns import align, count, cut, distinct

if TYPE_CHECKING:
    from sampan.stats.profile_shifts import ColumnShift
    from sampan.stats.profiles import ColumnProfile

_VERDICTS = {"passed": "keeps its contract", "warned": "keeps its contract, with warnings", "blocked": "breaks its contract"}
_BLOCKED = 3  # ContractViolated.exit_code
_SHOWN_EXAMPLES = 3
_MOST_COLUMNS = 40  # side by side, or in a sentence, on a terminal
_MOST_NAMED = 8
_MOST_RULES = 60
_EXACT = 2**53  # up to which a float holds every whole number
_MILLION = 1_000_000
_EMPTY = '""'
_MANY = 10_000
_LONGEST_CELL = 80
_SIDE = _LONGEST_CELL // 2 - 2
ARROW = " → "  # between what a cell was and what it is


class VersionLine(msgspec.Struct, frozen=True):
    """One version of a dataset."""

    ref: str
    n_rows: int
    n_columns: int
    created: str
    source: str
    actor: str = ""
    aliases: tuple[str, ...] = ()


class ColumnLine(msgspec.Struct, frozen=True):
    """One column as its profile sees it."""

    name: str
    type: str
    n_null: int
    null_share: float
    n_distinct: int
    values: str  # "12 … 1,400, median 872" or the most frequent texts
    estimated: bool = False  # whether n_distinct is an estimate


_ANSWERING, _EXPECTED = ("query", "statistic"), " where “"  # rules that say the number they found, and how


class RuleLine(msgspec.Struct, frozen=True):
    """One finding of a check."""

    level: str  # block | warn | note
    message: str
    columns: tuple[str, ...] = ()
    check: str = ""
    count: int = 0
    share: float = 0.0
    n_missing: int = 0
    examples: tuple[dict[str, Any], ...] = ()

    def without_values(self) -> RuleLine:
        """Return it for whoever may not read the data: no rows, and of a query or a statistic only that its answer is another number."""
        _, where, rule = self.message.partition(_EXPECTED) if self.check in _ANSWERING else ("", "", "")
        return msgspec.structs.replace(self, examples=(), message=f"another number{where}{rule}" if where else self.message)


class Added(Answer, frozen=True, kw_only=True):
    """A dataset version that was added, or was already there."""

    ref: str
    unchanged: bool
    n_rows: int
    n_columns: int
    source: str
    digest: str
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Say what is there now and what was noticed while reading."""
        head = f"{self.ref}: {count(self.n_rows, 'row')}, {count(self.n_columns, 'column')} from {self.source}"
        return "\n".join([head + (" (unchanged)" if self.unchanged else ""), *(f"  note: {note}" for note in self.notes)])


class DatasetLine(msgspec.Struct, frozen=True):
    """A dataset in the list."""

    name: str
    newest: str
    n_rows: int
    n_columns: int
    check: str
    updated: str
    owner: str = ""


class Datasets(Answer, frozen=True, kw_only=True):
    """All datasets."""

    datasets: tuple[DatasetLine, ...]

    def text(self) -> str:
        """One line a dataset."""
        if not self.datasets:
            return "no datasets yet"
        rows = [(d.newest, f"{d.n_rows:,}", f"{d.n_columns:,}", d.check or "not checked", d.updated, d.owner) for d in self.datasets]
        return align(("dataset", "rows", "columns", "check", "updated", "owner"), rows, right=("rows", "columns"))


class Shown(Answer, frozen=True, kw_only=True):
    """A dataset: what is said of it, its versions, columns and newest check."""

    name: str
    ref: str
    n_rows: int
    digest: str
    facts: dict[str, Any]
    versions: tuple[VersionLine, ...]
    columns: tuple[ColumnLine, ...]
    verdict: str = ""
    findings: tuple[RuleLine, ...] = ()
    check: str = ""  # reference of the newest check
    kept_out: dict[str, str] = {}  # columns that give the label away, each with the evidence
    withheld: str = ""  # why values are not shown

    def text(self) -> str:
        """Show it from what it is to what it holds."""
        said = [f"  {key}: {', '.join(value) if isinstance(value, list) else value}" for key, value in self.facts.items() if value]
        parts = ["\n".join([f"{self.ref}: {self.n_rows:,} rows", *said])]
        state = f"check: {_VERDICTS[self.verdict]} ({self.check})" if self.verdict else "check: none yet"
        parts.append("\n".join([state, *(f"  {f.level}: {f.message}" for f in self.findings)]))
        if self.kept_out:
            parts.append("\n".join(["give the label away:", *(f"  {column}: {reason}" for column, reason in self.kept_out.items())]))
        parts.append(_columns_text(self.columns))
        if self.withheld:
            parts.append(f"values are not shown: {self.withheld}")
        rows = [(v.ref, f"{v.n_rows:,}", v.created, v.source, ", ".join(v.aliases)) for v in self.versions]
        parts.append(align(("version", "rows", "added", "source", "aliases"), rows, right=("rows",)))
        return "\n\n".join(parts)


class Inferred(Answer, frozen=True, kw_only=True):
    """A contract that was drafted."""

    dataset: str
    file: str
    written: bool
    n_rules: int
    rules: tuple[str, ...]
    added: tuple[str, ...] = ()  # what the data says beyond the contract that was there
    removed: tuple[str, ...] = ()  # what it no longer bears out
    changed: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()  # what the data says, and a person took out
    diff: str = ""

    def text(self) -> str:
        """Say what was drafted, or how it would change the file that is there."""
        taken_out = ["", "not proposed again, since someone took it out:", *(f"  {rule}" for rule in self.declined[:_MOST_RULES])]
        return "\n".join([self._told(), *(taken_out if self.declined else []), *_left(self.declined)])

    def _told(self) -> str:
        if self.written:
            more = [f"  and {count(len(self.rules) - _MOST_RULES, 'more rule')} in {self.file}"] if len(self.rules) > _MOST_RULES else []
            lines = [f"wrote {self.file}: {count(self.n_rules, 'rule')} for {self.dataset}"]
            return "\n".join([*lines, *(f"  {rule}" for rule in self.rules[:_MOST_RULES]), *more])
        if not self.diff:
            return f"{self.file} is already what the data says ({count(self.n_rules, 'rule')})"
        told = [("add", self.added), ("drop", self.removed), ("change", self.changed)]
        parts = ["\n".join([f"{verb}:", *(f"  {line}" for line in lines[:_MOST_RULES]), *_left(lines)]) for verb, lines in told if lines]
        return "\n\n".join([f"{self.file} is kept as it is. What the data now says would", *parts])


def _left(lines: tuple[str, ...]) -> list[str]:
    return [f"  and {count(len(lines) - _MOST_RULES, 'more')}"] if len(lines) > _MOST_RULES else []


class TableChecked(msgspec.Struct, frozen=True):
    """How one dataset version keeps its contract."""

    dataset: str
    contract: str
    verdict: str  # passed | warned | blocked
    n_rows: int
    n_rules: int
    findings: tuple[RuleLine, ...]
    notes: tuple[RuleLine, ...]
    check: str  # reference of the recorded check
    cached: bool = False


class Checked(Answer, frozen=True, kw_only=True):
    """What a check found. The command line exits with 3 if a blocking rule is broken."""

    tables: tuple[TableChecked, ...]

    @property
    def verdict(self) -> str:
        """The gravest verdict."""
        found = {table.verdict for table in self.tables}
        return next((v for v in ("blocked", "warned") if v in found), "passed")

    def exit_code(self) -> int:
        """Return 3 if a blocking rule is broken."""
        return _BLOCKED if self.verdict == "blocked" else 0

    def text(self) -> str:
        """Each table with its findings and up to three example rows each."""
        return "\n\n".join(self._table_text(table) for table in self.tables) or "nothing to check"

    @staticmethod
    def _table_text(table: TableChecked) -> str:
        cached = ", as checked before" if table.cached else ""
        size = f"{count(table.n_rules, 'rule')} on {count(table.n_rows, 'row')}"
        lines = [f"{table.dataset} {_VERDICTS[table.verdict]}: {size} ({table.check}{cached})"]
        for finding in (*table.findings, *table.notes):
            lines.append(f"  {finding.level}: {finding.message}")
            lines.extend(f"         {_row_text(row, finding.columns)}" for row in finding.examples[:_SHOWN_EXAMPLES])
        return "\n".join(lines)


class Profiled(Answer, frozen=True, kw_only=True):
    """A dataset's profile."""

    ref: str
    n_rows: int
    columns: tuple[ColumnLine, ...]
    histograms: dict[str, tuple[list[float], list[int]]] = {}  # numbers and times: edges, counts
    top: dict[str, list[tuple[str, int]]] = {}  # texts: most frequent values
    withheld: str = ""  # why values are not shown

    def text(self) -> str:
        """One line a column."""
        said = f"{self.ref}: {self.n_rows:,} rows\n\n{_columns_text(self.columns)}"
        return f"{said}\n\nvalues are not shown: {self.withheld}" if self.withheld else said


class Head(Answer, frozen=True, kw_only=True):
    """The first rows of a dataset."""

    ref: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]

    def text(self) -> str:
        """Rows in aligned columns, numbers to the right."""
        if not self.rows:
            return f"{self.ref} has no rows; its columns are {', '.join(self.columns)}"
        shown = self.columns[:_MOST_COLUMNS]
        cells = [[_value_text(row[name]) for name in shown] for row in self.rows]
        numbers = [name for name in shown if all(_is_number(row[name]) for row in self.rows)]
        more = len(self.columns) - len(shown)
        return align(shown, cells, right=numbers, widest=25) + (f"\n  and {count(more, 'more column')}" if more else "")


class ProfileShift(msgspec.Struct, frozen=True):
    """How a column's values differ between two versions, in a size from 0 (as before) to 1."""

    column: str
    distance: float
    said: str  # "missing 2.0% → 40.0%, median 3 → 5"


class ContractShift(msgspec.Struct, frozen=True):
    """How two versions keep the contract, by their newest checks; "" where there is none."""

    before: str
    after: str
    new: tuple[str, ...] = ()  # findings that only the later version has
    gone: tuple[str, ...] = ()


class Differs(Answer, frozen=True, kw_only=True):
    """How two versions differ."""

    before: str
    after: str
    key: tuple[str, ...]
    n_added: int
    n_removed: int
    n_changed: int
    n_same: int
    changed_columns: dict[str, int] = {}
    columns_added: dict[str, str] = {}
    columns_removed: dict[str, str] = {}
    columns_retyped: dict[str, str] = {}
    examples: dict[str, list[dict[str, Any]]] = {}
    n_compared: int = 0  # rows that had to be read and matched
    profile: tuple[ProfileShift, ...] = ()  # the most different columns first
    contract: ContractShift | None = None

    def text(self) -> str:
        """Say what came, went and changed, with example rows; then what that did to the columns' values and to the contract."""
        lines = [
            f"{self.before} → {self.after}, rows matched by {' + '.join(self.key)}",
            f"  {self.n_added:,} added, {self.n_removed:,} removed, {self.n_changed:,} changed, {self.n_same:,} the same",
        ]
        for word, columns in (("added", self.columns_added), ("removed", self.columns_removed), ("retyped", self.columns_retyped)):
            lines.extend(f"  column {name} {word}: {said}" for name, said in columns.items())
        lines.extend(
            f"  {name} differs in {count(n, 'row')}" for name, n in sorted(self.changed_columns.items(), key=lambda item: -item[1])
        )
        for word, rows in self.examples.items():
            lines.extend(f"  {word}: {_row_text(row)}" for row in rows[:_SHOWN_EXAMPLES])
        if self.profile:
            shifts = [(shift.column, f"{shift.distance:.3f}", shift.said) for shift in self.profile[:_MOST_COLUMNS]]
            lines += ["", align(("values of", "moved by", "from → to"), shifts, right=("moved by",))]
        if self.contract is not None:
            before, after = (_VERDICTS.get(verdict, "not checked") for verdict in (self.contract.before, self.contract.after))
            lines += ["", f"contract: before {before}, after {after}"]
            lines += [f"  new: {message}" for message in self.contract.new] + [f"  gone: {message}" for message in self.contract.gone]
        return "\n".join(lines)


class LeakLine(msgspec.Struct, frozen=True):
    """A column that gives the label away, and the evidence."""

    column: str
    kind: str
    reason: str
    auc: float
    also: tuple[str, ...] = ()


class Leaks(Answer, frozen=True, kw_only=True):
    """Columns to keep out of a model."""

    ref: str
    target: str
    moment: str
    n_rows: int
    n_labelled: int
    leaks: tuple[LeakLine, ...]
    kept: tuple[str, ...]
    aucs: dict[str, float]
    found: str = ""  # reference of the recorded finding

    def text(self) -> str:
        """Each column with the evidence against it."""
        head = f"{self.ref}: {len(self.leaks):,} of {len(self.leaks) + len(self.kept):,} columns give “{self.target}” away"
        lines = [head + f" ({self.n_labelled:,} of {self.n_rows:,} rows have a label)"]
        for leak in self.leaks:
            lines.append(f"  {leak.column}  (alone: AUC {leak.auc:.3f})")
            lines.extend(f"      {reason}" for reason in (leak.reason, *leak.also))
        more = f" and {len(self.kept) - _MOST_COLUMNS:,} more" if len(self.kept) > _MOST_COLUMNS else ""
        return "\n".join([*lines, f"  fit for use: {', '.join(self.kept[:_MOST_COLUMNS])}{more}"])


class Labelled(Answer, frozen=True, kw_only=True):
    """How a dataset's rows get their label."""

    ref: str
    target: str
    unless: str
    why: str
    n_rows: int
    n_labelled: int
    n_positive: int
    n_excluded: int  # by the rule
    n_undefined: int  # the target itself cannot be computed
    kind: str = "two classes"  # two classes | classes | number
    classes: tuple[str, ...] = ()  # by code

    def text(self) -> str:
        """Say the rule and what it comes to."""
        lines = [f"{self.ref}: the label is “{self.target}”; {self.n_labelled:,} of {self.n_rows:,} rows have one{self._what()}"]
        if self.unless:
            lines.append(f"  {self.n_excluded:,} rows get none, since {self.unless}" + (f": {self.why}" if self.why else ""))
        if self.n_undefined:
            lines.append(f"  {self.n_undefined:,} more rows have none, since a value is missing")
        return "\n".join(lines)

    def _what(self) -> str:
        if not self.n_labelled:
            return ""
        if self.kind == "number":
            return ", a number"
        if self.kind == "classes":
            return f", one of {len(self.classes)} classes: " + ", ".join(
                [*self.classes[:_MOST_NAMED], *(["…"] if len(self.classes) > _MOST_NAMED else [])]
            )
        share = f"{self.n_positive / self.n_labelled:.1%}"
        return f" ({share} of them {'true' if self.classes in ((), ('0', '1')) else self.classes[1]})"


def version_line(node: Node) -> VersionLine:
    """Sum a version up."""
    facts = node.facts
    return VersionLine(node.ref, facts["n_rows"], len(facts["columns"]), iso(node.created), str(facts["source"]), node.actor, node.aliases)


def column_line(column: ColumnProfile, node: Node, *, hidden: bool = False) -> ColumnLine:
    """Sum a column up; `hidden` leaves its values out."""
    values = _truths_text if node.facts["columns"].get(column.name) == "Boolean" else _values_text
    return ColumnLine(
        name=column.name,
        type=str(node.facts["columns"].get(column.name, column.kind)),
        n_null=column.n_null,
        null_share=column.null_share,
        n_distinct=column.n_distinct,
        values="" if hidden else values(column),
        estimated=column.is_sampled,
    )


def profile_shift(shift: ColumnShift) -> ProfileShift:
    """Say how a column's values moved."""
    said = []
    if shift.null_share[0] != shift.null_share[1]:
        said.append(f"missing {shift.null_share[0]:.1%} → {shift.null_share[1]:.1%}")
    medians = [_median_text(median, ".6g") for median in shift.median or ()]
    if len(set(medians)) > 1:
        said.append(f"median {' → '.join(medians)}")
    if shift.most_frequent is not None and shift.most_frequent[0] != shift.most_frequent[1]:
        said.append(f"most often {shift.most_frequent[0]} → {shift.most_frequent[1]}")
    if shift.n_distinct[0] != shift.n_distinct[1]:
        said.append(f"{shift.n_distinct[0]:,} → {shift.n_distinct[1]:,} distinct")
    return ProfileShift(shift.column, shift.distance, ", ".join(said))


def _truths_text(column: ColumnProfile) -> str:
    words = ("false", "true") if len(column.counts) > 1 else ("true" if column.maximum else "false",)
    return ", ".join(f"{word} ({n:,})" for word, n in zip(words, column.counts, strict=False))


def _values_text(column: ColumnProfile) -> str:
    if column.kind == "text":
        top = column.top(3)
        if len(top) > 1 and top[0][1] == 1:  # every row has its own: what they look like says more, and names nobody
            alike = [f"{shape} ({n:,})" for shape, n in column.shapes(3) if n > 1]
            lengths = [length for length, _ in column.lengths()]
            return "like " + ", ".join(alike) if alike else f"{min(lengths):,} … {max(lengths):,} characters"
        return ", ".join(f"{text or _EMPTY} ({n:,})" for text, n in top)
    if not column.codes or not isinstance(column.minimum, int | float) or not isinstance(column.maximum, int | float):
        return ""
    if column.kind == "timestamp":
        return f"{iso(int(column.minimum) // 1000)} … {iso(int(column.maximum) // 1000)}"
    if column.kind == "date":
        return f"{iso(int(column.minimum) * 86_400_000)[:10]} … {iso(int(column.maximum) * 86_400_000)[:10]}"
    (median,) = column.quantiles([0.5])
    form = ",.6g" if max(abs(column.minimum), abs(column.maximum)) >= _MANY else ".6g"  # no comma in a year
    return f"{_number_text(column.minimum, form)} … {_number_text(column.maximum, form)}, median {_median_text(median, form)}"


def _number_text(value: float, form: str) -> str:
    """Write a number with six digits, a whole or large one with all before the point."""
    whole = abs(value) < _EXACT and (value % 1 == 0 or abs(value) >= _MILLION)
    return f"{value:{form.replace('.6g', '.0f')}}" if whole else f"{value:{form}}"


def _median_text(median: float, form: str) -> str:
    """Write a median with the digits a profile knows: of whole numbers below 1,024 all, else three."""
    return _number_text(median if median % 1 == 0 and abs(median) < 1_024 else float(f"{median:.3g}"), form)


def _columns_text(columns: tuple[ColumnLine, ...]) -> str:
    rows = [
        (
            c.name,
            _plain_type(c.type),
            f"{c.null_share:.1%}" if c.n_null else "",
            distinct(c.n_distinct, estimated=c.estimated) if c.n_distinct else "",
            c.values,
        )
        for c in columns
    ]
    return align(("column", "type", "missing", "distinct", "values"), rows, right=("missing", "distinct"))


def _plain_type(name: str) -> str:
    """Write Datetime(us, UTC) for Datetime(time_unit='us', time_zone='UTC')."""
    return name.replace("time_unit=", "").replace("time_zone=", "").replace("'", "")


def _value_text(value: object) -> str:
    """Write a value of a row as a person reads it; moments that fall on whole seconds without their zeros."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    text = str(value)
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") and "T" in text else text


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _row_text(row: dict[str, Any], first: tuple[str, ...] = ()) -> str:
    """Write a row, the columns it is shown for first."""
    names = [name for name in ("row", *first) if name in row]
    names += [name for name in row if name not in names]
    return "  ".join(f"{name}={cell_text(row[name])}" for name in names)


def cell_text(value: object) -> str:
    """Write a cell for a person: ∅ where it is missing, and of a long one the beginning, of what became what on both sides."""
    old, arrow, new = ("∅" if value is None else str(value)).partition(ARROW)
    return f"{cut(old, _SIDE)}{arrow}{cut(new, _SIDE)}" if arrow else cut(old, _LONGEST_CELL)

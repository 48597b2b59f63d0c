"""What an exploration says. Aggregates only: no value of a single row, and texts only where they are categories that are safe to show."""

from __future__ import annotations

import msgspec

Bins = tuple[tuple[float, ...], tuple[int, ...]]  # edges, counts


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to know before using the data; the gravest come first."""

    weight: int  # 0 to 100, by what it does to a model or a decision
    level: str  # bad | warn | info
    topic: str  # the section that shows it
    columns: tuple[str, ...] = ()
    text: str
    todo: str = ""  # a command, or what to do


class ColumnView(msgspec.Struct, frozen=True, kw_only=True):
    """One column. Numbers and times have bins between two quantiles, so that no single row's value shows; categories have counts."""

    name: str
    kind: str  # number | truth | timestamp | date | text | other
    role: str = ""  # constant | identifier | category | free text | ""
    n_null: int = 0  # and of values that are no numbers
    null_share: float = 0.0
    n_nan: int = 0  # of those, NaN or infinite
    n_distinct: int = 0
    is_estimated: bool = False
    most_share: float = 0.0  # of the values, the share of the most frequent one
    zero_share: float = 0.0
    mean: float | None = None
    deviation: float | None = None
    quantiles: tuple[float, ...] = ()  # 5, 25, 50, 75, 95 %
    bins: Bins = ((), ())
    n_outside: int = 0  # rows outside the bins
    categories: tuple[tuple[str, int], ...] = ()
    n_other: int = 0  # rows of the categories that are not shown
    shapes: tuple[tuple[str, int], ...] = ()  # of texts whose values are not shown
    hidden: str = ""  # why no values are shown


class MissingPair(msgspec.Struct, frozen=True):
    """Two columns that are missing together more often than by chance."""

    a: str
    b: str
    n_both: int
    share: float  # of the rows in which either is missing


class Outliers(msgspec.Struct, frozen=True, kw_only=True):
    """Values far outside the middle half of a column: beyond three times its width."""

    column: str
    low: float
    high: float
    n_below: int
    n_above: int
    share: float


class Association(msgspec.Struct, frozen=True, kw_only=True):
    """How much two columns say about each other, 0 to 1."""

    a: str
    b: str
    strength: float
    measure: str  # Spearman | Cramér's V | correlation ratio
    sign: int = 0  # of Spearman's


class RelationBin(msgspec.Struct, frozen=True):
    """The target among some rows: a rate or a mean, with its 95 % interval."""

    label: str
    n: int
    value: float
    low: float
    high: float


class Relation(msgspec.Struct, frozen=True, kw_only=True):
    """What one column alone says about the target."""

    column: str
    strength: float  # AUC (0.5 to 1) or R² (0 to 1), out of fold
    measure: str
    bins: tuple[RelationBin, ...] = ()
    n_missing: int = 0
    missing: RelationBin | None = None  # the target where the column is missing


class LeakHint(msgspec.Struct, frozen=True, kw_only=True):
    """A sign that a column gives the target away."""

    column: str
    by: str  # association | time | name
    reason: str


class TargetView(msgspec.Struct, frozen=True, kw_only=True):
    """The target: how it is distributed, and what each column says about it."""

    target: str
    kind: str  # yes or no | number | classes
    is_declared: bool = False  # as the dataset's label
    n: int
    n_without: int
    n_classes: int = 0  # 0: a number
    balance: tuple[tuple[str, int], ...] = ()
    bins: Bins = ((), ())
    relations: tuple[Relation, ...] = ()
    hints: tuple[LeakHint, ...] = ()


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far a column's values lie from its others in each period, 0 to 1, and how far chance alone would take them."""

    column: str
    distances: tuple[float | None, ...]
    noise: float
    worst: int  # the period
    is_time: bool = False  # it follows the calendar: every period has values of its own
    null_shares: tuple[float | None, ...] = ()


class DriftView(msgspec.Struct, frozen=True, kw_only=True):
    """The columns over time."""

    time: str
    periods: tuple[str, ...]
    n_rows: tuple[int, ...]
    columns: tuple[ColumnDrift, ...]


class GroupCell(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one group: their share with its 95 % interval, beside the share the reference says there should be."""

    values: tuple[str, ...]
    n: int
    share: float
    low: float
    high: float
    expected: float | None = None
    verdict: str = ""  # too few | too many | as expected | absent | ""
    is_small: bool = False  # too few rows to judge a model on
    rate: RelationBin | None = None  # the target among them


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in the data, by one column or two crossed."""

    columns: tuple[str, ...]
    cells: tuple[GroupCell, ...]
    reference: str = ""  # what the expected shares are from
    n_hidden: int = 0  # groups with too few rows to be shown


class NearColumn(msgspec.Struct, frozen=True):
    """Rows that equal another in all columns but this one."""

    column: str
    n: int


class RepeatView(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are there more than once, or nearly so."""

    repeated_share: float
    is_estimated: bool
    n_sampled: int
    chance_share: float = 0.0  # that would repeat another if the columns knew nothing of each other
    near_chance: float = 0.0  # that would but for one column
    n_near: int  # of the sampled rows, how many differ from another in one column, or in letter case, blanks and rounding
    near: tuple[NearColumn, ...] = ()


class OverlapView(msgspec.Struct, frozen=True, kw_only=True):
    """How much of another dataset's rows are in this one."""

    other: str
    columns: tuple[str, ...]
    n_other: int  # rows of the other that were looked up
    n_found: int
    chance_share: float = 0.0  # of rows that would be found if the columns knew nothing of each other
    keys: tuple[str, ...] = ()
    n_keys_found: int = 0
    is_sampled: bool = False
    unseen: tuple[tuple[str, float], ...] = ()  # column, share of the other's rows whose category is not here


class Suggestion(msgspec.Struct, frozen=True):
    """Something to try: in words, and how to write it."""

    text: str
    code: str = ""


class Exploration(msgspec.Struct, frozen=True, kw_only=True):
    """What a table is like."""

    ref: str
    n_rows: int
    n_columns: int
    n_sampled: int
    n_complete: int  # rows without a missing value
    warnings: tuple[Warned, ...] = ()
    columns: tuple[ColumnView, ...] = ()
    missing: tuple[MissingPair, ...] = ()
    outliers: tuple[Outliers, ...] = ()
    names: tuple[str, ...] = ()  # of the matrix
    matrix: tuple[tuple[float | None, ...], ...] = ()
    associations: tuple[Association, ...] = ()
    target: TargetView | None = None
    drift: DriftView | None = None
    groups: tuple[GroupView, ...] = ()
    repeats: RepeatView | None = None
    overlap: OverlapView | None = None
    rules: tuple[Suggestion, ...] = ()
    cleaning: tuple[Suggestion, ...] = ()
    features: tuple[Suggestion, ...] = ()

"""A feature view: what a model is asked about, the moment of prediction, the label, and features defined once for batch, past and online.

    late = Label(flights.arr_delay >= 15, known_at=landed, missing="no label when arr_delay is missing: cancelled")
    flights_view = view("flights-late", on="flights", columns=flights, key=["year", …], moment=departure - 2 * HOUR, label=late,
                        features={"distance": flights.distance, "carrier_rate": feature(flights.carrier, encode=Means())})

A column declared `later=True` can be used in the label and inside `past` only; a feature that reads it is refused when it is defined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from sampan.core.decoding import read_json
from sampan.core.digests import Digest, digest_value
from sampan.core.refs import nearest
from sampan.errors import ParameterError
from sampan.features.encoding import Codes, Encoding, Means
from sampan.features.expressions import Columns, Expr, FieldSpec, constant
from sampan.features.nodes import AsOf, Column, Fetched, Kind, Lookup, Node, Past, Planned, children, request_children, walk, with_moment
from sampan.features.operations import kind_of
from sampan.features.texts import Letters, TextEncoding, Words, faults

if TYPE_CHECKING:
    import polars as pl

Family = Literal["derivative", "enrichment", "encoding", "combination"]
MOMENT, LABEL, KNOWN_AT = "__moment", "__label", "__known_at"
PLANNED = ".planned"  # suffix of a plan among the online tables


class LabelSpec(msgspec.Struct, frozen=True):
    """What is predicted, when it becomes known, and the declared rule for rows that have none."""

    value: Node
    known_at: Node
    missing: str


class Feature(msgspec.Struct, frozen=True):
    """One column of the model's input."""

    name: str
    value: Node
    family: Family
    encoding: Encoding | TextEncoding | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """Declare a label: a flag, a number or the name of a class, the moment it becomes known, and why a row may have none."""

    value: Expr
    known_at: Expr
    missing: str = "no label where its columns are missing"


@dataclass(frozen=True, slots=True)
class FeatureOptions:
    """An expression with what else is to be said about the feature; made by `feature`."""

    value: Expr
    encode: Encoding | TextEncoding | None
    family: Family | None
    description: str


def feature(
    value: Expr, *, encode: Encoding | TextEncoding | None = None, family: Family | None = None, description: str = ""
) -> FeatureOptions:
    """Say more about a feature than its expression: how to encode it, its family where it is not plain, what it means."""
    if family is not None and family not in get_args(Family):
        raise ParameterError(f"no feature family {family!r}", hint=f"one of {', '.join(get_args(Family))}")
    if encode is not None and value.kind != "text":
        raise ParameterError(f"{value!r} is no category to encode", hint="encode text; cut and compare give numbers that need no encoding")
    return FeatureOptions(value, encode, family, description)


class View(msgspec.Struct, frozen=True):
    """A checked feature view; build it with `view` or `features`."""

    name: str
    on: str
    columns: dict[str, FieldSpec]
    key: tuple[str, ...]
    slices: tuple[str, ...]
    moment: Node
    label: LabelSpec | None
    features: tuple[Feature, ...]

    @property
    def digest(self) -> Digest:
        """The digest of the whole definition."""
        return digest_value(self)

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of other tables it needs."""
        return tuple(sorted({n.table for n in self.nodes() if isinstance(n, Lookup | AsOf | Planned)} - {self.on}))

    def request_schema(self) -> dict[str, FieldSpec]:
        """Return the raw fields every request carries: those features read, the key and the slices."""
        used = {*self.key, *self.slices, *self.request_columns()}
        return {name: spec for name, spec in self.columns.items() if name in used}

    def event_columns(self) -> tuple[str, ...]:
        """Return the columns of the view's own table that outcomes are fed with; () if no feature looks at the past."""
        pasts = [n for n in self.nodes() if isinstance(n, Past)]
        used = {c.name for p in pasts for part in (*p.by, p.value, p.known_at) for c in walk(part) if isinstance(c, Column)}
        return tuple(name for name in self.columns if name in used)

    def feed_columns(self) -> tuple[str, ...]:
        """Return the columns an outcome is fed with: those of `event_columns` and the key, by which one fed twice counts once."""
        events = self.event_columns()
        return tuple(dict.fromkeys((*self.key, *events))) if events else ()

    def unlabelled(self, frame: pl.DataFrame) -> dict[str, int]:
        """Count rows of a batch without a label, under the rule that was declared for them."""
        return {self.label.missing: frame[LABEL].null_count()} if self.label is not None else {}

    def roots(self) -> Iterator[Node]:
        """Iterate over everything it computes: the moment of prediction, the label, the features."""
        yield self.moment
        if self.label is not None:
            yield from (self.label.value, self.label.known_at)
        for item in self.features:
            yield item.value

    def nodes(self) -> Iterator[Node]:
        """Iterate over the parts of all features, those inside `past` included."""
        for item in self.features:
            yield from walk(item.value)

    def request_columns(self) -> set[str]:
        """Return the columns that features and the moment of prediction read from the asking row."""
        roots = [self.moment, *(f.value for f in self.features)]
        return {n.name for root in roots for n in walk(root, request_children) if isinstance(n, Column)}


def view(
    name: str,
    *,
    on: str,
    columns: Columns,
    key: Sequence[str],
    moment: Expr,
    features: Mapping[str, Expr | FeatureOptions],
    label: Label | None = None,
    slices: Sequence[str] = (),
) -> View:
    """Define a feature view.

    Parameters
    ----------
    on : the name of the table whose rows are predicted for
    columns : that table's columns as far as they are used
    key : columns that together name a row
    moment : the moment of prediction, an expression over columns known in advance
    slices : columns kept beside the features, by which results are told apart

    Raises
    ------
    ParameterError : all faults of the definition at once, a feature that would see the future among them.
    """
    built = View(
        name=name,
        on=on,
        columns=dict(columns),
        key=tuple(key),
        slices=tuple(slices),
        moment=moment.node,
        label=None if label is None else LabelSpec(constant(label.value).node, label.known_at.node, label.missing),
        features=tuple(make_feature(n, f, moment.node) for n, f in features.items()),
    )
    try:
        # By way of JSON: a definition just written and one read from a file are the same, 2 for 2.0 and other slips included.
        built = read_json(msgspec.json.encode(built), View)
    except msgspec.ValidationError as cause:
        raise ParameterError(
            f"view {name!r} has a value that cannot be: {cause}", hint="see the types of view() and of what it is given"
        ) from cause
    check_view(built)
    return built


def features(
    *, on: str, columns: Columns, key: Sequence[str], moment: Expr, label: Label | None = None, slices: Sequence[str] = (), name: str = ""
) -> Callable[[Callable[[Columns], Mapping[str, Expr | FeatureOptions]]], View]:
    """Define a feature view by a function that is given the columns and returns its features. It is named after the function."""

    def define(function: Callable[[Columns], Mapping[str, Expr | FeatureOptions]]) -> View:
        title = name or function.__name__.replace("_", "-")
        return view(title, on=on, columns=columns, key=key, moment=moment, features=function(columns), label=label, slices=slices)

    return define


def make_feature(name: str, given: Expr | FeatureOptions, moment: Node) -> Feature:
    """Make a feature of an expression; `moment` is the view's moment of prediction."""
    options = given if isinstance(given, FeatureOptions) else feature(constant(given))
    encoding = options.encode or (Codes() if options.value.kind == "text" else None)
    node = with_moment(options.value.node, moment)
    return Feature(name, node, options.family or _family(node, encoding), encoding, options.description)


def _family(node: Node, encoding: Encoding | TextEncoding | None) -> Family:
    """Tell a feature's family by how it is made."""
    if encoding is not None:
        return "combination" if len(_own_columns(node)) > 1 else "encoding"
    if isinstance(node, Fetched):
        return "enrichment"
    parts = list(walk(node, lambda n: () if isinstance(n, Fetched) else children(n)))
    fetched = {p for p in parts if isinstance(p, Fetched)}
    columns = {p for p in parts if isinstance(p, Column)}
    if len(fetched) + len(columns) > 1:
        return "combination"
    return "enrichment" if fetched else "derivative"


def _own_columns(node: Node) -> set[str]:
    return {n.name for n in walk(node, request_children) if isinstance(n, Column)}


def check_view(built: View) -> None:
    """Check a view, whether it was just defined or came from a file.

    Raises
    ------
    ParameterError : all faults at once.
    """
    faults = [*_identity_faults(built), *_kind_faults(built)]
    for item in built.features:
        faults += [f"feature {item.name!r} {fault}" for fault in _future_faults(built, item.value)]
    faults += [f"the moment of prediction {fault}" for fault in _future_faults(built, built.moment)]
    if faults:
        raise ParameterError(f"view {built.name!r}: " + "; ".join(faults), hint="mend the view's definition")


def _identity_faults(built: View) -> Iterator[str]:
    taken = {MOMENT, LABEL, KNOWN_AT, *built.key, *built.slices}
    names = [f.name for f in built.features]
    yield from (f"feature {n!r} has the name of a key or slice column; call it otherwise, say {n}_code" for n in names if n in taken)
    if not names:
        yield "there are no features"
    if not built.key and built.label is not None:
        yield "there is no key by which labels could find their rows"
    for column in (*built.key, *built.slices):
        if column not in built.columns:
            close = nearest(column, built.columns)
            yield f"key or slice column {column!r} is not declared" + (f", did you mean {' or '.join(close)}?" if close else "")
    for root in built.roots():
        for n in walk(root):
            if isinstance(n, Column) and (n.name not in built.columns or built.columns[n.name].type != n.kind):
                yield f"column {n.name!r} is not declared as {n.kind}"


def _kind_faults(built: View) -> Iterator[str]:
    wanted: list[tuple[str, Node, tuple[Kind, ...]]] = [("the moment of prediction", built.moment, ("moment",))]
    if built.label is not None:
        wanted += [("the label", built.label.value, ("flag", "number", "text")), ("known_at", built.label.known_at, ("moment",))]
    for what, node, kinds in wanted:
        if kind_of(node) not in kinds:
            yield f"{what} is a {kind_of(node)}, not a {' or '.join(kinds)}"
    for item in built.features:
        if (kind_of(item.value) == "text") != (item.encoding is not None):
            yield f"feature {item.name!r} is {kind_of(item.value)}, which does not fit its encoding"
        if isinstance(item.encoding, Words | Letters):
            yield from (f"feature {item.name!r}: {fault}" for fault in faults(item.encoding))
        if kind_of(item.value) == "moment":
            yield f"feature {item.name!r} is a moment, which no model can learn from; take a part of it or a difference"
        if built.label is not None and isinstance(item.encoding, Means) and kind_of(built.label.value) == "text":
            yield f"feature {item.name!r} is encoded by the mean label, and the label is text; encode it by Codes()"


def _future_faults(built: View, root: Node) -> Iterator[str]:
    """Find where a feature would see what is not known yet."""
    later = {name for name, spec in built.columns.items() if spec.later}
    for n in walk(root, request_children):
        if isinstance(n, Column) and n.name in later:
            yield f"reads {n.name!r}, which is known only later; use it through past(…) or in the label"
        if isinstance(n, Lookup | AsOf) and n.table == built.on:
            yield f"fetches from {built.on!r} itself, which would show the future; use past(…)"
        if isinstance(n, Planned) and n.table == built.on:
            yield from (f"counts by {m.column!r}, which is known only later" for m in n.keys if m.column in later)

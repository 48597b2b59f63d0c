"""`sampan compare A B …` and `sampan diff A B`: things side by side, what differs, the important first.

What there is to say of a thing is its sheet: sections of named cells. Which function writes a kind's sheet is found by the kind in the
group `sampan.differs`, so a plug-in's kind is compared as well; any other is told by what is recorded of every node. Laying sheets side by
side is the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from sampan import plugins
from sampan.core.events import Tagged
from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.errors import AmbiguousRef, ParameterError
from sampan.workspace.operation import Room, operation
from sampan.workspace.runs.comparing_answers import Cell, Comparison, Line, Noted, Section, Side

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

DIFFERS: Final = "sampan.differs"
NOTE: Final = "mlflow.note.content"  # the tag that clients of MLflow write a description into
MOST_SIDES: Final = 20
_MOST_DIFF_LINES: Final = 400
_NUMBERLESS = 0.5  # the weight of words that differ: between a small and a large change of a number
_MISSING = 0.75
_LOWER_IS_BETTER = ("loss", "error", "rmse", "mae", "mse", "mape", "brier", "cost", "deviance", "perplexity", "pinball", "seconds")
_NEITHER = ("mean", "if")  # a mean score is no score; what it would cost if …
_UNKNOWN_WHERE_EMPTY: Final = frozenset({"curves", "labels", "features", "code", "libraries", "environment", "contract", "slices"})
_HIGHER_IS_BETTER = ("auc", "accuracy", "acc", "f1", "precision", "recall", "r2", "score", "map", "ndcg", "bleu")

Names = list[str]


class Sheet(msgspec.Struct):
    """What there is to say of one thing: sections of named cells, in a reader's order, and texts that may be compared line by line."""

    sections: dict[str, dict[str, Cell]] = msgspec.field(default_factory=dict)
    texts: dict[str, str] = msgspec.field(default_factory=dict)
    withheld: str = ""  # why values of the data behind it are left out

    def add(self, section: str, name: str, value: Cell | str) -> None:
        """Write one cell."""
        self.sections.setdefault(section, {})[name] = Cell(value) if isinstance(value, str) else value


Writer = Callable[["Workspace", Node], Sheet]


class Comparing(Room):
    """The top-level verbs that lay things side by side."""

    noun: ClassVar[str] = ""

    @operation(reads=True)
    def compare(self, refs: Names, *, everything: bool = False) -> Comparison:
        """Lay runs or models side by side: what differs, the important first.

        Metrics with their intervals, slices, curves, data, labels, features, parameters, code, libraries, environment. The first is what
        the others are held against; the best of a metric is starred.

        Parameters
        ----------
        refs : two or more, such as flights-late@v1 flights-late@v2, or the first digits of runs
        everything : also what is the same on all sides
        """
        if not 2 <= len(refs) <= MOST_SIDES:
            raise ParameterError(f"{len(refs)} things to compare", hint=f"name 2 to {MOST_SIDES}")
        nodes = [meant(self.ws, ref) for ref in refs]
        models = [node for node in nodes if node.kind == "model"]
        following = f"sampan why {quote(models[0].ref)} {quote(models[-1].ref)}" if len(models) == len(nodes) else ""
        found = self._lay(nodes, everything=everything, following=(following,) if following else ())
        tests = _paired_tests(self.ws, nodes) if following else None
        return msgspec.structs.replace(found, sections=(tests, *found.sections)) if tests else found

    @operation(reads=True)
    def diff(self, before: str, after: str, *, everything: bool = False) -> Comparison:
        """Say what differs between any two things: datasets, runs, models, reports, decisions, explanations, contracts, packages.

        Parameters
        ----------
        before, after : such as flights@v1 flights@v2, or decision:flights-late@v1 decision:flights-late@v2
        everything : also what is the same
        """
        old, new = meant(self.ws, before), meant(self.ws, after)
        rows = (f"sampan data diff {quote(old.ref)} {quote(new.ref)}",) if old.kind == new.kind == "dataset" else ()
        return self._lay([old, new], everything=everything, following=rows or (f"sampan lineage {quote(named(new))}",))

    @operation()
    def note(self, ref: str, text: str) -> Noted:
        """Write a note on a run, a model or anything else; it stands beside it wherever it is compared. An empty text removes it.

        Parameters
        ----------
        ref : what the note is about
        text : the note
        """
        node = meant(self.ws, ref)
        self.ws.ledger.append(Tagged(node=node.id, key=NOTE, value=text.strip() or None))
        return Noted(ref=named(node), note=text.strip(), next=(f"sampan log {quote(named(node))}",))

    def _lay(self, nodes: Sequence[Node], *, everything: bool, following: tuple[str, ...]) -> Comparison:
        sheets = [write_sheet(self.ws, node) for node in nodes]
        kinds = {node.kind for node in nodes}
        notes = () if len(kinds) == 1 or kinds == {"run", "model"} else (f"these are of several kinds: {', '.join(sorted(kinds))}",)
        withheld = dict.fromkeys(f"values are not shown: {sheet.withheld}" for sheet in sheets if sheet.withheld)
        return Comparison(
            sides=tuple(side_of(self.ws, node) for node in nodes),
            sections=tuple(side_by_side(sheets, everything=everything)),
            diffs=text_diffs(*(sheet.texts for sheet in sheets)) if len(sheets) == 2 else {},
            notes=(*notes, *withheld),
            next=following,
        )


def meant(ws: Workspace, ref: str) -> Node:
    """Return what a person means by a reference: the model or dataset where a run, a report or a decision has the same name."""
    try:
        return ws.catalog.resolve(ref)
    except AmbiguousRef as ambiguous:
        kinds = {candidate.partition(":")[0] for candidate in ambiguous.candidates}
        kind = next((kind for kind in ("model", "dataset") if kind in kinds), "")
        if not kind:
            raise
        return ws.catalog.resolve(ref, kind=kind)


def write_sheet(ws: Workspace, node: Node) -> Sheet:
    """Write the sheet of a node by the function of its kind."""
    kind = node.kind if node.kind in plugins.names(DIFFERS) else "*"
    writer: Writer = plugins.find(DIFFERS, kind)
    return writer(ws, node)


def side_of(ws: Workspace, node: Node) -> Side:
    """Return a node as the head of a column."""
    if node.kind == "run":
        row = ws.catalog.run(node.id)
        title, state, started, run = row.title, row.state, iso(row.started), node.id
    else:
        title, state, started = ", ".join(node.aliases), node.state, iso(node.created)
        run = next((e.src for e in ws.catalog.edges_to(node.id) if e.role == "derived_from"), "") if node.kind == "model" else ""
    note = ws.catalog.tags(node.id).get(NOTE, "")
    return Side(ref=named(node), node=node.id, kind=node.kind, title=title, state=state, started=started, run=run, note=note)


def named(node: Node) -> str:
    """Return the reference to type for a node: a run is named by the beginning of its id."""
    return node.id[:12] if node.kind == "run" or node.version is None else f"{node.kind}:{node.ref}" if _is_behind(node) else node.ref


def _is_behind(node: Node) -> bool:
    """Say whether a node shares its name with the model or dataset it is about, so that only its kind tells which is meant."""
    return node.kind not in ("dataset", "model")


def _paired_tests(ws: Workspace, models: Sequence[Node]) -> Section | None:
    """Return what decisions found when they tested the models against the first on the same rows; None if none did."""
    first, *others = models
    tests = [_newest_test(ws, first, other) for other in others]
    metrics = dict.fromkeys(metric for test in tests for metric in test)
    lines = tuple(Line(metric, (None, *(test.get(metric) for test in tests)), differs=True, weight=1.0) for metric in metrics)
    return Section(f"paired tests against {first.ref}", lines, n_known=len(models)) if lines else None


def _newest_test(ws: Workspace, champion: Node, model: Node) -> dict[str, Cell]:
    about = (ws.catalog.node(edge.dst) for edge in ws.catalog.edges_from(model.id) if edge.role == "input")
    tested = [each for each in about if each.kind == "decision" and each.facts["model"] == model.id and each.facts["paired"]]
    tested = [each for each in tested if each.facts["champion"] == champion.id]
    if not tested:
        return {}
    newest = max(tested, key=lambda each: each.version or 0)
    found = {}
    for each in newest.facts["paired"]["differences"]:
        needed = f", {each['rows_needed']:,} more rows would show it" if each["rows_needed"] else ""
        cell = figure_cell(each["difference"])
        found[each["metric"]] = msgspec.structs.replace(cell, text=f"{each['verdict']}: {cell.text}{needed}")
    return found


def side_by_side(sheets: Sequence[Sheet], *, everything: bool = False) -> list[Section]:
    """Lay sheets beside each other; sections keep the order in which they first appear."""
    found = []
    for title in dict.fromkeys(title for sheet in sheets for title in sheet.sections):
        parts = [sheet.sections.get(title, {}) for sheet in sheets]
        # What was not recorded is not known; it is not a difference.
        known = [place for place, part in enumerate(parts) if part or title not in _UNKNOWN_WHERE_EMPTY]
        if len(known) < 2:
            found.append(Section(title, (), n_known=1))
            continue
        names = dict.fromkeys(name for part in parts for name in part)
        lines = [_line(name, [part.get(name) for part in parts], known) for name in names]
        differing = sorted((line for line in lines if line.differs), key=lambda line: -line.weight)
        same = [line for line in lines if not line.differs]
        found.append(Section(title, (*differing, *(same if everything else ())), n_same=len(same), n_known=len(known)))
    return found


def _line(name: str, cells: Sequence[Cell | None], known: Sequence[int]) -> Line:
    beside = [cells[place] for place in known]
    if len({cell.identity if cell else None for cell in beside}) == 1:
        return Line(name, tuple(cells), differs=False)
    numbers = [cell.number for cell in cells if cell is not None and cell.number is not None and math.isfinite(cell.number)]
    best = _best(name, cells) if len(numbers) > 1 else None
    return Line(name, tuple(cells), differs=True, weight=_weight(beside, numbers), best=best, note=_interval_note(cells))


def _weight(cells: Sequence[Cell | None], numbers: Sequence[float]) -> float:
    """Weigh a line that differs: intervals that lie apart first, then what a side lacks, then by how far numbers are apart."""
    if _are_apart(cells):
        return 1.0
    if any(cell is None for cell in cells):
        return _MISSING
    if len(numbers) < len(cells):
        return _NUMBERLESS
    scale = max(abs(number) for number in numbers)
    return (max(numbers) - min(numbers)) / (2 * scale) if scale else 0.0


def _are_apart(cells: Sequence[Cell | None]) -> bool:
    spans = [(cell.low, cell.high) for cell in cells if cell is not None and cell.low is not None and cell.high is not None]
    return len(spans) > 1 and max(low for low, _ in spans) > min(high for _, high in spans)


def _interval_note(cells: Sequence[Cell | None]) -> str:
    if sum(cell is not None and cell.low is not None for cell in cells) < 2:
        return ""
    return "intervals apart" if _are_apart(cells) else "intervals overlap"


def _best(name: str, cells: Sequence[Cell | None]) -> int | None:
    higher = is_higher_better(name)
    if higher is None:
        return None
    numbers = [(cell.number, place) for place, cell in enumerate(cells) if cell is not None and cell.number is not None]
    numbers = [pair for pair in numbers if math.isfinite(pair[0])]
    value = (max if higher else min)(numbers)[0]
    first, *others = [place for number, place in numbers if number == value]
    return None if others else first


def is_higher_better(metric: str) -> bool | None:
    """Say by its name which way a metric is better; None where the name does not tell.

    >>> is_higher_better("test_log_loss"), is_higher_better("val/AUC"), is_higher_better("n_rows")
    (False, True, None)
    """
    words = set(metric.lower().replace("/", "_").replace("-", "_").replace(" ", "_").replace(".", "_").split("_"))
    if words & set(_NEITHER):
        return None
    if words & set(_LOWER_IS_BETTER):
        return False
    return True if words & set(_HIGHER_IS_BETTER) else None


def text_diffs(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Compare two sides' texts line by line; those that are alike are left out."""
    import difflib

    found = {}
    for name in sorted({*before, *after}):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), "before", "after", lineterm=""))
            cut = [f"… and {len(lines) - _MOST_DIFF_LINES:,} more lines"] if len(lines) > _MOST_DIFF_LINES else []
            found[name] = "\n".join([*lines[:_MOST_DIFF_LINES], *cut])
    return found


def cell_of(value: Any) -> Cell:
    """Return the cell of a plain value: numbers keep their number, a figure with an interval its ends."""
    if isinstance(value, Mapping) and "value" in value:
        return figure_cell(value)
    if isinstance(value, bool) or value is None:
        return Cell(str(value).lower() if value is not None else "none")
    if isinstance(value, int | float):
        return Cell(_number_text(value), number=float(value) if math.isfinite(value) else None, key=repr(value))
    return Cell(value if isinstance(value, str) else str(value))


def figure_cell(figure: Mapping[str, Any]) -> Cell:
    """Return the cell of a figure with its interval, as reports keep one."""
    value, low, high = figure.get("value"), figure.get("low"), figure.get("high")
    if value is None:
        return Cell("unknown")
    between = "" if low is None or high is None else f" ({low:.4g} to {high:.4g})"
    return Cell(f"{value:.4g}{between}", number=value, low=low, high=high, key=repr((value, low, high)))


def text_cell(text: str) -> Cell:
    """Return the cell of a logged text, as a number where it is one."""
    try:
        number = float(text)
    except ValueError:
        return Cell(text)
    is_whole = text.lstrip("-").isdecimal()
    return Cell(text if is_whole else _number_text(number), number=number if math.isfinite(number) else None, key=text)


def _number_text(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"

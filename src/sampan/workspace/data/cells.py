"""Cells that are probably wrong: find them without a contract, repair them in a version of their own."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.changes import AddEdge, AddNode, Change
from sampan.core.events import Event, new_id
from sampan.core.graph import Node, NodeId
from sampan.errors import ParameterError
from sampan.workspace.data.cells_answers import CellErrorsFound, CellGroupLine, CellLine, Repaired
from sampan.workspace.data.dataset_edits import AddColumns, Edits
from sampan.workspace.data.room import PROFILE, DataRoom, Names
from sampan.workspace.operation import operation
from sampan.workspace.parameters import Count

if TYPE_CHECKING:
    import polars as pl

    from sampan.data.cells import CellErrors

FINDING = "cells"  # the kind of a recorded finding
_LOOKING = 2  # raise when the same table would be judged otherwise
_SHOWN_CELLS = 20
_MOST_CELLS = 100_000  # one answer may list
_SURE = 0.7


class CellsJudged(Event, frozen=True, kw_only=True):
    """A dataset version was searched for wrong cells. Counts and reasons are recorded; the cells are found again when asked for."""

    type: ClassVar[str] = "cells_judged"

    node: NodeId
    name: str
    dataset: NodeId
    facts: dict[str, Any]

    def subject(self) -> NodeId:
        """Return the finding."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the finding and what it looked at."""
        state = "found" if self.facts["n_wrong"] else "none"
        return (
            AddNode(id=self.node, kind=FINDING, name=self.name, state=state, facts=self.facts),
            AddEdge(dst=self.node, src=self.dataset, role="evaluated_on"),
        )


class Cells(DataRoom):
    """The verbs of wrong cells."""

    @operation()
    def errors(self, ref: str, *, kinds: Names | None = None, columns: Names | None = None, limit: Count = _SHOWN_CELLS) -> CellErrorsFound:
        """Find cells that are probably wrong, each with a suggested repair; no contract is needed.

        Typos, spellings, broken dependencies between columns, odd shapes, numbers far from the rest, single gaps, misplaced units,
        placeholders, damaged text, values in the wrong column.

        Parameters
        ----------
        kinds : only these faults, e.g. typo,unit
        columns : only in these columns
        limit : how many cells to list, 0 to 100,000; all are counted
        """
        if not 0 <= limit <= _MOST_CELLS:
            raise ParameterError(f"limit is {limit}", hint="0 to 100,000")
        node = self._readable(ref)
        self._check_columns(node, columns or [])
        found = self._find(node)
        recorded, _ = self.ws.engine.once("cells", [_LOOKING, node.id], lambda: self._record_finding(node, found))
        answer = _answer(node, found, _chosen(found, kinds, columns, at_least=0.0), limit)
        return msgspec.structs.replace(answer, found=self.ws.catalog.node(recorded).ref)

    def look(self, ref: str, *, limit: Count = _SHOWN_CELLS) -> CellErrorsFound:
        """Find suspicious cells as `errors` does, and record nothing."""
        node = self._readable(ref)
        found = self._find(node)
        return _answer(node, found, found.cells, limit)

    @operation()
    def repair(
        self,
        ref: str,
        *,
        kinds: Names | None = None,
        columns: Names | None = None,
        confidence: float = _SURE,
        rows: Names | None = None,
        leave: Names | None = None,
    ) -> Repaired:
        """Apply the suggested repairs as a new version; only the repaired columns are written.

        A text column in which only numbers are left becomes a column of numbers, and the answer says so. Where the
        dataset went on since that version, the repair is refused if its rows or these columns changed.

        Parameters
        ----------
        kinds : only these faults, e.g. typo,unit
        columns : only in these columns
        confidence : only repairs at least this sure, 0 to 1
        rows : only in these rows, by the numbers that `data errors` shows, e.g. 5,50
        leave : not these cells, by row or by row and column, e.g. 7,60:zip
        """
        if not 0 <= confidence <= 1:
            raise ParameterError(f"confidence is {confidence}", hint="0 to 1")
        node = self._readable(ref)
        self._check_columns(node, columns or [])
        found = self._find(node)
        chosen = _repairable(_without(_chosen(found, kinds, columns, at_least=confidence, rows=rows), leave or [], found))
        left = found.cells.height - chosen.height
        if not chosen.height:
            following = (f"sampan data errors {quote(node.ref)}",)
            return Repaired(before=node.ref, after=node.ref, unchanged=True, n_repaired=0, n_left=left, next=following)
        after, retyped = self._commit_repairs(node, chosen)
        return Repaired(
            before=node.ref,
            after=after.ref,
            unchanged=False,
            n_repaired=chosen.height,
            n_left=left,
            by_column=_by_column(chosen),
            retyped=retyped,
            next=(f"sampan data diff {quote(node.ref)} {quote(after.ref)}", f"sampan data errors {quote(after.ref)}"),
        )

    def _find(self, node: Node) -> CellErrors:
        from sampan.data.cells import N_LOOKS, find_cell_errors

        frame = self.ws.store.tables.read(node.digest)
        with self.ws.progress.stage("looking for wrong cells", total=N_LOOKS, unit="looks") as stage:
            return find_cell_errors(frame, done=lambda look: stage.advance(1, look))

    def _record_finding(self, node: Node, found: CellErrors) -> str:
        groups = [msgspec.to_builtins(line) for line in _group_lines(found)]
        facts = {"n_wrong": found.cells.height, "n_repairs": _repairable(found.cells).height, "n_rows": found.n_rows, "groups": groups}
        event = CellsJudged(node=new_id(), name=f"{node.name}.cells", dataset=node.id, facts=facts)
        self.ws.ledger.append(event)
        return event.node

    def _commit_repairs(self, node: Node, chosen: pl.DataFrame) -> tuple[Node, dict[str, str]]:
        from sampan.data.cells_repair import apply_repairs

        tables = self.ws.store.tables
        touched = sorted(set(chosen["column"]))
        mended = apply_repairs(tables.scan(node.digest).select(touched).collect(), chosen)
        retyped = {
            name: f"{dtype}, no longer text" for name, dtype in mended.schema.items() if node.facts["columns"].get(name) != str(dtype)
        }
        notes = [f"{chosen.height:,} cells repaired in {', '.join(touched)}"]
        edits = Edits(self.ws, lambda version: {PROFILE: self._record_profile(version.digest)})
        made = edits.apply(node, AddColumns(mended, (), verb="repair"), facts={"notes": notes, "repaired": _by_column(chosen)})
        return made, retyped


def newest_finding(room: DataRoom, node: Node) -> Node | None:
    """Return the newest search for wrong cells of a dataset version."""
    found = [room.ws.catalog.node(edge.dst) for edge in room.ws.catalog.edges_from(node.id) if edge.role == "evaluated_on"]
    return max((one for one in found if one.kind == FINDING), key=lambda one: one.seq, default=None)


def _answer(node: Node, found: CellErrors, chosen: pl.DataFrame, limit: int) -> CellErrorsFound:
    following = f"sampan data repair {quote(node.ref)}" if chosen.height else f"sampan data profile {quote(node.ref)}"
    return CellErrorsFound(
        ref=node.ref,
        n_rows=found.n_rows,
        n_cells=found.n_rows * found.n_columns,
        n_wrong=chosen.height,
        n_repairs=_repairable(chosen).height,
        groups=_group_lines(msgspec.structs.replace(found, cells=chosen)),
        cells=_cell_lines(chosen, limit),
        next=(following,),
    )


def _chosen(found: CellErrors, kinds: Names | None, columns: Names | None, *, at_least: float, rows: Names | None = None) -> pl.DataFrame:
    import polars as pl

    from sampan.data.cells import KINDS

    if unknown := sorted(set(kinds or ()) - set(KINDS)):
        raise ParameterError(f"no fault is called {', '.join(unknown)}", hint="one of " + ", ".join(KINDS))
    chosen = found.cells.filter(pl.col("confidence") >= at_least)
    if kinds:
        chosen = chosen.filter(pl.col("kind").is_in(kinds))
    if rows:
        chosen = chosen.filter(pl.col("row").is_in([_place(row, found)[0] for row in rows]))
    return chosen.filter(pl.col("column").is_in(columns)) if columns else chosen


def _without(cells: pl.DataFrame, leave: Names, found: CellErrors) -> pl.DataFrame:
    """Leave out the cells that are to stay as they are."""
    import polars as pl

    for row, column in (_place(one, found) for one in leave):
        cells = cells.filter(~((pl.col("row") == row) & ((pl.col("column") == column) if column else True)))
    return cells


def _place(text: str, found: CellErrors) -> tuple[int, str]:
    """Read ROW or ROW:COLUMN, which must be of a cell that looks wrong."""
    import polars as pl

    row, _, column = text.partition(":")
    there = found.cells.filter(pl.col("row") == int(row)) if row.isdecimal() else found.cells.clear()
    if there.is_empty() or (column and column not in there["column"]):
        raise ParameterError(f"no cell looks wrong at {text!r}", hint="a row's number as `sampan data errors` shows it, like 7 or 60:zip")
    return int(row), column


def _repairable(cells: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return cells.filter(pl.col("repair").is_not_null() | pl.col("clears"))


def _by_column(cells: pl.DataFrame) -> dict[str, int]:
    counted = cells["column"].value_counts(sort=True)
    return dict(zip(counted["column"].to_list(), counted["count"].to_list(), strict=True))


def _group_lines(found: CellErrors) -> tuple[CellGroupLine, ...]:
    return tuple(CellGroupLine(g.column, g.kind, g.reason, g.n_cells, g.n_repairs) for g in found.groups())


def _cell_lines(cells: pl.DataFrame, limit: int) -> tuple[CellLine, ...]:
    """Take the surest cells, in turns over the columns, so that no column hides the others."""
    import polars as pl

    turn = pl.int_range(pl.len()).over("column", "kind")
    surest = cells.sort("confidence", "row", descending=[True, False], maintain_order=True).with_columns(turn.alias("turn"))
    shown = surest.sort("turn", maintain_order=True).head(limit).sort("row").drop("turn")
    return tuple(CellLine(**row) for row in shown.to_dicts())

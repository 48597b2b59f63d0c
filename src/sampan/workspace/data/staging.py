"""A batch's rows, brought to the columns of the table they come to and written piece by piece, before anything names them.

So a batch of any size is in memory a piece at a time, and what is admitted as it came is not written again: its parts become the table's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from sampan.errors import ParameterError

if TYPE_CHECKING:
    import polars as pl

    from sampan.core.graph import Node
    from sampan.store.tables import TableVersion
    from sampan.table.bad_cells import LeftOut
    from sampan.table.reconcile import Plan
    from sampan.workspace.workspace import Workspace


class Staged(msgspec.Struct, frozen=True):
    """A batch's rows with the table's columns in its order, then added ones; the plan by which they came to that, and what does not fit."""

    table: TableVersion
    plan: Plan
    left_out: tuple[LeftOut, ...] = ()  # rows with a value that is none of the table's type


class Staging(msgspec.Struct, frozen=True):
    """Takes the rows of a batch from its source.

    Parameters
    ----------
    name : the dataset, or one of its branches
    accept : the id of the plan a person agreed to, where the batch's columns are not the table's
    renamed : the table's column by the batch's name
    drop : columns of the batch to leave out
    is_protected : personal data was treated when the rows came first, and the plan agreed to
    only_looks : the rows are looked at and not let in, so that nobody has to agree to the plan yet
    """

    ws: Workspace
    name: str
    source: str
    accept: str = ""
    renamed: Mapping[str, str] | None = None
    drop: Sequence[str] = ()
    is_protected: bool = False
    only_looks: bool = False

    def __call__(self, schema: pl.Schema, frames: Iterator[pl.DataFrame]) -> Staged:
        """Write the rows.

        Raises
        ------
        ParameterError : the columns differ and nobody agreed to the plan; the message is the plan.
        """
        from sampan.store.tables.parts import Pieces
        from sampan.table.csv import gather
        from sampan.table.reconcile import plan_columns
        from sampan.workspace.governing.privacy import actions_digest, protect

        before = self._before()
        # Before the plan: the table has the columns as protection leaves them.
        if not self.is_protected and actions_digest(self.ws, before.name):
            whole = protect(self.ws, before.name, gather(schema, frames))
            schema, frames = whole.schema, iter([whole])
        tables = self.ws.store.tables
        wanted = tables.schema(before.digest)
        plan = plan_columns(wanted, schema, renamed=self.renamed or {}, drop=self.drop)
        self._require_consent(plan)
        if not plan.steps and not self.renamed:  # nothing to bring about: what the reader has at hand is written
            return Staged(tables.create(Pieces(schema, frames)), plan)
        return self._brought(plan, schema, frames, wanted, self.renamed or {})

    def again(self, staged: Staged, before: Node) -> Staged:
        """Bring staged rows to the columns of a version that came meanwhile. Raises ParameterError as above."""
        from sampan.table.reconcile import plan_columns

        tables = self.ws.store.tables
        wanted, there = tables.schema(before.digest), tables.schema(staged.table.digest)
        if list(there.items())[: len(wanted)] == list(wanted.items()):
            return staged
        plan = plan_columns(wanted, there, renamed={}, drop=())
        self._require_consent(plan)
        pieces = tables.scan(staged.table.digest).collect_batches(maintain_order=True, engine="streaming")
        brought = self._brought(plan, there, pieces, wanted, {})
        return msgspec.structs.replace(brought, left_out=(*staged.left_out, *brought.left_out))

    def _brought(
        self, plan: Plan, schema: pl.Schema, frames: Iterator[pl.DataFrame], wanted: Mapping[str, pl.DataType], renamed: Mapping[str, str]
    ) -> Staged:
        """Write the rows with their columns as the plan says; those that do not fit are left out."""
        from sampan.store.tables.parts import Pieces
        from sampan.table.fitting import Fitting
        from sampan.table.reconcile import apply_plan

        planned = apply_plan(plan, schema.to_frame(), wanted, renamed=renamed)
        fitting = Fitting(planned.schema, wanted, source=self.source)
        pieces = fitting.pieces(apply_plan(plan, frame, wanted, renamed=renamed) for frame in frames)
        table = self.ws.store.tables.create(Pieces(fitting.schema, pieces))
        return Staged(table, plan, (fitting.left_out,) if fitting.left_out.n_rows else ())

    def _before(self) -> Node:
        return self.ws.catalog.resolve(self.name, kind="dataset")

    def _require_consent(self, plan: Plan) -> None:
        """Show the plan where a person has to agree to it and has not."""
        # What comes out of quarantine came by a plan.
        agreed = self.accept == plan.id or self.is_protected or self.only_looks
        if not plan.needs_consent or (agreed and not plan.is_impossible):
            return
        said = "\n  ".join([f"the columns of {self.source} are not those of {self.name}:", *plan.lines()])
        if plan.is_impossible:
            raise ParameterError(said, hint="leave the column out (--drop COLUMN), or add the rows as another dataset (sampan data add)")
        if self.accept:
            raise ParameterError(f"{said}\nthe plan {self.accept} was for another batch", hint=f"to do so: --accept {plan.id}")
        raise ParameterError(said, hint=f"to do so: --accept {plan.id}; to name a column yourself: --rename BATCH=TABLE, --drop COLUMN")

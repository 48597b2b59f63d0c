"""A batch coming in: one act that ends in admitted, held or refused, and is recorded whole or not at all.

The order is fixed: personal data is treated as declared, the columns are brought to the table's by a plan, cells that cannot be read send
their rows to quarantine, the contract is checked, the batch is valued; then its rows are appended (or, where the dataset has a key,
upserted) in the one transaction that also holds what is held. Content is written before that transaction and named by nothing until
then: a process killed at any moment leaves the dataset as it was.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.changes import AddEdge, AddNode, Change
from sampan.core.digests import digest_bytes, digest_value
from sampan.core.events import Event, Input, StateChanged, new_id
from sampan.core.graph import Node, NodeId
from sampan.errors import ContractViolated, ParameterError, StaleState
from sampan.workspace.batch_edits import Edit, edit_rows
from sampan.workspace.dataset_edits import VersionEdited, edited
from sampan.workspace.quarantine import HeldCell, Quarantine

if TYPE_CHECKING:
    import polars as pl

    from sampan.table.reconcile import Plan
    from sampan.workspace.admission import BatchVerdict
    from sampan.workspace.workspace import Workspace

DATASET, KIND = "dataset", "batch"
_SHOWN = 5
_MOST_HELD = 0.5  # of a batch's rows; if more break the contract, the batch is wrong, not its rows
_MOST_TRIES = 20
_ROW = "\0row"


class BatchDecided(Event, frozen=True, kw_only=True):
    """A batch for a dataset was admitted, held or refused."""

    type: ClassVar[str] = "batch_decided"

    node: NodeId
    name: str
    state: str  # admitted | held | refused
    digest: str  # of the batch's content, so that it is recognized when it comes again
    dataset: NodeId  # the version it came to
    facts: dict[str, Any]

    def subject(self) -> NodeId:
        """Return the batch."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the batch and what it came to."""
        return (
            AddNode(id=self.node, kind=KIND, name=self.name, digest=self.digest, state=self.state, facts=self.facts),
            AddEdge(dst=self.node, src=self.dataset, role="input"),
        )


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch as it came: its rows with their types found, and the rows in which a cell could not be read, as text."""

    frame: pl.DataFrame
    source: str
    bad_rows: pl.DataFrame | None = None
    bad_cells: tuple[HeldCell, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    readmitted_from: Node | None = None
    rest: tuple[pl.DataFrame, tuple[HeldCell, ...]] | None = None  # what stays of the holding the rows come from
    why: str = ""  # the reason a person gave for letting rows in although they are held


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    state: str  # admitted | held | refused | known
    dataset: Node  # the newest version after it
    batch: Node
    plan: Plan
    before: Node | None = None
    edit: Edit | None = None
    holdings: tuple[Node, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Work:
    """A batch on its way: the rows that may still go on, and those that are held."""

    frame: pl.DataFrame
    held: tuple[tuple[pl.DataFrame, tuple[HeldCell, ...], str], ...] = ()
    reasons: tuple[str, ...] = ()
    verdict: str = ""  # why the whole batch is held; "" while it goes on
    value: BatchVerdict | None = None  # what it would do to the model that exists

    def without(self, rows: Sequence[int], cells: Sequence[HeldCell], why: str) -> _Work:
        """Hold some rows; `cells` count them from 0 in the order of `rows`."""
        held = self.frame[list(rows)]
        kept = self.frame.with_row_index(_ROW).filter(~_is_in(rows)).drop(_ROW)
        return replace(self, frame=kept, held=(*self.held, (held, tuple(cells), why)))


class Batches:
    """The act by which rows come into the datasets of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace
        self.quarantine = Quarantine(workspace)

    def append(
        self, name: str, arrival: Arrival, *, accept: str = "", renamed: Mapping[str, str] | None = None, drop: Sequence[str] = ()
    ) -> Outcome:
        """Take a batch in, hold it, or refuse it.

        Parameters
        ----------
        accept : the id of the plan a person agreed to, where the batch's columns are not the table's
        renamed : the table's column by the batch's name
        drop : columns of the batch to leave out

        Raises
        ------
        ParameterError : the columns differ and nobody agreed to the plan; the message is the plan.
        ContractViolated : the batch breaks a blocking rule as a whole; it is recorded as refused.
        """
        for _ in range(_MOST_TRIES):
            # Someone else may commit a version while this batch is judged: it is judged anew, beside what is there by then.
            with suppress(StaleState):
                return self._attempt(name, arrival, accept, renamed or {}, drop)
        raise StaleState(f"others edit {name} so fast that {_MOST_TRIES} tries came too late", hint="try again in a moment")

    def _attempt(self, name: str, arrival: Arrival, accept: str, renamed: Mapping[str, str], drop: Sequence[str]) -> Outcome:
        from sampan.table.reconcile import apply_plan, plan_columns

        before = self.ws.catalog.resolve(name, kind=DATASET)
        # Before the plan: the table has the columns as protection leaves them.
        arrival = self._protect(before.name, arrival) if arrival.readmitted_from is None else arrival
        schema = self.ws.store.tables.schema(before.digest)
        plan = plan_columns(schema, arrival.frame.schema, renamed=renamed, drop=drop)
        _require_consent(plan, name, arrival, accept)
        frame = apply_plan(plan, arrival.frame, schema, renamed=renamed)
        digest = content_digest(frame, arrival.bad_rows)
        known = self.ws.catalog.find_version(KIND, f"{before.name}.{KIND}", digest)
        if arrival.readmitted_from is None and known is not None and known.state != "refused":
            return Outcome(state="known", dataset=before, batch=known, plan=plan)
        return self._decide(before, arrival, plan, frame, digest)

    def _protect(self, name: str, arrival: Arrival) -> Arrival:
        """Treat personal data as the dataset's terms declare, in the rows that go on and in those that are held."""
        from sampan.workspace.privacy import protect, protect_held

        frame = protect(self.ws, name, arrival.frame)
        if arrival.bad_rows is None:
            return arrival if frame is arrival.frame else replace(arrival, frame=frame)
        rows, cells = protect_held(self.ws, name, arrival.bad_rows, arrival.bad_cells)
        return replace(arrival, frame=frame, bad_rows=rows, bad_cells=cells)

    def _decide(self, before: Node, arrival: Arrival, plan: Plan, frame: pl.DataFrame, digest: str) -> Outcome:
        work = _Work(frame=frame)
        if arrival.bad_rows is not None and arrival.bad_rows.height:
            work = replace(work, held=((arrival.bad_rows, arrival.bad_cells, "cells could not be read"),))
        try:
            work = self._value(self._check(before, work, arrival), before, arrival)
        except ContractViolated as refusal:
            self.ws.ledger.append(self._decided(before, arrival, plan, digest, state="refused", facts={"reasons": list(refusal.reasons)}))
            raise
        return self._commit(before, arrival, plan, work, digest)

    def _check(self, before: Node, work: _Work, arrival: Arrival) -> _Work:
        """Hold the batch against the dataset's contract: rows that break a blocking rule wait, a batch that does so as a whole is refused.

        Rows that a person lets in with a reason were decided on.
        """
        contracts = self.ws.data.contracts
        if not work.frame.height or arrival.why or contracts.read(before.name) is None:
            return work
        result = contracts.check_frame(before.name, work.frame)
        if not result.blocked:
            return work
        broken = tuple(finding.message for finding in result.findings if finding.level == "block")
        if 0 < len(result.rows) <= _MOST_HELD * work.frame.height:
            why = "; ".join(broken[:_SHOWN])
            cells = [HeldCell(row=at, column="", value="", reason=why, source=arrival.source) for at in range(len(result.rows))]
            rest = replace(work.without(result.rows, cells, "rows break the contract"), reasons=(*work.reasons, *broken))
            if not contracts.check_frame(before.name, rest.frame).blocked:
                return rest
        raise ContractViolated(
            f"the batch for {before.name} breaks its contract: " + "; ".join(broken[:_SHOWN]),
            reasons=broken,
            hint="mend the source, or the contract if it is wrong",
        )

    def _value(self, work: _Work, before: Node, arrival: Arrival) -> _Work:
        """Judge what the batch would do to the model that exists; hold the rows, or the batch, that a person has to look at.

        Rows that a person let out of quarantine were looked at.
        """
        from sampan.workspace.admission import judge_batch

        found = judge_batch(self.ws, before, work.frame) if work.frame.height and arrival.readmitted_from is None else None
        if found is None:
            return work
        work = replace(work, value=found, reasons=(*work.reasons, f"{found.verdict}: {'; '.join(found.reasons)}"))
        if found.verdict not in ("suspicious", "harmful"):
            return work
        why = found.reasons[0]
        some = found.verdict == "suspicious" and 0 < len(found.suspicious_rows) < work.frame.height
        rows = sorted(found.suspicious_rows) if some else range(work.frame.height)
        work = work.without(rows, [HeldCell(row=at, column="", value="", reason=why) for at in range(len(rows))], f"{found.verdict}: {why}")
        return work if some else replace(work, verdict=f"{found.verdict}: {why}")

    def _commit(self, before: Node, arrival: Arrival, plan: Plan, work: _Work, digest: str) -> Outcome:
        """Write what is admitted, then record everything in one transaction."""
        edit = edit_rows(self.ws, before, work.frame, plan)
        state = "held" if work.verdict else "admitted"
        facts = {**edit.counts(), "n_held": sum(rows.height for rows, _, _ in work.held), "reasons": list(work.reasons)}
        if work.value is not None:
            facts["admission"] = {"verdict": work.value.verdict, "reasons": list(work.value.reasons), **work.value.facts}
        decided = self._decided(before, arrival, plan, digest, state=state, facts=facts)
        events: list[Event] = [decided]
        changed = edit.version.digest != before.digest and not work.verdict
        if changed:
            events.append(_version(before, decided, edit, arrival))
        holdings = [self.quarantine.stage(before.name, rows, cells, batch=decided.node, why=why) for rows, cells, why in work.held]
        self.ws.ledger.append(*events, *holdings, *self._left(before, arrival))
        catalog = self.ws.catalog
        return Outcome(
            state=state,
            dataset=catalog.node(events[1].subject()) if changed else before,
            batch=catalog.node(decided.node),
            plan=plan,
            before=before,
            edit=edit,
            holdings=tuple(catalog.node(holding.node) for holding in holdings),
            reasons=work.reasons,
        )

    def _left(self, before: Node, arrival: Arrival) -> Iterator[Event]:
        """End the holding that re-admitted rows come from; what was not re-admitted goes on waiting in another."""
        holding = arrival.readmitted_from
        if holding is None:
            return
        if arrival.rest is None:
            yield StateChanged(node=holding.id, before="held", after="readmitted", reason=arrival.why)
        else:
            rows, cells = arrival.rest
            yield self.quarantine.stage(before.name, rows, cells, why=holding.facts["why"], replaces=holding, became="readmitted")

    def _decided(self, before: Node, arrival: Arrival, plan: Plan, digest: str, *, state: str, facts: Mapping[str, Any]) -> BatchDecided:
        said = {"source": arrival.source, "plan": list(plan.lines()), **arrival.facts, **facts}
        return BatchDecided(
            node=new_id(),
            name=f"{before.name}.{KIND}",
            state=state,
            digest=digest,
            dataset=before.id,
            facts={k: v for k, v in said.items() if v},
        )


def content_digest(frame: pl.DataFrame, bad_rows: pl.DataFrame | None = None) -> str:
    """Digest what a batch holds, whatever file or memory it came from."""
    parts = [_digest_frame(frame)]
    if bad_rows is not None and bad_rows.height:
        parts.append(_digest_frame(bad_rows))
    return digest_value(parts)


def _digest_frame(frame: pl.DataFrame) -> str:
    file = io.BytesIO()
    frame.rechunk().write_ipc(file, compression="uncompressed")
    return digest_bytes(file.getbuffer())


def _version(before: Node, decided: BatchDecided, edit: Edit, arrival: Arrival) -> VersionEdited:
    facts = {"source": arrival.source, "format": str(arrival.facts.get("format", "batch")), **edit.counts()}
    event = edited(before, edit.version, verb="append", facts=facts)
    return msgspec.structs.replace(event, inputs=(Input(decided.node, "input"),))


def _require_consent(plan: Plan, name: str, arrival: Arrival, accept: str) -> None:
    """Show the plan where a person has to agree to it and has not."""
    agreed = accept == plan.id or arrival.readmitted_from is not None  # what comes out of quarantine came by a plan
    if not plan.needs_consent or (agreed and not plan.is_impossible):
        return
    said = f"the columns of {arrival.source} are not those of {name}: " + "; ".join(plan.lines())
    if plan.is_impossible:
        raise ParameterError(said, hint="declare its type (--types COLUMN=TYPE), leave it out (--drop COLUMN), or add another dataset")
    if accept:
        raise ParameterError(f"{said}; the plan {accept} was for another batch", hint=f"to do so: --accept {plan.id}")
    raise ParameterError(said, hint=f"to do so: --accept {plan.id}; to name a column yourself: --rename BATCH=TABLE, --drop COLUMN")


def _is_in(rows: Sequence[int]) -> pl.Expr:
    import polars as pl

    return pl.col(_ROW).is_in(pl.Series(list(rows), dtype=pl.UInt32).implode())

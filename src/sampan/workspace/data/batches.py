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
from sampan.errors import ContractViolated, StaleState
from sampan.workspace.data.batch_edits import Edit, edit_rows
from sampan.workspace.data.dataset_edits import VersionEdited, edited
from sampan.workspace.data.derivation import made_here, made_in_memory
from sampan.workspace.data.quarantine import UNREADABLE, HeldCell, Quarantine
from sampan.workspace.governing.privacy import hide_few

if TYPE_CHECKING:
    import polars as pl

    from sampan.store.tables import Tables, TableVersion
    from sampan.table.reconcile import Plan
    from sampan.workspace.data.admission import BatchVerdict
    from sampan.workspace.data.staging import Staged, Staging
    from sampan.workspace.workspace import Workspace

DATASET, KIND = "dataset", "batch"
_SHOWN = 5
_MOST_HELD = 0.5  # of a batch's rows; if more break the contract, the batch is wrong, not its rows
_MOST_TRIES = 20
_MOST_JUDGED = 200_000  # rows of a batch: a share or a mean of so many is within 0.3 points of that of all


class BatchDecided(Event, frozen=True, kw_only=True):
    """A batch for a dataset was admitted, held or refused."""

    type: ClassVar[str] = "batch_decided"

    node: NodeId
    name: str
    state: str  # admitted | held | refused
    digest: str  # of the batch's content, so that it is recognized when it comes again
    dataset: NodeId  # the version it came to
    facts: dict[str, Any]
    inputs: tuple[Input, ...] = ()  # what its rows were made of, where that is known

    def subject(self) -> NodeId:
        """Return the batch."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the batch and what it came to."""
        return (
            AddNode(id=self.node, kind=KIND, name=self.name, digest=self.digest, state=self.state, facts=self.facts),
            AddEdge(dst=self.node, src=self.dataset, role="input"),
            *(AddEdge(dst=self.node, src=one.node, role=one.role) for one in self.inputs),
        )


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch as it came: its rows staged, and those in which a cell could not be read, as text."""

    staged: Staged
    staging: Staging
    bad_rows: pl.DataFrame | None = None
    bad_cells: tuple[HeldCell, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    readmitted_from: Node | None = None
    rest: tuple[pl.DataFrame, tuple[HeldCell, ...]] | None = None  # what stays of the holding the rows come from
    why: str = ""  # the reason a person gave for letting rows in although they are held

    @property
    def source(self) -> str:
        """Where it came from."""
        return self.staging.source

    def unreadable(self) -> Iterator[tuple[pl.DataFrame, tuple[HeldCell, ...]]]:
        """Iterate over the rows in which a cell could not be read, and those in which one is not of the table's type."""
        if self.bad_rows is not None and self.bad_rows.height:
            yield self.bad_rows, self.bad_cells
        for found in self.staged.left_out:
            yield found.frame(), tuple(HeldCell(c.row, c.column, c.value, c.reason, c.source, c.line) for c in found.cells)


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

    tables: Tables
    rows: TableVersion
    held: tuple[tuple[pl.DataFrame, tuple[HeldCell, ...], str], ...] = ()
    reasons: tuple[str, ...] = ()
    verdict: str = ""  # why the whole batch is held; "" while it goes on
    value: BatchVerdict | None = None  # what it would do to the model that exists

    @property
    def held_rows(self) -> int:
        """How many rows are held so far."""
        return sum(rows.height for rows, _, _ in self.held)

    def without(self, rows: Sequence[int], cells: Sequence[HeldCell], why: str) -> _Work:
        """Hold some rows; `cells` count them from 0 in the order of `rows`."""
        held = self.tables.take(self.rows.digest, rows)
        # Written again part by part: a filter over all of them reads so far ahead of the writer that 10 million rows take a gigabyte more.
        rest = self.tables.compact(self.tables.delete(self.rows.digest, rows).digest)
        return replace(self, rows=rest, held=(*self.held, (held, tuple(cells), why)))


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would become of a batch: the rows that were judged, how many would be held before that and why, and the verdict."""

    rows: TableVersion
    n_held: int
    reasons: tuple[str, ...]
    value: BatchVerdict | None


class Batches:
    """The act by which rows come into the datasets of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace
        self.quarantine = Quarantine(workspace)

    def append(self, arrival: Arrival) -> Outcome:
        """Take a batch in, hold it, or refuse it.

        Raises
        ------
        ParameterError : the table got other columns meanwhile, and nobody agreed to the plan; the message is the plan.
        ContractViolated : the batch breaks a blocking rule as a whole; it is recorded as refused.
        """
        for _ in range(_MOST_TRIES):
            # Someone else may commit a version while this batch is judged: it is judged anew, beside what is there by then.
            with suppress(StaleState):
                return self._attempt(arrival)
        name = arrival.staging.name
        raise StaleState(f"others edit {name} so fast that {_MOST_TRIES} tries came too late", hint="try again in a moment")

    def _attempt(self, arrival: Arrival) -> Outcome:
        before = self.ws.catalog.resolve(arrival.staging.name, kind=DATASET)
        arrival = replace(arrival, staged=arrival.staging.again(arrival.staged, before))
        digest = content_digest(arrival)
        known = self.ws.catalog.find_version(KIND, f"{before.name}.{KIND}", digest)
        if arrival.readmitted_from is None and known is not None and known.state != "refused":
            return Outcome(state="known", dataset=before, batch=known, plan=arrival.staged.plan)
        return self._decide(before, arrival, digest)

    def foresee(self, arrival: Arrival) -> Foreseen:
        """Say what would become of a batch. Nothing is recorded; what was written is named by nothing.

        Raises
        ------
        ContractViolated : it would be refused.
        """
        before = self.ws.catalog.resolve(arrival.staging.name, kind=DATASET)
        work = self._check(before, _begin(self.ws.store.tables, arrival), arrival)
        return Foreseen(work.rows, work.held_rows, work.reasons, self._judged(before, work) if work.rows.n_rows else None)

    def _decide(self, before: Node, arrival: Arrival, digest: str) -> Outcome:
        work = _begin(self.ws.store.tables, arrival)
        try:
            with self.ws.progress.stage("checking the batch"):
                work = self._value(self._check(before, work, arrival), before, arrival)
        except ContractViolated as refusal:
            self.ws.ledger.append(self._decided(before, arrival, digest, state="refused", facts={"reasons": list(refusal.reasons)}))
            raise
        return self._commit(before, arrival, work, digest)

    def _check(self, before: Node, work: _Work, arrival: Arrival) -> _Work:
        """Hold the batch against the dataset's contract: rows that break a blocking rule wait, a batch that does so as a whole is refused.

        Rows that a person lets in with a reason were decided on.
        """
        contracts = self.ws.data.contracts
        if not work.rows.n_rows or arrival.why or contracts.read(before.name) is None:
            return work
        result = contracts.check_frame(before.name, work.tables.scan(work.rows.digest))
        if not result.blocked:
            return work
        broken = tuple(finding.message for finding in result.findings if finding.level == "block")
        if 0 < len(result.rows) <= _MOST_HELD * work.rows.n_rows:
            why = "; ".join(broken[:_SHOWN])
            cells = [HeldCell(row=at, column="", value="", reason=why, source=arrival.source) for at in range(len(result.rows))]
            rest = replace(work.without(result.rows, cells, "rows break the contract"), reasons=(*work.reasons, *broken))
            if not contracts.check_frame(before.name, rest.tables.scan(rest.rows.digest)).blocked:
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
        found = self._judged(before, work) if work.rows.n_rows and arrival.readmitted_from is None else None
        if found is None:
            return work
        work = replace(work, value=found, reasons=(*work.reasons, f"{found.verdict}: {'; '.join(found.reasons)}"))
        if not found.alarms:
            return work
        why = f"{found.verdict}: {found.reasons[0]}"
        if found.holds_all(work.rows.n_rows):
            return replace(work, verdict=why)
        rows = sorted(found.suspicious_rows)
        return work.without(rows, doubted_cells(found, work.tables.take(work.rows.digest, rows), arrival.source), why)

    def _judged(self, before: Node, work: _Work) -> BatchVerdict | None:
        """Judge a batch; of one with very many rows every so many-th, which is said."""
        import numpy as np

        from sampan.table.frames import thinned
        from sampan.workspace.data.admission import find_asker, judge_batch

        if find_asker(self.ws, before) is None:
            return None
        step = -(-work.rows.n_rows // _MOST_JUDGED)
        rows = thinned(work.tables.scan(work.rows.digest), step)
        found = judge_batch(self.ws, before, rows)
        if found is None or step == 1:
            return found
        said = (*found.reasons, f"judged by every {step}th of {work.rows.n_rows:,} rows")
        return msgspec.structs.replace(found.of_places(np.arange(0, work.rows.n_rows, step)), reasons=said, is_whole=False)

    def _commit(self, before: Node, arrival: Arrival, work: _Work, digest: str) -> Outcome:
        """Write what is admitted, then record everything in one transaction."""
        edit = Edit(work.tables.info(before.digest)) if work.verdict else self._edit(before, work.rows)
        state = "held" if work.verdict else "admitted"
        n_held = work.held_rows + (work.rows.n_rows if work.verdict else 0)
        facts = {**edit.counts(), "n_held": n_held, "reasons": list(work.reasons)}
        if work.value is not None:
            facts["admission"] = {"verdict": work.value.verdict, "reasons": list(work.value.reasons), **work.value.facts}
        decided = self._decided(before, arrival, digest, state=state, facts=facts)
        events: list[Event] = [decided]
        changed = edit.version.digest != before.digest and not work.verdict
        if changed:
            events.append(_version(before, decided, edit, arrival))
        holdings = [self.quarantine.stage(before.name, rows, cells, batch=decided.node, why=why) for rows, cells, why in work.held]
        if work.verdict and work.value is not None:
            reason = work.value.reasons[0]
            holdings.append(self.quarantine.stage_all(before.name, work.rows, batch=decided.node, reason=reason, why=work.verdict))
        self.ws.ledger.append(*events, *holdings, *self._left(before, arrival))
        catalog = self.ws.catalog
        return Outcome(
            state=state,
            dataset=catalog.node(events[1].subject()) if changed else before,
            batch=catalog.node(decided.node),
            plan=arrival.staged.plan,
            before=before,
            edit=edit,
            holdings=tuple(catalog.node(holding.node) for holding in holdings),
            reasons=work.reasons,
        )

    def _edit(self, before: Node, rows: TableVersion) -> Edit:
        edit = edit_rows(self.ws, before, rows)
        return edit if edit.version.digest == before.digest else replace(edit, version=hide_few(self.ws, before.name, edit.version))

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

    def _decided(self, before: Node, arrival: Arrival, digest: str, *, state: str, facts: Mapping[str, Any]) -> BatchDecided:
        said = {"source": arrival.source, "plan": list(arrival.staged.plan.lines()), **arrival.facts, **facts}
        return BatchDecided(
            node=new_id(),
            name=f"{before.name}.{KIND}",
            state=state,
            digest=digest,
            dataset=before.id,
            facts={k: v for k, v in said.items() if v},
            inputs=self._made_of(before, arrival),
        )

    def _made_of(self, before: Node, arrival: Arrival) -> tuple[Input, ...]:
        """Say what the rows were made of, so that its terms go along: a known file, or what the program that gives them has read."""
        is_memory = arrival.facts.get("format") == "memory"
        made_of = made_in_memory(self.ws) if is_memory else made_here(self.ws, str(arrival.facts.get("digest", "")))
        return tuple(one for one in made_of if one.node != before.id)


def _begin(tables: Tables, arrival: Arrival) -> _Work:
    """Hold rows in which a cell could not be read."""
    return _Work(tables, arrival.staged.table, held=tuple((rows, cells, UNREADABLE) for rows, cells in arrival.unreadable()))


def doubted_cells(found: BatchVerdict, rows: pl.DataFrame, source: str) -> list[HeldCell]:
    """Say what is wrong with each row that is held for a verdict: `rows` are the suspicious ones, in the batch's order.

    A label is mended in its column, where it is computed from one alone. No reason quotes a value: reasons outlive their rows.
    """
    from sampan.evaluation.admission.evidence import LABEL

    label = found.label_columns[0] if len(found.label_columns) == 1 else ""
    cells = []
    for place, suspect in enumerate(sorted(found.suspects, key=lambda one: one.row)):
        columns = ((label if doubt.cause == LABEL else doubt.cause, doubt.why) for doubt in suspect.doubts)
        # The numbers of a vector are no columns: one reason stands for all of them.
        for column, why in dict.fromkeys((column if column in rows.columns else "", why) for column, why in columns):
            value = rows.item(place, column) if column else None
            cells.append(HeldCell(row=place, column=column, value="" if value is None else str(value), reason=why, source=source))
    return cells


def content_digest(arrival: Arrival) -> str:
    """Digest what a batch holds, whatever file or memory it came from."""
    return digest_value([arrival.staged.table.digest, *(_digest_frame(rows) for rows, _ in arrival.unreadable())])


def _digest_frame(frame: pl.DataFrame) -> str:
    file = io.BytesIO()
    frame.rechunk().write_ipc(file, compression="uncompressed")
    return digest_bytes(file.getbuffer())


def _version(before: Node, decided: BatchDecided, edit: Edit, arrival: Arrival) -> VersionEdited:
    facts = {"source": arrival.source, "format": str(arrival.facts.get("format", "batch")), **edit.counts()}
    event = edited(before, edit.version, verb="append", facts=facts)
    return msgspec.structs.replace(event, inputs=(Input(decided.node, "input"),))

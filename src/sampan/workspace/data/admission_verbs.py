"""Whether data is useful: what its rows are worth, and what a batch would do to the model that exists."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Unpack

from sampan.core.decoding import read_builtins
from sampan.errors import ParameterError
from sampan.stats.estimates import Estimate
from sampan.workspace.data.admission_answers import BatchJudged, Consequence, HeldEffect, RowToSee, Valued
from sampan.workspace.data.batch_verbs import read_batch, shown_source
from sampan.workspace.data.dataset_edits import line_of
from sampan.workspace.data.room import DataRoom, Names, plain
from sampan.workspace.data.sources import Reading
from sampan.workspace.data.staging import Staging
from sampan.workspace.operation import operation
from sampan.workspace.parameters import Count

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.store.tables import Tables, TableVersion
    from sampan.workspace.data.admission import BatchVerdict
    from sampan.workspace.data.batches import Arrival

_MOST_TOP = 10_000
_UNTIMED = "rows have no declared time (data add … --time COLUMN), so that what changes from month to month is held against rows at random"


class Admission(DataRoom):
    """The verbs that say whether data is useful."""

    @operation()
    def value(self, ref: str, *, target: str = "", vector: str = "", top: Count = 50) -> Valued:
        """Value each labeled row, and show the rows to look at: wrong labels and rows like no other come first.

        Tables are valued by the margin of models that did not see the row, vectors (embeddings) by exact Shapley values of nearest
        neighbors. What a model gains by not learning the least valuable rows is measured on rows set aside.

        Parameters
        ----------
        ref : the dataset, like flights or flights@v3
        target : the label as an expression or a column of classes; by default the champion's, or the declared one (sampan data label)
        vector : the column of vectors to value rows by; by default the only one there is
        top : show so many rows
        """
        from sampan.workspace.data.value import value_dataset

        if not 1 <= top <= _MOST_TOP:
            raise ParameterError(f"--top {top} rows", hint=f"give 1 to {_MOST_TOP:,}")
        node = self._readable(ref)
        found, cached = value_dataset(self.ws, node, target=target, vector=vector)
        return self.valued(found, node, top=top, cached=cached)

    @operation(local=True)
    def judge(
        self,
        ref: str,
        source: Path,
        *,
        rename: dict[str, str] | None = None,
        drop: Names | None = None,
        query: str = "",
        top: Count = 50,
        **reading: Unpack[Reading],
    ) -> BatchJudged:
        """Judge what a batch would do to the model that exists, without letting it in.

        The batch is read, brought to the dataset's columns, checked and judged as `data append` does it.

        Parameters
        ----------
        ref : the dataset
        source : the batch, a file of any kind that `data add` reads
        rename : a column of the batch and the dataset's it is, e.g. DepTime=dep_time
        drop : columns of the batch to leave out
        query : what to ask a database
        top : show so many suspicious rows
        types : how a column is written where that must not be found out, e.g. day=date:%d/%m/%Y
        """
        node = self._asked(ref)
        staging = Staging(self.ws, line_of(node), shown_source(self.ws, source), renamed=rename or {}, drop=drop or [], only_looks=True)
        arrival, _ = read_batch(node, source, staging, reading, query=query)
        return self._judged(node, arrival, top=top)

    def judge_table(self, ref: str, data: Any, *, top: Count = 50) -> BatchJudged:
        """Judge a batch from memory (Polars, pandas, Arrow, a dict of columns)."""
        from sampan.table.frames import from_memory
        from sampan.workspace.data.batches import Arrival

        node, frame = self._asked(ref), from_memory(data)
        staging = Staging(self.ws, line_of(node), "memory", only_looks=True)
        return self._judged(node, Arrival(staging(frame.schema, iter([frame])), staging), top=top)

    def valued(self, found: Node, node: Node, *, top: int, cached: bool = True) -> Valued:
        """Return a recorded valuation with its least valuable rows as they are."""
        import polars as pl

        from sampan.workspace.data.value import CLASS, FITS, ROW, VALUE

        facts = found.facts
        least = self.ws.store.tables.scan(found.digest).sort(VALUE, ROW).head(top).collect()
        frame = self.ws.store.tables.take(node.digest, least[ROW].to_list())
        hidden = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype == pl.Binary]
        cells = frame.drop(hidden).iter_rows(named=True)
        rows = [
            RowToSee(row=one[ROW], value=one[VALUE], label=one[CLASS], fits=one[FITS], cells=plain(its))
            for one, its in zip(least.iter_rows(named=True), cells, strict=True)
        ]
        return Valued(
            ref=node.ref,
            node=found.id,
            method=facts["method"],
            asked_by=facts["asked_by"],
            kind=facts.get("kind", "two classes"),
            n_rows=facts["n_rows"],
            n_wrong=facts["n_wrong"],
            share=read_builtins(facts["share"], Estimate),
            edges=tuple(facts["edges"]),
            counts=tuple(facts["counts"]),
            rows=tuple(rows),
            effect=read_builtins(facts["effect"], tuple[HeldEffect, ...]),
            cached=cached,
            next=(f"sampan data errors {quote(node.name)}", f"sampan data show {quote(node.name)}"),
        )

    def _asked(self, ref: str) -> Node:
        """Return the version a batch is for, where its rows may be read and something is asked of them."""
        from sampan.workspace.data.admission import find_asker

        node = self._readable(ref)
        if find_asker(self.ws, node) is None:
            hint = f"sampan data label {quote(node.name)} --target EXPRESSION, or promote a model that learned from it"
            raise ParameterError(f"nobody said what the label of {node.name} is, and no champion learned from it", hint=hint)
        return node

    def _judged(self, node: Node, arrival: Arrival, *, top: int) -> BatchJudged:
        from sampan.workspace.data.admission import BatchVerdict
        from sampan.workspace.data.batches import Batches

        n_rows = arrival.staged.table.n_rows
        with self.ws.progress.stage("judging", total=n_rows, unit="rows") as stage:
            foreseen = Batches(self.ws).foresee(arrival)
            stage.advance(n_rows)
        verdict = foreseen.value or BatchVerdict("unknown", ("no row is left to judge",))
        effect = verdict.facts.get("effect") or {}
        return BatchJudged(
            ref=node.ref,
            source=arrival.source,
            verdict=verdict.verdict,
            reasons=verdict.reasons,
            plan=arrival.staged.plan.lines(),
            n_rows=n_rows,
            n_held=foreseen.n_held,
            held_for=foreseen.reasons,
            holds="" if not verdict.alarms else "all" if verdict.holds_all(foreseen.rows.n_rows) else "some",
            n_suspicious=int(verdict.facts.get("n_suspicious", 0)),
            rows=_to_see(verdict, self.ws.store.tables, foreseen.rows, top),
            consequences=read_builtins(effect.get("outcomes", []), tuple[Consequence, ...]),
            loss=effect.get("loss", ""),
            score=effect.get("score", ""),
            facts=verdict.facts,
            notes=(_UNTIMED,) if verdict.alarms and not verdict.facts.get("timed", True) else (),
            next=(_to_append(node, arrival),),
        )


def _to_append(node: Node, arrival: Arrival) -> str:
    plan = arrival.staged.plan
    agreed = f" --accept {plan.id}" if plan.needs_consent else ""
    return f"sampan data append {quote(node.name)} {quote(arrival.source)}{agreed}"


def _to_see(verdict: BatchVerdict, tables: Tables, rows: TableVersion, top: int) -> tuple[RowToSee, ...]:
    shown = verdict.suspects[:top]
    cells = tables.take(rows.digest, [one.row for one in shown]).iter_rows(named=True) if shown else ()
    return tuple(
        RowToSee(
            row=one.row,
            value=round(one.severity, 4),
            label=one.label,
            fits=one.likely if one.likely != one.label else "",
            cells=plain(its),
            by=tuple(doubt.cause for doubt in one.doubts),
        )
        for one, its in zip(shown, cells, strict=True)
    )

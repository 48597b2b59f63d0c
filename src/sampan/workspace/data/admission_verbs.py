"""Whether data is useful: what its rows are worth, and what a batch would do to the model that exists."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from sampan.core.decoding import read_builtins
from sampan.errors import ParameterError
from sampan.stats.estimates import Estimate
from sampan.workspace.data.admission_answers import BatchJudged, Consequence, HeldEffect, RowToSee, Valued
from sampan.workspace.data.room import DataRoom, plain
from sampan.workspace.operation import operation
from sampan.workspace.parameters import Count

if TYPE_CHECKING:
    import polars as pl

    from sampan.core.graph import Node
    from sampan.workspace.data.admission import BatchVerdict

_MOST_TOP = 10_000


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
    def judge(self, ref: str, source: Path, *, top: Count = 50) -> BatchJudged:
        """Judge what a batch would do to the model that exists, without letting it in.

        `data append` does the same before it lets a batch in.

        Parameters
        ----------
        ref : the dataset
        source : the batch, a file of any kind that `data add` reads
        top : show so many suspicious rows
        """
        from sampan.table.sources import read_source
        from sampan.workspace.data.contracts import shown_path

        loaded = read_source(source, progress=self.ws.progress)
        return self._judged(self._readable(ref), loaded.frame, shown_path(self.ws, source), top=top)

    def judge_table(self, ref: str, data: Any, *, top: Count = 50) -> BatchJudged:
        """Judge a batch from memory (Polars, pandas, Arrow, a dict of columns)."""
        from sampan.table.sources import read_source

        return self._judged(self._readable(ref), read_source(data).frame, "memory", top=top)

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
            next=(f"sampan data cells {quote(node.name)}", f"sampan data show {quote(node.name)}"),
        )

    def _judged(self, node: Node, batch: pl.DataFrame, source: str, *, top: int) -> BatchJudged:
        from sampan.workspace.data.admission import judge_batch

        with self.ws.progress.stage("judging", total=batch.height, unit="rows") as stage:
            verdict = judge_batch(self.ws, node, batch)
            stage.advance(batch.height)
        if verdict is None:
            hint = f"sampan data label {quote(node.name)} --target EXPRESSION, or promote a model that learned from it"
            raise ParameterError(f"nobody said what the label of {node.name} is, and no champion learned from it", hint=hint)
        effect = verdict.facts.get("effect") or {}
        return BatchJudged(
            ref=node.ref,
            source=source,
            verdict=verdict.verdict,
            reasons=verdict.reasons,
            n_rows=batch.height,
            n_suspicious=int(verdict.facts.get("n_suspicious", 0)),
            rows=_to_see(verdict, batch, top),
            consequences=read_builtins(effect.get("outcomes", []), tuple[Consequence, ...]),
            loss=effect.get("loss", ""),
            score=effect.get("score", ""),
            facts=verdict.facts,
            next=(f"sampan data append {quote(node.name)} {quote(source)}",),
        )


def _to_see(verdict: BatchVerdict, batch: pl.DataFrame, top: int) -> tuple[RowToSee, ...]:
    details = (verdict.facts.get(what, []) for what in ("surprise", "given", "likely", "causes"))
    shown = zip(verdict.suspicious_rows[:top], *details, strict=False)  # only the first rows have details
    return tuple(
        RowToSee(
            row=number,
            value=value,
            label=label,
            fits=likely if likely != label else "",
            cells=plain(batch.row(number, named=True)),
            by=tuple(by),
        )
        for number, value, label, likely, by in shown
    )

"""Cells that are probably wrong, found in a table alone: no contract, no labels, no reference.

Each way of looking is a file of its own and names suspects: `cells_placeholders` and `cells_misplaced` first, since what stands for
"missing" or in the wrong column says nothing about others; then `cells_dependencies` (what the other rows of the same thing say) and
what `_LOOKS` lists. Here they are brought together: one verdict a cell, with a repair where one is known. What several rows confirm is
never called a typo.

Thresholds were chosen on public tables with errors of many kinds and on clean ones; which, and on which tables nobody looked before the
figures were taken, `docs/guide/wrong-cells.md` says. What cannot be found, too: a value exchanged for another common one, a date read in
the wrong order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
import polars as pl

from sampan.data.cells_blanks import find_blanks
from sampan.data.cells_case import find_other_case
from sampan.data.cells_columns import Column, Suspect, read_columns, without_rows
from sampan.data.cells_dependencies import find_broken_dependencies
from sampan.data.cells_misplaced import find_misplaced
from sampan.data.cells_missing import find_gaps
from sampan.data.cells_numbers import find_far_numbers
from sampan.data.cells_placeholders import find_placeholders, stands_for_missing
from sampan.data.cells_shapes import find_odd_shapes
from sampan.data.cells_spelling import find_misspelled
from sampan.data.cells_strangers import find_strangers
from sampan.data.cells_units import find_units
from sampan.data.cells_words import find_misspelled_words, find_scattered

KINDS = ("dependency", "missing", "typo", "spelling", "blanks", "shape", "encoding", "unit", "outlier", "placeholder", "misplaced")
_SCHEMA = {
    "row": pl.UInt32,
    "column": pl.String,
    "value": pl.String,
    "kind": pl.String,
    "repair": pl.String,
    "clears": pl.Boolean,
    "reason": pl.String,
    "confidence": pl.Float64,
}


class CellGroup(msgspec.Struct, frozen=True):
    """Cells of one column that are wrong in the same way."""

    column: str
    kind: str
    reason: str
    n_cells: int
    n_repairs: int  # of these, how many have a suggested repair
    examples: tuple[tuple[int, str, str], ...]  # row, value, repair; "∅" for a missing value, "" where no repair is known


class CellErrors(msgspec.Struct, frozen=True):
    """Suspicious cells of a table, by row and column.

    `cells` has the columns row (0-based), column, value (as text, null if missing), kind, repair (text; null with `clears` means "make it
    missing", null without means that a person has to look), clears, reason, confidence (0 to 1).
    """

    cells: pl.DataFrame
    n_rows: int
    n_columns: int

    def groups(self, n_examples: int = 3) -> tuple[CellGroup, ...]:
        """Sum up by column, kind and reason, the most cells first."""
        if self.cells.is_empty():
            return ()
        by = self.cells.group_by("column", "kind", maintain_order=True).agg(
            pl.len().alias("n"),
            (pl.col("repair").is_not_null() | pl.col("clears")).sum().alias("n_repairs"),
            pl.col("reason").mode().sort().first().alias("reason"),
            pl.struct("row", "value", "repair", "clears").head(n_examples).alias("examples"),
        )
        return tuple(
            CellGroup(
                column=one["column"],
                kind=one["kind"],
                reason=one["reason"],
                n_cells=one["n"],
                n_repairs=one["n_repairs"],
                examples=tuple((e["row"], _shown(e["value"]), _shown_repair(e)) for e in one["examples"]),
            )
            for one in by.sort("n", "column", "kind", descending=[True, False, False]).to_dicts()
        )


def find_cell_errors(frame: pl.DataFrame, *, done: Callable[[str], None] = lambda _: None) -> CellErrors:
    """Find suspicious cells. Nested columns are left out; `done` is told each way of looking that is through."""
    whole = read_columns(frame)
    # What stands for "missing" tells nothing about other cells; values in the wrong column would make true dependencies look broken.
    suspects = [one for one in find_placeholders(whole) if len(one.rows)]
    done("placeholders")
    columns = [without_rows(_without(column, suspects), stands_for_missing(column)) for column in whole]
    suspects += find_misplaced(columns)
    judged = find_broken_dependencies([_without(column, suspects) for column in columns])
    suspects += judged.suspects
    done("dependencies")
    for name, look in _LOOKS:
        suspects += [one for one in look(columns) if len(one.rows)]
        done(name)
    kept = (_without_confirmed(one, judged.confirmed) for one in suspects)
    return CellErrors(_one_verdict_a_cell(kept, frame, whole), frame.height, frame.width)


_LOOKS: tuple[tuple[str, Callable[[Sequence[Column]], Iterable[Suspect]]], ...] = (
    ("spelling", find_misspelled),
    ("words", find_misspelled_words),
    ("scattered", find_scattered),
    ("blanks", find_blanks),
    ("case", find_other_case),
    ("shapes", find_odd_shapes),
    ("strangers", find_strangers),
    ("units", find_units),
    ("numbers", find_far_numbers),
    ("gaps", find_gaps),
)
N_LOOKS = 2 + len(_LOOKS)


def _without(column: Column, suspects: Sequence[Suspect]) -> Column:
    rows = [one.rows for one in suspects if one.column == column.name and one.kind in ("misplaced", "placeholder")]
    return without_rows(column, np.concatenate(rows)) if rows else column


def _without_confirmed(suspect: Suspect, confirmed: dict[str, np.ndarray]) -> Suspect:
    """Leave out the rows whose value other rows of the same thing confirm, where only the spelling or shape spoke against it."""
    if suspect.kind not in ("typo", "spelling", "shape") or suspect.column not in confirmed:
        return suspect
    doubtful = ~confirmed[suspect.column][suspect.rows]
    repairs = None if suspect.repairs is None else suspect.repairs.filter(pl.Series(doubtful))
    return msgspec.structs.replace(suspect, rows=suspect.rows[doubtful], repairs=repairs)


def _one_verdict_a_cell(suspects: Iterable[Suspect], frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    parts = [_as_frame(one) for one in suspects if len(one.rows)]
    if not parts:
        return pl.DataFrame(schema=_SCHEMA)
    place = {name: i for i, name in enumerate(frame.columns)}
    known = pl.col("repair").is_not_null() | pl.col("clears")
    places = pl.col("column").replace_strict(place, return_dtype=pl.UInt32)
    every = pl.concat(parts).with_columns(places.alias("place"), known.alias("known"))
    # Damaged and misplaced text goes first: another repair would keep the fault. Then a finding that knows a repair, then the surer one.
    every = every.with_columns(pl.col("kind").is_in(["encoding", "misplaced"]).alias("foreign"))
    ranked = every.sort("place", "row", "foreign", "known", "confidence", descending=[False, False, True, True, True])
    best = ranked.unique(["row", "place"], keep="first", maintain_order=True)
    by_name = {column.name: column for column in columns}
    values = [part.with_columns(by_name[part["column"][0]].texts(part["row"]).alias("value")) for part in best.partition_by("place")]
    return pl.concat(values).sort("row", "place").select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())


def _as_frame(suspect: Suspect) -> pl.DataFrame:
    repair = pl.lit(suspect.repair, dtype=pl.String) if suspect.repairs is None else suspect.repairs
    return pl.DataFrame({"row": suspect.rows.astype(np.uint32)}).with_columns(
        pl.lit(suspect.column).alias("column"),
        pl.lit(suspect.kind).alias("kind"),
        repair.alias("repair"),
        pl.lit(suspect.clears).alias("clears"),
        pl.lit(suspect.reason).alias("reason"),
        pl.lit(suspect.confidence).alias("confidence"),
    )


def _shown(value: str | None) -> str:
    return "∅" if value is None else value


def _shown_repair(example: dict[str, object]) -> str:
    repair = example["repair"]
    return str(repair) if repair is not None else ("∅" if example["clears"] else "")

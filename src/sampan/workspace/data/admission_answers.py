"""What valuing rows and judging a batch answer."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sampan.core.answers import Answer
from sampan.stats.estimates import Estimate
from sampan.workspace.columns import align, count

_SHOWN_ROWS: Final = 15
_SHOWN_CELLS: Final = 5
_REFUSED: Final = 3  # Rejected.exit_code


class RowToSee(msgspec.Struct, frozen=True):
    """A row a person should look at: its number in the table, what it is worth, its label and the label that fits better."""

    row: int
    value: float
    label: str
    fits: str  # "" where no other label fits better
    cells: dict[str, Any]
    by: tuple[str, ...] = ()  # what looks wrong: the label, columns, or that it repeats another row


class HeldEffect(msgspec.Struct, frozen=True):
    """What leaving out the least valuable rows does to the loss on rows set aside; negative = better."""

    share: float
    n_held: int
    change: Estimate
    beside_random: Estimate


class Valued(Answer, frozen=True, kw_only=True):
    """What the rows of a dataset version are worth, the least valuable first."""

    ref: str
    node: str
    method: str  # margin | knn-shapley
    asked_by: str
    kind: str  # of the label: two classes | classes | number
    n_rows: int  # labeled
    n_wrong: int  # labels that are confidently contradicted
    share: Estimate  # of wrong labels, estimated
    edges: tuple[float, ...]  # of the histogram of values
    counts: tuple[int, ...]
    rows: tuple[RowToSee, ...]
    effect: tuple[HeldEffect, ...] = ()
    cached: bool = False

    def text(self) -> str:
        """Say how many labels look wrong, which rows to look at, and what leaving them out does."""
        by = {"margin": "models that did not see the row", "knn-shapley": "its nearest neighbors (exact Shapley values)"}[self.method]
        lines = [f"{self.ref}: {count(self.n_rows, 'labeled row')} valued by {by}, for {self.asked_by}"]
        lines.append(f"  {count(self.n_wrong, 'label')} confidently contradicted; {self._wrong_share()}")
        cells = [(str(r.row), f"{r.value:+.3f}", r.label, r.fits, _short(r.cells)) for r in self.rows[:_SHOWN_ROWS]]
        lines.append(align(("row", "value", "label", "fits", "cells"), cells, right=("row", "value"), widest=70))
        if self.effect:
            loss = "squared error" if self.kind == "number" else "log loss"
            lines.append(f"  {loss} on rows set aside, after leaving out the least valuable ones (negative = better):")
            told = [(f"{one.share:.0%}", f"{one.n_held:,}", str(one.change), str(one.beside_random)) for one in self.effect]
            lines.append(align(("left out", "rows", "change", "beside as many at random"), told, right=("left out", "rows")))
        return "\n".join(lines)

    def _wrong_share(self) -> str:
        if self.share.value is None:
            return "how many are wrong cannot be estimated"
        if self.n_wrong and (self.share.low or 0.0) <= 0:
            return "rows that are merely rare explain as many, so that perhaps none is wrong"
        return f"about {self.share.value:.1%} of all are wrong"


class Consequence(msgspec.Struct, frozen=True):
    """How a model does on trusted rows, one way of treating the batch."""

    what: str
    n_rows: int
    loss: float
    score: float
    change: Estimate


class BatchJudged(Answer, frozen=True, kw_only=True):
    """What a batch would do to the model that exists. Nothing was let in."""

    ref: str
    source: str
    verdict: str  # helps | neutral | suspicious | harmful | unknown
    reasons: tuple[str, ...]
    n_rows: int
    plan: tuple[str, ...] = ()  # how the batch's columns are brought to the dataset's
    n_held: int = 0  # rows that would wait before they are judged: with cells that cannot be read, or breaking the contract
    held_for: tuple[str, ...] = ()
    holds: str = ""  # some | all: what `data append` would keep back
    n_suspicious: int = 0
    rows: tuple[RowToSee, ...] = ()
    consequences: tuple[Consequence, ...] = ()
    loss: str = ""  # what the loss and the score of a model are called
    score: str = ""
    facts: dict[str, Any] = {}
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Say the verdict, why, the rows to look at and what each way does."""
        lines = [f"{self.source} for {self.ref}: {self.verdict.upper() if self.verdict != 'unknown' else 'not enough to say'}"]
        lines += [f"  {reason}" for reason in self.reasons]
        lines += [f"  plan: {step}" for step in self.plan]
        if self.n_held:
            said = f": {'; '.join(self.held_for)}" if self.held_for else ""
            lines.append(f"  {count(self.n_held, 'row')} would wait in quarantine unjudged{said}")
        if self.holds:
            lines.append(f"  data append would {self._keeps_back()}")
        lines += [f"  note: {note}" for note in self.notes]
        if self.consequences:
            told = [(c.what, f"{c.n_rows:,}", f"{c.loss:.4f}", f"{c.score:.4f}", str(c.change)) for c in self.consequences]
            lines.append(align(("way", "rows learned", self.loss, self.score, f"change in {self.loss}"), told, right=("rows learned",)))
        if self.rows:
            lines.append(f"  {count(self.n_suspicious, 'suspicious row')}, most suspicious first:")
            cells = [(str(r.row), f"{r.value:.3f}", ", ".join(r.by), r.label, r.fits, _short(r.cells)) for r in self.rows[:_SHOWN_ROWS]]
            lines.append(align(("row", "surprise", "looks wrong", "label", "fits", "cells"), cells, right=("row", "surprise"), widest=70))
        return "\n".join(lines)

    def _keeps_back(self) -> str:
        if self.holds == "all":
            return "hold the whole batch in quarantine, for a person to decide"
        return f"hold {count(self.n_suspicious, 'suspicious row')} in quarantine and let the others in"

    def exit_code(self) -> int:
        """Return 3 where the batch should not go in as it is."""
        return _REFUSED if self.verdict in ("suspicious", "harmful") else 0


def _short(cells: dict[str, Any]) -> str:
    shown = [f"{name}={value}" for name, value in list(cells.items())[:_SHOWN_CELLS]]
    return ", ".join(shown) + (" …" if len(cells) > _SHOWN_CELLS else "")

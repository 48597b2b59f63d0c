"""What the catalogue answers: datasets that fit a question, and all that is asked of a dataset before it is used."""

from __future__ import annotations

from shlex import quote
from typing import Any

import msgspec

from sampan.core.answers import Answer
from sampan.workspace.columns import align, distinct
from sampan.workspace.data.trust import Reason


class FoundLine(msgspec.Struct, frozen=True):
    """A dataset that fits, and why."""

    name: str
    ref: str
    score: float
    why: tuple[str, ...]
    owner: str = ""
    n_rows: int = 0


class Found(Answer, frozen=True, kw_only=True):
    """Datasets that fit a question, the best first."""

    asked: str
    datasets: tuple[FoundLine, ...]

    def text(self) -> str:
        """One line a dataset."""
        if not self.datasets:
            return f"no dataset fits {self.asked}"
        rows = [(d.ref, f"{d.n_rows:,}", d.owner, "; ".join(d.why)) for d in self.datasets]
        return align(("dataset", "rows", "owner", "why"), rows, right=("rows",), widest=90)


class AlikeLine(msgspec.Struct, frozen=True):
    """A column that holds values of another one."""

    dataset: str
    column: str
    jaccard: float  # of either's values, the share both have
    contained: float  # of the values asked about, the share it has
    contains: float  # of its values, the share that was asked about
    n_distinct: int
    is_estimated: bool = False


class Alike(Answer, frozen=True, kw_only=True):
    """Columns of other datasets that hold the same values as one."""

    ref: str
    column: str
    n_distinct: int
    is_estimated: bool = False
    columns: tuple[AlikeLine, ...]

    def text(self) -> str:
        """One line a column, the most alike first."""
        head = f"{self.ref}, {self.column}: {distinct(self.n_distinct, estimated=self.is_estimated)} distinct values"
        if not self.columns:
            return f"{head}; no other column here holds them"
        rows = [
            (c.dataset, c.column, f"{c.contained:.0%}", f"{c.contains:.0%}", distinct(c.n_distinct, estimated=c.is_estimated))
            for c in self.columns
        ]
        return f"{head}\n\n" + align(
            ("dataset", "column", "has of these", "are these", "distinct"), rows, right=("has of these", "are these", "distinct")
        )


class JoinLine(msgspec.Struct, frozen=True):
    """Other data that joins to a dataset."""

    dataset: str
    columns: tuple[str, ...]
    to_columns: tuple[str, ...]
    why: str
    share: float = 1.0  # of the distinct values that find their counterpart


class Card(Answer, frozen=True, kw_only=True):
    """What is asked of a dataset before it is used."""

    ref: str
    name: str
    description: str
    owner: str
    came_from: tuple[str, ...]
    trust: int
    reasons: tuple[Reason, ...]
    may_use: tuple[str, ...]
    how_to_ask: str
    joins: tuple[JoinLine, ...]
    how_often: str
    once_live: tuple[str, ...]
    label: str
    label_cost: str
    kpis: tuple[str, ...]
    facts: dict[str, Any] = {}

    def text(self) -> str:
        """Question by question."""
        parts = [self.ref + (f": {self.description}" if self.description else "")]
        asked = [
            ("Where is it from?", self.came_from),
            (f"How far can it be trusted? {self.trust} of 100", tuple(_reason_text(r) for r in self.reasons)),
            ("Who may use it, and how do I ask?", (*self.may_use, self.how_to_ask)),
            ("Who answers for it?", (self.owner or f"nobody yet  ({self._saying('owner')})",)),
            ("What joins to it?", tuple(_join_text(j) for j in self.joins) or ("nothing that is here",)),
            ("Real time, or how often?", (self.how_often, "" if "updates" in self.facts else self._say("updates"))),
            ("How is it updated once a model is live?", self.once_live),
            ("What do labels cost?", (self.label, self.label_cost or self._say("label-cost"))),
            ("Which KPIs does it serve?", self.kpis or (self._say("kpis"),)),
        ]
        parts += ["\n".join([question, *(f"  {line}" for line in lines if line)]) for question, lines in asked]
        return "\n\n".join(parts)

    def _say(self, option: str) -> str:
        return f"not said  ({self._saying(option)})"

    def _saying(self, option: str) -> str:
        return f"sampan data describe {quote(self.name)} --{option} …"


class Described(Answer, frozen=True, kw_only=True):
    """What is said of a dataset now."""

    name: str
    facts: dict[str, Any]

    def text(self) -> str:
        """One line a fact."""
        lines = (f"  {key}: {', '.join(map(str, value)) if isinstance(value, list) else value}" for key, value in self.facts.items())
        return "\n".join([f"{self.name}:", *lines])


def _reason_text(reason: Reason) -> str:
    points = f"{reason.points:g} of {reason.of}"
    return f"{points:>11}  {reason.why}" + (f"  ({reason.raise_by})" if reason.raise_by else "")


def _join_text(join: JoinLine) -> str:
    return f"{' + '.join(join.columns)} → {join.dataset} ({' + '.join(join.to_columns)}): {join.why}"

"""What the verbs of personal data answer."""

from __future__ import annotations

import msgspec

from sampan.core.answers import Answer
from sampan.errors import PolicyRefused
from sampan.governance.anonymity_found import Anonymity
from sampan.governance.columns_found import ColumnFinding
from sampan.workspace.columns import align


class PersonalData(Answer, frozen=True, kw_only=True):
    """The columns of a dataset that seem to hold personal data."""

    ref: str
    n_rows: int
    n_columns: int
    findings: tuple[ColumnFinding, ...]
    undeclared: tuple[str, ...] = ()  # likely columns of which nothing is said

    def text(self) -> str:
        """One line a column, with what speaks for it."""
        if not self.findings:
            return f"{self.ref}: no personal data was found in {self.n_columns} columns"
        rows = [(f.column, f.pii, f.certainty, "; ".join(f.evidence), ", ".join(f.examples)) for f in self.findings]
        lines = [f"{self.ref}: {len(self.findings)} of {self.n_columns} columns seem to hold personal data"]
        lines.append(align(("column", "class", "", "evidence", "for example"), rows, widest=110))
        if self.undeclared:
            lines.append(f"  nothing is said yet of {', '.join(self.undeclared)}")
        return "\n".join(lines)


class Hidden(Answer, frozen=True, kw_only=True):
    """How well a dataset hides its rows."""

    ref: str
    quasi: tuple[str, ...]
    anonymity: Anonymity
    wanted_k: int = 0

    def text(self) -> str:
        """Say k, l and how many rows are alone."""
        one = self.anonymity
        verdict = "" if not self.wanted_k else (", as wanted" if one.k >= self.wanted_k else f", and {self.wanted_k} is wanted")
        lines = [
            f"{self.ref} by {', '.join(self.quasi)}: k = {one.k}{verdict}",
            f"  {one.n_groups:,} groups of {one.n_rows:,} rows; {one.n_unique:,} rows are alone in theirs",
        ]
        if one.n_hidden:
            lines.append(f"  {one.n_hidden:,} rows are hidden altogether, since fewer than k shared what they said")
        lines += [f"  {column}: l = {n} different values at least in each group" for column, n in one.diversity.items()]
        return "\n".join(lines)

    def exit_code(self) -> int:
        """Exit as PolicyRefused does where k is below what is wanted."""
        return PolicyRefused.exit_code if self.wanted_k and self.anonymity.k < self.wanted_k else 0


class Seen(msgspec.Struct, frozen=True):
    """A value and what is behind it; None where nothing given is."""

    value: str
    behind: str | None


class Reidentification(Answer, frozen=True, kw_only=True):
    """What is behind pseudonyms or ciphers. That it was looked at, by whom and why, is in the ledger."""

    ref: str
    column: str
    seen: tuple[Seen, ...]
    event: int

    def text(self) -> str:
        """One line a value."""
        rows = [(one.value, "(none of the candidates)" if one.behind is None else one.behind) for one in self.seen]
        return align(("value", "is"), rows) + f"\n  recorded as event {self.event}"

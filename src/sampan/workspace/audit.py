"""The audit room: whether the ledger is as it was written, and what it holds, row by row."""

from __future__ import annotations

from sampan.core.answers import Answer
from sampan.core.graph import Recorded
from sampan.core.times import iso
from sampan.workspace.operation import Room, operation
from sampan.workspace.parameters import Count


class Verification(Answer, frozen=True, kw_only=True):
    """What a check of the whole chain found."""

    intact: bool
    n_rows: int
    first_bad: int | None = None
    what: str = ""

    def text(self) -> str:
        """Name the first bad row, or say that there is none."""
        if self.intact:
            return f"the ledger is intact: {self.n_rows:,} rows, each chained to the one before"
        return f"the ledger is broken at row {self.first_bad}: {self.what}"

    def exit_code(self) -> int:
        """Exit as IntegrityError does where the chain is broken."""
        return 0 if self.intact else 8


class Rows(Answer, frozen=True, kw_only=True):
    """Rows of the ledger as they were written, oldest first."""

    rows: tuple[Recorded, ...]

    def text(self) -> str:
        """One line a row, with the beginning of its hash."""
        lines = [f"{row.seq:>6}  {iso(row.at)}  {row.hash[:16]}  {row.actor}  {row.type}  {row.subject[:12]}".rstrip() for row in self.rows]
        return "\n".join(lines) or "no rows"


class Audit(Room):
    """Verify and read the ledger."""

    noun = "audit"

    @operation(reads=True)
    def verify(self) -> Verification:
        """Check every row of the ledger against its hash and name the first bad one."""
        if not self.ws.has_store:
            return Verification(intact=True, n_rows=0)
        found = self.ws.ledger.verify()
        intact = found.first_bad is None
        next_one = "sampan audit log" if intact else f"sampan audit log --after {(found.first_bad or 1) - 1} --limit 1"
        return Verification(intact=intact, n_rows=found.n_rows, first_bad=found.first_bad, what=found.what, next=(next_one,))

    @operation(reads=True)
    def log(self, *, after: int = 0, limit: Count = 100, type: str = "") -> Rows:  # noqa: A002  # the ledger's word
        """Show the ledger's rows as they were written, oldest first.

        Parameters
        ----------
        after : only rows after this number
        limit : at most so many
        type : only events of this type
        """
        if not self.ws.has_store:
            return Rows(rows=())
        rows = tuple(self.ws.catalog.events(after=after, limit=limit, type=type))
        more = (f"sampan audit log --after {rows[-1].seq}",) if rows and len(rows) == limit else ()
        return Rows(rows=rows, next=more or ("sampan audit verify",))

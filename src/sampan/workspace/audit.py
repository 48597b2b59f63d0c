"""The audit room: whether the ledger is as it was written, and what it holds, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import Recorded
from sampan.core.times import iso
from sampan.errors import NotFound
from sampan.workspace.governing.governance import DATASET, Governance
from sampan.workspace.operation import Room, operation
from sampan.workspace.parameters import Count

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_QUOTING: Final = ("facts", "outcome")  # what a row says of its subject, and what a step came to: values of data may stand there
_SAY_NO_VALUES: Final = frozenset({"policy", "grant", "request", "model", "report", "package", "run", "endpoint"})


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
        """Show the ledger's rows as they were written, oldest first; without values of data that may not be read.

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
        return Rows(rows=tuple(map(_Hiding(self.ws), rows)), next=more or ("sampan audit verify",))


class _Hiding:
    """Takes what may quote values of a dataset out of rows, where that dataset's terms let nobody here read them."""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace
        self._governance = Governance(workspace)
        self._said: dict[str, str] = {}  # by node

    def __call__(self, row: Recorded) -> Recorded:
        quoting = [field for field in _QUOTING if row.body.get(field) and (row.subject or field == "outcome")]
        withheld = self._withheld(row.subject) if quoting else ""
        if not withheld:
            return row
        return msgspec.structs.replace(row, body={**row.body, **{field: {"not shown": withheld} for field in quoting}})

    def _withheld(self, subject: str) -> str:
        if subject not in self._said:
            self._said[subject] = self._of_node(subject) if subject else self._of_any()
        return self._said[subject]

    def _of_node(self, subject: str) -> str:
        try:
            node = self.ws.catalog.node(subject)
        except NotFound:
            return ""
        return "" if node.kind in _SAY_NO_VALUES else self._governance.withheld(node)

    def _of_any(self) -> str:
        """A step does not say whose rows it read: it is shown where all may be read."""
        newest = (self.ws.catalog.resolve(asset.name, kind=DATASET) for asset in self.ws.catalog.assets(DATASET))
        return next((said for node in newest if (said := self._governance.withheld(node))), "")

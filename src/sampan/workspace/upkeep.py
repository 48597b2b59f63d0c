"""The verbs that look after the store and the machine: free what nothing needs, re-read everything, look for trouble."""

from __future__ import annotations

import shlex

import msgspec

from sampan.core.answers import Answer
from sampan.errors import ParameterError
from sampan.workspace.columns import count, size_text
from sampan.workspace.diagnosis import Finding, examine
from sampan.workspace.operation import Room, operation
from sampan.workspace.overview import FIRST_COMMANDS

DAY_MS = 86_400_000


class Freed(Answer, frozen=True, kw_only=True):
    """What `gc` freed, or would free."""

    n_objects: int
    n_bytes: int  # of objects and leftovers
    dry_run: bool
    n_leftovers: int = 0  # temporary files of work that never ended
    n_deleted: int = 0  # deleted runs and logged models whose files are given up
    n_segments: int = 0  # of prediction logs, older than they are kept

    def text(self) -> str:
        """Say how much."""
        verb = "would free" if self.dry_run else "freed"
        if not self.n_objects and not self.n_leftovers and not self.n_deleted and not self.n_segments:
            return "nothing to free"
        leftovers = f" and {self.n_leftovers:,} leftover files" if self.n_leftovers else ""
        leftovers += f" and {count(self.n_segments, 'segment')} of prediction logs" if self.n_segments else ""
        line = f"{verb} {count(self.n_objects, 'object')}{leftovers}, {size_text(self.n_bytes)}"
        if not self.n_deleted:
            return line
        files = "and would give up the files of" if self.dry_run else "the files given up of"
        return f"{line}; {files} {self.n_deleted:,} deleted run{'s' if self.n_deleted > 1 else ''}"


class Damage(msgspec.Struct, frozen=True):
    """One stored thing that is missing or not what its record says."""

    digest: str  # "" where it is no object
    what: str
    needed_by: str


class Checked(Answer, frozen=True, kw_only=True):
    """What `fsck` found."""

    clean: bool
    faults: tuple[Damage, ...] = ()

    def text(self) -> str:
        """Name each fault and what needs the damaged bytes."""
        if self.clean:
            return "the store is clean"
        return "\n".join(
            (f"{fault.digest}: " if fault.digest else "") + fault.what + (f"; needed by {fault.needed_by}" if fault.needed_by else "")
            for fault in self.faults
        )

    def exit_code(self) -> int:
        """Exit as IntegrityError does where bytes are damaged."""
        return 0 if self.clean else 8


class Diagnosis(Answer, frozen=True, kw_only=True):
    """What the doctor saw."""

    findings: tuple[Finding, ...]

    def text(self) -> str:
        """One line a finding; what needs attention is marked."""
        width = max(len(one.about) for one in self.findings)
        return "\n".join(
            f"{'!' if one.trouble else ' '} {one.about:<{width}}  {one.value}" + (f"\n    {one.trouble}" if one.trouble else "")
            for one in self.findings
        )


class Upkeep(Room):
    """The verbs that look after the store and the machine."""

    noun = ""

    @operation()
    def gc(self, *, dry_run: bool = False, grace_minutes: float = 60.0, deleted_days: float = 30.0) -> Freed:
        """Free stored bytes that nothing needs any more, files of runs deleted long ago, and prediction logs beyond their days.

        Parameters
        ----------
        dry_run : only say what would be freed
        grace_minutes : leave what is younger than this; someone may be about to commit it
        deleted_days : give up the files of runs and logged models that were deleted longer ago than this
        """
        if grace_minutes < 0:
            raise ParameterError(
                f"grace_minutes: {grace_minutes:g} is negative", parameter="grace_minutes", hint="expected a number from 0"
            )
        if deleted_days < 0:
            raise ParameterError(f"deleted_days: {deleted_days:g} is negative", parameter="deleted_days", hint="expected a number from 0")
        if not self.ws.has_store:
            return Freed(n_objects=0, n_bytes=0, dry_run=dry_run)
        from sampan.store.upkeep import gc
        from sampan.workspace.governing.erasure import finish_erasures
        from sampan.workspace.runs.deleting import give_up_files, long_deleted
        from sampan.workspace.services.log_retention import expired_segments, remove_segments

        given_up = long_deleted(self.ws, before=self.ws.clock() - round(deleted_days * DAY_MS))
        if not dry_run:
            finish_erasures(self.ws)
            give_up_files(self.ws, given_up)
        swept = gc(self.ws.store, grace_ms=round(grace_minutes * 60_000), now=self.ws.clock(), dry_run=dry_run)
        expired = expired_segments(self.ws, self.ws.clock())  # after gc, which seals what killed servers left
        n_bytes = sum(path.stat().st_size for path in expired) if dry_run else remove_segments(expired)
        return Freed(
            n_objects=swept.n_objects,
            n_bytes=swept.n_bytes + n_bytes,
            dry_run=dry_run,
            n_leftovers=swept.n_leftovers,
            n_deleted=len(given_up),
            n_segments=len(expired),
        )

    @operation(reads=True)
    def fsck(self, *, quick: bool = False) -> Checked:
        """Re-read everything stored and the ledger; name what is damaged and who needs it.

        Parameters
        ----------
        quick : compare sizes instead of reading all bytes
        """
        if not self.ws.has_store:
            return Checked(clean=True)
        from sampan.store.upkeep import fsck

        found = fsck(self.ws.store, quick=quick, ledger=lambda: self.ws.ledger.verify().what)
        faults = tuple(Damage(digest=f.digest, what=f.what, needed_by=f.needed_by) for f in found)
        return Checked(clean=not faults, faults=faults, next=("sampan audit verify", "sampan log") if faults else ())

    @operation(reads=True, local=True)
    def doctor(self, model: str = "") -> Diagnosis:
        """Look at this machine and this project for likely trouble; or say whether this machine matches what a model was built on.

        Parameters
        ----------
        model : such as flights-late@champion
        """
        if model:
            return self._diagnose(model)
        found = tuple(examine(self.ws))
        return Diagnosis(findings=found, next=("sampan fsck",) if self.ws.has_store else FIRST_COMMANDS)

    def _diagnose(self, model: str) -> Diagnosis:
        from sampan.workspace.explaining.replaying import model_node
        from sampan.workspace.models.diagnosis import examine_model

        node = model_node(self.ws, model)
        return Diagnosis(findings=tuple(examine_model(self.ws, node)), next=(f"sampan reproduce {shlex.quote(node.ref)}",))

"""What a merge did, or would do."""

from __future__ import annotations

from sampan.core.answers import Answer
from sampan.workspace.columns import align, count, size_text
from sampan.workspace.merging.names import DIFFERS, JOINED, NEW, PlannedName

_TOLD = {"new": "new here", "same": "the same here", "continued": "continues what is here", "joined": "added to what is here"}


class StoreMerged(Answer, frozen=True, kw_only=True):
    """What came from another store, and how its names stand here."""

    origin: str  # what the other store is called here
    n_rows: int  # new rows of its ledger
    n_objects: int = 0
    n_bytes: int = 0
    n_points: int = 0
    names: tuple[PlannedName, ...] = ()
    aliases: dict[str, str] = {}  # an alias there that means something else here -> its name here
    left: dict[str, int] = {}  # changes there to what is decided here, by what they were
    n_erased: int = 0  # contents that were written again there without a person, and so are here now
    dry_run: bool = False

    def text(self) -> str:
        """Say what came, then the names, then what stands aside."""
        if not self.n_rows and not self.n_points:
            return f"nothing new from {self.origin}"
        verb = "would bring" if self.dry_run else "brought"
        lines = [f"{verb} {count(self.n_rows, 'ledger row')} from {self.origin}"]
        if not self.dry_run:
            lines[0] += f", {count(self.n_objects, 'object')} ({size_text(self.n_bytes)}), {count(self.n_points, 'metric point')}"
        shown = [(each.kind, each.name, _told(each)) for each in self.names]
        lines += [align(("kind", "name there", "here"), shown)] if shown else []
        lines += [f"alias {there} stays as it is here; theirs is {here}" for there, here in self.aliases.items()]
        lines += [f"left as it is here: {count(n, what)}" for what, n in self.left.items()]
        if self.n_erased:
            lines.append(f"{count(self.n_erased, 'content')} written again without a person there, and here")
        return "\n".join(lines)


def _told(each: PlannedName) -> str:
    if each.here != each.name:
        why = "another history here" if each.found == DIFFERS else "beside one that has" if each.found != NEW else "of that store alone"
        return f"{each.here}  ({why})"
    return _TOLD["joined" if each.found in (DIFFERS, JOINED) else each.found]

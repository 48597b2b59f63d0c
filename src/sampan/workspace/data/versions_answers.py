"""What the verbs that edit, branch, publish and export versions answer."""

from __future__ import annotations

from sampan.core.answers import Answer
from sampan.workspace.columns import count, size_text


class Edited(Answer, frozen=True, kw_only=True):
    """The version an edit made, or the one it left as it was."""

    ref: str
    before: str
    did: str
    unchanged: bool
    n_rows: int
    n_columns: int
    branch: str = ""
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Say what became of the version before."""
        where = f" on the branch {self.branch}" if self.branch else ""
        state = "nothing to change" if self.unchanged else self.did
        head = f"{self.ref}{where}: {count(self.n_rows, 'row')}, {count(self.n_columns, 'column')}; {state}"
        return "\n".join([head, *(f"  note: {note}" for note in self.notes)])


class Tagged(Answer, frozen=True, kw_only=True):
    """Where a tag points."""

    tag: str  # flights@gold
    ref: str
    moved_from: str = ""

    def text(self) -> str:
        """Say where it points, and where it did before."""
        return f"{self.tag} is {self.ref}" + (f" (it was {self.moved_from})" if self.moved_from else "")


class Cached(Answer, frozen=True, kw_only=True):
    """A version that is kept as a file to be mapped, or what was freed of such files."""

    ref: str
    size_bytes: int
    kept: bool

    def text(self) -> str:
        """Say what is kept, or what was freed."""
        if self.kept:
            return f"{self.ref} is cached: {size_text(self.size_bytes)}, mapped into memory by whoever reads it"
        return f"dropped the cache of {self.ref or 'every version'}: {size_text(self.size_bytes)} freed"


class Published(Answer, frozen=True, kw_only=True):
    """A version written where other programs read it."""

    ref: str
    folder: str
    format: str
    n_rows: int
    n_files: int
    n_written: int  # files that had to be written: the others were linked or there already
    size_bytes: int
    delta_version: int

    def text(self) -> str:
        """Say where it is and who reads it."""
        shared = self.n_files - self.n_written
        how = f"{self.n_written:,} written, {shared:,} shared with the store or with what was published before"
        lines = [f"{self.ref} is in {self.folder} as version {self.delta_version} of a Delta table: {count(self.n_rows, 'row')}"]
        lines.append(f"  {count(self.n_files, 'file')} ({how}), {size_text(self.size_bytes)}")
        lines.append(f"  read it with pl.read_delta({self.folder!r}), deltalake.DeltaTable({self.folder!r}), Spark, DuckDB's delta_scan …")
        return "\n".join(lines)


class Exported(Answer, frozen=True, kw_only=True):
    """A version written as one file."""

    ref: str
    file: str
    n_rows: int
    n_columns: int
    size_bytes: int

    def text(self) -> str:
        """Say what is in the file."""
        return (
            f"wrote {self.file}: {count(self.n_rows, 'row')}, {count(self.n_columns, 'column')} of {self.ref}, {size_text(self.size_bytes)}"
        )

"""What the verbs that erase a person answer."""

from __future__ import annotations

import msgspec

from sampan.core.answers import Answer
from sampan.workspace.columns import align, count, size_text

_STILL_THERE = 3  # ContractViolated.exit_code: the answer is a no
_SHOWN = 40
_COUNTS = ("versions", "rows", "copies outside")


class Held(msgspec.Struct, frozen=True):
    """A version that has rows of the subject in its files."""

    ref: str
    n_rows: int


class SubjectFound(Answer, frozen=True, kw_only=True):
    """Where a person is."""

    subject: str
    versions: tuple[Held, ...]
    texts: int = 0  # e-mail addresses, phone numbers and the like that only this person's rows have
    unknown: tuple[str, ...] = ()  # what to say of columns that no dataset has

    def text(self) -> str:
        """List the versions."""
        if not self.versions:
            return "\n".join((f"{self.subject}: in no dataset version.", *self.unknown))
        lines = [[one.ref, f"{one.n_rows:,}"] for one in self.versions[:_SHOWN]]
        more = f"\n… and {len(self.versions) - _SHOWN} more" if len(self.versions) > _SHOWN else ""
        texts = (
            f"\n{self.texts} addresses or numbers in these rows name nobody else; they are erased wherever they stand" if self.texts else ""
        )
        table = align(("version", "rows"), lines, right=("rows",))
        return f"{self.subject} is in {count(len(self.versions), 'version')}:\n{table}{more}{texts}"


class SubjectGone(Answer, frozen=True, kw_only=True):
    """A person was erased."""

    subject: str
    erasure: str
    versions: tuple[Held, ...]  # rows that readers saw, by version
    n_other_objects: int
    n_log_rows: int
    n_bytes: int
    models: tuple[str, ...]
    derived: tuple[str, ...]
    left: tuple[str, ...]
    record: str
    copies: tuple[str, ...] = ()
    removed_copies: tuple[str, ...] = ()
    n_cells: int = 0  # in rows of others
    unsure: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()  # what to say of columns that no dataset has

    def text(self) -> str:
        """Say what was erased, and what a person still has to decide."""
        n_rows = sum(one.n_rows for one in self.versions)
        found = n_rows or self.n_cells or self.n_other_objects or self.n_log_rows or self.versions
        what = (
            f"{count(len(self.versions), 'table version')} ({count(n_rows, 'row')} in all), "
            f"{count(self.n_other_objects, 'other object')} and {count(self.n_log_rows, 'row')} of prediction logs"
        )
        lines = [
            f"{self.subject}: erased from {what}; {size_text(self.n_bytes)} freed."
            if found
            else f"{self.subject}: found nowhere, so nothing was erased.",
            *self.unknown,
            "Every version is kept, and old names still resolve.",
            f"signed record: {self.record} ({self.erasure})",
        ]
        lines += [f"rows of others named the person in {count(self.n_cells, 'cell')}: now [erased]"] if self.n_cells else []
        lines += [f"may be the person, or another: {one}; look, and if so erase again with --also" for one in self.unsure]
        lines += [f"learned from these rows: {', '.join(self.models)}"] if self.models else []
        lines += [f"made from these rows, without a column that names the person: {', '.join(self.derived)}"] if self.derived else []
        lines += [f"copy in the store's folder, removed: {one}" for one in self.removed_copies]
        lines += [f"copy outside the store, with these rows; remove it, then publish or export again: {one}" for one in self.copies]
        lines += [f"still names the person, and cannot be written again: {one}" for one in self.left]
        return "\n".join(lines)

    def exit_code(self) -> int:
        """Say no where something is left, or for a person to decide."""
        return _STILL_THERE if self.left or self.unsure or self.unknown else 0


class Place(msgspec.Struct, frozen=True):
    """A place that still names the person."""

    where: str
    digest: str = ""
    columns: tuple[str, ...] = ()
    n_rows: int = 0


class StoreSearched(Answer, frozen=True, kw_only=True):
    """What a search of every byte of the store found."""

    subject: str
    n_objects: int
    n_files: int
    n_bytes: int
    places: tuple[Place, ...]
    short: tuple[str, ...] = ()  # columns whose value was looked for there only

    def text(self) -> str:
        """Say where the person still is."""
        return self._found() + "".join(f"\n{name}: too short to be looked for outside of columns of this name" for name in self.short)

    def _found(self) -> str:
        searched = f"{count(self.n_objects, 'object')} and {count(self.n_files, 'other file')}, {size_text(self.n_bytes)}"
        if not self.places:
            return f"{self.subject} is nowhere in this store ({searched}; Parquet and Arrow decoded, archives unpacked)."
        lines = [[one.where, one.digest[:15], ", ".join(one.columns), f"{one.n_rows or ''}"] for one in self.places[:_SHOWN]]
        table = align(("where", "object", "columns", "rows"), lines, right=("rows",))
        return f"{self.subject} is in {count(len(self.places), 'place')} ({searched}):\n{table}"

    def exit_code(self) -> int:
        """Say no where the person was found."""
        return _STILL_THERE if self.places else 0


class ErasureLine(msgspec.Struct, frozen=True):
    """One erasure, as its record tells it."""

    erasure: str
    at: str
    by: str
    reason: str
    columns: tuple[str, ...]
    n_versions: int
    n_rows: int
    models: tuple[str, ...]
    state: str  # done | erasing
    signature: str  # whole | what is wrong with it
    public_key: str
    copies: tuple[str, ...] = ()  # published or exported elsewhere: people had to remove them
    about: bool | None = None  # whether it is of the subject that was asked for; None where none was


class Erasures(Answer, frozen=True, kw_only=True):
    """The records of all erasures."""

    erasures: tuple[ErasureLine, ...]

    def text(self) -> str:
        """List them, newest first."""
        if not self.erasures:
            return "nobody was erased from this store."
        lines = [
            [
                one.erasure,
                one.at[:16].replace("T", " "),
                one.by,
                f"{one.n_versions:,}",
                f"{one.n_rows:,}",
                f"{len(one.copies) or ''}",
                one.signature if one.state == "done" else f"{one.signature}; {one.state}",
                "yes" if one.about else "",
                one.reason,
            ]
            for one in self.erasures
        ]
        return align(
            ("erasure", "when", "by", "versions", "rows", "copies outside", "signature", "this person", "reason"), lines, right=_COUNTS
        )

"""What the verbs on a contract itself answer."""

from __future__ import annotations

from sampan.core.answers import Answer
from sampan.workspace.columns import count


class ContractShown(Answer, frozen=True, kw_only=True):
    """A dataset's contract: its rules in words, and the file."""

    dataset: str
    file: str
    digest: str  # of the file's text; what is saved must start from it
    n_rules: int
    rules: tuple[str, ...]
    contents: str

    def text(self) -> str:
        """Say every rule."""
        return "\n".join([f"{self.file}: {count(self.n_rules, 'rule')} for {self.dataset}", *(f"  {rule}" for rule in self.rules)])


class ContractSaved(Answer, frozen=True, kw_only=True):
    """A contract that was saved."""

    dataset: str
    file: str
    version: str  # reference of the recorded version
    n_rules: int
    unchanged: bool = False

    def text(self) -> str:
        """Say what is there now."""
        state = " (unchanged)" if self.unchanged else ""
        return f"{self.file}: {count(self.n_rules, 'rule')} for {self.dataset}, recorded as {self.version}{state}"


class RulesImported(Answer, frozen=True, kw_only=True):
    """Rules of another tool's file, taken into a contract."""

    dataset: str
    file: str
    source: str
    n_rules: int
    added: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def text(self) -> str:
        """Say what was taken in, and what could not be."""
        lines = [f"{self.file}: {count(len(self.added), 'rule')} taken in from {self.source}, {count(self.n_rules, 'rule')} now"]
        lines += [f"  {rule}" for rule in self.added]
        return "\n".join([*lines, *_left_out("not taken in, or not as it is said there", self.left_out)])


class RulesExported(Answer, frozen=True, kw_only=True):
    """A contract's rules, written for another tool."""

    dataset: str
    written: str  # the file; "" where its text is the answer
    n_rules: int
    left_out: tuple[str, ...] = ()
    contents: str = ""

    def text(self) -> str:
        """Say what was written, or show it."""
        if not self.written:
            return self.contents
        head = f"wrote {self.written}: {count(self.n_rules, 'rule')} for {self.dataset}"
        return "\n".join([head, *_left_out("left out, since the other tool has no place for it", self.left_out)])


def _left_out(why: str, what: tuple[str, ...]) -> list[str]:
    return [f"{why}:", *(f"  {one}" for one in what)] if what else []

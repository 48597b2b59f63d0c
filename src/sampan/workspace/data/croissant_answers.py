"""What writing and reading Croissant answers."""

from __future__ import annotations

from sampan.core.answers import Answer
from sampan.workspace.columns import count


class CroissantWritten(Answer, frozen=True, kw_only=True):
    """A version that was written with its description."""

    ref: str
    file: str
    table: str
    conforms_to: str
    n_fields: int

    def text(self) -> str:
        """Say where it lies."""
        return f"{self.ref}: {self.table}, described with {count(self.n_fields, 'field')} in {self.file} ({self.conforms_to})"


class BroughtIn(Answer, frozen=True, kw_only=True):
    """The datasets that a description brought in."""

    name: str
    conforms_to: str
    datasets: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def text(self) -> str:
        """Say which, and what was left out."""
        lines = [f"{self.name or 'the description'} ({self.conforms_to}): {', '.join(self.datasets)}"]
        return "\n".join([*lines, *(f"  left out: {each}" for each in self.left_out)])

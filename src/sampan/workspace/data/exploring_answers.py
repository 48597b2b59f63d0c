"""What exploring answers."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.core.answers import Answer
from sampan.data.exploring.views import Exploration
from sampan.workspace.columns import align, count

_SHOWN_WARNINGS = 20
_SHOWN_RELATIONS = 8
_LEVELS = {"bad": "!!", "warn": " !", "info": "  "}


class Explored(Answer, frozen=True, kw_only=True):
    """What a dataset is like, and the page it was written to."""

    ref: str
    file: str
    size_bytes: int
    exploration: Exploration

    def text(self) -> str:
        """The warnings, what says most about the target, and where the page is."""
        found = self.exploration
        complete = f"{found.n_complete / found.n_rows:.1%} of the rows complete" if found.n_rows else "no rows"
        parts = [f"{self.ref}: {count(found.n_rows, 'row')}, {count(found.n_columns, 'column')}, {complete}"]
        warnings = [f"  {_LEVELS[one.level]} {one.text}" for one in found.warnings[:_SHOWN_WARNINGS]]
        more = len(found.warnings) - _SHOWN_WARNINGS
        parts.append("\n".join(["what to know first:", *warnings, *([f"     and {more} more on the page"] if more > 0 else [])]))
        if not warnings:
            parts[-1] = "nothing to warn of"
        parts.extend(_target_text(found))
        parts.append(f"the whole of it: {self.file} ({self.size_bytes / 1000:,.0f} kB, opens without a network)")
        return "\n\n".join(parts)


def _target_text(found: Exploration) -> Iterator[str]:
    target = found.target
    if target is None or not target.relations:
        return
    rows = [(one.column, f"{one.strength:.3f}", one.measure) for one in target.relations[:_SHOWN_RELATIONS]]
    yield f"what each column alone says about “{target.target}”:\n" + align(("column", "strength", "measure"), rows, right=("strength",))

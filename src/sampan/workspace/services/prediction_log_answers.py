"""What the verbs for a service's prediction log answer."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.core.answers import Answer
from sampan.workspace.columns import align, count, size_text

_SHOWN = ("at", "id", "version", "role", "caller", "score", "label", "latency_us")


class LoggedRows(Answer, frozen=True, kw_only=True):
    """Rows of a prediction log, the newest first, with their labels; or what a query answered."""

    service: str
    rows: tuple[dict[str, Any], ...]
    columns: tuple[str, ...]
    n_segments: int
    size_bytes: int
    folder: str  # where the segments are
    queried: bool = False

    def text(self) -> str:
        """Show the rows, and where the log lies."""
        kept = f"{self.service}: {count(self.n_segments, 'segment')}, {size_text(self.size_bytes)} in {self.folder}"
        if not self.rows:
            return f"{kept}\nno such row"
        names = self.columns if self.queried else tuple(name for name in _SHOWN if name in self.columns)
        table = align(names, [tuple(_cell(row.get(name)) for name in names) for row in self.rows])
        fields = [name for name in self.columns if name not in names]
        more = f"\n  and {count(len(fields), 'column')}: {', '.join(fields[:8])}{' …' if len(fields) > 8 else ''}" if fields else ""
        return f"{kept}\n{table}{more}"


class LogSaved(Answer, frozen=True, kw_only=True):
    """A prediction log was written to a file."""

    service: str
    path: str
    n_rows: int
    n_labelled: int

    def text(self) -> str:
        """Say what was written."""
        return f"{count(self.n_rows, 'prediction')} of {self.service}, {self.n_labelled:,} with a label, in {self.path}"


class LabelsTaken(Answer, frozen=True, kw_only=True):
    """True labels were taken in, and what they met."""

    service: str
    n_rows: int
    n_matched: int  # name a prediction of the log
    n_unknown: int  # name none: not asked, not kept, or not yet written
    n_repeated: int  # say what was known already
    n_changed: int  # say another thing than was known; the newest label counts
    n_doubled: int  # stand more than once in this file; the last of them counts

    def text(self) -> str:
        """Say how many labels met a prediction."""
        lines = [f"{count(self.n_rows, 'label')} for {self.service}: {self.n_matched:,} name a prediction, {self.n_unknown:,} name none"]
        if self.n_repeated or self.n_changed:
            lines.append(f"  {self.n_repeated:,} were known already, {self.n_changed:,} say another thing than before and count now")
        if self.n_doubled:
            lines.append(f"  {self.n_doubled:,} stand more than once in the file; the last of each counts")
        return "\n".join(lines)


class CallerVolume(msgspec.Struct, frozen=True):
    """What one caller asked of one version in one role."""

    caller: str
    version: str  # "" = refused before a model saw it
    role: str
    requests: int
    rows: int
    refused: int
    mean_ms: float | None
    max_ms: float | None
    first: str
    last: str


class Callers(Answer, frozen=True, kw_only=True):
    """Who asked a service for how much."""

    service: str
    volumes: tuple[CallerVolume, ...]

    def text(self) -> str:
        """One line for each caller and version."""
        if not self.volumes:
            return f"nobody asked {self.service} for anything in this time"
        rows = [
            (
                one.caller or "(unnamed)",
                one.version or "-",
                one.role or "-",
                f"{one.requests:,}",
                f"{one.rows:,}",
                f"{one.refused:,}",
                "-" if one.mean_ms is None else f"{one.mean_ms:.2f}",
                "-" if one.max_ms is None else f"{one.max_ms:.1f}",
                one.last,
            )
            for one in self.volumes
        ]
        header = ("caller", "version", "role", "requests", "rows", "refused", "mean ms", "max ms", "last asked")
        return align(header, rows, right=("requests", "rows", "refused", "mean ms", "max ms"))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)

"""Long work on stderr: a bar where a person watches a terminal, a plain line now and then in a log. Quick work leaves no trace."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from sampan.ports import Progress, Stage

REDRAW_S = 0.1
LINE_S = 10.0
QUICK_S = 1.0
_BAR_CELLS = 24


def progress_for(stream: IO[str] | None = None, *, quick_s: float = QUICK_S) -> Progress:
    """Return progress that suits a stream, by default stderr. A stage that ends within `quick_s` is not shown."""
    stream = stream or sys.stderr
    return TerminalProgress(stream, every_s=REDRAW_S if stream.isatty() else LINE_S, bars=stream.isatty(), quick_s=quick_s)


class TerminalProgress:
    """Shows stages one below the other; a stage inside another is indented."""

    def __init__(self, stream: IO[str], *, every_s: float, bars: bool, quick_s: float = 0.0) -> None:
        self.stream = stream
        self.quick_s = quick_s
        self.every_s = every_s
        self.bars = bars
        self.depth = 0

    @contextmanager
    def stage(self, title: str, *, total: int | None = None, unit: str = "") -> Iterator[Stage]:
        """Open a stage; leaving it writes how much was done and how long it took."""
        stage = _Shown(self, title, total, unit, "  " * self.depth)
        self.depth += 1
        try:
            yield stage
        except BaseException:
            stage.end("stopped")
            raise
        else:
            stage.end("done")
        finally:
            self.depth -= 1


class _Shown:
    """One stage on the terminal."""

    def __init__(self, owner: TerminalProgress, title: str, total: int | None, unit: str, indent: str) -> None:
        self.owner = owner
        self.title, self.total, self.unit, self.indent = title, total, unit, indent
        self.n, self.note = 0, ""
        self.began = time.monotonic()
        self.shown = self.began

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count units done; write at intervals only."""
        self.n += n
        self.note = note or self.note
        now = time.monotonic()
        if now - self.shown >= self.owner.every_s:
            self.shown = now
            self._write(f"{self._so_far()} {self.note}".rstrip())

    def end(self, how: str) -> None:
        """Write the stage's last line."""
        seconds = time.monotonic() - self.began
        if seconds < self.owner.quick_s:
            if self.owner.bars:
                self.owner.stream.write("\r\x1b[K")
            return
        unit = self.unit.removesuffix("s") if self.n == 1 else self.unit
        amount = f"{self.n:,} {unit}".strip() + ", " if self.n and (unit or self.total) else ""
        note = f" ({self.note})" if self.note else ""
        self._write(f"{how}, {amount}{seconds:.1f} s{note}", last=True)

    def _so_far(self) -> str:
        if not self.total:
            return f"{self.n:,} {self.unit}".rstrip()
        share = min(1.0, self.n / self.total)
        filled = round(share * _BAR_CELLS)
        bar = "█" * filled + "░" * (_BAR_CELLS - filled) + " " if self.owner.bars else ""
        return f"{bar}{share:4.0%} {self.n:,}/{self.total:,} {self.unit}".rstrip()

    def _write(self, text: str, *, last: bool = False) -> None:
        line = f"{self.indent}{self.title}: {text}"
        if self.owner.bars:
            import shutil

            width = shutil.get_terminal_size().columns - 1
            self.owner.stream.write("\r\x1b[K" + line[:width] + ("\n" if last else ""))
        else:
            self.owner.stream.write(line + "\n")
        self.owner.stream.flush()

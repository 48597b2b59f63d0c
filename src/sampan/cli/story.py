"""An example told in stages: each is done once for its code and inputs, says what it found, and checks its own truths."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from sampan.core.digests import Digest, digest_bytes, digest_value
from sampan.errors import StoryFailed
from sampan.workspace.workspace import Workspace

Facts = dict[str, Any]


def code_digest(folder: Path) -> Digest:
    """Digest an example's own code."""
    return digest_value([[p.name, digest_bytes(p.read_bytes())] for p in sorted(folder.glob("*.py"))])


class Stage:
    """What one stage found: lines for the reader, facts for later stages, and truths that must hold."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.lines: list[str] = []
        self.facts: Facts = {}
        self.failed: list[str] = []

    def say(self, line: str) -> None:
        """Add a line to the account."""
        self.lines.append(line)

    def holds(self, claim: str, true: bool, seen: object = "") -> None:
        """Check a truth of the example; a false one ends the story with what was seen instead."""
        if true:
            self.lines.append(f"✓ {claim}" + (f": {seen}" if seen != "" else ""))
        else:
            self.failed.append(f"{claim}; seen: {seen}")


class Story:
    """Tells stages in order. A stage whose code and predecessors are unchanged is re-told from the ledger, not done again."""

    def __init__(self, workspace: Workspace, *, folder: Path, n_stages: int, out: IO[str] | None = None) -> None:
        self.ws = workspace
        self.out = out or sys.stdout
        self.n_stages = n_stages
        self.n_cached = 0
        self.cached_seconds = 0.0
        self._number = 0
        # The chain starts with the example's own code: an edit anywhere in it tells the story anew.
        self._chain = code_digest(folder)

    def stage(self, title: str, tell: Callable[[Stage], None]) -> Facts:
        """Tell one stage: `tell` does the work and fills the stage. Returns its facts.

        Raises
        ------
        StoryFailed : a truth did not hold; the stage is not kept and will be told again.
        """
        self._number += 1
        head = f"[{self._number}/{self.n_stages}] {title}"
        began = time.monotonic()
        told, cached = self.ws.engine.once(f"story: {title}", [self._chain, title], lambda: self._tell(title, head, tell))
        seconds = time.monotonic() - began
        self._chain = digest_value([self._chain, title, told["facts"]])
        self._write(f"{head}  {'from cache' if cached else f'{seconds:.1f} s'}")
        self.n_cached += cached
        self.cached_seconds += seconds if cached else 0.0
        for line in told["lines"]:
            self._write(f"      {line}")
        facts: Facts = told["facts"]
        return facts

    def _tell(self, title: str, head: str, tell: Callable[[Stage], None]) -> Facts:
        stage = Stage(title)
        self._write(f"{head} …")
        tell(stage)
        if stage.failed:
            raise StoryFailed(
                f"{title}: {len(stage.failed)} of this example's truths did not hold: " + " | ".join(stage.failed),
                reasons=tuple(stage.failed),
                hint="if you changed the example, change its truths too; if you did not, this is a fault worth reporting",
            )
        return {"lines": stage.lines, "facts": stage.facts}

    def _write(self, line: str) -> None:
        self.out.write(line + "\n")
        self.out.flush()

"""Draw a graph as a tree of text lines, for terminals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple


class Branch(NamedTuple):
    """Where an arrow leads, and what it is called."""

    to: str
    label: str


def draw(root: str, branches: Mapping[str, Sequence[Branch]], lines: Mapping[str, str]) -> str:
    """Draw what can be reached from `root`; a node met again is named without its branches."""
    return "\n".join([lines[root], *_below(root, branches, lines, "", {root})])


def _below(node: str, branches: Mapping[str, Sequence[Branch]], lines: Mapping[str, str], indent: str, drawn: set[str]) -> Iterator[str]:
    here = branches.get(node, ())
    for i, branch in enumerate(here):
        last = i == len(here) - 1
        again = branch.to in drawn and bool(branches.get(branch.to))
        yield f"{indent}{'└─' if last else '├─'} {branch.label} {lines[branch.to]}" + (" (see above)" if again else "")
        if branch.to not in drawn:
            drawn.add(branch.to)
            yield from _below(branch.to, branches, lines, indent + ("   " if last else "│  "), drawn)

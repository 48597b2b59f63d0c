"""Where buffers lie in working memory, a block for each kind: those that are not needed at the same time share their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sampan.edge.program import Elementwise, Kind, Program, Step, reads


@dataclass(slots=True)
class _Span:
    """When a buffer is written and read last, and which operands it may take the exact place of, or give it to."""

    first: int
    last: int
    size: int
    kind: Kind
    partners: set[int] = field(default_factory=set)


def plan(program: Program) -> tuple[dict[int, int], dict[Kind, int]]:
    """Return each buffer's place, and how many places there are of each kind; the row and the answer lie elsewhere.

    First fit, the longest buffers first (J. Y.-T. Leung (ed., 2004), "Handbook of Scheduling", on dynamic storage allocation, calls it a
    heuristic; for chains, which networks are, it is exact).
    """
    outside = {program.given.number, program.out.number} | ({program.texts.number} if program.texts is not None else set())
    spans = _spans(program.steps, outside=outside)
    offsets: dict[int, int] = {}
    for number, span in sorted(spans.items(), key=lambda each: (-each[1].size, each[0])):
        beside = [other for other in offsets if _at_once(spans[other], span)]
        offsets[number] = _place(span, beside, spans, offsets)
    sizes: dict[Kind, int] = {}
    for number, at in offsets.items():
        kind = spans[number].kind
        sizes[kind] = max(sizes.get(kind, 0), at + spans[number].size)
    return offsets, sizes


def _place(span: _Span, beside: Sequence[int], spans: dict[int, _Span], offsets: dict[int, int]) -> int:
    """Find a place among buffers that are needed at the same time."""
    taken = sorted((offsets[other], offsets[other] + spans[other].size, other) for other in beside)
    for low, high, partner in taken:
        # Number by number, an operand is read before the answer is written: in the same place, but not in one that overlaps.
        if partner in span.partners and all(other == partner or end <= low or begin >= high for begin, end, other in taken):
            return low
    at = 0
    for low, high, _ in taken:
        if at + span.size <= low:
            break
        at = max(at, high)
    return at


def _at_once(one: _Span, other: _Span) -> bool:
    return one.kind == other.kind and one.first <= other.last and other.first <= one.last


def _spans(steps: Sequence[Step], *, outside: set[int]) -> dict[int, _Span]:
    """Return per buffer when it is needed."""
    spans: dict[int, _Span] = {}
    last_read = {buffer.number: moment for moment, step in enumerate(steps) for buffer in reads(step)}
    for moment, step in enumerate(steps):
        out = step.out
        if out.number in outside:
            continue
        spans[out.number] = _Span(moment, last_read.get(out.number, moment), out.size, out.kind)
        if isinstance(step, Elementwise):
            for given in reads(step):
                ends_here = last_read[given.number] == moment and given.number not in outside
                if ends_here and (given.size, given.kind) == (out.size, out.kind):
                    spans[out.number].partners.add(given.number)
                    spans[given.number].partners.add(out.number)
    return spans

"""Where buffers lie in one block of working memory: those that are not needed at the same time share their place."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.edge.program import Elementwise, Program, Step, reads


def plan(program: Program) -> tuple[dict[int, int], int]:
    """Return each buffer's offset in numbers, and how many numbers there are; the row and the answer lie elsewhere.

    First fit, the longest buffers first (J. Y.-T. Leung (ed., 2004), "Handbook of Scheduling", on dynamic storage allocation, calls it a
    heuristic; for chains, which networks are, it is exact).
    """
    spans = _spans(program.steps, outside={program.given.number, program.out.number})
    offsets: dict[int, int] = {}
    for number, (first, last, size) in sorted(spans.items(), key=lambda each: (-each[1][2], each[0])):
        taken = sorted(
            (offsets[other], offsets[other] + spans[other][2]) for other in offsets if spans[other][0] <= last and first <= spans[other][1]
        )
        at = 0
        for low, high in taken:
            if at + size <= low:
                break
            at = max(at, high)
        offsets[number] = at
    return offsets, max((offsets[n] + spans[n][2] for n in offsets), default=0)


def _spans(steps: Sequence[Step], *, outside: set[int]) -> dict[int, tuple[int, int, int]]:
    """Return per buffer when it is written, when it is read last, and its size."""
    spans: dict[int, tuple[int, int, int]] = {}
    for moment, step in enumerate(steps):
        for given in reads(step):
            if given.number not in outside:
                first, _, size = spans[given.number]
                # An answer may take the place of an operand of its own size: number by number, it is read before it is written.
                in_place = isinstance(step, Elementwise) and given.size == step.out.size
                spans[given.number] = (first, moment - 0.5 if in_place else moment, size)  # type: ignore[assignment]  # half a step
        if step.out.number not in outside:
            spans[step.out.number] = (moment, moment, step.out.size)
    return spans

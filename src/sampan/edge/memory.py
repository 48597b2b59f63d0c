"""Where buffers lie in one block of working memory: those that are not needed at the same time share their place."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.edge.program import Elementwise, Kind, Program, Step, reads


def plan(program: Program) -> tuple[dict[int, int], dict[Kind, int]]:
    """Return each buffer's place, and how many places there are of each kind; the row and the answer lie elsewhere.

    First fit, the longest buffers first (J. Y.-T. Leung (ed., 2004), "Handbook of Scheduling", on dynamic storage allocation, calls it a
    heuristic; for chains, which networks are, it is exact).
    """
    outside = {program.given.number, program.out.number} | ({program.texts.number} if program.texts is not None else set())
    kinds: dict[int, Kind] = {step.out.number: step.out.kind for step in program.steps}
    spans = _spans(program.steps, outside=outside)
    offsets: dict[int, int] = {}
    for number, (first, last, size) in sorted(spans.items(), key=lambda each: (-each[1][2], each[0])):
        taken = sorted(
            (offsets[other], offsets[other] + spans[other][2])
            for other in offsets
            if kinds[other] == kinds[number] and spans[other][0] <= last and first <= spans[other][1]
        )
        at = 0
        for low, high in taken:
            if at + size <= low:
                break
            at = max(at, high)
        offsets[number] = at
    sizes: dict[Kind, int] = {}
    for number, at in offsets.items():
        sizes[kinds[number]] = max(sizes.get(kinds[number], 0), at + spans[number][2])
    return offsets, sizes


def _spans(steps: Sequence[Step], *, outside: set[int]) -> dict[int, tuple[int, int, int]]:
    """Return per buffer when it is written, when it is read last, and its size."""
    spans: dict[int, tuple[int, int, int]] = {}
    for moment, step in enumerate(steps):
        for given in reads(step):
            if given.number not in outside:
                first, _, size = spans[given.number]
                # An answer may take the place of an operand of its own size: number by number, it is read before it is written.
                in_place = isinstance(step, Elementwise) and (given.size, given.kind) == (step.out.size, step.out.kind)
                spans[given.number] = (first, moment - 0.5 if in_place else moment, size)  # type: ignore[assignment]  # half a step
        if step.out.number not in outside:
            spans[step.out.number] = (moment, moment, step.out.size)
    return spans

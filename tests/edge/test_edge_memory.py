"""Buffers share memory where they may: whatever the order and sizes of steps, no step writes over what is still to be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sampan.edge.evaluating import values_in
from sampan.edge.hosted import compile_hosted, run_hosted
from sampan.edge.memory import plan
from sampan.edge.program import Buffer, Elementwise, Move, Program
from sampan.edge.source import Schema, generate


def random_program(rng: np.random.Generator, n_steps: int) -> Program:
    """Draw steps that add, subtract and pick numbers of earlier ones; the last joins all that nothing read."""
    made = [Buffer(0, 6)]
    steps: list[Elementwise | Move] = []
    read: set[int] = set()
    for _ in range(n_steps):
        number = len(made)
        first = made[int(rng.integers(max(0, number - 6), number))]
        if rng.random() < 0.4:
            index = rng.integers(0, first.size, int(rng.integers(1, 9)))
            steps.append(Move(((first, index),), Buffer(number, len(index))))
        else:
            same = [b for b in made if b.size in (first.size, 1)]
            second = same[int(rng.integers(len(same)))]
            read.add(second.number)
            steps.append(Elementwise(str(rng.choice(["Add", "Sub"])), (first, second), Buffer(number, first.size)))
        read.add(first.number)
        made.append(steps[-1].out)
    rest = [b for b in made if b.number not in read] or [made[-1]]
    out = Buffer(len(made), sum(b.size for b in rest))
    return Program(made[0], out, (*steps, Move(tuple((b, np.arange(b.size)) for b in rest), out)))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, phases=(Phase.generate,), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_random_programs_answer_as_where_each_buffer_has_memory_of_its_own(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(rng, 60)
    rows = rng.integers(-8, 8, (5, 6)).astype(np.float32)

    generated = generate(program, Schema("m", outputs=("a",) * program.n_outputs))
    found = run_hosted(compile_hosted(generated, tmp_path, flags=("-std=c99", "-O0")), rows, program.n_outputs)

    assert np.array_equal(found, values_in(program, {program.out.number}, rows)[program.out.number])


def test_an_answer_takes_an_operands_place_exactly_or_not_at_all() -> None:
    row, wide, narrow = Buffer(0, 4), Buffer(1, 8), Buffer(2, 4)
    third, fourth, out = Buffer(3, 4), Buffer(4, 4), Buffer(5, 4)
    steps = (
        Move(((row, np.array([0, 1, 2, 3, 0, 1, 2, 3])),), wide),
        Move(((wide, np.arange(4)),), narrow),
        Elementwise("Add", (narrow, row), third),
        Elementwise("Add", (third, narrow), fourth),
        Elementwise("Add", (fourth, row), out),
    )

    offsets, sizes = plan(Program(row, out, steps))

    assert abs(offsets[3] - offsets[2]) >= 4  # `narrow` is read once more
    assert offsets[4] in (offsets[3], offsets[2])
    assert sizes == {"float": 12}

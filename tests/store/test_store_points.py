from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from sampan.store.points import CHUNK_POINTS, Point, pack, unpack

int64 = st.integers(-(2**63), 2**63 - 1)
points = st.lists(st.tuples(int64, int64, st.floats()), min_size=1, max_size=40)


def bits(chunk: list[Point]) -> list[tuple[int, int, bytes]]:
    return [(step, at, struct.pack("<d", value)) for step, at, value in chunk]


@given(points)
def test_a_chunk_gives_back_every_point_bit_for_bit(given_points: list[Point]) -> None:
    assert bits(unpack(pack(given_points))) == bits(given_points)


def test_steady_steps_and_times_cost_next_to_nothing() -> None:
    steady = [(step, 1_700_000_000_000 + 10 * step, 0.5) for step in range(CHUNK_POINTS)]

    assert len(pack(steady)) < CHUNK_POINTS * 24 / 100

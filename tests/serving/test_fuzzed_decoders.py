"""Seeded mutations of what callers send, read by the real connection and decoders: what benchmarks/fuzz_decoders.py looks for."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from fuzz_decoders import SEEDS, Judge  # needs the line above

TOKENS = (b"null", b"NaN", b"-1", b"1e999", b"99999999999999999999", b'""', b"[]", b"{}", b"\x00", b"\xff", b"\r\n", b'"', b"true")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    made = Judge(tmp_path_factory.mktemp("fuzzed"))
    yield made
    made.close()


def mutated(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(1, len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            del data[at : at + rng.randrange(1, 9)]
        elif kind == 1:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 2:
            other = rng.choice(SEEDS)
            begin = rng.randrange(len(other))
            data[at:at] = other[begin : begin + rng.randrange(1, 60)]
        elif at < len(data):
            data[at] = rng.randrange(256)
    return bytes(data)


def test_what_callers_should_send_is_read(judge: Judge) -> None:
    for seed in SEEDS:
        judge(seed)


@pytest.mark.slow
def test_nothing_but_a_refusal_comes_of_four_thousand_broken_requests(judge: Judge) -> None:
    rng = random.Random(20)
    for _ in range(4_000):
        data = mutated(rng)
        try:
            judge(data)
        except Exception as cause:
            raise AssertionError(f"{data!r}: {cause}") from cause
